//! What can have happened to a conversation.
//!
//! An event holds results, times included, because replay sees neither clock nor policy. Who asked for it stands in
//! the record's header; messages and notes name their author themselves. The encoding is a file format: variants
//! and fields are only appended under a new version.

use serde::{Deserialize, Deserializer, Serialize};

mod before;

use super::{
    case::{CaseFacts, EscalationRequest, Window},
    clocks::Clocks,
    command::CustomerCard,
    delivery::DeliveryStatus,
    lifecycle::{Move, Status},
    standing::Standing,
};
use crate::{
    ids::{AgentId, ConversationId, MessageId, NoteId, TeamId},
    message::{Channel, Inbound, Outbound},
    sla::{BreachReason, ClockKind},
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
        /// What it is for.
        purpose: Purpose,
        /// The message whose words these are again, where it goes out in place of one.
        replaces: Option<MessageId>,
        /// By when it says that the customer hears again.
        promises: Option<Timestamp>,
        /// When the next channel gets it, where this one has not taken it by then.
        fallback_at: Option<Timestamp>,
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
    /// What the customer's record says of how to treat them became known.
    StandingKnown {
        /// When.
        at: Timestamp,
        /// What it says.
        standing: Box<Standing>,
    },
    /// The clocks changed: all of them as they are now.
    ClocksChanged {
        /// When.
        at: Timestamp,
        /// The clocks.
        clocks: Box<Clocks>,
    },
    /// A clock comes near its due time.
    SlaWarned {
        /// When.
        at: Timestamp,
        /// Which.
        clock: ClockKind,
        /// When it is due.
        due_at: Timestamp,
    },
    /// A clock's due time passed.
    SlaBreached {
        /// The date of the breach: the due time, or the later moment that made it due.
        at: Timestamp,
        /// Which.
        clock: ClockKind,
        /// When it was due.
        due_at: Timestamp,
        /// When it was noticed.
        detected_at: Timestamp,
        /// Why.
        reason: BreachReason,
    },
    /// The person responsible was reminded of an unanswered message.
    Reminded {
        /// When.
        at: Timestamp,
        /// When the oldest unanswered message came.
        waiting_since: Timestamp,
        /// Which reminder, from 1.
        number: u32,
        /// Who is reminded, where somebody is responsible.
        agent: Option<AgentId>,
    },
    /// The person responsible was asked to write, before the machine does.
    Nudged {
        /// When.
        at: Timestamp,
        /// Since when the customer has heard nothing.
        since: Timestamp,
        /// When they must hear again.
        due_at: Timestamp,
        /// Who is asked, where somebody is responsible.
        agent: Option<AgentId>,
    },
    /// A message waits in its lane although an update is due: the next channel gets it if this one does not take it.
    Hurried {
        /// When.
        at: Timestamp,
        /// The message.
        message_id: MessageId,
        /// When the next channel gets it.
        fallback_at: Timestamp,
    },
    /// A person's message has to go out again, and its words are looked up.
    Recalled {
        /// When.
        at: Timestamp,
        /// The message.
        message_id: MessageId,
        /// Whether a person wants it to go by the same channel again.
        again: bool,
    },
    /// A waiting customer heard nothing for longer than promised.
    SilenceBroken {
        /// The date of the breach.
        at: Timestamp,
        /// Since when they have heard nothing.
        since: Timestamp,
        /// When they should have heard.
        due_at: Timestamp,
        /// When it was noticed.
        detected_at: Timestamp,
        /// Why.
        reason: BreachReason,
    },
    /// No channel is left by which the customer can be reached.
    CustomerUnreachable {
        /// When.
        at: Timestamp,
        /// When the channels are tried again.
        retry_at: Timestamp,
    },
    /// The channels of an unreachable customer are tried again.
    ReachRetried {
        /// When.
        at: Timestamp,
        /// When they are tried again after that.
        retry_at: Timestamp,
    },
    /// The machine has written again and again without a person doing anything: a supervisor must know.
    SupervisorAlarmed {
        /// When.
        at: Timestamp,
        /// How many updates.
        updates: u32,
    },
    /// A person did something, after the machine had been alone with the customer.
    PersonActed {
        /// When.
        at: Timestamp,
    },
    /// A long-running case was opened for it.
    Escalated {
        /// When.
        at: Timestamp,
        /// What was asked for.
        request: Box<EscalationRequest>,
        /// When it is expected to be solved, where that is recorded.
        window: Option<Window>,
        /// The channel by which the customer hears of it.
        continuation: Option<Channel>,
    },
    /// Somebody asked for a case again, and it joined the open one.
    EscalationJoined {
        /// When.
        at: Timestamp,
        /// What was asked for; its resolution and case id are the open one's.
        request: Box<EscalationRequest>,
    },
    /// The resolution told how its case stands.
    CaseKnown {
        /// When.
        at: Timestamp,
        /// The facts.
        facts: CaseFacts,
    },
}

