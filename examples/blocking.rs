//! A function that may wait: for a database, another server, a lock.
//!
//! It posts to itself and ends, so that it can be tried: `cargo run --example blocking`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use inrush::Server;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("inrush-blocking-{}", std::process::id()));
    // Without room: whoever sends waits until somebody receives. It stands for a database that takes its time.
    let (store, stored) = mpsc::sync_channel(0);
    let server = Server::builder()
        .listen("127.0.0.1:0".parse()?)
        .admin_listen("127.0.0.1:0".parse()?)
        .data_dir(&directory)
        .webhook("orders", "5b0c9e0e-3f0b-4b7e-8a39-6f6d1f0a0007".parse()?)
        // Runs on threads that are there for it, at most two at once, so what it waits for holds up nobody else. The event
        // stays where it is until the function returns.
        .on_event_blocking("orders", "store", 2, move |event| {
            store.send(String::from_utf8_lossy(event.body()).into_owned())?;
            Ok(())
        })
        .start()?;

    let url = server.url("orders").ok_or("it was installed above")?;
    let (address, path) = url.trim_start_matches("http://").split_once('/').ok_or("a URL has a path")?;
    // Nobody receives yet, so no function has returned; the answers do not wait for that.
    let bodies = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"];
    for body in bodies {
        let length = body.len();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    let patience = Duration::from_secs(20);
    let mut all =
        [stored.recv_timeout(patience)?, stored.recv_timeout(patience)?, stored.recv_timeout(patience)?];
    all.sort(); // two run at once, so they may end in another order
    assert_eq!(all, bodies);
    server.stop()?; // waits for those that run
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
