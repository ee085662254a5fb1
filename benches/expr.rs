//! What a condition and a template cost per event. By the tape, which the worker has built by then, and by the exact
//! text, for a body that has none. Not the question here: compiling, and building the tape.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inrush::buffer::{Budget, Pool};
use inrush::event::{Event, Reads, Slot, Source};
use inrush::expr::{Condition, Template, Variables};
use inrush::http::head::HeadReader;
use inrush::json::{Parser, validate};

const HEAD: &[u8] = b"POST /orders?env=prod HTTP/1.1\r\nHost: hooks.example\r\nUser-Agent: sender/1\r\n\
    Content-Type: application/json\r\nX-GitHub-Event: push\r\nContent-Length: 1024\r\n\r\n";

/// An event of some `bytes`, with its value if `reads`. What is looked at stands at the end of the body.
fn slot(bytes: usize, reads: bool) -> Slot {
    let item = r#"{"id":"it_0000001","sku":"A-17","quantity":3,"price":12.5,"taxed":true},"#;
    let end = r#"{"id":"it_last"}],"customer":"cus_42","amount":129900,"type":"invoice.paid"}"#;
    let items = item.repeat((bytes - end.len() - 12) / item.len());
    let body = format!(r#"{{"items":[{items}{end}"#);
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let mut slot = Slot::new();
    HeadReader::default().read(HEAD, &mut slot.head).expect("a head");
    let mut buf = pool.take(HEAD.len() + body.len()).expect("a buffer");
    buf.extend_from_slice(HEAD);
    buf.extend_from_slice(body.as_bytes());
    slot.body = HEAD.len()..buf.len();
    slot.buf = Some(buf);
    slot.facts = validate(body.as_bytes()).expect("a document");
    if reads {
        slot.build_value(Reads { value_up_to: usize::MAX, text: true }, &mut Parser::new());
        assert!(slot.has_value());
    }
    slot
}

fn expressions(c: &mut Criterion) {
    let (source, variables) = (Source::named("orders"), Variables::new());
    let mut group = c.benchmark_group("expr");
    for (case, text, met) in [
        ("strings", r#"payload.body.type == "invoice.paid" && payload.query.env == "prod""#, true),
        ("body", r#"payload.body.type == "invoice.paid""#, true),
        ("number", "payload.body.amount > 100000 && payload.body.amount < 200000", true),
        ("header", r#"payload.headers["x-github-event"] == "push""#, true),
        ("first_decides", r#"payload.body.type == "x" && payload.query.env == "prod""#, false),
        ("exists", r#"payload.body.items.exists(i, i.id == "it_last")"#, true),
    ] {
        let condition = Condition::compile(text).expect("a condition");
        for (bytes, reads, how) in [(1024, true, "tape"), (1024, false, "text"), (60 * 1024, true, "tape")] {
            let slot = slot(bytes, reads);
            let event = Event::new(&slot, &source);
            assert_eq!(condition.eval(&event, &variables), Ok(met), "{text}");
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{case}/{how}"), bytes), |b| {
                b.iter(|| condition.eval(black_box(&event), &variables))
            });
        }
    }
    let template =
        Template::compile("order {{ payload.body.customer }} for {{ payload.body.amount }} at {{ webhook }}")
            .expect("a template");
    let slot = slot(1024, true);
    let event = Event::new(&slot, &source);
    let mut out = String::new();
    template.render(&event, &variables, &mut out).expect("text");
    assert_eq!(out, "order cus_42 for 129900 at orders");
    group.bench_function(BenchmarkId::new("template/tape", 1024), |b| {
        b.iter(|| {
            out.clear();
            template.render(black_box(&event), &variables, &mut out)
        })
    });
    group.finish();
}

criterion_group!(benches, expressions);
criterion_main!(benches);
