//! Places in the config file, and problems that point at them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ReadFile;

/// A place in the config file. The default, 0:0, means: not in the file (a flag, the environment, a test).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
}

impl Place {
    /// The place of the byte at `offset`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// Whether it is a place in the file at all.
    pub fn is_in_file(self) -> bool {
        self.line != 0
    }
}

/// A value and where it was written. Two are equal if their values are: a line more above changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

impl<T: PartialEq> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Written<T> {}

/// One thing that is wrong (or, as a warning, odd): what it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong and what to do, as one sentence or two.
    pub message: String,
}

impl Problem {
    /// A problem at `place`.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

/// Everything that is wrong with a config, in the order of the file. Shown as one `file:line:column: message` a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The config file.
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems, sorted by place.
    pub fn new(path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        Self { path: path.to_owned(), problems }
    }

    /// The file could not be read at all.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let message = match error.kind() {
            io::ErrorKind::NotFound => {
                "there is no such file; name another with --config, or write one with \
                 `inrush new NAME`"
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "this user may not read it; change its owner or mode, or run inrush as its owner".to_owned()
            }
            io::ErrorKind::InvalidData => "it is not UTF-8 text; TOML has to be".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Self::new(path, vec![Problem::at(Place::default(), message)])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write_problem(out, &self.path, problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// `file:line:column: message`, the form that editors and terminals make clickable.
pub fn write_problem(out: &mut impl fmt::Write, path: &Path, problem: &Problem) -> fmt::Result {
    write!(out, "{}:", path.display())?;
    if problem.place.is_in_file() {
        write!(out, "{}:{}:", problem.place.line, problem.place.column)?;
    }
    write!(out, " {}", problem.message)
}

/// Collects problems while a file is read, so that the operator sees all of them at once.
pub(super) struct Source<'t> {
    text: &'t str,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Whether a secret's value stands in the file itself.
    pub(super) holds_secrets: bool,
    /// Other files that were read.
    pub(super) files: Vec<ReadFile>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new(), warnings: Vec::new(), holds_secrets: false, files: Vec::new() }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place::of(self.text, span.start)
    }

    pub(super) fn refuse(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::at(place, message));
    }

    pub(super) fn warn(&mut self, place: Place, message: impl Into<String>) {
        self.warnings.push(Problem::at(place, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nünï = 2\r\nz";
        for (needle, line, column) in [("a", 1, 1), ("1", 1, 5), ("ünï", 2, 1), ("2", 2, 7), ("z", 3, 1)] {
            let offset = text.find(needle).unwrap();
            assert_eq!(Place::of(text, offset), Place { line, column }, "{needle}");
        }
    }

    #[test]
    fn any_offset_has_a_place() {
        let text = "é\né";
        for offset in 0..10 {
            assert!(Place::of(text, offset).is_in_file());
        }
    }
}
