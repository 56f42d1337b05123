//! `throughline silence`: who waits for us, the longest first, and who cannot be reached.

use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;

use throughline_workflows::time::{Span, Timestamp};

use super::{
    remote::{Answer, Remote},
    show::{Column, Rows, pretty},
};

const ROWS: Rows = Rows(&[
    Column::Time("waiting_since"),
    Column::Plain("customer"),
    Column::Plain("status"),
    Column::Plain("priority"),
    Column::Plain("case_id"),
    Column::Time("next_update_due_at"),
    Column::Plain("reachable"),
    Column::Plain("conversation_id"),
]);

/// List who waits for us, the longest first, and who cannot be reached.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughline silence --unreachable")]
pub(super) struct Silence {
    /// Only those who cannot be reached
    #[arg(long)]
    unreachable: bool,

    /// How many to show at most
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=200))]
    top: u32,

    #[command(flatten)]
    remote: Remote,
}

impl Silence {
    pub(super) async fn run(
        &self,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    ) -> anyhow::Result<String> {
        let mut query = vec![("page_size", self.top.to_string())];
        if self.unreachable {
            query.push(("reachable", "false".to_owned()));
        }
        let answer = self.remote.client(listen)?.get(&["api", "v1", "silence"], &query).await?;
        Ok(if self.remote.json { pretty(&answer.body) } else { self.as_text(&answer) })
    }

    fn as_text(&self, answer: &Answer) -> String {
        let items = answer.body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            let nobody = if self.unreachable { "everybody can be reached" } else { "nobody waits" };
            return nobody.to_owned();
        }
        let items: Vec<Value> = items.iter().map(named).collect();
        let mut text = ROWS.table(&items, items.iter().find_map(now).or(answer.now));
        let total = answer.body.get("total").and_then(Value::as_u64).unwrap_or_default();
        if total > items.len() as u64 {
            text.push_str(&format!("\n\n{} of {total}; --top shows more, up to 200", items.len()));
        }
        text
    }
}

/// The server's time, which on a manual clock is not this machine's.
fn now(row: &Value) -> Option<Timestamp> {
    let since: Timestamp = row.get("waiting_since")?.as_str()?.parse().ok()?;
    Some(since + Span::from_secs(row.get("silent_seconds")?.as_u64()?))
}

/// The row with its customer by name, or by id where we know no name.
fn named(row: &Value) -> Value {
    let mut row = row.clone();
    let customer =
        row.get("customer").and_then(|customer| customer.get("name").or_else(|| customer.get("id")));
    if let Some(customer) = customer.cloned() {
        row["customer"] = customer;
    }
    row
}

#[cfg(test)]
mod unit {
    use axum::{Json, Router, extract::RawQuery, routing::get};
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        silence: Silence,
    }

    /// What the command says of `body`, asked for with `arguments`; the server insists on `query`.
    async fn said(arguments: &[&str], query: &'static str, body: Value) -> String {
        let answer = move |RawQuery(asked): RawQuery| async move {
            assert_eq!(asked.as_deref(), Some(query));
            Json(body)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/api/v1/silence", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let line = Line::parse_from(["silence"].iter().chain(arguments));
        line.silence.run(|| Ok(address)).await.unwrap()
    }

    #[tokio::test]
    async fn whoever_waits_is_shown_by_name_with_times_by_the_servers_clock() {
        let row = json!({
            "conversation_id": "c1", "status": "escalated", "customer": { "id": "u1", "name": "Ada Whitfield" },
            "case_id": "TL-7K3M-9QX", "waiting_since": "2026-11-23T08:00:00.000Z", "silent_seconds": 7200,
            "next_update_due_at": "2026-11-23T20:00:00.000Z", "reachable": true,
        });
        let text = said(&["--top", "1"], "page_size=1", json!({ "items": [row], "total": 3 })).await;
        assert!(text.contains("2026-11-23T08:00:00.000Z (2h ago)  Ada Whitfield  escalated"), "{text}");
        assert!(text.contains("2026-11-23T20:00:00.000Z (in 10h)"), "{text}");
        assert!(text.ends_with("1 of 3; --top shows more, up to 200"), "{text}");
    }

    #[tokio::test]
    async fn an_empty_list_is_good_news() {
        let nobody = json!({ "items": [], "total": 0 });
        assert_eq!(said(&[], "page_size=50", nobody.clone()).await, "nobody waits");
        let query = "page_size=50&reachable=false";
        assert_eq!(said(&["--unreachable"], query, nobody).await, "everybody can be reached");
    }
}
