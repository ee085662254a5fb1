//! What a connection costs that says nothing: at most 4 KiB resident, ten thousand of them, on both drivers.
//!
//! Each connection first posts a few times, all of them at once, so that buffers and handles were really taken; what
//! is measured is that they are given back. The kernel's own memory for a socket is not the process's and not in it.
//! Measured on an unoptimised build too, whose tasks are larger than those of a release.
// What was measured is part of what these tests are for.
#![allow(clippy::print_stdout)]
#![allow(unsafe_code)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{DRIVERS, Driver, PATIENCE, Server, Setup, server};

const CONNECTIONS: usize = 10_000;
/// What one of them may keep resident in the server.
const BYTES_EACH_MAX: usize = 4096;
/// Descriptors of the test, and of the server, that are no connections.
const OTHER_DESCRIPTORS: usize = 256;
/// Posts of each connection before it falls silent, small and large in turn.
const POSTS: usize = 4;
/// How often the server's memory is looked at. It gives back on ticks of 200 ms and of a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

#[test]
fn an_idle_connection_keeps_at_most_four_kibibytes() {
    let connections = CONNECTIONS.min(descriptors() - OTHER_DESCRIPTORS);
    if connections < CONNECTIONS {
        println!("only {connections} connections: the hard limit of open descriptors allows no more");
    }
    for driver in DRIVERS {
        check(driver, connections);
    }
}

fn check(driver: Driver, connections: usize) {
    let server = Setup::new(driver)
        .limit("connections_max", connections as u64 + 16)
        .limit("idle_timeout_ms", 3_600_000)
        .start();
    let before = resident_bytes(&server);
    let mut streams: Vec<TcpStream> = (0..connections).map(|_| connect(&server)).collect();
    for post in 0..POSTS {
        let request = request(if post % 2 == 0 { 200 } else { 4000 });
        for stream in &mut streams {
            stream.write_all(&request).expect("the server takes the request");
        }
        for stream in &mut streams {
            read_ok(stream);
        }
    }
    let busy = resident_bytes(&server);

    let deadline = Instant::now() + PATIENCE;
    let mut last = usize::MAX;
    let each = loop {
        let each = resident_bytes(&server).saturating_sub(before).div_ceil(connections);
        // Under the bound, and no longer falling: the figure that is printed is the one it settles at.
        if each <= BYTES_EACH_MAX && each >= last {
            break each;
        }
        assert!(
            Instant::now() < deadline,
            "{}: {connections} idle connections keep {each} bytes each, {} KiB in all, more than {BYTES_EACH_MAX}",
            driver.name(),
            resident_bytes(&server) >> 10
        );
        last = each;
        std::thread::sleep(LOOK_INTERVAL);
    };
    println!(
        "{}: {connections} idle connections keep {each} bytes each; {} KiB resident before, {} while busy, {} now",
        driver.name(),
        before >> 10,
        busy >> 10,
        resident_bytes(&server) >> 10
    );

    // They are idle, not gone.
    for stream in streams.iter_mut().step_by(97) {
        stream.write_all(&request(200)).expect("the server takes the request");
        read_ok(stream);
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server.address, PATIENCE).expect("connect to the server");
    stream.set_nodelay(true).expect("set TCP_NODELAY");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
    stream
}

fn request(bytes: usize) -> Vec<u8> {
    let body = format!("\"{}\"", "x".repeat(bytes - 2));
    format!("POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n{body}", server::OPEN)
        .into_bytes()
}

/// Reads one answer, which is an empty 200.
fn read_ok(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let mut some = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        let bytes = stream.read(&mut some).expect("an answer comes in time");
        assert!(bytes > 0, "the server ended the connection: {}", answer.escape_ascii());
        answer.extend_from_slice(&some[..bytes]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
}

/// What the server's process keeps resident: proc(5), `VmRSS` of `status`, in kB.
fn resident_bytes(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1024
}

/// Raises the soft limit of open descriptors to the hard one, which the server inherits. Returns it.
fn descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read and write the struct given.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert_eq!(done, 0, "cannot raise the limit of open descriptors: {}", std::io::Error::last_os_error());
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}
