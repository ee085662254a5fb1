//! What a worker does for nodes that read the body, and what is left when one of them fails.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use simd_json::prelude::ValueIntoString;
use tokio::sync::Semaphore;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::config::OnError;
use crate::event::{BodyValue, Gate, Reads};
use crate::expr::{Condition, Expression};
use crate::json::validate;
use crate::metrics::TriggerMetrics;
use crate::node::{AnyNode, AtOnce, NodeError, TestNode};
use crate::queue::{HomeBell, pair};
use crate::trigger::lane::Lane;
use crate::trigger::{Trigger, TriggerUpdate, Update, Wanted, WebhookUpdate};

fn worker(triggers: Vec<Vec<AnyNode>>) -> AtWork {
    worker_of(triggers.into_iter().map(|nodes| (nodes, false, OnError::Stop)).collect(), LOOSE)
}

/// Bounds that no test reaches by accident.
const LOOSE: Bounds = Bounds { events_max: 1000, bytes_max: 1 << 30 };

fn worker_of(triggers: Vec<(Vec<AnyNode>, bool, OnError)>, bounds: Bounds) -> AtWork {
    worker_with(triggers, bounds, Arc::default())
}

fn worker_with(triggers: Vec<(Vec<AnyNode>, bool, OnError)>, bounds: Bounds, gate: Arc<Gate>) -> AtWork {
    let trigger = |(index, (nodes, ordered, on_error)): (usize, (Vec<AnyNode>, bool, OnError))| {
        let id = format!("t{index}");
        let kinds = nodes.iter().map(AnyNode::kind).collect();
        let metrics = Arc::new(TriggerMetrics::new("w", &id, kinds, 1));
        let variables = Arc::default();
        Box::new(Trigger { id, when: None, key: None, variables, nodes, on_error, ordered, metrics })
    };
    let triggers = triggers.into_iter().enumerate().map(trigger).map(TriggerUpdate::Set).collect();
    let door: Arc<Door> = Arc::default();
    let (_, inbox) = pair(64, 64, door.clone(), Arc::new(HomeBell::new(|| {})));
    let mut worker = AtWork::new(WorkerParts {
        index: 0,
        inboxes: vec![inbox],
        crew: Arc::new(Crew::new(vec![Arc::new(Mailbox::new(door.clone()))])),
        door,
        bounds,
        tails: Arc::default(),
        metrics: Arc::new(Metrics::new(1, 1)),
    });
    worker.mailbox.update(Update {
        webhooks: vec![(0, WebhookUpdate { source: Arc::new(Source::named("w")), gate, triggers })],
        removed: Vec::new(),
        done: Box::new(|| {}),
    });
    worker.take_mail();
    worker
}

