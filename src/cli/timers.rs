//! `throughline timers`: what is due, and when.

use std::net::SocketAddr;

use clap::Args;

use throughline_workflows::time::Timestamp;

use super::{
    page::{Page, list},
    remote::Remote,
    show::{Column, Rows},
    values,
};

const ROWS: Rows = Rows(&[
    Column::Time("due_at"),
    Column::Plain("name"),
    Column::Plain("kind"),
    Column::Plain("id"),
    Column::Plain("tenant"),
    Column::Time("fire_at"),
    Column::Plain("stuck"),
    Column::Flag("paused"),
]);

/// List what is due, and when.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline timers --before 2026-11-22T00:00:00Z")]
pub(super) struct Timers {
    /// Only what is due before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    before: Option<Timestamp>,

    /// Only what fired without effect and is armed again, however far ahead
    #[arg(long, conflicts_with = "before")]
    stuck: bool,

    #[command(flatten)]
    page: Page,

    #[command(flatten)]
    remote: Remote,
}

impl Timers {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let before = self.before.map(|before| ("before", before.to_string()));
        let stuck = self.stuck.then(|| ("stuck", "true".to_owned()));
        let filters = before.into_iter().chain(stuck).collect();
        list(&self.remote, &self.page, listen, &["api", "v1", "system", "timers"], filters, ROWS).await
    }
}
