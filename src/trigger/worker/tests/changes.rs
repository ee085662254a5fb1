//! Reloads while events are on their way, and events that workers pass on to each other.

use super::*;
use crate::event::HeldEvent;

/// An event of this worker that somebody holds.
fn held(worker: &AtWork, pool: &Pool, body: &[u8]) -> HeldEvent {
    worker.mailbox.hold();
    HeldEvent::new(slot(pool, body), Arc::new(Source::named("w")), 0, worker.mailbox.clone())
}

fn pool() -> Pool {
    Pool::new(Arc::new(Budget::new(64 << 20)))
}

/// What is on its way when a trigger changes ends with the old one; what waits, and what comes, runs by the new one;
/// each event once.
#[test]
fn a_reload_runs_every_event_by_one_version_of_its_trigger() {
    at_work(async {
        let (pool, old, new) = (Pool::new(Arc::new(Budget::new(64 << 20))), Hall::new(), Hall::new());
        let mut worker = worker(vec![vec![old.node(|_| Ok(()))]]);
        for body in [b"1", b"2", b"3", b"4"] {
            worker.run_event(slot(&pool, body), 0);
        }
        settle().await;
        assert_eq!(old.came(), [1, 2], "so many may be on their way");
        reload(&mut worker, vec![trigger("t0", vec![new.node(|_| Ok(()))])], Vec::new());
        worker.run_event(slot(&pool, b"5"), 0);
        old.exits.add_permits(2);
        new.exits.add_permits(3);
        settle().await;
        assert_eq!((old.came(), new.came()), (vec![1, 2], vec![3, 4, 5]));
        assert!(worker.webhooks.are_idle());
    });
}

/// A trigger that is no longer there still runs what it had accepted, and then is let go of.
#[test]
fn what_a_removed_trigger_had_accepted_still_runs() {
    at_work(async {
        let (pool, hall) = (Pool::new(Arc::new(Budget::new(64 << 20))), Hall::new());
        let mut worker = worker(vec![vec![hall.node(|_| Ok(()))]]);
        for body in [b"1", b"2", b"3"] {
            worker.run_event(slot(&pool, body), 0);
        }
        reload(&mut worker, Vec::new(), Vec::new());
        worker.run_event(slot(&pool, b"4"), 0);
        worker.webhooks.drop_retired();
        assert_eq!(worker.webhooks.lanes().count(), 1, "it has not done all that it got");
        hall.exits.add_permits(3);
        settle().await;
        assert_eq!(hall.came(), [1, 2, 3], "the fourth came when it was gone");
        worker.webhooks.drop_retired();
        assert_eq!(worker.webhooks.lanes().count(), 0);
    });
}

/// Two workers and a key: each value runs on one of them, whoever took the event, and both do some.
#[test]
fn events_of_one_key_run_on_one_worker() {
    at_work(async {
        let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
        let doors = [Arc::<Door>::default(), Arc::default()];
        let mailboxes = doors.iter().map(|door| Arc::new(Mailbox::new(door.clone()))).collect();
        let crew = Arc::new(Crew::new(mailboxes));
        let seen: Arc<Mutex<Vec<(usize, u64)>>> = Arc::default();
        let mut cores = Vec::new();
        let mut workers: Vec<AtWork> = doors
            .into_iter()
            .enumerate()
            .map(|(index, door)| {
                let (outbox, inbox) = pair(64, 64, door.clone(), Arc::new(HomeBell::new(|| {})));
                cores.push(outbox);
                let crew = crew.clone();
                let metrics = Arc::new(Metrics::new(1, 2));
                let parts = WorkerParts {
                    index,
                    inboxes: vec![inbox],
                    door,
                    crew,
                    bounds: LOOSE,
                    metrics,
                    tails: Arc::default(),
                };
                let (mut worker, seen) = (AtWork::new(parts), seen.clone());
                let note = node(false, true, move |event| seen.lock().unwrap().push((index, number(event))));
                let TriggerUpdate::Set(mut trigger) = trigger("t", vec![note]) else { unreachable!() };
                trigger.key = Some(Expression::compile("payload.body % 10").unwrap());
                reload(&mut worker, vec![TriggerUpdate::Set(trigger)], Vec::new());
                worker
            })
            .collect();
        for number in 0..40 {
            workers[number % 2].run_event(slot(&pool, number.to_string().as_bytes()), 0);
        }
        // Each runs what was passed to it, and then sends home what the other has run.
        for worker in [0, 1, 0] {
            workers[worker].take_mail();
        }
        let seen = seen.lock().unwrap();
        let mut numbers: Vec<u64> = seen.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "each once");
        for key in 0..10 {
            let of_key: Vec<_> = seen.iter().filter(|(_, number)| number % 10 == key).collect();
            assert!(of_key.iter().all(|(worker, _)| *worker == of_key[0].0), "{of_key:?}");
        }
        assert!((0..2).all(|worker| seen.iter().any(|(index, _)| *index == worker)), "{seen:?}");
        assert!(workers.iter().all(|worker| worker.mailbox.held() == 0));
        let home: usize = cores.iter_mut().map(|core| std::iter::from_fn(|| core.pop_home()).count()).sum();
        let passed = seen.iter().filter(|(worker, number)| number % 2 != *worker as u64).count();
        assert_eq!(home, passed, "the others came back at once");
    });
}

