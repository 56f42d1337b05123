//! What is read by hand of a request to the API.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("request", bytes));
