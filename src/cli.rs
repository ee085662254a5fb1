//! tmp
use std::process::ExitCode;
/// tmp
pub fn main() -> ExitCode {
    use crate::config::*;
    let a: Vec<String> = std::env::args().collect();
    let node = match a.get(2).map(|s| s.as_str()) { Some("log") => Node::Log, Some(p) if p.starts_with('/') => Node::File { path: p.into() }, _ => Node::Discard };
    let c = Config { server: Server { listen: format!("127.0.0.1:{}", a[1]).parse().unwrap(), admin_listen: "127.0.0.1:0".parse().unwrap(), data_dir: format!("/tmp/w/data-{}", a[1]).into() },
        webhooks: vec![Webhook { name: "default".into(), id: uuid::Uuid::parse_str("0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10").unwrap(), secrets: vec![Secret("s3cret-s3cret-s3cret".into())], allowed_origins: vec![], body_bytes_max: None, keep_headers: vec![], triggers: vec![Trigger { id: "main".into(), nodes: vec![node] }] }] };
    let l = crate::limits::Limits { cores: 1, workers: 1, connections_max: 16384, head_read_timeout_ms: 10000, body_rate_min_bytes_per_s: 1000, body_rate_grace_ms: 10000, body_read_timeout_ms: 300000, idle_timeout_ms: 60000, write_timeout_ms: 30000, linger_timeout_ms: 10000, linger_bytes_max: 104857600, body_bytes_max: 104857600, budget_bytes: 1<<30, queue_events_max: 4096, queue_wait_ms: 1000, drain_delay_ms: 0, drain_timeout_ms: 30000, parse_threads: 1 };
    crate::server::run(&c, l, |s| crate::server::say(format_args!("{s:?}"))).unwrap();
    ExitCode::SUCCESS
}
