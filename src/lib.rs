//! The edge of Throughline: HTTP gateway, channel adapters, configuration, commands.
//!
//! `app` joins the parts: adapters and pages do not know each other, and reach the engine only through its handles.

pub mod app;
pub mod channels;
pub mod cli;
pub mod config;
pub mod http;
pub mod performers;
pub mod telemetry;
pub mod tls;
