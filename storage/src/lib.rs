//! What has happened: durable memory. What returned is durable, what failed left no trace.
//!
//! This crate knows streams and bytes, and never a conversation.

pub mod append;
pub mod store;
