//! Everything that names monoio: the runtime of a core, its listener, its streams, its timer.
//!
//! Two drivers behind one face: io_uring, and epoll where io_uring is refused (a container's default seccomp
//! profile) or asked for with `INRUSH_DRIVER=epoll`.
//!
//! Two traps shape this file. Dropping a future that races a timeout loses data: a dropped `accept` loses the
//! connection, a dropped `read` loses bytes and keeps the buffer. So nothing here is raced and dropped; an
//! [`Interrupt`] cancels an operation, and the operation is awaited to its end. And a runtime must be dropped only
//! after its operations have completed, because dropping it frees buffers that the kernel may still write into.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, CancelableAsyncReadRent, Canceller};
use monoio::net::{TcpListener, TcpStream, UnixStream};
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::buffer::Buf;

/// What carries the I/O of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl std::fmt::Display for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

impl Driver {
    /// The best driver that this kernel and its policy allow.
    pub fn probe() -> Self {
        if monoio::utils::detect_uring() && uring_runtime().is_ok() { Driver::IoUring } else { Driver::Epoll }
    }
}

type Timed<D> = monoio::Runtime<TimeDriver<D>>;

fn uring_runtime() -> io::Result<Timed<IoUringDriver>> {
    // One thread submits, and completions are run when it waits for them: no interrupt of user code (Linux 6.1).
    let mut tuned = io_uring::IoUring::builder();
    tuned.setup_single_issuer().setup_defer_taskrun();
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(tuned)
        .enable_timer()
        .build()
        .or_else(|_| RuntimeBuilder::<IoUringDriver>::new().enable_timer().build())
}

/// Runs `main` and everything it spawns on this thread until `main` returns.
///
/// `main` must return only when every operation has completed.
///
/// # Errors
/// When the kernel refuses the driver.
pub fn block_on<F: Future>(driver: Driver, main: F) -> io::Result<F::Output> {
    match driver {
        Driver::IoUring => Ok(run_to_end(uring_runtime()?, main)),
        Driver::Epoll => Ok(run_to_end(RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?, main)),
    }
}

/// Drops the runtime only when `main` has returned: on a panic operations are still running, and the runtime owns
/// the buffers that the kernel writes into.
fn run_to_end<D: monoio::Driver, F: Future>(runtime: monoio::Runtime<D>, main: F) -> F::Output {
    let mut runtime = ManuallyDrop::new(runtime);
    let output = runtime.block_on(main);
    drop(ManuallyDrop::into_inner(runtime));
    output
}

/// Spawns a task on this core.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}

/// Waits; ticks of 1 ms.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Cancels the operation that a task is waiting for; the task gets its buffer back and sees [`cancelled`].
///
/// An operation that has just completed is not undone: the task then sees its result.
#[derive(Default)]
pub struct Interrupt(RefCell<Canceller>);

impl Interrupt {
    /// Cancels what is waiting now. Operations that start later are not affected.
    pub fn fire(&self) {
        let canceller = std::mem::take(&mut *self.0.borrow_mut());
        let fresh = canceller.cancel();
        *self.0.borrow_mut() = fresh;
    }

    fn handle(&self) -> monoio::io::CancelHandle {
        self.0.borrow().handle()
    }
}

/// Whether an operation ended because of an [`Interrupt`].
pub fn cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

/// The room of a buffer, offered to the driver: it writes behind the filled part, at most `limit` bytes.
struct Room {
    buf: Buf,
    limit: usize,
}

// SAFETY: the pointer stays valid while the operation owns the buffer (a mapping does not move with its handle), and
// `bytes_total` never exceeds the room that is left behind it.
unsafe impl IoBufMut for Room {
    fn write_ptr(&mut self) -> *mut u8 {
        let filled = self.buf.len();
        // SAFETY: the filled part ends within the mapping.
        unsafe { self.buf.as_mut_ptr().add(filled) }
    }

    fn bytes_total(&mut self) -> usize {
        self.buf.room().min(self.limit)
    }

    unsafe fn set_init(&mut self, bytes: usize) {
        self.buf.advance(bytes);
    }
}

/// A listening socket of one core.
pub struct Listener(TcpListener);

impl Listener {
    /// Takes over a bound and listening socket.
    ///
    /// # Errors
    /// When the driver cannot register it.
    pub fn new(listener: std::net::TcpListener, driver: Driver) -> io::Result<Self> {
        listener.set_nonblocking(driver == Driver::Epoll)?;
        TcpListener::from_std(listener).map(Self)
    }

    /// The next connection, or [`cancelled`] after `interrupt`.
    pub async fn accept(&self, interrupt: &Interrupt) -> io::Result<(Stream, std::net::SocketAddr)> {
        let (stream, peer) = self.0.cancelable_accept(interrupt.handle()).await?;
        // Accepted sockets of the io_uring driver lack it: a child process must not inherit them.
        // SAFETY: F_SETFD touches only the flags of a descriptor that we hold open.
        unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        Ok((Stream { stream }, peer))
    }

    /// A connection that waits in the backlog already, for draining it. No `accept` may be waiting.
    pub fn accept_now(&self) -> io::Result<Option<(Stream, std::net::SocketAddr)>> {
        let fd = self.0.as_raw_fd();
        // SAFETY: plain system calls on a descriptor that we hold open; a descriptor returned is ours alone.
        let accepted = unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFL);
            libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
            let fd = libc::accept4(
                fd,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            );
            (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
        };
        match accepted {
            Some(fd) => {
                let stream = std::net::TcpStream::from(fd);
                let peer = stream.peer_addr()?;
                Ok(Some((Stream { stream: TcpStream::from_std(stream)? }, peer)))
            }
            None => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            },
        }
    }
}

