//! inrush as a part of a program: a function for each event.
//!
//! It posts to itself once and ends, so that it can be tried: `cargo run --example embed`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use inrush::Server;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("inrush-embed-{}", std::process::id()));
    let (say, said) = mpsc::channel();
    let server = Server::builder()
        .listen("127.0.0.1:0".parse()?)
        .admin_listen("127.0.0.1:0".parse()?)
        .data_dir(&directory)
        .webhook("orders", "5b0c9e0e-3f0b-4b7e-8a39-6f6d1f0a0005".parse()?)
        // Runs on the worker's thread, so it must not wait; the event is borrowed, so what is kept is copied.
        .on_event("orders", "tell", move |event| {
            say.send(format!("{} {} {}", event.id(), event.method(), String::from_utf8_lossy(event.body())))?;
            Ok(())
        })
        .start()?;

    let url = server.url("orders").ok_or("it was installed above")?;
    let (address, path) = url.trim_start_matches("http://").split_once('/').ok_or("a URL has a path")?;
    let mut stream = TcpStream::connect(address)?;
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{{\"n\": 17}}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let told = said.recv_timeout(Duration::from_secs(20))?;
    assert!(told.ends_with("POST {\"n\": 17}"), "{told}");
    server.stop()?; // what was accepted has run
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
