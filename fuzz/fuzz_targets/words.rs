//! Spans, moments, names, rates and web addresses.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("words", bytes));
