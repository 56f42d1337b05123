//! `throughline inspect`: one entity, now or as it was.

use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use throughline_workflows::time::Timestamp;

use super::{
    remote::Remote,
    show::{Column, Rows, plain, pretty, table},
    values,
};

const TIMERS: Rows = Rows(&[Column::Plain("name"), Column::Time("due_at"), Column::Plain("stuck")]);

const ACTIVITIES: Rows = Rows(&[
    Column::Plain("id"),
    Column::Plain("kind"),
    Column::Plain("lane"),
    Column::Plain("attempts"),
    Column::Time("next_try_at"),
    Column::Plain("last_error"),
]);

/// Show one entity: its state, its timers, and what it waits for.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughline inspect conversation 019a9f3e-5c1d-7c3a-9d52-0f6f3f0b7c11 --at 3"
)]
pub(super) struct Inspect {
    /// What it is, for example conversation or customer
    kind: String,

    /// Its id
    #[arg(value_parser = values::id)]
    id: Uuid,

    /// Its state at this version instead of now
    #[arg(long, value_name = "VERSION")]
    at: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

impl Inspect {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let query: Vec<(&str, String)> =
            self.at.map(|version| ("version", version.to_string())).into_iter().collect();
        let path = ["api", "v1", "system", "actors", &self.kind, &self.id.to_string()];
        let answer = self.remote.client(listen)?.get(&path, &query).await?;
        Ok(if self.remote.json { pretty(&answer.body) } else { as_text(&answer.body, answer.now) })
    }
}

fn as_text(body: &Value, now: Option<Timestamp>) -> String {
    let facts = ["kind", "id", "tenant", "version", "residency", "restarts", "last_failure"];
    let facts = facts.iter().filter_map(|name| {
        let value = body.get(name).filter(|value| !value.is_null())?;
        Some(vec![name.replace('_', " "), plain(value)])
    });
    let mut text = table(&[], facts.collect());
    text.push_str("\n\nstate\n");
    text.push_str(&pretty(body.get("state").unwrap_or(&Value::Null)));
    for (field, heading, rows) in
        [("timers", "timers", TIMERS), ("pending_activities", "pending activities", ACTIVITIES)]
    {
        if let Some(items) = body.get(field).and_then(Value::as_array).filter(|items| !items.is_empty()) {
            text.push_str(&format!("\n\n{heading}\n{}", rows.table(items, now)));
        }
    }
    text
}
