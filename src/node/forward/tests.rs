//! Against servers on 127.0.0.1 that say exactly what a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{Home, Slot, Source};
use crate::http::head::HeadReader;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a server does when it has read a request.
#[derive(Clone)]
enum Reply {
    Say(String),
    SayAndClose(String),
    /// Says that, and nothing more until the client closes.
    SayAndHang(String),
}

use Reply::{Say, SayAndClose, SayAndHang};

fn say(text: &str) -> Reply {
    Say(text.to_owned())
}

#[derive(Default)]
struct Log {
    accepted: AtomicUsize,
    closed: AtomicUsize,
    /// A connection came to its end.
    on_close: Notify,
    /// Head and body of each request.
    requests: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Log {
    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Waits until that many connections have come to their end.
    async fn closed(&self, wanted: usize) {
        let waiting = async {
            while self.closed.load(Ordering::Relaxed) < wanted {
                self.on_close.notified().await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect("the client keeps a connection open");
        // The runtime looks for news of sockets before it comes back to a task that yields.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
}

/// Serves one connection: `reply` is asked with the number of the request, over all connections.
async fn serve_one(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: Arc<Log>,
    reply: Arc<dyn Fn(usize) -> Reply + Send + Sync>,
) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let length: usize = length.parse().unwrap();
        if bytes.len() < end + 4 + length {
            bytes.reserve(length);
            continue;
        }
        let body = bytes.split_off(end + 4);
        assert_eq!(body.len(), length, "more than one request");
        bytes.clear();
        let number = {
            let mut requests = log.requests.lock().unwrap();
            requests.push((head, body));
            requests.len() - 1
        };
        let reply = reply(number);
        let (Say(text) | SayAndClose(text) | SayAndHang(text)) = &reply;
        let said = stream.write_all(text.as_bytes()).await.is_ok() && stream.flush().await.is_ok();
        match reply {
            Say(_) if said => {}
            SayAndHang(_) if said => drop(stream.read(&mut [0; 1]).await),
            _ => break,
        }
    }
    drop(stream);
    log.closed.fetch_add(1, Ordering::Relaxed);
    log.on_close.notify_one();
}

async fn server(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (SocketAddr, Arc<Log>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, log, reply) = (listener.local_addr().unwrap(), Arc::new(Log::default()), Arc::new(reply));
    let found = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            log.accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve_one(stream, log.clone(), reply.clone()));
        }
    });
    (address, found)
}

fn options(url: &str, allow: &[&str]) -> ClientOptions {
    let mut options = ClientOptions::new(Target::parse(url).unwrap().0);
    options.guard = Guard::new(allow.iter().copied()).unwrap();
    options
}

/// A client for a server of a test.
fn client(address: SocketAddr) -> Client {
    Client::open(options(&format!("http://{address}/"), &["127.0.0.1"])).unwrap()
}

fn request(body: impl Into<Bytes>) -> Outgoing {
    let authority = HeaderValue::from_static("h");
    Outgoing {
        path: PathAndQuery::from_static("/p?q"),
        headers: headers::base(&authority),
        body: body.into(),
    }
}

async fn send(client: &Client) -> Result<(), String> {
    client.send(request("{}")).await
}

/// Takes handles back and counts them.
#[derive(Default)]
struct Came(AtomicUsize);

impl Home for Came {
    fn come_home(&self, _: usize, slot: Box<Slot>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        drop(slot);
    }
}

fn event(fields: &str, body: &[u8]) -> (HeldEvent, Arc<Came>) {
    let mut bytes = format!("POST / HTTP/1.1\r\nHost: in\r\n{fields}\r\n").into_bytes();
    let mut slot = Box::new(Slot::new());
    HeadReader::default().read(&bytes, &mut slot.head).unwrap();
    slot.body = bytes.len()..bytes.len() + body.len();
    bytes.extend_from_slice(body);
    let mut buf = Pool::new(Arc::new(Budget::new(64 << 20))).take(bytes.len()).unwrap();
    buf.extend_from_slice(&bytes);
    slot.buf = Some(buf);
    let came = Arc::new(Came::default());
    (HeldEvent::new(slot, Arc::new(Source::named("orders")), 0, came.clone()), came)
}

fn forward(address: SocketAddr) -> ForwardOptions {
    ForwardOptions {
        client: options(&format!("http://{address}/"), &["127.0.0.1"]),
        path: PathAndQuery::from_static("/hook?a=b"),
        headers: HeaderNames::default(),
        set_headers: HeaderNames::default(),
        is_body_rendered: false,
        signer: None,
    }
}

/// The request that the server read last: its lines without the first, sorted, and its body.
fn last(log: &Log) -> (String, Vec<String>, Vec<u8>) {
    let (head, body) = log.requests.lock().unwrap().pop().unwrap();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let first = lines.next().unwrap();
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    (first, lines, body)
}

