//! The states and activities of every workflow.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("states", bytes));
