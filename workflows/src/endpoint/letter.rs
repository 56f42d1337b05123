//! An event as a short plain mail to whoever has to act: what happened, where, since when, and where to look.

use serde_json::Value;

use crate::text::{clip, one_line};

/// The longest value of a detail that is quoted, in characters.
const VALUE_MAX: usize = 200;
/// Details quoted at most.
const DETAILS_MAX: usize = 12;

/// A mail's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What it is about.
    pub subject: String,
    /// What it says, without where to look.
    pub text: String,
    /// The path of our API under which more is to be seen.
    pub path: Option<String>,
}

/// Writes the mail about an event in its outside form.
pub fn letter(body: &Value) -> Letter {
    let topic = text(body, "type").unwrap_or("event");
    let title = title(topic);
    let case =
        [("conversation", "conversation_id"), ("resolution", "resolution_id"), ("customer", "customer_id")]
            .into_iter()
            .find_map(|(what, id)| Some((what, text(body, id)?)));
    let mut lines = vec![format!("{title}.")];
    if let Some((what, id)) = case {
        lines.push(format!("{}: {id}", capital(what)));
    }
    if let Some(at) = text(body, "timestamp") {
        lines.push(format!("At: {at}"));
    }
    let details = body.get("details").and_then(Value::as_object);
    let told = details.into_iter().flatten().filter(|(name, _)| *name != "what");
    lines.extend(told.flat_map(|(name, value)| quoted(name, value)).take(DETAILS_MAX));
    let subject = match case {
        Some((what, id)) => format!("{title}: {what} {id}"),
        None => title.to_owned(),
    };
    Letter {
        subject,
        text: lines.join("\n") + "\n",
        path: case.map(|(what, id)| format!("/api/v1/{what}s/{id}")),
    }
}

/// What a topic says in a sentence, without its full stop.
fn title(topic: &str) -> &str {
    match topic {
        "customer.unreachable" => "A customer cannot be reached by any channel",
        "sla.breached" => "A promised time has passed",
        "sla.warning" => "A promised time is near",
        "silence.nudged" => "A customer is about to wait too long",
        "conversation.escalated" | "resolution.created" => "A case was opened",
        "resolution.completed" => "A case was resolved",
        "escalation_requested" => "The machine is alone with a customer: a person is needed",
        "automation.executed" => "A schedule or a rule has run",
        "error" => "Something failed",
        "endpoint.test" => "This is a test: mails to this address arrive",
        other => other,
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// A detail as lines of its own; of one that holds others, those that fit on a line.
fn quoted(name: &str, value: &Value) -> Vec<String> {
    let line =
        |name: &str, value: &Value| Some(format!("{}: {}", capital(&name.replace('_', " ")), scalar(value)?));
    match value {
        Value::Object(inner) => inner.iter().filter_map(|(name, value)| line(name, value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            line(name, value).into_iter().collect()
        }
    }
}

/// A value on one line; none for what does not fit on one.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(clip(&one_line(text), VALUE_MAX)),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_breach_says_what_which_conversation_since_when_and_where_to_look() {
        let letter = letter(&json!({
            "type": "sla.breached",
            "conversation_id": "0193",
            "timestamp": "2026-11-21T09:30:00.000Z",
            "details": {
                "what": "sla_breached", "clock": "first_response", "due_at": "2026-11-21T09:00:00.000Z",
                "counted": [1, 2], "figures": { "waiting": 3 }, "note": "two\nlines",
            },
        }));
        assert_eq!(letter.subject, "A promised time has passed: conversation 0193");
        assert_eq!(
            letter.text,
            "A promised time has passed.\nConversation: 0193\nAt: 2026-11-21T09:30:00.000Z\n\
             Clock: first_response\nDue at: 2026-11-21T09:00:00.000Z\nWaiting: 3\nNote: two lines\n"
        );
        assert_eq!(letter.path.as_deref(), Some("/api/v1/conversations/0193"));
    }

    #[test]
    fn an_event_about_nothing_in_particular_is_told_by_its_topic() {
        let letter = letter(&json!({ "type": "operator.acted", "details": { "action": "clock.advance" } }));
        assert_eq!(letter.subject, "operator.acted");
        assert_eq!((letter.text.as_str(), letter.path), ("operator.acted.\nAction: clock.advance\n", None));
    }
}
