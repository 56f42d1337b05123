//! Answers made readable: aligned columns, times with how far away they are, JSON with indentation.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use throughline_workflows::time::{Span, Timestamp};

/// How one column is made from a row's field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// The value as it is.
    Plain(&'static str),
    /// A time, with how far it is from now.
    Time(&'static str),
    /// The same, and the column stands there even where no row has it.
    KeptTime(&'static str),
    /// Its own name where it is true, and nothing where it is not.
    Flag(&'static str),
}

/// The columns of a list. A column whose field no row has is left out, unless it is kept.
#[derive(Debug)]
pub(super) struct Rows(pub(super) &'static [Column]);

impl Column {
    fn field(self) -> &'static str {
        match self {
            Self::Plain(field) | Self::Time(field) | Self::KeptTime(field) | Self::Flag(field) => field,
        }
    }

    fn cell(self, row: &Value, now: Option<Timestamp>) -> String {
        let Some(value) = row.get(self.field()) else {
            return String::new();
        };
        match self {
            Self::Plain(_) => plain(value),
            Self::Time(_) | Self::KeptTime(_) => time(value, now),
            Self::Flag(field) if *value == Value::Bool(true) => field.replace('_', " "),
            Self::Flag(_) => String::new(),
        }
    }
}

impl Rows {
    /// The table of `items`, seen at `now`.
    pub(super) fn table(&self, items: &[Value], now: Option<Timestamp>) -> String {
        let filled = |column: &&Column| {
            matches!(column, Column::KeptTime(_))
                || items.iter().any(|row| {
                    row.get(column.field()).is_some_and(|value| match column {
                        Column::Flag(_) => *value == Value::Bool(true),
                        _ => !value.is_null(),
                    })
                })
        };
        let columns: Vec<Column> = self.0.iter().filter(filled).copied().collect();
        let heads: Vec<String> = columns.iter().map(|column| column.field().replace('_', " ")).collect();
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let rows = items.iter().map(|row| columns.iter().map(|column| column.cell(row, now)).collect());
        table(&heads, rows.collect())
    }
}

/// Aligned columns without lines; no heading where `heads` is empty.
pub(super) fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    // Lines are never broken: what is printed may be searched and cut by other programs.
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !heads.is_empty() {
        table.set_header(heads.iter().map(|head| head.to_uppercase()));
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Bytes for people.
pub(super) fn amount(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// JSON for people.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// A value in one line, without quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A time as the server wrote it and, where its clock is known, how far away it is.
pub(super) fn time(value: &Value, now: Option<Timestamp>) -> String {
    let text = plain(value);
    match (now, text.parse()) {
        (Some(now), Ok(at)) => format!("{text} ({})", distance(now, at)),
        _ => text,
    }
}

/// How far `at` is from `now`.
pub(super) fn distance(now: Timestamp, at: Timestamp) -> String {
    let (ahead, behind) = (at.since(now), now.since(at));
    if ahead.as_secs() > 0 {
        format!("in {}", short(ahead))
    } else if behind.as_secs() > 0 {
        format!("{} ago", short(behind))
    } else {
        "now".to_owned()
    }
}

/// A span in its largest unit and the one below it, never above days; from a week on in days alone.
pub(super) fn short(span: Span) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let (large, small) = match (days, hours, minutes) {
        (7.., _, _) => ((days, "d"), (0, "h")),
        (1.., _, _) => ((days, "d"), (hours, "h")),
        (0, 1.., _) => ((hours, "h"), (minutes, "m")),
        (0, 0, 1..) => ((minutes, "m"), (seconds % 60, "s")),
        (0, 0, 0) => ((seconds, "s"), (0, "")),
    };
    let written = |(count, unit): (u64, &str)| format!("{count}{unit}");
    if small.0 == 0 { written(large) } else { format!("{} {}", written(large), written(small)) }
}

#[cfg(test)]
mod unit {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_say_how_far_away_they_are() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let shown = |at: &str| time(&json!(at), Some(now));
        assert_eq!(shown("2026-11-21T09:03:20.500Z"), "2026-11-21T09:03:20.500Z (in 3m 20s)");
        assert_eq!(shown("2026-11-21T10:00:59Z"), "2026-11-21T10:00:59Z (in 1h)");
        assert_eq!(shown("2026-11-19T07:58:59Z"), "2026-11-19T07:58:59Z (2d 1h ago)");
        assert_eq!(shown("2027-02-19T08:59:59Z"), "2027-02-19T08:59:59Z (in 89d)");
        assert_eq!(shown("2026-11-21T09:00:00Z"), "2026-11-21T09:00:00Z (now)");
        assert_eq!(time(&json!("2026-11-21T09:00:00Z"), None), "2026-11-21T09:00:00Z");
        assert_eq!(shown("soon"), "soon");
    }

    #[test]
    fn columns_stand_under_their_heads_and_empty_ones_are_left_out() {
        let rows = Rows(&[Column::Plain("kind"), Column::Plain("tenant"), Column::Plain("last_error")]);
        let kept = Rows(&[Column::Plain("kind"), Column::KeptTime("last_command_at")]);
        assert!(kept.table(&[json!({"kind": "a"})], None).starts_with("KIND  LAST COMMAND AT"));
        let text = rows.table(&[json!({"kind": "a", "last_error": "x\ny"}), json!({"kind": "longer"})], None);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["KIND    LAST ERROR", "a       x y", "longer"]);
    }
}
