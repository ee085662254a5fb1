//! The query string as `qs` 6.11 reads it with its defaults: what Express handed to webhooks for a decade, and what
//! their senders build URLs for. `a[b][]=1` nests, `a=1&a=2` makes an array, everything else is a string.
//!
//! Not a standard but a program, so the program is the rule: each step below does what the function of that name in
//! qs does, and `tests/fixtures/qs-vectors.json` holds what the real one answered.
//!
//! What bounds it: [`PARAMETERS_MAX`] parameters, [`DEPTH_MAX`] levels, indices up to [`ARRAY_INDEX_MAX`]. The work is
//! linear in the query and logarithmic in the number of parameters.
//!
//! Two choices of ours. JavaScript lists the keys of an object that look like array indices first and the others as
//! they came; the order in which parameters are *merged* follows that, because it shows in the values, but the result
//! is a [`serde_json::Value`], whose objects are equal in any order and are written sorted by key. And bytes that are
//! not UTF-8, which no URL may hold unescaped (RFC 3986 §2), become U+FFFD.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Only so many parameters are read, empty ones included; the rest is ignored.
pub const PARAMETERS_MAX: usize = 1000;
/// Only so many bracketed segments of a key nest; the rest is one more key, as it is written.
pub const DEPTH_MAX: usize = 5;
/// An index in brackets beyond this is a key, so that `a[1000000]=x` costs nothing.
pub const ARRAY_INDEX_MAX: usize = 20;

/// Keys of `Object.prototype`, which qs drops so that a query cannot overwrite what every object inherits.
const PROTOTYPE_KEYS: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// Reads a query string, the part of the target behind the question mark. The result is an object.
pub fn parse(query: &[u8]) -> Value {
    let mut root = Value::Object(Map::new());
    // Nearly all webhooks are posted to without a query: no allocation for them.
    if query.is_empty() {
        return root;
    }
    let query = String::from_utf8_lossy(query);
    for (key, value) in parse_values(&query) {
        if let Some(nested) = parse_keys(&key, value) {
            root = merge(root, nested);
        }
    }
    compact(&mut root);
    root
}

/// The value of a parameter by the shortest way, for queries that need no decoding: what [`parse`] has under `name`, and
/// nothing is allocated. `None` says that it takes all of [`parse`] to know: something is escaped, bracketed or repeated.
pub fn plain<'q>(query: &'q [u8], name: &str) -> Option<Option<&'q str>> {
    let needs_work = |byte: &u8| !byte.is_ascii() || matches!(byte, b'%' | b'+' | b'[' | b']');
    if query.iter().any(needs_work) || name.is_empty() || PROTOTYPE_KEYS.contains(&name) {
        return None;
    }
    let query = std::str::from_utf8(query).ok()?;
    let mut values = query.split('&').take(PARAMETERS_MAX).filter_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key == name).then_some(value)
    });
    let found = values.next();
    if values.next().is_some() { None } else { Some(found) }
}

/// The parameters, those with equal keys combined, in the order in which JavaScript lists keys.
fn parse_values(query: &str) -> Vec<(String, Value)> {
    let mut parameters: Vec<(String, Value)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for part in query.split('&').take(PARAMETERS_MAX) {
        // `]=` goes before any `=` inside the brackets.
        let equals = part.find("]=").map(|bracket| bracket + 1).or_else(|| part.find('='));
        let (key, value) = equals.map_or((part, ""), |equals| (&part[..equals], &part[equals + 1..]));
        let (key, value) = (decode(key), Value::String(decode(value)));
        match places.get(&key) {
            Some(&place) => {
                let first = std::mem::take(&mut parameters[place].1);
                parameters[place].1 = concat(first, value);
            }
            None => {
                places.insert(key.clone(), parameters.len());
                parameters.push((key, value));
            }
        }
    }
    // The sort is stable: what is no index stays in the order of arrival.
    parameters.sort_by_key(|(key, _)| array_index(key).unwrap_or(u32::MAX));
    parameters
}

