//! Lists, a page at a time.

use std::net::SocketAddr;

use clap::Args;
use serde_json::Value;

use super::{
    remote::{Answer, Remote},
    show::{Rows, pretty},
};

/// Which part of a list to show.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// Which page, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,

    /// How many rows a page has
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    page_size: u32,
}

/// Asks for one page of the list at `segments` and shows it.
pub(super) async fn list(
    remote: &Remote,
    page: &Page,
    listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    segments: &[&str],
    filters: Vec<(&str, String)>,
    rows: Rows,
) -> anyhow::Result<String> {
    list_of(remote, page, listen, segments, filters, rows, Value::clone).await
}

/// The same, each row as `row` makes it where it is shown in columns.
pub(super) async fn list_of(
    remote: &Remote,
    page: &Page,
    listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
    segments: &[&str],
    filters: Vec<(&str, String)>,
    rows: Rows,
    row: fn(&Value) -> Value,
) -> anyhow::Result<String> {
    let mut query = filters;
    query.extend([("page", page.page.to_string()), ("page_size", page.page_size.to_string())]);
    let answer = remote.client(listen)?.get(segments, &query).await?;
    Ok(if remote.json { pretty(&answer.body) } else { as_text(&answer, page, &rows, row) })
}

fn as_text(answer: &Answer, page: &Page, rows: &Rows, row: fn(&Value) -> Value) -> String {
    let items =
        answer.body.get("items").unwrap_or(&answer.body).as_array().map(Vec::as_slice).unwrap_or_default();
    let total = answer.body.get("total").and_then(Value::as_u64);
    if items.is_empty() {
        return match total {
            Some(total) if total > 0 => format!("nothing on page {} of {total} rows", page.page),
            _ => "nothing".to_owned(),
        };
    }
    let shown: Vec<Value> = items.iter().map(row).collect();
    let mut text = rows.table(&shown, answer.now);
    let shown = u64::from(page.page - 1) * u64::from(page.page_size) + items.len() as u64;
    if let Some(total) = total.filter(|total| *total > shown) {
        text.push_str(&format!("\n\n{shown} of {total}; --page {} shows more", page.page + 1));
    }
    text
}
