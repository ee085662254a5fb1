//! Every mistake is named at its place, all of them at once, and what is right is read as it was meant.

use super::*;
use crate::config::Rotation;
use crate::config::{Node, Trigger};
use std::net::SocketAddr;
use std::time::Duration;

const ID: &str = "9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";

fn parse(text: &str) -> Result<Config, String> {
    parse_with(text, &Overrides::default())
}

fn parse_with(text: &str, overrides: &Overrides) -> Result<Config, String> {
    let environment = |name: &str| match name {
        "SECRET" => Some("from-the-environment".to_owned()),
        "EMPTY" => Some(String::new()),
        "PORT" => Some("9000".to_owned()),
        _ => None,
    };
    Config::parse(Path::new("inrush.toml"), text, overrides, &environment).map_err(|error| error.to_string())
}

/// The errors of `text`, one per line, as the operator sees them.
fn check(text: &str, expected: &[&str]) {
    let shown = parse(text).expect_err(text);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}\n{shown}");
    for (line, part) in lines.iter().zip(expected) {
        assert!(line.contains(part), "{text}\n{line}\nlacks {part}");
    }
}

/// The same for the body of one webhook, whose lines count from 4.
fn check_webhook(body: &str, expected: &[&str]) {
    check(&format!("[[webhook]]\nname = 'a'\nid = '{ID}'\n{body}"), expected);
}

fn webhook(body: &str) -> Webhook {
    parse(&format!("[[webhook]]\nname = 'a'\nid = '{ID}'\n{body}")).unwrap().webhooks.remove(0)
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.admin_listen, "127.0.0.1:8081".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.data_dir, Path::new("./inrush-data"));
    assert_eq!((config.server.cores, config.server.workers, config.server.public_url), (None, None, None));
    assert_eq!(config.warnings.len(), 1, "no webhook is odd");
}

#[test]
fn a_full_file() {
    let config = parse(&format!(
        "[server]\nlisten = '0.0.0.0:${{PORT}}'\nadmin_listen = '127.0.0.1:1'\ndata_dir = '/var/lib/inrush'\n\
         public_url = 'https://hooks.example.com/in/'\ncores = 3\nworkers = 2\n\
         [limits]\nqueue_events_max = 0x10\n\
         [[webhook]]\nname = 'shop'\nid = '{ID}'\nsecrets = ['one', '${{SECRET}}']\n\
         allowed_origins = ['https://a.example', '*']\nbody_bytes_max = 1_000\nkeep_headers = ['Authorization']\n\
         [[webhook.trigger]]\nid = 'main'\nnodes = [{{ type = 'log' }}, {{ type = 'file', path = 'e.ndjson' }}]\n\
         [[webhook.trigger]]\nid = 'count'\n[[webhook.trigger.nodes]]\ntype = 'discard'\n"
    ))
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(config.server.data_dir, Path::new("/var/lib/inrush"));
    assert_eq!((config.server.cores, config.server.workers), (Some(3), Some(2)));
    assert_eq!(config.limits.queue_events_max.unwrap().value, 16);
    let webhook = &config.webhooks[0];
    assert_eq!(webhook.secrets[0].expose(), "one");
    assert_eq!(webhook.secrets[1].expose(), "from-the-environment");
    assert_eq!(webhook.body_bytes_max, Some(1000));
    assert_eq!(webhook.keep_headers, ["authorization"]);
    let place = Place { line: 19, column: 52 };
    let file = Node::File {
        path: Written { value: "./e.ndjson".into(), place },
        name: None,
        rotation: Rotation::default(),
    };
    assert_eq!(webhook.triggers[0].nodes, [Node::Log, file]);
    let counting = Trigger { id: "count".into(), nodes: vec![Node::Discard], ..Trigger::default() };
    assert_eq!(webhook.triggers[1], counting);
    assert_eq!(config.url(webhook), format!("https://hooks.example.com/in/{ID}"));
    assert_eq!(config.warnings, []);
}

#[test]
fn urls_are_reachable_ones() {
    for (listen, expected) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("0.0.0.0:80", "http://127.0.0.1:80/"),
        ("[::]:80", "http://[::1]:80/"),
        ("192.0.2.7:1", "http://192.0.2.7:1/"),
    ] {
        let config =
            parse(&format!("[server]\nlisten = '{listen}'\n[[webhook]]\nname = 'a'\nid = '{ID}'\n")).unwrap();
        assert_eq!(config.url(&config.webhooks[0]), format!("{expected}{ID}"));
    }
}

