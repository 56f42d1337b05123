//! `throughline activities`: what waits to be done outside, and what an operator does about it.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    page::{Page, list},
    remote::Remote,
    show::{Column, Rows, pretty},
};

const ROWS: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("kind"),
    Column::Plain("lane"),
    Column::Plain("attempts"),
    Column::Time("next_try_at"),
    Column::Time("asked_at"),
    Column::Plain("paused"),
    Column::Plain("last_error"),
]);

const PATH: [&str; 4] = ["api", "v1", "system", "activities"];

/// List what waits to be done outside, try one at once, or give one up.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = "Example:\n  throughline activities --json")]
pub(super) struct Activities {
    #[command(subcommand)]
    act: Option<Act>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    page: Page,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List them, those first that are tried first
    #[command(after_help = "Example:\n  throughline activities list --page-size 20")]
    List(List),
    /// Try one at once, whatever it was to wait for
    #[command(
        after_help = "Example:\n  throughline activities retry-now 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11.4.0 --reason mended"
    )]
    RetryNow(One),
    /// Give one up: its entity hears that it failed, and it is kept as a dead letter
    #[command(
        after_help = "Example:\n  throughline activities skip 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11.4.0 --reason obsolete"
    )]
    Skip(One),
}

/// One activity, and why.
#[derive(Debug, Args)]
struct One {
    /// Its id, ENTITY.VERSION.INDEX
    id: String,

    /// Why; kept in the audit
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    remote: Remote,
}

impl Activities {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        match &self.act {
            None => self.list.run(listen).await,
            Some(Act::List(list)) => list.run(listen).await,
            Some(Act::RetryNow(one)) => one.run("retry-now", "is tried at once", listen).await,
            Some(Act::Skip(one)) => one.run("skip", "is given up and kept as a dead letter", listen).await,
        }
    }
}

impl List {
    async fn run(&self, listen: impl FnOnce() -> anyhow::Result<SocketAddr>) -> anyhow::Result<String> {
        list(&self.remote, &self.page, listen, &PATH, Vec::new(), ROWS).await
    }
}

impl One {
    async fn run(
        &self,
        act: &str,
        what: &str,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let path: Vec<&str> = PATH.into_iter().chain([self.id.as_str(), act]).collect();
        let body = json!({ "reason": self.reason });
        let answer = self.remote.client(listen)?.send(Method::POST, &path, &body).await?;
        Ok(if self.remote.json { pretty(&answer.body) } else { format!("{} {what}", self.id) })
    }
}
