//! No interleaving leaves a side asleep that should be awake: loom ends with "deadlock" when one does.
//!
//! Each fence of `src/queue.rs`, the second look before sleeping, and the order in which an end goes away were taken
//! out one at a time; each time at least one of these found it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use inrush_loom::event::Slot;
use inrush_loom::notify::Notify;
use inrush_loom::queue::{Door, HomeBell, Inbox, Outbox, pair};
use loom::sync::Arc;
use loom::thread;

/// Enough for every fault that was tried; without a bound the search takes hours.
const PREEMPTIONS_MAX: usize = 3;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// Runs events like a trigger worker, until the core is gone. Returns how many.
fn work(mut inbox: Inbox, door: &Door) -> u64 {
    let mut seen = 0;
    loop {
        while let Some(slot) = inbox.pop() {
            assert_eq!(slot.0, seen, "events stay in order");
            seen += 1;
            inbox.send_home(slot);
        }
        inbox.flush_home();
        if inbox.is_closed() {
            return seen;
        }
        // The stand-in of `Notify` blocks, so one poll is the whole sleep.
        let sleep = pin!(door.sleep_unless(|| !inbox.is_empty() || inbox.is_closed()));
        assert_eq!(sleep.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    }
}

fn push(outbox: &mut Outbox, number: u64) {
    assert!(outbox.push(Box::new(Slot(number))).is_ok(), "there is room");
    outbox.flush();
}

/// Waits for a handle like a core that has none left: asleep, until its bell is rung.
fn next_home(outbox: &mut Outbox, bell: &HomeBell, rung: &Notify) {
    while outbox.pop_home().is_none() {
        bell.want();
        if outbox.pop_home().is_some() {
            return;
        }
        let rung = pin!(rung.notified());
        assert_eq!(rung.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    }
}

fn bell() -> (Arc<HomeBell>, Arc<Notify>) {
    let rung = Arc::new(Notify::default());
    let ring = rung.clone();
    (Arc::new(HomeBell::new(move || ring.notify_one())), rung)
}

#[test]
fn a_worker_sees_that_its_core_is_gone() {
    check(|| {
        let door = Arc::new(Door::default());
        let (outbox, inbox) = pair(1, 1, door.clone(), bell().0);
        let worker = thread::spawn(move || work(inbox, &door));
        drop(outbox);
        assert_eq!(worker.join().expect("the worker ends"), 0);
    });
}

#[test]
fn a_worker_sees_the_last_events_of_a_core_that_goes() {
    check(|| {
        let door = Arc::new(Door::default());
        let (mut outbox, inbox) = pair(2, 2, door.clone(), bell().0);
        let worker = thread::spawn(move || work(inbox, &door));
        push(&mut outbox, 0);
        push(&mut outbox, 1);
        drop(outbox);
        assert_eq!(worker.join().expect("the worker ends"), 2);
    });
}

#[test]
fn a_core_that_waits_is_rung() {
    check(|| {
        let (bell, rung) = bell();
        let (mut outbox, mut inbox) = pair(1, 1, Arc::new(Door::default()), bell.clone());
        push(&mut outbox, 0);
        let worker = thread::spawn(move || {
            let slot = inbox.pop().expect("it was pushed before");
            inbox.send_home(slot);
            inbox.flush_home();
        });
        next_home(&mut outbox, &bell, &rung);
        worker.join().expect("the worker ends");
    });
}

#[test]
fn both_sides_sleep_and_wake_each_other() {
    check(|| {
        let door = Arc::new(Door::default());
        let (bell, rung) = bell();
        let (mut outbox, inbox) = pair(1, 1, door.clone(), bell.clone());
        let worker = thread::spawn(move || work(inbox, &door));
        push(&mut outbox, 0);
        next_home(&mut outbox, &bell, &rung);
        drop(outbox);
        assert_eq!(worker.join().expect("the worker ends"), 1);
    });
}
