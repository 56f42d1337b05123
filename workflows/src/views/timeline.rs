//! One conversation in full, folded from its records: messages, notes and events under the names of the model.
//!
//! It is made anew for each reader and never stored, so it may hold what a record of the engine may not: JSON.

mod event;
mod message;
mod standing;

use serde_json::{Map, Value, json};

use super::{
    EventMeta, View,
    inbox::{Inbox, InboxRow},
    outside,
};
use crate::{
    conversation::{Conversation, Event, Facts, State},
    ids::MessageId,
    time::Timestamp,
    workflow::{By, Workflow},
};

pub use event::event_json;
pub use message::Message;
pub use standing::{explanation_json, silence_json, sla_json};

/// A conversation as it unfolds. Begin with the default, [`Timeline::apply`] every event, show with
/// [`Timeline::to_json`].
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    head: Option<InboxRow>,
    state: State,
    summary: Option<String>,
    handoff: Option<Handoff>,
    messages: Vec<Message>,
    notes: Vec<Note>,
    events: Vec<Value>,
}

/// The brief of a hand-over to a person.
#[derive(Clone, Debug)]
struct Handoff {
    summary: Option<String>,
    /// The customer's last words when a person was called for.
    asked: Option<String>,
}

#[derive(Clone, Debug)]
struct Note {
    id: String,
    by: By,
    text: String,
    at: Timestamp,
}

impl Timeline {
    /// Takes the next event of the conversation.
    pub fn apply(&mut self, event: &Event, meta: &EventMeta<'_>) {
        self.head = Inbox::fold(self.head.take(), event, meta);
        Conversation::evolve(&mut self.state, event);
        let Some(head) = &self.head else { return };
        self.events.push(event_json(head.id, event, meta));
        match event {
            Event::MessageReceived { by, message, .. } => {
                self.messages.push(Message::received(head.id, message, by));
            }
            Event::MessageQueued { at, by, message, why, purpose, .. } => {
                self.messages.push(Message::queued(message, by, *at, *why, *purpose));
            }
            Event::DeliveryChanged { message_id, .. } => {
                if let Some(message) = self.messages.iter_mut().find(|message| message.id == *message_id) {
                    message.record_delivery(event);
                }
            }
            Event::NoteAdded { at, by, note_id, text } => {
                self.notes.push(Note { id: note_id.to_string(), by: by.clone(), text: text.clone(), at: *at })
            }
            Event::HandedOff { reason, .. } => {
                let asked = self.messages.iter().rev().find_map(Message::customers_words);
                self.handoff = Some(Handoff { summary: reason.clone(), asked });
            }
            Event::OutcomeRecorded { summary, .. } => self.summary.clone_from(summary),
            Event::Opened { .. }
            | Event::CustomerKnown { .. }
            | Event::StateChanged { .. }
            | Event::Assigned { .. }
            | Event::Unassigned { .. }
            | Event::Snoozed { .. }
            | Event::Woken { .. }
            | Event::TagsChanged { .. }
            | Event::PrioritySet { .. }
            | Event::StandingKnown { .. }
            | Event::ClocksChanged { .. }
            | Event::SlaWarned { .. }
            | Event::SlaBreached { .. }
            | Event::Reminded { .. }
            | Event::Nudged { .. }
            | Event::Hurried { .. }
            | Event::Recalled { .. }
            | Event::SilenceBroken { .. }
            | Event::CustomerUnreachable { .. }
            | Event::ReachRetried { .. }
            | Event::SupervisorAlarmed { .. }
            | Event::PersonActed { .. }
            | Event::Escalated { .. }
            | Event::EscalationJoined { .. }
            | Event::CaseKnown { .. } => {}
        }
    }

    /// What a list shows of it; none before its first event.
    pub fn head(&self) -> Option<&InboxRow> {
        self.head.as_ref()
    }

    /// Its state: what decisions are made of.
    pub fn facts(&self) -> Option<&Facts> {
        self.state.facts()
    }

    /// The messages, oldest first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// One message; none if the conversation has none of that id.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.iter().find(|message| message.id == id)
    }

    /// All of it, with the newest `messages_max` messages; none before its first event.
    pub fn to_json(&self, messages_max: usize) -> Option<Value> {
        let head = self.head.as_ref()?;
        let mut conversation = outside::object(head);
        let newest = self.messages.len().saturating_sub(messages_max);
        let messages: Vec<_> = self.messages.iter().skip(newest).map(Message::to_json).collect();
        conversation.insert("messages".to_owned(), Value::Array(messages));
        conversation.insert("messages_total".to_owned(), json!(self.messages.len()));
        conversation.insert("internal_notes".to_owned(), self.notes.iter().map(note_json).collect());
        conversation.insert("events".to_owned(), Value::Array(self.events.clone()));
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                conversation.insert(name.to_owned(), value);
            }
        };
        add("handoff", self.handoff.as_ref().map(handoff_json));
        add("silence", self.facts().map(silence_json));
        add("summary", self.summary.as_ref().map(|summary| json!(summary)));
        Some(Value::Object(conversation))
    }
}

fn note_json(note: &Note) -> Value {
    outside::compact(&json!({ "id": note.id, "by": note.by, "text": note.text, "created_at": note.at }))
}

fn handoff_json(handoff: &Handoff) -> Value {
    outside::compact(&json!({ "summary": handoff.summary, "asked": handoff.asked }))
}

/// Adds the fields of `more` to `fields`.
fn extend(fields: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
}
