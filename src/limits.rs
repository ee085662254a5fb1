//! tmp
#![allow(missing_docs)]
#[derive(Debug, Clone)]
pub struct Limits { pub cores: usize, pub workers: usize, pub connections_max: usize, pub head_read_timeout_ms: u64, pub body_rate_min_bytes_per_s: u64, pub body_rate_grace_ms: u64, pub body_read_timeout_ms: u64, pub idle_timeout_ms: u64, pub write_timeout_ms: u64, pub linger_timeout_ms: u64, pub linger_bytes_max: u64, pub body_bytes_max: u64, pub budget_bytes: u64, pub queue_events_max: usize, pub queue_wait_ms: u64, pub drain_delay_ms: u64, pub drain_timeout_ms: u64, pub parse_threads: usize }
