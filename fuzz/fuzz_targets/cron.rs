//! A cron expression in a time zone.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("cron", bytes));
