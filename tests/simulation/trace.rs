//! What happened in a simulation, in order: a hash of all of it, and the last of it in words.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};
use throughline_workflows::time::Timestamp;

/// So many of the last lines are kept for whoever looks into a failure.
const KEPT: usize = 120;

/// The trace.
#[derive(Default)]
pub(crate) struct Trace {
    hash: Sha256,
    last: VecDeque<String>,
    /// Lines so far.
    pub(crate) lines: u64,
    /// Whether every line is told at once.
    aloud: bool,
}

impl Trace {
    /// A trace that tells every line at once where the environment has `TRACE`.
    pub(crate) fn new() -> Self {
        Self { aloud: std::env::var_os("TRACE").is_some(), ..Self::default() }
    }

    #[expect(clippy::print_stderr, reason = "whoever asks for every line reads it there")]
    pub(crate) fn add(&mut self, now: Timestamp, what: &str) {
        let line = format!("{now} {what}");
        if self.aloud {
            eprintln!("{line}");
        }
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.lines += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Stands for every line so far.
    pub(crate) fn hash(&self) -> String {
        let hash = self.hash.clone().finalize();
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.last.iter().map(|line| format!("  {line}\n")).collect()
    }
}
