//! `make bench`: what the engine does a second, beside what the same disk does in the same run.
//!
//! Nothing here fails on a slow machine: it prints figures, and the ratios between them are what carries over.
//! Every part runs on a fresh folder below the working directory's `target`, so that it meets the same disk.
//!
//! Words after `--` choose: parts by their names, and storage engines by theirs. `large` starts and loads a server
//! with a million conversations, `soak` is half an hour; both only where they are named.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "engine/disk.rs"]
mod disk;
#[path = "engine/fixture.rs"]
mod fixture;
#[path = "engine/inside.rs"]
mod inside;
#[path = "engine/process.rs"]
mod process;
#[path = "engine/served.rs"]
mod served;
#[path = "engine/table.rs"]
mod table;

use std::{path::PathBuf, time::Duration};

use throughline_storage::store::Engine;

/// As the program has it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is measured unless it is named.
const PARTS: [&str; 8] = ["commit", "turn", "lag", "webhook", "history", "sustained", "start", "memory"];

/// What is measured only if it is named.
const LONG: [&str; 3] = ["timers", "large", "soak"];

fn main() {
    // The build tool passes `--bench` along.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let known = |word: &&String| {
        Engine::named(word).is_none() && !PARTS.contains(&word.as_str()) && !LONG.contains(&word.as_str())
    };
    if let Some(word) = words.iter().find(known) {
        println!("there is no `{word}`: name parts ({}; {}) or engines", PARTS.join(", "), LONG.join(", "));
        std::process::exit(2);
    }
    let named = |word: &str| words.iter().any(|named| named == word);
    let any_part = PARTS.iter().chain(&LONG).any(|part| named(part));
    let chosen = |part: &str| named(part) || (!any_part && PARTS.contains(&part));
    let any_engine = Engine::ALL.iter().any(|engine| named(engine.name()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for engine in Engine::ALL.into_iter().filter(|engine| !any_engine || named(engine.name())) {
        runtime.block_on(async {
            if chosen("commit") {
                inside::commits(engine).await;
            }
            if chosen("turn") {
                inside::turns(engine).await;
            }
            if chosen("lag") {
                inside::timer_lag(engine).await;
            }
            if chosen("webhook") {
                served::webhooks(engine).await;
            }
            if chosen("history") {
                served::history(engine).await;
            }
            if chosen("sustained") && !named("large") {
                served::sustained(engine, 10_000, Duration::from_secs(60)).await;
            }
            if chosen("timers") {
                served::timer_burst(engine, 100_000).await;
            }
            if chosen("start") && !named("large") {
                served::starts(engine, &[10_000, 100_000], None).await;
            }
            if named("large") {
                // It takes minutes to load, so that what is handled is measured on the same folder.
                served::starts(engine, &[1_000_000], Some(Duration::from_secs(60))).await;
            }
            if chosen("memory") {
                served::memory(engine).await;
            }
            if chosen("soak") {
                served::soak(engine, Duration::from_secs(30 * 60)).await;
            }
        });
    }
}

/// A fresh folder on the disk that holds the build.
pub(crate) fn folder(name: &str) -> tempfile::TempDir {
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&base).expect("the target folder");
    tempfile::Builder::new().prefix(name).tempdir_in(base).expect("a temporary folder")
}
