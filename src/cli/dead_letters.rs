//! `throughline dead-letters`: what could not be handled, and what to do with it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use throughline_workflows::time::Timestamp;

use super::{
    page::{Page, list},
    remote::{Answer, Remote},
    show::{Column, Rows, plain, pretty, table, time},
    values,
};

const ROWS: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("kind"),
    Column::Time("at"),
    Column::Plain("entity"),
    Column::Plain("version"),
    Column::Plain("attempts"),
    Column::Plain("reason"),
]);

const PATH: [&str; 4] = ["api", "v1", "system", "dead-letters"];

/// List, show, retry and discard what could not be handled.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline dead-letters list")]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List them
    #[command(after_help = "Example:\n  throughline dead-letters list --page-size 20")]
    List {
        #[command(flatten)]
        page: Page,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one with what it carries
    #[command(after_help = "Example:\n  throughline dead-letters show 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11")]
    Show {
        /// Its id
        #[arg(value_parser = values::id)]
        id: Uuid,
        #[command(flatten)]
        remote: Remote,
    },
    /// Try one again, as it is or with a mended payload
    #[command(
        after_help = "Example:\n  throughline dead-letters retry 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason mended"
    )]
    Retry {
        /// Its id
        #[arg(value_parser = values::id)]
        id: Uuid,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
        /// A file with what to try instead
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give one up
    #[command(
        after_help = "Example:\n  throughline dead-letters discard 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason \"spam\""
    )]
    Discard {
        /// Its id
        #[arg(value_parser = values::id)]
        id: Uuid,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl DeadLetters {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        match &self.act {
            Act::List { page, remote } => list(remote, page, listen, &PATH, Vec::new(), ROWS).await,
            Act::Show { id, remote } => {
                let answer = remote.client(listen)?.get(&with(&[&id.to_string()]), &[]).await?;
                Ok(if remote.json { pretty(&answer.body) } else { letter(&answer.body, answer.now) })
            }
            Act::Retry { id, reason, payload, remote } => {
                let body = match payload {
                    Some(file) => json!({ "reason": reason, "payload": read_payload(file)? }),
                    None => json!({ "reason": reason }),
                };
                let answer = remote
                    .client(listen)?
                    .send(Method::POST, &with(&[&id.to_string(), "retry"]), &body)
                    .await?;
                Ok(told(remote, &answer, &format!("{id} is tried again")))
            }
            Act::Discard { id, reason, remote } => {
                let body = json!({ "reason": reason });
                let answer = remote
                    .client(listen)?
                    .send(Method::POST, &with(&[&id.to_string(), "discard"]), &body)
                    .await?;
                Ok(told(remote, &answer, &format!("{id} is discarded")))
            }
        }
    }
}

fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    PATH.iter().copied().chain(rest.iter().copied()).collect()
}

fn told(remote: &Remote, answer: &Answer, text: &str) -> String {
    if remote.json { pretty(&answer.body) } else { text.to_owned() }
}

/// A payload as JSON; what is none is sent as text.
fn read_payload(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("the payload {}", file.display()))?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn letter(body: &Value, now: Option<Timestamp>) -> String {
    let facts = ["id", "kind", "at", "entity", "version", "attempts", "reason"];
    let facts = facts.iter().filter_map(|name| {
        let value = body.get(name).filter(|value| !value.is_null())?;
        let shown = if *name == "at" { time(value, now) } else { plain(value) };
        Some(vec![(*name).to_owned(), shown])
    });
    let payload = match body.get("payload") {
        Some(Value::String(text)) => text.clone(),
        Some(value) => pretty(value),
        None => "none".to_owned(),
    };
    format!("{}\n\npayload\n{payload}", table(&[], facts.collect()))
}
