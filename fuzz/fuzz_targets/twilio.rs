//! A request of Twilio's to both of its doors.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| throughline::fuzzing::run("twilio", bytes));
