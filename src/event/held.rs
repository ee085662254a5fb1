//! An event that more than one holds: the runs of its triggers that wait for something, on any thread.

use std::fmt;
use std::sync::Arc;

use super::{Event, Slot, Source};

/// Where the handle of an event goes when nobody holds it any more.
pub trait Home: Send + Sync {
    /// Takes the handle back. Called on the thread that let go last.
    fn come_home(&self, queue: usize, slot: Box<Slot>);
}

/// A share in an event. The payload lives until the last share is dropped; then the handle goes home.
#[derive(Clone)]
pub struct HeldEvent(Arc<Held>);

struct Held {
    /// Here until the drop.
    slot: Option<Box<Slot>>,
    source: Arc<Source>,
    /// Which of the worker's queues it came through.
    queue: usize,
    home: Arc<dyn Home>,
}

impl HeldEvent {
    /// The first share in the event of `slot`, which came through `queue` of `home`.
    pub fn new(slot: Box<Slot>, source: Arc<Source>, queue: usize, home: Arc<dyn Home>) -> Self {
        Self(Arc::new(Held { slot: Some(slot), source, queue, home }))
    }

    /// The event, borrowed from this share.
    pub fn event(&self) -> Event<'_> {
        Event::new(self.slot(), &self.0.source)
    }

    /// The body's exact bytes as a buffer of its own kind, without a copy; it is a share, too.
    ///
    /// # Panics
    /// As [`Event::body`].
    pub fn body(&self) -> bytes::Bytes {
        bytes::Bytes::from_owner(HeldBody(self.clone()))
    }

    /// Memory that the event keeps busy.
    pub fn bytes(&self) -> usize {
        self.slot().bytes().len()
    }

    fn slot(&self) -> &Slot {
        self.0.slot.as_ref().unwrap_or_else(|| unreachable!("the handle leaves in `drop` only"))
    }
}

struct HeldBody(HeldEvent);

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        self.0.event().body()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.home.come_home(self.queue, slot);
        }
    }
}

impl fmt::Debug for HeldEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldEvent").field(&self.slot().id).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::buffer::{Budget, Pool};

    #[derive(Default)]
    struct Came(Mutex<Vec<(usize, Box<Slot>)>>);

    impl Home for Came {
        fn come_home(&self, queue: usize, slot: Box<Slot>) {
            self.0.lock().unwrap().push((queue, slot));
        }
    }

    #[test]
    fn the_handle_comes_home_once_when_the_last_share_is_gone() {
        let pool = Pool::new(Arc::new(Budget::new(64 << 20)));
        let mut slot = Box::new(Slot::new());
        let mut buf = pool.take(8).unwrap();
        buf.extend_from_slice(b"[1, 2]");
        (slot.body, slot.buf) = (0..6, Some(buf));
        let came = Arc::new(Came::default());
        let held = HeldEvent::new(slot, Arc::new(Source::named("w")), 3, came.clone());
        let (other, body) = (held.clone(), held.body());
        drop(held);
        let thread = std::thread::spawn(move || assert_eq!(other.event().body(), b"[1, 2]"));
        thread.join().unwrap();
        assert!(came.0.lock().unwrap().is_empty(), "the body is still held");
        assert_eq!(body.slice(1..2), "1");
        drop(body);
        let mut came = came.0.lock().unwrap();
        let [(queue, slot)] = &mut came[..] else { panic!("it came {} times", came.len()) };
        assert_eq!((*queue, slot.received_body()), (3, &b"[1, 2]"[..]));
        pool.put(slot.buf.take().unwrap());
    }
}
