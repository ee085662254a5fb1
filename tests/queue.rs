//! The event queue between a core and a worker: never a wake-up lost, never an event lost, doubled or out of order.
//!
//! The races are sought by going to sleep as often as possible: the two sides play ping-pong with one event or a few,
//! and both sleep whenever nothing lies there. A lost wake-up leaves both asleep, which [`PATIENCE`] finds. What the
//! queue says of itself is compared with two `VecDeque`s over random steps.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use inrush::event::Slot;
use inrush::queue::{Door, HomeBell, Inbox, Outbox, pair};
use proptest::prelude::*;

/// Far beyond what a wake-up takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: u64 = 100_000;

fn event(number: u64) -> Box<Slot> {
    let mut slot = Box::new(Slot::new());
    slot.received_at_ms = number;
    slot
}

/// Runs events like a trigger worker: takes what lies there, sends it home, sleeps when nothing does.
fn work(mut inboxes: Vec<Inbox>, door: &Door) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("make a runtime");
    let mut next = vec![0; inboxes.len()];
    while !inboxes.iter().all(Inbox::is_closed) {
        let mut taken = 0;
        for (inbox, next) in inboxes.iter_mut().zip(&mut next) {
            while let Some(slot) = inbox.pop() {
                assert_eq!(slot.received_at_ms, *next, "events of one core stay in order");
                *next += 1;
                taken += 1;
                inbox.send_home(slot);
            }
            inbox.flush_home();
        }
        if taken == 0 {
            runtime.block_on(door.sleep_unless(|| {
                inboxes.iter().any(|inbox| !inbox.is_empty()) || inboxes.iter().all(Inbox::is_closed)
            }));
        }
    }
    next
}

/// A bell that unparks the thread whose handle was sent.
fn bell() -> (Arc<HomeBell>, Sender<thread::Thread>) {
    let (tell, told) = mpsc::channel::<thread::Thread>();
    let told = std::sync::Mutex::new((told, None));
    let ring = move || {
        let mut told = told.lock().expect("no panic while locked");
        if told.1.is_none() {
            told.1 = told.0.recv().ok();
        }
        if let Some(core) = &told.1 {
            core.unpark();
        }
    };
    (Arc::new(HomeBell::new(ring)), tell)
}

/// Waits for the next handle to come home, asleep if `bell` is given, else awake.
fn next_home(outbox: &mut Outbox, bell: Option<&HomeBell>) -> Box<Slot> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(slot) = outbox.pop_home() {
            return slot;
        }
        if let Some(bell) = bell {
            bell.want();
            // What came home before the bell was armed would ring it no more.
            if let Some(slot) = outbox.pop_home() {
                return slot;
            }
            thread::park_timeout(PATIENCE);
        } else {
            std::hint::spin_loop();
        }
        assert!(Instant::now() < deadline, "nothing came home in {PATIENCE:?}: a wake-up was lost");
    }
}

/// Pushes `in_flight` events at a time and waits for them all, [`ROUNDS`] events in total.
fn play(mut outbox: Outbox, in_flight: u64, bell: Option<&HomeBell>) {
    let mut number = 0;
    while number < ROUNDS {
        // A pause of a changing length lets the two sides meet at every point of falling asleep.
        for _ in 0..number % 61 {
            std::hint::spin_loop();
        }
        for _ in 0..in_flight {
            assert!(outbox.push(event(number)).is_ok(), "there is room for what is on its way");
            number += 1;
        }
        outbox.flush();
        for expected in number - in_flight..number {
            assert_eq!(next_home(&mut outbox, bell).received_at_ms, expected, "handles come home in order");
        }
    }
}

fn start_core(
    in_flight: u64,
    sleeps: bool,
    door: &Arc<Door>,
    start: &Arc<Barrier>,
) -> (JoinHandle<()>, Inbox) {
    let (bell, tell) = bell();
    let (outbox, inbox) = pair(in_flight as usize, in_flight as usize, door.clone(), bell.clone());
    let start = start.clone();
    let core = thread::spawn(move || {
        tell.send(thread::current()).expect("the bell lives");
        start.wait();
        play(outbox, in_flight, sleeps.then_some(&*bell));
    });
    (core, inbox)
}

/// Cores and one worker; each side must be woken for everything that the other did.
#[track_caller]
fn check_ping_pong(cores: &[(u64, bool)]) {
    let door = Arc::new(Door::default());
    let start = Arc::new(Barrier::new(cores.len()));
    let (cores, inboxes): (Vec<_>, Vec<_>) =
        cores.iter().map(|&(in_flight, sleeps)| start_core(in_flight, sleeps, &door, &start)).unzip();
    let (say, said) = mpsc::channel();
    let worker = thread::spawn(move || say.send(work(inboxes, &door)).expect("the test waits"));
    let count = cores.len();
    for core in cores {
        core.join().expect("no wake-up of a core or of the worker is lost");
    }
    let seen = said.recv_timeout(PATIENCE).expect("the worker sees that every core is gone");
    worker.join().expect("the worker ends well");
    assert_eq!(seen, vec![ROUNDS; count]);
}

