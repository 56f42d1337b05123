//! The simulation: the engine on one thread, a world that breaks down, one seed.

#![expect(clippy::unwrap_used, reason = "what fails in a test may say so by a panic")]

#[path = "simulation/acts.rs"]
mod acts;
#[path = "simulation/clocks.rs"]
mod clocks;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/providers.rs"]
mod providers;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/silence.rs"]
mod silence;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/twist.rs"]
mod twist;
#[path = "simulation/witness.rs"]
mod witness;

use std::ops::RangeInclusive;

use twist::Twist;

/// The seeds of every run of the tests.
const SEEDS: RangeInclusive<u64> = 1..=200;

#[test]
fn whatever_breaks_nothing_is_lost_done_twice_or_forgotten() {
    quiet();
    let mut failures = Vec::new();
    for seed in seeds() {
        let ended = run::run(seed, Twist::None);
        eprintln!("{seed} {} {:?}", ended.hash, ended.figures);
        if let Some(broken) = ended.broken {
            failures.push(format!("seed {seed}: {broken}"));
            if failures.len() == 3 {
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The seeds to run: those of the environment, or [`SEEDS`].
fn seeds() -> RangeInclusive<u64> {
    let Ok(asked) = std::env::var("SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once('-').unwrap_or((&asked, &asked));
    first.parse().expect("a seed")..=last.parse().expect("a seed")
}

/// Panics that a simulation puts into turns are not worth a line each.
fn quiet() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let injected = panic.payload_as_str().is_some_and(|said| said == "a fault was put into this turn");
        if !injected {
            before(panic);
        }
    }));
}
