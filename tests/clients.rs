//! The seven programs that `inrush snippet` prints, run as printed against a running server: what a sender's own
//! client library does with a webhook, from `Expect: 100-continue` to the upgrade to h2c that Java asks for.
//!
//! axios and requests are looked for in `$INRUSH_CLIENTS`, by default `target/clients`: where
//! `tests/clients/install.sh` puts them.

// What fails here fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

const INRUSH: &str = env!("CARGO_BIN_EXE_inrush");
/// What shells, languages and the config file like to expand or escape.
const SECRET: &str = r#"quite-${a}-"secret"#;
const ID_PLAIN: &str = "9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";
const ID_SECRET: &str = "0b5e8c1a-7a51-4d0c-8f6e-2a7d3c1b5e81";

/// A language: the tool it needs, how to ask the tool for its version, what the file is called, how it is run.
struct Lang {
    name: &'static str,
    tool: &'static str,
    version: &'static [&'static str],
    file: &'static str,
    run: &'static [&'static str],
}

const LANGS: [Lang; 7] = [
    Lang { name: "curl", tool: "curl", version: &["--version"], file: "post.sh", run: &["sh", "post.sh"] },
    Lang {
        name: "axios",
        tool: "node",
        version: &["-e", "require('axios')"],
        file: "post.js",
        run: &["node", "post.js"],
    },
    Lang {
        name: "requests",
        tool: "python3",
        version: &["-c", "import requests"],
        file: "post.py",
        run: &["python3", "post.py"],
    },
    Lang {
        name: "php",
        tool: "php",
        version: &["-r", "exit(function_exists('curl_init') ? 0 : 1);"],
        file: "post.php",
        run: &["php", "post.php"],
    },
    Lang { name: "go", tool: "go", version: &["version"], file: "post.go", run: &["go", "run", "post.go"] },
    Lang {
        name: "java",
        tool: "java",
        version: &["--version"],
        file: "Post.java",
        run: &["java", "Post.java"],
    },
    Lang { name: "ruby", tool: "ruby", version: &["--version"], file: "post.rb", run: &["ruby", "post.rb"] },
];

fn lang(name: &str) -> &'static Lang {
    LANGS.iter().find(|lang| lang.name == name).unwrap()
}

/// A command without what the surroundings would do to it, and with the libraries that were installed for the test.
fn command(program: &str, directory: &Path) -> Command {
    let clients = match std::env::var_os("INRUSH_CLIENTS") {
        Some(clients) => PathBuf::from(clients),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"),
    };
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    for name in
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GOFLAGS"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("INRUSH_")) {
        if name != "INRUSH_DRIVER" {
            command.env_remove(name);
        }
    }
    command
        .env("NO_PROXY", "*")
        .env("GO111MODULE", "off")
        .env("NODE_PATH", clients.join("node/node_modules"))
        .env("PYTHONPATH", clients.join("python"));
    command
}

/// A server of its own, with the webhooks `plain` and `secret`, each writing to a file.
struct Server {
    directory: tempfile::TempDir,
    listen: String,
    process: Child,
}

#[derive(Deserialize)]
struct Event<'l> {
    id: String,
    webhook: String,
    #[serde(borrow)]
    payload: Payload<'l>,
}

