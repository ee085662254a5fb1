//! `exec`: what a command gets, what its end means, and that none is left behind.

use std::time::{Duration, Instant};

use super::support::{Driver, Setup};
use super::{counts, eventually, post, told, webhook};

/// How many processes have this in their command line.
fn running(marker: &str) -> usize {
    let is_it = |entry: std::io::Result<std::fs::DirEntry>| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(marker).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(is_it).count()
}

/// A command of a trigger, as TOML; `more` are further keys.
fn exec(command: &[&str], more: &str) -> String {
    format!("{{ type = \"exec\", command = {command:?}, env = [\"PATH\"]{more} }}")
}

#[test]
fn a_command_gets_its_arguments_as_they_are_and_the_event() {
    let script = "printf '%s' \"$1\" > argument.out; cat > event.out; echo done > done.out";
    let nodes = exec(&["sh", "-c", script, "sh", "<{{ payload.body.text }}>"], "");
    let trigger = format!("id = \"t\"\nnodes = [{nodes}, {{ type = \"file\", path = \"log.out\" }}]");
    let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
    let text = "a b\"c'; rm -rf * $(id) `id` \\ \n{{ 1 }} é";
    let body = serde_json::json!({ "text": text }).to_string();
    assert_eq!(server.connect().call(post("/x?q=1", "X-A: b\r\n", &body)).status, 200);
    let directory = server.directory.path();
    eventually("the command", || directory.join("done.out").exists().then_some(()));
    assert_eq!(std::fs::read_to_string(directory.join("argument.out")).unwrap(), format!("<{text}>"));
    let event = std::fs::read_to_string(directory.join("event.out")).unwrap();
    let log = eventually("the line of the file", || {
        std::fs::read_to_string(directory.join("log.out")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(event, log, "the line that every other node writes");
}

#[test]
fn a_command_that_fails_stops_its_trigger_only_if_that_says_so() {
    let failing = exec(&["sh", "-c", "echo it is broken >&2; exit 3"], "");
    let next = |name: &str| format!("{{ type = \"file\", path = \"{name}.out\" }}");
    let triggers = [
        format!("id = \"stop\"\nnodes = [{failing}, {}]", next("stop")),
        format!("id = \"continue\"\non_error = \"continue\"\nnodes = [{failing}, {}]", next("continue")),
    ];
    let server = Setup::new(Driver::Uring).more(&webhook(&triggers)).start();
    let id = server.connect().call(post("", "", "{}")).event_id().to_owned();
    for trigger in ["stop", "continue"] {
        eventually(trigger, || (counts(&server, trigger)["nodes"][0]["failures"] == 1).then_some(()));
    }
    for trigger in ["stop", "continue"] {
        told(&server, &[&id, &format!("trigger=\"{trigger}\""), "exited with 3: it is broken"]);
    }
    let stopped = server.stop();
    let lines =
        |name: &str| std::fs::read_to_string(stopped.directory.path().join(name)).unwrap().lines().count();
    assert_eq!((lines("stop.out"), lines("continue.out")), (0, 1));
}

/// The system ends an argument at a NUL: rather than a part of it, the command gets nothing, and is not started.
#[test]
fn an_argument_that_cannot_be_passed_whole_is_not_passed_at_all() {
    let nodes = exec(&["sh", "-c", "echo \"$1\" >> argument.out", "sh", "{{ payload.body }}"], "");
    let server =
        Setup::new(Driver::Uring).more(&webhook(&[format!("id = \"t\"\nnodes = [{nodes}]")])).start();
    let mut client = server.connect();
    for body in ["\"ab\\u0000; c\"", "\"whole\""] {
        assert_eq!(client.call(post("", "", body)).status, 200);
    }
    eventually("both ran, and one failed", || {
        let node = &counts(&server, "t")["nodes"][0];
        (node["runs"] == 2 && node["failures"] == 1).then_some(())
    });
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    let written = std::fs::read_to_string(stopped.directory.path().join("argument.out")).unwrap();
    assert_eq!(written, "whole\n");
}

#[test]
fn fifty_megabytes_arrive_on_standard_input() {
    let script = "sha256sum | cut -d' ' -f1 > sum.tmp; mv sum.tmp sum.out";
    let nodes = format!("{}, {{ type = \"file\", path = \"log.out\" }}", exec(&["sh", "-c", script], ""));
    let server =
        Setup::new(Driver::Uring).more(&webhook(&[format!("id = \"t\"\nnodes = [{nodes}]")])).start();
    let body = format!("[{}1]", "\"a string of some length\", 12345.678, null,\n".repeat(50_000_000 / 40));
    let mut client = server.connect();
    client.send(post("", "", "").replace("Content-Length: 0", &format!("Content-Length: {}", body.len())));
    client.send(&body);
    assert_eq!(client.answer().status, 200);
    let directory = server.directory.path().to_owned();
    let sum = eventually("the sum", || std::fs::read_to_string(directory.join("sum.out")).ok());
    let log = eventually("the line of the file", || {
        let log = std::fs::read(directory.join("log.out")).ok()?;
        log.ends_with(b"\n").then_some(log)
    });
    assert!(log.len() > 50_000_000);
    let expected = ring::digest::digest(&ring::digest::SHA256, &log);
    let expected: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum.trim(), expected);
}

/// Two hundred events whose command hangs: the server answers meanwhile, and when the time of the last is over, no
/// process of theirs is left.
#[test]
fn two_hundred_hanging_commands_leave_nothing_behind() {
    let marker = format!("31{}", std::process::id());
    let more = ", timeout_ms = 400, in_flight = 50";
    let trigger = format!(
        "id = \"t\"\nnodes = [{}]",
        exec(&["sh", "-c", &format!("sleep {marker} & sleep {marker}")], more)
    );
    let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
    let mut client = server.connect();
    for _ in 0..200 {
        let from = Instant::now();
        assert_eq!(client.call(post("", "", "{}")).status, 200);
        assert!(from.elapsed() < Duration::from_secs(5), "a hanging command holds up an answer");
    }
    eventually("every run has ended", || (counts(&server, "t")["nodes"][0]["failures"] == 200).then_some(()));
    eventually("every process has ended", || (running(&marker) == 0).then_some(()));
    told(&server, &["did not end within 400ms"]);
    assert_eq!(server.stop().status.code(), Some(0));
}

/// A stop that cannot wait for the commands ends them, says how many events were not run, and does not call that well.
#[test]
fn a_stop_that_cannot_wait_leaves_no_command_behind() {
    let marker = format!("32{}", std::process::id());
    let trigger = format!("id = \"t\"\nnodes = [{}]", exec(&["sleep", &marker], ""));
    let setup = Setup::new(Driver::Uring).limit("drain_timeout_ms", 300).limit("queue_wait_ms", 100);
    let server = setup.more(&webhook(&[trigger])).start();
    let mut client = server.connect();
    for _ in 0..6 {
        assert_eq!(client.call(post("", "", "{}")).status, 200);
    }
    eventually("four run", || (running(&marker) == 4).then_some(()));
    let stopped = server.stop();
    assert_ne!(stopped.status.code(), Some(0));
    assert!(stopped.stderr.contains("6 events were not run to their end"), "{}", stopped.stderr);
    eventually("every process has ended", || (running(&marker) == 0).then_some(()));
}
