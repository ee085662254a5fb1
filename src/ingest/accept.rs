//! Accepting connections, and starting the supervised task of each.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;

use super::connection::{self, Connection};
use super::core_thread::Core;
use super::deadlines::Watch;
use crate::http::reject;
use crate::io::{self, Listener, Stream};

/// How long accepting pauses when the process has no descriptor left. Connections wait in the backlog meanwhile.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Accepts that may fail while the backlog is drained, before it is given up.
const DRAIN_FAILURES_MAX: u32 = 64;
/// Connections over the limit that are told so at the same time; more are closed without a word.
const TURNED_AWAY_MAX: usize = 256;

/// Accepts until the core drains, and then what the backlog still holds.
pub(super) async fn accept_all(core: Rc<Core>, listener: Listener) {
    while !core.draining.get() {
        match listener.accept(&core.accept_interrupt).await {
            Ok((stream, peer)) => start(&core, stream, peer),
            Err(error) if io::cancelled(&error) => {}
            Err(error) => {
                core.metrics().accept_errors.add(1);
                if is_exhaustion(&error) {
                    io::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
    let mut failures = 0;
    while failures < DRAIN_FAILURES_MAX {
        match listener.accept_now() {
            Ok(Some((stream, peer))) => start(&core, stream, peer),
            Ok(None) => break,
            // The connection was gone before it was accepted; the next one may be there.
            Err(_) => {
                core.metrics().accept_errors.add(1);
                failures += 1;
            }
        }
    }
    drop(listener);
    core.accepting.set(false);
    core.ended();
}

fn is_exhaustion(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn start(core: &Rc<Core>, stream: Stream, peer: SocketAddr) {
    let open = core.connections.borrow().len();
    let too_many = open >= core.limits.connections_max;
    if too_many {
        core.metrics().connections_refused.add(1);
        if open >= core.limits.connections_max + TURNED_AWAY_MAX {
            return;
        }
    }
    core.metrics().connections_accepted.add(1);
    let watch = Watch::new(core.now_ms(), stream.breaker());
    let key = core.connections.borrow_mut().insert(watch.clone());
    core.metrics().connections_open.set(open as u64 + 1);
    let guard = Registered { core: core.clone(), key };
    io::spawn(async move {
        let core = &guard.core;
        let connection = Connection::new(stream, core, &watch);
        let life = async {
            if too_many {
                connection.turn_away((&reject::TOO_MANY_CONNECTIONS).into()).await;
            } else {
                connection::serve(connection).await;
            }
        };
        if std::panic::AssertUnwindSafe(life).catch_unwind().await.is_err() {
            // The panic hook has printed where; the other connections go on.
            core.metrics().connections_panicked.add(1);
            tracing::error!(%peer, "a connection task panicked; only its connection is closed");
        }
    });
}

/// A connection's place in the core's table, left however its task ends.
struct Registered {
    core: Rc<Core>,
    key: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.core.connections.borrow_mut().remove(self.key);
        self.core.metrics().connections_open.set(self.core.connections.borrow().len() as u64);
        self.core.ended();
    }
}
