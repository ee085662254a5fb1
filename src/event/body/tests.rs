//! Bodies read as values: which way they take, what stays of their text, and what stands in the budget meanwhile.

use std::sync::Arc;

use proptest::prelude::*;
use simd_json::prelude::ValueAsScalar;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::Source;
use crate::json::{get, validate};

/// A budget whose share for tapes is exactly `bytes`: small bodies have a quarter more.
fn pool(bytes: u64) -> (Pool, Arc<Budget>) {
    let budget = Arc::new(Budget::new(bytes / 3 * 4));
    (Pool::new(budget.clone()), budget)
}

/// An event with this body, judged as it would have been on the way in.
fn slot(pool: &Pool, body: &[u8]) -> Box<Slot> {
    let mut slot = unjudged(pool, body);
    slot.facts = validate(body).unwrap_or_default();
    slot
}

fn unjudged(pool: &Pool, body: &[u8]) -> Box<Slot> {
    let head = b"POST / HTTP/1.1\r\n\r\n";
    let mut slot = Box::new(Slot::new());
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head);
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    slot
}

/// Any body as a value, and its text perhaps.
fn reads(text: bool) -> Reads {
    Reads { value_up_to: usize::MAX, text }
}

fn number(slot: &Slot, key: &str) -> Option<u64> {
    match Event::new(slot, &Source::named("w")).body_value() {
        BodyValue::Value(value) => get(value, key).and_then(|value| value.as_u64()),
        BodyValue::TextOnly => None,
    }
}

fn put(pool: &Pool, mut slot: Box<Slot>) {
    pool.put(slot.buf.take().expect("the buffer is back"));
}

