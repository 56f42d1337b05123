//! What the codec and the runtime read of the journal.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("values", bytes));
