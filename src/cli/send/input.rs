//! What is posted: a file or stdin, read by a thread of its own a piece at a time, so that an answer is heard while
//! the next piece is still waited for.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::progress::Progress;
use crate::cli::{Failure, exit};

/// Read and sent at a time.
const PIECE_BYTES: usize = 128 * 1024;
/// Pieces that wait to be sent. With these, what the client holds in memory is bounded whatever the file's size.
const PIECES_MAX: usize = 4;

/// A document that is not read yet.
pub struct Input {
    /// As the operator named it.
    name: String,
    source: Source,
    /// Unknown for what is no regular file.
    pub length: Option<u64>,
}

enum Source {
    File(File),
    StandIn,
}

impl Input {
    /// Opens `file`, `-` being stdin. Without one it is stdin unless that is a terminal, where a person would wait
    /// for an answer, and not expect to be waited for: then it is `{}`, which an empty body means to the server too.
    pub fn open(file: Option<&str>) -> Result<Self, Failure> {
        let stdin = io::stdin();
        if file.is_none() && stdin.is_terminal() {
            return Ok(Self { name: "{}".into(), source: Source::StandIn, length: Some(2) });
        }
        let (name, opened) = match file {
            None | Some("-") => ("stdin".to_owned(), stdin.as_fd().try_clone_to_owned().map(File::from)),
            Some(path) => (path.to_owned(), File::open(path)),
        };
        let measured = opened.and_then(|file| Ok((length(&file)?, file)));
        let (length, file) = measured.map_err(|error| unreadable(&name, &error))?;
        Ok(Self { name, source: Source::File(file), length })
    }

    /// Whether nobody said what to post.
    pub fn is_a_stand_in(&self) -> bool {
        matches!(self.source, Source::StandIn)
    }

    /// Starts to read it. What could not be read is told by `unreadable`.
    pub fn read(self, progress: Rc<Progress>) -> (Pieces, impl Fn(&dyn std::fmt::Display) -> Failure) {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let length = self.length;
        // Not joined: a read of stdin may never end, and must not hold up the answer.
        std::thread::spawn(move || match self.source {
            Source::File(file) => copy(file, length, &sender),
            Source::StandIn => copy(&b"{}"[..], length, &sender),
        });
        (Pieces { pieces, left: length, progress }, move |error: &dyn std::fmt::Display| {
            unreadable(&self.name, error)
        })
    }
}

/// How much there is to read, where it can be known. The files of /proc say 0 and have more.
fn length(mut file: &File) -> io::Result<Option<u64>> {
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() || found.len() == 0 {
        return Ok(None);
    }
    let left = found.len().saturating_sub(file.stream_position()?);
    Ok((left > 0).then_some(left))
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(exit::IO, format!("cannot read {name}: {error}"))
}

/// Reads `source` to its end, or as far as was announced, until nobody takes the pieces any more.
fn copy(mut source: impl Read, length: Option<u64>, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut left = length.unwrap_or(u64::MAX);
    while left > 0 {
        let most = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        let piece = match source.read(&mut buffer[..most]) {
            Ok(0) if length.is_none() => return,
            Ok(0) => Err(io::Error::other("it became shorter while it was sent")),
            Ok(read) => {
                left -= read as u64;
                Ok(Bytes::copy_from_slice(&buffer[..read]))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let ends = piece.is_err();
        if sender.blocking_send(piece).is_err() || ends {
            return;
        }
    }
}

/// The body of the request: of a known length, or chunked.
pub struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: Option<u64>,
    progress: Rc<Progress>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = self.pieces.poll_recv(context);
        self.progress.waits_for_input(polled.is_pending());
        polled.map(|piece| {
            piece.map(|piece| {
                let piece = piece?;
                self.progress.read(piece.len());
                self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
                Ok(Frame::data(piece))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Write;

    fn collect(input: Input) -> (Option<u64>, Result<Vec<u8>, String>) {
        let (pieces, _) = input.read(Rc::new(Progress::new(None)));
        let announced = pieces.size_hint().exact();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(pieces.collect());
        (announced, body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string()))
    }

    #[test]
    fn a_file_is_read_as_far_as_was_announced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let name = path.to_str().unwrap();
        for bytes in [1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let content: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
            std::fs::write(&path, &content).unwrap();
            assert_eq!(collect(Input::open(Some(name)).unwrap()), (Some(bytes as u64), Ok(content.clone())));

            let grows = Input::open(Some(name)).unwrap();
            File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
            assert_eq!(collect(grows), (Some(bytes as u64), Ok(content)));

            let shrinks = Input::open(Some(name)).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(bytes as u64 - 1).unwrap();
            let (_, body) = collect(shrinks);
            assert_eq!(body.unwrap_err(), "it became shorter while it was sent");
        }
    }

    #[test]
    fn what_has_no_length_is_chunked() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        assert_eq!(collect(Input::open(empty.to_str()).unwrap()), (None, Ok(Vec::new())));
        assert_eq!(collect(Input::open(Some("/dev/null")).unwrap()), (None, Ok(Vec::new())));
        let (announced, body) = collect(Input::open(Some("/proc/self/stat")).unwrap());
        assert!(announced.is_none() && !body.unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().join("absent"), directory.path().to_owned()] {
            let failure = Input::open(path.to_str()).err().unwrap();
            assert_eq!(failure.code, exit::IO);
            assert!(failure.message.contains(path.to_str().unwrap()), "{}", failure.message);
        }
    }
}
