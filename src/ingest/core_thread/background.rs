//! The tasks of a core that are no connection: its bell, its one timer, its late knocks.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::{Core, LATE_KNOCK};
use crate::ingest::deadlines::{SWEEP_CONNECTIONS_MAX, TICK, Watch};
use crate::io::{self, BellRope};

/// Wakes what waits for other threads.
pub(super) async fn answer_bell(core: Rc<Core>, mut rope: BellRope) {
    let mut scratch = vec![0; 64];
    while !core.has_drained() {
        let (result, back) = rope.rung(scratch).await;
        scratch = back;
        if let Err(error) = result {
            // The core keeps a ringer itself, so the bell cannot be closed: without it no order of the
            // server and no handle that comes home would be seen.
            tracing::error!(%error, "a core cannot hear its bell; trying again");
            io::sleep(TICK).await;
        }
        core.collect_home();
        core.install();
        core.wake_waiting();
        if core.control.draining.load(Ordering::Acquire) && !core.draining.get() {
            core.begin_drain();
        }
        if core.control.ending.load(Ordering::Acquire) && !core.ending.get() {
            core.end_all();
        }
    }
}

/// Makes up for knocks that were held back, should no turn come that does.
pub(super) async fn knock_late(core: Rc<Core>) {
    while !core.has_drained() {
        let mut held_back = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut held_back, true) || core.has_drained() {
                return Poll::Ready(());
            }
            *core.late_knock.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        io::sleep(LATE_KNOCK).await;
        core.knock();
    }
}

/// The one timer of a core.
pub(super) async fn sweep_deadlines(core: Rc<Core>) {
    let mut watches: Vec<Rc<Watch>> = Vec::new();
    let mut last_pool_sweep_ms = 0;
    while !core.has_drained() {
        core.tick().await;
        let now_ms = core.started.elapsed().as_millis() as u64;
        core.now_ms.set(now_ms);
        core.read_clock();
        if core.is_ending() {
            // Once is not enough: a connection may have been between two waits.
            core.end_all();
        }
        watches.extend(core.connections.borrow().iter().map(|(_, watch)| watch.clone()));
        for (index, watch) in watches.drain(..).enumerate() {
            if watch.sweep(now_ms, &core.limits) {
                core.metrics().deadlines_expired.add(1);
            }
            if index % SWEEP_CONNECTIONS_MAX == SWEEP_CONNECTIONS_MAX - 1 {
                core.yield_turn().await;
            }
        }
        core.collect_home();
        // Whatever came home: a gate may have been opened for events of another core.
        core.wake_waiting();
        if now_ms - last_pool_sweep_ms >= 1000 {
            last_pool_sweep_ms = now_ms;
            core.pool.sweep();
            core.metrics().budget_leased_bytes.set(core.pool.leased_bytes());
            core.metrics().pool_bytes.set(core.pool.mapped_bytes());
        }
    }
}

impl Core {
    /// Waits for the next sweep: for the timer, or for a turn that says it is late.
    async fn tick(&self) {
        let mut timer = std::pin::pin!(io::sleep(TICK));
        let mut waited = false;
        std::future::poll_fn(|cx| {
            let woken_by_turn = waited && self.sweeper.borrow().is_none();
            waited = true;
            if woken_by_turn || timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            *self.sweeper.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.sweeper.borrow_mut().take();
    }
}
