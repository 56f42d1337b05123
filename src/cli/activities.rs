//! `throughline activities`: what waits to be done outside.

use std::net::SocketAddr;

use clap::Args;

use super::{
    page::{Page, list},
    remote::Remote,
    show::{Column, Rows},
};

const ROWS: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("kind"),
    Column::Plain("entity"),
    Column::Plain("lane"),
    Column::Plain("attempts"),
    Column::Time("next_try_at"),
    Column::Time("asked_at"),
    Column::Plain("last_error"),
]);

/// List what waits to be done outside.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline activities --json")]
pub(super) struct Activities {
    #[command(flatten)]
    page: Page,

    #[command(flatten)]
    remote: Remote,
}

impl Activities {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        list(&self.remote, &self.page, listen, &["api", "v1", "system", "activities"], Vec::new(), ROWS).await
    }
}
