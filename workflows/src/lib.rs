//! What should happen: pure decisions, with no I/O, no clock and no chance.
//!
//! Everything here is a function of its arguments. Time arrives as a [`time::Timestamp`], new identifiers
//! arrive inside commands, and what the outside world must do leaves as data (an activity). The runtime that
//! turns decisions into facts is `throughline-actors`; nothing here knows it.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod access;
pub mod activity;
pub mod agent;
pub mod calendar;
pub mod conversation;
pub mod credential;
pub mod customer;
pub mod directory;
pub mod endpoint;
pub mod ids;
pub mod message;
pub mod operation;
pub mod policy;
pub mod policy_book;
pub mod quiet_hours;
pub mod record;
pub mod resolution;
pub mod role;
#[cfg(any(test, feature = "testing"))]
pub mod scenario;
pub mod schedule;
pub mod sla;
pub mod team;
pub mod template;
mod text;
pub mod time;
pub mod topic;
pub mod views;
pub mod words;
pub mod workflow;
