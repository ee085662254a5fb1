//! A `file` node that rotates, in the real server: every event that was answered stands in one of the files, once.

// What fails here fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use support::{DRIVERS, Setup};

const ID: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0100";

#[test]
fn every_event_stands_in_one_of_the_files() {
    const POSTS: usize = 600;
    for driver in DRIVERS {
        let server = Setup::new(driver)
            .argument("--workers=2")
            .more(&format!(
                "[[webhook]]\nname = 'rotated'\nid = '{ID}'\n[[webhook.trigger]]\nid = 'main'\n\
                 nodes = [{{ type = 'file', path = 'rotated.ndjson', rotate_bytes = 4096 }}]\n"
            ))
            .start();
        let mut client = server.connect();
        let body = format!("[\"{}\"]", "x".repeat(40_000));
        let head = format!("POST /{ID} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut ids = Vec::new();
        for _ in 0..POSTS {
            ids.push(client.call(format!("{head}{body}")).event_id().to_owned());
        }
        let stopped = server.stop();
        let events = stopped.events();
        assert_eq!(events.len(), POSTS);
        assert!(ids.iter().all(|id| events.find(id).is_some()));
        let names: Vec<String> = std::fs::read_dir(stopped.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("rotated"))
            .collect();
        // 24 MB in batches of at most 256 KiB.
        assert!(names.len() > 50, "{names:?}");
    }
}
