//! `throughline actors replay`: entities rebuilt from the journal and compared, one or all of them.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{
    Finding,
    remote::{Client, Remote},
    show::{Column, Rows, plain, pretty},
    values,
};

/// Between two looks at how far a comparison is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

const DIFFERENCES: Rows = Rows(&[
    Column::Plain("kind"),
    Column::Plain("id"),
    Column::Plain("against"),
    Column::Plain("version"),
    Column::Plain("path"),
    Column::Plain("journal"),
    Column::Plain("found"),
]);

/// Which entities, and why.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("which").args(["kind", "all"]).required(true).multiple(true)))]
pub(super) struct Replay {
    /// What it is, for example conversation or customer; with --all only those of this kind are compared
    kind: Option<String>,

    /// Its id
    #[arg(value_parser = values::id, required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,

    /// Compare all of them
    #[arg(long)]
    all: bool,

    /// Why; kept in the audit
    #[arg(long)]
    reason: String,

    /// Whose, where that is another tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

impl Replay {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let client = self.remote.client(listen)?;
        let mut query: Vec<_> = self.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
        let body = json!({ "reason": self.reason });
        let (body, text) = match (&self.kind, self.id) {
            (Some(kind), Some(id)) => {
                let id = id.to_string();
                let path = ["api", "v1", "system", "actors", kind, &id, "replay"];
                let answer = client.send_to(Method::POST, &path, &query, &body).await?;
                let text = one(&answer.body);
                (answer.body, text)
            }
            _ => {
                query.extend(self.kind.iter().map(|kind| ("kind", kind.clone())));
                client.send_to(Method::POST, &["api", "v1", "system", "replay"], &query, &body).await?;
                let run = follow(&client).await?;
                let text = all(&run);
                (run, text)
            }
        };
        let said = if self.remote.json { pretty(&body) } else { text };
        let differs = body.get("differences").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let whole = body.get("failed").is_none_or(Value::is_null);
        if differs || !whole { Err(Finding(said).into()) } else { Ok(said) }
    }
}

/// Waits until the comparison has ended, and shows how far it is where somebody looks on.
async fn follow(client: &Client) -> anyhow::Result<Value> {
    let watched = io::stderr().is_terminal();
    loop {
        let run = client.get(&["api", "v1", "system", "replay"], &[]).await?.body;
        let ended = run.get("finished_at").is_some_and(|at| !at.is_null());
        if watched {
            // Nothing can be said where the terminal is gone.
            let _ = write!(
                io::stderr(),
                "\r{} of {} entities compared{}",
                number(&run, "compared"),
                number(&run, "entities"),
                if ended { "\n" } else { "" }
            );
        }
        if ended {
            return Ok(run);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn one(replayed: &Value) -> String {
    let compared: Vec<String> =
        [("snapshot_version", "its snapshot"), ("memory_version", "what is in memory")]
            .into_iter()
            .filter_map(|(field, name)| {
                Some(format!("{name} at version {}", replayed.get(field).and_then(Value::as_u64)?))
            })
            .chain([format!("{} timers", number(replayed, "timers"))])
            .collect();
    let null = Value::Null;
    let mut text = format!(
        "{} {} replayed from {} events to version {}; compared with {}: ",
        plain(replayed.get("kind").unwrap_or(&null)),
        plain(replayed.get("id").unwrap_or(&null)),
        number(replayed, "events"),
        number(replayed, "version"),
        compared.join(", ")
    );
    text.push_str(&differences(replayed));
    text
}

fn all(run: &Value) -> String {
    let mut text =
        format!("{} entities replayed from {} events: ", number(run, "compared"), number(run, "events"));
    text.push_str(&differences(run));
    if let Some(why) = run.get("failed").and_then(Value::as_str) {
        text.push_str(&format!("\nit ended before its end: {why}"));
    }
    text
}

fn differences(body: &Value) -> String {
    let found = body.get("differences").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return "nothing differs".to_owned();
    }
    let differing = body.get("differing").and_then(Value::as_u64).unwrap_or(1);
    format!("something differs in {differing}\n\n{}", DIFFERENCES.table(found, None))
}
