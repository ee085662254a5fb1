//! The house rules a machine can check: size of files, white space, an opening sentence, nothing left over.

use std::path::{Path, PathBuf};

/// Where code and prose live. Everything else at the root is either listed by extension or not ours.
const FOLDERS: &[&str] = &["src", "tests", "benches", "examples", "fuzz", "loom", "loadtest", "docs", ".ci"];
/// What is built, downloaded or recorded: not written by hand, so not judged.
const NOT_OURS: &[&str] =
    &["target", "artifacts", "coverage", "corpus", "seeds", "fixtures", "node_modules", "Cargo.lock"];
/// Files of code, which a person must be able to hold in their head.
const CODE: &[&str] = &["rs", "py", "js", "mjs", "lua", "sh", "php", "go", "rb", "java", "css", "html"];
/// Past this a file has more than one subject.
const LINES_MAX: usize = 600;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files(root);
    assert!(files.len() > 25, "found only {} files: is the walk broken?", files.len());
    let mut found = Vec::new();
    for path in files {
        let name = path.strip_prefix(root).expect("under the root").to_str().expect("UTF-8");
        let bytes = std::fs::read(&path).expect("a readable file");
        // What is not text (a picture, a seed) has no lines to judge.
        if let Ok(text) = String::from_utf8(bytes) {
            found.extend(untidy(name, &text));
        }
    }
    assert!(found.is_empty(), "untidy:\n{}", found.join("\n"));
}

#[test]
fn each_rule_catches_what_it_is_for() {
    #[track_caller]
    fn check(name: &str, text: &str, expected: &[&str]) {
        assert_eq!(untidy(name, text), expected, "{name}: {text:?}");
    }
    let head = "//! Why.\n";
    check("src/a.rs", head, &[]);
    check("src/a.rs", "use a;\n", &["src/a.rs:1: opens without a `//!` sentence"]);
    check(
        "src/a.rs",
        "//! Why.\nlet a;\t\n",
        &["src/a.rs:2: a tab", "src/a.rs:2: white space at the end of the line"],
    );
    check("src/a.rs", "//! Why.\r\n", &["src/a.rs:1: white space at the end of the line"]);
    check("src/a.rs", "//! Why.", &["src/a.rs:1: the last line does not end"]);
    check("src/a.rs", &format!("{head}// {}: later\n", LEFT_OVER[0]), &["src/a.rs:2: a note left over"]);
    check("src/a.rs", &format!("{head}// {}{}: no word\n", LEFT_OVER[2], LEFT_OVER[2]), &[]);
    check(
        "README.md",
        &format!("see {}someone/x\n", MACHINE_PATHS[0]),
        &["README.md:1: a path of one machine"],
    );
    check("Makefile", "all:\n\ttrue\n", &[]);
    check("tests/clients/main.go", "func main() {\n\tpost()\n}\n", &[]);
    check("src/a.rs", &head.repeat(LINES_MAX), &[]);
    check("src/a.rs", &head.repeat(LINES_MAX + 1), &["src/a.rs:601: more than 600 lines"]);
    check("docs/long.md", &"a\n".repeat(LINES_MAX + 1), &[]);
}

// Spelled in pieces, or this file would be the first to break its own rules.
const LEFT_OVER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/tmp", "/w/"), concat!("/wo", "rk/")];

/// What is untidy in one file, one line each.
fn untidy(name: &str, text: &str) -> Vec<String> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let tabs_belong = name.ends_with("Makefile") || extension == "go";
    let mut found = Vec::new();
    let mut say = |line: usize, what: &str| found.push(format!("{name}:{line}: {what}"));
    if extension == "rs" && !text.starts_with("//! ") {
        say(1, "opens without a `//!` sentence");
    }
    for (line, content) in text.split('\n').enumerate().map(|(index, content)| (index + 1, content)) {
        if content.contains('\t') && !tabs_belong {
            say(line, "a tab");
        }
        if content.ends_with(char::is_whitespace) {
            say(line, "white space at the end of the line");
        }
        if content.split(|c: char| !c.is_alphanumeric()).any(|word| LEFT_OVER.contains(&word)) {
            say(line, "a note left over");
        }
        if MACHINE_PATHS.iter().any(|path| content.contains(path)) {
            say(line, "a path of one machine");
        }
    }
    let lines = text.lines().count();
    if CODE.contains(&extension) && lines > LINES_MAX {
        say(lines, &format!("more than {LINES_MAX} lines"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        say(lines, "the last line does not end");
    }
    found
}

/// The files at the root and those below [`FOLDERS`], without what is [`NOT_OURS`].
fn files(root: &Path) -> Vec<PathBuf> {
    let ours =
        |path: &Path| !path.file_name().is_some_and(|name| NOT_OURS.iter().any(|other| name == *other));
    let at_root = ["md", "toml", "yml"].map(Some);
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders: Vec<PathBuf> =
        FOLDERS.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    for entry in std::fs::read_dir(root).expect("the root").map(|entry| entry.expect("an entry").path()) {
        let listed = at_root.contains(&entry.extension().and_then(|extension| extension.to_str()));
        // `inrush.toml` is what a first start writes; it belongs to whoever started it.
        if entry.is_file() && (listed || entry.ends_with("Makefile")) && !entry.ends_with("inrush.toml") {
            found.push(entry);
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            match (ours(&entry), entry.is_dir()) {
                (false, _) => {}
                (true, true) => folders.push(entry),
                (true, false) => found.push(entry),
            }
        }
    }
    found.sort();
    found
}