#[tokio::test]
async fn the_exact_bytes_arrive_with_what_tells_of_the_event() {
    let (address, log) = server(|_| say(OK)).await;
    let node = Forward::open(forward(address)).unwrap();
    let body = b" {\"a\" :\r\n1e400}\t";
    let fields = "Content-Type: application/cloudevents+json\r\nX-Own: 1\r\nAuthorization: secret\r\n";
    let (event, came) = event(fields, body);
    node.send(&event, Rendered::default()).await.unwrap();
    let (first, lines, received) = last(&log);
    assert_eq!((first.as_str(), &received[..]), ("POST /hook?a=b HTTP/1.1", &body[..]));
    let expected = [
        "content-length: 16".to_owned(),
        "content-type: application/cloudevents+json".into(),
        format!("host: {address}"),
        concat!("user-agent: inrush/", env!("CARGO_PKG_VERSION")).into(),
        "x-event-id: 00000000-0000-0000-0000-000000000000".into(),
        "x-webhook: orders".into(),
    ];
    assert_eq!(lines, expected);
    drop(event);
    assert_eq!(came.0.load(Ordering::Relaxed), 1, "the kept connection holds the event");
}

#[tokio::test]
async fn headers_are_passed_on_and_set() {
    let (address, log) = server(|_| say(OK)).await;
    let mut options = forward(address);
    options.headers =
        HeaderNames::new(["X-GitHub-Event", "user-agent", "authorization", "x-absent"]).unwrap();
    options.set_headers = HeaderNames::new(["x-token", "Content-Type"]).unwrap();
    options.is_body_rendered = true;
    let node = Forward::open(options).unwrap();
    let fields = "x-github-event: push\r\nX-Github-Event: second\r\nUser-Agent: git\r\nAuthorization: secret\r\n\
                  content-type: application/json; charset=utf-8\r\n";
    let (event, _) = event(fields, b"{}");
    let rendered = |token: &str| Rendered {
        path: Some("/other".into()),
        body: Some(Bytes::from_static(b"a=b")),
        set_headers: vec![token.to_owned(), "application/x-www-form-urlencoded".into()],
    };
    node.send(&event, rendered(" t0ken\u{20ac}\t")).await.unwrap();
    let (first, lines, body) = last(&log);
    assert_eq!((first.as_str(), &body[..]), ("POST /other HTTP/1.1", &b"a=b"[..]));
    let expected = [
        "content-length: 3".to_owned(),
        "content-type: application/x-www-form-urlencoded".into(),
        format!("host: {address}"),
        "user-agent: git".into(),
        "x-event-id: 00000000-0000-0000-0000-000000000000".into(),
        "x-github-event: push".into(),
        "x-github-event: second".into(),
        "x-token: t0ken\u{20ac}".into(),
        "x-webhook: orders".into(),
    ];
    assert_eq!(lines, expected);
    for evil in ["a\r\nx-evil: 1", "a\nb", "a\rb", "\0", "\u{7f}"] {
        let reason = node.send(&event, rendered(evil)).await.unwrap_err();
        assert!(reason.contains("header `x-token`"), "{reason}");
    }
    let reason = node.send(&event, Rendered::default()).await.unwrap_err();
    assert!(reason.contains("not every header"), "{reason}");
    let evil = Rendered { path: Some("/ HTTP/1.1\r\nx-evil: 1".into()), ..rendered("t") };
    assert!(node.send(&event, evil).await.unwrap_err().contains("percent-encode"));
    assert_eq!(log.requests(), 0, "something bad was sent");
}

#[test]
fn headers_of_the_connection_and_our_own_are_not_for_the_operator() {
    for (name, part) in [
        ("Connection", "belongs to the connection"),
        ("content-length", "belongs to the connection"),
        ("HOST", "belongs to the connection"),
        ("transfer-encoding", "belongs to the connection"),
        ("te", "belongs to the connection"),
        ("X-Event-Id", "leave it out"),
        ("x-webhook", "leave it out"),
        ("", "no header name"),
        ("a b", "no header name"),
        ("a:", "no header name"),
        ("a\r\n", "no header name"),
    ] {
        let reason = HeaderNames::new([name]).unwrap_err();
        assert!(reason.contains(part), "{name}: {reason}");
    }
    assert!(HeaderNames::new(["x-a"; 65]).is_err());
    assert!(HeaderNames::new(["webhook-id"]).is_ok(), "a signature may be passed on if we do not sign");
    let mut options = forward("127.0.0.1:1".parse().unwrap());
    options.headers = HeaderNames::new(["webhook-id"]).unwrap();
    options.signer = Some(Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap());
    assert!(Forward::open(options).err().unwrap().contains("signing key"));
}