#[test]
fn a_value_is_built_once_and_leaves_nothing() {
    let (pool, budget) = pool(64 << 20);
    let mut parser = Parser::new();
    for (body, escapes) in [(&br#"{"a":1,"b":"x"}"#[..], false), (br#"{"a":1,"b":"\u00e9"}"#, true)] {
        for keep_text in [true, false] {
            let mut slot = slot(&pool, body);
            assert!(
                matches!(Event::new(&slot, &Source::named("w")).body_value(), BodyValue::TextOnly),
                "nobody has built it"
            );
            let before = budget.used();
            slot.build_value(reads(keep_text), &mut parser);
            let charged = budget.used() - before;
            assert_eq!(charged as usize, memory_charge(body.len(), &slot.facts, escapes && keep_text));
            slot.build_value(reads(keep_text), &mut parser);
            assert_eq!(budget.used() - before, charged, "built twice");
            assert_eq!(number(&slot, "a"), Some(1));
            assert_eq!(number(&slot, "c"), None);
            if keep_text || !escapes {
                assert_eq!(Event::new(&slot, &Source::named("w")).body(), body);
            } else {
                let read = std::panic::catch_unwind(|| Event::new(&slot, &Source::named("w")).body().len());
                assert!(read.is_err(), "a text that was given up must not pass for the one received");
            }
            drop(slot.drop_value(&mut parser));
            assert_eq!(budget.used(), before);
            assert!(!slot.has_value());
            put(&pool, slot);
        }
    }
}

#[test]
fn what_the_tape_cannot_hold_is_text_only_and_costs_nothing() {
    let (pool, budget) = pool(64 << 20);
    let mut parser = Parser::new();
    for body in [&b"18446744073709551616"[..], b"[1e309]", br#"{"a":"\ud800"}"#] {
        let mut built = slot(&pool, body);
        let before = budget.used();
        built.build_value(reads(false), &mut parser);
        assert!(matches!(Event::new(&built, &Source::named("w")).body_value(), BodyValue::TextOnly));
        assert_eq!((Event::new(&built, &Source::named("w")).body(), budget.used()), (body, before));
        assert!(built.drop_value(&mut parser).is_none());
        put(&pool, built);

        let mut judged = unjudged(&pool, body);
        let facts = judged.judge_body(&mut parser, |bytes| pool.charge_beside(bytes)).unwrap();
        assert_eq!(Ok(facts), validate(body));
        assert!(!judged.has_value());
        assert_eq!(Event::new(&judged, &Source::named("w")).body(), body);
        put(&pool, judged);
    }
}

#[test]
fn without_room_in_the_budget_the_event_stays_text() {
    let (pool, budget) = pool(3 << 20);
    let mut parser = Parser::new();
    let hostile = format!("[{}1]", "1,".repeat(100_000));
    let mut large = slot(&pool, hostile.as_bytes());
    let before = budget.used();
    large.build_value(reads(true), &mut parser);
    assert!(matches!(Event::new(&large, &Source::named("w")).body_value(), BodyValue::TextOnly));
    assert_eq!((Event::new(&large, &Source::named("w")).body(), budget.used()), (hostile.as_bytes(), before));
    assert!(large.drop_value(&mut parser).is_none());

    // On the core, which judges it all the same.
    let body = br#"{"a":1}"#;
    let mut small = unjudged(&pool, body);
    let facts = small.judge_body(&mut parser, |_| Err(OverBudget)).unwrap();
    assert_eq!(Ok(facts), validate(body));
    assert!(!small.has_value());
    small.facts = facts;
    // And when there is room again, the worker builds it.
    small.build_value(reads(true), &mut parser);
    assert_eq!(number(&small, "a"), Some(1));
    drop(small.drop_value(&mut parser));
    put(&pool, small);
    put(&pool, large);
    drop(pool);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_core_judges_and_reads_in_one_pass() {
    let (pool, _) = pool(64 << 20);
    let mut parser = Parser::new();
    for body in [&br#"{"a":7}"#[..], br#"{"b":"\"","a":7}"#] {
        let mut slot = unjudged(&pool, body);
        let facts = slot.judge_body(&mut parser, |bytes| pool.charge_beside(bytes)).unwrap();
        assert_eq!(Ok(facts), validate(body));
        assert_eq!((number(&slot, "a"), Event::new(&slot, &Source::named("w")).body()), (Some(7), body));
        // The worker finds it built.
        slot.build_value(reads(true), &mut Parser::new());
        let charge = slot.drop_value(&mut parser).expect("the core's charge");
        pool.release(charge);
        put(&pool, slot);
    }
    for body in [&b"{\"a\":nul}"[..], b"[", br#"["\x"]"#] {
        let mut slot = unjudged(&pool, body);
        let refused = slot.judge_body(&mut parser, |bytes| pool.charge_beside(bytes));
        assert_eq!(refused.map(|_| ()), validate(body).map(|_| ()));
        assert_eq!(Event::new(&slot, &Source::named("w")).body(), body);
        put(&pool, slot);
    }
}

#[test]
fn an_empty_body_is_an_object_without_a_tape() {
    let (pool, _) = pool(64 << 20);
    let mut slot = slot(&pool, b"");
    slot.build_value(reads(true), &mut Parser::new());
    assert!(!slot.has_value());
    assert!(
        matches!(Event::new(&slot, &Source::named("w")).body_value(), BodyValue::Value(value) if value.as_object().is_some())
    );
    assert_eq!((number(&slot, "a"), Event::new(&slot, &Source::named("w")).body()), (None, &b"{}"[..]));
    put(&pool, slot);
}

#[test]
fn a_handle_that_is_lost_leaves_nothing_charged() {
    let (pool, budget) = pool(64 << 20);
    let mut parser = Parser::new();
    let mut built = slot(&pool, b"[1,2,3]");
    built.build_value(reads(true), &mut parser);
    let mut judged = unjudged(&pool, b"[1]");
    judged.judge_body(&mut parser, |bytes| pool.charge_beside(bytes)).unwrap();
    std::thread::spawn(move || drop((built, judged))).join().unwrap();
    drop(pool);
    assert_eq!(budget.used(), 0);
}

proptest! {
    /// One parser and one handle after the other, as a worker has them: no event sees another's value.
    #[test]
    fn events_are_read_one_after_the_other(
        bodies in prop::collection::vec((0_u64..1000, "[ -!#-\\[\\]-~]{0,40}", any::<bool>(), any::<bool>()), 1..20)
    ) {
        let (pool, budget) = pool(64 << 20);
        let mut parser = Parser::new();
        for (n, text, escapes, keep_text) in bodies {
            let escape = if escapes { "\\n" } else { "" };
            let body = format!("{{\"n\":{n},\"text\":\"{text}{escape}\"}}");
            let mut slot = slot(&pool, body.as_bytes());
            slot.build_value(reads(keep_text), &mut parser);
            prop_assert_eq!(number(&slot, "n"), Some(n));
            if let BodyValue::Value(value) = Event::new(&slot, &Source::named("w")).body_value() {
                let read = get(value, "text").and_then(|value| value.as_str().map(str::to_owned));
                prop_assert_eq!(read, Some(format!("{text}{}", if escapes { "\n" } else { "" })));
            }
            if keep_text {
                let source = Source::named("w");
                prop_assert_eq!(Event::new(&slot, &source).body(), body.as_bytes());
            }
            drop(slot.drop_value(&mut parser));
            put(&pool, slot);
        }
        drop(pool);
        prop_assert_eq!(budget.used(), 0);
    }
}
