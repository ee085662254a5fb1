//! Feeds the table of cases to a server: each case whole, and cut in two at every offset of its bytes, many
//! connections at a time. The kernel's own table tells when the first part has been read, so the cut is a cut.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::fixture::{Case, Fate};
use super::server::{OPEN, wait_until_read};
use super::{Client, Events, NoAnswer, Server};

/// Connections open at a time.
const BATCH: usize = 192;
/// How long one batch may take for its answers; a server that hangs is a failure, not a wait.
const BATCH_PATIENCE: Duration = Duration::from_secs(6);
/// Cases longer than this are cut at this many offsets instead of at every one.
const CUTS_MAX: usize = 700;

/// One connection's worth: a case, cut at an offset (0: whole), with or without something pipelined behind it.
#[derive(Clone, Copy)]
struct Feed {
    case: usize,
    cut: usize,
    pipelined: bool,
}

/// A 200 whose event must come out.
struct Promise {
    case: usize,
    /// Which of the case's answers; `None`: the further request that shows that the connection was kept.
    answer: Option<usize>,
    number: usize,
    id: String,
}

/// What was found, by case.
#[derive(Default)]
pub struct Findings {
    faults: BTreeMap<String, Vec<String>>,
    pub fed: usize,
    /// Connections with a fault: what was pipelined on them is not counted against the server once more.
    faulty: HashSet<usize>,
}

struct Table<'a> {
    cases: &'a [Case],
    address: SocketAddr,
    promises: Vec<Promise>,
    findings: Findings,
    /// Cases that hung; they are not fed again.
    hung: Vec<bool>,
    number: usize,
}

/// Feeds every case to the server, stops it, and compares what came out of the file nodes with what was promised.
pub fn check(server: Server, cases: &[Case], every_split: bool) -> Findings {
    let mut table = Table {
        cases,
        address: server.address,
        promises: Vec::new(),
        findings: Findings::default(),
        hung: vec![false; cases.len()],
        number: 0,
    };
    let whole =
        (0..cases.len()).flat_map(|case| [false, true].map(|pipelined| Feed { case, cut: 0, pipelined }));
    table.feed(whole.collect());
    if every_split {
        table.feed(cases.iter().enumerate().flat_map(|(case, c)| cuts(case, c.bytes.len())).collect());
    }
    let Table { promises, mut findings, .. } = table;
    let events = server.finish();
    compare(cases, &promises, &events, &mut findings);
    findings
}

fn cuts(case: usize, length: usize) -> impl Iterator<Item = Feed> {
    let all = length <= CUTS_MAX;
    let count = if all { length.saturating_sub(1) } else { CUTS_MAX };
    // Of a long case: both ends closely, the middle evenly, with a stride that is no power of two.
    let offset = move |i: usize| match i {
        i if all || i < 150 => i + 1,
        i if i < 300 => length - 1 - (i - 150),
        i => 150 + (i - 300) * (length - 300) / (CUTS_MAX - 300),
    };
    (0..count).map(move |i| Feed { case, cut: offset(i), pipelined: i % 2 == 0 })
}

impl Table<'_> {
    fn feed(&mut self, feeds: Vec<Feed>) {
        let mut rest = feeds.as_slice();
        while !rest.is_empty() {
            let (batch, next) = rest.split_at(rest.len().min(BATCH));
            let batch: Vec<Feed> = batch.iter().filter(|feed| !self.hung[feed.case]).copied().collect();
            self.batch(&batch);
            rest = next;
        }
    }

    fn batch(&mut self, batch: &[Feed]) {
        let cases = self.cases;
        let mut clients: Vec<Client> = batch.iter().map(|_| Client::connect(self.address)).collect();
        for (client, feed) in clients.iter_mut().zip(batch) {
            client.send_until_refused(&cases[feed.case].bytes[..feed.cut]);
        }
        wait_until_read(self.address, Duration::from_millis(100));
        let first = self.number;
        for (i, (client, feed)) in clients.iter_mut().zip(batch).enumerate() {
            let case = &cases[feed.case];
            let mut bytes = case.bytes[feed.cut..].to_vec();
            if feed.pipelined {
                bytes.extend(behind(case, first + i));
            }
            client.send_until_refused(&bytes);
            if case.ends {
                client.end();
            }
        }
        self.number += batch.len();
        let deadline = Instant::now() + BATCH_PATIENCE;
        for (i, (client, feed)) in clients.iter_mut().zip(batch).enumerate() {
            if let Err(fault) = self.judge(client, *feed, first + i, deadline) {
                let how = match (feed.cut, feed.pipelined) {
                    (0, false) => "whole".to_owned(),
                    (0, true) => "whole, pipelined".to_owned(),
                    (cut, pipelined) => format!("cut at {cut}{}", if pipelined { ", pipelined" } else { "" }),
                };
                self.findings.fault(&cases[feed.case].name, format!("{how}: {fault}"));
                self.findings.faulty.insert(first + i);
                self.hung[feed.case] |= Instant::now() > deadline;
            }
        }
        self.findings.fed += batch.len();
    }

    /// Reads everything that one connection has to say.
    fn judge(
        &mut self,
        client: &mut Client,
        feed: Feed,
        number: usize,
        deadline: Instant,
    ) -> Result<(), String> {
        let case = &self.cases[feed.case];
        if case.fate == Fate::Cut {
            return judge_cut(client, deadline);
        }
        let mut optional_came = None;
        let mut says_close = false;
        for (index, expected) in case.answers.iter().enumerate() {
            let answer = match optional_came.take() {
                Some(answer) => answer,
                None => client
                    .try_answer(expected.to_head, deadline)
                    .map_err(|e| format!("answer {index}: {e}"))?,
            };
            if expected.optional && answer.status != expected.statuses[0] {
                optional_came = Some(answer);
                continue;
            }
            expected.fault(&answer).map_or(Ok(()), |fault| Err(format!("answer {index}: {fault}")))?;
            if answer.status == 200 && expected.event.is_some() {
                let id = answer.event_id().to_owned();
                self.promises.push(Promise { case: feed.case, answer: Some(index), number, id });
            }
            says_close = answer.says_close();
        }
        match case.fate {
            Fate::Keep => {
                if says_close {
                    return Err("Connection: close on a connection that should be kept".to_owned());
                }
                if !feed.pipelined {
                    client.send_until_refused(&follow_up(number));
                }
                let answer =
                    client.try_answer(false, deadline).map_err(|e| format!("the further request: {e}"))?;
                if answer.status != 200 {
                    let code = answer.code().unwrap_or_default();
                    return Err(format!("the further request got {} {code}", answer.status));
                }
                self.promises.push(Promise {
                    case: feed.case,
                    answer: None,
                    number,
                    id: answer.event_id().to_owned(),
                });
                Ok(())
            }
            Fate::Close => {
                client.expect_end(deadline)?;
                // RFC 9112 §9.6: say so in the last answer. A sender that has ended its side, or speaks 1.0, knows.
                let knows = case.ends || case.bytes.windows(8).any(|eight| eight == b"HTTP/1.0");
                if says_close || knows {
                    Ok(())
                } else {
                    Err("it closes without Connection: close".to_owned())
                }
            }
            Fate::Any | Fate::Cut => Ok(()),
        }
    }
}

