//! Connections that wait for the next request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;

/// Kept connections, the one last used on top: under little load the others grow old and are closed.
pub(super) struct Idle {
    kept: Arc<Mutex<Kept>>,
    timeout: Duration,
    connections_max: usize,
}

#[derive(Default)]
struct Kept {
    /// Each with the time of its end, the oldest first. Boxed: they are large, and move twice for every request.
    connections: VecDeque<(Instant, Box<Connection>)>,
    /// A task waits for the end of the oldest.
    is_watched: bool,
}

impl Idle {
    pub fn new(timeout: Duration, connections_max: usize) -> Self {
        Self { kept: Arc::default(), timeout, connections_max }
    }

    /// The connection last used that is still open.
    pub async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (end, mut connection) = locked(&self.kept).connections.pop_back()?;
            if Instant::now() < end && connection.is_open().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection if it can be used again.
    pub async fn put(&self, mut connection: Box<Connection>) {
        if !connection.is_open().await {
            return;
        }
        let mut kept = locked(&self.kept);
        if kept.connections.len() >= self.connections_max {
            return;
        }
        kept.connections.push_back((Instant::now() + self.timeout, connection));
        if !std::mem::replace(&mut kept.is_watched, true) {
            tokio::spawn(close_old(Arc::downgrade(&self.kept)));
        }
    }
}

/// Closes each connection at its end, until none is left.
async fn close_old(kept: Weak<Mutex<Kept>>) {
    loop {
        let next = match kept.upgrade() {
            Some(kept) => locked(&kept).close_old(),
            None => return,
        };
        let Some(next) = next else { return };
        tokio::time::sleep_until(next).await;
    }
}

impl Kept {
    /// Returns when to come again.
    fn close_old(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while self.connections.front().is_some_and(|(end, _)| *end <= now) {
            self.connections.pop_front();
        }
        let next = self.connections.front().map(|(end, _)| *end);
        self.is_watched = next.is_some();
        next
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // A queue and a flag are whole even if a holder panicked.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