#[test]
fn syntax_errors_have_a_place() {
    check("[server\n", &["inrush.toml:1:8: not TOML"]);
    check("a = 1\nb =\n", &["inrush.toml:2:"]);
    check("[server]\nlisten = 'a'\nlisten = 'b'\n", &["inrush.toml:3:1: not TOML: duplicate key"]);
    check("x = '\u{7}'", &["inrush.toml:1:"]);
}

#[test]
fn unknown_keys_are_refused_with_the_likely_one() {
    check("[sever]\n", &["inrush.toml:1:2: unknown key `sever` in the file; did you mean `server`?"]);
    check(
        "[server]\nlisen = 'x'\n",
        &["inrush.toml:2:1: unknown key `lisen` in [server]; did you mean `listen`?"],
    );
    check(
        "listen = 'x'\n",
        &["inrush.toml:1:1: unknown key `listen` in the file; known here: server, limits"],
    );
    check("[limits]\nbody_max_bytes = 1\n", &["2:1: unknown key `body_max_bytes` in [limits]; did you mean"]);
    check_webhook(
        "origins = []\n",
        &["4:1: unknown key `origins` in [[webhook]]; did you mean `allowed_origins`?"],
    );
    check_webhook("[[webhook.triggers]]\nid = 'a'\n", &["did you mean `trigger`?"]);
    check_webhook(
        "[[webhook.trigger]]\nid = 'm'\nnode = []\nnodes = [{ type = 'log', path = 'x' }]\n",
        &["6:1: unknown key `node` in [[webhook.trigger]]", "7:26: unknown key `path`"],
    );
}

#[test]
fn wrong_types_are_named() {
    check("[server]\nlisten = 8080\n", &["2:10: `listen` is a whole number; it has to be a string, such as"]);
    check("[server]\ncores = '2'\n", &["2:9: `cores` is a string; it has to be a whole number of threads"]);
    check("[server]\ncores = 0\n", &["2:9: `cores` is 0; it has to lie between 1 and 1024 threads"]);
    check("[server]\ncores = -1\n", &["`cores` is -1"]);
    check("[limits]\nidle_timeout_ms = 1.5\n", &["2:19: `idle_timeout_ms` is a number with a fraction"]);
    check("[limits]\nidle_timeout_ms = 99999999999999999999999\n", &["it has to lie between"]);
    check("server = 1\n", &["1:10: `server` is a whole number; it has to be a table: [server]"]);
    check("[webhook]\nname = 'a'\n", &["`webhook` is a table; it has to be a list of tables: [[webhook]]"]);
    check("webhook = [1]\n", &["1:12: `webhook` is a whole number"]);
    check_webhook("secret = true\n", &["4:10: `secret` is true or false"]);
    check_webhook("secrets = 'x'\n", &["4:11: `secrets` is a string; it has to be a list"]);
    check_webhook("allowed_origins = [1]\n", &["4:20: `allowed_origins` holds a whole number"]);
}

#[test]
fn every_problem_is_told_at_once() {
    check(
        "[server]\nlisten = 'x'\npublic_url = 'y'\n[[webhook]]\nid = 'z'\nsecret = ''\n",
        &[
            "2:10: \"x\" is no address",
            "3:14: \"y\" is no URL",
            "4:1: this webhook has no `name`",
            "5:6:",
            "6:10:",
        ],
    );
}

#[test]
fn webhooks_have_a_name_and_an_id_of_their_own() {
    check(&format!("[[webhook]]\nid = '{ID}'\n"), &["1:1: this webhook has no `name`"]);
    check(&format!("[[webhook]]\nname = ''\nid = '{ID}'\n"), &["2:8: the name is empty"]);
    check("[[webhook]]\nname = 'a'\n", &["1:1: this webhook has no `id`; add a new one: id = \""]);
    check("[[webhook]]\nname = 'a'\nid = '1'\n", &["3:6: \"1\" is no UUID"]);
    let two = |name: &str, id: &str| {
        format!("[[webhook]]\nname = 'a'\nid = '{ID}'\n\n[[webhook]]\nname = '{name}'\nid = '{id}'\n")
    };
    let other = "0b5e8c1a-7a51-4d0c-9f6e-2a7d3c1b5e80";
    check(&two("a", other), &["5:1: the name \"a\" is already taken by the webhook in line 1"]);
    check(&two("b", ID), &["5:1: the id 9f3c2f6e-"]);
    check(&two("b", &ID.to_uppercase()), &["already taken by the webhook in line 1"]);
    assert_eq!(parse(&two("b", other)).unwrap().webhooks.len(), 2);
}

