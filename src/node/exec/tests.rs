//! One command at a time; many at once are in `tests/exec.rs`.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::FutureExt;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{EventIds, Home, Slot, Source};
use crate::http::head::HeadReader;

/// How long anything here may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is given to commands that hang: they must first have come so far, on a busy machine, too.
const ENOUGH_TO_START: Duration = Duration::from_secs(3);

struct Nowhere;

impl Home for Nowhere {
    fn come_home(&self, _: usize, _: Box<Slot>) {}
}

/// An event with an id of its own.
fn event(body: &[u8]) -> HeldEvent {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let head = b"POST /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let mut slot = Box::new(Slot::new());
    slot.id = EventIds::new(NEXT.fetch_add(1, Relaxed)).next(1_700_000_000_000);
    HeadReader::default().read(head, &mut slot.head).unwrap();
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head);
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    HeldEvent::new(slot, Arc::new(Source::named("shop")), 0, Arc::new(Nowhere))
}

/// What a command reads for `event`.
fn line(event: &HeldEvent) -> Vec<u8> {
    let mut line = EventLine::default();
    let event = event.event();
    let (before, after) = line.around_body(&event);
    let mut body = event.body().to_vec();
    crate::node::line::flatten(&mut body);
    [before, &body, after].concat()
}

fn options(program: &str) -> ExecOptions<'_> {
    ExecOptions {
        program,
        base: Path::new("/"),
        folder: None,
        env: path_only(),
        env_set: &[],
        timeout: PATIENCE,
        trigger: "t1",
    }
}

fn path_only() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| vec!["PATH".to_owned()])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn run(options: &ExecOptions<'_>, event: &HeldEvent, arguments: &[&str]) -> Result<(), String> {
    let exec = Exec::open(options).unwrap();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    runtime().block_on(exec.run(event, &arguments)).map_err(|error| error.reason)
}

