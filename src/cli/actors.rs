//! `throughline actors`: one row an entity, and what an operator does to one of them.

mod replay;

use std::net::SocketAddr;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    page::{Page, list_of},
    remote::{Answer, Remote},
    show::{Column, Rows, plain, pretty, time},
    values,
};

const ROWS: Rows = Rows(&[
    Column::Plain("kind"),
    Column::Plain("id"),
    Column::Plain("tenant"),
    Column::Plain("residency"),
    Column::Plain("paused"),
    Column::Plain("mailbox_depth"),
    Column::Plain("version"),
    Column::Plain("last_command"),
    Column::KeptTime("last_command_at"),
    Column::Plain("restarts"),
    Column::Plain("last_failure"),
]);

const PATH: [&str; 4] = ["api", "v1", "system", "actors"];

/// List the entities, or act upon one: pause, resume, passivate, replay.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  throughline actors --kind conversation --residency hot"
)]
pub(super) struct Actors {
    #[command(subcommand)]
    act: Option<Act>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this kind, for example conversation
    #[arg(long)]
    kind: Option<String>,

    /// Only those in memory, or only those that are not
    #[arg(long)]
    residency: Option<Residency>,

    /// Only those that an operator has paused
    #[arg(long)]
    paused: bool,

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

#[derive(Debug, Subcommand)]
enum Act {
    /// Let no timer fire on one, begin nothing it asked for, and keep its messages in the inbox
    ///
    /// What people and programs ask of it is done. Its clocks run on: a promise that falls due meanwhile is late.
    #[command(
        after_help = "Example:\n  throughline actors pause conversation 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason looking"
    )]
    Pause(One),
    /// Let a paused one go on: what fell due meanwhile happens at once
    #[command(
        after_help = "Example:\n  throughline actors resume conversation 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason mended"
    )]
    Resume(One),
    /// Take one out of memory; it is read back from its journal at the next command
    #[command(
        after_help = "Example:\n  throughline actors passivate customer 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason stale"
    )]
    Passivate(One),
    /// Rebuild one, or all, from the journal and compare what is kept beside it
    ///
    /// The exit status is 1 if something differs, which is a mistake of the software or damage to the store.
    #[command(
        after_help = "Example:\n  throughline actors replay conversation 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --reason doubt"
    )]
    Replay(replay::Replay),
}

/// One entity, and why.
#[derive(Debug, Args)]
struct One {
    /// What it is, for example conversation or customer
    kind: String,

    /// Its id
    #[arg(value_parser = values::id)]
    id: Uuid,

    /// Why; kept in the audit
    #[arg(long)]
    reason: String,

    /// Whose it is, where it is another tenant's
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

impl Actors {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        match &self.act {
            None => self.list.run(listen).await,
            Some(Act::Pause(one)) => {
                let answer = one.ask("pause", listen).await?;
                Ok(one.told(&answer, "is paused", &held_back(&answer)))
            }
            Some(Act::Resume(one)) => Ok(one.told(&one.ask("resume", listen).await?, "goes on", "")),
            Some(Act::Passivate(one)) => {
                Ok(one.told(&one.ask("passivate", listen).await?, "is out of memory", ""))
            }
            Some(Act::Replay(replay)) => replay.run(listen).await,
        }
    }
}

impl List {
    async fn run(&self, listen: impl FnOnce() -> anyhow::Result<SocketAddr>) -> anyhow::Result<String> {
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
        if self.paused {
            filters.push(("paused", "true".to_owned()));
        }
        list_of(&self.remote, &self.page, listen, &PATH, filters, ROWS, with_reason).await
    }
}

/// The row with the reason of its pause instead of all that is known of it.
fn with_reason(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(reason) = row.pointer("/paused/reason").cloned() {
        row["paused"] = reason;
    }
    row
}

impl One {
    async fn ask(
        &self,
        act: &str,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<Answer> {
        let id = self.id.to_string();
        let path: Vec<&str> = PATH.into_iter().chain([self.kind.as_str(), &id, act]).collect();
        let query: Vec<_> = self.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
        let body = json!({ "reason": self.reason });
        self.remote.client(listen)?.send_to(Method::POST, &path, &query, &body).await
    }

    fn told(&self, answer: &Answer, what: &str, more: &str) -> String {
        if self.remote.json {
            return pretty(&answer.body);
        }
        format!("{} {} {what}{more}", self.kind, self.id)
    }
}

/// What a pause holds back, the first of it by name.
fn held_back(answer: &Answer) -> String {
    let timers = answer.body.get("timers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut text = String::new();
    if let Some(first) = timers.first() {
        let null = Value::Null;
        let field = |name: &str| first.get(name).unwrap_or(&null);
        text.push_str(&format!(
            "\n{} of its timers wait, the first is {} at {}",
            timers.len(),
            plain(field("name")),
            time(field("due_at"), answer.now)
        ));
        if let Some(promise) = timers.iter().find(|timer| timer.get("name") == Some(&json!("silence"))) {
            let due = promise.get("due_at").unwrap_or(&null);
            text.push_str(&format!(
                "\nits customer was promised to hear again by {}: nothing will be sent until it is resumed",
                time(due, answer.now)
            ));
        }
    }
    if let Some(pending) = answer.body.get("pending_activities").and_then(Value::as_u64).filter(|n| *n > 0) {
        text.push_str(&format!("\n{pending} of its activities wait"));
    }
    text
}
