//! Scenarios of a conversation: each row of its tables, and what is refused.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the events it is about")]

mod cases;
mod clocks;
mod delivery;
mod fixtures;
mod lifecycle;
mod receiving;
mod replies;
mod silence;
mod stepping;
mod story;
mod threading;
mod work;
