//! The configuration file with the environment laid over it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("config", bytes));
