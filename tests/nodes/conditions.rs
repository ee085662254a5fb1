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

#[test]
fn a_mistake_is_told_with_its_place() {
    let rows = [
        ("when = 'payload.body.type = 1'\nnodes = [{ type = \"discard\" }]", ":7:8: `when`: "),
        ("when = 'body.type == 1'\nnodes = [{ type = \"discard\" }]", "column 1 of it"),
        ("when = '\"text\"'\nnodes = [{ type = \"discard\" }]", "must be a bool"),
        ("key = 'payload.'\nnodes = [{ type = \"discard\" }]", "`key`: "),
        ("nodes = [{ type = \"variable\", name = \"a{{ payload.body.x\", increment = 1 }]", "does not end"),
        ("nodes = [{ type = \"variable\", name = \"a\" }]", "a variable node does one thing"),
        ("nodes = [{ type = \"forward\", url = \"ftp://h/\" }]", "neither http nor https"),
        ("nodes = [{ type = \"forward\", url = \"https://{{ payload.body.h }}/\" }]", "`url`"),
        ("nodes = [{ type = \"forward\", url = \"http://h/\", allow = [\"10.0.0.0/99\"] }]", "`allow`"),
        ("nodes = [{ type = \"forward\", url = \"http://h/\", signing_key = \"abc\" }]", "whsec_"),
        (
            "nodes = [{ type = \"exec\", command = [\"no-such-program-anywhere\"] }]",
            "no-such-program-anywhere",
        ),
        ("nodes = [{ type = \"exec\", command = [] }]", "has no `command`"),
        ("nodes = [{ type = \"file\", path = \"{{ payload.body.a }}/b\" }]", "behind the last slash"),
        ("on_error = \"panic\"\nnodes = [{ type = \"discard\" }]", "\"stop\" or \"continue\""),
        ("ordered = 1\nnodes = [{ type = \"discard\" }]", "true or false"),
    ];
    for (lines, part) in rows {
        let directory = tempfile::tempdir().unwrap();
        let text = webhook(&[format!("id = \"t\"\n{lines}")]);
        std::fs::write(directory.path().join("inrush.toml"), text).unwrap();
        let output = command(DRIVERS[0], directory.path()).arg("check").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{lines}\n{said}");
        assert!(said.contains("inrush.toml:") && said.contains(part), "{lines}\nlacks {part}:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
