//! What it costs to hand an event to a worker and to get its handle back, in batches as a turn of a core makes them.
//!
//! Not measured here: waking a worker that sleeps, which is a system call and the scheduler's business (the request
//! bench has it), and the event itself: what crosses is its handle, 8 bytes.
// The boxes are the handles that cross: they are what is measured.
#![allow(clippy::vec_box)]

use std::hint::black_box;
use std::sync::Arc;
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inrush::event::Slot;
use inrush::queue::{Door, HomeBell, Inbox, Outbox, pair};

const BATCHES: [usize; 3] = [1, 16, 256];
const EVENTS_MAX: usize = 4096;

fn ends() -> (Outbox, Inbox) {
    pair(EVENTS_MAX, EVENTS_MAX, Arc::new(Door::default()), Arc::new(HomeBell::new(|| {})))
}

#[allow(clippy::vec_box)] // the box is what crosses
fn handles(count: usize) -> Vec<Box<Slot>> {
    (0..count).map(|_| Box::new(Slot::new())).collect()
}

#[allow(clippy::vec_box)]
fn push_all(outbox: &mut Outbox, handles: &mut Vec<Box<Slot>>) {
    for slot in handles.drain(..) {
        assert!(outbox.push(black_box(slot)).is_ok());
    }
    outbox.flush();
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for batch in BATCHES {
        let (mut outbox, mut inbox) = ends();
        let mut handles = handles(batch);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("one_thread_{batch}/{}", size_of::<Box<Slot>>()), |bencher| {
            bencher.iter(|| {
                push_all(&mut outbox, &mut handles);
                while let Some(slot) = inbox.pop() {
                    inbox.send_home(black_box(slot));
                }
                inbox.flush_home();
                while let Some(slot) = outbox.pop_home() {
                    handles.push(slot);
                }
                assert_eq!(handles.len(), batch);
            });
        });
    }
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for batch in BATCHES {
        let (mut outbox, mut inbox) = ends();
        let worker = thread::spawn(move || {
            let mut seen = 0_u64;
            while !inbox.is_closed() {
                while let Some(slot) = inbox.pop() {
                    seen += 1;
                    inbox.send_home(black_box(slot));
                }
                inbox.flush_home();
                std::hint::spin_loop();
            }
            seen
        });
        let mut handles = handles(batch);
        let mut pushed = 0;
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("two_threads_{batch}/{}", size_of::<Box<Slot>>()), |bencher| {
            bencher.iter(|| {
                push_all(&mut outbox, &mut handles);
                pushed += batch as u64;
                while handles.len() < batch {
                    match outbox.pop_home() {
                        Some(slot) => handles.push(slot),
                        None => std::hint::spin_loop(),
                    }
                }
            });
        });
        drop(outbox);
        assert_eq!(worker.join().ok(), Some(pushed), "the worker saw every event");
    }
    group.finish();
}

criterion_group!(benches, one_thread, two_threads);
criterion_main!(benches);
