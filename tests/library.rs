//! inrush as a part of a program: nodes of one's own, and what a sick one does to its neighbours.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use inrush::server::Builder;
use inrush::{BodyValue, BoxError, Event, Node, Reads, Server};
use simd_json::prelude::ValueAsScalar;

const SICK: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b3001";
const HEALTHY: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b3002";
const PATIENCE: Duration = Duration::from_secs(20);

fn builder(directory: &std::path::Path) -> Builder {
    with_webhooks(Server::builder(), directory)
}

fn with_webhooks(builder: Builder, directory: &std::path::Path) -> Builder {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut builder = builder.listen(any).admin_listen(any).data_dir(directory);
    for (name, id) in [("sick", SICK), ("healthy", HEALTHY)] {
        builder = builder.webhook(name, id.parse().expect("an id"));
    }
    builder
}

/// Posts on a connection that is kept; returns the status.
fn post(stream: &mut TcpStream, id: &str, body: &str) -> u16 {
    // In one write: a second one would wait for the first to be acknowledged.
    let request = format!("POST /{id} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("the server takes it");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut piece).expect("the server answers");
        assert!(read > 0, "it closed the connection");
        answer.extend_from_slice(&piece[..read]);
    }
    let status = std::str::from_utf8(&answer[9..12]).expect("a status");
    status.parse().expect("a number")
}

/// Counts what it sees of the body's value; one for each worker.
struct Summing {
    sum: u64,
    say: mpsc::Sender<u64>,
}

impl Node for Summing {
    fn run(&mut self, event: &Event<'_>) -> Result<(), BoxError> {
        let BodyValue::Value(body) = event.body_value() else { return Err("no value".into()) };
        let n = inrush::json::get(body, "n").and_then(|n| n.as_u64()).ok_or("no n")?;
        self.sum += n;
        self.say.send(self.sum)?;
        Ok(())
    }

    fn reads(&self) -> Reads {
        Reads { value_up_to: 1 << 20, text: false }
    }
}

#[test]
fn a_node_of_ones_own_keeps_its_state_and_reads_the_value() {
    let directory = tempfile::tempdir().expect("a directory");
    let (say, sums) = mpsc::channel();
    let node = move || Summing { sum: 0, say: say.clone() };
    let server = builder(directory.path()).node("healthy", "sum", node).start().expect("it starts");
    let mut stream = TcpStream::connect(server.started().listen).expect("connect");
    for body in ["{\"n\":1}", "{\"n\":\"x\"}", "{\"n\":\"\\u0031\"}", "{\"n\":41}"] {
        assert_eq!(post(&mut stream, HEALTHY, body), 200);
    }
    assert_eq!(sums.recv_timeout(PATIENCE), Ok(1));
    assert_eq!(sums.recv_timeout(PATIENCE), Ok(42), "errors stop nothing");
    server.stop().expect("it stops in order");
}

#[test]
fn mistakes_of_a_builder_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let nothing = |_: &Event<'_>| Ok(());
    for (builder, reason) in [
        (builder(directory.path()).on_event("nobody", "t", nothing), "no webhook with this name"),
        (
            builder(directory.path()).on_event("sick", "t", nothing).on_event("sick", "t", nothing),
            "two triggers",
        ),
    ] {
        let error = builder.start().expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
    // Two servers on one directory.
    let _first = builder(directory.path()).start().expect("it starts");
    let error = builder(directory.path()).start().expect_err("it is locked").to_string();
    assert!(error.contains("another inrush uses the data directory"), "{error}");
}

