//! Conversations, their messages, notes and events.

#![expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, Cause, Silence, Sla, Time, system::Paused};

/// A customer as a conversation names them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CustomerName {
    /// The customer.
    id: Uuid,
    /// Their name.
    name: Option<String>,
}

/// The beginning of a conversation's last message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LastMessage {
    /// `inbound` or `outbound`.
    direction: String,
    /// Its beginning, on one line.
    snippet: String,
    /// When the engine took it or handed it on.
    at: Time,
}

/// A clock and when it is due.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NextDue {
    /// `first_response`, `next_response`, `resolution` or `escalation_unattended`.
    clock: String,
    /// When.
    due_at: Time,
}

/// A conversation in a list.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct ConversationRow {
    /// The conversation.
    id: Uuid,
    /// `open`, `awaiting_customer`, `awaiting_agent`, `escalated`, `resolved` or `reopened`.
    status: String,
    /// What it is about.
    subject: Option<String>,
    /// With whom.
    customer: CustomerName,
    /// The channel the customer last used.
    channel: String,
    /// Every channel used so far.
    channels_used: Vec<String>,
    /// How urgent it is, `P0` to `P3`.
    priority: Option<String>,
    /// Tags.
    tags: Vec<String>,
    /// The agent responsible.
    assigned_agent_id: Option<Uuid>,
    /// The team responsible.
    assigned_team_id: Option<Uuid>,
    /// When it comes back into sight.
    snoozed_until: Option<Time>,
    /// What became of it.
    outcome: Option<String>,
    /// The resolved conversation it follows.
    follow_up_of: Option<Uuid>,
    /// The resolution of its case.
    resolution_id: Option<Uuid>,
    /// The spoken name of that case.
    case_id: Option<String>,
    /// The clock that falls due next.
    next_due: Option<NextDue>,
    /// Whether no channel is left by which the customer can be reached.
    unreachable: bool,
    /// The last message.
    last_message: Option<LastMessage>,
    /// When it began.
    created_at: Time,
    /// When somebody last did something in it.
    last_activity_at: Time,
    /// The version that the row shows.
    version: u64,
}

/// All of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct WholeConversation {
    /// What a list shows of it.
    #[serde(flatten)]
    row: ConversationRow,
    /// The newest 500 messages, oldest first.
    messages: Vec<Message>,
    /// How many there are.
    messages_total: usize,
    /// Since when an operator has it paused: its messages wait, and nothing is sent until it is resumed.
    paused: Option<Paused>,
    /// Notes that the customer never sees.
    internal_notes: Vec<Note>,
    /// What happened, oldest first.
    events: Vec<Event>,
    /// The brief of a hand-over to a person.
    handoff: Option<Handoff>,
    /// What was done, for colleagues.
    summary: Option<String>,
    /// The clocks of what was promised.
    sla: Sla,
    /// What the customer has heard, and when they hear again.
    silence: Silence,
}

/// A message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Message {
    /// Its id.
    id: Uuid,
    /// The conversation it belongs to.
    conversation_id: Uuid,
    /// The channel it went by.
    channel: String,
    /// `inbound` or `outbound`.
    direction: String,
    /// Who wrote it.
    by: By,
    /// What it says.
    content: String,
    /// Whether a machine wrote it.
    automatic: bool,
    /// What an outbound one is for: `reply`, `acknowledgement`, `waiting`, `escalation`, `update`, `window_missed` or
    /// `resolved`.
    purpose: Option<String>,
    /// Files that came or went with it.
    attachments: Vec<Attachment>,
    /// The provider's id of it.
    provider_message_id: Option<String>,
    /// The message it answers, where its channel says so.
    in_reply_to: Option<String>,
    /// Inbound: when the customer wrote; outbound: when the channel took it.
    sent_at: Option<Time>,
    /// When the engine took it.
    received_at: Option<Time>,
    /// When it was handed to its channel's queue.
    queued_at: Option<Time>,
    /// When it reached the customer's device or mailbox.
    delivered_at: Option<Time>,
    /// When the customer opened it.
    read_at: Option<Time>,
    /// When it was given up.
    failed_at: Option<Time>,
    /// Where an outbound one stands.
    delivery: Option<Delivery>,
    /// What belongs to its channel only.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
    /// What the sender's system gave along.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// Where a message to the customer stands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Delivery {
    /// `held`, `queued`, `sent`, `delivered`, `read`, `failed`, `uncertain`, or `superseded` by another message.
    status: String,
    /// The provider's code of what went wrong.
    error_code: Option<String>,
    /// What went wrong.
    error: Option<String>,
    /// `requested`, `last_used`, `suits_address`, `continuation` or `fallback`.
    why_this_channel: Option<String>,
}

/// A file that came or went with a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Attachment {
    /// Its name.
    name: String,
    /// Its media type.
    media_type: String,
    /// Its size.
    bytes: Option<u64>,
    /// Where it is: a path of this server, or an address of the provider's.
    url: Option<String>,
}

/// An internal note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Note {
    /// Its id.
    id: Uuid,
    /// Who wrote it.
    by: By,
    /// What it says.
    text: String,
    /// When.
    created_at: Time,
}

/// Something that happened in a conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Event {
    /// The topic, for example `conversation.state_changed`.
    #[serde(rename = "type")]
    kind: String,
    /// The conversation.
    conversation_id: Uuid,
    /// The message it is about.
    message_id: Option<Uuid>,
    /// Who did it.
    by: By,
    /// What made it happen.
    cause: Cause,
    /// When.
    timestamp: Time,
    /// What exactly.
    #[schema(value_type = Object)]
    details: Value,
    /// The conversation's version after it.
    version: u64,
    /// Its place in the whole store.
    seq: u64,
}

/// The brief of a hand-over to a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Handoff {
    /// Why a person is needed.
    summary: Option<String>,
    /// The customer's last words when a person was called for.
    asked: Option<String>,
}
