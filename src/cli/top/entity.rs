//! One entity, closely: who it is, what it waits for and why, what happened to it, and what it holds. Pure.

use serde_json::Value;
use throughline_workflows::time::Timestamp;

use super::{
    named::Named,
    snapshot::{number, text, tried},
    state::Detail,
};
use crate::cli::show::{pretty, time};

/// A line, and whether it is a heading.
pub(in crate::cli) type Line = (bool, String);

fn rows<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Everything that is known of it, line by line.
pub(in crate::cli) fn lines(detail: &Detail, now: Option<Timestamp>) -> Vec<Line> {
    let state = &detail.state;
    let mut lines: Vec<Line> = Vec::new();
    let when = |row: &Value, field: &str| row.get(field).map(|at| time(at, now)).unwrap_or_default();
    let facts = format!(
        "version {} · {} · {} in its mailbox · {} restarts",
        number(state, "/version"),
        text(state, "/residency"),
        number(state, "/mailbox_depth"),
        number(state, "/restarts")
    );
    lines.push((false, facts));
    let failure = text(state, "/last_failure");
    if !failure.is_empty() {
        lines.push((false, format!("crashed: {failure}")));
    }
    if let Some(pause) = state.get("paused").filter(|pause| !pause.is_null()) {
        let since = when(pause, "since");
        lines.push((
            false,
            format!("PAUSED {since} by {}: {}", text(pause, "/by/name"), text(pause, "/reason")),
        ));
    }
    let activities = rows(state, "pending_activities");
    lines.push((true, format!("pending activities ({})", activities.len())));
    for activity in activities {
        let (id, lane) = (text(activity, "/id"), text(activity, "/lane"));
        let (tries, next) = (number(activity, "/attempts"), when(activity, "next_try_at"));
        lines.push((false, format!("{id} {lane}")));
        lines.push((false, format!("    {}, next {next}", tried(tries))));
        let error = text(activity, "/last_error");
        if !error.is_empty() {
            lines.push((false, format!("    {error}")));
        }
    }
    let timers = rows(state, "timers");
    lines.push((true, format!("timers ({})", timers.len())));
    for timer in timers {
        let stuck = number(timer, "/stuck");
        let stuck = if stuck > 0 { format!("  STUCK {stuck}×") } else { String::new() };
        lines.push((false, format!("{:<24} {}{stuck}", text(timer, "/name"), when(timer, "due_at"))));
        let rule = text(timer, "/rule");
        if !rule.is_empty() {
            lines.push((false, format!("    {rule}")));
        }
    }
    lines.push((true, "history, the newest first".to_owned()));
    for event in &detail.history {
        let (version, name) = (number(event, "/version"), text(event, "/type"));
        lines.push((false, format!("{version:>5}  {name}  {}", when(event, "timestamp"))));
        lines.push((false, format!("       {}", text(event, "/because"))));
    }
    lines.push((true, "state".to_owned()));
    let state = pretty(state.get("state").unwrap_or(&Value::Null));
    lines.extend(state.lines().map(|line| (false, line.to_owned())));
    lines
}

/// What to type next about it.
pub(in crate::cli) fn next(entity: &Named, detail: Option<&Detail>) -> String {
    let failing = detail.and_then(|detail| {
        rows(&detail.state, "pending_activities").iter().find(|row| !text(row, "/last_error").is_empty())
    });
    let is_paused = detail.is_some_and(|detail| detail.state.get("paused").is_some_and(|it| !it.is_null()));
    match failing {
        _ if is_paused => entity.resume(),
        Some(activity) => {
            format!("throughline activities retry-now {} --reason \"…\"", text(activity, "/id"))
        }
        None => entity.inspect(" --history"),
    }
}
