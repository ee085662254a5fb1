//! `inrush send`, the real binary against the real server: what arrives, what is said, how it exits.

// What fails here fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use support::server::{SECRET, command};
use support::{DRIVERS, Driver, Server, Setup};

/// What `send` printed.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `send` against `server`, its stdin holding `stdin`.
fn send(server: &Server, arguments: &[&str], stdin: &[u8]) -> Said {
    let listen = server.address.to_string();
    send_in(server.directory.path(), &[&["--listen", &listen], arguments].concat(), stdin)
}

fn send_in(directory: &Path, arguments: &[&str], stdin: &[u8]) -> Said {
    let mut command = command(Driver::Epoll, directory);
    command.arg("send").args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the binary");
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // It need not read its stdin to the end: an answer may come before.
    let writer = std::thread::spawn(move || pipe.write_all(&stdin));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!said.stdout.contains(SECRET) && !said.stderr.contains(SECRET), "{said:?}");
    said
}

fn file(server: &Server, name: &str, content: &[u8]) -> String {
    let path = server.directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The id in `200 OK; event ID; …`.
fn event_id(said: &Said) -> String {
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let rest = said.stdout.strip_prefix("200 OK; event ").unwrap_or_else(|| panic!("{said:?}"));
    rest.split(';').next().unwrap().to_owned()
}

#[test]
fn what_is_sent_arrives_as_it_is() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let small = file(&server, "small.json", br#"{"from":"file"}"#);
        // More than fits any buffer on the way, and not all the same.
        let large: Vec<u32> = (0..2_500_000).map(|n: u32| n.wrapping_mul(2_654_435_761)).collect();
        let large = serde_json::to_vec(&large).unwrap();
        assert!(large.len() > 20 << 20);
        let large_file = file(&server, "large.json", &large);

        let from_file = event_id(&send(&server, &["locked", &small], b""));
        let from_stdin = event_id(&send(&server, &["locked"], br#"{"from":"stdin"}"#));
        let from_dash = event_id(&send(&server, &["locked", "-"], br#"{"from":"dash"}"#));
        let from_nothing = event_id(&send(&server, &["locked"], b""));
        let by_parts = ["--path", "/a/b c", "--query", "a=1&b[]=2", "--header", "X-One: 1"];
        let by_parts = event_id(&send(&server, &[&["locked", &small][..], &by_parts].concat(), b""));
        let from_large = event_id(&send(&server, &["locked", &large_file], b""));
        let chunked_large = event_id(&send(&server, &["locked"], &large));
        let url = format!("http://{}", server.address);
        let by_url = send_in(server.directory.path(), &["open", &small, "--url", &url], b"");
        let by_url = event_id(&by_url);

        let events = server.finish();
        let event = |id: &str| events.get(id);
        assert_eq!(event(&from_file).body, r#"{"from":"file"}"#);
        assert_eq!(event(&from_file).rest["headers"]["content-type"], "application/json");
        assert_eq!(event(&from_file).rest["headers"]["content-length"], "15");
        assert_eq!(event(&from_stdin).body, r#"{"from":"stdin"}"#);
        assert_eq!(event(&from_stdin).rest["headers"]["transfer-encoding"], "chunked");
        assert_eq!(event(&from_dash).body, r#"{"from":"dash"}"#);
        assert_eq!(event(&from_nothing).body, "{}");
        let parts = &event(&by_parts).rest;
        assert_eq!((&parts["path"], &parts["query"]), (&json!("/a/b%20c"), &json!({"a": "1", "b": ["2"]})));
        assert_eq!(parts["headers"]["x-one"], "1");
        // Not compared by a macro, which would print them.
        assert!(event(&from_large).body.as_bytes() == large);
        assert!(event(&chunked_large).body.as_bytes() == large);
        assert_eq!(event(&by_url).body, r#"{"from":"file"}"#);
    }
}

#[test]
fn a_refusal_is_shown_even_in_the_middle_of_sending() {
    let server = Setup::new(Driver::Uring).limit("body_bytes_max", 10 << 20).start();
    let bad = file(&server, "bad.json", b"{\"a\":1,}");
    let mut late = b"[1,x".to_vec();
    late.resize(9 << 20, b' ');
    let early = file(&server, "early.json", &late);
    let too_large = file(&server, "large.json", &vec![b' '; 20 << 20]);
    for (arguments, stdin, parts) in [
        (
            &["open", &bad][..],
            &b""[..],
            &["400 Bad Request after ", " (invalid_json, at byte 7): The body"][..],
        ),
        (&["open"], b"[1,2", &["400 Bad Request after ", " (invalid_json, at byte 4): The body"]),
        (&["open", &early], b"", &["400 Bad Request after ", " (invalid_json, at byte 3): The body"]),
        (&["open"], &late, &["400 Bad Request after ", " (invalid_json, at byte 3): The body"]),
        (&["open", &too_large], b"", &["413 ", " (body_too_large): The body"]),
        (&["open"], &vec![b' '; 20 << 20], &["413 ", " (body_too_large): The body"]),
        (&["locked", &early, "--header", "x-bp-secret: wrong"], b"", &["401 ", " (bad_secret): Send the"]),
    ] {
        let said = send(&server, arguments, stdin);
        assert_eq!((said.code, said.stdout.as_str()), (76, ""), "{arguments:?} {said:?}");
        assert!(said.stderr.starts_with("inrush: the server answered "), "{said:?}");
        for part in parts {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
    }
}

#[test]
fn programs_get_json() {
    let server = Server::start(Driver::Uring);
    let said = send(&server, &["shop", "--json"], b"[1]");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&report["webhook"], &report["status"]), (&json!("shop"), &json!(200)));
    assert_eq!((&report["document_bytes"], &report["code"]), (&json!(3), &Value::Null));
    assert_eq!(report["event_id"].as_str().unwrap().len(), 36);
    assert!(report["elapsed_ms"].as_f64().unwrap() > 0.0);

    let said = send(&server, &["shop", "--json"], b"[1]x");
    assert_eq!(said.code, 76);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&report["status"], &report["code"]), (&json!(400), &json!("invalid_json")));
    assert_eq!((&report["offset"], &report["event_id"]), (&json!(3), &Value::Null));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let server = Server::start(Driver::Epoll);
    let absent = server.directory.path().join("absent.json").display().to_string();
    for (arguments, code, part) in [
        (&["locket"][..], 66, "no webhook is called \"locket\"; did you mean \"locked\"?"),
        (&["qqqqqqqq"], 66, "there are: open, locked"),
        (&["open", &absent], 74, "absent.json: No such file"),
        (&["open", "/"], 74, "cannot read /: "),
        (&["open", "--url", "https://a"], 2, "plain HTTP only"),
        (&["open", "--path", "a"], 2, "/a"),
        (&["open", "--header", "a"], 2, "name: value"),
        (&["open", "--listen", "127.0.0.1:0"], 2, "--url"),
    ] {
        let said = match arguments.contains(&"--listen") {
            true => send_in(server.directory.path(), arguments, b""),
            false => send(&server, arguments, b""),
        };
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{arguments:?} {said:?}");
        assert!(said.stderr.contains(part), "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_server_that_does_not_run_is_named_with_what_starts_it() {
    let server = Server::start(Driver::Epoll);
    let address = server.address.to_string();
    let config = server.directory.path().join("inrush.toml").display().to_string();
    let stopped = server.stop();
    let said = send_in(stopped.directory.path(), &["open", "--listen", &address, "--config", &config], b"1");
    assert_eq!((said.code, said.stdout.as_str()), (69, ""), "{said:?}");
    let expected = format!("no server listens on {address}; start it with `inrush serve --config {config}`");
    assert!(said.stderr.contains(&expected), "{said:?}");
}
