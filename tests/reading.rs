//! Bodies read through the tape in a whole server: only in a build for benches, whose `read` node does that.
//!
//! `RUSTFLAGS="--cfg inrush_bench" cargo test --test reading --target-dir target/bench-only`
#![cfg(inrush_bench)]

mod support;

use std::time::Instant;

use support::{DRIVERS, PATIENCE, Server, Setup};

const READ: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0010";
const MIB: usize = 1 << 20;

fn setup(driver: support::Driver, nodes: &str) -> Setup {
    Setup::new(driver).more(&format!(
        "\n[[webhook]]\nname = \"read\"\nid = \"{READ}\"\n[[webhook.trigger]]\nid = \"t\"\nnodes = [{nodes}]\n"
    ))
}

/// Posts and returns whether the field was found in the body.
fn is_found(server: &Server, body: &str, framing: &str) -> bool {
    let before = counts(server);
    let mut client = server.connect();
    match framing {
        "chunked" => {
            client.send(format!("POST /{READ} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
            client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        }
        _ => {
            client
                .send(format!("POST /{READ} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(body);
        }
    }
    assert_eq!(client.answer().status, 200, "{}", &body[..body.len().min(60)]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = counts(server);
        if now != before {
            return now.0 > before.0;
        }
        assert!(Instant::now() < deadline, "the node never ran");
        std::thread::yield_now();
    }
}

/// Events in which the field was found, and in which it was not.
fn counts(server: &Server) -> (u64, u64) {
    let (_, text) = server.admin_get("/metrics");
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    (count("inrush_all_workers_fields_found_total "), count("inrush_all_workers_fields_missed_total "))
}

#[test]
fn a_field_is_found_at_every_size_and_its_text_stays() {
    const NODES: &str = r#"{ type = "read", field = "id" }, { type = "file", path = "read.ndjson" }"#;
    for driver in DRIVERS {
        let server = setup(driver, NODES).start();
        for filling in [0, 100, 20_000, 60_000, 70_000, 2 * MIB] {
            for escape in ["", "\\n"] {
                let text = format!("{}{escape}", "x".repeat(filling));
                for framing in ["declared", "chunked"] {
                    let with = format!("{{\"text\":\"{text}\",\"id\":{filling}}}");
                    let without = format!("{{\"text\":\"{text}\",\"i\":1e309}}");
                    assert!(
                        is_found(&server, &with, framing),
                        "{filling} {escape:?} {framing} on {driver:?}"
                    );
                    assert!(
                        !is_found(&server, &without, framing),
                        "{filling} {escape:?} {framing} on {driver:?}"
                    );
                }
            }
        }
        let stopped = server.stop();
        let lines = std::fs::read_to_string(stopped.directory.path().join("read.ndjson")).expect("the file");
        for line in lines.lines() {
            let escaped = line.contains("x\\n\"") || line.contains(":\"\\n\"");
            let plain = line.contains("x\",") || line.contains(":\"\",");
            assert!(escaped != plain, "{}", &line[..line.len().min(300)]);
        }
        assert_eq!(lines.lines().count(), 6 * 2 * 2 * 2);
    }
}

/// Documents that would cost many times their length, under a hard limit on the memory of the process.
#[test]
fn hostile_bodies_stay_within_the_budget() {
    const BUDGET_BYTES: usize = 64 * MIB;
    let list = |element: &str, bytes: usize| {
        format!("[{}{element}]", format!("{element},").repeat(bytes / (element.len() + 1)))
    };
    for driver in DRIVERS {
        let setup = setup(driver, r#"{ type = "read", field = "id" }"#);
        let server =
            setup.limit("budget_bytes", BUDGET_BYTES as u64).limit("body_bytes_max", 24_000_000).start();
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for element in ["[]", "{}", "1", "\"\"", "\"\\n\"", "{\"\":[]}", &deep, "-1.5e-300", "  0  "] {
            for bytes in [20 * MIB, MIB] {
                assert!(!is_found(&server, &list(element, bytes), "declared"), "{element} on {driver:?}");
            }
        }
        let large = format!("{{\"text\":\"{}\",\"id\":1}}", "\\\"".repeat(5 * MIB));
        assert!(is_found(&server, &large, "chunked"), "there is room for this one, on {driver:?}");
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak_bytes = peak.and_then(|kib| kib.trim().parse::<usize>().ok()).expect("VmHWM in KiB") * 1024;
        assert!(peak_bytes < BUDGET_BYTES + 32 * MIB, "{} MiB at its peak, on {driver:?}", peak_bytes / MIB);
        server.stop();
    }
}
