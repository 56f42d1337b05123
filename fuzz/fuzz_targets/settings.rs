//! A tenant's settings as JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("settings", bytes));
