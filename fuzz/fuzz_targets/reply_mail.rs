//! A mail of ours with a customer's words in its head.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("reply_mail", bytes));
