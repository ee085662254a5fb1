//! The validator against the oracle, over every split of every case.

use super::*;
use crate::json::corpus::{ACCEPTED, REFUSED, TEXT_ONLY};
use crate::json::{DEPTH_MAX, naive};
use dispatch::ways::every_way;

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

/// Documents of random tokens, mostly valid, then mutated. `SEEDS` in the environment says how many; the figure in
/// the documentation is that of ten million.
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
        while !rest.is_empty() && judged.is_ok() {
            let (piece, more) = rest.split_at((1 + random.below(rest.len().min(150))).min(rest.len()));
            judged = validator.feed(piece);
            rest = more;
        }
        assert_eq!(judged.and_then(|()| validator.finish()), wanted, "{seed}: {}", text.escape_ascii());
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
