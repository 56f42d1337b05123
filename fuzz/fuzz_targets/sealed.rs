//! Records and all else that is stored under a checksum.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("sealed", bytes));
