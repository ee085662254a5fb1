//! The streaming verdict, cut anywhere, against the oracle and serde_json.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inrush::json::fuzz_stream(data));
