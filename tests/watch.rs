//! Watching a running server: `tail` shows the events that its nodes see, without a say in how fast they come, and
//! `triggers` shows what was counted.

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::server::{ANY, OPEN, Process, TINY, command};
use support::{DRIVERS, Driver, PATIENCE, Server, Setup};

/// `inrush` with the config of this server, against its admin address.
fn inrush(server: &Server, arguments: &[&str]) -> std::process::Command {
    let mut command = command(server.driver, server.directory.path());
    command.args(arguments).arg("--admin-listen").arg(server.admin.to_string());
    command
}

/// Runs it to its end: exit code, stdout, stderr.
fn run(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let output = inrush(server, arguments).stdin(Stdio::null()).output().expect("run inrush");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn post(server: &Server, webhook: &str, body: &str) -> String {
    let request =
        format!("POST /{webhook} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = server.connect().call(request);
    assert_eq!(answer.status, 200);
    answer.event_id().to_owned()
}

/// Posts to the webhook until the tail shows something: from then on it misses nothing.
fn post_until_shown(server: &Server, webhook: &str, tail: &Process) {
    let deadline = Instant::now() + PATIENCE;
    while tail.stdout.text().is_empty() {
        assert!(Instant::now() < deadline, "it shows nothing; it said: {}", tail.stderr.text());
        post(server, webhook, "\"is anybody there?\"");
    }
}

/// Events of this webhook in the order they were run, as the `file` node wrote them.
fn written(directory: &std::path::Path, webhook: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(format!("{webhook}.ndjson"))).expect("it was written");
    text.lines().map(str::to_owned).collect()
}

fn tails_show_what_nodes_see(driver: Driver) {
    let server = Server::start(driver);
    let mut all = Process::spawn(inrush(&server, &["tail"]));
    let mut open = Process::spawn(inrush(&server, &["tail", "open"]));
    post_until_shown(&server, OPEN, &open);
    post_until_shown(&server, ANY, &all);
    for number in 0..20 {
        post(&server, OPEN, &format!("{{\"a\":\n\"\\u00e9 {number}\"}}"));
        post(&server, ANY, &number.to_string());
    }
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    let directory = stopped.directory.path();
    for (tail, webhooks) in [(&mut all, &["open", "any"][..]), (&mut open, &["open"])] {
        assert_eq!(tail.wait(PATIENCE).code(), Some(69), "it ends with the server: {}", tail.stderr.text());
        assert!(tail.stderr.text().contains("the server has stopped"), "{}", tail.stderr.text());
        let shown = tail.stdout.text();
        let mut shown_of: HashMap<String, Vec<String>> = HashMap::new();
        for line in shown.lines() {
            let event: Value = serde_json::from_str(line).expect("a line of JSON");
            let webhook = event["webhook"].as_str().expect("every line is an event's").to_owned();
            shown_of.entry(webhook).or_default().push(line.to_owned());
        }
        assert_eq!(shown_of.len(), webhooks.len());
        for webhook in webhooks {
            let (shown, written) = (&shown_of[*webhook], written(directory, webhook));
            assert!(shown.len() >= 20, "{webhook}: {}", shown.len());
            // Byte for byte, in order, and nothing missing from the first one on.
            assert_eq!(shown[..], written[written.len() - shown.len()..], "{webhook}");
        }
    }
}

#[test]
fn tails_show_what_nodes_see_on_io_uring() {
    tails_show_what_nodes_see(Driver::Uring);
}

#[test]
fn tails_show_what_nodes_see_on_epoll() {
    tails_show_what_nodes_see(Driver::Epoll);
}

#[test]
fn a_count_ends_it_and_a_large_body_is_left_out() {
    let server = Server::start(Driver::Uring);
    let mut tail = Process::spawn(inrush(&server, &["tail", "open", "--count", "3"]));
    post_until_shown(&server, OPEN, &tail);
    let (small, large) = ("s".repeat(60_000), "l".repeat(70_000));
    for body in [&small, &large].repeat(2) {
        post(&server, OPEN, &format!("\"{body}\""));
    }
    assert_eq!(tail.wait(PATIENCE).code(), Some(0), "{}", tail.stderr.text());
    let text = tail.stdout.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        match line["payload"]["body"].as_str() {
            Some(body) => assert!(body.len() < 64 * 1024 && line.get("omitted_body_bytes").is_none()),
            None => assert_eq!(line["omitted_body_bytes"], 70_002, "{line}"),
        }
        assert_eq!(line["payload"]["method"], "POST");
    }
}

