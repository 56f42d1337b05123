//! Archives: what a backup and an export are written as.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("archive", bytes));
