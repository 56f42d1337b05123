//! The integration tests of the whole server, as one binary: linking it once is most of the price.

#![expect(clippy::unwrap_used, reason = "what fails in a test may say so by a panic")]

#[path = "it/alarms.rs"]
mod alarms;
#[path = "it/bench.rs"]
mod bench;
#[path = "it/crash.rs"]
mod crash;
#[cfg(feature = "fuzzing")]
#[path = "it/fuzz_seeds.rs"]
mod fuzz_seeds;
#[path = "it/load.rs"]
mod load;
#[path = "it/mail_server.rs"]
mod mail_server;
#[path = "it/operations.rs"]
mod operations;
#[path = "it/promise.rs"]
mod promise;
#[path = "it/provider.rs"]
mod provider;
#[path = "it/recovery.rs"]
mod recovery;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/rehearse.rs"]
mod rehearse;
#[path = "it/sending.rs"]
mod sending;
#[path = "it/server.rs"]
mod server;
#[path = "it/stories.rs"]
mod stories;
#[path = "it/tenants.rs"]
mod tenants;
#[path = "it/tidy.rs"]
mod tidy;
#[path = "it/traces.rs"]
mod traces;
#[path = "it/watching.rs"]
mod watching;