/// An event that another worker passes on.
fn pass(worker: &AtWork, pool: &Pool, body: &[u8]) {
    let theirs = Arc::new(Mailbox::new(Arc::default()));
    let event = HeldEvent::new(slot(pool, body), Arc::new(Source::named("w")), 0, theirs);
    worker.shared.crew.pass(0, Passed { webhook: 0, trigger: "t".to_owned(), event });
}

/// A worker that was not scheduled for a while finds its orders and what others passed on in one mail; and who has its
/// orders first may pass events on before the next worker has got its own.
#[test]
fn an_event_passed_on_before_its_trigger_is_here_waits_for_it() {
    for orders_come_later in [false, true] {
        let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let mut worker = worker(Vec::new());
        worker.feeds = false;
        worker.shared.crew.stop_feeding();
        pass(&worker, &pool, b"1");
        pass(&worker, &pool, b"2");
        if orders_come_later {
            worker.take_mail();
            assert!(!worker.is_done(), "two events wait");
        }
        let theirs = seen.clone();
        let note = node(false, true, move |event| theirs.lock().unwrap().push(number(event)));
        reload(&mut worker, vec![trigger("t", vec![note])], Vec::new());
        assert_eq!(*seen.lock().unwrap(), [1, 2], "orders come later: {orders_come_later}");
        assert!(worker.is_done());
    }
}

/// The last worker that feeds may pass an event on while another decides whether it is done.
#[test]
fn a_worker_with_mail_is_not_done() {
    let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
    let mut worker = worker(Vec::new());
    reload(&mut worker, vec![trigger("t", vec![node(false, true, |_| ())])], Vec::new());
    pass(&worker, &pool, b"1");
    worker.feeds = false;
    worker.shared.crew.stop_feeding();
    assert!(!worker.is_done());
    worker.take_mail();
    assert!(worker.is_done());
}

/// A task that was begun before a reload was first polled after it, and skipped as many nodes of the new version as had
/// run of the old one.
#[test]
fn what_began_by_one_version_ends_by_it_although_a_reload_comes_before_its_task() {
    at_work(async {
        let (pool, old, new) = (pool(), Hall::new(), Hall::new());
        old.exits.add_permits(999);
        new.exits.add_permits(999);
        let first = || node(false, true, |_| {});
        // More tasks than a LocalSet polls at a time.
        let mut worker = worker((0..70).map(|_| vec![first(), old.node(|_| Ok(()))]).collect());
        worker.run_event(slot(&pool, b"1"), 0);
        tokio::task::yield_now().await;
        let ids = (0..70).map(|index| format!("t{index}"));
        let fresh = ids.map(|id| trigger(&id, vec![new.node(|_| Ok(()))])).collect();
        reload(&mut worker, fresh, Vec::new());
        for _ in 0..3 {
            settle().await;
        }
        assert_eq!((old.came().len(), new.came().len()), (70, 0));
        // The same for one that was passed on in the mail that brings the new version.
        let event = held(&worker, &pool, b"2");
        let passed = Passed { webhook: 0, trigger: "t0".into(), event };
        worker.shared.crew.pass(0, passed);
        let latest = Hall::new();
        latest.exits.add_permits(9);
        reload(&mut worker, vec![trigger("t0", vec![first(), latest.node(|_| Ok(()))])], Vec::new());
        settle().await;
        assert_eq!((new.came().len(), latest.came().len()), (1, 0));
    });
}

