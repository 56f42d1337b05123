//! Every promise that was not kept in time, by conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    conversation::{Conversation, Event},
    ids::ConversationId,
    sla::BreachReason,
    time::Timestamp,
};

/// How many breaches of one conversation are kept: a row must fit into the store. More than the conversation of years
/// has; the journal has all of them.
const KEPT_MAX: usize = 500;

/// The clock's name of a broken silence.
const SILENCE: &str = "silence";

/// The view of breaches; a conversation without one has no row.
#[derive(Clone, Copy, Debug)]
pub struct Breaches;

/// The breaches of one conversation, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreachesRow {
    conversation_id: ConversationId,
    breaches: Vec<Breach>,
}

/// One promise that was not kept in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Which clock: one of the SLA, or `silence`.
    pub clock: String,
    /// When it was due.
    pub due_at: Timestamp,
    /// The date of the breach.
    pub breached_at: Timestamp,
    /// When it was noticed.
    pub detected_at: Timestamp,
    /// Why.
    pub reason: BreachReason,
    /// The place in the store of the event that says so.
    pub seq: u64,
}

impl View for Breaches {
    const NAME: &'static str = "breaches";
    const REVISION: u16 = 2;

    type Source = Conversation;
    type Row = BreachesRow;

    fn fold(row: Option<BreachesRow>, event: &Event, meta: &EventMeta<'_>) -> Option<BreachesRow> {
        let (clock, breached_at, due_at, detected_at, reason) =
            if let Event::SlaBreached { at, clock, due_at, detected_at, reason } = event {
                (clock.as_str(), at, due_at, detected_at, reason)
            } else if let Event::SilenceBroken { at, due_at, detected_at, reason, .. } = event {
                (SILENCE, at, due_at, detected_at, reason)
            } else {
                return row;
            };
        let conversation_id = ConversationId(meta.entity);
        let mut row = row.unwrap_or_else(|| BreachesRow { conversation_id, breaches: Vec::new() });
        if row.breaches.len() == KEPT_MAX {
            row.breaches.remove(0);
        }
        row.breaches.push(Breach {
            conversation_id,
            clock: clock.to_owned(),
            due_at: *due_at,
            breached_at: *breached_at,
            detected_at: *detected_at,
            reason: *reason,
            seq: meta.seq,
        });
        Some(row)
    }

    /// Most turns break no promise.
    fn concerns(event: &Event) -> bool {
        matches!(event, Event::SlaBreached { .. } | Event::SilenceBroken { .. })
    }

    fn order(row: &BreachesRow) -> u64 {
        row.breaches.last().map_or(0, |breach| breach.breached_at.as_millis())
    }
}

impl BreachesRow {
    /// The breaches dated in a range: `from` is inside, `to` no longer is.
    pub fn between(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> impl Iterator<Item = &Breach> {
        self.breaches.iter().filter(move |breach| {
            from.is_none_or(|from| breach.breached_at >= from) && to.is_none_or(|to| breach.breached_at < to)
        })
    }
}

impl Breach {
    /// The breach in its outside form.
    pub fn to_json(&self) -> Value {
        outside::compact(&json!({
            "conversation_id": self.conversation_id,
            "clock": self.clock,
            "due_at": self.due_at,
            "breached_at": self.breached_at,
            "detected_at": self.detected_at,
            "reason": self.reason,
        }))
    }
}
