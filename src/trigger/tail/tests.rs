//! What a tail shows, what it leaves out, and that it says so.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{Slot, Source};
use crate::http::head::HeadReader;
use crate::json::{Parser, validate};

fn slot(pool: &Pool, body: &[u8]) -> Slot {
    let head = b"POST /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut slot = Slot::new();
    HeadReader::default().read(head, &mut slot.head).unwrap();
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head);
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    slot.facts = validate(body).unwrap();
    slot
}

fn pool() -> Pool {
    Pool::new(Arc::new(Budget::new(1 << 30)))
}

fn wanted() -> Wanted {
    Wanted { webhook: None, filter: None, every: NonZeroU64::MIN }
}

/// Offers an event of the webhook `name`.
fn offer(tails: &Tails, name: &str, body: &str) {
    let slot = slot(&pool(), body.as_bytes());
    tails.offer(&Event::new(&slot, &Source::named(name)), &mut EventLine::default());
}

/// Offers events whose bodies are the numbers.
fn offer_all(tails: &Tails, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| offer(tails, "w", &number.to_string()));
}

/// The lines that are there.
fn lines(watcher: &mut Watcher) -> Vec<Value> {
    let mut found = Vec::new();
    while let Ok(lines) = watcher.lines.try_recv() {
        watcher.tail.waiting_bytes.fetch_sub(lines.len(), Ordering::Relaxed);
        assert!(lines.ends_with(b"\n"));
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        found.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    found
}

/// The bodies of events among these lines; another line stands for itself.
fn bodies(watcher: &mut Watcher) -> Vec<Value> {
    let body = |line: Value| line.pointer("/payload/body").cloned().unwrap_or(line);
    lines(watcher).into_iter().map(body).collect()
}

#[test]
fn a_tail_sees_the_events_of_its_webhook() {
    let tails = Arc::new(Tails::default());
    assert!(!tails.any());
    let mut all = tails.watch(wanted()).unwrap();
    let mut one = tails.watch(Wanted { webhook: Some("b".into()), ..wanted() }).unwrap();
    for (name, body) in [("a", "1"), ("b", "{\"x\":\n2}"), ("bb", "3")] {
        offer(&tails, name, body);
    }
    assert_eq!(bodies(&mut all), [json!(1), json!({"x": 2}), json!(3)]);
    let [line] = &lines(&mut one)[..] else { panic!("another number of lines") };
    assert_eq!((&line["webhook"], &line["payload"]["query"]), (&json!("b"), &json!({"a": "1"})));
    assert_eq!(line.get("omitted_body_bytes"), None);
}

#[test]
fn every_third_of_those_that_pass_the_filter() {
    let tails = Arc::new(Tails::default());
    let even: Filter = Box::new(|event| match event.body() {
        b"7" => None,
        body => Some(body[body.len() - 1] % 2 == 0),
    });
    let mut watcher =
        tails.watch(Wanted { filter: Some(even), every: NonZeroU64::new(3).unwrap(), ..wanted() }).unwrap();
    offer_all(&tails, 0..20);
    assert_eq!(bodies(&mut watcher), [json!(0), json!(6), json!({"filter_errors": 1}), json!(12), json!(18)]);
}

#[test]
fn a_filter_that_panics_is_an_error_of_that_tail_alone() {
    let tails = Arc::new(Tails::default());
    let panics: Filter =
        Box::new(|event| if event.body() == b"0" { panic!("a filter of a test") } else { Some(true) });
    let mut broken = tails.watch(Wanted { filter: Some(panics), ..wanted() }).unwrap();
    let mut other = tails.watch(wanted()).unwrap();
    offer_all(&tails, 0..2);
    assert_eq!(bodies(&mut broken), [json!({"filter_errors": 1}), json!(1)]);
    assert_eq!(bodies(&mut other), [json!(0), json!(1)]);
}

#[test]
fn who_does_not_read_is_told_what_he_missed() {
    let tails = Arc::new(Tails::default());
    let mut watcher = tails.watch(wanted()).unwrap();
    offer_all(&tails, 0..LINES_MAX + 44);
    assert_eq!(bodies(&mut watcher), (0..LINES_MAX).map(|number| json!(number)).collect::<Vec<_>>());
    offer_all(&tails, 500..502);
    assert_eq!(bodies(&mut watcher), [json!({"skipped": 44}), json!(500), json!(501)]);
}

#[test]
fn lines_of_large_bodies_fill_it_by_their_bytes() {
    let tails = Arc::new(Tails::default());
    let mut watcher = tails.watch(wanted()).unwrap();
    let body = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
    let places = LINES_BYTES_MAX / BODY_BYTES_MAX;
    (0..places + 5).for_each(|_| offer(&tails, "w", &body));
    let held = watcher.tail.waiting_bytes.load(Ordering::Relaxed);
    assert!(held < LINES_BYTES_MAX + BODY_BYTES_MAX + 1000, "{held}");
    let found = lines(&mut watcher).len();
    assert!(found <= places, "{found}");
    assert_eq!(watcher.tail.waiting_bytes.load(Ordering::Relaxed), 0);
    offer(&tails, "w", "1");
    assert_eq!(bodies(&mut watcher), [json!({"skipped": places + 5 - found}), json!(1)]);
}

#[test]
fn a_second_has_so_many_lines() {
    let tails = Arc::new(Tails::default());
    let watcher = tails.watch(wanted()).unwrap();
    let flow = &mut *watcher.tail.flow();
    let start = Instant::now();
    let mut shown = |ms: u64, offered: u32| {
        (0..offered)
            .filter(|_| {
                let in_time = flow.is_in_time(start + Duration::from_millis(ms));
                flow.lines_this_second += u32::from(in_time);
                in_time
            })
            .count()
    };
    assert_eq!(shown(0, 900), 900);
    assert_eq!(shown(999, 200), 100);
    assert_eq!(shown(1000, 2000), 1000);
    assert_eq!(shown(1999, 1), 0);
    assert_eq!(shown(5000, 1), 1);
}

#[test]
fn a_line_of_a_tail_counts_in_its_second() {
    let tails = Arc::new(Tails::default());
    let mut watcher = tails.watch(wanted()).unwrap();
    offer_all(&tails, 0..3);
    assert_eq!(watcher.tail.flow().lines_this_second, 3);
    watcher.tail.flow().lines_this_second = LINES_PER_SECOND_MAX;
    watcher.tail.flow().second = Some(Instant::now() + Duration::from_secs(3600));
    offer_all(&tails, 3..5);
    assert_eq!(bodies(&mut watcher).len(), 3);
    assert_eq!(watcher.tail.flow().missed.skipped, 2);
}

#[test]
fn a_body_that_is_large_or_gone_is_left_out_and_its_size_told() {
    let pool = pool();
    let tails = Arc::new(Tails::default());
    let mut watcher = tails.watch(wanted()).unwrap();
    let source = Source::named("w");
    let at_most = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
    let gone = br#"{"a":"\n"}"#;
    for (body, keep, shown) in [
        (at_most.as_bytes(), true, true),
        (format!("{at_most} ").as_bytes(), true, false),
        (gone, true, true),
        (gone, false, false),
        (b"", false, true),
    ] {
        let mut slot = slot(&pool, if body.is_empty() { b"{}" } else { body });
        slot.body.end = slot.body.start + body.len();
        slot.build_value(Reads { value_up_to: usize::MAX, text: keep }, &mut Parser::new());
        tails.offer(&Event::new(&slot, &source), &mut EventLine::default());
        let [line] = &lines(&mut watcher)[..] else { panic!("another number of lines") };
        let expected: Value = match (shown, body) {
            (true, b"") => json!({}),
            (true, body) => serde_json::from_slice(body).unwrap(),
            (false, _) => Value::Null,
        };
        assert_eq!(line["payload"]["body"], expected);
        let omitted = (!shown).then(|| json!(body.len()));
        assert_eq!(line.get("omitted_body_bytes"), omitted.as_ref());
    }
}

#[test]
fn a_tail_that_is_dropped_makes_room() {
    let tails = Arc::new(Tails::default());
    let mut watchers: Vec<_> = (0..TAILS_MAX).map(|_| tails.watch(wanted()).unwrap()).collect();
    assert_eq!(tails.watch(wanted()).err(), Some(NoTail::TooMany));
    drop(watchers.remove(3));
    assert_eq!(tails.list.read().unwrap().tails.len(), TAILS_MAX - 1);
    watchers.push(tails.watch(wanted()).unwrap());
    watchers.clear();
    assert!(!tails.any() && tails.list.read().unwrap().tails.is_empty());
}

#[test]
fn what_was_shown_is_read_to_the_end() {
    let tails = Arc::new(Tails::default());
    let mut watcher = tails.watch(wanted()).unwrap();
    offer_all(&tails, 0..1);
    watcher.tail.flow().missed.skipped = 2;
    tails.close();
    assert!(!tails.any());
    assert_eq!(tails.watch(wanted()).err(), Some(NoTail::Ending));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rest = runtime.block_on(async { [watcher.next().await, watcher.next().await, watcher.next().await] });
    let [Some(event), Some(skipped), None] = &rest else { panic!("{rest:?}") };
    assert!(event.starts_with(b"{\"id\":"));
    assert_eq!(skipped, "{\"skipped\":2}\n");
}

#[test]
fn without_events_it_tells_what_there_is_and_gives_signs_of_life() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let tails = Arc::new(Tails::default());
        let mut watcher = tails.watch(wanted()).unwrap();
        let start = tokio::time::Instant::now();
        watcher.tail.flow().missed.filter_errors = 3;
        assert_eq!(watcher.next().await.unwrap(), "{\"filter_errors\":3}\n");
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!(watcher.next().await.unwrap(), "\n");
        assert_eq!(start.elapsed().as_secs(), 11);
        assert!(watcher.next().now_or_never().is_none());
    });
}
