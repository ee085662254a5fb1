//! What a condition allocates for an event: the same few pieces however large the body is.
#![allow(clippy::unwrap_used)]

#[path = "allocations/counting.rs"]
mod counting;

use std::sync::Arc;

use inrush::buffer::{Budget, Pool};
use inrush::event::{Event, Reads, Slot, Source};
use inrush::expr::{Condition, Variables};
use inrush::http::head::HeadReader;
use inrush::json::{Parser, validate};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// An event whose body has some `bytes` before what the condition names; with its value if `reads`.
fn slot(bytes: usize, reads: bool) -> Slot {
    let head = b"POST /orders?env=prod HTTP/1.1\r\nHost: h\r\n\r\n";
    let body = format!(
        r#"{{"items":[{}1],"text":"{}","type":"invoice.paid"}}"#,
        "1,".repeat(bytes / 4),
        "x".repeat(bytes / 2)
    );
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let mut slot = Slot::new();
    HeadReader::default().read(head, &mut slot.head).unwrap();
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head);
    buf.extend_from_slice(body.as_bytes());
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    slot.facts = validate(body.as_bytes()).unwrap();
    if reads {
        slot.build_value(Reads { value_up_to: usize::MAX, text: true }, &mut Parser::new());
    }
    slot
}

#[test]
fn a_condition_allocates_the_same_however_large_the_body_is() {
    // The thread that is counted goes by its name.
    let counted = std::thread::Builder::new().name("inrush-core-0".into()).spawn(|| {
        let condition = r#"payload.body.type == "invoice.paid" && payload.query.env == "prod""#;
        let condition = Condition::compile(condition).unwrap();
        let (source, variables) = (Source::named("orders"), Variables::new());
        [true, false].map(|reads| {
            [1 << 10, 60 << 10, 1 << 20].map(|bytes| {
                let slot = slot(bytes, reads);
                let event = Event::new(&slot, &source);
                assert_eq!(condition.eval(&event, &variables), Ok(true));
                let (met, taken) = counting::measure(|| condition.eval(&event, &variables));
                assert_eq!(met, Ok(true));
                (taken.count, taken.places)
            })
        })
    });
    for by_size in counted.unwrap().join().unwrap() {
        let counts = by_size.each_ref().map(|(count, _)| *count);
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}: {:#?}", by_size[2].1);
        assert!((1..=8).contains(&counts[0]), "{counts:?}: {:#?}", by_size[0].1);
    }
}
