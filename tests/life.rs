//! How a server begins, refuses to begin, and what it tells beside its work: the first start without a
//! configuration, a second instance, an address in use, a bad configuration, health and metrics.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use support::server::{LOCKED, OPEN, Process, UNKNOWN, command};
use support::{Client, DRIVERS, Driver, PATIENCE, Server, Setup};

/// Runs to its end, which must come soon.
fn run(command: Command) -> (ExitStatus, String) {
    let mut process = Process::spawn(command);
    let status = process.wait(PATIENCE);
    (status, process.stderr.text())
}

/// Starts it where it cannot, and returns its exit code and what it said.
fn refused(setup: &Setup) -> (i32, String) {
    let (mut process, _directory) = setup.spawn();
    let status = process.wait(PATIENCE);
    (status.code().expect("it ended by itself"), process.stderr.text())
}

/// A limit on a process's data counts every writable address, used or not. mimalloc took 1 GiB of them before the first
/// request: under a limit that fits the byte budget no large body found room.
#[test]
fn a_server_that_has_done_nothing_takes_few_addresses() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).expect("Linux says so");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 256 << 10, "{kib} KiB of data on {driver:?}");
    }
}

#[test]
fn a_second_instance_on_the_same_data_is_refused() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let data = server.directory.path().join("data");
        let (code, said) = refused(&Setup::new(driver).data_dir(&data));
        assert_ne!(code, 0, "{said}");
        assert!(said.contains(&data.display().to_string()), "it does not name the directory:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        // The first goes on, undisturbed.
        assert_eq!(server.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        assert_eq!(server.finish().len(), 1);
    }
}

