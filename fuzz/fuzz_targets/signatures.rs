//! The headers that sign a request, and the body that they sign.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("signatures", bytes));
