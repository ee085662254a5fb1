//! Many requests on one connection: answered in order, every one, and each answer for its own request.

use std::time::{Duration, Instant};

use crate::support::server::{OPEN, UNKNOWN};
use crate::support::{Client, DRIVERS, Events, Server};

fn post(n: usize) -> String {
    let body = format!("{{\"n\":{n}}}");
    format!("POST /{OPEN}?n={n} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The event of each id holds the number of the request that the answer belongs to.
fn compare(events: &Events, ids: &[(usize, String)]) {
    for (n, id) in ids {
        let event = events.get(id);
        assert_eq!(event.body, format!("{{\"n\":{n}}}"));
        assert_eq!(event.at("/query/n").and_then(|n| n.as_str()), Some(n.to_string().as_str()));
    }
    assert_eq!(events.len(), ids.len());
}

fn read(client: &mut Client, numbers: impl Iterator<Item = usize>, ids: &mut Vec<(usize, String)>) {
    ids.extend(numbers.map(|n| (n, client.answer().event_id().to_owned())));
}

#[test]
fn sixteen_in_one_write() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let mut ids = Vec::new();
        for round in 0..20 {
            let numbers = round * 16..(round + 1) * 16;
            client.send(numbers.clone().map(post).collect::<String>());
            read(&mut client, numbers, &mut ids);
        }
        let events = server.finish();
        compare(&events, &ids);
        // Events of one connection start in order.
        let order: Vec<&str> = events.all.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(order, ids.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), "{driver:?}");
    }
}

#[test]
fn thousands_before_the_first_answer_is_read() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let mut ids = Vec::new();
        client.send((0..3000).map(post).collect::<String>());
        read(&mut client, 0..3000, &mut ids);
        compare(&server.finish(), &ids);
    }
}

#[test]
fn one_after_another_on_one_connection() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let mut ids = Vec::new();
        for n in 0..1000 {
            client.send(post(n));
            read(&mut client, n..n + 1, &mut ids);
        }
        compare(&server.finish(), &ids);
    }
}

#[test]
fn large_bodies_between_small_ones() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        // Over 64 KiB a body comes in over several turns: the small ones behind it must not overtake its answer.
        let large = format!("[{}1]", "1,".repeat(100_000));
        let refused = format!("[{}x]", "1,".repeat(100_000));
        // Of a body that is refused on its head, at most 64 KiB are read over.
        let near = "x".repeat(60_000);
        let request = |id: &str, body: &str| {
            format!("POST /{id} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let batch = [
            post(0),
            request(OPEN, &large),
            post(1),
            request(OPEN, &refused),
            post(2),
            request(UNKNOWN, &near),
            post(3),
        ];
        client.send(batch.concat());
        let answers: Vec<_> = batch.iter().map(|_| client.answer()).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 200, 400, 200, 404, 200], "{driver:?}");

        let events = server.finish();
        assert_eq!(events.len(), 5);
        assert!(events.get(answers[1].event_id()).body == large, "the large body is not what was sent");
        for (answer, n) in [(0, 0), (2, 1), (4, 2), (6, 3)] {
            assert_eq!(events.get(answers[answer].event_id()).body, format!("{{\"n\":{n}}}"));
        }
    }
}

#[test]
fn answers_of_a_batch_do_not_wait_for_its_unfinished_end() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let unfinished = post(9);
        let (start, rest) = unfinished.split_at(unfinished.len() - 3);
        client.send(format!("{}{}{start}", post(0), post(1)));
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut ids = Vec::new();
        for n in 0..2 {
            let answer = client
                .try_answer(false, deadline)
                .unwrap_or_else(|e| panic!("answer {n} on {driver:?}: {e}"));
            ids.push((n, answer.event_id().to_owned()));
        }
        client.send(rest);
        read(&mut client, 9..10, &mut ids);
        compare(&server.finish(), &ids);
    }
}
