//! Whether inrush should be sent requests.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where in its life the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Not all cores listen yet.
    Starting,
    /// Requests are taken.
    Ready,
    /// The end has begun: requests still get answers, but new ones should go elsewhere.
    Draining,
}

/// The state, shared between the server, which moves it on, and the console, which shows it.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// A life goes one way: a start that completes after the signal to stop must not look ready again. So a
    /// state that lies behind is ignored.
    pub fn advance(&self, state: State) {
        // Release: whoever sees the new state sees what was done before it.
        self.0.fetch_max(state as u8, Ordering::Release);
    }

    /// The state now.
    pub fn state(&self) -> State {
        match self.0.load(Ordering::Acquire) {
            starting if starting == State::Starting as u8 => State::Starting,
            ready if ready == State::Ready as u8 => State::Ready,
            _ => State::Draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_move_on() {
        let readiness = Readiness::default();
        assert_eq!(readiness.state(), State::Starting);
        for (step, expected) in [
            (State::Starting, State::Starting),
            (State::Ready, State::Ready),
            (State::Starting, State::Ready),
            (State::Draining, State::Draining),
            (State::Ready, State::Draining),
        ] {
            readiness.advance(step);
            assert_eq!(readiness.state(), expected, "after {step:?}");
        }
    }
}
