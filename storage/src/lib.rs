//! What has happened: durable memory. What returned is durable, what failed left no trace.
//!
//! This crate knows streams and bytes, and never a conversation.

pub mod append;
pub mod archive;
pub mod backup;
pub mod blobs;
pub mod codec;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod envelope;
pub mod figures;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod keys;
pub mod projections;
pub mod restore;
pub mod store;
pub mod verify;

mod activities;
mod claims;
mod committer;
mod damage;
mod dead_letters;
mod feed;
#[cfg(test)]
mod golden;
mod inbox;
mod prepared;
mod snapshots;
mod streams;
mod timers;
mod wire;
