//! What a command reads and what it says: the event on its standard input, the end of its standard error.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::node::line::{PIECE_BYTES, flat};

/// So much of the standard error is kept.
const TAIL_BYTES: usize = 4 * 1024;
/// So much is read at once, and the most that a pipe holds unless its owner asks for more.
const READ_BYTES: usize = 64 * 1024;

/// A pipe to a command: our end, and its end.
pub(super) fn to_command() -> io::Result<(Sender, OwnedFd)> {
    let (read, write) = pipe()?;
    Ok((Sender::from_owned_fd(write)?, read))
}

/// A pipe from a command: our end, and its end.
pub(super) fn from_command() -> io::Result<(Receiver, OwnedFd)> {
    let (read, write) = pipe()?;
    Ok((Receiver::from_owned_fd(read)?, write))
}

/// Both ends, close-on-exec. Neither is one of the three descriptors that the child moves about, even if the process
/// has closed one of its own.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((beyond_three(read)?, beyond_three(write)?))
}

fn beyond_three(fd: OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
}

/// Writes an event's line from the event's own memory, then closes the pipe.
///
/// # Errors
/// When the command closed its end, which is its right.
pub(super) async fn feed(mut pipe: Sender, before: &[u8], body: &[u8], after: &[u8]) -> io::Result<()> {
    write_all(&mut pipe, before).await?;
    let mut scratch = Vec::new();
    for piece in body.chunks(PIECE_BYTES) {
        write_all(&mut pipe, flat(piece, &mut scratch)).await?;
    }
    write_all(&mut pipe, after).await
}

async fn write_all(pipe: &mut Sender, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *pipe).poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// The end of what a command wrote to its standard error.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// Reads until everybody has closed the pipe.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn listen(&mut self, pipe: &mut Receiver) -> io::Result<()> {
        let mut room = vec![0; READ_BYTES];
        loop {
            let mut read = ReadBuf::new(&mut room);
            poll_fn(|cx| Pin::new(&mut *pipe).poll_read(cx, &mut read)).await?;
            match read.filled() {
                [] => return Ok(()),
                bytes => self.push(bytes),
            }
        }
    }

    /// Takes what is in the pipe now and waits for nothing, because a process that left the group may hold it open. The
    /// runtime's own idea of what can be read may be older than the exit, so the system is asked.
    pub(super) fn take_rest(&mut self, pipe: &Receiver) {
        let mut room = vec![0; READ_BYTES];
        if let Ok(bytes) = rustix::io::read(pipe.as_fd(), &mut room[..]) {
            self.push(&room[..bytes]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        let excess = self.bytes.len().saturating_sub(TAIL_BYTES);
        self.bytes.drain(..excess);
    }

    /// The last line that is not blank, with control characters escaped.
    pub(super) fn last_line(&self) -> Option<String> {
        let mut lines = self.bytes.rsplit(|byte| matches!(byte, b'\n' | b'\r'));
        let line = lines.find(|line| !line.trim_ascii().is_empty())?;
        let escaped =
            String::from_utf8_lossy(line.trim_ascii()).chars().fold(String::new(), |mut text, c| {
                if c.is_control() {
                    text.extend(c.escape_default())
                } else {
                    text.push(c)
                }
                text
            });
        Some(escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something() {
        for (written, expected) in [
            (&b""[..], None),
            (b"\n \n\r\n", None),
            (b"one", Some("one")),
            (b"one\ntwo\n\n  \n", Some("two")),
            (b"10 %\r20 %\r", Some("20 %")),
            (b"\x1b[31mred\x1b[0m\x07\n", Some("\\u{1b}[31mred\\u{1b}[0m\\u{7}")),
            (b"bad \xff\xfe bytes\n", Some("bad \u{fffd}\u{fffd} bytes")),
            ("gr\u{fc}n \u{85}\n".as_bytes(), Some("gr\u{fc}n \\u{85}")),
        ] {
            for split in 0..=written.len() {
                let mut tail = Tail::default();
                tail.push(&written[..split]);
                tail.push(&written[split..]);
                assert_eq!(tail.last_line().as_deref(), expected, "{written:?} at {split}");
            }
        }
    }

    #[test]
    fn only_the_end_is_kept() {
        let written: Vec<u8> = (0..20_000u32).map(|i| b'a' + (i % 23) as u8).collect();
        for step in [1, 7, 4095, 4096, 4097, 20_000] {
            let mut tail = Tail::default();
            written.chunks(step).for_each(|piece| tail.push(piece));
            assert_eq!(tail.bytes, written[written.len() - TAIL_BYTES..], "{step} at a time");
        }
    }
}
