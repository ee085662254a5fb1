//! `inrush triggers [NAME]`: what the running server has counted of each trigger and its nodes.

use std::fmt::Write as _;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::admin::{self, Admin};
use super::{Failure, Options, exit, installed, print};

/// The arguments of `triggers`.
#[derive(Debug, Args)]
pub(super) struct Triggers {
    /// The name of the webhook [default: all]
    name: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// One trigger, as the server shows it.
#[derive(Debug, Serialize, Deserialize)]
struct Trigger {
    webhook: String,
    trigger: String,
    events: u64,
    skipped: u64,
    condition_errors: u64,
    running: u64,
    waiting: u64,
    nodes: Vec<Node>,
}

/// One of its nodes.
#[derive(Debug, Serialize, Deserialize)]
struct Node {
    node: String,
    runs: u64,
    failures: u64,
    mean_us: Option<f64>,
}

impl Triggers {
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let (config, _) = options.load()?;
        if let Some(name) = &self.name {
            installed(&config, name)?;
        }
        let admin = Admin::of(&config, options)?;
        let answer = admin::block_on(async { admin.get("/triggers").await?.document().await })?;
        let mut triggers: Vec<Trigger> = serde_json::from_slice(&answer).map_err(|error| {
            Failure::new(
                exit::UNAVAILABLE,
                format!("the server speaks of triggers in another way; is it of this version? {error}"),
            )
        })?;
        triggers.retain(|trigger| self.name.as_ref().is_none_or(|name| *name == trigger.webhook));
        if self.json {
            let json = serde_json::to_string_pretty(&triggers)
                .map_err(|error| Failure::new(exit::INTERNAL, format!("cannot write JSON: {error}")))?;
            print(&format!("{json}\n"))
        } else {
            print(&table(&triggers))
        }
    }
}

const TRIGGER_COLUMNS: [&str; 7] =
    ["WEBHOOK", "TRIGGER", "EVENTS", "SKIPPED", "CONDITION ERRORS", "RUNNING", "WAITING"];

/// A line for each trigger, and below it one for each of its nodes.
fn table(triggers: &[Trigger]) -> String {
    let mut heads = vec![TRIGGER_COLUMNS.map(str::to_owned)];
    heads.extend(triggers.iter().map(|trigger| {
        let Trigger { webhook, trigger, events, skipped, condition_errors, running, waiting, .. } = trigger;
        let [events, skipped, errors] = [events, skipped, condition_errors].map(u64::to_string);
        [webhook.clone(), trigger.clone(), events, skipped, errors, running.to_string(), waiting.to_string()]
    }));
    let cells = |node: &Node| {
        let each = node.mean_us.map_or_else(|| "not timed".to_owned(), |us| format!("{} each", readable(us)));
        [node.node.clone(), format!("{} runs", node.runs), format!("{} failures", node.failures), each]
    };
    let nodes: Vec<Vec<[String; 4]>> =
        triggers.iter().map(|trigger| trigger.nodes.iter().map(cells).collect()).collect();
    let (head_widths, node_widths) = (widths(&heads), widths(nodes.iter().flatten()));
    let mut text = String::new();
    for (index, head) in heads.iter().enumerate() {
        // The two names at the left, numbers at the right.
        write_line(&mut text, "", head, &head_widths, 2);
        // The first line is the heading.
        for node in index.checked_sub(1).and_then(|at| nodes.get(at)).into_iter().flatten() {
            write_line(&mut text, "    ", node, &node_widths, 1);
        }
    }
    text
}

/// How wide each column has to be.
fn widths<'c, const N: usize>(lines: impl IntoIterator<Item = &'c [String; N]>) -> [usize; N] {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

/// Writes cells in columns, the first `left` of them at the left of theirs, the others at the right.
fn write_line<const N: usize>(
    text: &mut String,
    indent: &str,
    cells: &[String; N],
    widths: &[usize; N],
    left: usize,
) {
    text.push_str(indent);
    for (index, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        let gap = if index == 0 { "" } else { "  " };
        let _ = match index < left {
            true => write!(text, "{gap}{cell:width$}"),
            false => write!(text, "{gap}{cell:>width$}"),
        };
    }
    text.push('\n');
}

/// Microseconds in the unit that a person would choose, three digits of them.
fn readable(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 0.9995 => (us * 1e3, "ns"),
        us if us < 999.5 => (us, "µs"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        for (us, expected) in [
            (0.0, "0.00 ns"),
            (0.25, "250 ns"),
            (0.9996, "1.00 µs"),
            (9.994, "9.99 µs"),
            (9.996, "10.0 µs"),
            (12.34, "12.3 µs"),
            (99.96, "100 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (45_678.0, "45.7 ms"),
            (999_600.0, "1.00 s"),
            (123_456_789.0, "123 s"),
        ] {
            assert_eq!(readable(us), expected, "{us}");
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let trigger = |webhook: &str, events, nodes| Trigger {
            webhook: webhook.into(),
            trigger: "main".into(),
            events,
            skipped: 0,
            condition_errors: 0,
            running: 3,
            waiting: 0,
            nodes,
        };
        let node = |node: &str, runs, mean_us| Node { node: node.into(), runs, failures: 1, mean_us };
        let text = table(&[
            trigger("orders", 123_456, vec![node("file", 7, Some(2.5)), node("discard", 123_456, None)]),
            trigger("é", 1, vec![]),
        ]);
        let expected = "\
WEBHOOK  TRIGGER  EVENTS  SKIPPED  CONDITION ERRORS  RUNNING  WAITING
orders   main     123456        0                 0        3        0
    file          7 runs  1 failures  2.50 µs each
    discard  123456 runs  1 failures     not timed
é        main          1        0                 0        3        0
";
        assert_eq!(text, expected);
    }
}
