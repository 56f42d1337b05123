//! What happened, line by line: what the people and the rehearsal did, and between it what the engine recorded.

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;

use throughline_workflows::time::Timestamp;

/// Words are broken before this column.
const WIDTH: usize = 96;
/// Where what is told begins.
const INDENT: usize = 32;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// When, in engine time.
    pub(super) at: Timestamp,
    /// The same, from the beginning on.
    pub(super) elapsed_seconds: u64,
    /// Who did it: a person, `Throughline`, or `(rehearsal)` for what befalls them.
    pub(super) who: &'static str,
    /// What they did.
    pub(super) what: String,
    /// In which words, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<String>,
}

/// What the engine recorded in a conversation, as far as it tells something that nobody else did.
pub(super) fn recorded(conversation: &Value, start: Timestamp) -> Vec<Line> {
    let events = conversation.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let line = |event: &Value| {
        // What was missed while nobody was there is dated back, but it became known only then.
        let known = event.get("details").and_then(|details| moment(details, "detected_at"));
        let at = known.or_else(|| moment(event, "timestamp"))?;
        let (what, words) = told(event, conversation)?;
        Some(Line { at, elapsed_seconds: at.since(start).as_secs(), who: "Throughline", what, words })
    };
    events.iter().filter_map(line).collect()
}

/// Both in one row: where two happened at the same moment, the act stands before what followed from it.
pub(super) fn merged(acts: &[Line], recorded: Vec<Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = acts.iter().cloned().chain(recorded).collect();
    lines.sort_by_key(|line| line.at); // It is stable.
    lines
}

fn told(event: &Value, conversation: &Value) -> Option<(String, Option<String>)> {
    let details = event.get("details")?;
    let by_engine = event.pointer("/by/kind").and_then(Value::as_str) == Some("engine");
    let message = event.get("message_id").and_then(|id| message(conversation, id));
    let channel = message.and_then(|message| text(message, "channel")).map_or("a channel", spoken);
    if let Some(status) = text(details, "status").filter(|_| details.get("what").is_none()) {
        let error = text(details, "error").map(|error| format!(": {error}")).unwrap_or_default();
        return match status {
            "queued" if by_engine => {
                let words = message.and_then(|message| text(message, "content")).map(str::to_owned);
                let taken = message.is_some_and(|message| message.get("sent_at").is_some());
                let what = purpose(text(details, "purpose")?);
                let vain = if taken { "" } else { ", in vain" };
                Some((format!("{what}, by {channel}{vain}"), words))
            }
            "failed" => Some((format!("the {channel} was not accepted{error}"), None)),
            "superseded" => {
                Some((format!("gives the {channel} up unsent; another message takes its place{error}"), None))
            }
            "uncertain" => Some((format!("cannot know whether the {channel} went out{error}"), None)),
            _ => None,
        };
    }
    let when = |name: &str| moment(details, name).map(short).unwrap_or_default();
    let clock = text(details, "clock").unwrap_or_default().replace('_', " ");
    let what = match text(details, "what").unwrap_or_default() {
        "nudged" => format!("asks Grace to write: Ada has to hear something by {}", when("due_at")),
        "reminded" => format!("reminds Grace that Ada waits for an answer since {}", when("waiting_since")),
        "hurried" => {
            format!("the {channel} is not accepted; another way will be taken at {}", when("fallback_at"))
        }
        "recalled" => format!("takes the {channel} back"),
        "sla_warned" => format!("warns: the clock \"{clock}\" is due at {}", when("due_at")),
        "sla_breached" | "silence_broken" => format!(
            "records that a promise was not kept: \"{clock}\", due at {}, seen at {} ({})",
            when("due_at"),
            when("detected_at"),
            text(details, "reason").unwrap_or_default().replace('_', " "),
        ),
        "customer_unreachable" => "no channel is left: Ada cannot be reached".to_owned(),
        "reach_retried" => "tries the channels again".to_owned(),
        "supervisor_alarmed" => "alarms a supervisor".to_owned(),
        _ => match text(details, "to")? {
            "reopened" => "opens the conversation again".to_owned(),
            "resolved" => "the conversation is resolved".to_owned(),
            _ => return None,
        },
    };
    Some((what, None))
}

/// What a message of the engine's does.
fn purpose(purpose: &str) -> &str {
    match purpose {
        "acknowledgement" => "says that the message arrived",
        "waiting" => "says that the message still waits",
        "escalation" => "names the case and promises the next word",
        "update" => "writes the promised update",
        "window_missed" => "says that the named time has passed",
        "resolved" => "says that it is solved",
        other => other,
    }
}

/// A channel in a sentence.
pub(super) fn spoken(channel: &str) -> &str {
    match channel {
        "sms" => "text message",
        "email" => "mail",
        other => other,
    }
}

/// The message of that id.
fn message<'a>(conversation: &'a Value, id: &Value) -> Option<&'a Value> {
    conversation.get("messages")?.as_array()?.iter().find(|message| message.get("id") == Some(id))
}

/// A text field; none if it is absent.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// A field that holds a time; none if it is absent.
pub(super) fn moment(value: &Value, name: &str) -> Option<Timestamp> {
    text(value, name)?.parse().ok()
}

/// A time within the two days, for people.
pub(super) fn short(at: Timestamp) -> String {
    let at = at.to_chrono();
    let seconds = if at.timestamp() % 60 == 0 { "" } else { ":%S" };
    at.format(&format!("%a %H:%M{seconds}")).to_string()
}

/// The lines for people; in colour where `colour` says so.
pub(super) fn shown(lines: &[Line], colour: bool) -> String {
    let mut text = String::new();
    let mut day = String::new();
    for line in lines {
        let at = line.at.to_chrono();
        let today = at.format("%A, %-d %B %Y (UTC)").to_string();
        if today != day {
            let (on, off) = style(Style::new().bold(), colour);
            text.push_str(&format!("\n{on}{today}{off}\n"));
            day = today;
        }
        let since = format!("+{}:{:02}", line.elapsed_seconds / 3600, line.elapsed_seconds / 60 % 60);
        let (on, off) = style(colour_of(line.who), colour);
        let head = format!("{}  {since:>6}   {on}{:<11}{off}  ", at.format("%H:%M:%S"), line.who);
        text.push_str(&head);
        text.push_str(&wrapped(&line.what, ""));
        text.push('\n');
        if let Some(words) = &line.words {
            let (on, off) = style(Style::new().italic(), colour);
            text.push_str(&format!(
                "{:INDENT$}  {on}{}{off}\n",
                "",
                wrapped(&format!("“{}”", words.trim()), "  ")
            ));
        }
    }
    text
}

fn colour_of(who: &str) -> Style {
    match who {
        "Ada" => AnsiColor::Cyan.on_default().bold(),
        "Grace" => AnsiColor::Green.on_default().bold(),
        "Linus" => AnsiColor::Blue.on_default().bold(),
        "Throughline" => AnsiColor::Yellow.on_default(),
        _ => AnsiColor::Red.on_default(),
    }
}

/// What begins and ends a style; nothing without colour.
pub(super) fn style(style: Style, colour: bool) -> (String, String) {
    if colour { (style.render().to_string(), style.render_reset().to_string()) } else { Default::default() }
}

/// The text in lines, those after the first below it and after `more`.
fn wrapped(text: &str, more: &str) -> String {
    let (mut lines, mut length) = (String::new(), INDENT + more.len());
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if length + 1 + long > WIDTH && !lines.is_empty() {
            lines.push_str(&format!("\n{:INDENT$}{more}", ""));
            length = INDENT + more.len();
        } else if !lines.is_empty() {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += long;
    }
    lines
}
