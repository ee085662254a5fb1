//! The rendering is parsed back by a strict reader of the text format, and every sum is checked against it.

use super::*;
use std::collections::BTreeMap;

/// Names and values, in the order written.
type Labels = Vec<(String, String)>;

/// What one family of the text holds.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    /// Name, labels, value as written.
    samples: Vec<(String, Labels, String)>,
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads text format 0.0.4 as strictly as inrush writes it: HELP, TYPE, then all samples of the family, nothing
/// twice, and no line that is anything else.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line must end with a line feed");
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name), "{line}");
            assert!(help.ends_with('.') && help == help.trim() && !help.contains("  "), "{line}");
            assert!(!help.contains(['\\', '`', '[']), "HELP is no Markdown and holds no escape: {line}");
            let kind = lines.next().and_then(|next| next.strip_prefix(&format!("# TYPE {name} "))).unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} stands there twice");
            assert!(lines.peek().is_some_and(|next| next.starts_with(name)), "{name} has no sample");
            current = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        let (name, labels) = match series.split_once('{') {
            None => (series, Vec::new()),
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no closing brace: {line}"));
                (name, labels.split(',').map(|label| label_of(label, line)).collect())
            }
        };
        assert!(is_name(name), "{line}");
        let family = families.get_mut(&current).unwrap_or_else(|| panic!("no TYPE above {line}"));
        let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} stands in {current}"));
        let suffixes: &[&str] =
            if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line}");
        let sample = (name.to_owned(), labels, value.to_owned());
        assert!(!family.samples.iter().any(|s| (&s.0, &s.1) == (&sample.0, &sample.1)), "twice: {line}");
        family.samples.push(sample);
    }
    families
}

fn label_of(label: &str, line: &str) -> (String, String) {
    let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = value.unwrap_or_else(|| panic!("unquoted label: {line}"));
    assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
    (name.to_owned(), value.to_owned())
}

fn render(metrics: &Metrics) -> String {
    let mut text = String::new();
    metrics.render_prometheus(&mut text);
    text
}

fn one_trigger() -> Arc<TriggerMetrics> {
    Arc::new(TriggerMetrics::new("orders", "archive", vec!["file"], 2))
}

/// A number of its own for everything that is counted, so that no two rows can be mistaken for each other.
fn busy() -> Metrics {
    let metrics = Metrics::new(3, 2);
    metrics.budget_bytes.set(1 << 30);
    for (at, core) in (1u64..).zip(&metrics.cores) {
        let counters = [
            &core.connections_accepted,
            &core.connections_refused,
            &core.connections_panicked,
            &core.accept_errors,
            &core.deadlines_expired,
            &core.bytes_read,
            &core.bytes_written,
            &core.events,
            &core.queue_full,
            &core.queue_waits,
            &core.over_budget,
        ];
        for (row, counter) in (1..).zip(counters) {
            counter.add(row * 1000 + at);
        }
        core.connections_open.set(50 + at);
        core.pool_bytes.set(60 + at);
        core.budget_leased_bytes.set(at * (4 << 20));
        (0..at).for_each(|_| core.answered(200));
        [100, 404, 503, 503, 418].into_iter().for_each(|status| core.answered(status));
        for ns in [0, 256, 257, 1_000_000, 3_000_000_000, 20_000_000_000] {
            core.parse_time.record(ns * at);
        }
    }
    for (at, worker) in (1u64..).zip(&metrics.workers) {
        worker.events.add(100 * at);
        worker.batches.add(10 * at);
        worker.sleeps.add(at);
        worker.node_failures.add(2 * at);
        worker.discarded.add(3 * at);
        worker.queue_depth.set(4 * at);
        worker.queue_wait.record(5_000 * at);
        worker.node_time.record(6_000 * at);
    }
    let trigger = one_trigger();
    for (at, block) in (1u64..).zip(&trigger.workers) {
        block.events.add(20 * at);
        block.nodes[0].runs.add(30 * at);
    }
    metrics.set_triggers(vec![trigger]);
    metrics
}

/// The value of the one sample with this name and these labels.
fn value<'f>(families: &'f BTreeMap<String, Family>, family: &str, labels: &[(&str, &str)]) -> &'f str {
    let family = families.get(family).unwrap_or_else(|| panic!("no family {family}"));
    let same = |held: &[(String, String)]| {
        held.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(labels.iter().copied())
    };
    let sample = family.samples.iter().find(|(_, held, _)| same(held));
    &sample.unwrap_or_else(|| panic!("no sample with {labels:?}")).2
}

