//! What runs, what does not, and how a mistake is told.

use super::support::{DRIVERS, Setup, server::command};
use super::{counts, eventually, post, webhook};

#[test]
fn conditions_decide_and_triggers_are_independent() {
    for driver in DRIVERS {
        let triggers = [
            r#"id = "paid"
when = 'payload.body.type == "invoice.paid" && payload.query.env == "prod"'
nodes = [{ type = "file", path = "paid.out" }]"#,
            r#"id = "large"
when = 'payload.body.amount > 100'
nodes = [{ type = "file", path = "large.out" }]"#,
            r#"id = "hub"
when = 'payload.headers["x-github-event"] == "push" && payload.path.startsWith("/repo")'
nodes = [{ type = "file", path = "hub.out" }]"#,
        ];
        let server = Setup::new(driver).more(&webhook(&triggers.map(str::to_owned))).start();
        let mut client = server.connect();
        for (path, headers, body) in [
            ("?env=prod", "", r#"{"type":"invoice.paid","amount":500}"#),
            ("?env=test", "", r#"{"type":"invoice.paid","amount":7}"#),
            ("", "", r#"{"type":"invoice.paid"}"#),
            ("/repo/a", "X-GitHub-Event: push\r\n", r#"{"amount":"500"}"#),
            ("?env=prod", "", r#"{"type":"invoice.paid","amount":99999999999999999999999}"#),
            ("", "", ""),
        ] {
            assert_eq!(client.call(post(path, headers, body)).status, 200);
        }
        for (trigger, expected) in [("paid", (2, 1, 3)), ("large", (1, 1, 4)), ("hub", (1, 5, 0))] {
            let found = eventually(trigger, || {
                let found = counts(&server, trigger);
                let sum = ["events", "skipped", "condition_errors"].map(|key| found[key].as_u64().unwrap());
                (sum.iter().sum::<u64>() == 6).then_some((sum[0], sum[1], sum[2]))
            });
            assert_eq!(found, expected, "{trigger} on {driver:?}");
        }
        let stopped = server.stop();
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
        let lines = |name: &str| {
            std::fs::read_to_string(stopped.directory.path().join(name)).unwrap().lines().count()
        };
        assert_eq!((lines("paid.out"), lines("large.out"), lines("hub.out")), (2, 1, 1));
    }
}

/// Triggers with a mistake. `¦` stands before the place that has to be named, and is no part of the file; then what has to
/// be said of it.
const MISTAKES: &[(&str, &str)] = &[
    ("when = ¦'payload.body.type = 1'\nnodes = [{ type = \"discard\" }]", "(column 19 of it)"),
    ("when = ¦'body.type == 1'\nnodes = [{ type = \"discard\" }]", "(column 1 of it)"),
    ("when = ¦'payload.body.a == 1 && bdy.b'\nnodes = [{ type = \"discard\" }]", "(column 24 of it)"),
    ("when = ¦'\"text\"'\nnodes = [{ type = \"discard\" }]", "must be a bool"),
    ("key = ¦'payload.'\nnodes = [{ type = \"discard\" }]", "`key`: "),
    (
        "nodes = [{ type = \"variable\", name = ¦\"a{{ payload.body.x\", increment = 1 }]",
        "this hole does not end, write }} behind its expression (column 2 of it)",
    ),
    ("nodes = [{ type = \"variable\", name = \"a\", set = ¦\"1 +\" }]", "`set`: "),
    (
        "nodes = [{ type = \"exec\", command = [\"true\", ¦\"ab {{ nobody }}\"], env = [\"PATH\"] }]",
        "(column 7 of it)",
    ),
    ("nodes = [¦{ type = \"variable\", name = \"a\" }]", "a variable node does one thing"),
    ("nodes = [{ type = \"forward\", url = ¦\"ftp://h/\" }]", "neither http nor https"),
    ("nodes = [{ type = \"forward\", url = ¦\"https://{{ payload.body.h }}/\" }]", "`url`"),
    ("nodes = [{ type = \"forward\", url = ¦\"https://h/{{ nobody }}\" }]", "(column 14 of it)"),
    ("nodes = [{ type = \"forward\", url = \"http://h/\", allow = [¦\"10.0.0.0/99\"] }]", "`allow`"),
    ("nodes = [{ type = \"forward\", url = \"http://h/\", signing_key = ¦\"abc\" }]", "whsec_"),
    ("nodes = [{ type = \"exec\", command = [¦\"no-such-program-anywhere\"] }]", "no-such-program-anywhere"),
    ("nodes = [¦{ type = \"exec\", command = [] }]", "has no `command`"),
    ("nodes = [{ type = \"file\", path = ¦\"{{ payload.body.a }}/b\" }]", "behind the last slash"),
    ("on_error = ¦\"panic\"\nnodes = [{ type = \"discard\" }]", "\"stop\" or \"continue\""),
    ("ordered = ¦1\nnodes = [{ type = \"discard\" }]", "true or false"),
];

/// The text without the mark, and the place `LINE:COLUMN` that it marked.
fn marked(text: &str) -> (String, String) {
    let (before, behind) = text.split_once('¦').expect("a mark");
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (format!("{before}{behind}"), format!("{}:{column}", before.matches('\n').count() + 1))
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (lines, part) in MISTAKES {
        let directory = tempfile::tempdir().unwrap();
        let (text, place) = marked(&webhook(&[format!("id = \"t\"\n{lines}")]));
        std::fs::write(directory.path().join("inrush.toml"), text).unwrap();
        let output = command(DRIVERS[0], directory.path()).arg("check").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{lines}\n{said}");
        let told =
            said.lines().any(|line| line.contains(&format!("inrush.toml:{place}: ")) && line.contains(part));
        assert!(told, "{lines}\nlacks {part} at {place}:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// The same mistakes in the config of a running server: each is told, and what ran before runs on.
#[test]
fn a_mistake_in_a_reload_keeps_what_runs() {
    let good = webhook(&["id = \"t\"\nnodes = [{ type = \"file\", path = \"good.out\" }]".to_owned()]);
    let server = Setup::new(DRIVERS[0]).more(&good).start();
    let (path, new) = (server.directory.path().join("inrush.toml"), server.directory.path().join("new"));
    let base = std::fs::read_to_string(&path).unwrap();
    let base = base.strip_suffix(&good).expect("the webhook stands last");
    let mut client = server.connect();
    for (index, (lines, part)) in MISTAKES.iter().enumerate() {
        let (text, place) = marked(&format!("{base}{}", webhook(&[format!("id = \"t\"\n{lines}")])));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
        let before = server.stderr().len();
        server.hang_up();
        eventually(&format!("{lines}: {part} at {place}"), || {
            let said = server.stderr();
            let mut said = said[before..].lines();
            said.any(|line| line.contains(&format!("inrush.toml:{place}: ")) && line.contains(part))
                .then_some(())
        });
        assert_eq!(client.call(post("", "", "{}")).status, 200, "{lines}");
        eventually("it runs", || (counts(&server, "t")["events"] == index as u64 + 1).then_some(()));
    }
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
    let written = std::fs::read_to_string(stopped.directory.path().join("good.out")).unwrap();
    assert_eq!(written.lines().count(), MISTAKES.len(), "each by the trigger as it was");
}