words! {
    /// What a message to the customer is for.
    Purpose, "a purpose" {
        /// A person answers, or begins.
        Reply = "reply",
        /// The first message is acknowledged.
        Acknowledgement = "acknowledgement",
        /// Whoever waits is not forgotten.
        Waiting = "waiting",
        /// A case was opened.
        Escalation = "escalation",
        /// The case is still open.
        Update = "update",
        /// The time that was named for the case has passed.
        WindowMissed = "window_missed",
        /// The case is solved.
        Resolved = "resolved",
    }
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
        /// The case goes on by this channel.
        Continuation = "continuation",
        /// Another channel did not take it.
        Fallback = "fallback",
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
            Self::StandingKnown { .. } => "standing_known",
            Self::ClocksChanged { .. } => "clocks_changed",
            Self::SlaWarned { .. } => "sla_warned",
            Self::SlaBreached { .. } => "sla_breached",
            Self::Reminded { .. } => "reminded",
            Self::Nudged { .. } => "nudged",
            Self::Hurried { .. } => "hurried",
            Self::Recalled { .. } => "recalled",
            Self::SilenceBroken { .. } => "silence_broken",
            Self::CustomerUnreachable { .. } => "customer_unreachable",
            Self::ReachRetried { .. } => "reach_retried",
            Self::SupervisorAlarmed { .. } => "supervisor_alarmed",
            Self::PersonActed { .. } => "person_acted",
            Self::Escalated { .. } => "escalated",
            Self::EscalationJoined { .. } => "escalation_joined",
            Self::CaseKnown { .. } => "case_known",
        };
        let version = if matches!(self, Self::MessageQueued { .. }) { 2 } else { 1 };
        EventType { name, version }
    }

    /// Reads an event as it was stored; one of an older shape becomes what it means today.
    pub(super) fn decode<'de, D: Deserializer<'de>>(
        name: &str,
        version: u16,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        match (name, version) {
            ("message_queued", 1) => before::message_queued(deserializer),
            (_, _) => Self::deserialize(deserializer),
        }
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
            Self::Escalated { .. } | Self::EscalationJoined { .. } => "conversation.escalated",
            Self::SlaWarned { .. } | Self::Reminded { .. } => "sla.warning",
            Self::SlaBreached { .. } | Self::SilenceBroken { .. } => "sla.breached",
            Self::Nudged { .. } => "silence.nudged",
            Self::SupervisorAlarmed { .. } => "escalation_requested",
            Self::CustomerUnreachable { .. } => "customer.unreachable",
            Self::StandingKnown { .. }
            | Self::ClocksChanged { .. }
            | Self::Hurried { .. }
            | Self::Recalled { .. }
            | Self::ReachRetried { .. }
            | Self::PersonActed { .. }
            | Self::CaseKnown { .. }
            | Self::CustomerKnown { .. }
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
            | Self::PrioritySet { at, .. }
            | Self::StandingKnown { at, .. }
            | Self::ClocksChanged { at, .. }
            | Self::SlaWarned { at, .. }
            | Self::SlaBreached { at, .. }
            | Self::Reminded { at, .. }
            | Self::Nudged { at, .. }
            | Self::Hurried { at, .. }
            | Self::Recalled { at, .. }
            | Self::SilenceBroken { at, .. }
            | Self::CustomerUnreachable { at, .. }
            | Self::ReachRetried { at, .. }
            | Self::SupervisorAlarmed { at, .. }
            | Self::PersonActed { at }
            | Self::Escalated { at, .. }
            | Self::EscalationJoined { at, .. }
            | Self::CaseKnown { at, .. } => *at,
        }
    }
}
