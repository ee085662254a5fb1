//! The blocks as text: the exposition format of Prometheus, version 0.0.4.
//!
//! Each number is read once per rendering; the lines per core and the line that sums them are made of the same
//! readings, so within one scrape they agree.

use super::counter::{BUCKETS, Counter, Gauge, Histogram, bound_ns};
use super::status::{ByStatus, SLOTS, STATUSES};
use std::fmt::{self, Write};

/// A block of numbers that knows its rows.
pub(super) trait Block: Sized + 'static {
    /// One row for each number.
    const ROWS: &'static [Row<Self>];
}

/// How one number of a block is called and read.
pub(super) struct Row<B> {
    /// The name without its prefix.
    pub name: &'static str,
    /// What it is, for a person; white space around it is cut.
    pub help: &'static str,
    /// Reads it.
    pub read: fn(&B) -> Reading,
}

/// What the blocks of one kind are called.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    /// The label that tells one block from the other.
    pub label: &'static str,
    /// The prefix of the numbers of each block.
    pub each: &'static str,
    /// The prefix of their sums.
    pub all: &'static str,
}

/// One number, or the numbers of one histogram, as read at one moment.
#[derive(Clone)]
pub(super) enum Reading {
    Counter(u64),
    Gauge(u64),
    ByStatus([u64; SLOTS]),
    Histogram { buckets: [u64; BUCKETS], sum_ns: u64 },
}

/// What can be read as one [`Reading`].
pub(super) trait Read {
    fn read(&self) -> Reading;
}

impl Read for Counter {
    fn read(&self) -> Reading {
        Reading::Counter(self.get())
    }
}

impl Read for Gauge {
    fn read(&self) -> Reading {
        Reading::Gauge(self.get())
    }
}

impl Read for ByStatus {
    fn read(&self) -> Reading {
        Reading::ByStatus(self.slots())
    }
}

impl Read for Histogram {
    fn read(&self) -> Reading {
        Reading::Histogram { buckets: self.buckets(), sum_ns: self.sum() }
    }
}

impl Reading {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) | Self::ByStatus(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram { .. } => "histogram",
        }
    }

    /// Adds the reading of the same row of another block.
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(more)) | (Self::Gauge(sum), Self::Gauge(more)) => {
                *sum = sum.wrapping_add(*more);
            }
            (Self::ByStatus(sums), Self::ByStatus(more)) => merge_each(sums, more),
            (Self::Histogram { buckets, sum_ns }, Self::Histogram { buckets: more, sum_ns: more_ns }) => {
                merge_each(buckets, more);
                *sum_ns = sum_ns.wrapping_add(*more_ns);
            }
            _ => unreachable!("a row reads every block alike"),
        }
    }

    /// Writes the samples. `labels` is what stands inside the braces, empty where there is none.
    fn write(&self, out: &mut String, name: &str, labels: &str) -> fmt::Result {
        let braced = |out: &mut String, suffix: &str, more: fmt::Arguments<'_>| {
            let comma = if labels.is_empty() { "" } else { "," };
            write!(out, "{name}{suffix}{{{labels}{comma}{more}}}")
        };
        let plain = |out: &mut String, suffix: &str| match labels {
            "" => write!(out, "{name}{suffix}"),
            _ => write!(out, "{name}{suffix}{{{labels}}}"),
        };
        match self {
            Self::Counter(n) | Self::Gauge(n) => {
                plain(out, "")?;
                writeln!(out, " {n}")
            }
            Self::ByStatus(slots) => {
                for (status, n) in STATUSES.iter().zip(slots) {
                    braced(out, "", format_args!("status=\"{status}\""))?;
                    writeln!(out, " {n}")?;
                }
                braced(out, "", format_args!("status=\"other\""))?;
                writeln!(out, " {}", slots[SLOTS - 1])
            }
            Self::Histogram { buckets, sum_ns } => {
                let mut cumulative = 0u64;
                for (at, held) in buckets.iter().enumerate() {
                    cumulative = cumulative.wrapping_add(*held);
                    match bound_ns(at) {
                        Some(bound) => braced(out, "_bucket", format_args!("le=\"{}\"", Seconds(bound)))?,
                        None => braced(out, "_bucket", format_args!("le=\"+Inf\""))?,
                    }
                    writeln!(out, " {cumulative}")?;
                }
                plain(out, "_sum")?;
                writeln!(out, " {}", Seconds(*sum_ns))?;
                plain(out, "_count")?;
                writeln!(out, " {cumulative}")
            }
        }
    }
}

fn merge_each(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

/// Nanoseconds, written as seconds exactly: no float loses the last digits of a sum that has grown for a year.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Appends every row of the blocks, once per block and once summed.
pub(super) fn blocks<B: Block>(out: &mut String, naming: Naming, blocks: &[B]) {
    let Naming { label, each, all } = naming;
    for row in B::ROWS {
        let readings: Vec<Reading> = blocks.iter().map(row.read).collect();
        let Some((first, rest)) = readings.split_first() else { return };
        let mut total = first.clone();
        rest.iter().for_each(|reading| total.merge(reading));

        let name = format!("inrush_{each}{}", row.name);
        heading(out, &name, row.help.trim(), total.kind());
        for (at, reading) in readings.iter().enumerate() {
            written(reading.write(out, &name, &format!("{label}=\"{at}\"")));
        }
        let name = format!("inrush_{all}{}", row.name);
        heading(out, &name, &format!("{} All {label}s together.", row.help.trim()), total.kind());
        written(total.write(out, &name, ""));
    }
}

/// Appends a gauge that belongs to no block. `labels` stands in its braces.
pub(super) fn single(out: &mut String, name: &str, help: &str, labels: &str, value: u64) {
    let name = format!("inrush_{name}");
    heading(out, &name, help, "gauge");
    written(Reading::Gauge(value).write(out, &name, labels));
}

/// The same for a number that only grows.
pub(super) fn total(out: &mut String, name: &str, help: &str, value: u64) {
    let name = format!("inrush_{name}_total");
    heading(out, &name, help, "counter");
    written(Reading::Counter(value).write(out, &name, ""));
}

pub(super) fn heading(out: &mut String, name: &str, help: &str, kind: &str) {
    written(writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}"));
}

/// A `String` takes whatever is written to it.
pub(super) fn written(result: fmt::Result) {
    debug_assert!(result.is_ok());
}
