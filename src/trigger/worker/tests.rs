//! What a worker does for nodes that read the body, and what is left when one of them fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use simd_json::prelude::ValueIntoString;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{BodyValue, Source};
use crate::json::validate;
use crate::node::{Node, TestNode};
use crate::trigger::Trigger;

fn worker(triggers: Vec<Vec<Node>>) -> Worker {
    let triggers = triggers
        .into_iter()
        .enumerate()
        .map(|(index, nodes)| Trigger { id: format!("t{index}"), nodes })
        .collect();
    let webhook = WebhookTriggers { source: Arc::new(Source::named("w")), triggers };
    Worker::new(WorkerParts {
        index: 0,
        inboxes: Vec::new(),
        door: Arc::default(),
        webhooks: vec![webhook],
        metrics: Arc::new(Metrics::new(1, 1)),
    })
}

fn node(reads_body: bool, reads_text: bool, run: impl FnMut(&Event<'_>) + Send + 'static) -> Node {
    Node::Test(TestNode { reads_body, reads_text, run: Box::new(run) })
}

fn slot(pool: &Pool, body: &[u8]) -> Slot {
    let mut slot = Slot::new();
    let mut buf = pool.take(body.len()).unwrap();
    buf.extend_from_slice(body);
    slot.body = 0..buf.len();
    slot.buf = Some(buf);
    slot.facts = validate(body).unwrap();
    slot
}

/// The bytes that strings of the value point into, to tell one tape from another.
fn place_of_the_value(event: &Event<'_>) -> usize {
    let BodyValue::Value(value) = event.body_value() else { panic!("there is no value") };
    crate::json::get(value, "a").and_then(|a| a.into_string()).map_or(0, |text| text.as_ptr().addr())
}

#[test]
fn a_value_is_built_once_for_all_who_read_it_and_not_for_others() {
    static PLACES: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    let reader = |index: usize| {
        node(true, false, move |event| PLACES[index].store(place_of_the_value(event), Ordering::Relaxed))
    };
    let only_text = || {
        node(false, true, |event| {
            assert_eq!(event.body(), br#"{"a":"x\ny"}"#);
            assert!(matches!(event.body_value(), BodyValue::TextOnly), "built for a trigger that needs none");
        })
    };
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let mut slot = slot(&pool, br#"{"a":"x\ny"}"#);
    let mut worker = worker(vec![vec![only_text()], vec![reader(0), reader(1)], vec![reader(2)]]);
    worker.run_event(&mut slot);
    assert_eq!(worker.metrics().node_failures.get(), 0);
    let places: Vec<usize> = PLACES.iter().map(|place| place.load(Ordering::Relaxed)).collect();
    assert!(places[0] != 0 && places.iter().all(|place| *place == places[0]), "{places:?}");
    assert!(!slot.has_value());
    pool.put(slot.buf.take().expect("the buffer is back"));
}

#[test]
fn a_node_that_panics_leaves_nothing_charged() {
    let budget = Arc::new(Budget::new(64 << 20));
    let pool = Pool::new(budget.clone());
    let read = |event: &Event<'_>| assert!(matches!(event.body_value(), BodyValue::Value(_)));
    let mut worker =
        worker(vec![vec![node(true, false, |_| panic!("a node of a test"))], vec![node(true, false, read)]]);
    for round in 1..=3 {
        let mut slot = slot(&pool, br#"{"a":"\n"}"#);
        let before = budget.used();
        worker.run_event(&mut slot);
        assert_eq!(worker.metrics().node_failures.get(), round, "one of the two");
        assert_eq!(budget.used(), before);
        pool.put(slot.buf.take().expect("the buffer is back"));
    }
    drop(pool);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_value_of_the_core_goes_home_with_the_handle() {
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let mut core = Parser::new();
    let mut slot = slot(&pool, br#"{"a":"x"}"#);
    slot.judge_body(&mut core, |bytes| pool.charge_beside(bytes)).unwrap();
    let mut worker = worker(vec![vec![node(true, true, |event| {
        place_of_the_value(event);
        assert_eq!(event.body(), br#"{"a":"x"}"#);
    })]]);
    worker.run_event(&mut slot);
    assert_eq!(worker.metrics().node_failures.get(), 0);
    let charge = slot.drop_value(&mut core).expect("the worker left it in the handle");
    pool.release(charge);
    pool.put(slot.buf.take().expect("the buffer is back"));
}

/// What hostile documents of some megabytes could cost 33 times of: within the budget, or as text.
#[test]
fn hostile_bodies_stay_within_the_budget() {
    const BUDGET_BYTES: u64 = 64 << 20;
    let budget = Arc::new(Budget::new(BUDGET_BYTES));
    let pool = Pool::new(budget.clone());
    let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = seen.clone();
    let mut worker = worker(vec![vec![node(true, true, move |event| {
        let count = match event.body_value() {
            BodyValue::Value(_) => &counts.0,
            BodyValue::TextOnly => &counts.1,
        };
        count.fetch_add(1, Ordering::Relaxed);
    })]]);
    let list = |element: &str, bytes: usize| {
        format!("[{}{element}]", format!("{element},").repeat(bytes / (element.len() + 1)))
    };
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    for element in
        ["[]", "{}", "1", "\"\"", "\"\\n\"", "{\"\":[]}", &deep, &format!("\"{}\"", "\\\"".repeat(9_999))]
    {
        for bytes in [4 << 20, 400_000] {
            let mut slot = slot(&pool, list(element, bytes).as_bytes());
            let before = budget.used();
            worker.run_event(&mut slot);
            assert_eq!(budget.used(), before, "{bytes} bytes of {}", &element[..element.len().min(9)]);
            pool.put(slot.buf.take().expect("the buffer is back"));
        }
    }
    assert_eq!(worker.metrics().node_failures.get(), 0);
    let (values, texts) = (seen.0.load(Ordering::Relaxed), seen.1.load(Ordering::Relaxed));
    assert!(values >= 8 && texts >= 4, "{values} were read as values, {texts} as text");
}
