//! The map of the house, held by a test: who may import whom, and which words may stand only in named files.
//!
//! The sources are read as text, token by token; comments, strings and `#[cfg(test)]` items do not count. A path
//! that starts at `crate::` (or climbs there with `super::`, or comes from outside as `inrush::`) names a module,
//! and the importing file's module must have that module in its row of [`MAY_IMPORT`].

use std::path::Path;

/// Each module, and the modules it may name. A module may always name its own parts.
///
/// Three floors. The ground floor knows nobody but what its row says; the two wings, `ingest` and
/// `trigger` → `node` → `expr`, meet only in `event`, `queue` and `journal`; the top sees what it builds.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // Top.
    ("main", &["cli", "heap"]),
    // A part of the binary only: what its allocator is told before anything else runs.
    ("heap", &[]),
    ("cli", &["server", "config", "limits", "verify"]),
    (
        "server",
        &[
            "console", "ingest", "trigger", "node", "expr", "journal", "queue", "event", "http", "buffer",
            "verify", "limits", "config", "metrics", "io",
        ],
    ),
    ("console", &["config", "limits", "metrics"]),
    // Wings.
    ("ingest", &["journal", "queue", "event", "http", "json", "buffer", "verify", "limits", "metrics", "io"]),
    (
        "trigger",
        &["node", "expr", "journal", "queue", "event", "json", "buffer", "limits", "config", "metrics"],
    ),
    ("node", &["expr", "event", "json", "buffer", "limits", "config", "metrics"]),
    // Between the wings.
    ("expr", &["event", "json", "buffer"]),
    ("journal", &["event", "buffer", "limits", "metrics", "io"]),
    ("queue", &["event", "buffer", "metrics"]),
    ("event", &["http", "json", "buffer"]),
    // Ground.
    ("json", &["buffer"]),
    ("verify", &["http"]),
    ("limits", &["config"]),
    ("http", &[]),
    ("buffer", &[]),
    ("config", &[]),
    ("metrics", &[]),
    // monoio's buffer traits may be named only in `io`, so it is there that they meet our buffers.
    ("io", &["buffer"]),
];

/// Words that may stand only in these files. An entry that ends in `/` is a folder.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("monoio", &["src/io.rs", "src/io/"]),
    ("io_uring", &["src/io.rs", "src/io/"]),
    (
        "unsafe",
        &[
            "src/heap.rs",
            "src/io.rs",
            "src/io/",
            "src/buffer.rs",
            "src/buffer/",
            "src/json/stream/avx2.rs",
            "src/json/stream/avx512.rs",
            "src/json/tape.rs",
            "src/json/tape/",
            "src/node/exec/spawn.rs",
            "src/node/exec/spawn/",
        ],
    ),
];

#[test]
fn every_module_imports_only_what_its_row_allows() {
    let sources = sources();
    assert!(sources.len() > 20, "found only {} files under src/: is the walk broken?", sources.len());
    let broken: Vec<String> = sources.iter().flat_map(|(path, text)| violations(path, text)).collect();
    assert!(broken.is_empty(), "the map in tests/imports.rs is broken:\n{}", broken.join("\n"));
}

#[test]
fn the_table_has_no_circle_and_no_door_between_the_wings() {
    for (module, _) in MAY_IMPORT {
        let reached = closure(module);
        assert!(!reached.contains(module), "{module} reaches itself through the table");
    }
    for work in ["trigger", "node", "expr"] {
        assert!(!closure("ingest").contains(&work), "ingest reaches {work}");
        assert!(!closure(work).contains(&"ingest"), "{work} reaches ingest");
    }
    for ground in ["http", "json", "buffer", "verify", "limits", "config", "metrics", "io"] {
        for above in ["cli", "server", "console", "ingest", "trigger", "node", "event", "queue", "journal"] {
            assert!(!closure(ground).contains(&above), "{ground} reaches {above}");
        }
    }
}

