//! Verdicts and documents against the oracle and the corpus.

use super::parser::{KEPT_BYTES_MAX, POOL_BYTES_MAX};
use super::*;
use crate::buffer::{Budget, Pool};
use crate::json::corpus::{ACCEPTED, REFUSED, TEXT_ONLY};
use crate::json::{DEPTH_MAX, Invalid, InvalidKind};
use crate::json::{fuzz_verdict, validate};
use proptest::prelude::*;
use simd_json::prelude::{TypedScalarValue, ValueAsScalar};
use simd_json::{Node, Tape};
use std::sync::Arc;

/// What became of a valid document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Tape,
    TextOnly,
}

fn judge(text: &[u8]) -> Result<Judged, Invalid> {
    match Document::parse(RawText::followed_by(text, b'!'), &mut Parser::new()) {
        Ok(_) => Ok(Judged::Tape),
        Err((_, Unparsed::TextOnly(_))) => Ok(Judged::TextOnly),
        Err((_, Unparsed::Invalid(invalid))) => Err(invalid),
    }
}

#[test]
fn the_corpus_is_judged_as_its_tables_say() {
    for text in ACCEPTED {
        assert_eq!(judge(text), Ok(Judged::Tape), "{}", text.escape_ascii());
        fuzz_verdict(text);
    }
    for text in TEXT_ONLY {
        assert_eq!(judge(text), Ok(Judged::TextOnly), "{}", text.escape_ascii());
        fuzz_verdict(text);
    }
    for &(text, offset, kind) in REFUSED {
        assert_eq!(judge(text), Err(Invalid { offset, kind }), "{}", text.escape_ascii());
        fuzz_verdict(text);
    }
}

/// Every case again, moved through the 64-byte blocks that simd-json reads.
#[test]
fn the_corpus_at_every_place_of_a_block() {
    let texts = ACCEPTED.iter().chain(TEXT_ONLY).copied().chain(REFUSED.iter().map(|(text, ..)| *text));
    for text in texts {
        for blanks in 1..=65 {
            let moved = [&vec![b' '; blanks][..], text].concat();
            assert_eq!(
                judge(&moved).map_err(|invalid| invalid.offset - blanks),
                // After white space a byte order mark is only an unexpected byte, at the same place.
                judge(text).map_err(|invalid| invalid.offset),
                "{}",
                moved.escape_ascii()
            );
        }
        fuzz_verdict(&[&[b' '; 61][..], text].concat());
    }
}

#[test]
fn the_corpus_in_buffers_of_a_pool() {
    let (pool, mut parser) = (Pool::new(Arc::new(Budget::new(64 << 20))), Parser::new());
    for text in ACCEPTED.iter().chain(TEXT_ONLY) {
        check_in_a_pool(&pool, &mut parser, text);
    }
}

#[test]
fn the_corpus_cut_short_at_every_byte() {
    for text in ACCEPTED.iter().chain(TEXT_ONLY) {
        for end in 0..text.len() {
            fuzz_verdict(&text[..end]);
        }
    }
}

/// Each byte of some documents replaced by every byte, every byte put before it, and itself left out.
#[test]
fn one_wrong_byte_anywhere() {
    for text in [
        &br#"{"a":[1,-2.5e3,true,null],"b\n\u00e9":"\ud83d\ude00"}"#[..],
        "[\"é€𝄞\",false,{\"\":0.10,\"x\":[]}]".as_bytes(),
        b" -0.5e+10 ",
        b"\t[ true , \"a\" ]\r\n",
    ] {
        for at in 0..text.len() {
            for byte in 0..=255 {
                fuzz_verdict(&[&text[..at], &[byte], &text[at + 1..]].concat());
                fuzz_verdict(&[&text[..at], &[byte], &text[at..]].concat());
            }
            fuzz_verdict(&[&text[..at], &text[at + 1..]].concat());
        }
    }
}

