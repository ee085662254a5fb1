//! What a verdict on a body costs, beside the parsers one would take otherwise; all throughput.
//!
//! Not the question here: the cost in a request (see the loopback bench), memory, or texts that are refused.
//! `serde_json` and `sonic-rs` are references, not equals: skipping (`IgnoredAny`) with them accepts bad escapes.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inrush::json::{Document, Parser, RawText, naive, stream};
use serde::de::IgnoredAny;
use std::fmt::Write as _;
use std::hint::black_box;

/// Like the push events of a well-known forge: long hex strings and URLs, few numbers, commits until the body has
/// the length; padded with spaces to have it exactly. Commit messages hold escapes or none.
fn push_event(bytes: usize, escapes: bool) -> Vec<u8> {
    let mut seed = 7_u64;
    let mut hash = || {
        // xorshift: any digits, the same on every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        format!("{seed:016x}{:016x}{:08x}", seed.rotate_left(21), seed as u32)
    };
    let message = if escapes {
        r#"Fix \"quoted\" path handling\n\nSigned-off-by: zoë <z@b.c>"#
    } else {
        "Überarbeite README: typo"
    };
    let mut body = format!(
        r#"{{"ref":"refs/heads/main","after":"{}","size":1,"forced":false,"id":1296269,"score":1.25,"commits":["#,
        hash()
    );
    let mut separator = "";
    loop {
        let id = hash();
        let mut commit = format!(
            r#"{separator}{{"id":"{id}","tree_id":"{}","distinct":true,"message":"{message}""#,
            hash()
        );
        let _ = write!(
            commit,
            r#","timestamp":"2024-05-11T11:12:13+02:00","url":"https://example.org/project/commit/{id}","author":{{"name":"zoë","email":"zoe@users.noreply.example.org","username":"zoe"}},"added":["src/mod_1.rs"],"removed":[],"modified":["Cargo.toml","src/lib.rs"]}}"#
        );
        if body.len() + commit.len() + 2 > bytes {
            break;
        }
        body += &commit;
        separator = ",";
    }
    body += "]}";
    let mut body = body.into_bytes();
    assert!(body.len() <= bytes);
    body.resize(bytes, b' ');
    body
}

const SIZES: [usize; 5] = [200, 3 << 10, 16 << 10, 64 << 10, 1 << 20];

fn verdicts(c: &mut Criterion) {
    for (case, escapes) in [("plain", false), ("escapes", true)] {
        let mut group = c.benchmark_group(format!("json/{case}"));
        for bytes in SIZES {
            let body = push_event(bytes, escapes);
            let mut parser = Parser::new();
            group.throughput(Throughput::Bytes(bytes as u64));

            group.bench_function(BenchmarkId::new("stream", bytes), |b| {
                b.iter(|| assert!(stream::validate(black_box(&body)).is_ok()));
            });

            let mut text = Some(RawText::from(&body[..]));
            group.bench_function(BenchmarkId::new("document", bytes), |b| {
                b.iter_batched(
                    || (),
                    |()| {
                        let Some(Ok(document)) = text.take().map(|text| Document::parse(text, &mut parser))
                        else {
                            panic!("the body is valid");
                        };
                        assert!(document.nodes() > 5);
                        text = Some(document.into_text(&mut parser));
                    },
                    BatchSize::SmallInput,
                );
            });

            group.bench_function(BenchmarkId::new("naive", bytes), |b| {
                b.iter(|| assert!(naive::validate(black_box(&body)).is_ok()));
            });
            group.bench_function(BenchmarkId::new("serde_json-ignored", bytes), |b| {
                b.iter(|| assert!(serde_json::from_slice::<IgnoredAny>(black_box(&body)).is_ok()));
            });
            group.bench_function(BenchmarkId::new("serde_json-value", bytes), |b| {
                b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)).expect("valid"));
            });
            group.bench_function(BenchmarkId::new("sonic-ignored", bytes), |b| {
                b.iter(|| assert!(sonic_rs::from_slice::<IgnoredAny>(black_box(&body)).is_ok()));
            });
            group.bench_function(BenchmarkId::new("sonic-value", bytes), |b| {
                b.iter(|| sonic_rs::from_slice::<sonic_rs::Value>(black_box(&body)).expect("valid"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
