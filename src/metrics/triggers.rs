//! What is counted of each trigger: a block per worker, written by that worker only, summed when it is shown.

use std::fmt::Write;

use serde::Serialize;

use super::prometheus::{heading, written};
use super::{Counter, Gauge};

/// The numbers of one trigger.
#[derive(Debug)]
pub struct TriggerMetrics {
    /// The name of its webhook.
    pub webhook: String,
    /// Its id.
    pub trigger: String,
    /// What each of its nodes is called.
    pub nodes: Vec<&'static str>,
    /// One block for each worker.
    pub workers: Vec<TriggerBlock>,
}

/// What one worker counts of one trigger.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TriggerBlock {
    /// Events that the condition let through.
    pub events: Counter,
    /// Events that it did not.
    pub skipped: Counter,
    /// Events for which it could not be evaluated; they were not let through.
    pub condition_errors: Counter,
    /// Events on their way through nodes that wait.
    pub running: Gauge,
    /// Events whose turn it is not yet.
    pub waiting: Gauge,
    /// One for each node.
    pub nodes: Vec<NodeBlock>,
}

/// What one worker counts of one node.
#[derive(Debug, Default)]
pub struct NodeBlock {
    /// Times it ran.
    pub runs: Counter,
    /// Times it failed.
    pub failures: Counter,
    /// Times it was timed: always where it waits, else a sample.
    pub timed_runs: Counter,
    /// What these took together.
    pub timed_ns: Counter,
}

/// The sum over all workers, as it is shown.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // The names are those of the blocks.
pub struct TriggerCounts {
    pub webhook: String,
    pub trigger: String,
    pub events: u64,
    pub skipped: u64,
    pub condition_errors: u64,
    pub running: u64,
    pub waiting: u64,
    pub nodes: Vec<NodeCounts>,
}

/// The same of one node.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct NodeCounts {
    pub node: &'static str,
    pub runs: u64,
    pub failures: u64,
    /// The mean of the runs that were timed; `None`: none was.
    pub mean_us: Option<f64>,
}

impl TriggerMetrics {
    /// All numbers at zero.
    pub fn new(webhook: &str, trigger: &str, nodes: Vec<&'static str>, workers: usize) -> Self {
        let block = || TriggerBlock {
            nodes: nodes.iter().map(|_| NodeBlock::default()).collect(),
            ..TriggerBlock::default()
        };
        Self {
            webhook: webhook.to_owned(),
            trigger: trigger.to_owned(),
            workers: std::iter::repeat_with(block).take(workers).collect(),
            nodes,
        }
    }

    /// The numbers now.
    pub fn counts(&self) -> TriggerCounts {
        let sum = |number: fn(&TriggerBlock) -> u64| self.workers.iter().map(number).sum();
        let node = |(index, node): (usize, &&'static str)| {
            let sum = |number: fn(&NodeBlock) -> u64| {
                self.workers.iter().map(|worker| number(&worker.nodes[index])).sum::<u64>()
            };
            let (timed, ns) = (sum(|node| node.timed_runs.get()), sum(|node| node.timed_ns.get()));
            NodeCounts {
                node,
                runs: sum(|node| node.runs.get()),
                failures: sum(|node| node.failures.get()),
                mean_us: (timed > 0).then(|| ns as f64 / timed as f64 / 1000.0),
            }
        };
        TriggerCounts {
            webhook: self.webhook.clone(),
            trigger: self.trigger.clone(),
            events: sum(|block| block.events.get()),
            skipped: sum(|block| block.skipped.get()),
            condition_errors: sum(|block| block.condition_errors.get()),
            running: sum(|block| block.running.get()),
            waiting: sum(|block| block.waiting.get()),
            nodes: self.nodes.iter().enumerate().map(node).collect(),
        }
    }
}

/// A number of a trigger or node: name, HELP, TYPE, and how it is read.
type Row<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

const TRIGGER_ROWS: [Row<TriggerCounts>; 5] = [
    ("trigger_events_total", "Events that the condition of a trigger let through.", "counter", |t| t.events),
    (
        "trigger_skipped_total",
        "Events that the condition of a trigger did not let through.",
        "counter",
        |t| t.skipped,
    ),
    (
        "trigger_condition_errors_total",
        "Events for which the condition of a trigger could not be evaluated.",
        "counter",
        |t| t.condition_errors,
    ),
    ("trigger_running", "Events on their way through nodes that wait.", "gauge", |t| t.running),
    ("trigger_waiting", "Events whose turn at their trigger it is not yet.", "gauge", |t| t.waiting),
];

