//! The real binary, started on free ports in a directory of its own, and stopped as an operator stops it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Client, Events, PATIENCE};

/// Which of monoio's drivers the server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    Uring,
    Epoll,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

/// A webhook of the test configuration.
pub struct Webhook {
    pub name: &'static str,
    pub id: &'static str,
    pub secret: Option<&'static str>,
    pub origins: &'static [&'static str],
    pub body_bytes_max: Option<u64>,
}

/// The webhooks that every test server has. The ids are fixed, so that a fixture has the same bytes in every run.
pub const WEBHOOKS: &[Webhook] = &[
    // Anybody but a browser.
    Webhook { name: "open", id: OPEN, secret: None, origins: &[], body_bytes_max: None },
    // A secret.
    Webhook { name: "locked", id: LOCKED, secret: Some(SECRET), origins: &[], body_bytes_max: None },
    // Browsers of one origin.
    Webhook {
        name: "shop",
        id: SHOP,
        secret: None,
        origins: &["https://shop.example"],
        body_bytes_max: None,
    },
    // Browsers of one origin, with a secret.
    Webhook {
        name: "vault",
        id: VAULT,
        secret: Some(SECRET),
        origins: &["https://shop.example", "http://localhost:3000"],
        body_bytes_max: None,
    },
    // Any browser.
    Webhook { name: "any", id: ANY, secret: None, origins: &["*"], body_bytes_max: None },
    // Bodies up to 64 bytes.
    Webhook { name: "tiny", id: TINY, secret: None, origins: &[], body_bytes_max: Some(64) },
];

pub const OPEN: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0001";
pub const LOCKED: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0002";
pub const SHOP: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0003";
pub const VAULT: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0004";
pub const ANY: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0005";
pub const TINY: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0006";
pub const UNKNOWN: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1bffff";
pub const SECRET: &str = "correct-horse-battery-staple";

/// What differs from the defaults.
pub struct Setup {
    driver: Driver,
    limits: Vec<(&'static str, u64)>,
    listen: String,
    data_dir: Option<PathBuf>,
    arguments: Vec<String>,
    more: String,
    stdout_unread: bool,
}

/// A running server; killed when dropped.
pub struct Server {
    pub driver: Driver,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub directory: TempDir,
    process: Process,
}

/// A server that has ended by itself, and what it left behind.
pub struct Stopped {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    pub directory: TempDir,
}

/// A child process whose output is read as it comes, so that it never blocks on a full pipe.
pub struct Process {
    child: Child,
    pub stdout: Output,
    pub stderr: Output,
    unread: Option<ChildStdout>,
}

/// Lines of one output stream, read by a thread.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Setup {
    pub fn new(driver: Driver) -> Self {
        let listen = "127.0.0.1:0".to_owned();
        Self {
            driver,
            limits: Vec::new(),
            listen,
            data_dir: None,
            arguments: Vec::new(),
            more: String::new(),
            stdout_unread: false,
        }
    }

    /// Sets a key of `[limits]`.
    pub fn limit(mut self, key: &'static str, value: u64) -> Self {
        self.limits.push((key, value));
        self
    }

    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = address.to_string();
        self
    }

    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }

    pub fn argument(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// Adds lines behind the webhooks of the configuration.
    pub fn more(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self
    }

    /// Leaves the server's stdout unread until [`Server::read_stdout_on`], so that a `log` node comes to stand still.
    pub fn stdout_unread(mut self) -> Self {
        self.stdout_unread = true;
        self
    }

    /// The configuration as an operator would have written it.
    fn config(&self, directory: &Path) -> String {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| directory.join("data"));
        let mut text = format!(
            "[server]\nlisten = {:?}\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n\n[limits]\n",
            self.listen,
            data_dir.display().to_string()
        );
        for (key, value) in &self.limits {
            let _ = writeln!(text, "{key} = {value}");
        }
        for Webhook { name, id, secret, origins, body_bytes_max } in WEBHOOKS {
            let _ =
                write!(text, "\n[[webhook]]\nname = {name:?}\nid = {id:?}\nallowed_origins = {origins:?}\n");
            if let Some(secret) = secret {
                let _ = writeln!(text, "secret = {secret:?}");
            }
            if let Some(limit) = body_bytes_max {
                let _ = writeln!(text, "body_bytes_max = {limit}");
            }
            let path = directory.join(format!("{name}.ndjson")).display().to_string();
            let _ = writeln!(
                text,
                "[[webhook.trigger]]\nid = \"{name}-to-file\"\nnodes = [{{ type = \"file\", path = {path:?} }}]"
            );
        }
        text + &self.more
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&self) -> (Process, TempDir) {
        let directory = tempfile::tempdir().expect("make a directory");
        let config = directory.path().join("inrush.toml");
        std::fs::write(&config, self.config(directory.path())).expect("write the configuration");
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&config, owner_only).expect("a file with secrets is for its owner");
        let mut command = command(self.driver, directory.path());
        command.arg("--config").arg(config).args(&self.arguments);
        (Process::spawn_with(command, self.stdout_unread), directory)
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Server {
        let (process, directory) = self.spawn();
        let address = process.stderr.address_after("listens on http://");
        let admin = process.stderr.address_after("admin on http://");
        // A server that fell back would pass under a false name.
        let driver = format!("({})", if self.driver == Driver::Uring { "io_uring" } else { "epoll" });
        let said = process.stderr.text();
        assert!(said.contains(&driver), "asked for {:?}, it runs on another driver:\n{said}", self.driver);
        Server { driver: self.driver, address, admin, directory, process }
    }
}

