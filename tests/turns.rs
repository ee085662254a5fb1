//! Who gets a turn: a sender that never pauses, and senders that came just before the end.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::server::OPEN;
use support::{DRIVERS, Server, Setup};

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([name, &server.pid().to_string()]).status().expect("run kill");
    assert!(sent.success(), "kill {name}");
}

fn post(number: usize) -> String {
    let body = format!("{{\"n\":{number}}}");
    format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// On epoll a read returns at once while there is data. A body of tiny chunks under long extensions, which never
/// becomes large and never ends, kept its core for itself: no other connection was served, and no deadline ended it,
/// because the timers stood still as well.
#[test]
fn a_sender_that_never_pauses_starves_nobody() {
    for driver in DRIVERS {
        let server = Setup::new(driver).argument("--cores").argument("1").start();
        let mut flood = server.connect();
        flood.send(format!(
            "POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n"
        ));
        let chunks = format!("1;{}\r\n \r\n", "x".repeat(200)).repeat(300);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    flood.send(&chunks);
                }
            });
            for number in 0..50 {
                // The client gives up, and fails the test, if no answer comes.
                assert_eq!(server.connect().call(post(number)).status, 200, "{driver:?}");
            }
            stop.store(true, Ordering::Relaxed);
        });
        flood.send("1\r\n]\r\n0\r\n\r\n");
        assert_eq!(flood.answer().status, 200, "{driver:?}: the flood itself is a valid request");
        assert_eq!(server.finish().len(), 51, "{driver:?}");
    }
}

/// Large bodies come in over many turns, and each turn judges what it has read. Beside eight of them everybody moves on
/// in every second: each upload, and each sender of small events.
#[test]
fn beside_large_uploads_everybody_moves_on_every_second() {
    const UPLOADS: usize = 8;
    const SENDERS: usize = 4;
    const SECONDS: usize = 3;
    let piece = format!("{}\n", r#"{"id":1296269,"name":"some words","list":[1,2.5e3,null]},"#.repeat(300));
    for driver in DRIVERS {
        let server = Setup::new(driver).argument("--cores").argument("1").start();
        let (stop, moved): (_, [AtomicUsize; UPLOADS + SENDERS]) =
            (AtomicBool::new(false), Default::default());
        let (stop, moved) = (&stop, &moved);
        thread::scope(|scope| {
            for (upload, moved) in moved[..UPLOADS].iter().enumerate() {
                let mut client = server.connect();
                let piece = &piece;
                scope.spawn(move || {
                    let chunked = upload % 2 == 0;
                    let framing =
                        if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 80000000" };
                    client.send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
                    let chunk =
                        if chunked { format!("{:x}\r\n{piece}\r\n", piece.len()) } else { piece.clone() };
                    client.send(if chunked { "1\r\n[\r\n" } else { "[" });
                    let mut left = 70_000_000 / piece.len();
                    while !stop.load(Ordering::Relaxed) && left > 0 {
                        client.send(&chunk);
                        moved.fetch_add(1, Ordering::Relaxed);
                        left -= 1;
                        // One that has sent nearly all it may has moved enough.
                        if left == 0 {
                            moved.store(usize::MAX, Ordering::Relaxed);
                        }
                    }
                });
            }
            for moved in &moved[UPLOADS..] {
                let mut client = server.connect();
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let number = moved.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(client.call(post(number)).status, 200, "{driver:?}");
                    }
                });
            }
            let mut before = [0; UPLOADS + SENDERS];
            for second in 1..=SECONDS {
                thread::sleep(Duration::from_secs(1));
                let now: Vec<usize> = moved.iter().map(|moved| moved.load(Ordering::Relaxed)).collect();
                let stuck: Vec<usize> =
                    (0..now.len()).filter(|&i| now[i] == before[i] && now[i] < usize::MAX).collect();
                if !stuck.is_empty() {
                    stop.store(true, Ordering::Relaxed);
                }
                assert!(stuck.is_empty(), "{driver:?}, second {second}: {stuck:?} stand still at {now:?}");
                before.copy_from_slice(&now);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// Connections that wait in the backlog when SIGTERM comes are accepted once more, and were then closed unread: their
/// senders saw a reset.
#[test]
fn what_the_backlog_holds_when_the_end_comes_is_answered() {
    const SENDERS: usize = 60;
    for driver in DRIVERS {
        let server = Server::start(driver);
        signal(&server, "-STOP");
        let mut clients: Vec<_> = (0..SENDERS)
            .map(|number| {
                let mut client = server.connect();
                client.send(post(number));
                client
            })
            .collect();
        signal(&server, "-TERM");
        signal(&server, "-CONT");
        for client in &mut clients {
            assert_eq!(client.answer().status, 200, "{driver:?}");
        }
        drop(clients);
        assert_eq!(server.finish().len(), SENDERS, "{driver:?}");
    }
}
