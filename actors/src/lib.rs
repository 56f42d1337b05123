//! Making it happen: the runtime that joins workflows to storage.
//!
//! ```text
//! root supervisor ── shard supervisor (one of many) ── entity actor (one an entity, on demand)
//!
//! intake      inbox entry ─▶ customer ─▶ conversation      lanes: in order for one address
//! timers      due timer ─▶ entity                          a window at a time, never given up
//! activities  pending activity ─▶ performer ─▶ entity      retries, lanes, dead letters
//! projector   feed ─▶ rows of views                        with a checkpoint
//! sweep       changed policy ─▶ every entity               resumable
//! relay       feed ─▶ endpoints that want the event        with a checkpoint
//! upkeep      sweeps                                       slowly
//! ```
//!
//! What each death means: an *entity actor* that crashes is replayed from the journal after a pause, and its
//! orders are asked again; nothing else notices. A *shard supervisor* that dies takes its entity actors with it and
//! is started anew by the root; its entities are replayed on demand. The *root* dying ends the engine. The *committer*
//! failing (a write or sync error) ends the process: nothing can be promised any more. In every case what was
//! acknowledged is in the journal, and what was owed is pending there.

pub mod backoff;
pub mod clock;
pub mod dead_letters;
mod door;
pub mod engine;
pub mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod intake;
pub mod introspect;
pub mod offline;
pub mod operate;
pub mod order;
pub mod outside;
pub mod pauses;
pub mod performer;
pub mod projector;
pub mod replay;
pub mod retries;
pub mod settle;
#[cfg(feature = "testing")]
pub mod stepper;
#[cfg(feature = "testing")]
pub mod testing;

mod activities;
mod armed;
mod entity;
mod idempotency;
mod rehydrate;
mod relay;
mod reports;
mod runner;
mod shard;
mod shared;
mod supervisor;
mod sweep;
mod tenants;
mod timers;
mod turn;
mod upkeep;
