//! One request and its answer, over a connection of its own.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::answer::Answer;
use super::input::Input;
use super::progress::Progress;
use super::target::Target;
use crate::cli::{Failure, Options, exit};

/// Until there is a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte sent or received. The server may work on an answer for that long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer's body so much is read; a problem document has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A request that was answered.
pub struct Sent {
    /// The answer.
    pub answer: Answer,
    /// Of the document; less than all of it when the answer came early.
    pub document_bytes: u64,
    /// From the first attempt to connect to the last byte of the answer.
    pub took: Duration,
}

/// Why there is no answer.
pub enum Lost {
    /// Nobody listens.
    Refused,
    /// No connection, or it ended.
    Broken(String),
    /// What was to be sent could not be read, or another failure that is not the server's.
    Ours(Failure),
}

impl Lost {
    /// What to tell the operator.
    pub fn into_failure(self, target: &Target, options: &Options, elsewhere: bool) -> Failure {
        let at = &target.authority;
        let message = match self {
            Self::Ours(failure) => return failure,
            Self::Broken(why) => format!("no answer from {at}: {why}"),
            Self::Refused if elsewhere => {
                format!("no server listens on {at}; is the URL right, and does it run?")
            }
            Self::Refused => {
                let config = options.config.as_ref();
                let config = config.map(|path| format!(" --config {}", path.display())).unwrap_or_default();
                format!(
                    "no server listens on {at}; start it with `inrush serve{config}`, or name its address with --url"
                )
            }
        };
        Failure::new(exit::UNAVAILABLE, message)
    }
}

/// Sends `head` with `input` behind it, and reads the answer, whenever it comes.
pub fn exchange(target: &Target, head: Request<()>, input: Input) -> Result<Sent, Lost> {
    let system = |error| Lost::Ours(Failure::new(exit::IO, format!("the system refuses a runtime: {error}")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let sent = runtime.block_on(run(target, head, input, STALL_TIMEOUT));
    // A look-up of a name that is still under way is not waited for.
    runtime.shutdown_background();
    sent
}

async fn run(target: &Target, head: Request<()>, input: Input, patience: Duration) -> Result<Sent, Lost> {
    let start = Instant::now();
    let stream = connect(target).await?;
    let progress = Rc::new(Progress::new(input.length));
    let (body, unreadable) = input.read(progress.clone());
    let broken = |error: hyper::Error| match (error.is_user(), std::error::Error::source(&error)) {
        (true, Some(cause)) => Lost::Ours(unreadable(cause)),
        (_, Some(cause)) => Lost::Broken(format!("{error}: {cause}")),
        _ => Lost::Broken(error.to_string()),
    };

    let stream = Stream { tcp: stream, cut: Cell::new(false), progress: progress.clone() };
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let conversation = async {
        let answer = sender.send_request(head.map(|()| body)).await.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        // The status counts even if the rest is too long, or the connection ends within it.
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer::read(parts.status, &parts.headers, &body))
    };
    let connection = async {
        // How it ended, the conversation is told as well.
        let _ = connection.await;
        std::future::pending().await
    };
    let answer = tokio::select! {
        biased;
        answer = conversation => answer,
        never = connection => never,
        () = progress.stalled(patience) =>
            Err(Lost::Broken(format!("nothing moved for {} s", patience.as_secs()))),
    }?;
    Ok(Sent { answer, document_bytes: progress.document_bytes(), took: start.elapsed() })
}

async fn connect(target: &Target) -> Result<TcpStream, Lost> {
    let connecting = TcpStream::connect((target.host.as_str(), target.port));
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => {
            // The end of a body shall not wait for an acknowledgement of what went before.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Lost::Refused),
        Ok(Err(error)) => Err(Lost::Broken(error.to_string())),
        Err(_) => Err(Lost::Broken(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// A connection that counts. Once the other side takes nothing more, writing stands still instead of failing: what
/// it said before it hung up is still to be read, and when there is nothing to read, reading fails.
struct Stream {
    tcp: TcpStream,
    cut: Cell<bool>,
    progress: Rc<Progress>,
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 8 * 1024];
        let most = bytes.len().min(into.remaining());
        let mut read = ReadBuf::new(&mut bytes[..most]);
        Pin::new(&mut self.tcp).poll_read(context, &mut read).map_ok(|()| {
            self.progress.moved();
            into.put_slice(read.filled());
        })
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.get() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.tcp).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                self.progress.sent(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) if is_cut(&error) => {
                self.cut.set(true);
                // Reading may already have been refused with what was there then.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    const LONG: Duration = Duration::from_secs(20);

    /// Posts `bytes` bytes to a server that does `serve` with its one connection, and leaves open what that returns.
    fn post(
        bytes: usize,
        patience: Duration,
        serve: impl FnOnce(std::net::TcpStream) -> Option<std::net::TcpStream> + Send + 'static,
    ) -> Result<Sent, Lost> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("document");
        std::fs::write(&file, vec![b' '; bytes]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        let target = Target::new(&url, uuid::Uuid::nil(), None, None).unwrap();
        let head = Request::post(target.uri.clone()).header("host", "a").body(()).unwrap();
        let input = Input::open(file.to_str()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = runtime.block_on(run(&target, head, input, patience));
        drop(server.join().unwrap());
        sent
    }

    fn read_some(stream: &mut std::net::TcpStream) {
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    }

    const REFUSAL: &[u8] =
        b"HTTP/1.1 413 x\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"code\":\"large\"}";

    /// Unread bytes make the close a reset, which cuts the sending: the answer was there before it.
    #[test]
    fn an_early_answer_is_heard_however_the_server_hangs_up() {
        for linger in [true, false] {
            for _ in 0..20 {
                let sent = post(8 << 20, LONG, move |mut stream| {
                    read_some(&mut stream);
                    stream.write_all(REFUSAL).unwrap();
                    if linger {
                        stream.shutdown(Shutdown::Write).unwrap();
                        // The client hears the answer and hangs up, with a reset or without.
                        let _ = io::copy(&mut stream, &mut io::sink());
                    }
                    None
                });
                let answer = sent.ok().expect("an answer").answer;
                assert_eq!((answer.status.as_u16(), answer.code.as_deref()), (413, Some("large")));
            }
        }
    }

    #[test]
    fn a_server_that_hangs_up_without_a_word_is_no_answer() {
        for bytes in [1, 8 << 20] {
            let lost = post(bytes, LONG, |mut stream| {
                read_some(&mut stream);
                None
            })
            .err()
            .expect("no answer");
            let Lost::Broken(why) = lost else { panic!("it is the server's fault") };
            assert!(!why.contains("nothing moved"), "{why}");
        }
    }

    #[test]
    fn a_server_that_stands_still_is_given_up() {
        let lost = post(8 << 20, Duration::from_millis(50), Some);
        let Some(Lost::Broken(why)) = lost.err() else { panic!("an answer, or our fault") };
        assert!(why.contains("nothing moved"), "{why}");
    }
}
