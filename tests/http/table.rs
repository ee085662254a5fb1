//! Every case of `tests/fixtures/http/`, fed whole, with something pipelined behind it, and cut at every byte.

use crate::support::{Driver, Server, feed, fixture};

const FILES: &[&str] = &[
    "framing.http",
    "chunked.http",
    "head.http",
    "admission.http",
    "cors.http",
    "connection.http",
    "json.http",
];

#[test]
fn every_case_on_io_uring() {
    check(Driver::Uring);
}

#[test]
fn every_case_on_epoll() {
    check(Driver::Epoll);
}

#[track_caller]
fn check(driver: Driver) {
    let server = Server::start(driver);
    let host = server.address.to_string();
    let mut cases: Vec<_> = FILES.iter().flat_map(|file| fixture::load(file, &host)).collect();
    // `INRUSH_TEST_CASE` runs only the cases with this text in their names.
    if let Ok(wanted) = std::env::var("INRUSH_TEST_CASE") {
        cases.retain(|case| case.name.contains(&wanted));
    }
    feed::check(server, &cases, true).assert_none();
}
