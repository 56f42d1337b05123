//! `throughline serve`: runs the server until it is told to stop.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    config::{Config, Environment, Loaded, Secret},
    telemetry,
};

/// How long the end of the server waits for its last traces to be sent.
const LAST_TRACES: Duration = Duration::from_secs(5);

/// Run the server.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  THROUGHLINE__SERVER__LISTEN=127.0.0.1:9000 throughline serve")]
pub(super) struct Serve {}

impl Serve {
    pub(super) fn run(&self, loaded: Loaded, environment: &Environment) -> anyhow::Result<ExitCode> {
        let config = &loaded.config;
        let told =
            telemetry::start(&config.log, environment.get("RUST_LOG").map(String::as_str), &config.traces)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let admin_token = environment.get("THROUGHLINE_ADMIN_TOKEN").filter(|token| !token.trim().is_empty());
        let outcome = start(loaded.config, admin_token.map(Secret::from_text));
        told.end(LAST_TRACES);
        outcome
    }
}

/// Hands over to the server; `admin_token` is the first admin's, where one was given.
fn start(config: Config, admin_token: Option<Secret>) -> anyhow::Result<ExitCode> {
    crate::app::serve(config, admin_token)
}