#[tokio::test]
async fn what_is_sent_is_signed() {
    let (address, log) = server(|_| say(OK)).await;
    let signer = || Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
    let mut options = forward(address);
    options.signer = Some(signer());
    let node = Forward::open(options).unwrap();
    let (event, _) = event("webhook-id: of-the-sender\r\n", b"[1]");
    for (rendered, body) in [(None, "[1]"), (Some("[2]"), "[2]")] {
        let rendered = Rendered { body: rendered.map(Bytes::from), ..Rendered::default() };
        node.send(&event, rendered).await.unwrap();
        let (_, lines, _) = last(&log);
        let value = |name: &str| {
            let mut found = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let value = found.next().unwrap();
            assert_eq!(found.next(), None, "{name} is there twice");
            value
        };
        let timestamp: u64 = value("webhook-timestamp").parse().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!((now - 60..=now).contains(&timestamp), "{timestamp} at {now}");
        assert_eq!(value("webhook-id"), value("x-event-id"));
        let expected = signer().sign(value("webhook-id"), timestamp, body.as_bytes()).await.unwrap();
        assert_eq!(value("webhook-signature"), expected.to_str().unwrap());
    }
}

#[tokio::test]
async fn a_large_body_arrives_exactly_and_the_event_is_let_go() {
    let (address, log) = server(|_| say(OK)).await;
    let node = Forward::open(forward(address)).unwrap();
    let body: Vec<u8> = (0..20_u32 << 20).map(|at| b' ' + (at % 89) as u8).collect();
    let (event, came) = event("", &body);
    node.send(&event, Rendered::default()).await.unwrap();
    drop(event);
    assert_eq!(came.0.load(Ordering::Relaxed), 1);
    assert!(last(&log).2 == body, "the body is another one");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    for (answer, reused) in [
        (OK, true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true),
        ("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
    ] {
        let (address, log) = server(|_| say(answer)).await;
        let client = client(address);
        for round in 0..3 {
            send(&client).await.unwrap_or_else(|reason| panic!("{answer} {round}: {reason}"));
        }
        assert_eq!(log.accepted(), if reused { 1 } else { 3 }, "{answer}");
    }
    // A failure is an answer like any other.
    let (address, log) = server(|_| say("HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\noops")).await;
    let client = client(address);
    for _ in 0..3 {
        assert_eq!(send(&client).await.unwrap_err(), "answered 500: oops");
    }
    assert_eq!(log.accepted(), 1);
}

#[tokio::test]
async fn runs_at_once_have_a_connection_each_and_share_them_later() {
    let (address, log) = server(|_| say(OK)).await;
    let client = Arc::new(client(address));
    for _ in 0..3 {
        let sends: Vec<_> = (0..64)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { send(&client).await })
            })
            .collect();
        for sent in sends {
            sent.await.unwrap().unwrap();
        }
    }
    assert_eq!(log.requests(), 192);
    assert!(log.accepted() <= 64, "{} connections", log.accepted());
}

