//! A business calendar, and time spent in it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("calendar", bytes));
