//! A mail address or a telephone number.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("addresses", bytes));
