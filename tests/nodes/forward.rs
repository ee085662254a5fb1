//! `forward`: what another server gets, what its answers mean, and where nothing is ever sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::support::{Driver, PATIENCE, Setup};
use super::{counts, eventually, post, told, webhook};

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
fn target(answer: &str) -> (SocketAddr, mpsc::Receiver<Got>) {
    serve(TcpListener::bind("127.0.0.1:0").unwrap(), usize::MAX, answer)
}

/// A server that answers the first `failing` requests with `answer`, or closes if that is empty, and all others with
/// [`OK`]; it tells what it got.
fn serve(listener: TcpListener, failing: usize, answer: &str) -> (SocketAddr, mpsc::Receiver<Got>) {
    let address = listener.local_addr().unwrap();
    let (say, got) = mpsc::channel();
    let (seen, failure) = (Arc::new(AtomicUsize::new(0)), answer.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, say) = (stream.unwrap(), say.clone());
            let (seen, failure) = (seen.clone(), failure.clone());
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
                    let fails = seen.fetch_add(1, Ordering::Relaxed) < failing;
                    let answer = if fails { &failure } else { OK };
                    if say.send(got).is_err()
                        || answer.is_empty()
                        || stream.write_all(answer.as_bytes()).is_err()
                    {
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

/// Whatever the other server does, the webhook answers, the failure is counted and told with the event's id, and the next
/// event is tried: once the server is well, it gets what comes then.
#[test]
fn a_target_that_fails_is_told_and_delays_nobody() {
    // Where the redirect leads to, somebody listens.
    let elsewhere = Unvisited::on("127.0.0.1:0");
    let moved = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address()
    );
    for (answer, reason) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nno luck\r\n", "500"),
        (&*moved, "redirect"),
        ("nonsense\r\n\r\n", "not HTTP/1.1"),
        ("", "closed the connection before it answered"),
    ] {
        let (address, got) = serve(TcpListener::bind("127.0.0.1:0").unwrap(), 3, answer);
        let trigger = forward("t", &format!("http://{address}/"), ", allow = [\"127.0.0.1\"]");
        let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
        let mut client = server.connect();
        for number in 1..=5 {
            let sent = client.call(post("", "", "{}"));
            assert_eq!(sent.status, 200, "{answer}");
            let got = got.recv_timeout(PATIENCE).expect("it is tried each time");
            assert_eq!(got.header("x-event-id"), sent.event_id(), "{answer}");
            eventually(&format!("{number} runs, three of them failures, after {answer:?}"), || {
                let node = &counts(&server, "t")["nodes"][0];
                (node["runs"] == number && node["failures"] == number.min(3)).then_some(())
            });
            if number == 1 {
                told(&server, &[sent.event_id(), reason]);
            }
        }
        assert!(got.try_recv().is_err(), "one attempt each");
        assert_eq!(server.stop().status.code(), Some(0));
    }
    assert!(elsewhere.is_unvisited(), "the redirect was followed");
}

/// Nobody listens at all, and then somebody does.
#[test]
fn a_target_that_comes_up_gets_what_comes_then() {
    // An address of its own: on that of the other tests, one of them could get the port meanwhile.
    let address = TcpListener::bind("127.0.77.1:0").unwrap().local_addr().unwrap();
    let trigger = forward("t", &format!("http://{address}/"), ", allow = [\"127.0.77.1\"]");
    let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
    let mut client = server.connect();
    let id = client.call(post("", "", "{}")).event_id().to_owned();
    eventually("the count", || (counts(&server, "t")["nodes"][0]["failures"] == 1).then_some(()));
    told(&server, &[&id, "connection refused by"]);
    let (_, got) = serve(TcpListener::bind(address).unwrap(), 0, "");
    assert_eq!(client.call(post("", "", "[1]")).status, 200);
    assert_eq!(got.recv_timeout(PATIENCE).expect("it is delivered").body, b"[1]");
}

/// Listens, and nobody may come.
struct Unvisited(TcpListener);

impl Unvisited {
    fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Once the run that might have connected has ended: over the loopback device, `connect` returns when the connection
    /// can be accepted.
    fn is_unvisited(&self) -> bool {
        self.0.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Server-side request forgery: inner addresses in every spelling are refused by default, each for what it is, and
/// nothing is connected to.
#[test]
fn inner_addresses_are_refused_in_every_spelling() {
    // Both families: a connection to this machine that the guard lets through succeeds here. Where the machine has no
    // IPv6, or somebody has the port, IPv4 alone.
    let four = Unvisited::on("127.0.0.1:0");
    let port = four.address().port();
    let six = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).and_then(|socket| {
        socket.set_only_v6(true)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, port)).into())?;
        socket.listen(16)?;
        socket.set_nonblocking(true)?;
        Ok(Unvisited(socket.into()))
    });
    let six = six.ok();
    // Names of numbers are up to the system's resolver: glibc and musl read them as `inet_aton` does, to the same end.
    let hosts = [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::]", "no global unicast"),
        ("0.0.0.0", "this host"),
        ("2130706433", "loopback"),
        ("0x7f.1", "loopback"),
        ("127.1", "loopback"),
        ("0177.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared"),
        ("[fe80::1]", "link-local"),
        ("[fd00:ec2::254]", "private"),
        ("[64:ff9b::7f00:1]", "loopback"),
        ("[2002:7f00:1::]", "6to4"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
    ];
    let triggers: Vec<String> = hosts
        .iter()
        .enumerate()
        .map(|(index, (host, _))| forward(&format!("t{index}"), &format!("http://{host}:{port}/"), ""))
        .collect();
    let server = Setup::new(Driver::Uring).more(&webhook(&triggers)).start();
    let id = server.connect().call(post("", "", "{}")).event_id().to_owned();
    for (index, (host, kind)) in hosts.iter().enumerate() {
        let trigger = format!("t{index}");
        eventually(host, || (counts(&server, &trigger)["nodes"][0]["failures"] == 1).then_some(()));
        let trigger = format!("trigger=\"{trigger}\"");
        told(&server, &[&id, &trigger, kind, ": refused; if it is meant, set `allow = ["]);
    }
    assert!(four.is_unvisited() && six.is_none_or(|six| six.is_unvisited()), "something was connected to");
}
