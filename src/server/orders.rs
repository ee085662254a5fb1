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
pub(super) struct Orders {
    orders: mpsc::UnboundedReceiver<Order>,
    /// One came while only an order to stop was waited for.
    reload_is_due: bool,
    /// Nobody gives orders any more, and that was taken as the order to stop. It is one order, not one after the other.
    is_closed: bool,
}

/// Gives orders. When the last one is gone, that is an order to stop.
pub(super) type Command = mpsc::UnboundedSender<Order>;

impl Orders {
    /// Orders, and how to give them.
    pub fn new() -> (Command, Self) {
        let (command, orders) = mpsc::unbounded_channel();
        (command, Self { orders, reload_is_due: false, is_closed: false })
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
        if std::mem::take(&mut self.reload_is_due) {
            return Order::Reload;
        }
        self.receive().await
    }

    /// The next order to stop. An order to read the config that comes before it is kept for [`Self::next`].
    pub async fn next_stop(&mut self) {
        while self.receive().await == Order::Reload {
            self.reload_is_due = true;
        }
    }

    async fn receive(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None if self.is_closed => std::future::pending().await,
            None => {
                self.is_closed = true;
                Order::Stop
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SIGHUP that came while the config was being read was forgotten, and with it what had changed since.
    #[tokio::test]
    async fn a_reload_asked_for_during_a_reload_is_done_afterwards() {
        let (command, mut orders) = Orders::new();
        command.send(Order::Reload).unwrap();
        let waited = tokio::time::timeout(std::time::Duration::from_millis(1), orders.next_stop()).await;
        assert!(waited.is_err(), "nobody said stop");
        assert_eq!(orders.next().await, Order::Reload);
        command.send(Order::Reload).unwrap();
        command.send(Order::Stop).unwrap();
        orders.next_stop().await;
        assert_eq!(orders.next().await, Order::Reload);
    }

    /// A server that was dropped or told to stop took the closed channel for one order to stop after the other: it had
    /// no time to drain.
    #[tokio::test]
    async fn nobody_who_gives_orders_is_one_order_to_stop() {
        let (command, mut orders) = Orders::new();
        drop(command);
        assert_eq!(orders.next().await, Order::Stop);
        let second = tokio::time::timeout(std::time::Duration::from_millis(1), orders.next_stop()).await;
        assert!(second.is_err(), "that would be the impatient second stop");
    }
}
