//! Everything under `examples/` does what its README says: each is started as it is, and posted to with the README's own
//! curl line.

#![allow(clippy::unwrap_used)] // As in the tests themselves.

mod support;

#[path = "../examples/blocking.rs"]
mod blocking;
#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/own_node.rs"]
mod own_node;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use support::server::{Process, command};
use support::{Answer, Client, Driver, PATIENCE};

/// An example that runs in a copy of its folder.
struct Example {
    process: Process,
    address: SocketAddr,
    directory: tempfile::TempDir,
    request: Request,
}

/// What the README's curl line posts.
#[derive(Clone)]
struct Request {
    path: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    /// Of the line that starts with `curl`: `-H` and `-d` with their values in single quotes, then the URL.
    fn of(readme: &str) -> Self {
        let line = readme.lines().find(|line| line.starts_with("curl ")).expect("a curl line");
        let quoted = |flag: &str| {
            let starts = line.match_indices(flag).map(|(at, _)| at + flag.len());
            let values = starts.map(|at| line[at..].split('\'').next().unwrap().to_owned());
            values.collect::<Vec<_>>()
        };
        let url = line.rsplit(' ').next().unwrap();
        let path = url.strip_prefix("http://127.0.0.1:8080").expect("the default address").to_owned();
        let body = quoted("-d '").pop().expect("a body");
        Self { path, headers: quoted("-H '"), body }
    }

    /// The same with another text in its body.
    fn with(&self, from: &str, to: &str) -> Self {
        assert!(self.body.contains(from), "{from}: {}", self.body);
        Self { body: self.body.replace(from, to), ..self.clone() }
    }

    fn post(&self, address: SocketAddr) -> Answer {
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let Self { path, body, .. } = self;
        let length = body.len();
        Client::connect(address).call(format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }
}

impl Example {
    fn start(name: &str, change: impl FnOnce(&str) -> String, environment: &[(&str, &str)]) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let directory = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
        }
        let config = directory.path().join("inrush.toml");
        let text = change(&std::fs::read_to_string(&config).unwrap());
        std::fs::write(&config, text).unwrap();
        let mut command = command(Driver::Uring, directory.path());
        // Each post has a connection of its own, and over several cores their order is not promised.
        command
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--cores", "1"])
            .envs(environment.iter().copied());
        let process = Process::spawn(command);
        let address = process.stderr.address_after("listens on http://");
        let request = Request::of(&std::fs::read_to_string(from.join("README.md")).unwrap());
        Self { process, address, directory, request }
    }

    fn post(&self, request: &Request) -> String {
        let answer = request.post(self.address);
        assert_eq!(answer.status, 200, "{}", self.process.stderr.text());
        answer.event_id().to_owned()
    }

    /// Stops it, so that everything that was accepted has run.
    fn stop(&mut self) {
        self.process.terminate();
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "{}", self.process.stderr.text());
    }

    /// Reads a file; a missing one is empty.
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    /// What a file holds when everything that was accepted has run.
    fn file_at_the_end(mut self, name: &str) -> String {
        self.stop();
        self.file(name)
    }
}

fn as_it_is(config: &str) -> String {
    config.to_owned()
}

#[test]
fn deploy_on_push() {
    let example = Example::start("deploy-on-push", as_it_is, &[]);
    let request = example.request.clone();
    let id = example.post(&request);
    example.post(&request.with("refs/heads/main", "refs/heads/other"));
    example.post(&request.with("acme/shop", "acme/other"));
    example.post(&Request { headers: vec!["x-github-event: ping".into()], ..request.clone() });
    // Hostile, and so refused by the script; no shell ever sees it.
    example.post(&request.with("6dcb09b5", "$(touch pwned); `id` "));
    example.post(&request.with("octocat", "a\\ndeployed by hand"));
    example.post(&request.with("6dcb09b5b57875f334f61aebed695e2e4193db5e", &"0".repeat(40)));
    let strange = request.with("octocat", "a'b; touch pwned");
    let strange_id = example.post(&strange);
    let commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e";
    let pwned = example.directory.path().join("pwned");
    let expected = format!(
        "deployed {commit}, pushed by octocat, event {id}\ndeployed {commit}, pushed by a'b; touch pwned, event {strange_id}\n"
    );
    assert_eq!(example.file_at_the_end("deployed.log"), expected);
    assert!(!pwned.exists());
}

