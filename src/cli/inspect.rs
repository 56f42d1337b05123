//! `throughline inspect`: one entity, now or as it was, what changed in it, and what came about how.

use std::net::SocketAddr;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use throughline_workflows::time::Timestamp;

use super::{
    remote::{Client, Remote},
    show::{Column, Rows, plain, pretty, table, time},
    values,
};

const TIMERS: Rows = Rows(&[
    Column::Plain("name"),
    Column::Time("due_at"),
    Column::Time("fire_at"),
    Column::Plain("stuck"),
    Column::Plain("rule"),
]);

const ACTIVITIES: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("lane"),
    Column::Plain("attempts"),
    Column::Time("next_try_at"),
    Column::Plain("last_error"),
]);

const HISTORY: Rows = Rows(&[
    Column::Plain("version"),
    Column::Time("timestamp"),
    Column::Plain("type"),
    Column::Plain("because"),
]);

const CHANGES: Rows = Rows(&[Column::Plain("path"), Column::Plain("before"), Column::Plain("after")]);

/// How many rows a page of a history has.
const PAGE_SIZE: u64 = 200;

/// Show one entity: its state, its timers and which rule armed them, and what it waits for.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughline inspect conversation 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --diff 3..5"
)]
pub(super) struct Inspect {
    /// What it is, for example conversation or customer
    kind: String,

    /// Its id
    #[arg(value_parser = values::id)]
    id: Uuid,

    /// Its state at this version instead of now
    #[arg(long, value_name = "VERSION", value_parser = values::version)]
    at: Option<u64>,

    /// What changed between two versions instead, 0 being before the first
    #[arg(long, value_name = "FROM..TO", value_parser = values::versions, conflicts_with = "at")]
    diff: Option<(u64, u64)>,

    /// What happened and what caused it instead
    #[arg(long, conflicts_with_all = ["at", "diff"])]
    history: bool,

    /// Whose it is, where it is another tenant's
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

impl Inspect {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let client = self.remote.client(listen)?;
        let mut query: Vec<_> = self.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
        let id = self.id.to_string();
        let mut path = vec!["api", "v1", "system", "actors", &self.kind, &id];
        let words: fn(&Value, Option<Timestamp>) -> String = if self.history {
            path.push("history");
            let (body, now) = whole(&client, &path, &query).await?;
            return Ok(if self.remote.json { pretty(&body) } else { history(&body, now) });
        } else if let Some((from, to)) = self.diff {
            path.push("diff");
            query.extend([("from", from.to_string()), ("to", to.to_string())]);
            diff
        } else {
            query.extend(self.at.map(|version| ("version", version.to_string())));
            state
        };
        let answer = client.get(&path, &query).await?;
        Ok(if self.remote.json { pretty(&answer.body) } else { words(&answer.body, answer.now) })
    }
}

/// All pages of a list as one.
async fn whole(
    client: &Client,
    path: &[&str],
    query: &[(&str, String)],
) -> anyhow::Result<(Value, Option<Timestamp>)> {
    let mut items = Vec::new();
    for page in 1_u64.. {
        let mut query = query.to_vec();
        query.extend([("page", page.to_string()), ("page_size", PAGE_SIZE.to_string())]);
        let mut answer = client.get(path, &query).await?;
        let total = answer.body.get("total").and_then(Value::as_u64).unwrap_or_default();
        if let Some(Value::Array(rows)) = answer.body.get_mut("items").map(Value::take) {
            items.extend(rows);
        }
        if page * PAGE_SIZE >= total {
            let body = json!({ "items": items, "page": 1, "page_size": items.len(), "total": items.len() });
            return Ok((body, answer.now));
        }
    }
    unreachable!("pages do not end before the last one");
}

fn history(body: &Value, now: Option<Timestamp>) -> String {
    HISTORY.table(list(body, "items"), now)
}

fn diff(body: &Value, now: Option<Timestamp>) -> String {
    let mut text = match list(body, "changes") {
        [] => "nothing in its state differs".to_owned(),
        changes => CHANGES.table(changes, now),
    };
    for (field, heading, rows) in [("timers", "timers", CHANGES), ("events", "because of", HISTORY)] {
        let items = list(body, field);
        if !items.is_empty() {
            text.push_str(&format!("\n\n{heading}\n{}", rows.table(items, now)));
        }
    }
    text
}

fn state(body: &Value, now: Option<Timestamp>) -> String {
    let facts = ["kind", "id", "tenant", "version", "residency", "mailbox_depth", "restarts", "last_failure"];
    let facts = facts.iter().filter_map(|name| {
        let value = body.get(name).filter(|value| !value.is_null())?;
        Some(vec![name.replace('_', " "), plain(value)])
    });
    let pause = body.get("paused").filter(|pause| !pause.is_null()).map(|pause| {
        let null = Value::Null;
        let field = |path: &str| pause.pointer(path).unwrap_or(&null);
        let (by, reason) = (plain(field("/by/name")), plain(field("/reason")));
        vec!["paused".to_owned(), format!("{} by {by}: {reason}", time(field("/since"), now))]
    });
    let mut text = table(&[], facts.chain(pause).collect());
    for (field, heading, rows) in
        [("timers", "timers", TIMERS), ("pending_activities", "pending activities", ACTIVITIES)]
    {
        let items = list(body, field);
        if !items.is_empty() {
            text.push_str(&format!("\n\n{heading}\n{}", rows.table(items, now)));
        }
    }
    text.push_str("\n\nstate\n");
    text.push_str(&pretty(body.get("state").unwrap_or(&Value::Null)));
    text
}

fn list<'a>(body: &'a Value, field: &str) -> &'a [Value] {
    body.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
