//! A load on a real server, and the figures of it: what `throughline bench` and the benchmarks share.
//!
//! The driver costs next to nothing, since it runs on the cores of what it measures.

mod client;
mod load;
mod server;
mod table;

pub use self::{
    client::Client,
    load::{Load, Senders},
    server::Server,
    table::{Table, mib, ms, percent, quantile, rate, shown},
};
