//! Whether the promises were kept, and the sums at the end.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use throughline_workflows::time::{Span, Timestamp};

use super::{
    story::Outcome,
    timeline::{moment, short, text},
};

/// The longest that a customer who waits hears nothing.
const SILENCE_MAX: Span = Span::from_hours(12);
/// How soon after a start what is overdue goes out.
const AT_ONCE: Span = Span::from_mins(2);

/// The sums.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The longest time between two messages that reached Ada.
    pub(super) longest_silence_seconds: u64,
    pub(super) longest_silence_from: Timestamp,
    pub(super) longest_silence_to: Timestamp,
    /// The same, leaving out the silence that the crash made.
    pub(super) longest_silence_up_seconds: u64,
    /// Messages that a channel took, by channel.
    pub(super) messages: BTreeMap<String, usize>,
    /// Messages that were not sent because others took their place.
    pub(super) superseded: usize,
    pub(super) breaches: Vec<Value>,
    pub(super) silence: Vec<Value>,
}

/// One promise, and whether it was kept.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) promise: String,
    pub(super) kept: bool,
}

/// From one moment at which Ada heard something to the next.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: Timestamp,
    to: Timestamp,
}

impl Gap {
    fn length(self) -> Span {
        self.to.since(self.from)
    }

    fn due(self) -> Timestamp {
        self.from + SILENCE_MAX
    }
}

/// The sums of what happened.
pub(super) fn summary(outcome: &Outcome) -> Summary {
    let gaps = gaps(outcome);
    let start = Gap { from: outcome.start, to: outcome.start };
    let longest = gaps.iter().copied().max_by_key(|gap| gap.length()).unwrap_or(start);
    let up = gaps.iter().filter(|gap| !over_the_crash(outcome, **gap)).map(|gap| gap.length()).max();
    let mut messages = BTreeMap::new();
    for message in ours(&outcome.conversation).filter(|message| message.get("sent_at").is_some()) {
        *messages.entry(text(message, "channel").unwrap_or_default().to_owned()).or_default() += 1;
    }
    let superseded = ours(&outcome.conversation).filter(|message| status(message) == "superseded").count();
    Summary {
        longest_silence_seconds: longest.length().as_secs(),
        longest_silence_from: longest.from,
        longest_silence_to: longest.to,
        longest_silence_up_seconds: up.unwrap_or_default().as_secs(),
        messages,
        superseded,
        breaches: items(&outcome.breaches),
        silence: items(&outcome.silence),
    }
}

