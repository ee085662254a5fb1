//! Takes `src/queue.rs` as it stands and exchanges what it imports: loom's atomics for the standard ones, and the
//! stand-ins of this crate for `rtrb` and tokio's `Notify`. Not a line of what it does is touched.

use std::path::Path;

const QUEUE: &str = "../src/queue.rs";

/// Imports, and what stands for them here. Each must be found exactly once.
const EXCHANGED: &[(&str, &str)] = &[
    ("use std::sync::Arc;", "use loom::sync::Arc;"),
    ("use std::sync::atomic::", "use loom::sync::atomic::"),
    ("use rtrb::", "use crate::rtrb::"),
    ("use tokio::sync::Notify;", "use crate::notify::Notify;"),
];

fn main() {
    println!("cargo::rerun-if-changed={QUEUE}");
    let text = std::fs::read_to_string(QUEUE).expect("read the queue's source");
    // Included text cannot open with the documentation of a module.
    let mut text: String =
        text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
    for (import, stand_in) in EXCHANGED {
        assert_eq!(text.matches(import).count(), 1, "{QUEUE} no longer says `{import}`: adapt the model");
        text = text.replace(import, stand_in);
    }
    for foreign in ["std::sync", "tokio::", "parking_lot"] {
        assert!(!text.contains(foreign), "{QUEUE} uses {foreign}, which loom does not see: adapt the model");
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo says where to");
    std::fs::write(Path::new(&out).join("queue.rs"), text).expect("write the exchanged source");
}