#[test]
fn secrets() {
    assert_eq!(webhook("").secrets.len(), 0);
    assert_eq!(webhook("secret = 'a'\n").secrets.len(), 1);
    assert_eq!(webhook("secret = 'a'\nsecrets = ['b']\n").secrets.len(), 2);
    check_webhook("secret = ''\n", &["4:10: the secret is empty"]);
    check_webhook("secret = '${EMPTY}'\n", &["4:10: the secret is empty"]);
    check_webhook("secret = '${MISSING}'\n", &["4:10: the environment variable MISSING is not set"]);
    check_webhook("secret = 'a b'\n", &["4:10: byte 2 of the secret is not visible ASCII"]);
    check_webhook("secrets = ['a', 'b', 'c']\n", &["4:22: this webhook has 3 secrets"]);
    check_webhook("secrets = ['a', 'a']\n", &["4:17: both secrets are the same"]);
    check_webhook("secret_file = '/nowhere/at/all'\n", &["4:15: secret_file /nowhere/at/all cannot be read"]);
}

#[test]
fn no_error_shows_a_secret() {
    let shown = parse(&format!("[[webhook]]\nname = 'a'\nid = '{ID}'\nsecret = 'hun ter2'\n")).unwrap_err();
    assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
    let config = parse(&format!("[[webhook]]\nname = 'a'\nid = '{ID}'\nsecret = 'hunter2'\n")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn secret_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let text = format!("[[webhook]]\nname = 'a'\nid = '{ID}'\nsecret_file = '{}'\n", path.display());
    for (content, expected) in [
        ("s3cret", Ok("s3cret")),
        ("s3cret\n", Ok("s3cret")),
        ("s3cret\r\n", Ok("s3cret")),
        ("", Err("the secret is empty")),
        ("\n", Err("the secret is empty")),
        ("a\nb\n", Err("byte 2 of the secret")),
    ] {
        std::fs::write(&path, content).unwrap();
        match (parse(&text), expected) {
            (Ok(config), Ok(secret)) => assert_eq!(config.webhooks[0].secrets[0].expose(), secret),
            (Err(found), Err(part)) => assert!(found.contains(part), "{content:?}: {found}"),
            (found, _) => panic!("{content:?}: {found:?}"),
        }
    }
}

#[test]
fn origins_and_headers() {
    check_webhook(
        "allowed_origins = ['https://a.example/']\n",
        &["4:20: \"https://a.example/\" is no origin"],
    );
    check_webhook("allowed_origins = ['*', '*']\n", &["4:25: the origin * is listed twice"]);
    check_webhook("keep_headers = ['a b']\n", &["4:17: \"a b\" is no header name"]);
}

#[test]
fn triggers_and_nodes() {
    let trigger = |nodes: &str| format!("[[webhook.trigger]]\nid = 'main'\nnodes = [{nodes}]\n");
    check_webhook("[[webhook.trigger]]\nnodes = [{ type = 'log' }]\n", &["4:1: this trigger has no `id`"]);
    check_webhook(
        "[[webhook.trigger]]\nid = 'A'\nnodes = [{ type = 'log' }]\n",
        &["5:6: \"A\" is no trigger id"],
    );
    check_webhook(&trigger(""), &["4:1: this trigger has no nodes"]);
    check_webhook(&trigger("{}"), &["6:10: this node has no `type`"]);
    check_webhook(
        &trigger("{ type = 'logg' }"),
        &["6:19: unknown node type \"logg\"; did you mean \"log\"?"],
    );
    check_webhook(&trigger("{ type = 'kafka' }"), &["there are log, file, exec, forward, variable, discard"]);
    check_webhook(&trigger("{ type = 'file' }"), &["6:10: this file node has no `path`"]);
    check_webhook(&trigger("{ type = 'file', path = '' }"), &["6:34: the path is empty"]);
    check_webhook(&trigger("{ type = 'file', path = '/' }"), &["6:34: / is a directory"]);
    check_webhook(
        &trigger("{ type = 'file', path = '/no/such/x' }"),
        &["6:34: the directory /no/such does not exist"],
    );
    let twice = format!("{0}{0}", trigger("{ type = 'log' }"));
    check_webhook(&twice, &["8:6: two triggers of this webhook have the id \"main\""]);
}

#[test]
fn odd_but_legal_is_a_warning() {
    let config =
        parse(&format!("[server]\nadmin_listen = '0.0.0.0:1'\n[[webhook]]\nname = 'a'\nid = '{ID}'\n"))
            .unwrap();
    let shown: Vec<&str> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].contains("without a password") && shown[1].contains("no trigger"), "{shown:?}");
}