#[test]
fn an_address_in_use_is_refused_and_named() {
    for driver in DRIVERS {
        // Somebody else's.
        let other = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = other.local_addr().expect("an address");
        let (code, said) = refused(&Setup::new(driver).listen(address));
        assert_ne!(code, 0, "{said}");
        assert!(said.contains(&address.to_string()), "it does not name {address}:\n{said}");

        // Another inrush's: SO_REUSEPORT must not let the second take half of the traffic.
        let server = Server::start(driver);
        let (same, said) = refused(&Setup::new(driver).listen(server.address));
        assert_eq!(same, code, "{said}");
        assert!(said.contains(&server.address.to_string()), "it does not name {}:\n{said}", server.address);
        for _ in 0..20 {
            assert_eq!(server.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        }
        assert_eq!(server.finish().len(), 20);
    }
}

#[test]
fn the_reasons_not_to_start_have_codes_of_their_own() {
    let server = Server::start(Driver::Epoll);
    let (locked, _) = refused(&Setup::new(Driver::Epoll).data_dir(&server.directory.path().join("data")));
    let (in_use, _) = refused(&Setup::new(Driver::Epoll).listen(server.address));
    let (bad_config, _) = refused(&Setup::new(Driver::Epoll).limit("no_such_limit", 1));
    let (bad_flag, _) = refused(&Setup::new(Driver::Epoll).argument("--no-such-flag"));
    let codes = [0, locked, in_use, bad_config, bad_flag];
    for (i, code) in codes.iter().enumerate() {
        assert!(!codes[..i].contains(code), "not distinct: {codes:?}");
    }
}

#[test]
fn the_same_directory_and_address_serve_again_after_the_end() {
    for driver in DRIVERS {
        let first = Server::start(driver);
        let address = first.address;
        assert_eq!(first.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        let stopped = first.stop();
        let again =
            Setup::new(driver).listen(address).data_dir(&stopped.directory.path().join("data")).start();
        assert_eq!(again.address, address);
        assert_eq!(again.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        again.finish();
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_line_and_column() {
    // The file, and what is said about it: the place, and a word that tells what to do.
    let rows = [
        ("[server]\nlisten = \"nowhere\"\n", "2:10", "an IP address and a port"),
        ("[server]\nlisen = \"127.0.0.1:0\"\n", "2:1", "listen"),
        ("[limits]\n\nbody_bytes_max = \"much\"\n", "3:18", "body_bytes_max"),
        ("[limits]\nhead_read_timeout_ms = -1\n", "2:24", "head_read_timeout_ms"),
        ("[[webhook]]\nname = \"a\"\nid = \"not-an-id\"\n", "3:6", "id"),
        ("[server\n", "1:8", ""),
        ("[server]\nlisten = \n", "2:10", ""),
    ];
    for (text, place, word) in rows {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("inrush.toml");
        std::fs::write(&path, text).expect("write the configuration");
        let mut command = command(Driver::Epoll, directory.path());
        command.arg("--config").arg(&path);
        let (status, said) = run(command);
        assert!(status.code().is_some_and(|code| code != 0), "{text:?} was taken:\n{said}");
        assert!(said.contains(&format!("inrush.toml:{place}:")), "{text:?}: not at {place}:\n{said}");
        assert!(said.contains(word), "{text:?}: nothing about {word}:\n{said}");
    }
}

#[test]
fn without_a_configuration_it_writes_one_and_the_printed_line_works() {
    for driver in DRIVERS {
        let directory = tempfile::tempdir().expect("make a directory");
        let mut process = first_start(driver, directory.path());
        let address = process.stderr.address_after("listens on http://");
        let config = directory.path().join("inrush.toml");
        let mode = std::fs::metadata(&config).expect("the configuration was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{driver:?}");

        let line =
            process.stderr.wait_for("a curl line", |line| Some(line[line.find("curl ")?..].to_owned()));
        let (path, body) = request_of(&line, address);
        let mut client = Client::connect(address);
        let answer = client.call(format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        // The webhook's node is `log`: the event is a line on stdout.
        let id = answer.event_id().to_owned();
        let event = process.stdout.wait_for("the event", |line| line.contains(&id).then(|| line.to_owned()));
        let event: serde_json::Value = serde_json::from_str(&event).expect("one JSON line");
        assert_eq!(event.pointer("/webhook").and_then(|name| name.as_str()), Some("default"));
        let sent: serde_json::Value = serde_json::from_str(&body).expect("the printed body is JSON");
        assert_eq!(event.pointer("/payload/body"), Some(&sent));
        assert_eq!(event.pointer("/payload/method").and_then(|method| method.as_str()), Some("POST"));
        process.terminate();
        assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.stderr.text());

        // The second start finds what the first has written: the same URL.
        let before = std::fs::read(&config).expect("read");
        let mut again = first_start(driver, directory.path());
        again.stderr.wait_for("the same URL", |line| line.contains(path.as_str()).then_some(()));
        again.terminate();
        assert_eq!(again.wait(PATIENCE).code(), Some(0));
        assert_eq!(
            std::fs::read(&config).expect("read"),
            before,
            "the second start rewrote the configuration"
        );
    }
}

/// Starts it with nothing in its directory, on free ports: 8080 and 8081 may be anybody's where tests run.
fn first_start(driver: Driver, directory: &Path) -> Process {
    let mut command = command(driver, directory);
    command.args(["--listen", "127.0.0.1:0"]).env("INRUSH_ADMIN_LISTEN", "127.0.0.1:0");
    Process::spawn(command)
}

/// Path and body of the printed curl line, which must point at the address that is listened on.
fn request_of(line: &str, address: SocketAddr) -> (String, String) {
    let start = format!("http://{address}/");
    let url = line
        .split_whitespace()
        .map(|word| word.trim_matches(['\'', '"']))
        .find(|word| word.starts_with(&start));
    let url = url.unwrap_or_else(|| panic!("no URL on {address} in {line:?}"));
    let path = &url[start.len() - 1..];
    assert_eq!(path.len(), 37, "not a path of one id: {path:?}");
    let body = ["--json ", "--data-binary ", "--data ", "--data-raw ", "-d "].into_iter().find_map(|flag| {
        let quoted = line.split_once(flag)?.1.strip_prefix('\'')?;
        Some(quoted.split_once('\'')?.0.to_owned())
    });
    (path.to_owned(), body.unwrap_or_else(|| panic!("no body in {line:?}")))
}

#[test]
fn health_and_readiness() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        assert_eq!(server.admin_get("/healthz").0, 200);
        assert_eq!(server.admin_get("/readyz").0, 200);
        assert_eq!(server.admin_get("/nowhere").0, 404);
        server.finish();
    }
}

/// The value of a row of `/metrics`, 0 where there is no such row yet.
fn metric(text: &str, row: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{row} {value}")))
}

#[test]
fn metrics_count_what_was_sent() {
    for driver in DRIVERS {
        let server = Setup::new(driver).argument("--cores").argument(2).start();
        // Several connections, so that both cores may have their part.
        for _ in 0..10 {
            let mut client = server.connect();
            for _ in 0..3 {
                let request = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}");
                assert_eq!(client.call(request).status, 200);
            }
            assert_eq!(client.call(format!("GET /{LOCKED} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 401);
            assert_eq!(client.call(format!("GET /{UNKNOWN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 404);
            assert_eq!(client.call(format!("OPTIONS /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 204);
        }
        let expect =
            format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        let mut client = server.connect();
        assert_eq!(client.call(expect).status, 100);
        assert_eq!(client.call("{}").status, 200);
        let mut bad = server.connect();
        assert_eq!(bad.call("hello\r\n\r\n").status, 400);

        let expected = [
            ("inrush_all_cores_requests_total{status=\"200\"}", 31),
            ("inrush_all_cores_requests_total{status=\"401\"}", 10),
            ("inrush_all_cores_requests_total{status=\"404\"}", 10),
            ("inrush_all_cores_requests_total{status=\"204\"}", 10),
            ("inrush_all_cores_requests_total{status=\"400\"}", 1),
            ("inrush_all_cores_continues_total", 1),
            ("inrush_all_cores_events_total", 31),
            ("inrush_all_workers_events_total", 31),
            ("inrush_all_cores_connections_accepted_total", 12),
            ("inrush_all_cores_connections_panicked_total", 0),
            ("inrush_all_cores_queue_full_total", 0),
        ];
        // A worker counts an event when it takes it, a moment behind the answer.
        let deadline = std::time::Instant::now() + PATIENCE;
        let text = loop {
            let (status, text) = server.admin_get("/metrics");
            assert_eq!(status, 200);
            if expected.iter().all(|(row, value)| metric(&text, row) == *value)
                || std::time::Instant::now() > deadline
            {
                break text;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        for (row, value) in expected {
            assert_eq!(metric(&text, row), value, "{row} on {driver:?} in\n{text}");
        }
        let per_core =
            |core| metric(&text, &format!("inrush_requests_total{{core=\"{core}\",status=\"200\"}}"));
        assert_eq!(per_core(0) + per_core(1), 31, "{text}");
        assert!(metric(&text, "inrush_all_cores_read_bytes_total") > 31 * 90);
        assert!(metric(&text, "inrush_all_cores_written_bytes_total") > 31 * 90);
        server.finish();
    }
}

#[test]
fn the_admin_listener_is_not_the_public_one() {
    let server = Server::start(Driver::Epoll);
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = server.connect().call(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status, 404, "{path}");
    }
    // And the other way: no webhook is served there.
    let mut stream = std::net::TcpStream::connect(server.admin).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
    let request = format!(
        "POST /{OPEN} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}",
        server.admin
    );
    stream.write_all(request.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(server.finish().len(), 0);
}
