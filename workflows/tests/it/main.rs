//! What holds for every workflow and any history: laws, sizes, and the encoded forms that must never change.

#![expect(clippy::unwrap_used, reason = "what fails in a test may say so by a panic")]

mod commands;
mod fixtures;
mod golden;
mod laws;
mod size;
