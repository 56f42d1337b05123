//! The doors for the fuzzer: every reader of bytes from outside, under a name, with the laws that must hold.
//!
//! A target takes any bytes and panics where a law is broken. `fuzz/fuzz_targets` gives each to libFuzzer, and
//! `tests/it/fuzz_seeds.rs` gives each the seeds of `fuzz/seeds`, so that what was once found is never forgotten. The
//! laws stand beside what they are about; this file only lists them. Part of the crate with the feature `fuzzing`.

mod stored;
mod words;

use crate::{channels::fuzzing as channels, config::fuzzing as config, http::fuzzing as http};

/// One reader, or a family of readers that take the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/seeds`.
    pub name: &'static str,
    /// Reads the bytes and panics where a law is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "mail", run: channels::mail },
    Target { name: "generic", run: channels::generic },
    Target { name: "twilio", run: channels::twilio },
    Target { name: "signatures", run: channels::signatures },
    Target { name: "reply_token", run: channels::reply_token },
    Target { name: "addresses", run: channels::addresses },
    Target { name: "reply_mail", run: channels::outgoing::reply_mail },
    Target { name: "answers", run: channels::outgoing::answers },
    Target { name: "config", run: config::file },
    Target { name: "settings", run: config::settings },
    Target { name: "calendar", run: words::calendar },
    Target { name: "cron", run: words::cron },
    Target { name: "template", run: words::template },
    Target { name: "words", run: words::words },
    Target { name: "request", run: http::request },
    Target { name: "sealed", run: throughline_storage::fuzzing::sealed },
    Target { name: "archive", run: throughline_storage::fuzzing::archive },
    Target { name: "keys", run: throughline_storage::fuzzing::key },
    Target { name: "values", run: stored::values },
    Target { name: "events", run: stored::events },
    Target { name: "states", run: stored::states },
];

/// Gives `bytes` to the target of this name.
///
/// # Panics
/// If there is no such target, or a law is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}
