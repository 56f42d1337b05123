//! What providers answer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("answers", bytes));