const NODE_ROWS: [Row<NodeCounts>; 2] = [
    ("node_runs_total", "Times a node of a trigger ran.", "counter", |node| node.runs),
    ("node_failures_total", "Times a node of a trigger failed.", "counter", |node| node.failures),
];

/// Appends the numbers of each trigger in the text format of Prometheus. Where there is none, there are no families.
pub(super) fn render(out: &mut String, triggers: &[TriggerCounts]) {
    if triggers.is_empty() {
        return;
    }
    let labels = |trigger: &TriggerCounts| {
        format!("webhook=\"{}\",trigger=\"{}\"", escaped(&trigger.webhook), escaped(&trigger.trigger))
    };
    for (name, help, kind, read) in TRIGGER_ROWS {
        heading(out, &format!("inrush_{name}"), help, kind);
        for trigger in triggers {
            written(writeln!(out, "inrush_{name}{{{}}} {}", labels(trigger), read(trigger)));
        }
    }
    if triggers.iter().all(|trigger| trigger.nodes.is_empty()) {
        return;
    }
    for (name, help, kind, read) in NODE_ROWS {
        heading(out, &format!("inrush_{name}"), help, kind);
        for trigger in triggers {
            for (index, node) in trigger.nodes.iter().enumerate() {
                let labels = format!("{},node=\"{}\",index=\"{index}\"", labels(trigger), escaped(node.node));
                written(writeln!(out, "inrush_{name}{{{labels}}} {}", read(node)));
            }
        }
    }
}

/// A label's value: the operator chose it, and it may hold what would end it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_label() {
        let metrics = TriggerMetrics::new("a\"b\\c\nd, {é}", "t", vec!["log", "log"], 2);
        metrics.workers[0].events.add(3);
        metrics.workers[1].waiting.set(2);
        metrics.workers[1].nodes[1].failures.add(5);
        let mut text = String::new();
        render(&mut text, &[metrics.counts()]);
        let labels = r#"webhook="a\"b\\c\nd, {é}",trigger="t""#;
        for line in [
            format!("inrush_trigger_events_total{{{labels}}} 3"),
            format!("inrush_trigger_waiting{{{labels}}} 2"),
            format!("inrush_node_failures_total{{{labels},node=\"log\",index=\"0\"}} 0"),
            format!("inrush_node_failures_total{{{labels},node=\"log\",index=\"1\"}} 5"),
        ] {
            assert_eq!(text.lines().filter(|found| **found == line).count(), 1, "{line} in\n{text}");
        }
        let families = TRIGGER_ROWS.len() + NODE_ROWS.len();
        assert_eq!(text.lines().count(), families * 2 + TRIGGER_ROWS.len() + 2 * NODE_ROWS.len());
    }

    #[test]
    fn where_there_is_nothing_there_is_no_family() {
        let mut text = String::new();
        render(&mut text, &[]);
        assert_eq!(text, "");
        render(&mut text, &[TriggerMetrics::new("w", "t", Vec::new(), 1).counts()]);
        assert!(text.contains("inrush_trigger_events_total") && !text.contains("inrush_node_"), "{text}");
    }

    #[test]
    fn the_numbers_of_all_workers_are_summed() {
        let metrics = TriggerMetrics::new("w", "t", vec!["log", "exec"], 2);
        for (index, block) in metrics.workers.iter().enumerate() {
            block.events.add(3 + index as u64);
            block.waiting.set(2);
            block.nodes[1].runs.add(5);
            block.nodes[1].failures.add(1);
            block.nodes[1].timed_runs.add(2);
            block.nodes[1].timed_ns.add(6000);
        }
        let counts = metrics.counts();
        assert_eq!((counts.events, counts.skipped, counts.waiting), (7, 0, 4));
        assert_eq!((counts.nodes[0].runs, counts.nodes[0].mean_us), (0, None));
        let exec = &counts.nodes[1];
        assert_eq!((exec.node, exec.runs, exec.failures, exec.mean_us), ("exec", 10, 2, Some(3.0)));
    }
}
