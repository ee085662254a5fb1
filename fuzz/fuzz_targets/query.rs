//! A query string: never a panic, never more parameters or depth than qs allows.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| inrush::http::query::fuzz_query(input));
