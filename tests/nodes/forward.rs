//! `forward`: what another server gets, what its answers mean, and where nothing is ever sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::support::{Driver, PATIENCE, Setup};
use super::{counts, eventually, post, webhook};

/// A request as another server got it.
struct Got {
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {}", self.head)).1
    }
}

/// A server that answers each request the same way, and tells what it got.
fn target(answer: &'static str) -> (SocketAddr, mpsc::Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (say, got) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, say) = (stream.unwrap(), say.clone());
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                loop {
                    let end = loop {
                        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                            break at + 4;
                        }
                        let mut piece = [0; 65536];
                        match stream.read(&mut piece) {
                            Ok(0) | Err(_) => return,
                            Ok(read) => bytes.extend_from_slice(&piece[..read]),
                        }
                    };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let mut got = Got { head, body: Vec::new() };
                    let length: usize = got.header("content-length").parse().unwrap();
                    let rest = bytes.split_off(end);
                    bytes = rest;
                    while bytes.len() < length {
                        let mut piece = [0; 65536];
                        let read = stream.read(&mut piece).unwrap();
                        bytes.extend_from_slice(&piece[..read]);
                    }
                    let next = bytes.split_off(length);
                    got.body = std::mem::replace(&mut bytes, next);
                    if say.send(got).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, got)
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn forward(id: &str, url: &str, more: &str) -> String {
    format!("id = {id:?}\nnodes = [{{ type = \"forward\", url = {url:?}{more} }}]")
}

#[test]
fn the_exact_bytes_arrive_signed_with_the_headers_that_were_chosen() {
    let (address, got) = target(OK);
    let key = format!("whsec_{}", STANDARD.encode([7; 32]));
    let more = format!(
        ", allow = [\"127.0.0.1\"], signing_key = {key:?}, headers = [\"x-github-event\", \"x-none\"], \
         set_headers = {{ x-kind = \"kind {{{{ payload.body.kind }}}}\" }}"
    );
    let url = format!("http://{address}/hook/{{{{ payload.body.id }}}}?from={{{{ webhook }}}}");
    let server = Setup::new(Driver::Uring).more(&webhook(&[forward("t", &url, &more)])).start();
    let body = "{ \"kind\" : \"order\",\n \"id\": \"a/b?c é\", \"big\": 123456789012345678901234567890 }";
    let headers =
        "X-GitHub-Event: push\r\nContent-Type: application/vnd.x+json\r\nAuthorization: Bearer s\r\n";
    let id = server.connect().call(post("", headers, body)).event_id().to_owned();
    let got = got.recv_timeout(PATIENCE).expect("it is forwarded");
    assert!(got.head.starts_with("POST /hook/a%2Fb%3Fc%20%C3%A9?from=nodes HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!(got.body, body.as_bytes(), "to the byte");
    for (name, value) in [
        ("x-event-id", &*id),
        ("webhook-id", &id),
        ("x-webhook", "nodes"),
        ("x-github-event", "push"),
        ("content-type", "application/vnd.x+json"),
        ("x-kind", "kind order"),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert!(!got.head.to_ascii_lowercase().contains("authorization"), "{}", got.head);
    // Standard Webhooks: HMAC-SHA256 over id, timestamp and body, joined by dots.
    let signed = [id.as_bytes(), b".", got.header("webhook-timestamp").as_bytes(), b".", &got.body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &signed);
    assert_eq!(got.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
}

#[test]
fn a_template_makes_the_body_and_a_large_one_arrives_whole() {
    let (address, got) = target(OK);
    let url = format!("http://{address}/");
    let made =
        ", allow = [\"127.0.0.1/32\"], body = '{\"n\": {{ payload.body.n }}, \"of\": \"{{ webhook }}\"}'";
    let triggers = [
        forward("made", &url, made),
        format!("when = '!has(payload.body.n)'\n{}", forward("exact", &url, ", allow = [\"127.0.0.1\"]")),
    ];
    let server = Setup::new(Driver::Uring).more(&webhook(&triggers)).start();
    let mut client = server.connect();
    assert_eq!(client.call(post("", "", "{\"n\": 12345678901234567890123}")).status, 200);
    let first = got.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.body, b"{\"n\": 12345678901234567890123, \"of\": \"nodes\"}");
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(20 << 20));
    assert_eq!(client.call(post("", "", &large)).status, 200);
    let second = got.recv_timeout(PATIENCE).unwrap();
    assert!(second.body == large.as_bytes(), "{} of {} bytes", second.body.len(), large.len());
    // The template had no number to print for it.
    eventually("the failure", || (counts(&server, "made")["nodes"][0]["failures"] == 1).then_some(()));
}

/// Whatever the other server does, the webhook answers, the failure is counted and told, and the next event is tried.
#[test]
fn a_target_that_fails_is_told_and_delays_nobody() {
    for (answer, reason) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nno luck\r\n", "500"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "redirect"),
        ("nonsense\r\n\r\n", "not HTTP/1.1"),
    ] {
        let (address, got) = target(answer);
        let trigger = forward("t", &format!("http://{address}/"), ", allow = [\"127.0.0.1\"]");
        let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
        let mut client = server.connect();
        for number in 1..=3 {
            assert_eq!(client.call(post("", "", "{}")).status, 200, "{answer}");
            got.recv_timeout(PATIENCE).expect("it is tried each time");
            eventually("the count", || {
                (counts(&server, "t")["nodes"][0]["failures"] == number).then_some(())
            });
        }
        assert!(server.stderr().contains(reason), "lacks {reason}: {}", server.stderr());
        assert!(got.try_recv().is_err(), "one attempt each");
    }
    // Nobody listens at all.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let trigger = forward("t", &format!("http://{closed}/"), ", allow = [\"127.0.0.1\"]");
    let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
    assert_eq!(server.connect().call(post("", "", "{}")).status, 200);
    eventually("the count", || (counts(&server, "t")["nodes"][0]["failures"] == 1).then_some(()));
    assert!(server.stderr().contains("refused"), "{}", server.stderr());
}

/// Server-side request forgery: inner addresses in every spelling are refused by default, and nothing is connected to.
#[test]
fn inner_addresses_are_refused_in_every_spelling() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "255.255.255.255",
    ];
    let triggers: Vec<String> = hosts
        .iter()
        .enumerate()
        .map(|(index, host)| {
            forward(&format!("t{index}"), &format!("http://{host}:{port}/"), ", timeout_ms = 8000")
        })
        .collect();
    let server = Setup::new(Driver::Uring).more(&webhook(&triggers)).start();
    assert_eq!(server.connect().call(post("", "", "{}")).status, 200);
    for (index, host) in hosts.iter().enumerate() {
        eventually(host, || {
            (counts(&server, &format!("t{index}"))["nodes"][0]["failures"] == 1).then_some(())
        });
    }
    let said = server.stderr();
    // One way of telling suffices: a name that the resolver does not know is refused by it, not by the guard.
    let told = said.lines().filter(|line| line.contains("node `forward`")).count();
    assert_eq!(told, hosts.len(), "{said}");
    assert!(said.contains("allow = [\"127.0.0.1\"]"), "the remedy is named: {said}");
    std::thread::sleep(Duration::from_millis(10));
    assert!(listener.accept().is_err(), "something was connected to");
}
