//! Many commands at once, and what is left of them: no process, no zombie, no descriptor, no memory.
//!
//! One test, because it looks at the whole process. It is made the one that orphans come to, as the first process of a
//! container is: so that whatever a command leaves behind is found among our own children.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inrush::buffer::{Budget, Pool};
use inrush::event::{HeldEvent, Home, Slot, Source};
use inrush::http::head::HeadReader;
use inrush::node::{Exec, ExecOptions};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// How long anything here may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands, and how many of them run at once.
const COMMANDS: usize = 200;
const IN_FLIGHT: usize = 64;
/// A body, and what a run may keep beside it.
const BODY_BYTES: usize = 50 << 20;
const BESIDE_BYTES_MAX: usize = 4 << 20;

struct Nowhere;

impl Home for Nowhere {
    fn come_home(&self, _: usize, _: Box<Slot>) {}
}

fn event(body: &[u8]) -> HeldEvent {
    let head = b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n";
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let mut slot = Box::new(Slot::new());
    HeadReader::default().read(head, &mut slot.head).expect("a head");
    let mut buf = pool.take(head.len() + body.len()).expect("a buffer");
    buf.extend_from_slice(head);
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    HeldEvent::new(slot, Arc::new(Source::named("shop")), 0, Arc::new(Nowhere))
}

fn shell(timeout: Duration) -> Exec {
    let options = ExecOptions {
        program: "sh",
        base: Path::new("/"),
        folder: None,
        env: &["PATH".into()],
        env_set: &[],
        timeout,
        trigger: "t1",
    };
    Exec::open(&options).expect("a shell")
}

fn script(text: &str) -> [String; 2] {
    ["-c".into(), text.into()]
}

#[test]
fn nothing_is_left_of_commands() {
    // As a careless parent may have left it; opening a command mends it.
    // SAFETY: no code of ours runs for an ignored signal.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
    // Each stage has its own runtime; what tokio keeps for the whole process comes with the first.
    block_on(async {});
    for (what, commands) in [
        ("hang", hanging as fn()),
        ("fork", forking),
        ("are given up", given_up),
        ("read a large event", reading_a_large_event),
    ] {
        let descriptors = descriptors();
        commands();
        wait_until(&format!("commands that {what} are gone"), || children().is_empty());
        assert_eq!(self::descriptors(), descriptors, "after commands that {what}");
    }
}

/// Runs `text` for [`COMMANDS`] events; each has to end as `expected`.
fn run_many(exec: Exec, text: &str, expected: Result<(), &str>) {
    block_on(async {
        let (exec, arguments, event) = (Arc::new(exec), script(text), event(b"{}"));
        let (limit, mut runs) = (Arc::new(Semaphore::new(IN_FLIGHT)), JoinSet::new());
        for _ in 0..COMMANDS {
            let (exec, arguments, event) = (exec.clone(), arguments.clone(), event.clone());
            let limit = limit.clone();
            runs.spawn_local(async move {
                let _permit = limit.acquire().await;
                exec.run(&event, &arguments).await
            });
        }
        while let Some(ended) = runs.join_next().await {
            let ended = ended.expect("no panic").map_err(|error| error.reason);
            assert_eq!(ended.as_ref().map(|_| ()).map_err(|why| &**why), expected);
        }
    });
}

fn hanging() {
    let expected = Err("`sh` did not end within 500ms");
    run_many(shell(Duration::from_millis(500)), "sleep 1000", expected);
}

/// Each leaves a child and a grandchild that hold its pipes and ignore what can be ignored.
fn forking() {
    let text = "(trap '' TERM HUP; (sleep 1000; true) & sleep 1000; true) & exit 0";
    run_many(shell(PATIENCE), text, Ok(()));
}

/// The runs are dropped with their runtime while the commands hang.
fn given_up() {
    block_on(async {
        let (exec, event) = (Arc::new(shell(PATIENCE)), event(&b"1".repeat(1 << 20)));
        for _ in 0..COMMANDS {
            let (exec, event) = (exec.clone(), event.clone());
            let arguments = script("trap '' TERM; (sleep 1000; true) & sleep 1000; true");
            tokio::task::spawn_local(async move { exec.run(&event, &arguments).await });
        }
        let started = async {
            while children().len() < COMMANDS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, started).await.expect("every command runs");
    });
}

fn reading_a_large_event() {
    // Half of it in lines, which leave through a copy of one piece.
    let (lines, line) = ("1,\n".repeat(BODY_BYTES / 6), "1".repeat(BODY_BYTES / 2));
    let event = event(format!("[{lines}{line}]").as_bytes());
    drop((lines, line));
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak starts anew");
    let before = resident("VmRSS:");
    let text = format!(
        "bytes=$(wc -c); test $bytes -gt {} && test $bytes -lt {}",
        BODY_BYTES - 8,
        BODY_BYTES + 1024
    );
    let exec = shell(PATIENCE);
    assert!(block_on(async { exec.run(&event, &script(&text)).await }).is_ok());
    let beside = resident("VmHWM:").saturating_sub(before);
    assert!(beside <= BESIDE_BYTES_MAX, "{beside} bytes beside an event of {BODY_BYTES}");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, future)
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("our descriptors").count()
}

/// Our children, zombies included, by their parent as `/proc` has it.
fn children() -> Vec<PathBuf> {
    let us = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").expect("processes").map(|entry| entry.expect("one").path());
    let is_child = |process: &PathBuf| {
        // The name stands in parentheses and may hold anything; behind it come the state and the parent.
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(&us))
    };
    processes.filter(is_child).collect()
}

fn resident(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("our status");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("the line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}
