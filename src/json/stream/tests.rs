//! The validator against the oracle, over every split of every case.

use super::*;
use crate::json::corpus::{ACCEPTED, REFUSED, TEXT_ONLY};
use crate::json::{DEPTH_MAX, naive};
#[cfg(target_arch = "x86_64")]
use dispatch::ways::every_way;

#[cfg(not(target_arch = "x86_64"))]
fn every_way(test: impl Fn()) {
    test();
}

fn corpus() -> impl Iterator<Item = &'static [u8]> {
    ACCEPTED.iter().chain(TEXT_ONLY).copied().chain(REFUSED.iter().map(|(text, ..)| *text))
}

#[test]
fn the_corpus() {
    every_way(|| corpus().for_each(fuzz_stream));
    for &(text, offset, kind) in REFUSED {
        assert_eq!(validate(text), Err(Invalid { offset, kind }), "{}", text.escape_ascii());
    }
}

/// Every case moved through a block, among white space, within arrays, and with something behind it.
#[test]
fn the_corpus_at_every_place_of_a_block() {
    every_way(|| corpus().for_each(check_everywhere));
}

fn check_everywhere(text: &[u8]) {
    for place in 0..70 {
        for (before, after) in [(" ", " "), ("[", "]"), ("[1,", ",2]"), ("{\"a\":", "}"), ("\"", "\"")] {
            let blanks = [b' '; 70];
            let moved = [&blanks[..place], before.as_bytes(), text, after.as_bytes(), &blanks].concat();
            assert_eq!(validate(&moved), naive::validate(&moved), "{}", moved.escape_ascii());
        }
    }
}

#[test]
fn the_corpus_cut_short_at_every_byte() {
    every_way(|| corpus().for_each(|text| (0..text.len()).for_each(|end| fuzz_stream(&text[..end]))));
}

/// One byte of a document replaced by any, put before any, left out; with the document anywhere in a block.
#[test]
fn one_wrong_byte_anywhere() {
    every_way(check_wrong_bytes);
}

fn check_wrong_bytes() {
    for text in [
        &br#"{"a":[1,-2.5e3,true,null],"b\n\u00e9":"\ud83d\ude00","c":{},"d":[[],{"e":false}]}"#[..],
        "[\"é€𝄞\",false,{\"\":0.10,\"x\":[]}, 12345678901234567890, 1e100]".as_bytes(),
        b" -0.5e+10 ",
        b"\t[ true , \"a\" ]\r\n",
    ] {
        for place in [0, 1, 7, 30, 40, 57, 63] {
            let document = [&vec![b' '; place][..], text, b" \n"].concat();
            let same = |changed: &[u8]| {
                let wanted = naive::validate(changed);
                assert_eq!(validate(changed), wanted, "{}", changed.escape_ascii());
                let mut validator = Validator::new();
                let judged = validator.feed(changed).and_then(|()| validator.finish());
                assert_eq!(judged, wanted, "{}", changed.escape_ascii());
            };
            for at in place..place + text.len() {
                for byte in 0..=255 {
                    same(&[&document[..at], &[byte], &document[at + 1..]].concat());
                    same(&[&document[..at], &[byte], &document[at..]].concat());
                }
                same(&[&document[..at], &document[at + 1..]].concat());
            }
        }
    }
}

#[test]
fn depth_is_limited_exactly() {
    every_way(check_depths);
}

fn check_depths() {
    for (open, close) in [("[", "]"), ("{\"\":", "}"), ("[1,", "]"), ("[[],", "]")] {
        for depth in [63, 64, 65, 127, 128, 129, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1] {
            let text = [open.repeat(depth), "[]".into(), close.repeat(depth)].concat();
            assert_eq!(validate(text.as_bytes()), naive::validate(text.as_bytes()));
            let crossed = text.replace(close, "}").replacen("}", close, 7);
            assert_eq!(validate(crossed.as_bytes()), naive::validate(crossed.as_bytes()));
        }
    }
}