#[derive(Deserialize)]
struct Payload<'l> {
    #[serde(borrow)]
    body: &'l RawValue,
    method: String,
    path: String,
    headers: HashMap<String, serde_json::Value>,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let webhook = |name: &str, id: &str, secret: &str| {
            format!(
                "[[webhook]]\nname = '{name}'\nid = '{id}'\n{secret}[[webhook.trigger]]\nid = 'main'\n\
                 nodes = [{{ type = 'file', path = '{name}.ndjson' }}]\n"
            )
        };
        let text = format!(
            "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\ncores = 1\nworkers = 1\n{}{}",
            webhook("plain", ID_PLAIN, ""),
            webhook("secret", ID_SECRET, "secret_file = 'secret'\n")
        );
        fs::write(directory.path().join("inrush.toml"), text).unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        let mut process = command(INRUSH, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("inrush starts");
        let listen = address_said(&mut process);
        Self { directory, listen, process }
    }

    /// Writes the program for `webhook` as `inrush snippet` prints it, with another id if asked, and runs it.
    fn post(
        &self,
        lang: &Lang,
        webhook: &str,
        id: Option<&str>,
        secret: &str,
        body: Option<&Path>,
    ) -> Output {
        let printed = command(INRUSH, self.directory.path())
            .args(["snippet", webhook, "--lang", lang.name, "--listen", &self.listen])
            .output()
            .unwrap();
        assert!(printed.status.success(), "{printed:?}");
        let mut program = String::from_utf8(printed.stdout).unwrap();
        if let Some(id) = id {
            program = program.replace(ID_PLAIN, id);
        }
        let run_in = tempfile::tempdir().unwrap();
        fs::write(run_in.path().join(lang.file), program).unwrap();
        let mut run = command(lang.run[0], run_in.path());
        // The go command keeps its cache under HOME, which the surroundings may lack.
        run.args(&lang.run[1..]).args(body).env("INRUSH_SECRET", secret);
        run.output().unwrap_or_else(|error| panic!("{} is needed: {error}", lang.run[0]))
    }

    /// The program's exit and last line: status and event id.
    fn answer(output: &Output) -> (bool, String, String) {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = stdout.lines().last().unwrap_or_else(|| panic!("nothing was printed: {output:?}"));
        let (status, event) = last.split_once(' ').unwrap_or((last, ""));
        (output.status.success(), status.to_owned(), event.to_owned())
    }

    /// The line of the event, once the node has written it.
    fn event(&self, webhook: &str, id: &str) -> String {
        let path = self.directory.path().join(format!("{webhook}.ndjson"));
        let deadline = Instant::now() + Duration::from_secs(20);
        let starts = format!("{{\"id\":\"{id}\"");
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            // Only whole lines count: the last one may be half written.
            if let Some(line) =
                text.split_inclusive('\n').find(|line| line.starts_with(&starts) && line.ends_with('\n'))
            {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "event {id} is not in {}: {text:.500}", path.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lines(&self, webhook: &str) -> usize {
        fs::read_to_string(self.directory.path().join(format!("{webhook}.ndjson")))
            .map_or(0, |text| text.lines().count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the server says it listens on; its stderr is read on, so that it never blocks, and shown if it does not start.
fn address_said(process: &mut Child) -> String {
    let (said, heard) = mpsc::channel();
    let stderr = process.stderr.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let mut all = String::new();
    while let Ok(line) = heard.recv_timeout(Duration::from_secs(30)) {
        if let Some((_, rest)) = line.split_once("listens on http://") {
            return rest.split(' ').next().unwrap().to_owned();
        }
        all.push_str(&line);
        all.push('\n');
    }
    panic!("the server did not start:\n{all}");
}

/// The documents that are posted: what clients and parsers like to alter, and more than one read holds.
fn bodies(directory: &Path) -> Vec<PathBuf> {
    let mut large = String::from("[");
    while large.len() < 3 << 20 {
        large.push_str(r#"{"text":"twenty bytes of text","number":12345.678,"none":null},"#);
    }
    large.push_str("{}]");
    let bodies = [
        (
            "tricky.json",
            "\t{\"a\" : [1, -0, 1e400, 123456789012345678901234567890],\r\n \"ü\":\"\\u00e9\\ud83d\\ude00 😀\\n\",\"\":{}}\n",
        ),
        ("scalar.json", "\"just a string\""),
        ("large.json", &large),
    ];
    bodies
        .into_iter()
        .map(|(name, body)| {
            let path = directory.join(name);
            fs::write(&path, body).unwrap();
            path
        })
        .collect()
}

/// One program: every document arrives as it was sent, plain and with secret; a wrong secret and an unknown id fail.
fn check(name: &str) {
    let lang = lang(name);
    let here = tempfile::tempdir().unwrap();
    let found = command(lang.tool, here.path()).args(lang.version).output();
    let found = found.unwrap_or_else(|error| panic!("{} is needed: {error}", lang.tool));
    assert!(
        found.status.success(),
        "{} lacks something (see tests/clients/install.sh): {found:?}",
        lang.tool
    );
    let server = Server::start();

    let mut documents: Vec<Option<PathBuf>> = bodies(here.path()).into_iter().map(Some).collect();
    documents.push(None);
    for webhook in ["plain", "secret"] {
        for document in &documents {
            let output = server.post(lang, webhook, None, SECRET, document.as_deref());
            let (succeeded, status, id) = Server::answer(&output);
            assert!(succeeded && status == "200", "{name} {webhook} {document:?}: {output:?}");
            let line = server.event(webhook, &id);
            let event: Event<'_> = serde_json::from_str(&line).unwrap();
            assert_eq!((event.id.as_str(), event.webhook.as_str()), (id.as_str(), webhook));
            assert_eq!((event.payload.method.as_str(), event.payload.path.as_str()), ("POST", "/"));
            assert!(!event.payload.headers.contains_key("x-bp-secret"), "a credential is in the payload");
            let sent = document
                .as_ref()
                .map_or(r#"{"hello":"world"}"#.to_owned(), |path| fs::read_to_string(path).unwrap());
            // To fit one line, CR and LF become spaces, which JSON allows only between tokens.
            let sent = sent.replace(['\r', '\n'], " ");
            assert!(
                event.payload.body.get() == sent.trim(),
                "{name} {webhook} {document:?}: the body differs"
            );
        }
    }

    let large = here.path().join("large.json");
    for document in [None, Some(large.as_path())] {
        let wrong = server.post(lang, "secret", None, "wrong", document);
        let (succeeded, status, event) = Server::answer(&wrong);
        assert_eq!(
            (succeeded, status.as_str(), event.as_str()),
            (false, "401", ""),
            "{name} {document:?}: {wrong:?}"
        );
        let unknown = server.post(lang, "plain", Some("0b5e8c1a-7a51-4d0c-8f6e-000000000000"), "", document);
        let (succeeded, status, event) = Server::answer(&unknown);
        assert_eq!(
            (succeeded, status.as_str(), event.as_str()),
            (false, "404", ""),
            "{name} {document:?}: {unknown:?}"
        );
    }
    assert_eq!(server.lines("plain"), documents.len(), "refused requests make no event");
    assert_eq!(server.lines("secret"), documents.len());

    let unset = server.post(lang, "secret", None, "", None);
    assert!(!unset.status.success(), "{unset:?}");
    assert!(String::from_utf8_lossy(&unset.stderr).contains("INRUSH_SECRET"), "{unset:?}");
}

macro_rules! clients {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "needs curl, node+axios, python3+requests, php, go, java, ruby: run under make test"]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn no_program_is_left_out() {
            let listed = [$(stringify!($name)),*];
            assert_eq!(listed, LANGS.map(|lang| lang.name));
        }
    };
}
clients!(curl axios requests php go java ruby);
