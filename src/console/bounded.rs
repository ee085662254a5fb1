//! Connections that cannot outstay their welcome: few at once, bounded in time and in bytes.
//!
//! The HTTP server beneath has no say about slow senders, so the limits sit below it, on the stream itself. Both
//! start anew with each answer: a peer has so much time and so many bytes to get its next one. Bytes that
//! trickle in buy no time, and neither does an answer that is not taken.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How much of everything there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections open at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// From the accept or the last answer to the next one.
    pub answer_within: Duration,
    /// Bytes a peer may send from the accept or the last answer to the next one.
    pub request_bytes_max: usize,
    /// How long open connections may take to end at shutdown.
    pub farewell: Duration,
}

impl Bounds {
    /// Enough for some scrapers, which come every 15 s or so and may keep their connection in between.
    pub const DEFAULT: Self = Self {
        connections_max: 64,
        answer_within: Duration::from_secs(30),
        request_bytes_max: 32 << 10,
        farewell: Duration::from_secs(2),
    };
}

/// A listener whose connections are bounded.
pub(super) struct Bounded {
    listener: TcpListener,
    bounds: Bounds,
    seats: Arc<Semaphore>,
}

impl Bounded {
    pub fn new(listener: TcpListener, bounds: Bounds) -> Self {
        Self { listener, bounds, seats: Arc::new(Semaphore::new(bounds.connections_max)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let seat = self.seats.clone().acquire_owned().await.ok();
        // That of axum, which waits and tries again when descriptors run out.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Without it an answer of several segments can wait for a delayed acknowledgement; it works either way.
        stream.set_nodelay(true).ok();
        let deadline = Box::pin(sleep(self.bounds.answer_within));
        (Connection { stream, bounds: self.bounds, deadline, received: 0, _seat: seat }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection, which fails when it exceeds its bounds.
pub(super) struct Connection {
    stream: TcpStream,
    bounds: Bounds,
    deadline: Pin<Box<Sleep>>,
    /// Bytes since the last answer.
    received: usize,
    /// Free again when the connection is dropped. The semaphore is never closed, so there always is one.
    _seat: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Fails once the time is up, and sees to it that this task is woken then.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            Poll::Pending => Ok(()),
        }
    }

    /// Something of an answer was taken: time and bytes start anew.
    fn answered(&mut self) {
        self.received = 0;
        self.deadline.as_mut().reset(Instant::now() + self.bounds.answer_within);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.received = self.received.saturating_add(buf.filled().len() - before);
        if self.received > self.bounds.request_bytes_max {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_deadline(cx)?;
        let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.answered();
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_deadline(cx)?;
        let taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.answered();
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
