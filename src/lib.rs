//! The edge of Throughline: HTTP gateway, channel adapters, configuration, commands.
//!
//! `app` joins the parts: adapters and pages do not know each other, and reach the engine only through its handles.

pub mod alarms;
pub mod app;
pub mod bench;
pub mod channels;
mod child;
pub mod cli;
pub mod config;
mod figures;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod performers;
mod recovery;
pub mod schedules;
pub mod telemetry;
pub mod tls;

/// The id of something that the configuration names, the same at every start (a UUIDv8, RFC 9562).
fn derived_id(name: &str) -> uuid::Uuid {
    use sha2::Digest as _;
    let hash: [u8; 32] = sha2::Sha256::digest(name).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