/// A stream that ends inside a request: at most a refusal comes, then the end. A reset is as good.
fn judge_cut(client: &mut Client, deadline: Instant) -> Result<(), String> {
    match client.try_answer(false, deadline) {
        Ok(answer) if answer.status < 400 => Err(format!("a request cut short got {}", answer.status)),
        Ok(answer) => answer.fault(false).map_or_else(|| client.expect_end(deadline), Err),
        Err(NoAnswer::Ended) => Ok(()),
        Err(NoAnswer::Reset(bytes)) if bytes == "\"\"" => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// What is pipelined behind a case: where the connection is kept a further request, where it closes a trap.
fn behind(case: &Case, number: usize) -> Vec<u8> {
    match case.fate {
        _ if case.ends => Vec::new(),
        Fate::Keep => follow_up(number),
        Fate::Close => request("trap", number),
        Fate::Any | Fate::Cut => Vec::new(),
    }
}

fn follow_up(number: usize) -> Vec<u8> {
    request("follow", number)
}

fn request(word: &str, number: usize) -> Vec<u8> {
    let body = format!("{{\"{word}\":{number}}}");
    format!(
        "POST /{OPEN}?{word}={number} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Every promise has its event with the right bytes, and there is no event beyond.
fn compare(cases: &[Case], promises: &[Promise], events: &Events, findings: &mut Findings) {
    for Promise { case, answer, number, id } in promises {
        let case = &cases[*case];
        let Some(event) = events.find(id) else {
            findings.fault(&case.name, format!("event {id} was promised and did not come out"));
            continue;
        };
        let Some(index) = answer else {
            if event.body != format!("{{\"follow\":{number}}}") {
                findings.fault(
                    &case.name,
                    format!("the answer to the further request names another event: {}", event.body),
                );
            }
            continue;
        };
        let expected = &case.answers[*index];
        if Some(&event.body) != expected.event.as_ref() {
            findings
                .fault(&case.name, format!("expected the body {:?}, got {:?}", expected.event, event.body));
        }
        for (pointer, wanted) in &expected.payload {
            if event.at(pointer) != wanted.as_ref() {
                findings.fault(
                    &case.name,
                    format!("{pointer}: expected {wanted:?}, got {:?}", event.at(pointer)),
                );
            }
        }
    }
    if events.len() == promises.len() {
        return;
    }
    let promised: HashSet<&str> = promises.iter().map(|promise| promise.id.as_str()).collect();
    for event in events.all.iter().filter(|event| !promised.contains(event.id.as_str())) {
        let follows = event.at("/query/follow").and_then(|number| number.as_str()?.parse().ok());
        if follows.is_some_and(|number: usize| findings.faulty.contains(&number)) {
            continue;
        }
        findings.fault(
            "events that nobody was promised",
            format!("{} {} {}", event.webhook, event.body, event.rest),
        );
    }
}

impl Findings {
    fn fault(&mut self, case: &str, fault: String) {
        self.faults.entry(case.to_owned()).or_default().push(fault);
    }

    /// Fails with one paragraph a case: how many of its feeds failed, and the first ways they did.
    pub fn assert_none(&self) {
        if self.faults.is_empty() {
            return;
        }
        let mut report = format!("{} cases failed ({} connections fed):", self.faults.len(), self.fed);
        for (case, faults) in &self.faults {
            report.push_str(&format!("\n{case}\n    {} times", faults.len()));
            for fault in faults.iter().take(3) {
                let end = fault.char_indices().nth(500).map_or(fault.len(), |(at, _)| at);
                report.push_str(&format!("\n    - {}", &fault[..end]));
            }
        }
        panic!("{report}");
    }
}
