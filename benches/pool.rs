//! What a buffer costs: taken and given back by size, warm, and grown as a chunked body grows.
//!
//! Not measured here: the first touch of fresh pages, which is the kernel's and comes once; filling the buffer, but
//! for what growing has to move.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inrush::buffer::{Budget, Pool};

const BUDGET_BYTES: u64 = 1 << 30;

fn pool() -> (Arc<Budget>, Pool) {
    let budget = Arc::new(Budget::new(BUDGET_BYTES));
    (budget.clone(), Pool::new(budget))
}

fn take_and_put(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    for bytes in [200, 1 << 10, 3 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let (budget, pool) = pool();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("take_put/{bytes}"), |bencher| {
            bencher.iter(|| {
                let Ok(buf) = pool.take(black_box(bytes)) else { panic!("the budget has room") };
                assert!(buf.room() >= bytes);
                pool.put(buf);
            });
        });
        // As deep as a worker that lags makes it.
        const HELD: usize = 64;
        let mut held = Vec::with_capacity(HELD);
        group.throughput(Throughput::Bytes((HELD * bytes) as u64));
        group.bench_function(format!("take_put_{HELD}/{bytes}"), |bencher| {
            bencher.iter(|| {
                held.extend((0..HELD).filter_map(|_| pool.take(black_box(bytes)).ok()));
                assert_eq!(held.len(), HELD);
                held.drain(..).for_each(|buf| pool.put(buf));
            });
        });
        drop(pool);
        assert_eq!(budget.used(), 0, "everything charged was given back");
    }
    group.finish();
}

fn read_buffer(criterion: &mut Criterion) {
    let (_budget, pool) = pool();
    let mut group = criterion.benchmark_group("pool");
    let bytes = inrush::buffer::READ_BYTES;
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("read_buffer/{bytes}"), |bencher| {
        bencher.iter(|| {
            let buf = black_box(pool.take_read());
            assert_eq!(buf.capacity(), bytes);
            pool.put(buf);
        });
    });
    group.finish();
}

/// By half as much each time, from 4 KiB, as a chunked body of unknown length does.
fn grow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    for bytes in [16 << 10, 256 << 10, 4 << 20] {
        let (budget, pool) = pool();
        let chunk = vec![b'x'; 4 << 10];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("grow/{bytes}"), |bencher| {
            bencher.iter(|| {
                let Ok(mut buf) = pool.take(chunk.len()) else { panic!("the budget has room") };
                while buf.len() < bytes {
                    if buf.room() < chunk.len() {
                        let want = (buf.capacity() * 3 / 2).max(buf.len() + chunk.len());
                        buf = pool.grow(buf, want).unwrap_or_else(|_| panic!("the budget has room"));
                    }
                    buf.extend_from_slice(black_box(&chunk));
                }
                assert_eq!((buf.filled()[0], buf.filled()[bytes - 1], buf.len()), (b'x', b'x', bytes));
                pool.put(buf);
            });
        });
        drop(pool);
        assert_eq!(budget.used(), 0, "everything charged was given back");
    }
    group.finish();
}

criterion_group!(benches, take_and_put, read_buffer, grow);
criterion_main!(benches);