#[tokio::test]
async fn no_more_connections_are_kept_than_asked_for() {
    let (address, log) = server(|_| say(OK)).await;
    let mut options = options(&format!("http://{address}/"), &["127.0.0.1"]);
    options.idle_connections_max = 2;
    let client = Arc::new(Client::open(options).unwrap());
    let sends: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { send(&client).await })
        })
        .collect();
    for sent in sends {
        sent.await.unwrap().unwrap();
    }
    log.closed(log.accepted() - 2).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_with_its_client() {
    let (address, log) = server(|_| say(OK)).await;
    let mut options = options(&format!("http://{address}/"), &["127.0.0.1"]);
    options.idle_timeout = Duration::from_millis(20);
    let short = Client::open(options).unwrap();
    for round in 1..=3 {
        send(&short).await.unwrap();
        log.closed(round).await;
    }
    let long = client(address);
    send(&long).await.unwrap();
    drop(long);
    log.closed(4).await;
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_not_used() {
    let (address, log) = server(|_| SayAndClose(OK.to_owned())).await;
    let client = client(address);
    for round in 1..=4 {
        send(&client).await.unwrap();
        log.closed(round).await;
    }
    assert_eq!((log.accepted(), log.requests()), (4, 4));
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_twice() {
    let (address, log) = server(|number| match number {
        1 => SayAndClose(String::new()),
        _ => say(OK),
    })
    .await;
    let client = client(address);
    send(&client).await.unwrap();
    let reason = send(&client).await.unwrap_err();
    assert!(reason.contains(&format!("{address} closed a kept connection")), "{reason}");
    assert!(reason.contains("it was not sent again"), "{reason}");
    assert_eq!((log.accepted(), log.requests()), (1, 2));
    send(&client).await.unwrap();
    assert_eq!((log.accepted(), log.requests()), (2, 3));
}

#[tokio::test]
async fn failures_say_what_happened() {
    for (reply, expected) in [
        (say("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), "answered 404"),
        (
            say("HTTP/1.1 410 Gone\r\ntransfer-encoding: chunked\r\n\r\n4\r\nno\nx\r\n0\r\n\r\n"),
            "answered 410: no\\nx",
        ),
        (
            say("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"),
            "answered 302, a redirect to http://127.0.0.1/; redirects are not followed: name the final URL",
        ),
        (SayAndClose("HTTP/1.1 500 E\r\ncontent-length: 100\r\n\r\ntorn".into()), "answered 500: torn"),
        (SayAndClose("HTTP/1.0 502 E\r\n\r\nuntil the end".into()), "answered 502: until the end"),
        (SayAndClose(String::new()), "ADDRESS closed the connection before it answered"),
        (SayAndClose("HTTP/1.1 200".into()), "ADDRESS closed the connection before it answered"),
        (say("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "what ADDRESS answers is not HTTP/1.1"),
        (
            say(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000))),
            "what ADDRESS answers is not HTTP/1.1",
        ),
        (SayAndHang(String::new()), "timed out after 200ms while waiting for the answer of ADDRESS"),
        (SayAndHang("HTTP/1.1 200 OK\r\nx: ".into()), "timed out after 200ms while waiting for the answer"),
        (SayAndHang("HTTP/1.1 500 E\r\ncontent-length: 9\r\n\r\nhalf".into()), "answered 500: half"),
    ] {
        let (address, log) = server(move |_| reply.clone()).await;
        let mut options = options(&format!("http://{address}/"), &["127.0.0.1"]);
        options.timeout = Duration::from_millis(200);
        let client = Client::open(options).unwrap();
        let reason = send(&client).await.unwrap_err();
        let expected = expected.replace("ADDRESS", &address.to_string());
        assert!(reason.starts_with(&expected), "{reason} instead of {expected}");
        assert_eq!((log.accepted(), log.requests()), (1, 1), "{expected}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(send(&client(closed)).await.unwrap_err(), format!("connection refused by {closed}"));
}

#[tokio::test]
async fn a_success_counts_from_its_head_on() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(100_000));
    for reply in [
        SayAndClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntorn".into()),
        SayAndHang("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".into()),
        SayAndHang(long),
    ] {
        let (address, log) = server(move |_| reply.clone()).await;
        let mut options = options(&format!("http://{address}/"), &["127.0.0.1"]);
        options.timeout = Duration::from_millis(200);
        let client = Client::open(options).unwrap();
        send(&client).await.unwrap();
        log.closed(1).await;
        send(&client).await.unwrap();
        assert_eq!(log.accepted(), 2);
    }
}

#[tokio::test]
async fn a_look_up_that_never_ends_is_bounded() {
    let mut options = options("http://name.example/", &[]);
    options.connect_timeout = Duration::from_millis(20);
    let client = Client::open(options).unwrap().with_lookups(|| Box::pin(std::future::pending()));
    assert_eq!(send(&client).await.unwrap_err(), "timed out after 20ms while looking `name.example` up");
}

#[test]
fn times_without_an_end_are_refused() {
    for wrong in [Duration::ZERO, Duration::from_secs(86_401), Duration::MAX] {
        for name in ["connect_timeout", "timeout"] {
            let mut options = options("http://h/", &[]);
            let time = if name == "timeout" { &mut options.timeout } else { &mut options.connect_timeout };
            *time = wrong;
            let reason = Client::open(options).err().unwrap();
            assert!(reason.contains(&format!("`{name}` has to be")), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_dropped_run_leaves_no_connection_open() {
    for body_bytes in [2, 20 << 20] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Arc::new(client(listener.local_addr().unwrap()));
        let (event, came) = event("", &vec![b' '; body_bytes]);
        let body = event.body();
        drop(event);
        let sending = tokio::spawn(async move { client.send(request(body)).await });
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        sending.abort();
        assert!(sending.await.unwrap_err().is_cancelled());
        assert_eq!(came.0.load(Ordering::Relaxed), 1, "the event is still held");
        // To the end, be it in good order or by a reset.
        let reading = async { while let Ok(1..) = stream.read(&mut [0; 4096]).await {} };
        timeout(Duration::from_secs(10), reading).await.expect("the connection is still open");
    }
}

#[tokio::test]
async fn a_server_that_answers_before_it_has_read_the_body_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_exact(&mut [0; 100]).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            while let Ok(1..) = stream.read(&mut [0; 65536]).await {}
        }
    });
    let reason = client.send(request(vec![b' '; 20 << 20])).await.unwrap_err();
    assert_eq!(reason, "answered 413");
}

mod inner;
mod https;