#[test]
fn every_short_text_of_tokens_that_matter() {
    fn extend(text: &mut Vec<u8>, pieces: &[&[u8]], left: usize) {
        fuzz_verdict(text);
        for piece in pieces.iter().filter(|_| left > 0) {
            let end = text.len();
            text.extend_from_slice(piece);
            extend(text, pieces, left - 1);
            text.truncate(end);
        }
    }
    let bytes = b"{}[]:,\"\\ 01-.eu\x00\x0C\xC3\xA9".chunks(1);
    let pieces: Vec<&[u8]> = bytes.chain([&b"true"[..], b"null", b"\\ud800", b"\\udc00"]).collect();
    extend(&mut Vec::new(), &pieces, 3);
    extend(&mut b"[".to_vec(), &pieces, 3);
    extend(&mut b"[\"".to_vec(), &pieces, 3);
    extend(&mut b"{\"a\":".to_vec(), &pieces, 3);
}

/// The deepest that is allowed, and one more; the first bad byte is the opening that is one too many.
#[test]
fn depth_is_limited_exactly() {
    for (open, inner, close) in
        [("[", "", "]"), ("{\"\":", "0", "}"), ("[1, ", "{}", "]"), ("{\"a\\n\":", "[]", "}")]
    {
        let nested = |depth: usize| [&open.repeat(depth), inner, &close.repeat(depth)].concat().into_bytes();
        let inner_depth = usize::from(inner.len() == 2);
        let deepest = nested(DEPTH_MAX - inner_depth);
        assert!(validate(&deepest).is_ok());
        assert_eq!(judge(&deepest), Ok(Judged::Tape));
        fuzz_verdict(&deepest);
        let deeper = nested(DEPTH_MAX - inner_depth + 1);
        let too_deep = Invalid { offset: open.len() * DEPTH_MAX, kind: InvalidKind::TooDeep };
        assert_eq!(judge(&deeper), Err(too_deep));
        fuzz_verdict(&deeper);
        // Never closed, and so deep that recursion would have exhausted any stack.
        assert_eq!(judge(open.repeat(1_000_000).as_bytes()), Err(too_deep));
    }
}

