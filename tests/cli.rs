//! The command line, on the real binary: what it prints where, what it leaves behind, how it exits.

// What fails here fails the test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const ID: &str = "9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";

/// inrush in `directory`, with nothing of the surroundings' `INRUSH_*` but what `environment` gives.
fn inrush(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inrush"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("INRUSH_")) {
        if name != "INRUSH_DRIVER" {
            command.env_remove(name);
        }
    }
    command.current_dir(directory).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs it to its end: exit code, stdout, stderr.
fn run_with(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = inrush(directory, arguments, environment).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    run_with(directory, arguments, &[])
}

fn with_config(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("inrush.toml"), text).unwrap();
    directory
}

fn one_webhook() -> tempfile::TempDir {
    with_config(&format!(
        "[[webhook]]\nname = 'shop'\nid = '{ID}'\n[[webhook.trigger]]\nid = 'main'\nnodes = [{{ type = 'discard' }}]\n"
    ))
}

#[test]
fn wrong_configs_exit_78_and_point_at_the_place() {
    for (text, part) in [
        (
            "[server]\nlisen = '127.0.0.1:1'\n",
            "inrush.toml:2:1: unknown key `lisen` in [server]; did you mean `listen`?",
        ),
        ("[server\n", "inrush.toml:1:8: not TOML"),
        ("[limits]\nbudget_bytes = 16777216\n", "inrush.toml:2:16: body_bytes_max"),
        ("\u{feff}[server]\nx = 1\n", "unknown key `x`"),
    ] {
        let directory = with_config(text);
        for command in [&["check"][..], &["serve"], &[], &["list"]] {
            let (code, stdout, stderr) = run(directory.path(), command);
            assert_eq!((code, stdout.as_str()), (78, ""), "{command:?} {text}");
            assert!(stderr.contains(part), "{command:?}: {stderr}");
        }
        assert!(!directory.path().join("inrush-data").exists(), "nothing is started");
    }
}