/// The binary under test, alone in its directory, with nothing inherited that could configure it.
/// `INRUSH_TEST_BINARY` runs the same tests on another build, such as the release one.
pub fn command(driver: Driver, directory: &Path) -> Command {
    let binary =
        std::env::var_os("INRUSH_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_inrush").into());
    let mut command = Command::new(binary);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("INRUSH_")) {
        command.env_remove(key);
    }
    command
        .current_dir(directory)
        .env("INRUSH_DRIVER", driver.name())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG");
    command
}

impl Process {
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with(command, false)
    }

    fn spawn_with(mut command: Command, stdout_unread: bool) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the binary");
        let (stdout, stderr) = (Output::default(), Output::default());
        let pipe = child.stdout.take().expect("stdout is piped");
        let unread = if stdout_unread {
            Some(pipe)
        } else {
            stdout.read(pipe);
            None
        };
        stderr.read(child.stderr.take().expect("stderr is piped"));
        Self { child, stdout, stderr, unread }
    }

    /// Reads a stdout that was left unread.
    pub fn read_on(&mut self) {
        if let Some(pipe) = self.unread.take() {
            self.stdout.read(pipe);
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        // The shell's builtin: std has no kill(2) for a signal of one's choice, and these tests no unsafe block.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(status.expect("run sh").success(), "SIG{name} could not be sent");
    }

    /// Waits until it has exited by itself.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the child") {
                self.read_on();
                self.stdout.wait_for_end();
                self.stderr.wait_for_end();
                return status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("still running after {patience:?}; it said:\n{}", self.stderr.text());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn read(&self, stream: impl std::io::Read + Send + 'static) {
        let theirs = self.clone();
        std::thread::spawn(move || {
            let (lines, changed) = &*theirs.0;
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                lines
                    .lock()
                    .expect("no panic while locked")
                    .lines
                    .push(String::from_utf8_lossy(&line).into_owned());
                changed.notify_all();
            }
            lines.lock().expect("no panic while locked").ended = true;
            changed.notify_all();
        });
    }

    /// Waits until the wanted is found among the lines.
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let (lines, changed) = &*self.0;
        let mut guard = lines.lock().expect("no panic while locked");
        loop {
            if let Some(found) = guard.lines.iter().find_map(|line| wanted(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !guard.ended && !left.is_zero(),
                "{what}: never said; it said:\n{}",
                guard.lines.join("\n")
            );
            guard = changed.wait_timeout(guard, left).expect("no panic while locked").0;
        }
    }

    /// The address printed after these words.
    pub fn address_after(&self, words: &str) -> SocketAddr {
        self.wait_for(words, |line| {
            let rest = line.split_once(words)?.1;
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c))).unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
    }

    fn wait_for_end(&self) {
        let (lines, changed) = &*self.0;
        let guard = lines.lock().expect("no panic while locked");
        let waited = changed.wait_timeout_while(guard, PATIENCE, |lines| !lines.ended);
        assert!(
            waited.expect("no panic while locked").0.ended,
            "the process has gone, but its output is still held open"
        );
    }

    pub fn text(&self) -> String {
        self.0.0.lock().expect("no panic while locked").lines.join("\n")
    }
}

impl Server {
    pub fn start(driver: Driver) -> Self {
        Setup::new(driver).start()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A GET on the admin listener, which may be served by another HTTP stack: only status and body are read.
    pub fn admin_get(&self, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect_timeout(&self.admin, PATIENCE)
            .expect("connect to the admin listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin)
            .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read the answer");
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status.unwrap_or_else(|| panic!("not an HTTP answer: {answer:?}")), body)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn read_stdout_on(&mut self) {
        self.process.read_on();
    }

    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGHUP: the config is read anew.
    pub fn hang_up(&self) {
        self.process.signal("HUP");
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(self) -> Stopped {
        self.terminate();
        self.wait()
    }

    /// Waits for the end after `terminate`.
    pub fn wait(mut self) -> Stopped {
        let start = Instant::now();
        let status = self.process.wait(Duration::from_secs(60));
        Stopped {
            status,
            stdout: self.process.stdout.text(),
            stderr: self.process.stderr.text(),
            took: start.elapsed(),
            directory: self.directory,
        }
    }

    /// SIGTERM, a clean exit, and every event that came out.
    pub fn finish(self) -> Events {
        self.stop().events()
    }
}

impl Stopped {
    /// The events of a server that ended well: its files are complete then.
    pub fn events(&self) -> Events {
        assert_eq!(self.status.code(), Some(0), "the server did not end well:\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "the server panicked:\n{}", self.stderr);
        Events::read(self.directory.path()).unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Waits until the server has read every byte that clients have sent to this address: the kernel shows per
/// connection what lies unread. It makes two writes two reads without a sleep. Returns false when bytes still lie
/// unread at the deadline, as they do behind a refusal that the server answers without reading on.
pub fn wait_until_read(address: SocketAddr, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if unread_connections(address) == 0 {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
}

/// How many open connections on this local address hold bytes that the server has not read.
fn unread_connections(address: SocketAddr) -> usize {
    // proc(5): "sl local_address rem_address st tx_queue:rx_queue …", numbers in hexadecimal.
    let table = std::fs::read_to_string("/proc/net/tcp").expect("read the kernel's table of connections");
    let local = format!(":{:04X}", address.port());
    table
        .lines()
        .filter(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (own, _, state, queues) = (fields.next(), fields.next(), fields.next(), fields.next());
            own.is_some_and(|own| own.ends_with(&local))
                && matches!(state, Some("01" | "08")) // ESTABLISHED, CLOSE_WAIT
                && queues.is_some_and(|queues| !queues.ends_with(":00000000"))
        })
        .count()
}