#[test]
fn every_nth_is_shown() {
    let server = Server::start(Driver::Uring);
    let mut tail = Process::spawn(inrush(&server, &["tail", "any", "--every", "5", "--count", "4"]));
    post_until_shown(&server, ANY, &tail);
    (0..20).for_each(|_| drop(post(&server, ANY, "1")));
    assert_eq!(tail.wait(PATIENCE).code(), Some(0));
    let ids = |lines: &str| -> Vec<Value> {
        let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone();
        lines.lines().map(id).collect()
    };
    let shown = ids(&tail.stdout.text());
    let stopped = server.stop();
    let all = ids(&written(stopped.directory.path(), "any").join("\n"));
    let first = all.iter().position(|id| *id == shown[0]).expect("it was posted");
    let expected: Vec<Value> = all[first..].iter().step_by(5).take(4).cloned().collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_filter_chooses_by_the_payload_and_by_what_is_kept() {
    let kept = "[[webhook.trigger]]\nid = \"keep\"\nnodes = [{ type = \"variable\", name = \"seen\", increment = 1 }]\n";
    let server = Setup::new(Driver::Uring).more(kept).start();
    let filter = "payload.body.total > 100 && variables.seen >= 2";
    let mut tail = Process::spawn(inrush(&server, &["tail", "tiny", "--filter", filter, "--count", "2"]));
    // A body without a total is none that it can judge, which it says: so it is there.
    let deadline = Instant::now() + PATIENCE;
    while !tail.stdout.text().contains("{\"filter_errors\":") {
        assert!(Instant::now() < deadline, "it shows nothing; it said: {}", tail.stderr.text());
        post(&server, TINY, "{}");
    }
    let bodies = ["{\"total\": 99}", "{\"total\": 101}", "{\"total\": \"x\"}", "{\"total\": 1e300}"];
    bodies.iter().for_each(|body| drop(post(&server, TINY, body)));
    assert_eq!(tail.wait(PATIENCE).code(), Some(0), "{}", tail.stderr.text());
    let text = tail.stdout.text();
    let events: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"id\":")).collect();
    assert_eq!(events.len(), 2, "{text}");
    assert!(events[0].contains(bodies[1]) && events[1].contains(bodies[3]), "{text}");
    let errors = text.lines().filter(|line| line.starts_with("{\"filter_errors\":")).count();
    assert!(errors >= 2, "the second event tells of the one whose total is text: {text}");
}

/// A connection to `/tail` that has its head, and from then on reads when it is told to.
fn watch(admin: SocketAddr, target: &str) -> (String, BufReader<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    // Little fits in between, or it would take long until the server notices that nobody reads.
    socket.set_recv_buffer_size(4096).expect("set SO_RCVBUF");
    socket.connect(&admin.into()).expect("connect to the admin listener");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {admin}\r\n\r\n").expect("write");
    let (mut head, mut stream) = (String::new(), BufReader::new(stream));
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("read") > 0, "{head}");
    }
    (head, stream)
}

#[test]
fn a_tail_that_does_not_read_slows_nobody_and_is_told_what_it_missed() {
    const EVENTS: usize = 400;
    let server = Server::start(Driver::Uring);
    let (head, stream) = watch(server.admin, "/tail?webhook=open");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/x-ndjson"), "{head}");
    let body = format!("\"{}\"", "x".repeat(60_000));
    let request = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (mut client, mut slowest) = (server.connect(), Duration::ZERO);
    for _ in 0..EVENTS {
        let start = Instant::now();
        assert_eq!(client.call(&request).status, 200);
        slowest = slowest.max(start.elapsed());
    }
    // Nobody waits for who does not read: that would be the 30 s after which he is given up.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let counted =
        format!("inrush_trigger_events_total{{webhook=\"open\",trigger=\"open-to-file\"}} {EVENTS}");
    let deadline = Instant::now() + PATIENCE;
    while !server.admin_get("/metrics").1.contains(&counted) {
        assert!(Instant::now() < deadline, "they do not run");
    }

    // Lines are what is between the heads of chunks. What was missed is told without another event.
    let (mut shown, mut skipped, mut told) = (0, 0, 0);
    let mut lines = stream.lines();
    while shown + skipped < EVENTS {
        let line = lines.next().expect("more to come").expect("read");
        if line.starts_with("{\"id\":") {
            shown += 1;
        } else if line.starts_with("{\"skipped\":") {
            let line: Value = serde_json::from_str(&line).expect("JSON");
            skipped += line["skipped"].as_u64().expect("a number") as usize;
            told += 1;
        }
    }
    assert_eq!(shown + skipped, EVENTS);
    assert!(skipped > 0 && told > 0, "{shown} shown, {skipped} skipped");
    assert_eq!(server.finish().all.len(), EVENTS);
}

#[test]
fn who_goes_away_makes_room_for_others() {
    let server = Server::start(Driver::Epoll);
    let tails: Vec<_> = (0..16).map(|_| watch(server.admin, "/tail")).collect();
    assert!(tails.iter().all(|(head, _)| head.starts_with("HTTP/1.1 200")));
    let (status, problem) = server.admin_get("/tail");
    assert!(status == 503 && problem.contains("too_many_tails"), "{status} {problem}");
    let (code, _, stderr) = run(&server, &["tail"]);
    assert!(code == 69 && stderr.contains("16 clients watch already"), "{code} {stderr}");
    // Not an event comes that would tell the server.
    drop(tails);
    let deadline = Instant::now() + PATIENCE;
    while !watch(server.admin, "/tail").0.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "their places are not free");
    }
}