#[test]
fn a_sleeping_worker_is_woken_for_every_event_of_a_busy_core() {
    check_ping_pong(&[(1, false)]);
}

#[test]
fn core_and_worker_wake_each_other_when_both_sleep() {
    check_ping_pong(&[(1, true)]);
}

#[test]
fn batches_wake_as_single_events_do() {
    check_ping_pong(&[(20, true)]);
}

#[test]
fn two_cores_share_one_door() {
    check_ping_pong(&[(1, true), (4, true)]);
}

/// A worker that fell asleep while its core was going away slept for ever, and the server could not stop: the core
/// knocked before its end of the queue was gone.
#[test]
fn a_sleeping_worker_sees_that_its_core_is_gone() {
    let (hand, handed) = mpsc::channel::<(Inbox, Arc<Door>)>();
    let (say, said) = mpsc::channel();
    let worker = thread::spawn(move || {
        for (inbox, door) in handed {
            say.send(work(vec![inbox], &door)).expect("the test waits");
        }
    });
    for round in 0..20_000 {
        let door = Arc::new(Door::default());
        let (mut outbox, inbox) = pair(1, 1, door.clone(), Arc::new(HomeBell::new(|| {})));
        hand.send((inbox, door)).expect("the worker lives");
        for _ in 0..round % 611 {
            std::hint::spin_loop();
        }
        let events = round % 2;
        if events == 1 {
            assert!(outbox.push(event(0)).is_ok());
        }
        drop(outbox);
        let seen = said.recv_timeout(PATIENCE);
        assert_eq!(seen, Ok(vec![events]), "round {round}: the worker never saw that its core was gone");
    }
    drop(hand);
    worker.join().expect("the worker ends well");
}

/// What either side may do next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Flush,
    Pop,
    SendHome,
    FlushHome,
    PopHome,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Flush, FlushHome, Pop, PopHome, Push, SendHome};
    prop_oneof![4 => Just(Push), 1 => Just(Flush), 3 => Just(Pop), 3 => Just(SendHome), 1 => Just(FlushHome),
        3 => Just(PopHome)]
}

proptest! {
    #[test]
    fn the_queue_is_two_bounded_queues(room in 1_usize..5, handles in 1_usize..9,
        steps in prop::collection::vec(step(), 0..200))
    {
        let (mut outbox, mut inbox) =
            pair(room, handles, Arc::new(Door::default()), Arc::new(HomeBell::new(|| {})));
        let (mut events, mut running, mut home) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let mut number = 0;
        for step in steps {
            match step {
                // A core makes no more handles than its home queues hold.
                Step::Push if events.len() + running.len() + home.len() < handles => {
                    let pushed = outbox.push(event(number)).map_err(|back| back.received_at_ms);
                    prop_assert_eq!(pushed, if events.len() < room { Ok(()) } else { Err(number) });
                    if pushed.is_ok() {
                        events.push_back(number);
                    }
                    number += 1;
                }
                Step::Push => {}
                Step::Pop => {
                    let popped = inbox.pop();
                    prop_assert_eq!(popped.as_ref().map(|slot| slot.received_at_ms), events.pop_front());
                    running.extend(popped);
                }
                Step::SendHome => {
                    if let Some(slot) = running.pop_front() {
                        home.push_back(slot.received_at_ms);
                        inbox.send_home(slot);
                    }
                }
                Step::PopHome => {
                    prop_assert_eq!(outbox.pop_home().map(|slot| slot.received_at_ms), home.pop_front());
                }
                Step::Flush => outbox.flush(),
                Step::FlushHome => inbox.flush_home(),
            }
            prop_assert_eq!(outbox.depth(), events.len());
            prop_assert_eq!(inbox.depth(), events.len());
            prop_assert_eq!(inbox.is_empty(), events.is_empty());
            prop_assert_eq!(outbox.is_full(), events.len() == room);
            prop_assert!(!inbox.is_closed());
        }
        // What was pushed before the core went is still there; only then the queue is closed.
        drop(outbox);
        while let Some(slot) = inbox.pop() {
            prop_assert_eq!(Some(slot.received_at_ms), events.pop_front());
            prop_assert_eq!(inbox.is_closed(), events.is_empty());
        }
        prop_assert!(events.is_empty() && inbox.is_closed());
        // Handles that come home too late are dropped with the queue, not sent into the void.
        running.into_iter().for_each(|slot| inbox.send_home(slot));
    }
}
