//! What a running server is told from outside: by signals, or by the program that it is a part of.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::ServeError;

/// One order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// To read the config anew.
    Reload,
    /// To stop; the second time, sooner.
    Stop,
}

/// Orders as they come.
pub(super) struct Orders(mpsc::UnboundedReceiver<Order>);

/// Gives orders. When the last one is gone, that is an order to stop.
pub(super) type Command = mpsc::UnboundedSender<Order>;

impl Orders {
    /// Orders, and how to give them.
    pub fn new() -> (Command, Self) {
        let (command, orders) = mpsc::unbounded_channel();
        (command, Self(orders))
    }

    /// The orders of signals: SIGHUP, and SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn of_signals() -> Result<Self, ServeError> {
        let (command, orders) = Self::new();
        for (kind, order) in [
            (SignalKind::hangup(), Order::Reload),
            (SignalKind::terminate(), Order::Stop),
            (SignalKind::interrupt(), Order::Stop),
        ] {
            let mut signal =
                signal(kind).map_err(|error| ServeError::io("cannot listen for signals", error))?;
            let command = command.clone();
            tokio::spawn(
                async move { while signal.recv().await.is_some() && command.send(order).is_ok() {} },
            );
        }
        Ok(orders)
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        self.0.recv().await.unwrap_or(Order::Stop)
    }

    /// The next order to stop.
    pub async fn next_stop(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
