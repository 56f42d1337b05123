//! `make bench`: what the engine does a second, beside what the same disk does in the same run.
//!
//! Nothing here fails on a slow machine: it prints figures, and the ratios between them are what carries over.
//! Every part runs on a fresh folder below the working directory's `target`, so that it meets the same disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "engine/disk.rs"]
mod disk;
#[path = "engine/inside.rs"]
mod inside;
#[path = "engine/served.rs"]
mod served;
#[path = "engine/table.rs"]
mod table;

use std::path::PathBuf;

fn main() {
    // `cargo bench` passes `--bench`; a name beside it chooses one part.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |part: &str| wanted.is_empty() || wanted.iter().any(|name| part.contains(name.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if chosen("commit") {
        runtime.block_on(inside::commits());
    }
    if chosen("turn") {
        runtime.block_on(inside::turns());
    }
    if chosen("webhook") {
        runtime.block_on(served::webhooks());
    }
    if chosen("start") {
        runtime.block_on(served::starts());
    }
    if chosen("timer") {
        runtime.block_on(inside::timer_lag());
    }
}

/// A fresh folder on the disk that holds the build.
pub(crate) fn folder(name: &str) -> tempfile::TempDir {
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&base).expect("the target folder");
    tempfile::Builder::new().prefix(name).tempdir_in(base).expect("a temporary folder")
}
