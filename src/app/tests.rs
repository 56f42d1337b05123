//! The promise against silence, held up to a world that breaks down.
//!
//! The real engine (intake, turns, timers, activities, projector) runs in process on the manual clock, over a store
//! that forgets nothing that was durable. Two hundred customers write; half of their conversations are escalated; for
//! 72 hours persons answer, note, pause, promise and miss, while the process dies in the middle of a send or stays down
//! for hours, providers fail for hours, addresses are refused and mails bounce the next day.
//!
//! - [`script`]: who they are and what goes wrong, from one seed.
//! - [`world`]: the stand-in for every provider. It writes its own ledger of what each customer heard and when, so that
//!   the engine is judged from outside and not by its own memory.
//! - [`simulation`]: the 72 hours.
//! - [`laws`]: what must hold of the ledger and of the journal's events.
//!
//! A failure names the seed. `SIMULATION_SEEDS=7` or `=1-50` runs others.

mod laws;
mod script;
mod simulation;
mod world;

use std::ops::RangeInclusive;

/// The seeds of every run; each is another 72 hours.
const SEEDS: RangeInclusive<u64> = 1..=3;

#[test]
fn nobody_who_can_be_reached_waits_longer_than_promised() {
    let mut failures = Vec::new();
    for seed in seeds() {
        let history = simulation::run(seed);
        eprintln!("{}", history.summary());
        let broken = laws::broken(&history);
        if !broken.is_empty() {
            let all: Vec<_> = broken.iter().filter_map(|what| what.lines().next()).collect();
            let first: Vec<_> = broken.iter().take(3).cloned().collect();
            failures.push(format!("seed {seed} breaks laws:\n{}\n\n{}", all.join("\n"), first.join("\n")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The seeds to run: those of the environment, or [`SEEDS`].
fn seeds() -> RangeInclusive<u64> {
    let Ok(asked) = std::env::var("SIMULATION_SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once('-').unwrap_or((&asked, &asked));
    first.parse().expect("a seed")..=last.parse().expect("a seed")
}