#[test]
fn a_violation_is_caught_and_what_only_looks_like_one_is_not() {
    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(violations(path, text), expected, "{path}: {text}");
    }
    let head = "src/http/head.rs";
    let rule = "the row of `http` allows itself only";
    check(head, "use crate::ingest::Core;", &[&format!("{head}:1: names `ingest`, but {rule}")]);
    check(head, "fn f() {\n    crate::queue::push();\n}", &[&format!("{head}:2: names `queue`, but {rule}")]);
    check(
        head,
        "use crate::{http::Span,\n  event::{Event, queue}};",
        &[&format!("{head}:2: names `event`, but {rule}")],
    );
    check(head, "use crate ::\n  event;", &[&format!("{head}:2: names `event`, but {rule}")]);
    check(head, "use super::super::event;", &[&format!("{head}:1: names `event`, but {rule}")]);
    check("src/http.rs", "use super::event;", &[&format!("src/http.rs:1: names `event`, but {rule}")]);
    check("src/http.rs", "mod a {\n use super::event;\n}", &[]);
    check(
        "src/queue.rs",
        "use crate::trigger::Worker;",
        &["src/queue.rs:1: names `trigger`, but the row of `queue` allows event, buffer, metrics"],
    );
    check(
        "src/main.rs",
        "use inrush::server;",
        &["src/main.rs:1: names `server`, but the row of `main` allows cli, heap"],
    );
    check("src/router.rs", "fn f() {}", &["src/router.rs:1: module `router` has no row in MAY_IMPORT"]);
    check(head, "use monoio::io;", &[&format!("{head}:1: `monoio` may stand only in src/io.rs, src/io/")]);
    let (_, unsafe_files) = ONLY_IN.last().expect("the table of unsafe files");
    check(
        "src/http/cors.rs",
        "let x = 1;\nunsafe { y() }",
        &[&format!("src/http/cors.rs:2: `unsafe` may stand only in {}", unsafe_files.join(", "))],
    );

    check(head, "use crate::http::Span; use super::chunked; use crate::Fault;", &[]);
    check(head, "// use crate::ingest;\n/* crate::queue /* nested unsafe */ */ //! [`crate::event`]", &[]);
    check(
        head,
        r####"let s = "crate::queue \" unsafe"; let r = r#"crate::event " monoio"#; let b = b"unsafe";"####,
        &[],
    );
    check(head, "let c = '\"'; let d = '\\''; fn f<'a>(x: &'a str) {} // \" crate::queue", &[]);
    check(head, "#[cfg(test)]\n#[allow(x)]\nmod tests {\n use crate::queue; fn f() { unsafe {} } }", &[]);
    check(head, "#[cfg(test)]\nuse crate::queue;\nuse crate::http;", &[]);
    check(
        head,
        "#[cfg(test)]\nmod tests { }\nuse crate::queue;",
        &[&format!("{head}:3: names `queue`, but {rule}")],
    );
    check("src/io.rs", "use monoio::net; fn f() { unsafe { g() } }", &[]);
    check("src/buffer/pool.rs", "unsafe impl Send for Pool {}", &[]);
}

/// What is wrong with one file, one line each: where, and which rule.
fn violations(path: &str, text: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").expect("a path under src/");
    let module = inside.split(['/', '.']).next().expect("a first part");
    // lib.rs is the map itself: it declares every module and imports none.
    let row = match MAY_IMPORT.iter().find(|(name, _)| *name == module) {
        Some((_, row)) => *row,
        None if module == "lib" => &[],
        None => return vec![format!("{path}:1: module `{module}` has no row in MAY_IMPORT")],
    };
    let tokens = without_tests(tokens(text));
    let mut found = Vec::new();
    for (line, named) in crate_paths(&tokens, inside) {
        let known = MAY_IMPORT.iter().any(|(name, _)| *name == named);
        if known && named != module && !row.contains(&named) {
            let allowed = if row.is_empty() { "itself only".to_owned() } else { row.join(", ") };
            found.push(format!("{path}:{line}: names `{named}`, but the row of `{module}` allows {allowed}"));
        }
    }
    for (line, word) in &tokens {
        let Some((_, files)) = ONLY_IN.iter().find(|(fenced, _)| fenced == word) else { continue };
        if !files.iter().any(|file| path == *file || (file.ends_with('/') && path.starts_with(file))) {
            found.push(format!("{path}:{line}: `{word}` may stand only in {}", files.join(", ")));
        }
    }
    found
}