/// A webhook goes, and another reload would follow before a worker has taken what lies in its queue: that one may still
/// pass an event on, so it says that it is done only afterwards, and the lane is there until then.
#[test]
fn a_removed_webhook_is_gone_when_what_lay_in_the_queue_has_been_taken() {
    at_work(async {
        let (pool, hall) = (pool(), Hall::new());
        hall.exits.add_permits(9);
        let door: Arc<Door> = Arc::default();
        let crew = Arc::new(Crew::new(vec![Arc::new(Mailbox::new(door.clone()))]));
        let (mut core, inbox) = pair(8, 8, door.clone(), Arc::new(HomeBell::new(|| {})));
        let metrics = Arc::new(Metrics::new(1, 2));
        let inboxes = vec![inbox];
        let parts =
            WorkerParts { index: 0, inboxes, door, crew, bounds: LOOSE, metrics, tails: Arc::default() };
        let mut worker = AtWork::new(parts);
        reload(&mut worker, vec![trigger("t", vec![hall.node(|_| Ok(()))])], Vec::new());
        for body in [b"1", b"2"] {
            assert!(core.push(slot(&pool, body)).is_ok());
        }
        let done = Arc::new(AtomicUsize::new(0));
        let say = done.clone();
        let say = Box::new(move || say.store(1, Ordering::Relaxed));
        worker.mailbox.update(Update { webhooks: Vec::new(), removed: vec![0], done: say });
        worker.take_mail();
        assert!(done.load(Ordering::Relaxed) == 0 && worker.webhooks.get(0).is_some());
        worker.run_batch();
        assert!(done.load(Ordering::Relaxed) == 1 && worker.webhooks.get(0).is_none());
        // Another worker passed this one on before it said that it was done, too.
        let event = held(&worker, &pool, b"3");
        worker.shared.crew.pass(0, Passed { webhook: 0, trigger: "t".into(), event });
        worker.take_mail();
        settle().await;
        assert_eq!(hall.came(), [1, 2, 3]);
    });
}

/// A trigger whose first node panics goes on to the next if it says so, and says which node it was.
#[test]
fn a_node_that_panics_at_once_is_a_node_that_failed() {
    let (pool, seen) = (pool(), Arc::<AtomicUsize>::default());
    let next = seen.clone();
    let nodes = vec![
        node(false, true, |_| {}),
        node(false, true, |_| panic!("a node of a test")),
        node(false, true, move |_| next.store(1, Ordering::Relaxed)),
    ];
    let mut worker = worker_of(vec![(nodes, false, OnError::Continue)], LOOSE);
    let mut slot = run(&mut worker, slot(&pool, b"1"));
    pool.put(slot.buf.take().expect("the buffer is back"));
    let counts = lane(&worker).trigger().metrics.counts();
    let of_nodes: Vec<_> = counts.nodes.iter().map(|node| (node.runs, node.failures)).collect();
    assert_eq!((of_nodes, seen.load(Ordering::Relaxed)), (vec![(1, 0), (1, 1), (1, 0)], 1));
}

/// The last event of a worker is another's, whose handle wakes that one only: this one slept until it was cut off.
#[test]
fn a_worker_ends_when_what_was_passed_to_it_has_run() {
    at_work(async {
        let (pool, hall) = (pool(), Hall::new());
        let doors = [Arc::<Door>::default(), Arc::default()];
        let mailboxes: Vec<_> = doors.iter().map(|door| Arc::new(Mailbox::new(door.clone()))).collect();
        let crew = Arc::new(Crew::new(mailboxes.clone()));
        let parts = WorkerParts {
            index: 1,
            inboxes: Vec::new(),
            door: doors[1].clone(),
            crew: crew.clone(),
            bounds: LOOSE,
            metrics: Arc::new(Metrics::new(1, 2)),
            tails: Arc::default(),
        };
        let mut worker = AtWork::new(parts);
        reload(&mut worker, vec![trigger("t", vec![hall.node(|_| Ok(()))])], Vec::new());
        mailboxes[0].hold();
        let event = HeldEvent::new(slot(&pool, b"1"), Arc::new(Source::named("w")), 0, mailboxes[0].clone());
        crew.pass(1, Passed { webhook: 0, trigger: "t".into(), event });
        // The other one has nothing more.
        crew.stop_feeding();
        let worker = tokio::task::spawn_local(async move { worker.work().await });
        settle().await;
        assert!(!worker.is_finished() && hall.came() == [1], "it waits for the run");
        hall.exits.add_permits(1);
        settle().await;
        assert!(worker.is_finished(), "it sleeps on");
    });
}

/// A trigger that hangs with a long line closed the gate of its webhook, and kept it closed after it was removed.
#[test]
fn a_removed_trigger_does_not_keep_the_gate_closed() {
    at_work(async {
        let (pool, hall, gate) = (pool(), Hall::new(), Arc::<Gate>::default());
        let bounds = Bounds { events_max: 4, ..LOOSE };
        let nodes = vec![hall.node(|_| Ok(()))];
        let mut worker = worker_with(vec![(nodes, true, OnError::Stop)], bounds, gate.clone());
        for _ in 0..8 {
            worker.run_event(slot(&pool, b"1"), 0);
        }
        assert!(!gate.is_open());
        reload(&mut worker, Vec::new(), Vec::new());
        assert!(gate.is_open());
        hall.exits.add_permits(1);
        settle().await;
        assert!(gate.is_open() && hall.came().len() == 2, "it still runs what it had accepted");
    });
}