/// Runs a script of the shell; what it says, it writes to the file that it knows as `$OUT`.
fn shell(
    script: &str,
    event: &HeldEvent,
    change: impl FnOnce(&mut ExecOptions<'_>),
) -> (Result<(), String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let set = [("OUT".to_owned(), out.to_str().unwrap().to_owned())];
    let mut options = ExecOptions { env_set: &set, ..options("sh") };
    change(&mut options);
    let result = run(&options, event, &["-c", script]);
    (result, std::fs::read_to_string(out).unwrap_or_default())
}

/// The processes whose environment holds `variable`.
fn marked(variable: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let is_marked = |process: &std::path::PathBuf| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == variable.as_bytes())
    };
    processes
        .filter(is_marked)
        .map(|process| process.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Neither a process nor a zombie.
fn is_gone(pid: &str) -> bool {
    assert!(pid.parse::<u32>().is_ok(), "{pid:?} is no process id");
    !Path::new("/proc").join(pid).exists()
}

#[test]
fn how_a_command_ended_is_what_the_run_says() {
    let event = event(b"{}");
    for (script, expected) in [
        ("exit 0", None),
        ("cat >/dev/null", None),
        ("echo loud >&2; cat; exit 0", None),
        ("exit 3", Some("`sh` exited with 3")),
        ("echo one >&2; echo two >&2; exit 3", Some("`sh` exited with 3: two")),
        ("echo out; exit 255", Some("`sh` exited with 255")),
        (r"printf '\033[1mbold\n\n' >&2; exit 1", Some("`sh` exited with 1: \\u{1b}[1mbold")),
        ("echo why >&2; kill -9 $$", Some("`sh` was killed by signal 9: why")),
        ("kill -PIPE $$", Some("`sh` was killed by signal 13")),
        ("exec no-such-program", Some("`sh` exited with 127")),
    ] {
        let (result, _) = shell(script, &event, |_| ());
        match expected {
            None => assert_eq!(result, Ok(()), "{script}"),
            Some(expected) => {
                assert!(result.as_ref().is_err_and(|why| why.starts_with(expected)), "{script}: {result:?}")
            }
        }
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let hangs = |script: &'static str| {
        std::thread::spawn(move || {
            let (result, _) = shell(script, &event(b"{}"), |options| options.timeout = ENOUGH_TO_START);
            let why = result.unwrap_err();
            assert!(why.starts_with("`sh` did not end within 3s: hangs"), "{script}: {why}");
        })
    };
    let scripts = [
        "echo hangs >&2; exec sleep 1000",
        "trap '' TERM; echo hangs >&2; exec sleep 1000",
        "echo hangs >&2; kill -STOP $$",
    ];
    scripts.map(hangs).into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn sigterm_comes_first() {
    let script = "trap 'echo asked >>$OUT; exit 0' TERM; echo ready >>$OUT; while :; do sleep 0.01; done";
    let (result, out) = shell(script, &event(b"{}"), |options| options.timeout = ENOUGH_TO_START);
    assert!(result.is_err_and(|why| why.starts_with("`sh` did not end within 3s")));
    assert_eq!(out, "ready\nasked\n");
}

#[test]
fn the_event_is_on_standard_input_whatever_its_size() {
    let large = format!("[\r\n{}\"{}\"]", "1,\n".repeat(1 << 20), "x".repeat(47 << 20));
    for body in [&b""[..], b"{\"a\":\n1}", large.as_bytes()] {
        let event = event(body);
        let line = line(&event);
        let (result, out) = shell("tee /dev/stderr | cksum >$OUT", &event, |_| ());
        assert_eq!(result, Ok(()));
        assert_eq!(out.trim(), format!("{} {}", posix_cksum(&line), line.len()), "{} bytes", body.len());
    }
}

/// `cksum` of POSIX.
fn posix_cksum(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| {
            (0..8).fold(byte << 24, |crc, _| (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        })
        .collect();
    let step = |crc: u32, byte: u8| (crc << 8) ^ table[usize::from((crc >> 24) as u8 ^ byte)];
    let mut crc = bytes.iter().fold(0, |crc, &byte| step(crc, byte));
    let mut length = bytes.len();
    while length > 0 {
        crc = step(crc, length as u8);
        length >>= 8;
    }
    !crc
}

#[test]
fn nothing_that_a_command_reads_or_writes_stops_it() {
    let event = event(format!("\"{}\"", "x".repeat(50 << 20)).as_bytes());
    for script in [
        "true",
        "exec <&-; sleep 0.05",
        "sleep 0.05",
        "head -c 10 >/dev/null; sleep 0.05",
        "head -c 100000000 /dev/zero",
        "head -c 100000000 /dev/zero >&2",
        "cat",
        "cat >&2",
        "exec <&- >&- 2>&-; sleep 0.05",
    ] {
        assert_eq!(shell(script, &event, |_| ()).0, Ok(()), "{script}");
    }
}

#[test]
fn a_command_that_forks_leaves_nobody_behind() {
    let stubborn = "(trap '' TERM HUP; sh -c 'echo $PPID >>$OUT; echo $$ >>$OUT; exec sleep 1000') & \
                    while [ ! -s $OUT ] || [ $(wc -l <$OUT) -lt 2 ]; do sleep 0.01; done;";
    for (end, timeout, expected) in [
        ("exit 0", PATIENCE, Ok(())),
        ("echo no >&2; exit 1", PATIENCE, Err("`sh` exited with 1: no".to_owned())),
        ("wait", ENOUGH_TO_START, Err("`sh` did not end within 3s".to_owned())),
    ] {
        let start = Instant::now();
        let (result, out) =
            shell(&format!("{stubborn} {end}"), &event(b"{}"), |options| options.timeout = timeout);
        assert_eq!(result, expected, "{end}");
        assert!(start.elapsed() < PATIENCE, "{end}: the child's open pipe kept the run waiting");
        assert_eq!(out.lines().count(), 2, "{end}: {out}");
        for pid in out.lines() {
            wait_until(&format!("{end}: {pid} is gone"), || is_gone(pid));
        }
    }
}

#[test]
fn a_run_that_is_dropped_kills_and_reaps() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let set = [("OUT".to_owned(), out.to_str().unwrap().to_owned())];
    let exec = Exec::open(&ExecOptions { env_set: &set, ..options("sh") }).unwrap();
    let event = event(&b"1".repeat(1 << 20));
    let script =
        "trap '' TERM; (trap '' TERM; sh -c 'echo $$ >>$OUT; exec sleep 1000') & echo $$ >>$OUT; wait";
    let arguments = ["-c".to_owned(), script.to_owned()];
    let said = || std::fs::read_to_string(&out).unwrap_or_default();
    runtime().block_on(async {
        let both = async {
            while said().lines().count() < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            ended = exec.run(&event, &arguments) => panic!("it ended: {ended:?}"),
            both = tokio::time::timeout(PATIENCE, both) => both.unwrap(),
        }
    });
    for pid in said().lines() {
        wait_until(&format!("{pid} is gone"), || is_gone(pid));
    }
}

#[test]
fn a_command_sees_three_descriptors_no_blocked_signal_and_no_terminal() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    assert!(socket.as_raw_fd() > 2);
    // Looked at from outside, because a shell has descriptors and signals of its own.
    let exec = Exec::open(&options("sleep")).unwrap();
    let event = event(b"{}");
    let arguments = ["1000".to_owned()];
    let (fds, status, stat) = runtime().block_on(async {
        let mut run = std::pin::pin!(exec.run(&event, &arguments));
        assert!(run.as_mut().now_or_never().is_none());
        // The kernel lets us go on shortly before it shows the new environment.
        let marker = format!("INRUSH_EVENT_ID={}", event.event().id());
        wait_until("the command is seen", || !marked(&marker).is_empty());
        let [pid] = &marked(&marker)[..] else { panic!("one command") };
        let process = Path::new("/proc").join(pid);
        let mut fds: Vec<String> = std::fs::read_dir(process.join("fd"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|fd| format!("{} {}", fd.file_name().unwrap().display(), fd.read_link().unwrap().display()))
            .collect();
        fds.sort();
        let text = |name| std::fs::read_to_string(process.join(name)).unwrap();
        (fds, text("status"), text("stat"))
    });
    let [stdin, stdout, stderr] = &fds[..] else { panic!("{fds:?}") };
    assert!(
        stdin.starts_with("0 pipe:") && stdout == "1 /dev/null" && stderr.starts_with("2 pipe:"),
        "{fds:?}"
    );
    for set in ["SigBlk:\t", "SigIgn:\t"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        // 32 and 33 belong to the C library, which has every child of its own ignore them.
        let signals = u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31);
        assert_eq!(signals, 0, "{set}{mask}");
    }
    // Process, name, state, parent, group, session, terminal.
    let [pid, _, _, _, group, session, terminal, ..] = stat.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{stat}")
    };
    assert_eq!((group, session, terminal), (pid, pid, "0"));
}

