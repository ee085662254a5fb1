//! One HTTP/1.1 connection: hyper's two halves, driven together by whoever waits for the answer.
//!
//! hyper expects its half that reads and writes on a task of its own. Polled in the task of the exchange instead, it
//! costs no task and no wake-up between two, and it is gone with the future of the exchange: whoever drops that, closes
//! the connection.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;

use super::connect::Stream;

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    /// The driver came to its end and must not be polled again.
    is_closed: bool,
    address: SocketAddr,
}

impl Connection {
    pub async fn new(stream: Stream, address: SocketAddr) -> Result<Self, String> {
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_BYTES_MAX);
        let (sender, driver) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        Ok(Self { sender, driver, is_closed: false, address })
    }

    /// The address that it is pinned to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// hyper's, with the request in it if not a byte of it was written.
    pub async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let (driver, is_closed) = (&mut self.driver, &mut self.is_closed);
        std::future::poll_fn(|cx| {
            // First: what it reads is what the answer waits for.
            drive(driver, is_closed, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Reads an answer's body to its end, or until `take` has seen `bytes_max` of it. Returns whether that was the end.
    pub async fn read(&mut self, body: &mut Incoming, bytes_max: usize, mut take: impl FnMut(&[u8])) -> bool {
        let (mut read, mut is_driven) = (0, false);
        std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(Some(Ok(frame))) => {
                        let data = frame.data_ref().map_or(&[][..], |data| data);
                        take(data);
                        read += data.len();
                        if read > bytes_max {
                            return Poll::Ready(false);
                        }
                        is_driven = false;
                    }
                    Poll::Pending if is_driven => {
                        is_driven = false;
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        drive(&mut self.driver, &mut self.is_closed, cx);
                        is_driven = true;
                    }
                }
            }
        })
        .await
    }

    /// Whether another request can be sent: the last exchange is over, and nothing says that the other side closed.
    pub async fn is_open(&mut self) -> bool {
        // Out of its budget for this turn, tokio would say of a closed connection that there is nothing to read yet.
        tokio::task::coop::unconstrained(std::future::poll_fn(|cx| {
            drive(&mut self.driver, &mut self.is_closed, cx);
            Poll::Ready(!self.is_closed && self.sender.is_ready())
        }))
        .await
    }
}

/// Reads and writes what can be. Its errors reach the one who waits for the answer.
fn drive(
    driver: &mut http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    is_closed: &mut bool,
    cx: &mut Context<'_>,
) {
    if !*is_closed {
        *is_closed = Pin::new(driver).poll(cx).is_ready();
    }
}
