//! Addresses, tokens and message ids by which an answer finds its conversation.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("reply_token", bytes));