#[test]
fn a_config_that_was_named_has_to_be_there() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, environment) in
        [(&["--config", "other.toml"][..], &[][..]), (&["serve"], &[("INRUSH_CONFIG", "other.toml")])]
    {
        let (code, _, stderr) = run_with(directory.path(), arguments, environment);
        assert_eq!(code, 78);
        assert!(stderr.contains("other.toml: there is no such file"), "{stderr}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "and nothing is written in its place");
}

#[test]
fn check_shows_the_limits_and_the_warnings() {
    let directory = one_webhook();
    let (code, stdout, stderr) = run(directory.path(), &["check", "--cores", "3"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("inrush.toml: right; 1 webhook; limits:\n  cores "), "{stdout}");
    assert!(stdout.lines().any(|line| line.split_whitespace().eq(["cores", "3"])), "{stdout}");
    let (code, _, stderr) = run(directory.path(), &["check", "--admin-listen", "0.0.0.0:1"]);
    assert_eq!(code, 0);
    assert!(stderr.contains("warning: inrush.toml: admin_listen is 0.0.0.0:1"), "{stderr}");
}

/// A file that could not be written was found by `serve` only.
#[test]
fn check_tries_the_files_and_makes_none() {
    let config = |path: &str| {
        let trigger = format!("id = 'main'\nnodes = [{{ type = 'file', path = '{path}' }}]\n");
        with_config(&format!("[[webhook]]\nname = 'shop'\nid = '{ID}'\n[[webhook.trigger]]\n{trigger}"))
    };
    let directory = config("events.ndjson");
    assert_eq!(run(directory.path(), &["check"]).0, 0);
    assert!(!directory.path().join("events.ndjson").exists());

    let directory = config("socket");
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    let (code, stdout, stderr) = run(directory.path(), &["check"]);
    assert_eq!((code, stdout.as_str()), (78, ""));
    assert!(stderr.contains("inrush.toml:6:34: cannot append to ./socket: it is neither"), "{stderr}");
    // Who lists webhooks need not be the user that the server runs as.
    assert_eq!(run(directory.path(), &["list"]).0, 0);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory =
        with_config(&format!("[server]\nlisten = '127.0.0.1:1'\n[[webhook]]\nname = 'a'\nid = '{ID}'\n"));
    let environment: &[(&str, &str)] = &[("INRUSH_LISTEN", "127.0.0.1:2")];
    for (arguments, environment, port) in [
        (&["list"][..], &[][..], 1),
        (&["list"], environment, 2),
        (&["list", "--listen", "127.0.0.1:3"], environment, 3),
        (&["--listen", "127.0.0.1:3", "list"], environment, 3),
    ] {
        let (code, stdout, _) = run_with(directory.path(), arguments, environment);
        assert_eq!(code, 0);
        assert!(stdout.contains(&format!("http://127.0.0.1:{port}/{ID}")), "{stdout}");
    }
    for (name, value) in [("INRUSH_CORES", "0"), ("INRUSH_WORKERS", "x"), ("INRUSH_LISTEN", "localhost:80")] {
        let (code, _, stderr) = run_with(directory.path(), &["list"], &[(name, value)]);
        assert_eq!(code, 2, "{name}: {stderr}");
        assert!(stderr.contains(value), "{stderr}");
    }
}

#[test]
fn new_writes_the_file_and_then_adds_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    let (code, stdout, _) = run(directory.path(), &["new", "shop", "--id", ID]);
    assert_eq!((code, stdout), (0, format!("http://127.0.0.1:8080/{ID}\n")));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read_to_string(&path).unwrap();

    let origins = ["--origin", "https://a.example", "--origin", "https://b.example"];
    let (code, stdout, stderr) =
        run(directory.path(), &[&["new", "crm", "--generate-secret"][..], &origins].concat());
    assert_eq!(code, 0, "{stderr}");
    let [url, secret]: [&str; 2] = stdout.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(url.starts_with("http://127.0.0.1:8080/") && secret.len() == 64, "{stdout}");
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&before), "what was there stays");
    assert!(after.contains(secret) && !stderr.contains(secret));

    let (_, json, _) = run(directory.path(), &["list", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["id"], ID);
    assert_eq!(rows[1]["url"], url);
    assert_eq!(rows[1]["secrets"], 1);
    assert_eq!(rows[1]["allowed_origins"], serde_json::json!(["https://a.example", "https://b.example"]));
    assert_eq!(rows[1]["triggers"], serde_json::json!(["main"]));
    let (_, table, _) = run(directory.path(), &["list"]);
    assert_eq!(table.lines().count(), 3);
    assert!(!json.contains(secret) && !table.contains(secret));
}

