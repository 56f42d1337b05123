//! An event as the outside sees it: a topic, who and what caused it, and the few details that are not shown
//! elsewhere. Message bodies and the text of notes are not among them.

use serde_json::{Value, json};

use super::outside;
use crate::{
    conversation::{Conversation, Event},
    ids::{ConversationId, MessageId},
    views::EventMeta,
    workflow::{By, Workflow},
};

/// The event in its outside form.
pub fn event_json(conversation_id: ConversationId, event: &Event, meta: &EventMeta<'_>) -> Value {
    outside::compact(&json!({
        "type": event.topic(),
        "conversation_id": conversation_id,
        "message_id": message_id(event),
        "by": author(event).unwrap_or(meta.by),
        "cause": meta.cause,
        "timestamp": event.at(),
        "details": details(event),
        "version": meta.version,
        "seq": meta.seq,
    }))
}

/// Who wrote what the event holds, where that is not simply who asked for it: the engine's acknowledgement is the
/// engine's, though a customer's message caused it.
fn author(event: &Event) -> Option<&By> {
    match event {
        Event::MessageReceived { by, .. } | Event::MessageQueued { by, .. } | Event::NoteAdded { by, .. } => {
            Some(by)
        }
        Event::Opened { .. }
        | Event::CustomerKnown { .. }
        | Event::DeliveryChanged { .. }
        | Event::StateChanged { .. }
        | Event::Assigned { .. }
        | Event::Unassigned { .. }
        | Event::HandedOff { .. }
        | Event::Snoozed { .. }
        | Event::Woken { .. }
        | Event::TagsChanged { .. }
        | Event::OutcomeRecorded { .. }
        | Event::PrioritySet { .. } => None,
    }
}

fn message_id(event: &Event) -> Option<MessageId> {
    match event {
        Event::MessageReceived { message, .. } => Some(message.id),
        Event::MessageQueued { message, .. } => Some(message.message_id),
        Event::DeliveryChanged { message_id, .. } => Some(*message_id),
        Event::Opened { .. }
        | Event::CustomerKnown { .. }
        | Event::StateChanged { .. }
        | Event::NoteAdded { .. }
        | Event::Assigned { .. }
        | Event::Unassigned { .. }
        | Event::HandedOff { .. }
        | Event::Snoozed { .. }
        | Event::Woken { .. }
        | Event::TagsChanged { .. }
        | Event::OutcomeRecorded { .. }
        | Event::PrioritySet { .. } => None,
    }
}

fn details(event: &Event) -> Value {
    let what = Conversation::event_type(event).name;
    match event {
        Event::Opened { channel, subject, follow_up_of, priority, .. } => json!({
            "channel": channel, "subject": subject, "follow_up_of": follow_up_of, "priority": priority,
        }),
        Event::CustomerKnown { customer, .. } => {
            json!({ "what": what, "customer": { "id": customer.id, "name": customer.name } })
        }
        Event::MessageReceived { message, .. } => {
            json!({ "channel": message.channel, "automatic": message.automatic })
        }
        Event::MessageQueued { message, why, .. } => json!({
            "channel": message.channel, "status": "queued", "automatic": message.automatic,
            "why_this_channel": why,
        }),
        Event::DeliveryChanged { status, provider_message_id, error, .. } => json!({
            "status": status, "provider_message_id": provider_message_id,
            "error_code": error.as_ref().and_then(|error| error.code.as_ref()),
            "error": error.as_ref().map(|error| &error.message),
        }),
        Event::StateChanged { from, to, by, .. } => json!({ "from": from, "to": to, "move": by }),
        Event::NoteAdded { note_id, .. } => json!({ "what": what, "note_id": note_id }),
        Event::Assigned { agent, team, .. } => {
            json!({ "what": what, "assigned_agent_id": agent, "assigned_team_id": team })
        }
        Event::HandedOff { reason, .. } => json!({ "what": what, "reason": reason }),
        Event::Snoozed { until, .. } => json!({ "what": what, "snoozed_until": until }),
        Event::Unassigned { .. } | Event::Woken { .. } => json!({ "what": what }),
        Event::TagsChanged { added, removed, .. } => {
            json!({ "what": what, "added": added, "removed": removed })
        }
        Event::OutcomeRecorded { outcome, summary, .. } => {
            json!({ "what": what, "outcome": outcome, "summary": summary })
        }
        Event::PrioritySet { severity, .. } => json!({ "what": what, "priority": severity }),
    }
}