#[test]
fn the_last_duplicate_wins() {
    let mut parser = Parser::new();
    let text = RawText::from(&br#"{"a":1,"b":2,"a":3,"\u0061":4,"c":{"a":5}}"#[..]);
    let document = Document::parse(text, &mut parser).unwrap_or_else(|_| panic!("valid"));
    assert_eq!(get(document.root(), "a").and_then(|value| value.as_u64()), Some(4));
    assert_eq!(get(document.root(), "b").and_then(|value| value.as_u64()), Some(2));
    assert!(get(document.root(), "d").is_none());
    let inner = get(document.root(), "c").and_then(|inner| get(inner, "a"));
    assert_eq!(inner.and_then(|value| value.as_u64()), Some(5));
    assert!(inner.is_some_and(|scalar| get(scalar, "a").is_none()));
}

/// The strings of the tape stay where they are while the document moves: on the stack, to the heap, within a vector
/// that grows, to another thread and back; with and without escapes. For the address sanitizer to watch.
#[test]
fn a_document_survives_any_move() {
    let (mut parser, mut documents) = (Parser::new(), Vec::new());
    for number in 0..100 {
        let escape = if number % 2 == 0 { "" } else { "\\n" };
        let text = RawText::from(format!("{{\"name\":\"event {number}{escape}\"}}").as_bytes());
        documents.push(Document::parse(text, &mut parser).unwrap_or_else(|_| panic!("valid")));
    }
    let mut documents = std::thread::spawn(move || {
        documents.rotate_left(37);
        documents.into_iter().map(Box::new).collect::<Vec<_>>()
    })
    .join()
    .unwrap();
    documents.rotate_right(37);
    for (number, document) in documents.into_iter().enumerate() {
        let (escape, unescaped) = if number % 2 == 0 { ("", "") } else { ("\\n", "\n") };
        let name = get(document.root(), "name").and_then(|name| name.as_str().map(str::to_owned));
        assert_eq!(name, Some(format!("event {number}{unescaped}")));
        assert_eq!(document.text()[..], *format!("{{\"name\":\"event {number}{escape}\"}}").as_bytes());
        // Reading the text leaves the tape valid, and every other one is dropped instead of taken apart.
        assert!(get(document.root(), "name").is_some_and(|name| name.is_str()));
        if number % 3 == 0 {
            let text = document.into_text(&mut parser);
            let again = Document::parse(text, &mut parser).unwrap_or_else(|_| panic!("still the same bytes"));
            assert!(get(again.root(), "name").is_some());
        }
    }
}

#[test]
fn scratch_is_reused_and_large_scratch_is_dropped() {
    let mut parser = Parser::new();
    let small = RawText::from(&br#"["\n"]"#[..]);
    let document = Document::parse(small, &mut parser).unwrap_or_else(|_| panic!("valid"));
    assert_eq!((parser.tapes.len(), parser.copies.len(), parser.pooled_bytes), (0, 0, 0));
    let held = document.held_bytes();
    let small = document.into_text(&mut parser);
    assert_eq!((parser.tapes.len(), parser.copies.len(), parser.pooled_bytes), (1, 1, held));
    let (tape, copy) = (parser.tapes[0].0.as_ptr(), parser.copies[0].as_ptr());
    let document = Document::parse(small, &mut parser).unwrap_or_else(|_| panic!("valid"));
    assert_eq!((parser.tapes.len(), parser.copies.len(), parser.pooled_bytes), (0, 0, 0));
    let _ = document.into_text(&mut parser);
    assert_eq!((parser.tapes[0].0.as_ptr(), parser.copies[0].as_ptr()), (tape, copy));
    assert_eq!(parser.pooled_bytes, held);

    let large = [b"[\"\\n\",", &b"1,".repeat(1 << 20)[..], b"1]"].concat();
    let document =
        Document::parse(RawText::from(&large[..]), &mut parser).unwrap_or_else(|_| panic!("valid"));
    assert_eq!(parser.buffers.structural_indexes().len(), 0);
    let _ = document.into_text(&mut parser);
    assert!(parser.pooled_bytes <= held, "neither the large tape nor the large copy is kept");
}

#[test]
fn the_pool_has_a_limit() {
    let mut parser = Parser::new();
    for _ in 0..100 {
        parser.keep_tape(Tape(Vec::with_capacity(KEPT_BYTES_MAX / size_of::<Node<'_>>())));
    }
    assert!(parser.pooled_bytes <= POOL_BYTES_MAX && parser.tapes.len() <= 9, "{}", parser.tapes.len());
}

/// The charge is a bound on what simd-json allocates for any document, in addresses: here what it holds in the end.
#[test]
fn the_charge_covers_what_the_tape_takes() {
    let list = |element: &str, count: usize| format!("[{}{element}]", format!("{element},").repeat(count));
    for text in [
        list("[]", 1 << 20),
        list("1", 1 << 20),
        list("{\"a\":\"\\n\"}", 1 << 18),
        list(&format!("\"{}\"", "x".repeat(3_000_000)), 1),
        list("1", 0),
    ] {
        let facts = validate(text.as_bytes()).unwrap_or_else(|invalid| panic!("{invalid}"));
        for keep_text in [true, false] {
            let document =
                Document::build(RawText::from(text.as_bytes()), facts, keep_text, &mut Parser::new());
            let document = document.unwrap_or_else(|_| panic!("the tape can hold it"));
            // The copy is allocated with its spare bytes, which no charge counts.
            let charge = memory_charge(text.len(), &facts, facts.escapes && keep_text) + 2 * SPARE_BYTES;
            assert!(document.held_bytes() + 8 * facts.structurals <= charge);
        }
    }
}

/// A text in a buffer of a pool, with a head before it and something behind it, as an event has it.
fn in_a_pool(pool: &Pool, text: &[u8]) -> BodyText {
    let head = b"POST / HTTP/1.1\r\n\r\n";
    let mut buf = pool.take(head.len() + text.len() + 2).unwrap_or_else(|_| panic!("room"));
    buf.extend_from_slice(head);
    buf.extend_from_slice(text);
    buf.extend_from_slice(b"\"}");
    BodyText::new(buf, head.len()..head.len() + text.len())
}

/// In a pooled buffer: with the text kept every byte of the buffer is as it was, without it head and rest are.
fn check_in_a_pool(pool: &Pool, parser: &mut Parser, text: &[u8]) {
    let Ok(facts) = validate(text) else { return };
    let pristine = in_a_pool(pool, text).into_buf();
    let value = serde_json::from_slice::<serde_json::Value>(text);
    for keep_text in [true, false] {
        match Document::build(in_a_pool(pool, text), facts, keep_text, parser) {
            Ok(document) => {
                assert!(!facts.beyond_tape);
                // Moved to the heap, as a handle moves.
                let document = Box::new(document);
                if let Ok(value) = &value {
                    assert!(crate::json::fuzz::same(document.root(), value));
                }
                let is_intact = document.is_text_intact();
                assert_eq!(is_intact, keep_text || !facts.escapes);
                let buf = document.into_text(parser).into_buf();
                let (head, end) = (buf.len() - text.len() - 2, buf.len() - 2);
                assert_eq!(buf.filled()[..head], pristine.filled()[..head]);
                assert_eq!(buf.filled()[end..], pristine.filled()[end..]);
                assert!(!is_intact || buf.filled() == pristine.filled());
                pool.put(buf);
            }
            Err(text) => {
                assert!(facts.beyond_tape);
                let buf = text.into_buf();
                assert_eq!(buf.filled(), pristine.filled());
                pool.put(buf);
            }
        }
    }
    pool.put(pristine);
}

/// Any JSON value, written with white space, escapes and numbers of every spelling.
fn any_document() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has only finite numbers", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,22})?([eE][-+]?[0-9]{1,4})?",
    ];
    let string = prop_oneof![
        any::<String>().prop_map(|string| serde_json::Value::String(string).to_string()),
        "\"([ !#-\\[\\]-~é€𝄞]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud[89ab][0-9a-f]{2}\\\\ud[c-f][0-9a-f]{2}){0,40}\"",
    ];
    let space = "[ \t\n\r]{0,3}";
    let scalar =
        prop_oneof![number, string.clone(), Just("true".into()), Just("false".into()), Just("null".into())];
    let spaced = (space, scalar, space)
        .prop_map(|(before, scalar, after): (_, String, _)| format!("{before}{scalar}{after}"));
    spaced.prop_recursive(6, 60, 6, move |inner| {
        let member = (space, string.clone(), space, inner.clone())
            .prop_map(|(before, key, after, value)| format!("{before}{key}{after}:{value}"));
        prop_oneof![
            (space, proptest::collection::vec(inner, 0..6))
                .prop_map(|(space, all)| format!("{space}[{}]{space}", all.join(","))),
            (space, proptest::collection::vec(member, 0..6))
                .prop_map(|(space, all)| format!("{space}{{{}}}{space}", all.join(","))),
        ]
    })
}

const TELLING: &[u8] = b"{}[]:,\"\\ 0-.eE\0\x0C\xC3\xA9tn";

proptest! {
    #[test]
    fn any_document_is_accepted(document in any_document()) {
        prop_assert!(judge(document.as_bytes()).is_ok(), "{document}");
        fuzz_verdict(document.as_bytes());
    }

    #[test]
    fn any_document_is_read_from_its_buffer(documents in proptest::collection::vec(any_document(), 1..8)) {
        let (pool, mut parser) = (Pool::new(Arc::new(Budget::new(64 << 20))), Parser::new());
        for document in documents {
            check_in_a_pool(&pool, &mut parser, document.as_bytes());
        }
    }

    #[test]
    fn any_mutation_is_judged_alike(
        document in any_document(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
    ) {
        let mut text = document.into_bytes();
        for (at, change, byte) in changes {
            let at = at.index(text.len() + 1);
            match change {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => { text.remove(at); }
                2 => text.truncate(at),
                _ => text.insert(at, TELLING[usize::from(byte) % TELLING.len()]),
            }
            fuzz_verdict(&text);
        }
    }

    #[test]
    fn any_bytes_are_judged_alike(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_verdict(&text);
    }
}