/// `+` is a space, `%xx` a byte. As with `decodeURIComponent`, one bad escape or bytes that are not UTF-8 leave the
/// whole piece undecoded, its plus signs aside.
fn decode(piece: &str) -> String {
    let spaced = piece.replace('+', " ");
    if !spaced.contains('%') {
        return spaced;
    }
    let bytes = spaced.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
            let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return spaced };
            decoded.push((high << 4 | low) as u8);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    // Escaped and unescaped bytes cannot complete each other here: no character starts with a continuation byte.
    String::from_utf8(decoded).unwrap_or(spaced)
}

/// What JavaScript calls an array index: a number below 2^32 - 1 written the one canonical way.
fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0"
        || (key.starts_with(|first: char| first != '0') && key.bytes().all(|byte| byte.is_ascii_digit()));
    key.parse().ok().filter(|&index| canonical && index < u32::MAX)
}

/// The value, wrapped in the objects and arrays that its key names; `None` when the key may not be used.
fn parse_keys(key: &str, value: Value) -> Option<Value> {
    let mut brackets = Brackets { key, at: 0 };
    let first = brackets.next();
    let parent = &key[..first.map_or(key.len(), |(start, _)| start)];
    if key.is_empty() || PROTOTYPE_KEYS.contains(&parent) {
        return None;
    }
    let mut segments: Vec<(usize, usize)> = Vec::with_capacity(DEPTH_MAX);
    let mut next = first;
    while let Some((start, end)) = next
        && segments.len() < DEPTH_MAX
    {
        if PROTOTYPE_KEYS.contains(&&key[start + 1..end]) {
            return None;
        }
        segments.push((start, end));
        next = brackets.next();
    }

    // From the innermost outwards. What is deeper than the limit is one key, brackets and all.
    let mut leaf = match next {
        Some((rest, _)) => object_of(&key[rest..], value),
        None => value,
    };
    for (start, end) in segments.into_iter().rev() {
        leaf = match &key[start + 1..end] {
            "" => concat(Value::Array(Vec::new()), leaf),
            name => {
                match array_index(name).map(|index| index as usize).filter(|&index| index <= ARRAY_INDEX_MAX)
                {
                    Some(index) => {
                        let mut array = vec![Value::Null; index];
                        array.push(leaf);
                        Value::Array(array)
                    }
                    None => object_of(name, leaf),
                }
            }
        };
    }
    Some(if parent.is_empty() { leaf } else { object_of(parent, leaf) })
}

fn object_of(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// The bracketed segments of a key, `[` and the next bracket, which must be `]`; as offsets of the two. Whatever
/// stands between the segments is skipped.
struct Brackets<'a> {
    key: &'a str,
    at: usize,
}

impl Iterator for Brackets<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let mut open = None;
        for (offset, byte) in self.key.bytes().enumerate().skip(self.at) {
            match (byte, open) {
                (b'[', _) => open = Some(offset),
                (b']', Some(start)) => {
                    self.at = offset + 1;
                    return Some((start, offset));
                }
                _ => {}
            }
        }
        self.at = self.key.len();
        None
    }
}

/// `[].concat(first, second)`: arrays are spilled, everything else is an element. A null is a hole.
fn concat(first: Value, second: Value) -> Value {
    let mut all = match first {
        Value::Array(elements) => elements,
        other => vec![other],
    };
    match second {
        Value::Array(mut elements) => all.append(&mut elements),
        other => all.push(other),
    }
    Value::Array(all)
}

/// What a later parameter does to what the earlier ones left: by now a value is a string, an array with holes, an
/// object, or `true`, which stands for a value that became a key.
fn merge(target: Value, source: Value) -> Value {
    match (target, source) {
        // An empty string adds nothing.
        (target, Value::String(source)) if source.is_empty() => target,
        (Value::Array(mut target), source @ Value::String(_)) => {
            target.push(source);
            Value::Array(target)
        }
        (Value::Object(mut target), Value::String(source)) => {
            if !PROTOTYPE_KEYS.contains(&source.as_str()) {
                target.insert(source, Value::Bool(true));
            }
            Value::Object(target)
        }
        (Value::Array(target), Value::Array(source)) => Value::Array(merge_arrays(target, source)),
        (Value::Array(target), Value::Object(source)) => {
            Value::Object(merge_entries(by_index(target), source))
        }
        (Value::Object(target), Value::Array(source)) => {
            Value::Object(merge_entries(target, by_index(source)))
        }
        (Value::Object(target), Value::Object(source)) => Value::Object(merge_entries(target, source)),
        (target, source) => concat(Value::Array(vec![target]), source),
    }
}

