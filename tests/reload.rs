//! A config that changes while events come: no connection ends, no event is lost, none is run by two versions of a
//! trigger, and a config that is wrong changes nothing.

mod support;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Client, DRIVERS, Driver, PATIENCE, Server, Setup};

const TURN: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b1001";
const GUEST: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b1002";

/// Rewrites the config of a running server, as an editor does it: a new file in place of the old one.
struct Config<'s> {
    server: &'s Server,
    /// What never changes.
    base: String,
}

impl<'s> Config<'s> {
    fn of(server: &'s Server) -> Self {
        let base = std::fs::read_to_string(server.directory.path().join("inrush.toml")).expect("it is there");
        Self { server, base }
    }

    fn write(&self, more: &str) {
        let (path, new) =
            (self.server.directory.path().join("inrush.toml"), self.server.directory.path().join("new"));
        std::fs::write(&new, format!("{}{more}", self.base)).expect("write the configuration");
        std::fs::rename(new, path).expect("put it in place");
    }

    /// Has it read anew, and waits until the server has said yes or no.
    fn reload(&self) {
        let before = answers(self.server);
        self.server.hang_up();
        let deadline = Instant::now() + PATIENCE;
        while answers(self.server) == before {
            assert!(Instant::now() < deadline, "neither taken nor refused:\n{}", self.server.stderr());
        }
    }
}

/// How many configs were put in force and how many refused.
fn answers(server: &Server) -> (u64, u64) {
    let (status, metrics) = server.admin_get("/metrics");
    assert_eq!(status, 200);
    let number = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("it is counted");
        line.trim().parse().expect("a number")
    };
    (number("inrush_config_reloads_total "), number("inrush_config_refusals_total "))
}

/// One webhook that is always there, whose trigger writes to another file in every version and has a companion in every
/// second one; and one that is there in every second version only.
fn version(directory: &std::path::Path, number: usize) -> String {
    let file = |name: &str| directory.join(format!("{name}-{number}.ndjson")).display().to_string();
    let node = |name: &str| format!("nodes = [{{ type = \"file\", path = {:?} }}]", file(name));
    let mut text = format!("\n[[webhook]]\nname = \"turn\"\nid = {TURN:?}\n");
    let _ = writeln!(text, "[[webhook.trigger]]\nid = \"main\"\n{}", node("turn"));
    if number % 2 == 1 {
        let _ = writeln!(text, "[[webhook.trigger]]\nid = \"more\"\nnodes = [{{ type = \"discard\" }}]");
        let _ = writeln!(text, "[[webhook]]\nname = \"guest\"\nid = {GUEST:?}");
        let _ = writeln!(text, "[[webhook.trigger]]\nid = \"main\"\n{}", node("guest"));
    }
    text
}

/// Posts on one connection until told to stop. Returns the ids of accepted events and how many were answered 404.
fn post_until(stop: &AtomicBool, server: &Server, id: &str) -> (Vec<String>, usize) {
    let mut client = Client::connect(server.address);
    let (mut accepted, mut unknown) = (Vec::new(), 0);
    let request = format!("POST /{id} HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}");
    while !stop.load(Ordering::Relaxed) {
        // A connection that ends makes this panic: a reload must not end one.
        let answer = client.call(&request);
        match answer.status {
            200 => accepted.push(answer.header("x-event-id").expect("an id").to_owned()),
            404 => unknown += 1,
            status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
        }
        // A pace: as fast as it goes, a thousand reloads see millions of events, and the test has to keep them all.
        std::thread::sleep(Duration::from_micros(500));
    }
    (accepted, unknown)
}

