//! What a verdict on a body costs, by what the body is like; all throughput, all in one run.
//!
//! `stream` is our verdict, `fed` the same in pieces of 16 KiB. Beside it what one would take otherwise: `ignored` is
//! serde_json's skipping behind simdutf8's check, the least that comes near a verdict with kept crates (it accepts bad
//! `\u` escapes); `tape` is simd-json's with everything reused, and a copy first where it would rewrite the text. For
//! documents like those of real senders also the slower ways, and the tape with its owner as nodes read it (`document`).
//!
//! Not the question here: the cost in a request (see the loopback bench), memory, or texts that are refused.

mod documents;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use inrush::json::stream::validate;
use inrush::json::{Document, Parser, RawText, SPARE_BYTES, Validator, naive};
use serde::de::IgnoredAny;

/// How a large body arrives.
const PIECE_BYTES: usize = 16 << 10;

fn verdicts(c: &mut Criterion) {
    for (class, document) in documents::WEBHOOKS {
        let mut group = c.benchmark_group(format!("json/{class}"));
        for bytes in [200, 3 << 10, 16 << 10, 24 << 10, 64 << 10, 1 << 20] {
            let body = document(bytes);
            compare(&mut group, &body);
            others(&mut group, &body);
        }
        group.finish();
    }
    for (class, document) in documents::EXTREMES {
        let mut group = c.benchmark_group(format!("json/{class}"));
        for bytes in [3 << 10, 16 << 10, 1 << 20] {
            compare(&mut group, &document(bytes));
        }
        group.finish();
    }
}

/// Our verdict beside what it has to beat.
fn compare(group: &mut BenchmarkGroup<'_, WallTime>, body: &[u8]) {
    let bytes = body.len();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(BenchmarkId::new("stream", bytes), |b| {
        b.iter(|| assert!(validate(black_box(body)).is_ok()));
    });
    if bytes > PIECE_BYTES {
        group.bench_function(BenchmarkId::new("fed", bytes), |b| {
            b.iter(|| {
                let mut validator = Validator::new();
                black_box(body).chunks(PIECE_BYTES).for_each(|piece| assert!(validator.feed(piece).is_ok()));
                assert!(validator.finish().is_ok());
            });
        });
    }
    group.bench_function(BenchmarkId::new("ignored", bytes), |b| {
        b.iter(|| {
            let text = simdutf8::basic::from_utf8(black_box(body)).expect("the body is UTF-8");
            assert!(serde_json::from_str::<IgnoredAny>(text).is_ok());
        });
    });
    // simd-json refuses what its tape cannot hold, at the first such value: no comparison then.
    if naive::validate(body).is_ok_and(|facts| facts.beyond_tape) {
        return;
    }
    let mut padded = body.to_vec();
    padded.resize(bytes + SPARE_BYTES, 0);
    let is_rewritten = body.contains(&b'\\');
    let mut buffers = simd_json::Buffers::new(0);
    let mut kept = Some(simd_json::Tape(Vec::new()));
    group.bench_function(BenchmarkId::new("tape", bytes), |b| {
        b.iter(|| {
            if is_rewritten {
                padded[..bytes].copy_from_slice(body);
            }
            let mut tape = kept.take().expect("it is put back").reset();
            let parsed = simd_json::fill_tape_padded(black_box(&mut padded), bytes, &mut buffers, &mut tape);
            assert!(parsed.is_ok());
            kept = Some(tape.reset());
        });
    });
}

/// The ways that are slower, and the tape with its owner.
fn others(group: &mut BenchmarkGroup<'_, WallTime>, body: &[u8]) {
    let bytes = body.len();
    let mut parser = Parser::new();
    let mut text = Some(RawText::from(body));
    group.bench_function(BenchmarkId::new("document", bytes), |b| {
        b.iter_batched(
            || (),
            |()| {
                let Some(Ok(document)) = text.take().map(|text| Document::parse(text, &mut parser)) else {
                    panic!("the body is valid");
                };
                assert!(document.nodes() > 5);
                text = Some(document.into_text(&mut parser));
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function(BenchmarkId::new("naive", bytes), |b| {
        b.iter(|| assert!(naive::validate(black_box(body)).is_ok()));
    });
    group.bench_function(BenchmarkId::new("serde_json-value", bytes), |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(body)).expect("valid"));
    });
    group.bench_function(BenchmarkId::new("sonic-ignored", bytes), |b| {
        b.iter(|| assert!(sonic_rs::from_slice::<IgnoredAny>(black_box(body)).is_ok()));
    });
    group.bench_function(BenchmarkId::new("sonic-value", bytes), |b| {
        b.iter(|| sonic_rs::from_slice::<sonic_rs::Value>(black_box(body)).expect("valid"));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(800));
    targets = verdicts
}
criterion_main!(benches);
