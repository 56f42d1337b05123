//! A mail as it comes over the wire, bounces among them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("mail", bytes));