/// Also what the condition would not let through: somebody may change one and not the other.
#[test]
fn the_script_of_deploy_on_push_takes_no_hostile_argument() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy-on-push/deploy.sh");
    let (main, commit) = ("refs/heads/main", "6dcb09b5b57875f334f61aebed695e2e4193db5e");
    for (ref_, commit, pusher, is_deployed) in [
        (main, commit, "octocat", true),
        (main, commit, "$(touch pwned)`touch pwned`; touch pwned", true),
        (main, commit, "%s%n\\n", true),
        ("refs/heads/main; touch pwned", commit, "octocat", false),
        ("refs/heads/$(touch pwned)", commit, "octocat", false),
        ("refs/tags/main", commit, "octocat", false),
        ("", commit, "octocat", false),
        ("-n", commit, "octocat", false),
        (main, "--upload-pack=touch pwned", "octocat", false),
        (main, "6dcb09b5\ntouch pwned", "octocat", false),
        (main, "", "octocat", false),
        (main, commit, "a\ndeployed by hand", false),
        (main, commit, "a\u{1b}[2J", false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let ran = Command::new(&script)
            .args([ref_, commit, pusher])
            .env("INRUSH_EVENT_ID", "e")
            .current_dir(directory.path())
            .output()
            .unwrap();
        let case = format!("{ref_:?} {commit:?} {pusher:?}: {}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.success(), is_deployed, "{case}");
        let log = std::fs::read_to_string(directory.path().join("deployed.log")).unwrap_or_default();
        let expected = format!("deployed {commit}, pushed by {pusher}, event e\n");
        assert_eq!(log, if is_deployed { expected } else { String::new() }, "{case}");
        let files = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, usize::from(is_deployed), "{case}: something else was written");
    }
}

#[test]
fn relay() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let change = |config: &str| config.replace("127.0.0.1:9000", &format!("127.0.0.1:{port}"));
    let example = Example::start("relay", change, &[("RELAY_KEY", key)]);
    let request = example.request.clone();
    let other = request.with("invoice.paid", "customer.created");
    example.post(&other);
    let id = example.post(&request);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(request.body.as_bytes()) {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0);
        got.extend_from_slice(&piece[..read]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    let got = String::from_utf8(got).unwrap();
    assert!(got.starts_with("POST /hooks/invoice.paid HTTP/1.1\r\n"), "{got}");
    let header = |name: &str| {
        let value = got.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("lacks {name}: {got}"))
    };
    assert_eq!((header("webhook-id"), header("x-request-id")), (id.as_str(), "r-17"));
    // As the service would verify it, by the specification and not by our own signer.
    let signature = BASE64_STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let signs = |body: &str| {
        let secret = BASE64_STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = format!("{id}.{}.{body}", header("webhook-timestamp"));
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes(), &signature).is_ok()
    };
    assert!(signs(&request.body), "{got}");
    assert!(!signs(&other.body), "a signature of anything is none");
    listener.set_nonblocking(true).unwrap();
    assert!(example.file_at_the_end("nothing").is_empty());
    assert!(listener.accept().is_err(), "the other event went nowhere");
}

#[test]
fn orders_to_file() {
    let example = Example::start("orders-to-file", as_it_is, &[]);
    let request = example.request.clone();
    let first = example.post(&request);
    let second = example.post(&request.with("berlin", "../outside"));
    example.post(&request.with("\"order\"", "\"refund\""));
    let deadline = Instant::now() + PATIENCE;
    let of_shop = example.directory.path().join("orders-berlin.ndjson");
    while !std::fs::read_to_string(&of_shop).unwrap_or_default().contains(&first) {
        assert!(Instant::now() < deadline, "{}", example.process.stderr.text());
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = example.file_at_the_end("orders.ndjson");
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(&first) && text.contains(&second), "{text}");
}

#[test]
fn count_per_customer() {
    let mut example = Example::start("count-per-customer", as_it_is, &[]);
    let request = example.request.clone();
    let ids: Vec<String> = (0..4).map(|_| example.post(&request)).collect();
    example.post(&request.with("ada", "bob"));
    example.post(&request.with("customer", "visitor"));
    example.stop();
    let variables = example.file(&format!("inrush-data/variables{}.json", request.path));
    let variables: serde_json::Value = serde_json::from_str(&variables).expect("the variables were saved");
    assert_eq!(variables, serde_json::json!({ "orders_ada": 4, "orders_bob": 1 }), "nobody else was counted");
    let text = example.file("loyal.ndjson");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(&ids[2]) && text.contains(&ids[3]), "{text}");
}

#[test]
fn the_programs() {
    blocking::main().expect("examples/blocking.rs");
    embed::main().expect("examples/embed.rs");
    own_node::main().expect("examples/own_node.rs");
}
