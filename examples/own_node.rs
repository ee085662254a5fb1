//! A node of one's own: it keeps state between events and reads the body as a value.
//!
//! It posts to itself and ends, so that it can be tried: `cargo run --example own_node`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use inrush::json::get;
use inrush::simd_json::prelude::ValueAsScalar;
use inrush::{BodyValue, BoxError, Event, Node, Reads, Server};

/// Adds up amounts. Each worker has its own, on its own thread: no lock, no atomics.
struct Total {
    cents: u64,
    say: mpsc::Sender<u64>,
}

impl Node for Total {
    fn run(&mut self, event: &Event<'_>) -> Result<(), BoxError> {
        // Text only: a number that 64 bits cannot hold, or no memory left for the value.
        let BodyValue::Value(order) = event.body_value() else { return Err("the order has no value".into()) };
        let cents = get(order, "cents").and_then(|cents| cents.as_u64()).ok_or("an order without cents")?;
        self.cents += cents;
        self.say.send(self.cents)?;
        Ok(())
    }

    fn reads(&self) -> Reads {
        Reads { value_up_to: 1 << 20, text: false }
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("inrush-own-node-{}", std::process::id()));
    let (say, totals) = mpsc::channel();
    let server = Server::builder()
        .listen("127.0.0.1:0".parse()?)
        .admin_listen("127.0.0.1:0".parse()?)
        .data_dir(&directory)
        .webhook("orders", "5b0c9e0e-3f0b-4b7e-8a39-6f6d1f0a0006".parse()?)
        .node("orders", "total", move || Total { cents: 0, say: say.clone() })
        .start()?;

    let url = server.url("orders").ok_or("it was installed above")?;
    let (address, path) = url.trim_start_matches("http://").split_once('/').ok_or("a URL has a path")?;
    for body in ["{\"cents\":1250}", "{\"cents\":\"many\"}", "{\"cents\":250}"] {
        let length = body.len();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut String::new())?;
    }
    // The one without a number failed: it was logged and counted, and stopped nothing. The others came over connections of
    // their own, so either may have been first.
    let patience = Duration::from_secs(20);
    assert!([250, 1250].contains(&totals.recv_timeout(patience)?));
    assert_eq!(totals.recv_timeout(patience)?, 1500);
    server.stop()?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