#[test]
fn what_was_counted_is_what_stands_there() {
    let families = parse(&render(&busy()));
    let check = |family: &str, labels: &[(&str, &str)], expected: &str| {
        assert_eq!(value(&families, family, labels), expected, "{family} {labels:?}");
    };
    check("inrush_build_info", &[("version", env!("CARGO_PKG_VERSION"))], "1");
    check("inrush_budget_bytes", &[], "1073741824");
    check("inrush_budget_leased_bytes", &[("core", "1")], "8388608");
    check("inrush_all_cores_budget_leased_bytes", &[], "25165824");
    check("inrush_connections_accepted_total", &[("core", "0")], "1001");
    check("inrush_connections_refused_total", &[("core", "0")], "2001");
    check("inrush_connections_panicked_total", &[("core", "0")], "3001");
    check("inrush_accept_errors_total", &[("core", "0")], "4001");
    check("inrush_deadlines_expired_total", &[("core", "0")], "5001");
    check("inrush_read_bytes_total", &[("core", "0")], "6001");
    check("inrush_written_bytes_total", &[("core", "0")], "7001");
    check("inrush_events_total", &[("core", "0")], "8001");
    check("inrush_queue_full_total", &[("core", "0")], "9001");
    check("inrush_queue_waits_total", &[("core", "0")], "10001");
    check("inrush_over_budget_total", &[("core", "2")], "11003");
    check("inrush_all_cores_over_budget_total", &[], "33006");
    check("inrush_connections_open", &[("core", "2")], "53");
    check("inrush_pool_bytes", &[("core", "2")], "63");
    check("inrush_requests_total", &[("core", "1"), ("status", "200")], "2");
    check("inrush_requests_total", &[("core", "1"), ("status", "204")], "0");
    check("inrush_requests_total", &[("core", "1"), ("status", "503")], "2");
    check("inrush_requests_total", &[("core", "1"), ("status", "other")], "1");
    check("inrush_all_cores_requests_total", &[("status", "200")], "6");
    check("inrush_continues_total", &[("core", "0")], "1");
    check("inrush_worker_events_total", &[("worker", "1")], "200");
    check("inrush_worker_batches_total", &[("worker", "1")], "20");
    check("inrush_worker_sleeps_total", &[("worker", "1")], "2");
    check("inrush_worker_node_failures_total", &[("worker", "1")], "4");
    check("inrush_worker_discarded_total", &[("worker", "1")], "6");
    check("inrush_worker_queue_depth", &[("worker", "1")], "8");
    check("inrush_all_workers_queue_depth", &[], "12");
    let trigger = [("webhook", "orders"), ("trigger", "archive")];
    check("inrush_trigger_events_total", &trigger, "60");
    check("inrush_trigger_skipped_total", &trigger, "0");
    check("inrush_node_runs_total", &[trigger[0], trigger[1], ("node", "file"), ("index", "0")], "90");
}