#[test]
fn new_refuses_what_is_wrong_and_changes_nothing() {
    let directory = one_webhook();
    let path = directory.path().join("inrush.toml");
    let before = fs::read_to_string(&path).unwrap();
    for (arguments, code, part) in [
        (&["shop"][..], 78, "there is already a webhook \"shop\""),
        (&["other", "--id", ID], 78, "belongs to the webhook \"shop\""),
        (&["other", "--id", "1"], 2, "is no UUID"),
        (&["other", "--secret", ""], 2, "the secret is empty"),
        (&["other", "--secret", "a", "--generate-secret"], 2, "cannot be used with"),
        (&["other", "--origin", "https://a.example/"], 2, "write \"https://a.example\""),
        (&[""], 2, "the name is empty"),
        (&[], 2, "required"),
    ] {
        let (found, stdout, stderr) = run(directory.path(), &[&["new"], arguments].concat());
        assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn snippets_use_the_public_url() {
    let directory = one_webhook();
    let (code, stdout, _) = run(directory.path(), &["snippet", "shop"]);
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("#!/bin/sh\n") && stdout.contains(&format!("'http://127.0.0.1:8080/{ID}'")),
        "{stdout}"
    );

    let text = fs::read_to_string(directory.path().join("inrush.toml")).unwrap();
    let text = format!("[server]\npublic_url = 'https://hooks.example.com/'\n{text}");
    fs::write(directory.path().join("inrush.toml"), text).unwrap();
    for lang in ["curl", "axios", "requests", "php", "go", "java", "ruby"] {
        let (code, stdout, _) = run(directory.path(), &["snippet", "shop", "--lang", lang]);
        assert_eq!(code, 0);
        assert!(stdout.contains(&format!("https://hooks.example.com/{ID}")), "{lang}: {stdout}");
    }
    let (code, _, stderr) = run(directory.path(), &["snippet", "nobody"]);
    assert_eq!(code, 66);
    assert!(stderr.contains("no webhook is called \"nobody\"; there are: shop"), "{stderr}");
    assert_eq!(run(directory.path(), &["snippet", "shop", "--lang", "cobol"]).0, 2);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let directory = one_webhook();
    let mut child = inrush(directory.path(), &["snippet", "shop"], &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// A running server, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `serve` and reads what it says until it listens.
fn serve(directory: &Path, arguments: &[&str]) -> (Server, String) {
    let addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--cores", "1"];
    let mut command = inrush(directory, &[&addresses[..], arguments].concat(), &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("listens on") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    // Read on, so that it never writes into a closed pipe.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (Server(child), said)
}

/// The first start: nothing is there, and the curl line works as printed, by a shell.
#[test]
fn the_first_start_needs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, said) = serve(directory.path(), &[]);
    assert!(said.contains("wrote inrush.toml with the webhook `default`"), "{said}");
    assert!(said.contains("body_bytes_max") && said.contains("100 MiB"), "the limits are shown: {said}");
    let mode = fs::metadata(directory.path().join("inrush.toml")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let line = said.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap();
    let posted = Command::new("sh").args(["-c", line]).env("NO_PROXY", "*").output().unwrap();
    let answer = String::from_utf8_lossy(&posted.stdout).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{line}\n{answer}\n{posted:?}");
    let mut logged = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut logged).unwrap();
    let event: serde_json::Value = serde_json::from_str(&logged).unwrap();
    assert_eq!(event["webhook"], "default");
    assert_eq!(event["payload"]["body"], serde_json::json!({"hello": "world"}));
    assert!(
        answer.to_lowercase().contains(&format!("x-event-id: {}", event["id"].as_str().unwrap())),
        "{answer}"
    );
}

#[test]
fn a_secret_is_named_and_not_shown_at_start() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(directory.path(), &["new", "shop", "--secret", "hunter2"]).0, 0);
    let (_server, said) = serve(directory.path(), &[]);
    assert!(!said.contains("hunter2"), "{said}");
    let line = said.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap();
    for (secret, status) in [("hunter2", "HTTP/1.1 200"), ("hunter3", "HTTP/1.1 401")] {
        let mut shell = Command::new("sh");
        let posted =
            shell.args(["-c", line]).env("NO_PROXY", "*").env("INRUSH_SECRET", secret).output().unwrap();
        assert!(String::from_utf8_lossy(&posted.stdout).starts_with(status), "{posted:?}");
    }
}

#[test]
fn what_is_taken_is_named() {
    let directory = one_webhook();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let other = if flag == "--listen" { "--admin-listen" } else { "--listen" };
        let (code, _, stderr) =
            run(directory.path(), &[flag, &address, other, "127.0.0.1:0", "--cores", "1"]);
        assert_eq!(code, 69, "{stderr}");
        assert!(stderr.contains(&address), "{stderr}");
        assert!(
            stderr.contains(&format!(" {flag} ")) && !stderr.contains(other),
            "{flag} is the one: {stderr}"
        );
    }

    let (_server, _) = serve(directory.path(), &[]);
    let (code, _, stderr) =
        run(directory.path(), &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(code, 75, "{stderr}");
    assert!(stderr.contains("inrush-data"), "{stderr}");
}

#[test]
fn sigterm_ends_it_in_order() {
    let directory = one_webhook();
    let (mut server, said) = serve(directory.path(), &[]);
    let listen = said.split("listens on http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let mut connection = TcpStream::connect(&listen).unwrap();
    write!(connection, "POST /{ID} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let killed = Command::new("kill").arg(server.0.id().to_string()).status().unwrap();
    assert!(killed.success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = server.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_names_the_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(directory.path(), &["--help"]);
    assert_eq!(code, 0);
    for line in ["69  the address", "75  another inrush", "78  the configuration", "INRUSH_DATA_DIR"] {
        assert!(stdout.contains(line), "{line} is not in {stdout}");
    }
    assert_eq!(run(directory.path(), &["--no-such-flag"]).0, 2);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
