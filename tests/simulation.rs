//! The simulation: the engine's turns, journal, intake, activities, timers, lists and relay on one thread, in a world
//! that breaks down as one seed says.
//!
//! Each step the seed chooses what goes on: a task of the engine, a group of commits that is begun, made durable or
//! answered, a provider that takes a message, fails, hangs or loses its answer, a webhook (late, again, out of order),
//! a person's act, an operator's, time, a turn that crashes, an entity that leaves memory, a disk that fails, or the end of the process
//! at whatever point it stands, which comes back on what was durable.
//!
//! What must hold, after every commit or before time passes:
//!
//! - what was acknowledged is kept ([`witness`]), and what has an effect has it once ([`witness`], [`providers`]);
//! - nobody who waits and can be reached hears nothing for more than twelve hours ([`silence`]);
//! - armed timers are the deadlines of the state, a replay gives the live state, snapshots and hashes agree, an entity
//!   lives once (the engine's own audit, `actors/src/stepper/audit.rs`);
//! - clocks agree with a second calculation, through changes of the settings ([`clocks`]);
//! - what is paused is left alone, by whatever life of the process, what an operator asks for counts once, and an entity
//!   never differs from its journal ([`operators`], [`operations`]);
//! - nothing of one tenant is seen at another, though customers of both have the same addresses and ids ([`tenants`]).
//!
//! At the end faults stop, and everything must come to rest ([`run`]). Which code is the real one and which stands in
//! for it is told in `actors/src/stepper.rs`; providers are stand-ins ([`providers`]), and files
//! are real ones.
//!
//! A failure names its seed, which alone reproduces it: `SEEDS=7 TRACE=1` runs it again and tells every step.

#![expect(clippy::unwrap_used, reason = "what fails in a test may say so by a panic")]

#[path = "simulation/acts.rs"]
mod acts;
#[path = "simulation/clocks.rs"]
mod clocks;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/operations.rs"]
mod operations;
#[path = "simulation/operators.rs"]
mod operators;
#[path = "simulation/outside.rs"]
mod outside;
#[path = "simulation/persons.rs"]
mod persons;
#[path = "simulation/providers.rs"]
mod providers;
#[path = "simulation/rest.rs"]
mod rest;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/silence.rs"]
mod silence;
#[path = "simulation/steps.rs"]
mod steps;
#[path = "simulation/tenants.rs"]
mod tenants;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/twist.rs"]
mod twist;
#[path = "simulation/witness.rs"]
mod witness;

use std::ops::RangeInclusive;

use run::Figures;
use twist::Twist;

/// The seeds of every run of the tests.
const SEEDS: RangeInclusive<u64> = 1..=200;

/// Seeds that a world with a twist gets before it counts as lived through.
const TWISTED_SEEDS: RangeInclusive<u64> = 1..=60;

/// Failures after which there is no point in looking for more.
const FAILURES_MAX: usize = 3;

/// Between two words on how far it is, in seeds.
const PROGRESS_EVERY: u64 = 500;

#[test]
fn whatever_breaks_nothing_is_lost_done_twice_or_forgotten() {
    quiet();
    let mut failures = Vec::new();
    let mut sum = Figures::default();
    for seed in seeds() {
        let ended = run::run(seed, Twist::None);
        sum.add(&ended.figures);
        if let Some(broken) = ended.broken {
            failures.push(format!("seed {seed}: {broken}"));
            if failures.len() == FAILURES_MAX {
                break;
            }
        }
        if sum.seeds.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{sum}");
        }
    }
    eprintln!("{sum}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_byte() {
    quiet();
    for seed in [3, 7, 21, 40] {
        let (first, again) = (run::run(seed, Twist::None), run::run(seed, Twist::None));
        assert_eq!((first.hash, first.figures), (again.hash, again.figures), "seed {seed}");
    }
}

/// Some seed of a world with this twist fails, and says what is expected.
fn fails(twist: Twist, expected: &str) {
    quiet();
    let mut said = Vec::new();
    for seed in TWISTED_SEEDS {
        if let Some(broken) = run::run(seed, twist).broken {
            if broken.lines().any(|line| line.contains(expected)) {
                return;
            }
            said.push(broken.lines().next().unwrap_or_default().to_owned());
        }
    }
    panic!("no seed says {expected:?} of {twist:?}, but {said:#?}");
}

#[test]
fn a_disk_that_forgets_what_it_said_to_have_kept_is_found_out() {
    fails(Twist::DiskForgets, "was durable before");
}

#[test]
fn an_answer_before_the_commit_is_durable_is_found_out() {
    fails(Twist::AnswersBeforeDurable, "was durable before");
}

#[test]
fn a_turn_that_does_not_consume_its_message_is_found_out() {
    fails(Twist::InboxStays, "left in the inbox");
}

#[test]
fn timers_that_are_not_armed_are_found_out() {
    fails(Twist::TimersAreLost, "nothing will wake it");
}

#[test]
fn an_activity_that_is_done_and_stays_is_found_out() {
    fails(Twist::ActivitiesStay, "does not come to rest");
}

#[test]
fn a_provider_that_does_not_recognise_what_it_took_is_found_out() {
    fails(Twist::SmsClaimsToBeKeyed, "it went out twice");
}

#[test]
fn a_pause_that_is_forgotten_at_a_crash_is_found_out() {
    fails(Twist::PausesAreForgotten, "is paused, and");
}

#[test]
fn a_row_that_stands_in_another_tenants_list_is_found_out() {
    fails(Twist::RowsLeak, "which is not its own");
}

#[test]
fn a_repeated_request_that_is_not_recognised_is_found_out() {
    fails(Twist::KeysAreForgotten, "was done 2 times");
}

/// The seeds to run: those of the environment, or [`SEEDS`].
fn seeds() -> RangeInclusive<u64> {
    let Ok(asked) = std::env::var("SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once('-').unwrap_or((&asked, &asked));
    first.parse().expect("a seed")..=last.parse().expect("a seed")
}

/// Panics that a simulation puts into turns are not worth a line each.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(run::FAULT) {
                before(panic);
            }
        }));
    });
}