/// A connection.
pub struct Stream {
    stream: TcpStream,
}

impl Stream {
    /// Reads at most `limit` bytes behind the filled part of `buf`; 0 at the end of the stream.
    #[inline]
    pub async fn read(&mut self, buf: Buf, limit: usize, interrupt: &Interrupt) -> (io::Result<usize>, Buf) {
        let (result, room) = self.stream.cancelable_read(Room { buf, limit }, interrupt.handle()).await;
        (result, room.buf)
    }

    /// Writes all of `bytes`. Not cancelled by an interrupt: [`Breaker::sever`] ends it, and the connection.
    #[inline]
    pub async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let whole = bytes.len();
        let (result, bytes) = self.stream.write(bytes).await;
        match result {
            Ok(written) if written == whole => (Ok(()), bytes),
            Ok(0) => (Err(io::ErrorKind::WriteZero.into()), bytes),
            Ok(written) => self.write_rest(bytes, written).await,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.write_rest(bytes, 0).await,
            Err(error) => (Err(error), bytes),
        }
    }

    /// Writes `bytes[from..]`. Apart from [`Self::write`], because a slice of a vector is moved about for every answer
    /// and is needed only by one that the socket did not take at once.
    #[cold]
    async fn write_rest(&mut self, bytes: Vec<u8>, from: usize) -> (io::Result<()>, Vec<u8>) {
        let (result, bytes) = self.stream.write_all(bytes.slice(from..)).await;
        (result.map(|_| ()), bytes.into_inner())
    }

    /// Waits until there is something to read. Unlike a read, this may be dropped: it holds no bytes.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }

    /// Whether a read would find bytes at once.
    pub fn has_bytes(&self) -> bool {
        let mut byte = 0_u8;
        let (fd, flags) = (self.stream.as_raw_fd(), libc::MSG_PEEK | libc::MSG_DONTWAIT);
        // SAFETY: at most one byte is written to `byte`, which outlives the call.
        unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, flags) > 0 }
    }

    /// What ends everything that the connection waits for.
    pub fn breaker(&self) -> Breaker {
        Breaker(self.stream.as_raw_fd())
    }

    /// Ends the sending side: the peer reads what was written and then the end of the stream.
    pub fn shutdown_write(&mut self) {
        // SAFETY: shutdown on a descriptor that we hold open.
        unsafe { libc::shutdown(self.stream.as_raw_fd(), libc::SHUT_WR) };
    }
}

/// Ends a connection from outside of its task.
///
/// A write is ended this way because nothing can follow it, while a read is cancelled with an [`Interrupt`] because
/// an answer can: registering a cancellable operation costs two SipHashes, 2 % of a small request.
pub struct Breaker(RawFd);

impl Breaker {
    /// For a connection that has no descriptor, such as a simulated one.
    pub fn none() -> Self {
        Self(-1)
    }

    /// Shuts both sides down: what the connection's task waits for ends with an error or the end of the stream.
    ///
    /// Call it only while the stream exists: afterwards its descriptor may be another's.
    pub fn sever(&self) {
        // What the peer did not take is thrown away: without this the kernel would keep it for minutes.
        let discard = libc::linger { l_onoff: 1, l_linger: 0 };
        let bytes = size_of::<libc::linger>() as libc::socklen_t;
        // SAFETY: `discard` is read for its own size; the caller vouches for the descriptor.
        unsafe {
            libc::setsockopt(self.0, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const discard).cast(), bytes);
            libc::shutdown(self.0, libc::SHUT_RDWR);
        }
    }
}

/// The receiving end of a core's bell: other threads ring it to wake the core.
///
/// A socket pair, because reads of an eventfd block the thread on the epoll driver.
pub struct BellRope(UnixStream);

/// The sending end.
pub struct Ringer(StdUnixStream);

impl Ringer {
    /// Wakes the core.
    pub fn ring(&self) {
        // SAFETY: send of one byte of a static; a full pipe means that the core was rung already.
        unsafe {
            libc::send(self.0.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
    }
}

/// Makes a bell: the ringer for any thread, the rope for the core.
///
/// # Errors
/// When the system has no descriptors left.
pub fn bell() -> io::Result<(Ringer, StdUnixStream)> {
    let (ringer, rope) = StdUnixStream::pair()?;
    Ok((Ringer(ringer), rope))
}

impl BellRope {
    /// Takes over the rope on the core's thread.
    ///
    /// # Errors
    /// When the driver cannot register it.
    pub fn new(rope: StdUnixStream, driver: Driver) -> io::Result<Self> {
        rope.set_nonblocking(driver == Driver::Epoll)?;
        UnixStream::from_std(rope).map(Self)
    }

    /// Waits until the bell was rung.
    pub async fn rung(&mut self, scratch: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (result, scratch) = self.0.read(scratch).await;
        let result = match result {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            result => result.map(|_| ()),
        };
        (result, scratch)
    }
}

/// Yields to every other ready task. monoio's own `yield_now` puts the task in front again, which starves others.
#[derive(Default)]
pub struct Yielded(RefCell<Vec<std::task::Waker>>);

impl Yielded {
    /// Waits until [`Self::wake_all`] at the end of this turn.
    pub async fn turn(self: &Rc<Self>) {
        let mut waited = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            self.0.borrow_mut().push(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }

    /// Lets those that yielded go on.
    pub fn wake_all(&self) {
        for waker in self.0.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Whether somebody yielded.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
