//! The ring of `rtrb` by its memory orderings: `head` and `tail` are stored with Release and loaded with Acquire by
//! the other side, and nothing else synchronises. Loom checks every access to a cell for a race.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Why nothing was pushed.
pub enum PushError<T> {
    /// There is no room.
    Full(T),
}

/// Nothing was there to pop.
pub struct Empty;

/// Makes both ends.
pub struct RingBuffer;

/// What both ends share. Invariant: `head <= tail <= head + cells.len()`, both only grow.
pub struct Shared<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    producer_gone: AtomicBool,
    cells: Vec<UnsafeCell<Option<T>>>,
}

/// The end that pushes.
pub struct Producer<T>(Arc<Shared<T>>);

/// The end that pops.
pub struct Consumer<T>(Arc<Shared<T>>);

// SAFETY: a cell is touched by the producer alone until `tail` says otherwise, then by the consumer alone until `head`
// does; loom checks that.
unsafe impl<T: Send> Sync for Shared<T> {}

impl RingBuffer {
    /// A ring for `room` elements.
    #[expect(clippy::new_ret_no_self, reason = "so it is called in rtrb")]
    pub fn new<T>(room: usize) -> (Producer<T>, Consumer<T>) {
        let shared = Arc::new(Shared {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            producer_gone: AtomicBool::new(false),
            cells: (0..room).map(|_| UnsafeCell::new(None)).collect(),
        });
        (Producer(shared.clone()), Consumer(shared))
    }
}

impl<T> Shared<T> {
    /// How many elements fit.
    pub fn capacity(&self) -> usize {
        self.cells.len()
    }

    fn cell(&self, at: usize) -> &UnsafeCell<Option<T>> {
        &self.cells[at % self.cells.len()]
    }
}

impl<T> Producer<T> {
    /// Adds an element, if there is room.
    pub fn push(&mut self, element: T) -> Result<(), PushError<T>> {
        if self.is_full() {
            return Err(PushError::Full(element));
        }
        let tail = self.0.tail.load(Ordering::Relaxed);
        // SAFETY: between `tail` and `head` plus the room, cells are the producer's.
        self.0.cell(tail).with_mut(|cell| unsafe { *cell = Some(element) });
        self.0.tail.store(tail + 1, Ordering::Release);
        Ok(())
    }

    /// Room left.
    pub fn slots(&self) -> usize {
        self.0.capacity() - (self.0.tail.load(Ordering::Relaxed) - self.0.head.load(Ordering::Acquire))
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.slots() == 0
    }

    /// What both ends share.
    pub fn buffer(&self) -> &Shared<T> {
        &self.0
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.producer_gone.store(true, Ordering::Release);
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest element.
    pub fn pop(&mut self) -> Result<T, Empty> {
        if self.is_empty() {
            return Err(Empty);
        }
        let head = self.0.head.load(Ordering::Relaxed);
        // SAFETY: between `head` and `tail`, cells are the consumer's.
        let element = self.0.cell(head).with_mut(|cell| unsafe { (*cell).take() });
        self.0.head.store(head + 1, Ordering::Release);
        element.ok_or(Empty)
    }

    /// Elements there.
    pub fn slots(&self) -> usize {
        self.0.tail.load(Ordering::Acquire) - self.0.head.load(Ordering::Relaxed)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.slots() == 0
    }

    /// Whether the producer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.0.producer_gone.load(Ordering::Acquire)
    }
}