/// The modules that paths from the crate's root name, each with its line.
fn crate_paths<'a>(tokens: &[(usize, &'a str)], inside: &str) -> Vec<(usize, &'a str)> {
    // How many `super::` lead from this file to the root: one from `foo.rs`, two from `foo/bar.rs`.
    let depth = inside.matches('/').count() + 1;
    let word = |at: usize| tokens.get(at).map_or("", |token| token.1);
    let (mut found, mut at, mut braces) = (Vec::new(), 0, 0);
    let mut inner_mods = Vec::new();
    while at < tokens.len() {
        let mut root = None;
        match word(at) {
            "crate" | "inrush" if word(at + 1) == "::" => root = Some(at + 2),
            "super" if at == 0 || word(at - 1) != "::" => {
                let climbed =
                    (at..).step_by(2).take_while(|&i| word(i) == "super" && word(i + 1) == "::").count();
                root = (climbed == depth + inner_mods.len()).then_some(at + 2 * climbed);
            }
            "mod" if word(at + 2) == "{" => inner_mods.push(braces),
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                inner_mods.pop_if(|opened| *opened == braces);
            }
            _ => {}
        }
        match root {
            Some(start) if word(start) == "{" => {
                // A group: the first word after its brace and after each comma of its own level.
                let (mut level, mut i) = (1, start + 1);
                while level > 0 && i < tokens.len() {
                    if level == 1 && matches!(word(i - 1), "{" | ",") {
                        found.push(tokens[i]);
                    }
                    level += i32::from(word(i) == "{") - i32::from(word(i) == "}");
                    i += 1;
                }
                at = i;
            }
            Some(start) => {
                found.extend(tokens.get(start));
                at = start + 1;
            }
            None => at += 1,
        }
    }
    found
}

/// Drops every item under `#[cfg(test)]` or `#[cfg(all(test, …))]`, up to its closing brace or semicolon.
fn without_tests(tokens: Vec<(usize, &str)>) -> Vec<(usize, &str)> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.1);
    let starts = |at: usize, words: &[&str]| words.iter().enumerate().all(|(i, w)| word(at + i) == *w);
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !starts(at, &["#", "[", "cfg", "(", "test", ")"])
            && !starts(at, &["#", "[", "cfg", "(", "all", "(", "test", ","])
        {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut level = 0;
        loop {
            level += i32::from(matches!(word(at), "{" | "(" | "["))
                - i32::from(matches!(word(at), "}" | ")" | "]"));
            let ends = level == 0 && matches!(word(at), "}" | ";");
            at += 1;
            if ends || at >= tokens.len() {
                break;
            }
        }
    }
    kept
}

/// Words, `::` and single characters, each with its line; white space, comments and literals are passed over.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let first = rest.chars().next().expect("not at the end");
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        let length = if word > 0 {
            literal_prefix(rest, word).unwrap_or(word)
        } else {
            match first {
                '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => block_comment(rest),
                '"' => quoted(rest, 1),
                '\'' => lifetime_or_char(rest),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            }
        };
        let token = &rest[..length];
        if length == word || token == "::" || (length == first.len_utf8() && !first.is_whitespace()) {
            found.push((line, token));
        }
        line += token.matches('\n').count();
        at += length;
    }
    found
}

/// The length of a literal that a word opens (`b"…"`, `r#"…"#`, `c"…"`, `b'x'`), if it opens one.
fn literal_prefix(rest: &str, word: usize) -> Option<usize> {
    let after = &rest[word..];
    match &rest[..word] {
        "r" | "br" | "cr" => {
            let hashes = after.len() - after.trim_start_matches('#').len();
            let body = after[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            Some(word + hashes + 1 + body.find(&end).map_or(body.len(), |found| found + end.len()))
        }
        "b" | "c" if after.starts_with('"') => Some(quoted(rest, word + 1)),
        "b" if after.starts_with('\'') => Some(word + lifetime_or_char(after)),
        _ => None,
    }
}

/// The length of a string whose content starts at `from`, its closing quote included.
fn quoted(rest: &str, from: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut at = from;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `'x'` and `'\n'` are passed over whole; of a lifetime, only the quote.
fn lifetime_or_char(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(1, |found| 3 + found + 1),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// The length of a block comment, with those nested in it.
fn block_comment(rest: &str) -> usize {
    let (mut level, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (level, at) = (level + 1, at + 2),
            Some(b"*/") => (level, at) = (level - 1, at + 2),
            _ => at += 1,
        }
        if level == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// Every module that can be reached from `module` through the table, in one step or more.
fn closure(module: &str) -> Vec<&'static str> {
    let row =
        |name: &str| MAY_IMPORT.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, row)| *row);
    let mut reached = row(module).to_vec();
    let mut at = 0;
    while at < reached.len() {
        for next in row(reached[at]) {
            if !reached.contains(next) {
                reached.push(next);
            }
        }
        at += 1;
    }
    reached
}

/// Every Rust file under src/, with its path from the root of the repository. Files that hold only tests are left out.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder under src/") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("under the root").to_str().expect("UTF-8").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") && !name.contains("/tests/") {
                found.push((name, std::fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    found.sort();
    found
}
