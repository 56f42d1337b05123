//! `throughline actors`: one row an entity.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::{
    page::{Page, list},
    remote::Remote,
    show::{Column, Rows},
};

const ROWS: Rows = Rows(&[
    Column::Plain("kind"),
    Column::Plain("id"),
    Column::Plain("tenant"),
    Column::Plain("residency"),
    Column::Plain("mailbox_depth"),
    Column::Plain("version"),
    Column::Plain("last_command"),
    Column::KeptTime("last_command_at"),
    Column::Plain("restarts"),
]);

/// List the entities.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline actors --kind conversation --residency hot")]
pub(super) struct Actors {
    /// Only those of this kind, for example conversation
    #[arg(long)]
    kind: Option<String>,

    /// Only those in memory, or only those that are not
    #[arg(long)]
    residency: Option<Residency>,

    #[command(flatten)]
    page: Page,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Residency {
    Hot,
    Passive,
}

impl Actors {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let mut filters = Vec::new();
        if let Some(kind) = &self.kind {
            filters.push(("kind", kind.clone()));
        }
        if let Some(residency) = self.residency {
            let name = match residency {
                Residency::Hot => "hot",
                Residency::Passive => "passive",
            };
            filters.push(("residency", name.to_owned()));
        }
        list(&self.remote, &self.page, listen, &["api", "v1", "system", "actors"], filters, ROWS).await
    }
}
