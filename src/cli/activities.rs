//! `throughline activities`: what waits to be done outside, and what an operator does about it.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    page::{Page, list},
    remote::{Client, Remote},
    show::{Column, Rows, plain, pretty},
};

const ROWS: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("kind"),
    Column::Plain("lane"),
    Column::Plain("attempts"),
    Column::Time("next_try_at"),
    Column::Time("asked_at"),
    Column::Flag("paused"),
    Column::Plain("last_error"),
]);

/// How many rows are asked for at once where all are wanted.
const PAGE_SIZE: u64 = 200;

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
    /// Only those that were tried in vain, or refused a try, and wait for another
    #[arg(long)]
    failing: bool,

    /// Only those of this lane, for example sms
    #[arg(long)]
    lane: Option<String>,

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
    RetryNow(Retry),
    /// Give one up: its entity hears that it failed, and it is kept as a dead letter
    #[command(
        after_help = "Example:\n  throughline activities skip 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11.4.0 --reason obsolete"
    )]
    Skip(One),
}

/// One activity, or all of a lane that wait for another try, and why.
#[derive(Debug, Args)]
struct Retry {
    /// Its id, ENTITY.VERSION.INDEX
    #[arg(required_unless_present = "lane")]
    id: Option<String>,

    /// All that wait for another try in this lane, for example sms
    #[arg(long, conflicts_with = "id")]
    lane: Option<String>,

    /// Why; kept in the audit
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    remote: Remote,
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
            Some(Act::RetryNow(retry)) => retry.run(listen).await,
            Some(Act::Skip(one)) => one.run("skip", "is given up and kept as a dead letter", listen).await,
        }
    }
}

impl List {
    async fn run(&self, listen: impl FnOnce() -> anyhow::Result<SocketAddr>) -> anyhow::Result<String> {
        let failing = self.failing.then(|| ("failing", "true".to_owned()));
        let lane = self.lane.clone().map(|lane| ("lane", lane));
        let filters = failing.into_iter().chain(lane).collect();
        list(&self.remote, &self.page, listen, &PATH, filters, ROWS).await
    }
}

impl Retry {
    async fn run(&self, listen: impl FnOnce() -> anyhow::Result<SocketAddr>) -> anyhow::Result<String> {
        let client = self.remote.client(listen)?;
        let ids = match (&self.id, &self.lane) {
            (Some(id), _) => vec![id.clone()],
            (None, lane) => waiting(&client, lane.as_deref().unwrap_or_default()).await?,
        };
        let body = json!({ "reason": self.reason });
        let mut said = Vec::new();
        let mut answers = Vec::new();
        for id in &ids {
            let path: Vec<&str> = PATH.into_iter().chain([id.as_str(), "retry-now"]).collect();
            match client.send(Method::POST, &path, &body).await {
                Ok(answer) => {
                    said.push(format!("{id} is tried at once"));
                    answers.push(answer.body);
                }
                // Of several one may have been done meanwhile; of one that is the answer.
                Err(error) if self.lane.is_some() => said.push(format!("{id}: {error:#}")),
                Err(error) => return Err(error),
            }
        }
        if self.remote.json {
            let one = self.lane.is_none().then(|| answers.pop()).flatten();
            return Ok(pretty(&one.unwrap_or(Value::Array(answers))));
        }
        if said.is_empty() {
            return Ok("nothing in this lane waits for another try".to_owned());
        }
        Ok(said.join("\n"))
    }
}

/// The activities of a lane that were tried in vain, or were not let through, in the order of their tries.
async fn waiting(client: &Client, lane: &str) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for page in 1_u64.. {
        let query = [
            ("failing", "true".to_owned()),
            ("lane", lane.to_owned()),
            ("page", page.to_string()),
            ("page_size", PAGE_SIZE.to_string()),
        ];
        let answer = client.get(&PATH, &query).await?;
        let items = answer.body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        ids.extend(items.iter().map(|row| row.get("id").map(plain).unwrap_or_default()));
        if (items.len() as u64) < PAGE_SIZE {
            break;
        }
    }
    Ok(ids)
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
