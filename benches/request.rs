//! What a sender waits for: whole requests over loopback against the server itself, one connection, one core, one
//! worker with a `discard` node; kept alive, one at a time and 16 pipelined.
//!
//! Not the question here: CPU per request (callgrind and `loadtest/` answer that), many connections, peers. One at a
//! time is mostly the kernel's loopback and two wake-ups; a change of ours shows in the pipelined case.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inrush::config::{Config, Overrides};
use inrush::limits::Limits;
use inrush::server::{Server, Started};

const ID: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0042";
const SECRET: &str = "correct-horse-battery-staple";
const PATIENCE: Duration = Duration::from_secs(20);
const DEPTHS: [(&str, usize); 2] = [("one_at_a_time", 1), ("pipelined_16", 16)];

/// Starts the server on threads of this process; it lives as long as the process.
fn start(directory: &Path) -> SocketAddr {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = {:?}\ncores = 1\nworkers = 1\n\
         [[webhook]]\nname = \"w\"\nid = \"{ID}\"\nsecret = \"{SECRET}\"\n\
         [[webhook.trigger]]\nid = \"t\"\nnodes = [{{ type = \"discard\" }}]\n",
        directory.join("data").display().to_string()
    );
    let config = Config::parse(&directory.join("inrush.toml"), &text, &Overrides::default(), &|_| None);
    let config = config.unwrap_or_else(|error| panic!("the configuration of this bench: {error}"));
    let limits = Limits::derive(&config).unwrap_or_else(|error| panic!("the limits of this bench: {error}"));
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        let started = |started: &Started| {
            say.send(started.listen).expect("the bench waits for the address");
        };
        let ended = Server::builder().config(config).limits(limits).run(started);
        panic!("the server ended under the bench: {ended:?}");
    });
    said.recv_timeout(PATIENCE).expect("the server starts")
}

/// A post with a JSON array of exactly so many bytes.
fn post(bytes: usize) -> Vec<u8> {
    let element = br#"{"id":1296269,"ref":"refs/heads/main","paid":true,"price":12.5,"tags":["a","b"]},"#;
    let mut body = vec![b'['];
    while body.len() + element.len() + 4 < bytes {
        body.extend_from_slice(element);
    }
    body.push(b'"');
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"]");
    let head = format!(
        "POST /{ID} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\
         x-bp-secret: {SECRET}\r\n\r\n"
    );
    [head.as_bytes(), &body].concat()
}

fn request(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("make a directory");
    let address = start(directory.path());
    let mut group = criterion.benchmark_group("request");
    for (case, depth) in DEPTHS {
        for bytes in [200, 1 << 10, 16 << 10] {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connect");
            stream.set_nodelay(true).expect("set TCP_NODELAY");
            stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
            let batch = post(bytes).repeat(depth);
            // Every accepted answer has the same length: an empty body, an id, a date.
            let mut one = [0; 1024];
            stream.write_all(&batch[..batch.len() / depth]).expect("write");
            let answer_bytes = stream.read(&mut one).expect("read");
            let mut answers = vec![0; answer_bytes * depth];
            group.throughput(Throughput::Bytes((bytes * depth) as u64));
            group.bench_function(format!("{case}/{bytes}"), |bencher| {
                bencher.iter(|| {
                    stream.write_all(&batch).expect("write");
                    stream.read_exact(&mut answers).expect("read");
                    assert!(
                        answers.chunks_exact(answer_bytes).all(|answer| answer.starts_with(b"HTTP/1.1 200 "))
                    );
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, request);
criterion_main!(benches);
