//! The runtime on a store in memory and a manual clock: what each death, delay and repetition leads to.

#![expect(clippy::unwrap_used, reason = "what fails in a test may say so by a panic")]

#[path = "it/activities.rs"]
mod activities;
#[path = "it/bells.rs"]
mod bells;
#[path = "it/offline.rs"]
mod offline;
#[path = "it/operators.rs"]
mod operators;
#[path = "it/parcel.rs"]
mod parcel;
#[path = "it/pauses.rs"]
mod pauses;
#[path = "it/policies.rs"]
mod policies;
#[path = "it/relay.rs"]
mod relay;
#[path = "it/reports.rs"]
mod reports;
#[path = "it/stepped.rs"]
mod stepped;
#[path = "it/timers.rs"]
mod timers;
#[path = "it/turns.rs"]
mod turns;
#[path = "it/uncertain.rs"]
mod uncertain;
