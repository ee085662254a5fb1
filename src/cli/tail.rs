//! `inrush tail [NAME]`: events of the running server as they happen, one JSON line each on stdout.

use std::io::{self, Write};
use std::num::NonZeroU64;

use clap::Args;

use super::admin::{self, Admin};
use super::{Failure, Options, exit, installed};

/// Longer than any line of a server: a head has 64 KiB at most, a body that is shown as well.
const LINE_BYTES_MAX: usize = 16 << 20;
/// What an event's line begins with; other lines say what was left out.
const EVENT: &[u8] = b"{\"id\":";

/// The arguments of `tail`.
#[derive(Debug, Args)]
pub(super) struct Tail {
    /// The name of the webhook [default: all]
    name: Option<String>,
    /// Only events that meet this condition, such as 'payload.method == "POST"'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Of these, only every Nth
    #[arg(long, value_name = "N", default_value = "1")]
    every: NonZeroU64,
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
}

impl Tail {
    /// Ends by `--count`, when nobody reads stdout any more, or with a failure when the server ends.
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let (config, _) = options.load()?;
        if let Some(name) = &self.name {
            installed(&config, name)?;
        }
        let admin = Admin::of(&config, options)?;
        let target = self.target();
        let mut printer =
            Printer { out: io::stdout(), left: self.count.map(NonZeroU64::get), part: Vec::new() };
        admin::block_on(async {
            let mut answer = admin.get(&target).await?;
            while let Some(bytes) = answer.next().await? {
                if printer.take(&bytes)? == Wants::Nothing {
                    return Ok(());
                }
            }
            Err(Failure::new(exit::UNAVAILABLE, "the server has stopped"))
        })
    }

    fn target(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("webhook", &self.name), ("filter", &self.filter)] {
            value.iter().for_each(|value| {
                query.append_pair(name, value);
            });
        }
        query.append_pair("every", &self.every.to_string());
        format!("/tail?{}", query.finish())
    }
}

/// Writes whole lines as they come.
struct Printer<W> {
    out: W,
    /// Events until the end.
    left: Option<u64>,
    /// The beginning of a line.
    part: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Wants {
    More,
    Nothing,
}

impl<W: Write> Printer<W> {
    fn take(&mut self, bytes: &[u8]) -> Result<Wants, Failure> {
        self.part.extend_from_slice(bytes);
        let whole = self.part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let part = self.part.split_off(whole);
        let lines = std::mem::replace(&mut self.part, part);
        if self.part.len() > LINE_BYTES_MAX {
            return Err(Failure::new(exit::UNAVAILABLE, "the server sends a line without end"));
        }
        // An empty line is a sign of life.
        for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n") {
            match self.out.write_all(line).and_then(|()| self.out.flush()) {
                Ok(()) => {}
                // Who reads has seen enough, as with `inrush tail | head`.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Wants::Nothing),
                Err(error) => return Err(Failure::new(exit::IO, format!("cannot write to stdout: {error}"))),
            }
            let Some(left) = &mut self.left else { continue };
            *left -= u64::from(line.starts_with(EVENT));
            if *left == 0 {
                return Ok(Wants::Nothing);
            }
        }
        Ok(Wants::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"{\"id\":1}\n\n{\"skipped\":4}\n{\"id\":2}\n\n{\"id\":3}\n";
        for size in 1..=text.len() {
            let mut printer = Printer { out: Vec::new(), left: Some(2), part: Vec::new() };
            let wants: Vec<_> = text
                .chunks(size)
                .map(|piece| printer.take(piece).unwrap())
                .take_while(|wants| *wants == Wants::More)
                .collect();
            assert!(wants.len() < text.len().div_ceil(size), "{size}: it does not end");
            assert_eq!(printer.out, b"{\"id\":1}\n{\"skipped\":4}\n{\"id\":2}\n", "{size}");
        }
        let mut printer = Printer { out: Vec::new(), left: None, part: Vec::new() };
        assert_eq!(printer.take(text).unwrap(), Wants::More);
        assert_eq!(printer.out.iter().filter(|byte| **byte == b'\n').count(), 4);
    }

    #[test]
    fn what_is_asked_for_keeps_its_letters() {
        let tail = Tail {
            name: Some("a & b".into()),
            filter: Some("payload.body.t == \"é\" && 1 < 2 + 3".into()),
            every: NonZeroU64::new(7).unwrap(),
            count: None,
        };
        let target = tail.target();
        let query = target.strip_prefix("/tail?").unwrap();
        let read: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let expected = [("webhook", "a & b"), ("filter", tail.filter.as_deref().unwrap()), ("every", "7")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(target.is_ascii() && !target.contains(' '));
    }
}
