//! What can have happened to a conversation.
//!
//! An event holds results, times included, because replay sees neither clock nor policy. Who asked for it stands in
//! the record's header; messages and notes name their author themselves. The encoding is a file format: variants
//! and fields are only appended under a new version.

use serde::{Deserialize, Serialize};

use super::{
    command::CustomerCard,
    delivery::DeliveryStatus,
    lifecycle::{Move, Status},
};
use crate::{
    ids::{AgentId, ConversationId, MessageId, NoteId, TeamId},
    message::{Channel, Inbound, Outbound},
    time::Timestamp,
    words::{Outcome, Severity, words},
    workflow::{ActivityError, By, EventType},
};

/// A fact about one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It began.
    Opened {
        /// When.
        at: Timestamp,
        /// Its id.
        id: ConversationId,
        /// With whom.
        customer: CustomerCard,
        /// The channel it began on.
        channel: Channel,
        /// What it is about, without the marks of earlier answers.
        subject: Option<String>,
        /// The resolved conversation it follows.
        follow_up_of: Option<ConversationId>,
        /// How urgent it is, where that was known.
        priority: Option<Severity>,
    },
    /// The customer's name or language became known.
    CustomerKnown {
        /// When.
        at: Timestamp,
        /// What is known now.
        customer: CustomerCard,
    },
    /// A message came in.
    MessageReceived {
        /// When the conversation took it. Clocks count from the message's own `received_at`.
        at: Timestamp,
        /// Who wrote it.
        by: By,
        /// The message.
        message: Box<Inbound>,
    },
    /// A message to the customer was handed to its channel's queue.
    MessageQueued {
        /// When.
        at: Timestamp,
        /// Who wrote it.
        by: By,
        /// The message.
        message: Box<Outbound>,
        /// Why it goes by this channel.
        why: WhyChannel,
    },
    /// A send's standing changed.
    DeliveryChanged {
        /// When.
        at: Timestamp,
        /// The message.
        message_id: MessageId,
        /// Where it stands now.
        status: DeliveryStatus,
        /// The provider's id of it.
        provider_message_id: Option<String>,
        /// What went wrong.
        error: Option<ActivityError>,
    },
    /// The status moved.
    StateChanged {
        /// When.
        at: Timestamp,
        /// From this status,
        from: Status,
        /// to this one,
        to: Status,
        /// by this move.
        by: Move,
    },
    /// An internal note was written.
    NoteAdded {
        /// When.
        at: Timestamp,
        /// Who wrote it.
        by: By,
        /// The note's id.
        note_id: NoteId,
        /// What it says.
        text: String,
    },
    /// It was given to somebody. Holds the whole assignment as it is now.
    Assigned {
        /// When.
        at: Timestamp,
        /// The agent responsible, if one is.
        agent: Option<AgentId>,
        /// The team responsible, if one is.
        team: Option<TeamId>,
    },
    /// Nobody is responsible any more.
    Unassigned {
        /// When.
        at: Timestamp,
    },
    /// A person was asked for.
    HandedOff {
        /// When.
        at: Timestamp,
        /// Why.
        reason: Option<String>,
    },
    /// It went out of sight.
    Snoozed {
        /// When.
        at: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// It came back into sight.
    Woken {
        /// When.
        at: Timestamp,
    },
    /// Tags came or went.
    TagsChanged {
        /// When.
        at: Timestamp,
        /// New tags.
        added: Vec<String>,
        /// Tags that are gone.
        removed: Vec<String>,
    },
    /// What became of it was noted; the move to `resolved` follows.
    OutcomeRecorded {
        /// When.
        at: Timestamp,
        /// What became of it.
        outcome: Option<Outcome>,
        /// What was done.
        summary: Option<String>,
    },
    /// A person said how urgent it is.
    PrioritySet {
        /// When.
        at: Timestamp,
        /// How urgent.
        severity: Severity,
    },
}

words! {
    /// Why a message goes by the channel it goes by.
    WhyChannel, "a reason" {
        /// Whoever wrote it chose the channel.
        Requested = "requested",
        /// The customer last used this channel.
        LastUsed = "last_used",
        /// It suits the address that was given.
        SuitsAddress = "suits_address",
    }
}

impl Event {
    /// The name and the version of the shape, as stored beside the event.
    pub(super) fn event_type(&self) -> EventType {
        let name = match self {
            Self::Opened { .. } => "opened",
            Self::CustomerKnown { .. } => "customer_known",
            Self::MessageReceived { .. } => "message_received",
            Self::MessageQueued { .. } => "message_queued",
            Self::DeliveryChanged { .. } => "delivery_changed",
            Self::StateChanged { .. } => "state_changed",
            Self::NoteAdded { .. } => "note_added",
            Self::Assigned { .. } => "assigned",
            Self::Unassigned { .. } => "unassigned",
            Self::HandedOff { .. } => "handed_off",
            Self::Snoozed { .. } => "snoozed",
            Self::Woken { .. } => "woken",
            Self::TagsChanged { .. } => "tags_changed",
            Self::OutcomeRecorded { .. } => "outcome_recorded",
            Self::PrioritySet { .. } => "priority_set",
        };
        EventType { name, version: 1 }
    }

    /// The topic under which the outside hears of it.
    pub fn topic(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "conversation.created",
            Self::MessageReceived { .. } => "message.received",
            Self::DeliveryChanged { status: DeliveryStatus::Sent, .. } => "message.sent",
            Self::MessageQueued { .. } | Self::DeliveryChanged { .. } => "message.delivery_changed",
            Self::StateChanged { .. } => "conversation.state_changed",
            Self::Assigned { .. } | Self::Unassigned { .. } => "conversation.assigned",
            Self::CustomerKnown { .. }
            | Self::NoteAdded { .. }
            | Self::HandedOff { .. }
            | Self::Snoozed { .. }
            | Self::Woken { .. }
            | Self::TagsChanged { .. }
            | Self::OutcomeRecorded { .. }
            | Self::PrioritySet { .. } => "conversation.updated",
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Opened { at, .. }
            | Self::CustomerKnown { at, .. }
            | Self::MessageReceived { at, .. }
            | Self::MessageQueued { at, .. }
            | Self::DeliveryChanged { at, .. }
            | Self::StateChanged { at, .. }
            | Self::NoteAdded { at, .. }
            | Self::Assigned { at, .. }
            | Self::Unassigned { at }
            | Self::HandedOff { at, .. }
            | Self::Snoozed { at, .. }
            | Self::Woken { at }
            | Self::TagsChanged { at, .. }
            | Self::OutcomeRecorded { at, .. }
            | Self::PrioritySet { at, .. } => *at,
        }
    }
}
