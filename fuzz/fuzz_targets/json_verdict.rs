//! The verdict over a JSON document, against serde_json's, with the known differences listed there.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| inrush::json::fuzz_verdict(input));