#[test]
fn the_command_line_has_the_last_word() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:7".parse().unwrap()),
        admin_listen: Some("127.0.0.1:8".parse().unwrap()),
        data_dir: Some("elsewhere".into()),
        cores: Some(5),
        workers: Some(6),
    };
    let config = parse_with("[server]\nlisten = '127.0.0.1:1'\ncores = 1\n", &overrides).unwrap();
    assert_eq!(config.server.listen.port(), 7);
    assert_eq!(config.server.data_dir, Path::new("elsewhere"));
    assert_eq!((config.server.cores, config.server.workers), (Some(5), Some(6)));
    let same = Overrides { listen: Some("127.0.0.1:8081".parse().unwrap()), ..Overrides::default() };
    assert!(parse_with("", &same).unwrap_err().contains("listen and admin_listen are both 127.0.0.1:8081"));
}

proptest::proptest! {
    /// No text makes the reader panic, and each problem has a place in the text.
    #[test]
    fn any_text_is_read_or_refused(text in "(\\[{0,2}(server|limits|webhook)\\]{0,2}\n|(name|id|secret|listen|cores) = ('[a-z$\\{\\}é]{0,5}'|[0-9-]{1,3}|\\[.{0,3}\\])\n|.{0,8}\n){0,8}") {
        if let Err(error) = Config::parse(Path::new("c"), &text, &Overrides::default(), &|_| None) {
            proptest::prop_assert!(!error.problems.is_empty());
            for problem in error.problems {
                proptest::prop_assert!((problem.place.line as usize) <= text.lines().count() + 1);
            }
        }
    }
}

#[test]
fn rotations() {
    let node = |keys: &str| {
        let nodes = format!("nodes = [{{ type = 'file', path = 'e', {keys} }}]");
        match webhook(&format!("[[webhook.trigger]]\nid = 'm'\n{nodes}\n")).triggers.remove(0).nodes.remove(0)
        {
            Node::File { rotation, .. } => rotation,
            other => panic!("{other:?}"),
        }
    };
    let hour = Some(Duration::from_secs(3600));
    for (keys, expected) in [
        ("rotate_bytes = 1_000_000", Rotation { bytes: Some(1_000_000), after: None, keep: 0 }),
        ("rotate_after_s = 3600, keep = 24", Rotation { bytes: None, after: hour, keep: 24 }),
        ("rotate_bytes = 4096, rotate_after_s = 3600", Rotation { bytes: Some(4096), after: hour, keep: 0 }),
    ] {
        assert_eq!(node(keys), expected, "{keys}");
        assert!(expected.is_on());
    }
    assert!(!Rotation::default().is_on());

    let refuse = |nodes: &str, part: &str| {
        check_webhook(&format!("[[webhook.trigger]]\nid = 'm'\nnodes = [{nodes}]\n"), &[part]);
    };
    refuse("{ type = 'file', path = 'e', keep = 3 }", "6:46: `keep` alone does nothing");
    refuse("{ type = 'file', path = 'e', rotate_bytes = 1 }", "between 4096 and");
    refuse("{ type = 'file', path = 'e', rotate_after_s = '1h' }", "a whole number of seconds");
    refuse("{ type = 'file', path = 'e', rotate_after_ms = 1 }", "did you mean `rotate_after_s`?");
    refuse(
        "{ type = 'file', path = 'e', rotate_bytes = 4096 }, { type = 'file', path = 'e' }",
        "6:86: ./e is also written to by the node in line 6",
    );
}