/// Random walks of brackets, mostly right, around the levels where words of the stack and the limit end.
#[test]
fn nested_documents() {
    every_way(check_nested_documents);
}

fn check_nested_documents() {
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let (mut valid, mut text, mut open) = (0, Vec::new(), Vec::new());
    for _ in 0..2_000 {
        text.clear();
        open.clear();
        let start = random.pick(&[0, 1, 60, 64, 65, 127, 128, 191, 1015, 1023, 1024]);
        let white = random.below(4) == 0;
        for _ in 0..6 {
            let to = (start + random.below(70)).saturating_sub(random.below(70));
            while open.len() < to {
                random.open(&mut text, &mut open, white);
            }
            while open.len() > to.max(1) {
                random.close(&mut text, &mut open, white);
            }
        }
        while !open.is_empty() {
            random.close(&mut text, &mut open, white);
        }
        if random.below(3) == 0 {
            random.mutate(&mut text);
        }
        let wanted = naive::validate(&text);
        valid += usize::from(wanted.is_ok());
        assert_eq!(validate(&text), wanted, "{}", text.escape_ascii());
        let (first, second) = text.split_at(random.below(text.len() + 1));
        let mut validator = Validator::new();
        let judged = validator.feed(first).and_then(|()| validator.finish_with(second));
        assert_eq!(judged, wanted, "{} cut at {}", text.escape_ascii(), first.len());
    }
    assert!(valid > 500, "only {valid} documents were valid");
}

/// Documents of random tokens, mostly valid, then mutated. `SEEDS` in the environment says how many.
#[test]
fn mutated_documents() {
    every_way(check_mutated_documents);
}

