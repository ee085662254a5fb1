//! A chunked body: any split of the bytes gives the naive decoder's outcome.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| inrush::http::naive::fuzz_chunked(input));
