//! A whole connection: any split of the bytes gives the same answers and the same events.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| inrush::ingest::fuzz_connection(input));