/// One that panics for some events, one that blocks for a second, one whose target is down: the webhook beside them, on
/// the same worker, is answered and run as before they had anything to do. If the blocking one held up the worker, one
/// event in thirty would wait for a second.
#[test]
fn a_sick_node_does_not_hold_up_its_neighbours() {
    let directory = tempfile::tempdir().expect("a directory");
    let closed = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("an address");
    let text = format!(
        "[server]\nworkers = 1\n[[webhook]]\nname = 'down'\nid = '0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b3003'\n[[webhook.trigger]]\nid = 't'\n\
         nodes = [{{ type = 'forward', url = 'http://{closed}/', allow = ['127.0.0.1'] }}]\n"
    );
    let mut config = inrush::config::Config::parse(
        &directory.path().join("inrush.toml"),
        &text,
        &inrush::config::Overrides::default(),
        &|_| None,
    )
    .expect("the config is right");
    let down = config.webhooks.remove(0);
    let panics = Arc::new(AtomicUsize::new(0));
    let (seen, ran) = mpsc::channel::<Instant>();
    let count = panics.clone();
    let server = with_webhooks(Server::builder().config(config), directory.path())
        .install(down)
        .on_event("sick", "panics", move |event| {
            count.fetch_add(1, Ordering::Relaxed);
            assert!(event.body() != b"[]", "a node of a test");
            Ok(())
        })
        .on_event_blocking("sick", "blocks", 4, |_| {
            std::thread::sleep(Duration::from_secs(1));
            Ok(())
        })
        .on_event("healthy", "sees", move |_| Ok(seen.send(Instant::now())?))
        .start()
        .expect("it starts");
    let address = server.started().listen;
    let mut stream = TcpStream::connect(address).expect("connect");
    let mut others = TcpStream::connect(address).expect("connect");
    // How long 300 events of the healthy webhook take, 99 in 100: to the answer, and until they run.
    let mut measure = |beside: &mut dyn FnMut(usize)| {
        let (mut answered, mut run) = (Vec::new(), Vec::new());
        for round in 0..300 {
            beside(round);
            let sent = Instant::now();
            assert_eq!(post(&mut stream, HEALTHY, "{}"), 200);
            answered.push(sent.elapsed());
            run.push(ran.recv_timeout(PATIENCE).expect("it runs").saturating_duration_since(sent));
        }
        [answered, run].map(|mut times| {
            times.sort_unstable();
            times[times.len() * 99 / 100]
        })
    };
    let alone = measure(&mut |_| ());
    let beside = measure(&mut |round| {
        if round % 30 == 0 {
            let body = if round % 60 == 0 { "[]" } else { "{}" };
            assert_eq!(post(&mut others, SICK, body), 200);
            assert_eq!(post(&mut others, "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b3003", "{}"), 200);
        }
    });
    // Generous, for a machine that is busy with other tests; a second is what the blocking node takes.
    for (alone, beside) in alone.into_iter().zip(beside) {
        let bound = (20 * alone).clamp(Duration::from_millis(50), Duration::from_millis(700));
        assert!(beside <= bound, "{beside:?} beside sick ones, {alone:?} alone");
    }
    assert_eq!(panics.load(Ordering::Relaxed), 10, "each event was tried, also after a panic");
    let from = Instant::now();
    server.stop().expect("every blocking run ends");
    assert!(from.elapsed() < Duration::from_secs(10), "{:?}", from.elapsed());
}

/// A stop from the program is no impatient one: what was accepted has the time that the limits give it.
#[test]
fn a_stop_lets_what_was_accepted_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let (say, told) = mpsc::channel();
    // Longer than connections that are cut off get.
    let slow = move |_: &Event<'_>| {
        say.send("began")?;
        std::thread::sleep(Duration::from_secs(7));
        Ok(say.send("ended")?)
    };
    let server =
        builder(directory.path()).on_event_blocking("sick", "slow", 1, slow).start().expect("it starts");
    let mut stream = TcpStream::connect(server.started().listen).expect("connect");
    assert_eq!(post(&mut stream, SICK, "{}"), 200);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
    server.stop().expect("there was time");
    assert_eq!(told.try_recv(), Ok("ended"));
}

/// A config that is read anew may give a trigger the id that one of the program has: it is refused as at the start, and the
/// one of the program stays.
#[test]
fn a_reload_does_not_replace_a_trigger_of_the_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("inrush.toml");
    let text = |trigger: &str| {
        format!(
            "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n\
             [[webhook]]\nname = 'healthy'\nid = '{HEALTHY}'\n\
             [[webhook.trigger]]\nid = '{trigger}'\nnodes = [{{ type = 'discard' }}]\n"
        )
    };
    let load = {
        let path = path.clone();
        move || {
            let config = inrush::config::Config::load(&path, &inrush::config::Overrides::default());
            config.map_err(|error| error.to_string())
        }
    };
    std::fs::write(&path, text("other")).expect("write");
    let (seen, ran) = mpsc::channel();
    let server = Server::builder()
        .config(load().expect("the config is right"))
        .data_dir(directory.path().join("data"))
        .reload_with(load)
        .on_event("healthy", "mine", move |event| Ok(seen.send(event.body().to_vec())?))
        .start()
        .expect("it starts");
    let mut stream = TcpStream::connect(server.started().listen).expect("connect");
    let mut run = |body: &str| {
        assert_eq!(post(&mut stream, HEALTHY, body), 200);
        assert_eq!(ran.recv_timeout(PATIENCE).expect("the trigger of the program runs"), body.as_bytes());
    };
    run("[1]");
    for (trigger, refusals, reloads) in [("mine", 1, 0), ("another", 1, 1)] {
        std::fs::write(&path, text(trigger)).expect("write");
        wait_for_reload(server.started().admin_listen, refusals, reloads);
        run("[2]");
    }
    server.stop().expect("it stops in order");
}

/// Waits until so many configs were refused and so many put in force.
fn wait_for_reload(admin: SocketAddr, refusals: u64, reloads: u64) {
    let expected = [
        format!("inrush_config_refusals_total {refusals}\n"),
        format!("inrush_config_reloads_total {reloads}\n"),
    ];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(admin).expect("connect");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("ask");
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).expect("the answer");
        if expected.iter().all(|line| metrics.contains(line)) {
            return;
        }
        assert!(Instant::now() < deadline, "not {expected:?}:\n{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