#[test]
fn the_environment_is_what_was_asked_for_and_nothing_else() {
    let event = event(b"{}");
    let id = event.event().id();
    let names = ["PATH", "NO_SUCH_VARIABLE", "HOME"].map(str::to_owned);
    let set = [("HOME", "/nowhere"), ("EMPTY", ""), ("EQUALS", "a=b\nc")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut options = options("sh");
    (options.env, options.env_set, options.folder) = (&names, &set, Some(folder.path()));
    let script = r#"sort -z /proc/$$/environ | tr '\0' '\n' >out; printf '%s|' "$0" "$@" >>out; pwd >>out"#;
    run(&options, &event, &["-c", script, "name", "$HOME; `ls`", "", "\"é\n"]).unwrap();
    let path = std::env::var("PATH").unwrap();
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(
        std::fs::read_to_string(out).unwrap(),
        format!(
            "EMPTY=\nEQUALS=a=b\nc\nHOME=/nowhere\nINRUSH_EVENT_ID={id}\nINRUSH_TRIGGER=t1\n\
             INRUSH_WEBHOOK=shop\nPATH={path}\nname|$HOME; `ls`||\"é\n|{}\n",
            here.display()
        )
    );
}

#[test]
fn what_cannot_be_run_is_said_when_it_is_opened_or_run() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = [("plain", "echo no first line\n"), ("lost", "#!/no/such/interpreter\n")];
    for (name, text) in scripts {
        let path = folder.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let event = event(b"{}");
    let here = |program| ExecOptions { base: folder.path(), ..options(program) };
    for (program, argument, expected) in [
        (
            "./plain",
            String::new(),
            "`./plain` cannot be run: Exec format error (os error 8); a script needs a first line",
        ),
        (
            "./lost",
            String::new(),
            "`./lost` cannot be run: No such file or directory (os error 2); it, its folder or",
        ),
        (
            "sh",
            "x".repeat(1 << 20),
            "`sh` cannot be run: Argument list too long (os error 7); let it read the event",
        ),
        ("sh", "a\0b".into(), "`sh` cannot be run: argument 1 holds a zero byte"),
    ] {
        let why = run(&here(program), &event, &[&argument]).unwrap_err();
        assert!(why.starts_with(expected), "{program}: {why}");
    }
    let named = |name: &str| vec![(name.to_owned(), "v".to_owned())];
    for (options, expected) in [
        (here("./missing"), "missing does not exist"),
        (ExecOptions { folder: Some(Path::new("/no/such")), ..here("sh") }, "/no/such is not a folder"),
        (ExecOptions { env_set: &named(""), ..here("sh") }, "`` is not the name"),
        (ExecOptions { env_set: &named("A=B"), ..here("sh") }, "`A=B` is not the name"),
        (ExecOptions { env_set: &named("INRUSH_WEBHOOK"), ..here("sh") }, "`INRUSH_WEBHOOK` is always set"),
        (ExecOptions { env: &["INRUSH_EVENT_ID".into()], ..here("sh") }, "`INRUSH_EVENT_ID` is always set"),
        (ExecOptions { trigger: "a\0b", ..here("sh") }, "the variable `INRUSH_TRIGGER` holds a zero byte"),
    ] {
        let Err(error) = Exec::open(&options) else { panic!("{expected}: it opened") };
        assert!(error.reason.contains(expected), "{expected}: {}", error.reason);
    }
}