fn node(reads_body: bool, reads_text: bool, mut run: impl FnMut(&Event<'_>) + Send + 'static) -> AnyNode {
    AnyNode::Test(TestNode {
        reads: Reads { value_up_to: if reads_body { usize::MAX } else { 0 }, text: reads_text },
        run: RefCell::new(Box::new(move |event| {
            run(event);
            AtOnce::Done(Ok(()))
        })),
        wait: Box::new(|_| unreachable!("it never waits")),
    })
}

/// The lane of the first trigger.
fn lane(worker: &AtWork) -> &Rc<Lane> {
    worker.webhooks.lanes().next().expect("there is one")
}

/// Runs an event that no node waits for.
fn run(worker: &mut AtWork, slot: Box<Slot>) -> Box<Slot> {
    worker.run_event(slot, 0).expect("nobody holds it")
}

fn slot(pool: &Pool, body: &[u8]) -> Box<Slot> {
    let mut slot = Box::new(Slot::new());
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
fn a_value_is_built_once_for_all_who_read_it_and_the_text_stays_for_others() {
    static PLACES: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    let reader = |index: usize| {
        node(true, false, move |event| PLACES[index].store(place_of_the_value(event), Ordering::Relaxed))
    };
    let only_text = || {
        node(false, true, |event| {
            assert_eq!(event.body(), br#"{"a":"x\ny"}"#);
            assert!(matches!(event.body_value(), BodyValue::Value(_)), "built before the first trigger");
        })
    };
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let mut slot = slot(&pool, br#"{"a":"x\ny"}"#);
    let mut worker = worker(vec![vec![only_text()], vec![reader(0), reader(1)], vec![reader(2)]]);
    slot = run(&mut worker, slot);
    assert_eq!(worker.shared.metrics().node_failures.get(), 0);
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
        slot = run(&mut worker, slot);
        assert_eq!(worker.shared.metrics().node_failures.get(), round, "one of the two");
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
    slot = run(&mut worker, slot);
    assert_eq!(worker.shared.metrics().node_failures.get(), 0);
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
            slot = run(&mut worker, slot);
            assert_eq!(budget.used(), before, "{bytes} bytes of {}", &element[..element.len().min(9)]);
            pool.put(slot.buf.take().expect("the buffer is back"));
        }
    }
    assert_eq!(worker.shared.metrics().node_failures.get(), 0);
    let (values, texts) = (seen.0.load(Ordering::Relaxed), seen.1.load(Ordering::Relaxed));
    assert!(values >= 8 && texts >= 4, "{values} were read as values, {texts} as text");
}

/// Where the waiting nodes of a test wait: who came, in order, and how many may leave.
#[derive(Clone)]
struct Hall {
    came: Arc<Mutex<Vec<u64>>>,
    exits: Arc<Semaphore>,
}

impl Hall {
    fn new() -> Self {
        Self { came: Arc::default(), exits: Arc::new(Semaphore::new(0)) }
    }

    /// A node that waits for an exit, and then ends as `end` says.
    fn node(&self, end: fn(u64) -> Result<(), NodeError>) -> AnyNode {
        let hall = self.clone();
        AnyNode::Test(TestNode {
            reads: Reads::default(),
            run: RefCell::new(Box::new(|_| AtOnce::MustWait)),
            wait: Box::new(move |event| {
                let hall = hall.clone();
                Box::pin(async move {
                    let number = number(&event.event());
                    hall.came.lock().unwrap().push(number);
                    hall.exits.acquire().await.expect("it stays open").forget();
                    end(number)
                })
            }),
        })
    }

    fn came(&self) -> Vec<u64> {
        self.came.lock().unwrap().clone()
    }
}

fn number(event: &Event<'_>) -> u64 {
    std::str::from_utf8(event.body()).unwrap().parse().unwrap()
}

/// Lets every task of the worker go as far as it can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Runs `test` as a worker's thread would.
fn at_work(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_node_that_waits_delays_its_own_trigger_only() {
    at_work(async {
        let (pool, hall) = (Pool::new(Arc::new(Budget::new(64 << 20))), Hall::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (before, after, other) = (seen.clone(), seen.clone(), seen.clone());
        let note = |name: char, seen: Arc<Mutex<Vec<(char, u64)>>>| {
            node(false, true, move |event| seen.lock().unwrap().push((name, number(event))))
        };
        let mut worker = worker(vec![
            vec![note('b', before), hall.node(|_| Ok(())), note('a', after)],
            vec![note('o', other)],
        ]);
        for body in [b"1", b"2", b"3"] {
            assert!(worker.run_event(slot(&pool, body), 0).is_none(), "the first trigger holds it");
        }
        settle().await;
        // Two may be on their way through this node; the third has not begun.
        assert_eq!(*seen.lock().unwrap(), [('b', 1), ('o', 1), ('b', 2), ('o', 2), ('o', 3)]);
        assert_eq!((hall.came(), worker.mailbox.held()), (vec![1, 2], 3));
        hall.exits.add_permits(1);
        settle().await;
        assert_eq!(hall.came(), [1, 2, 3]);
        hall.exits.add_permits(2);
        settle().await;
        assert_eq!(seen.lock().unwrap()[5..], [('a', 1), ('b', 3), ('a', 2), ('a', 3)]);
        assert!(worker.webhooks.lanes().all(|lane| lane.is_idle()));
        worker.mailbox.take(&mut worker.mail);
        assert_eq!((worker.mailbox.held(), worker.mail.returned.len()), (0, 3));
        worker.mail.returned.drain(..).for_each(|(_, mut slot)| pool.put(slot.buf.take().unwrap()));
    });
}

#[test]
fn an_ordered_trigger_runs_one_event_after_the_other() {
    at_work(async {
        let (pool, hall) = (Pool::new(Arc::new(Budget::new(64 << 20))), Hall::new());
        let mut worker = worker_of(vec![(vec![hall.node(|_| Ok(()))], true, OnError::Stop)], LOOSE);
        for body in [b"1", b"2", b"3"] {
            worker.run_event(slot(&pool, body), 0);
        }
        for done in 1..=3 {
            settle().await;
            assert_eq!(hall.came(), (1..=done).collect::<Vec<_>>());
            hall.exits.add_permits(1);
        }
        settle().await;
        assert!(lane(&worker).is_idle());
    });
}

#[test]
fn what_follows_a_node_that_failed_runs_only_if_the_trigger_says_so() {
    at_work(async {
        let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
        for (on_error, fails, expected) in [
            (OnError::Stop, false, vec![1, 2, 3]),
            (OnError::Stop, true, vec![1, 3]),
            (OnError::Continue, false, vec![1, 2, 3]),
            (OnError::Continue, true, vec![1, 2, 3]),
        ] {
            let hall = Hall::new();
            hall.exits.add_permits(3);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let after = seen.clone();
            let end: fn(u64) -> Result<(), NodeError> = match fails {
                true => |number| match number {
                    2 => Err(NodeError { node: "test", reason: "two".into() }),
                    _ => Ok(()),
                },
                false => |_| Ok(()),
            };
            let nodes = vec![
                hall.node(end),
                node(false, true, move |event| after.lock().unwrap().push(number(event))),
            ];
            let mut worker = worker_of(vec![(nodes, true, on_error)], LOOSE);
            for body in [b"1", b"2", b"3"] {
                worker.run_event(slot(&pool, body), 0);
            }
            settle().await;
            assert_eq!(*seen.lock().unwrap(), expected, "{on_error:?} {fails}");
            let counts = lane(&worker).trigger().metrics.counts();
            assert_eq!(
                (counts.events, counts.nodes[0].runs, counts.nodes[0].failures),
                (3, 3, u64::from(fails))
            );
            assert_eq!(worker.shared.metrics().node_failures.get(), u64::from(fails));
        }
    });
}

#[test]
fn a_node_that_panics_while_it_waits_fails_for_its_event_only() {
    at_work(async {
        let (pool, hall) = (Pool::new(Arc::new(Budget::new(64 << 20))), Hall::new());
        hall.exits.add_permits(3);
        let nodes = vec![hall.node(|number| if number == 2 { panic!("a node of a test") } else { Ok(()) })];
        let mut worker = worker(vec![nodes]);
        for body in [b"1", b"2", b"3"] {
            worker.run_event(slot(&pool, body), 0);
        }
        settle().await;
        assert!(lane(&worker).is_idle());
        let counts = lane(&worker).trigger().metrics.counts();
        assert_eq!((counts.nodes[0].runs, counts.nodes[0].failures, counts.running), (3, 1, 0));
    });
}

/// The gate closes when more wait than may, and opens when half of them are gone.
#[test]
fn a_trigger_that_is_behind_closes_the_gate_of_its_webhook() {
    at_work(async {
        let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
        for bounds in [Bounds { events_max: 4, ..LOOSE }, Bounds { bytes_max: 4, ..LOOSE }] {
            let hall = Hall::new();
            let gate: Arc<Gate> = Arc::default();
            let triggers = vec![(vec![hall.node(|_| Ok(()))], true, OnError::Stop)];
            let mut worker = worker_with(triggers, bounds, gate.clone());
            for event in 1..=6 {
                assert!(gate.is_open(), "before {event}: one on its way, the others wait");
                worker.run_event(slot(&pool, b"1"), 0);
            }
            assert!(!gate.is_open());
            hall.exits.add_permits(2);
            settle().await;
            assert!(!gate.is_open(), "three still wait");
            hall.exits.add_permits(1);
            settle().await;
            assert!(gate.is_open(), "two wait");
            for _ in 0..3 {
                worker.run_event(slot(&pool, b"1"), 0);
            }
            assert!(!gate.is_open());
        }
    });
}

/// Nodes that read only the value let the text go; who watches has to see it all the same.
#[test]
fn a_tail_sees_the_text_that_no_node_reads() {
    let read = |event: &Event<'_>| assert!(matches!(event.body_value(), BodyValue::Value(_)));
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let mut worker = worker(vec![vec![node(true, false, read)]]);
    let wanted = Wanted { webhook: None, filter: None, every: std::num::NonZeroU64::MIN };
    let mut watcher = worker.tails.watch(wanted).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for body in [&br#"{"a":"x\ny"}"#[..], b"[1,\n2]"] {
        let mut slot = run(&mut worker, slot(&pool, body));
        let line = runtime.block_on(watcher.next()).expect("a line");
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["payload"]["body"], serde_json::from_slice::<serde_json::Value>(body).unwrap());
        pool.put(slot.buf.take().expect("the buffer is back"));
    }
    assert_eq!(worker.shared.metrics().node_failures.get(), 0);
}

/// A trigger with these nodes and nothing special.
fn trigger(id: &str, nodes: Vec<AnyNode>) -> TriggerUpdate {
    let kinds = nodes.iter().map(AnyNode::kind).collect();
    TriggerUpdate::Set(Box::new(Trigger {
        id: id.to_owned(),
        when: None,
        key: None,
        variables: Arc::default(),
        nodes,
        on_error: OnError::Stop,
        ordered: false,
        metrics: Arc::new(TriggerMetrics::new("w", id, kinds, 2)),
    }))
}

/// Replaces what webhook 0 is, as the server does on a reload, in both of its steps.
fn reload(worker: &mut AtWork, triggers: Vec<TriggerUpdate>, removed: Vec<u32>) {
    let update = WebhookUpdate { source: Arc::new(Source::named("w")), gate: Arc::default(), triggers };
    for (webhooks, removed) in [(vec![(0, update)], Vec::new()), (Vec::new(), removed)] {
        worker.mailbox.update(Update { webhooks, removed, done: Box::new(|| {}) });
        worker.take_mail();
    }
}

/// An event for which the condition cannot be said is not run, and counted apart from those that do not meet it.
#[test]
fn conditions_are_counted_by_what_came_of_them() {
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = seen.clone();
    let note = node(false, true, move |event| {
        note.lock().unwrap().push(String::from_utf8_lossy(event.body()).into_owned());
    });
    let mut worker = worker(Vec::new());
    let TriggerUpdate::Set(mut update) = trigger("t", vec![note]) else { unreachable!() };
    update.when = Some(Condition::compile("payload.body.n > 1").unwrap());
    let metrics = update.metrics.clone();
    reload(&mut worker, vec![TriggerUpdate::Set(update)], Vec::new());
    for body in [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":"2"}"#, "{}", r#"{"n":1e400}"#, r#"{"n":2.5}"#, "[]"] {
        let mut slot = run(&mut worker, slot(&pool, body.as_bytes()));
        pool.put(slot.buf.take().expect("the buffer is back"));
    }
    assert_eq!(*seen.lock().unwrap(), [r#"{"n":2}"#, r#"{"n":2.5}"#]);
    let counts = metrics.counts();
    assert_eq!((counts.events, counts.skipped, counts.condition_errors), (2, 1, 4));
}

mod changes;
