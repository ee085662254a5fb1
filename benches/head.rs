//! What a head and its answer cost, in one piece and in many. Not measured here: the read that brings the bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inrush::http::Status;
use inrush::http::answer::{Meta, accepted, problem};
use inrush::http::framing::Framing;
use inrush::http::head::{Head, HeadReader, Version};
use inrush::http::reject::{BAD_SECRET, Reject};

/// What a server's HTTP library sends: `small` is the post of the load generators.
fn heads() -> Vec<(&'static str, String)> {
    let id = "0b54c6d2-4a36-4f2c-9a2f-5d0f3a6f6a01";
    let small = format!(
        "POST /{id} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\
         x-bp-secret: 5f1d6c0a9b8e7d6c5b4a39281706f5e4\r\n\r\n"
    );
    let github = format!(
        "POST /{id}/github?env=prod HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: GitHub-Hookshot/760256b\r\n\
         Content-Length: 7812\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\nX-GitHub-Event: issues\r\n\
         X-GitHub-Hook-ID: 292430182\r\nX-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
         X-GitHub-Hook-Installation-Target-Type: repository\r\n\
         X-Hub-Signature: sha1=7d38cdd689735b008b3c702edd92eea23791c5f6\r\n\
         X-Hub-Signature-256: sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c\r\n\r\n"
    );
    vec![("small", small), ("github", github)]
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    for (case, request) in heads() {
        let bytes = request.as_bytes();
        let with_body = [bytes, &[b'x'; 200]].concat();
        let (mut reader, mut head) = (HeadReader::default(), Head::default());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{case}/{}", bytes.len()), |bencher| {
            bencher.iter(|| {
                let status = reader.read(black_box(&with_body), &mut head);
                assert_eq!(status, Ok(Status::Complete(())));
                assert!(head.bytes == bytes.len() && matches!(head.framing, Framing::Length(_)));
            });
        });
        group.bench_function(format!("{case}_in_two/{}", bytes.len()), |bencher| {
            bencher.iter(|| {
                assert_eq!(reader.read(black_box(&bytes[..bytes.len() / 2]), &mut head), Ok(Status::Partial));
                assert_eq!(reader.read(black_box(bytes), &mut head), Ok(Status::Complete(())));
                assert_eq!(head.bytes, bytes.len());
            });
        });
        group.bench_function(format!("{case}_byte_by_byte/{}", bytes.len()), |bencher| {
            bencher.iter(|| {
                for end in 1..bytes.len() {
                    assert_eq!(reader.read(black_box(&bytes[..end]), &mut head), Ok(Status::Partial));
                }
                assert_eq!(reader.read(black_box(bytes), &mut head), Ok(Status::Complete(())));
            });
        });
    }
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let meta = Meta {
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        close: false,
        version: Version::Http11,
        cors_origin: None,
        head_only: false,
    };
    let mut out = Vec::with_capacity(4096);
    let mut group = criterion.benchmark_group("answer");
    accepted(&mut out, &[b'a'; 36], &meta);
    let bytes = out.len();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("accepted/{bytes}"), |bencher| {
        bencher.iter(|| {
            out.clear();
            accepted(&mut out, black_box(&[b'a'; 36]), black_box(&meta));
            assert_eq!(black_box(&out).len(), bytes);
        });
    });
    out.clear();
    problem(&mut out, &Reject::from(&BAD_SECRET), &meta);
    let bytes = out.len();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("problem/{bytes}"), |bencher| {
        bencher.iter(|| {
            out.clear();
            problem(&mut out, black_box(&Reject::from(&BAD_SECRET)), black_box(&meta));
            assert_eq!(black_box(&out).len(), bytes);
        });
    });
    group.finish();
}

criterion_group!(benches, read, answer);
criterion_main!(benches);