/// Every promise.
pub(super) fn verdicts(outcome: &Outcome) -> Vec<Verdict> {
    let gaps = gaps(outcome);
    let (killed, back) = outcome.down;
    let verdict = |promise: String, kept: bool| Verdict { promise, kept };
    let overdue: Vec<Gap> = gaps.iter().copied().filter(|gap| over_the_crash(outcome, *gap)).collect();
    let broken: Vec<Value> = items(&outcome.breaches)
        .into_iter()
        .filter(|breach| text(breach, "clock") == Some("silence"))
        .collect();
    let late = overdue.first().map(|gap| gap.due());
    let sent_after =
        |span: Span| sent(&outcome.conversation).filter(|at| *at >= back && *at <= back + span).count();
    vec![
        verdict(
            "While there was a server, Ada never heard nothing for more than 12 hours.".to_owned(),
            gaps.len() > 3
                && gaps.iter().all(|gap| gap.length() <= SILENCE_MAX || over_the_crash(outcome, *gap)),
        ),
        verdict(
            format!("What fell due while there was none went out at once when it was back, {}.", short(back)),
            overdue.len() == 1 && overdue.iter().all(|gap| gap.to <= back + AT_ONCE),
        ),
        verdict(
            "It went out once, however much had been missed.".to_owned(),
            sent_after(Span::from_hours(1)) == 1,
        ),
        verdict(
            "That Ada heard it late is recorded, dated to the moment it was due, and no other silence is."
                .to_owned(),
            broken.len() == 1
                && late.is_some()
                && broken.first().and_then(|breach| moment(breach, "due_at")) == late,
        ),
        verdict(
            "What was recorded before the crash was there after it, unchanged.".to_owned(),
            begins_with(&outcome.after, &outcome.before, "events")
                && begins_with(&outcome.after, &outcome.before, "internal_notes"),
        ),
        verdict(
            "Every message of Ada's that was answered 200 is there, once.".to_owned(),
            outcome.of_ada.iter().all(|words| {
                let theirs =
                    messages(&outcome.conversation).filter(|message| direction(message) == "inbound");
                theirs.filter(|message| text(message, "content") == Some(words)).count() == 1
            }) && messages(&outcome.conversation).filter(|message| direction(message) == "inbound").count()
                == outcome.of_ada.len(),
        ),
        verdict(
            "Every word of Grace's reached Ada, once.".to_owned(),
            outcome.of_grace.iter().all(|words| {
                let sent = ours(&outcome.conversation).filter(|message| {
                    text(message, "content") == Some(words) && message.get("sent_at").is_some()
                });
                sent.count() == 1 && outcome.taken.iter().filter(|taken| *taken == words).count() <= 1
            }),
        ),
        verdict(
            "The provider took each text message as often as it was sent: once.".to_owned(),
            outcome.taken.len()
                == ours(&outcome.conversation)
                    .filter(|message| {
                        text(message, "channel") == Some("sms") && message.get("sent_at").is_some()
                    })
                    .count(),
        ),
        verdict(
            "The update that the provider refused went out by mail within two minutes.".to_owned(),
            ours(&outcome.conversation).any(|message| {
                text(message, "channel") == Some("email")
                    && message.get("sent_at").is_some()
                    && moment(message, "sent_at").is_some_and(|at| at < killed)
            }) && ours(&outcome.conversation).any(|message| status(message) == "superseded"),
        ),
        verdict(
            "An engineer's words never reached Ada: they were refused with 403.".to_owned(),
            outcome.refused == 403,
        ),
        verdict(
            "Her thanks opened the conversation again.".to_owned(),
            ["reopened", "awaiting_agent"]
                .contains(&text(&outcome.conversation, "status").unwrap_or_default())
                && items_of(&outcome.conversation, "events")
                    .any(|event| event.pointer("/details/to").and_then(Value::as_str) == Some("reopened")),
        ),
    ]
}

/// The silences that Ada lived through: between any two moments at which she heard something, and to the end.
fn gaps(outcome: &Outcome) -> Vec<Gap> {
    let mut heard: Vec<Timestamp> = sent(&outcome.conversation).collect();
    heard.sort_unstable();
    heard.push(outcome.end);
    heard.windows(2).filter_map(|pair| Some(Gap { from: *pair.first()?, to: *pair.last()? })).collect()
}

/// Whether a message fell due while there was no server.
fn over_the_crash(outcome: &Outcome, gap: Gap) -> bool {
    let (killed, back) = outcome.down;
    gap.due() > killed && gap.due() <= back && gap.to >= back
}

/// When a channel took what we wrote.
fn sent(conversation: &Value) -> impl Iterator<Item = Timestamp> {
    ours(conversation).filter_map(|message| moment(message, "sent_at"))
}

fn ours(conversation: &Value) -> impl Iterator<Item = &Value> {
    messages(conversation).filter(|message| direction(message) == "outbound")
}

fn messages(conversation: &Value) -> impl Iterator<Item = &Value> {
    items_of(conversation, "messages")
}

fn items_of<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn items(list: &Value) -> Vec<Value> {
    items_of(list, "items").cloned().collect()
}

fn direction(message: &Value) -> &str {
    text(message, "direction").unwrap_or_default()
}

fn status(message: &Value) -> &str {
    message.pointer("/delivery/status").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the list `name` of `after` begins with that of `before`.
fn begins_with(after: &Value, before: &Value, name: &str) -> bool {
    let list = |value: &Value| items_of(value, name).cloned().collect::<Vec<_>>();
    list(after).starts_with(&list(before))
}

#[cfg(test)]
mod tests;