fn check_mutated_documents() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20_000);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut valid, mut text) = (0, Vec::new());
    for seed in 0..seeds {
        text.clear();
        let mut depth = 0;
        let white = random.below(4) == 0;
        random.value(&mut text, &mut depth, white);
        for _ in 0..random.below(3) {
            random.mutate(&mut text);
        }
        let wanted = naive::validate(&text);
        valid += u64::from(wanted.is_ok());
        assert_eq!(validate(&text), wanted, "{seed}: {}", text.escape_ascii());
        let mut validator = Validator::new();
        let (mut rest, mut judged) = (&text[..], Ok(()));
        while rest.len() > 1 && judged.is_ok() {
            let (piece, more) = rest.split_at(1 + random.below((rest.len() - 1).min(150)));
            judged = validator.feed(piece);
            rest = more;
        }
        let judged = judged.and_then(|()| match random.below(2) {
            0 => validator.finish_with(rest),
            _ => validator.feed(rest).and_then(|()| validator.finish()),
        });
        assert_eq!(judged, wanted, "{seed}: {}", text.escape_ascii());
    }
    assert!(valid > seeds / 4, "only {valid} of {seeds} documents were valid");
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn white(&mut self, text: &mut Vec<u8>, white: bool) {
        if white && self.below(3) == 0 {
            for _ in 0..self.below(20) {
                text.push(self.pick(b"    \t\n\r"));
            }
        }
    }

    fn value(&mut self, text: &mut Vec<u8>, depth: &mut usize, white: bool) {
        self.white(text, white);
        match self.below(if *depth > 5 { 6 } else { 9 }) {
            0 => text.extend_from_slice(self.pick(&[&b"true"[..], b"false", b"null"])),
            1 | 2 => self.number(text),
            3..=5 => self.string(text),
            of => {
                *depth += 1;
                text.push(if of == 8 { b'[' } else { b'{' });
                for item in 0..self.below(7) {
                    if item > 0 {
                        text.push(b',');
                    }
                    if of != 8 {
                        self.white(text, white);
                        self.string(text);
                        self.white(text, white);
                        text.push(b':');
                    }
                    self.value(text, depth, white);
                }
                self.white(text, white);
                text.push(if of == 8 { b']' } else { b'}' });
                *depth -= 1;
            }
        }
        self.white(text, white);
    }

    /// Opens an array or object within the innermost, ready for what comes into it; sometimes with more before.
    fn open(&mut self, text: &mut Vec<u8>, open: &mut Vec<bool>, white: bool) {
        if open.last().is_some() && self.below(6) == 0 {
            self.before_value(text, open, white);
            text.extend_from_slice(self.pick(&[&b"1"[..], b"[]", b"{}", b"\"a,b\"", b"null", b"[[],{}]"]));
        }
        self.before_value(text, open, white);
        let object = self.below(2) == 0;
        text.push(if object { b'{' } else { b'[' });
        open.push(object);
    }

    fn close(&mut self, text: &mut Vec<u8>, open: &mut Vec<bool>, white: bool) {
        self.white(text, white);
        text.push(if open.pop() == Some(true) { b'}' } else { b']' });
    }

    /// A comma where one is due, and a key.
    fn before_value(&mut self, text: &mut Vec<u8>, open: &[bool], white: bool) {
        let is_first = text.iter().rev().find(|byte| !byte.is_ascii_whitespace());
        if is_first.is_some_and(|byte| !b"{[".contains(byte)) {
            text.push(b',');
        }
        self.white(text, white);
        if open.last() == Some(&true) {
            text.extend_from_slice(b"\"k\":");
        }
    }

    fn digits(&mut self, text: &mut Vec<u8>, most: usize) {
        for _ in 0..=self.below(most) {
            text.push(b'0' + self.below(10) as u8);
        }
    }

    fn number(&mut self, text: &mut Vec<u8>) {
        if self.below(3) == 0 {
            text.push(b'-');
        }
        match self.below(4) {
            0 => text.push(b'0'),
            _ => {
                text.push(b'1' + self.below(9) as u8);
                let most = self.pick(&[1, 3, 10, 20, 100]);
                self.digits(text, most);
            }
        }
        if self.below(3) == 0 {
            text.push(b'.');
            self.digits(text, 20);
        }
        if self.below(5) == 0 {
            text.push(self.pick(b"eE"));
            text.extend_from_slice(self.pick(&[&b""[..], b"+", b"-"]));
            let most = self.pick(&[1, 2, 3, 5]);
            self.digits(text, most);
        }
    }

    fn string(&mut self, text: &mut Vec<u8>) {
        text.push(b'"');
        let most = self.pick(&[1, 8, 30, 200]);
        for _ in 0..self.below(most) {
            match self.below(40) {
                0 => text.extend_from_slice(self.pick(&[&b"\\n"[..], b"\\\"", b"\\\\", b"\\/", b"\\t"])),
                1 => text.extend_from_slice(self.pick(&[
                    &b"\\u00e9"[..],
                    b"\\uD83D\\uDE00",
                    b"\\ud83d\\ude00",
                ])),
                2 if self.below(8) == 0 => {
                    text.extend_from_slice(self.pick(&[&b"\\ud83d"[..], b"\\udE00", b"\\uDbff\\u0041"]));
                }
                3 => text.extend_from_slice(self.pick(&["é", "€", "𝄞", "中文", "ñ"]).as_bytes()),
                4 => text.push(self.pick(b"{}[]:,")),
                _ => text.push(b'a' + self.below(26) as u8),
            }
        }
        text.push(b'"');
    }

    fn mutate(&mut self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let at = self.below(text.len());
        let byte = match self.below(3) {
            0 => self.below(256) as u8,
            _ => self.pick(b"{}[]:,\"\\ 0123-+.eEtfnu\n\x00\x80\xC3\xED\xF4"),
        };
        match self.below(6) {
            0 | 1 => text[at] = byte,
            2 => text.insert(at, byte),
            3 => drop(text.remove(at)),
            4 => text.truncate(at),
            _ => {
                let to = at + self.below((text.len() - at).min(20));
                text.extend_from_within(at..to);
            }
        }
    }
}
