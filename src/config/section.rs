//! Typed reading of one TOML table. Each key is asked for once; what was never asked for is unknown, and refused.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::source::{Place, Source, Written};

/// One table, and the keys that were asked for so far.
pub(super) struct Section<'a, 'i> {
    /// As people would write it: `[server]`, `[[webhook]]`.
    title: &'static str,
    table: &'a DeTable<'i>,
    pub(super) place: Place,
    known: Vec<&'static str>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(super) fn new(title: &'static str, table: &'a DeTable<'i>, place: Place) -> Self {
        Self { title, table, place, known: Vec::new() }
    }

    /// The value of `key`, with the place of the value.
    fn value(&mut self, key: &'static str) -> Option<(&'a DeValue<'i>, Range<usize>)> {
        self.known.push(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((value.get_ref(), value.span()))
    }

    /// A string; `like` shows what one looks like.
    pub(super) fn string(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        like: &str,
    ) -> Option<Written<String>> {
        let (value, span) = self.value(key)?;
        let place = source.place(&span);
        let DeValue::String(text) = value else {
            source
                .refuse(place, format!("`{key}` is {}; it has to be a string, such as {like}", kind(value)));
            return None;
        };
        Some(Written { value: text.clone().into_owned(), place })
    }

    /// An array of strings, each with its own place; absent: empty.
    pub(super) fn strings(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        like: &str,
    ) -> Vec<Written<String>> {
        let Some((value, span)) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            let place = source.place(&span);
            source
                .refuse(place, format!("`{key}` is {}; it has to be a list, such as [{like}]", kind(value)));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items.iter() {
            let place = source.place(&item.span());
            match item.get_ref() {
                DeValue::String(text) => strings.push(Written { value: text.clone().into_owned(), place }),
                other => source.refuse(
                    place,
                    format!("`{key}` holds {}; it is a list of strings, such as [{like}]", kind(other)),
                ),
            }
        }
        strings
    }

    /// A whole number from `range`, counted in `unit`.
    pub(super) fn number(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        unit: &str,
        range: (u64, u64),
    ) -> Option<Written<u64>> {
        let (value, span) = self.value(key)?;
        let place = source.place(&span);
        let (min, max) = range;
        let DeValue::Integer(digits) = value else {
            source
                .refuse(place, format!("`{key}` is {}; it has to be a whole number of {unit}", kind(value)));
            return None;
        };
        match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(value) if (min..=max).contains(&value) => Some(Written { value, place }),
            _ => {
                source.refuse(
                    place,
                    format!("`{key}` is {digits}; it has to lie between {min} and {max} {unit}"),
                );
                None
            }
        }
    }

    /// A string, or a whole number as its digits; `like` shows a string.
    pub(super) fn string_or_number(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        like: &str,
    ) -> Option<Written<String>> {
        let (value, span) = self.value(key)?;
        let place = source.place(&span);
        let value = match value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(digits) => {
                i64::from_str_radix(digits.as_str(), digits.radix()).ok().map(|number| number.to_string())
            }
            _ => None,
        };
        if value.is_none() {
            let message = format!("`{key}` has to be a whole number of 64 bits, or a string, such as {like}");
            source.refuse(place, message);
        }
        Some(Written { value: value?, place })
    }

    /// A table of strings, in the order of the file; absent: empty. `like` shows one.
    pub(super) fn string_table(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        like: &str,
    ) -> Vec<(String, Written<String>)> {
        let Some((value, span)) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value else {
            let place = source.place(&span);
            source.refuse(place, format!("`{key}` is {}; it has to be a table, such as {like}", kind(value)));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for (name, value) in table.iter() {
            let place = source.place(&value.span());
            match value.get_ref() {
                DeValue::String(text) => {
                    let value = text.clone().into_owned();
                    strings.push((name.get_ref().clone().into_owned(), Written { value, place }));
                }
                other => source.refuse(
                    place,
                    format!("`{key}` holds {}; it is a table of strings, such as {like}", kind(other)),
                ),
            }
        }
        strings
    }

    /// True or false.
    pub(super) fn boolean(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<bool> {
        let (value, span) = self.value(key)?;
        let place = source.place(&span);
        let DeValue::Boolean(value) = value else {
            source.refuse(place, format!("`{key}` is {}; it has to be true or false", kind(value)));
            return None;
        };
        Some(*value)
    }

    /// The table `[title]`; absent: `None`.
    pub(super) fn table(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        title: &'static str,
    ) -> Option<Section<'a, 'i>> {
        let (value, span) = self.value(key)?;
        let place = source.place(&span);
        let DeValue::Table(table) = value else {
            source.refuse(place, format!("`{key}` is {}; it has to be a table: {title}", kind(value)));
            return None;
        };
        Some(Section::new(title, table, place))
    }

    /// The tables `[[title]]`, or a list of inline ones; absent: empty.
    pub(super) fn tables(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        title: &'static str,
    ) -> Vec<Section<'a, 'i>> {
        let Some((value, span)) = self.value(key) else { return Vec::new() };
        let wrong = |source: &mut Source<'_>, span: &Range<usize>, value: &DeValue<'_>| {
            let place = source.place(span);
            source
                .refuse(place, format!("`{key}` is {}; it has to be a list of tables: {title}", kind(value)));
        };
        let DeValue::Array(items) = value else {
            wrong(source, &span, value);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Section::new(title, table, source.place(&item.span())))
                }
                other => wrong(source, &item.span(), other),
            }
        }
        sections
    }

    /// Refuses every key that nobody asked for, with the likely one named.
    pub(super) fn finish(self, source: &mut Source<'_>) {
        for (name, _) in self.table.iter() {
            let (written, place) = (name.get_ref().as_ref(), source.place(&name.span()));
            if self.known.contains(&written) {
                continue;
            }
            let remedy = match closest(written, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            source.refuse(place, format!("unknown key `{written}` in {}; {remedy}", self.title));
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that `written` was probably meant to be: its parts in another order, or at most a third of its
/// letters differ, or it is a piece of the known word (`origins` for `allowed_origins`).
pub(crate) fn closest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase().replace('-', "_");
    known
        .map(|word| (if parts(&written) == parts(word) { 0 } else { edits(&written, word) }, word))
        .filter(|(edits, word)| {
            *edits <= word.chars().count().div_ceil(3) || (written.len() > 3 && word.contains(&written))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

fn parts(word: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = word.split('_').collect();
    parts.sort_unstable();
    parts
}

/// The Levenshtein distance.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("listen", "lisen", 1),
            ("é", "e", 1),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
            assert_eq!(edits(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn likely_words() {
        let known = ["listen", "admin_listen", "data_dir", "allowed_origins", "id"];
        for (written, expected) in [
            ("lisen", Some("listen")),
            ("data-dir", Some("data_dir")),
            ("Listen", Some("listen")),
            ("origins", Some("allowed_origins")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(closest(written, known.into_iter()), expected, "{written}");
        }
    }
}
