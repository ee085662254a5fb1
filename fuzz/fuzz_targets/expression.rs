//! An expression and a body: never a panic, the same by the body's tape as by its text.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| inrush::expr::fuzz_expression(input));
