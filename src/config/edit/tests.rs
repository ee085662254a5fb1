//! The file stays what it was, but for the webhook added; whoever edits at the same time loses nothing.

use std::sync::Barrier;

use proptest::prelude::*;

use super::*;

fn new_webhook(name: &str) -> NewWebhook {
    NewWebhook { name: name.to_owned(), id: Uuid::new_v4(), secret: None, allowed_origins: Vec::new() }
}

fn load(path: &Path) -> Config {
    Config::load(path, &Overrides::default()).unwrap()
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_first_file_is_private_complete_and_legal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    let webhook = new_webhook("default");
    create(&path, &webhook).unwrap();

    assert_eq!(mode_of(&path), 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let config = load(&path);
    assert_eq!(config.warnings, []);
    assert_eq!(config.webhooks.len(), 1);
    assert_eq!((config.webhooks[0].name.as_str(), config.webhooks[0].id), ("default", webhook.id));
    assert_eq!(config.webhooks[0].triggers[0].nodes, [super::super::Node::Log]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&template()), "each comment stands in the table that it speaks of");
}

/// What the template shows as defaults is legal and changes nothing once the comment signs are gone.
#[test]
fn the_template_shows_the_defaults() {
    let keys = "listen admin_listen data_dir cores workers";
    let is_key =
        |name: &str| keys.split(' ').any(|key| key == name) || LIMITS.iter().any(|row| row.name == name);
    let mut uncommented = 0;
    let text: String = template()
        .lines()
        .map(|line| {
            match line.strip_prefix("# ").filter(|rest| is_key(rest.split(' ').next().unwrap_or(""))) {
                Some(rest) => {
                    uncommented += 1;
                    format!("{rest}\n")
                }
                None => format!("{line}\n"),
            }
        })
        .collect();
    assert_eq!(uncommented, 5 + LIMITS.len());
    let parse =
        |text: &str| Config::parse(Path::new("a/b.toml"), text, &Overrides::default(), &|_| None).unwrap();
    let (shown, silent) = (parse(&text), parse(""));
    assert_eq!(
        (shown.server.listen, shown.server.admin_listen),
        (silent.server.listen, silent.server.admin_listen)
    );
    assert_eq!(shown.server.data_dir, silent.server.data_dir);
    let (shown, silent) = (
        crate::limits::Limits::derive_for(&shown, 2).unwrap(),
        crate::limits::Limits::derive_for(&silent, 2).unwrap(),
    );
    assert_eq!(shown, silent);
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    std::fs::write(&path, "# mine\n").unwrap();
    assert!(matches!(create(&path, &new_webhook("a")), Err(EditError::Io { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\n");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_was_there_stays_to_the_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    let before = "# top\n  [server]   # odd   spacing\nlisten='127.0.0.1:1'\n\n[[webhook]] # one\nname = 'a'\n\
                  id = '9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80' # keep\n[[webhook.trigger]]\nid='main'\n\
                  nodes=[ {type='log'} , # first\n {type='discard'} ]\n";
    std::fs::write(&path, before).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let mut webhook = new_webhook("b");
    webhook.allowed_origins = vec!["https://a.example".into(), "http://localhost:3000".into()];
    add_webhook(&path, &webhook).unwrap();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(before), "{after}");
    assert_eq!(mode_of(&path), 0o640, "the mode is the operator's");
    let config = load(&path);
    assert_eq!(config.webhooks.len(), 2);
    assert_eq!(config.webhooks[0].triggers[0].nodes.len(), 2);
    assert_eq!(config.webhooks[1].allowed_origins, webhook.allowed_origins);
    assert_eq!(config.webhooks[1].triggers[0].id, "main");
}

/// Tables that stand in an unusual order, comments at the end, no newline at the end.
#[test]
fn unusual_files_are_added_to() {
    for before in [
        "",
        "# only a comment",
        "[limits]\nqueue_events_max = 2",
        "[[webhook]]\nname='a'\nid='9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80'\n[server]\nlisten='127.0.0.1:1'\n# end\n",
        "[[webhook]]\nname='a'\nid='9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80'\n[[webhook.trigger]]\nid='m'\n\
         nodes=[{type='log'}]\n[limits]\n# idle_timeout_ms = 1\n\n",
        "server = { listen = '127.0.0.1:1' }\n# end",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inrush.toml");
        std::fs::write(&path, before).unwrap();
        let old = load(&path);
        add_webhook(&path, &new_webhook("new")).unwrap();
        let (new, text) = (load(&path), std::fs::read_to_string(&path).unwrap());
        assert_eq!(new.webhooks.len(), old.webhooks.len() + 1, "{text}");
        assert_eq!(new.webhooks.last().unwrap().name, "new");
        assert_eq!(new.server.listen, old.server.listen);
        assert!(text.starts_with(before), "{before:?} is not how it starts: {text}");
    }
}

#[test]
fn refusals_change_nothing() {
    let id = "9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";
    let one = format!("[[webhook]]\nname = 'a'\nid = '{id}'\n");
    let inline = format!("webhook = [{{ name = 'b', id = '{id}' }}]\n");
    for (before, part) in [
        (one.as_str(), "already a webhook \"a\""),
        (inline.as_str(), "inline list"),
        ("[server]\nlisten = 1\n", "2:10: `listen` is a whole number"),
        ("[server\n", "1:8: not TOML"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inrush.toml");
        std::fs::write(&path, before).unwrap();
        let message = add_webhook(&path, &new_webhook("a")).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    std::fs::write(&path, &one).unwrap();
    let same_id = NewWebhook { id: id.parse().unwrap(), ..new_webhook("b") };
    assert!(add_webhook(&path, &same_id).unwrap_err().to_string().contains("belongs to the webhook \"a\""));
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real.toml"), directory.path().join("inrush.toml"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    add_webhook(&link, &new_webhook("a")).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(load(&real).webhooks.len(), 1);
}

/// Without the lock, or with one on the file that was replaced, some of the additions would be lost.
#[test]
fn additions_at_the_same_time_are_all_kept() {
    const EDITORS: usize = 8;
    const EACH: usize = 5;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    std::fs::write(&path, "# kept\n").unwrap();
    let start = Barrier::new(EDITORS);
    std::thread::scope(|scope| {
        for editor in 0..EDITORS {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    add_webhook(path, &new_webhook(&format!("w{editor}-{number}"))).unwrap();
                }
            });
        }
    });
    let config = load(&path);
    assert_eq!(config.webhooks.len(), EDITORS * EACH);
    assert!(std::fs::read_to_string(&path).unwrap().contains("# kept\n"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn secrets_in_a_readable_file_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("inrush.toml");
    std::fs::write(&path, "").unwrap();
    let secret = Some(Secret::generate().unwrap());
    add_webhook(&path, &NewWebhook { secret, ..new_webhook("a") }).unwrap();
    for (mode, warnings) in [(0o600, 0), (0o640, 1), (0o604, 1)] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(&path).warnings.len(), warnings, "{mode:o}");
    }
}

proptest! {
    /// Whatever a secret or a name holds (quotes, backslashes, `${`), it is read back as it was given.
    #[test]
    fn secrets_and_names_survive_the_file(secret in "[!-~]{1,40}|[$]{0,4}[{]A[}][$]{0,3}[{]", name in "[^-\\pC\\pZ][^\\pC\\pZ]{0,10}") {
        let path = Path::new("inrush.toml");
        let webhook = NewWebhook { secret: Some(Secret::new(secret.clone()).unwrap()), ..new_webhook(&name) };
        let text = with_webhook(path, "", &webhook).unwrap();
        let config = Config::parse(path, &text, &Overrides::default(), &|_| None).unwrap();
        prop_assert_eq!(config.webhooks[0].secrets[0].expose(), secret);
        prop_assert_eq!(&config.webhooks[0].name, &name);
    }
}