fn merge_arrays(mut target: Vec<Value>, source: Vec<Value>) -> Vec<Value> {
    for (index, item) in source.into_iter().enumerate().filter(|(_, item)| !item.is_null()) {
        if index >= target.len() {
            target.resize(index, Value::Null);
            target.push(item);
        } else if target[index].is_null() {
            target[index] = item;
        } else if is_container(&target[index]) && is_container(&item) {
            let earlier = std::mem::take(&mut target[index]);
            target[index] = merge(earlier, item);
        } else {
            target.push(item);
        }
    }
    target
}

fn merge_entries(mut target: Map<String, Value>, source: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in source {
        let merged = match target.remove(&key) {
            Some(earlier) => merge(earlier, value),
            None => value,
        };
        target.insert(key, merged);
    }
    target
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// An array as the object that it also is in JavaScript.
fn by_index(array: Vec<Value>) -> Map<String, Value> {
    let filled = array.into_iter().enumerate().filter(|(_, value)| !value.is_null());
    filled.map(|(index, value)| (index.to_string(), value)).collect()
}

/// Closes the holes of every array. The recursion is as deep as keys can nest.
fn compact(value: &mut Value) {
    match value {
        Value::Array(array) => {
            array.retain(|value| !value.is_null());
            array.iter_mut().for_each(compact);
        }
        Value::Object(object) => object.values_mut().for_each(compact),
        _ => {}
    }
}

/// Asserts what must hold of any query: the result is an object of strings, `true`s, arrays and objects, without
/// holes, no deeper and with no more leaves than the limits allow, without inherited keys; and where no bracket is in
/// play, it is what the naive reading says.
///
/// # Panics
/// When it does not hold.
pub fn fuzz_query(query: &[u8]) {
    fn inspect(value: &Value, depth: usize, leaves: &mut usize) {
        // Parent, segments and rest nest; each may also have become an element beside an earlier string.
        assert!(depth <= 2 * (DEPTH_MAX + 2), "nested too deep");
        match value {
            Value::Null | Value::Number(_) => panic!("a query holds neither null nor numbers"),
            Value::Bool(_) | Value::String(_) => *leaves += 1,
            Value::Array(array) => array.iter().for_each(|value| inspect(value, depth + 1, leaves)),
            Value::Object(object) => {
                assert!(!PROTOTYPE_KEYS.iter().any(|key| object.contains_key(*key)));
                object.values().for_each(|value| inspect(value, depth + 1, leaves));
            }
        }
    }
    let parsed = parse(query);
    assert!(parsed.is_object());
    let mut leaves = 0;
    inspect(&parsed, 0, &mut leaves);
    assert!(leaves <= PARAMETERS_MAX, "{leaves} leaves");
    if let Some(flat) = flat(query) {
        assert_eq!(parsed, flat);
    }
    let text = String::from_utf8_lossy(query);
    for name in text.split(['&', '=']).chain(["none", "toString"]) {
        if let Some(value) = plain(query, name) {
            assert_eq!(parsed.get(name), value.map(Value::from).as_ref(), "{name}");
        }
    }
}

/// The naive reading of a query without brackets: key by key, what its parameters say. `None` with brackets.
fn flat(query: &[u8]) -> Option<Value> {
    let query = String::from_utf8_lossy(query);
    let pairs: Vec<(String, String)> = query
        .split('&')
        .take(PARAMETERS_MAX)
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    if query.contains([']', '[']) || pairs.iter().any(|(key, _)| key.contains([']', '['])) {
        return None;
    }
    let mut object = Map::new();
    for (key, _) in pairs.iter().filter(|(key, _)| !key.is_empty() && !PROTOTYPE_KEYS.contains(&key.as_str()))
    {
        let mut values =
            pairs.iter().filter(|(other, _)| other == key).map(|(_, value)| Value::from(value.as_str()));
        let first = values.next().unwrap_or_default();
        let rest: Vec<Value> = values.collect();
        let value = if rest.is_empty() { first } else { [vec![first], rest].concat().into() };
        object.insert(key.clone(), value);
    }
    Some(Value::Object(object))
}

#[cfg(test)]
mod tests;