#[test]
fn names_follow_the_conventions() {
    let text = render(&busy());
    for (name, family) in parse(&text) {
        assert!(name.starts_with("inrush_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name} is a {}", family.kind);
        assert_eq!(name.ends_with("_seconds"), family.kind == "histogram", "{name} is a {}", family.kind);
    }
}

/// Every sum must be that of its parts, sample by sample; and each family of parts must have its sum.
#[test]
fn sums_are_the_sums_of_their_parts() {
    let families = parse(&render(&busy()));
    let mut sums = 0;
    for (name, family) in &families {
        let (label, parts) = match name.strip_prefix("inrush_all_cores_") {
            Some(rest) => ("core", format!("inrush_{rest}")),
            None => match name.strip_prefix("inrush_all_workers_") {
                Some(rest) => ("worker", format!("inrush_worker_{rest}")),
                None => continue,
            },
        };
        sums += 1;
        assert_eq!(families[&parts].kind, family.kind);
        let mut expected = BTreeMap::<(String, Labels), u64>::new();
        for (series, labels, value) in &families[&parts].samples {
            let (first, rest) = labels.split_first().unwrap();
            assert_eq!(first.0, label, "{series}");
            let suffix = series.strip_prefix(&parts).unwrap().to_owned();
            *expected.entry((suffix, rest.to_vec())).or_default() += exact(value);
        }
        let found = family.samples.iter().map(|(series, labels, value)| {
            ((series.strip_prefix(name.as_str()).unwrap().to_owned(), labels.clone()), exact(value))
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{name}");
    }
    // build_info, budget_bytes, config_reloads, config_refusals; those of triggers, of which there is one.
    let without_sum = 4 + 7;
    assert_eq!(sums * 2 + without_sum, families.len(), "every other family has its sum");
}

/// A value as an integer: nanoseconds where it is written with a fraction.
fn exact(value: &str) -> u64 {
    match value.split_once('.') {
        None => value.parse().unwrap(),
        Some((whole, fraction)) => {
            assert_eq!(fraction.len(), 9, "{value}");
            format!("{whole}{fraction}").parse().unwrap()
        }
    }
}

#[test]
fn histograms_are_cumulative_and_end_in_their_count() {
    let families = parse(&render(&busy()));
    for (name, family) in families.iter().filter(|(_, family)| family.kind == "histogram") {
        // One histogram per value of the block's label, in the order written; the sum has no such label.
        let mut bounds = Vec::<f64>::new();
        let mut last = 0;
        for (series, labels, value) in &family.samples {
            let le = labels.last().filter(|(label, _)| label == "le").map(|(_, le)| le.as_str());
            match (series.strip_prefix(name.as_str()).unwrap(), le) {
                ("_bucket", Some(le)) => {
                    let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                    assert!(bounds.last().is_none_or(|before| *before < bound), "{series} {labels:?}");
                    bounds.push(bound);
                    assert!(exact(value) >= last, "{series} {labels:?} is not cumulative");
                    last = exact(value);
                }
                ("_sum", None) => assert_eq!(bounds.last(), Some(&f64::INFINITY), "{series} {labels:?}"),
                ("_count", None) => {
                    assert_eq!(exact(value), last, "{series} {labels:?} is not the last bucket");
                    assert!(last > 0, "the fixture records into every histogram");
                    (last, bounds) = (0, Vec::new());
                }
                _ => panic!("{series} {labels:?}"),
            }
        }
        assert!(bounds.is_empty(), "{name} does not end in its count");
    }

    let held = |le: &str| value(&families, "inrush_parse_seconds", &[("core", "0"), ("le", le)]);
    assert_eq!((held("0.000000256"), held("0.000000512"), held("0.001048576")), ("2", "3", "4"));
    assert_eq!((held("4.294967296"), held("8.589934592"), held("+Inf")), ("5", "5", "6"));
    let sum = families["inrush_parse_seconds"].samples.iter().find(|s| s.0.ends_with("_sum")).unwrap();
    assert_eq!(sum.2, "23.001000513");
}

/// A scraper must see every series from the first scrape on, and traffic must not make the answer longer but by
/// the digits.
#[test]
fn traffic_adds_no_series() {
    let series = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let idle = Metrics::new(3, 2);
    idle.set_triggers(vec![one_trigger()]);
    let (before, after) = (render(&idle), render(&busy()));
    assert_eq!(series(&before), series(&after));
}

#[test]
fn without_workers_there_are_no_empty_families() {
    let families = parse(&render(&Metrics::new(1, 0)));
    assert!(families.contains_key("inrush_requests_total"));
    assert!(!families.keys().any(|name| name.contains("worker")), "{families:?}");
}

#[test]
fn blocks_of_neighbours_share_no_cache_lines() {
    let metrics = Metrics::new(2, 2);
    let at = |core: usize| std::ptr::from_ref(&metrics.cores[core]).addr();
    assert_eq!((at(0) % 128, at(1) % 128), (0, 0));
    assert_eq!(std::mem::align_of::<WorkerMetrics>(), 128);
}

#[test]
fn the_used_budget_is_what_cores_lease() {
    assert_eq!(busy().budget_used_bytes(), (1 + 2 + 3) * (4 << 20));
}

#[test]
fn the_clock_is_one_for_all_threads_and_never_goes_back() {
    let before = clock_ns();
    let there = std::thread::spawn(clock_ns).join().unwrap();
    let after = clock_ns();
    assert!(before <= there && there <= after, "{before} {there} {after}");
}
