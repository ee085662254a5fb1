//! What finding the payload of a chunked body costs, by size of chunk. Not measured here: copying it anywhere.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inrush::http::chunked::{ChunkedDecoder, Step};

/// `payload` bytes in chunks of `chunk` bytes.
fn body(payload: usize, chunk: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut left = payload;
    while left > 0 {
        let size = left.min(chunk);
        body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'x', size));
        body.extend_from_slice(b"\r\n");
        left -= size;
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Decodes `body`, which arrives in reads of `read` bytes; the payload's length.
fn decode(body: &[u8], read: usize) -> Option<usize> {
    let mut decoder = ChunkedDecoder::new(100 << 20);
    let mut payload = 0;
    for part in body.chunks(read) {
        let mut rest = part;
        loop {
            match decoder.decode(rest).ok()? {
                Step::Need => break,
                Step::Data { start, end } => {
                    payload += end - start;
                    rest = &rest[end..];
                }
                Step::End { .. } => return Some(payload),
            }
        }
    }
    None
}

fn chunked(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked");
    for (case, payload, chunk) in [
        ("one_chunk", 200, 200),
        ("chunks_of_1", 1024, 1),
        ("chunks_of_64", 16 << 10, 64),
        ("chunks_of_4096", 64 << 10, 4096),
        ("chunks_of_16384", 1 << 20, 16 << 10),
    ] {
        let bytes = body(payload, chunk);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{case}/{payload}"), |bencher| {
            bencher.iter(|| assert_eq!(decode(black_box(&bytes), 64 << 10), Some(payload)));
        });
    }
    group.finish();
}

criterion_group!(benches, chunked);
criterion_main!(benches);
