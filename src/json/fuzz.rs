//! The verdict held against everybody else's: what the fuzzer runs on every input and the tests on every case.

use super::InvalidKind;
use super::naive;
use super::{Document, Parser, RawText, Unparsed, memory_charge};
use serde::de::IgnoredAny;
use serde_json::Value;
use simd_json::ValueType;
use simd_json::prelude::{TypedScalarValue, TypedValue, ValueAsScalar};
use simd_json::tape::Value as Tape;

/// Asserts that [`Document::parse`], [`Document::build`], [`naive::validate`] and serde_json agree on `data` as far
/// as each can, that the received bytes stay what they were, and that the tape holds the values serde_json reads.
///
/// Known differences of serde_json, each let through in one direction only:
/// - skipping (`IgnoredAny`) does not check the digits of `\u` escapes and knows no limit of depth, nor does it check
///   UTF-8, so it is given a `str`: it may accept more, never less;
/// - `Value` refuses depth 128, lone surrogates, and numbers beyond the largest double: it may accept less, never
///   more.
///
/// # Panics
/// When they do not agree.
pub fn fuzz_verdict(data: &[u8]) {
    let verdict = naive::validate(data);

    // A byte behind the document that would change its meaning if anyone looked at it.
    for spare in [b' ', b'1', b'"', b'}', b'\\'] {
        let parsed = Document::parse(RawText::followed_by(data, spare), &mut Parser::new());
        match (&verdict, parsed.map_err(|(text, unparsed)| (text.to_vec(), unparsed))) {
            (Ok(facts), Ok(document)) => {
                assert_eq!(document.facts(), facts, "simd-json sees another document");
                assert_eq!(&document.text()[..], data, "the text is as it was");
                assert!(document.is_text_intact());
            }
            (Ok(facts), Err((text, Unparsed::TextOnly(found)))) => {
                assert!(facts.beyond_tape, "simd-json can hold this document");
                assert_eq!((*facts, &text[..]), (found, data));
            }
            (Err(expected), Err((text, Unparsed::Invalid(invalid)))) => {
                assert_eq!((*expected, data), (invalid, &text[..]));
            }
            (expected, Ok(_)) => panic!("naive says {expected:?}, the document was parsed"),
            (expected, Err((_, unparsed))) => panic!("naive says {expected:?}, the document {unparsed:?}"),
        }
    }

    let skipped =
        std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let value = serde_json::from_slice::<Value>(data);
    match verdict {
        Ok(facts) => {
            assert!(skipped, "serde_json skips every valid document");
            assert_eq!(facts.escapes, data.contains(&b'\\'));
            assert!(facts.nodes <= facts.structurals);
            assert!(facts.nodes * 24 <= memory_charge(data.len(), &facts, false));
        }
        Err(invalid) => {
            assert!(value.is_err(), "serde_json reads {value:?}, naive says {invalid}");
            assert!(
                !skipped || matches!(invalid.kind, InvalidKind::Escape | InvalidKind::TooDeep),
                "{invalid}"
            );
            // The first bad byte is the first: up to it the text is the beginning of some document, with it not.
            let start = naive::validate(&data[..invalid.offset]);
            if invalid.kind == InvalidKind::ByteOrderMark {
                assert_eq!(invalid.offset, 0);
            } else {
                assert!(start.is_ok() || start.is_err_and(|start| start.kind == InvalidKind::Truncated));
                let with_it = naive::validate(&data[..data.len().min(invalid.offset + 1)]);
                assert_eq!(with_it, Err(invalid));
            }
        }
    }

    let Ok(facts) = verdict else { return };
    let mut parser = Parser::new();
    for keep_text in [true, false] {
        match Document::build(RawText::from(data), facts, keep_text, &mut parser) {
            Ok(document) => {
                assert_eq!(document.facts(), &facts);
                same_numbers(data, document.root());
                if let Ok(value) = &value {
                    assert!(same(document.root(), value), "the tape holds other values than {value}");
                }
                assert_eq!(document.is_text_intact(), keep_text || !facts.escapes);
                assert!(!document.is_text_intact() || &document.text()[..] == data);
                let is_intact = document.is_text_intact();
                assert!(!is_intact || &document.into_text(&mut parser)[..] == data);
            }
            Err(text) => {
                assert!(facts.beyond_tape);
                assert_eq!(&text[..], data);
            }
        }
    }
}

/// Whether the tape holds the value that serde_json read, numbers aside. Of duplicate keys the last counts.
pub(super) fn same(tape: Tape<'_, '_>, value: &Value) -> bool {
    match value {
        Value::Null => tape.is_null(),
        Value::Bool(bool) => tape.as_bool() == Some(*bool),
        Value::String(string) => tape.as_str() == Some(string),
        // serde_json may be off by one unit in the last place; see `same_numbers`.
        Value::Number(_) => is_number(tape),
        Value::Array(array) => tape.as_array().is_some_and(|elements| {
            elements.len() == array.len() && elements.iter().zip(array).all(|(tape, value)| same(tape, value))
        }),
        Value::Object(object) => tape.as_object().is_some_and(|entries| {
            entries.keys().all(|key| object.contains_key(key))
                && object
                    .iter()
                    .all(|(key, value)| super::get(tape, key).is_some_and(|tape| same(tape, value)))
        }),
    }
}

/// Asserts that the numbers on the tape are those of the text, each as exact as its type can be.
fn same_numbers(text: &[u8], root: Tape<'_, '_>) {
    let mut on_tape = Vec::new();
    collect_numbers(root, &mut on_tape);
    let in_text = numbers(text);
    assert_eq!(on_tape.len(), in_text.len());
    for (node, number) in on_tape.into_iter().zip(in_text) {
        let same = match node.value_type() {
            ValueType::U64 => number.parse().ok() == node.as_u64(),
            // `-0` has lost its sign, as the module documentation of the tape says.
            ValueType::I64 => number.parse().ok() == node.as_i64(),
            _ => number.parse().ok().map(f64::to_bits) == node.as_f64().map(f64::to_bits),
        };
        assert!(same, "{number} is {node:?} on the tape");
    }
}

/// The numbers of a valid document, in order.
fn numbers(text: &[u8]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        at += match rest[0] {
            b'"' => {
                let mut end = 1;
                while rest[end] != b'"' {
                    end += if rest[end] == b'\\' { 2 } else { 1 };
                }
                end + 1
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                found.push(std::str::from_utf8(&rest[..end]).unwrap_or_default());
                end
            }
            _ => 1,
        };
    }
    found
}

fn collect_numbers<'tape>(value: Tape<'tape, 'tape>, into: &mut Vec<Tape<'tape, 'tape>>) {
    if let Some(array) = value.as_array() {
        array.iter().for_each(|value| collect_numbers(value, into));
    } else if let Some(object) = value.as_object() {
        object.values().for_each(|value| collect_numbers(value, into));
    } else if is_number(value) {
        into.push(value);
    }
}

fn is_number(value: Tape<'_, '_>) -> bool {
    matches!(value.value_type(), ValueType::U64 | ValueType::I64 | ValueType::F64)
}