#[test]
fn what_cannot_be_shown_is_said() {
    let server = Server::start(Driver::Epoll);
    for (arguments, code, part) in [
        (&["tail", "oepn"][..], 66, "no webhook is called \"oepn\"; did you mean \"open\"?"),
        (&["triggers", "oepn"], 66, "did you mean \"open\"?"),
        (&["tail", "--filter", "payload.method =="], 2, "refuses: The filter is no condition: "),
        (&["tail", "--filter", "payload.methud == 'POST'"], 2, "at column "),
        (&["tail", "--every", "0"], 2, "--every"),
        (&["tail", "--count", "0"], 2, "--count"),
    ] {
        let (found, stdout, stderr) = run(&server, arguments);
        assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
    // A webhook that the config has and the server has not: it was not reloaded.
    let (status, problem) = server.admin_get("/tail?webhook=oepn");
    assert!(
        status == 400 && problem.contains("has no webhook \\\"oepn\\\"; it has: any, locked, open, "),
        "{problem}"
    );

    let admin = server.admin.to_string();
    let nobody = server.stop();
    for name in ["tail", "triggers"] {
        let mut command = command(Driver::Epoll, nobody.directory.path());
        let output = command.args([name, "--admin-listen", &admin]).output().expect("run inrush");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{stderr}");
        assert!(stderr.contains(&format!("no inrush answers on {admin}")), "{stderr}");
        assert!(stderr.contains("start it with `inrush serve`"), "{stderr}");
    }
}

#[test]
fn payloads_are_not_for_the_network() {
    let server = Setup::new(Driver::Epoll).argument("--admin-listen").argument("0.0.0.0:0").start();
    let admin = SocketAddr::from(([127, 0, 0, 1], server.admin.port()));
    let (head, mut body) = watch(admin, "/tail");
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let mut line = String::new();
    body.read_line(&mut line).expect("read");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["code"], "not_on_loopback");
    let (code, _, stderr) = run(&server, &["tail"]);
    assert!(
        code == 69 && stderr.contains("only where server.admin_listen is on loopback"),
        "{code} {stderr}"
    );
    assert_eq!(run(&server, &["triggers"]).0, 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Server::start(Driver::Epoll);
    let mut command = inrush(&server, &["tail"]);
    let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start it");
    let mut stdout = BufReader::new(tail.stdout.take().expect("it is piped"));
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read");
        line
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        post(&server, OPEN, "1");
        if let Some(status) = tail.try_wait().expect("wait for it") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
    };
    let mut stderr = String::new();
    tail.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("read");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    assert!(reading.join().expect("it reads").starts_with("{\"id\":"));
}

#[test]
fn triggers_are_counted() {
    for driver in DRIVERS {
        let server = Setup::new(driver).more("[[webhook.trigger]]\nid = \"twice\"\nnodes = [{ type = \"discard\" }, { type = \"discard\" }]\n").start();
        for _ in 0..3 {
            post(&server, OPEN, "1");
        }
        // The last webhook of the configuration, which has the second trigger.
        post(&server, TINY, "1");
        let deadline = Instant::now() + PATIENCE;
        let counts = loop {
            let (code, stdout, stderr) = run(&server, &["triggers", "--json"]);
            assert_eq!((code, stderr.as_str()), (0, ""));
            let counts: Value = serde_json::from_str(&stdout).expect("JSON");
            let counts = counts.as_array().expect("a list").clone();
            let events = |webhook| {
                counts.iter().filter(move |row| row["webhook"] == webhook).map(|row| row["events"].clone())
            };
            // An answer does not say that the nodes have run.
            if events("open").eq([json!(3)]) && events("tiny").eq([json!(1), json!(1)]) {
                break counts;
            }
            assert!(Instant::now() < deadline, "{counts:?}");
        };
        assert_eq!(counts.len(), 7, "one for each trigger");
        let twice = counts.iter().find(|row| row["trigger"] == "twice").expect("it is there");
        let node = |node: &Value| (node["node"].clone(), node["runs"].clone(), node["failures"].clone());
        let nodes: Vec<_> = twice["nodes"].as_array().expect("a list").iter().map(node).collect();
        assert_eq!(nodes, [(); 2].map(|()| (json!("discard"), json!(1), json!(0))));

        let (code, table, _) = run(&server, &["triggers", "open"]);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((code, words.len()), (0, 3), "{table}");
        assert_eq!(words[1], ["open", "open-to-file", "3", "0", "0", "0", "0"]);
        assert_eq!(words[2][..5], ["file", "3", "runs", "0", "failures"], "{table}");

        let (_, metrics) = server.admin_get("/metrics");
        for line in [
            "inrush_trigger_events_total{webhook=\"open\",trigger=\"open-to-file\"} 3",
            "inrush_trigger_waiting{webhook=\"open\",trigger=\"open-to-file\"} 0",
            "inrush_node_runs_total{webhook=\"tiny\",trigger=\"twice\",node=\"discard\",index=\"1\"} 1",
            "inrush_node_failures_total{webhook=\"open\",trigger=\"open-to-file\",node=\"file\",index=\"0\"} 0",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
        }
    }
}
