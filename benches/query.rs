//! What reading a query string costs; throughput. Most requests have none, so that is a case too. Not the question
//! here: percent-encoding in paths.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inrush::http::query::parse;
use std::hint::black_box;

fn queries(c: &mut Criterion) {
    let mut group = c.benchmark_group("query");
    let cases = [
        ("none", String::new(), 0),
        ("plain", "token=abcdef0123456789&source=crm&retry=1".to_owned(), 3),
        ("escaped", "name=Zo%C3%AB+M%C3%BCller&url=https%3A%2F%2Fexample.org%2Fa%3Fb%3Dc".to_owned(), 2),
        (
            "nested",
            "user[name]=zoe&user[tags][]=a&user[tags][]=b&user[address][city]=Ulm&page[0]=1".to_owned(),
            2,
        ),
        // At the length a request line may have: as many parameters as are read, and one key of brackets only.
        ("thousand", (0..2000).map(|number| format!("k{number}=1&")).collect::<String>(), 1000),
        ("brackets", "a".to_owned() + &"[b]".repeat(5000), 1),
    ];
    for (case, query, keys) in cases {
        assert_eq!(parse(query.as_bytes()).as_object().map(serde_json::Map::len), Some(keys), "{case}");
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(BenchmarkId::new(case, query.len()), |b| {
            b.iter(|| parse(black_box(query.as_bytes())))
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