fn reload_under_load(driver: Driver, rounds: usize) {
    let server = Setup::new(driver).start();
    let config = Config::of(&server);
    let directory = server.directory.path();
    config.write(&version(directory, 1));
    config.reload();
    let stop = AtomicBool::new(false);
    let (turn, guest) = std::thread::scope(|scope| {
        let (stop, server) = (&stop, &server);
        let senders = |id| [(); 2].map(|()| scope.spawn(move || post_until(stop, server, id)));
        let (turn, guest) = (senders(TURN), senders(GUEST));
        for round in 0..rounds {
            let text = version(directory, 2 + round / 2);
            match round % 2 {
                0 => config.write(&text),
                _ => config.write(&text.replacen("nodes = [", "nodes = [{ type = \"flie\" }, ", 1)),
            }
            config.reload();
        }
        stop.store(true, Ordering::Relaxed);
        let join = |threads: [std::thread::ScopedJoinHandle<'_, _>; 2]| {
            threads.map(|thread| thread.join().expect("no connection ended"))
        };
        (join(turn), join(guest))
    });
    let (taken, refused) = answers(&server);
    assert!(
        taken as usize > rounds / 2 && refused as usize >= rounds / 2,
        "{taken} and {refused} of {rounds}"
    );
    assert!(turn.iter().all(|(accepted, unknown)| accepted.len() > rounds && *unknown == 0));
    assert!(guest.iter().all(|(accepted, unknown)| !accepted.is_empty() && *unknown > 0));

    let accepted: HashSet<String> =
        turn.into_iter().chain(guest).flat_map(|(accepted, _)| accepted).collect();
    // An event that stands in two files is refused here: two versions of its trigger ran it.
    let events = server.finish();
    let written: HashSet<String> = events.all.iter().map(|event| event.id.clone()).collect();
    let lost: Vec<_> = accepted.difference(&written).collect();
    assert!(lost.is_empty(), "{} of {} events are lost, such as {}", lost.len(), accepted.len(), lost[0]);
    assert_eq!(written.len(), accepted.len(), "nothing ran that was not accepted");
}

#[test]
fn reloads_under_load_lose_nothing_on_io_uring() {
    reload_under_load(Driver::Uring, 100);
}

#[test]
fn reloads_under_load_lose_nothing_on_epoll() {
    reload_under_load(Driver::Epoll, 100);
}

/// The figure of the documentation: `cargo test --release --test reload -- --ignored a_thousand`.
#[test]
#[ignore = "takes a minute: `make test` runs it"]
fn a_thousand_reloads_under_load() {
    DRIVERS.into_iter().for_each(|driver| reload_under_load(driver, 1000));
}

#[test]
fn a_changed_file_is_read_without_being_told() {
    let server = Setup::new(Driver::Uring).start();
    let config = Config::of(&server);
    let id = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b1003";
    let post = |status: u16| {
        let deadline = Instant::now() + PATIENCE;
        let request = format!("GET /{id} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut client = server.connect();
        while client.call(&request).status != status {
            assert!(Instant::now() < deadline, "it is never answered {status}:\n{}", server.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    post(404);
    config.write(&format!(
        "\n[[webhook]]\nname = \"late\"\nid = {id:?}\n[[webhook.trigger]]\nid = \"a\"\nnodes = [{{ type = \"discard\" }}]\n"
    ));
    post(200);
    config.write("");
    post(404);
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
}

#[test]
fn a_config_that_is_wrong_says_why_and_changes_nothing() {
    let server = Setup::new(Driver::Uring).start();
    let config = Config::of(&server);
    let id = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b1003";
    let webhook = format!("\n[[webhook]]\nname = \"late\"\nid = {id:?}\n[[webhook.trigger]]\nid = \"a\"\n");
    let rows = [
        ("nodes = [{ type = \"dsicard\" }]", "did you mean \"discard\"?"),
        (
            "nodes = [{ type = \"file\", path = \"/nowhere/at/all\" }]",
            "the directory /nowhere/at does not exist",
        ),
        ("nodes = [", "not TOML"),
        (
            "nodes = [{ type = \"file\", path = \"/proc/sys/kernel/ostype\" }]",
            "cannot append to /proc/sys/kernel/ostype",
        ),
    ];
    for (index, (nodes, reason)) in rows.into_iter().enumerate() {
        config.write(&format!("{webhook}{nodes}\n"));
        config.reload();
        assert_eq!(answers(&server).0, 0, "{nodes}");
        assert!(answers(&server).1 > index as u64, "{nodes}");
        assert!(server.stderr().contains(reason), "{nodes}:\n{}", server.stderr());
        assert_eq!(
            server.connect().call(format!("GET /{id} HTTP/1.1\r\nHost: h\r\n\r\n")).status,
            404,
            "{nodes}"
        );
    }
    // What only a restart can change is said, and the rest is taken.
    config.write(&format!("{webhook}nodes = [{{ type = \"discard\" }}]\n"));
    let path = server.directory.path().join("inrush.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("[limits]\n", "[limits]\nqueue_events_max = 77\n")).unwrap();
    config.reload();
    assert!(
        server.stderr().contains("[limits] has changed: that is in force after a restart only"),
        "{}",
        server.stderr()
    );
    assert_eq!(server.connect().call(format!("GET /{id} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
}
