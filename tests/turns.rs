//! Who gets a turn: a sender that never pauses, and senders that came just before the end.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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
