//! The list of conversations: one row each, the newest activity first.

use std::{cmp::Ordering, collections::BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{EventMeta, View, outside};
use crate::{
    conversation::{Conversation, Event, Status, threading::Subject},
    ids::{AgentId, CaseId, ConversationId, CustomerId, ResolutionId, TeamId},
    message::Channel,
    sla::ClockKind,
    text::{clip, one_line},
    time::Timestamp,
    words::{Outcome, Severity, words},
};

/// How much of the last message a row shows, in characters.
const SNIPPET_MAX: usize = 200;

/// The view of conversations as a list.
#[derive(Clone, Copy, Debug)]
pub struct Inbox;

/// What a list shows of one conversation. [`InboxRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// The conversation.
    pub id: ConversationId,
    /// Whose turn it is.
    pub status: Status,
    /// What it is about.
    pub subject: Option<String>,
    /// With whom.
    pub customer: CustomerRef,
    /// The channel the customer last used.
    pub channel: Channel,
    /// Every channel used so far.
    pub channels_used: BTreeSet<Channel>,
    /// How urgent it is.
    pub priority: Option<Severity>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// The agent responsible.
    pub assigned_agent_id: Option<AgentId>,
    /// The team responsible.
    pub assigned_team_id: Option<TeamId>,
    /// When it comes back into sight.
    pub snoozed_until: Option<Timestamp>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// The resolved conversation it follows.
    pub follow_up_of: Option<ConversationId>,
    /// The resolution of its case, the last one where there were several.
    pub resolution_id: Option<ResolutionId>,
    /// The spoken name of that case.
    pub case_id: Option<CaseId>,
    /// The clock that falls due next.
    pub next_due: Option<NextDue>,
    /// Whether no channel is left by which the customer can be reached.
    pub unreachable: bool,
    /// The last message.
    pub last_message: Option<LastMessage>,
    /// When it began.
    pub created_at: Timestamp,
    /// When somebody last did something in it.
    pub last_activity_at: Timestamp,
    /// The version that the row shows.
    pub version: u64,
}

/// A customer as a conversation names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRef {
    /// The customer.
    pub id: CustomerId,
    /// Their name, where known.
    pub name: Option<String>,
}

/// A clock and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextDue {
    /// Which.
    pub clock: ClockKind,
    /// When.
    pub due_at: Timestamp,
}

/// The beginning of a conversation's last message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMessage {
    /// Which way it went.
    pub direction: Direction,
    /// Its first 200 characters, on one line.
    pub snippet: String,
    /// When the engine took it or handed it on.
    pub at: Timestamp,
}

words! {
    /// Which way a message goes.
    Direction, "a direction" {
        /// From the customer.
        Inbound = "inbound",
        /// To the customer.
        Outbound = "outbound",
    }
}

/// Which rows of the list are wanted. What is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Used this channel, in either direction.
    pub channel: Option<Channel>,
    /// Has this status.
    pub status: Option<Status>,
    /// With this customer.
    pub customer_id: Option<CustomerId>,
    /// Given to this agent or team.
    pub assigned_to: Option<Uuid>,
    /// This urgent.
    pub severity: Option<Severity>,
    /// Holds this text, in any case, in subject, last message, customer's name or tags.
    pub q: Option<String>,
}

words! {
    /// How a list of conversations is sorted; a leading `-` puts the greatest first.
    Sort, "an order" {
        /// The newest activity first, as the list is kept.
        NewestActivity = "-last_activity_at",
        /// The oldest activity first.
        OldestActivity = "last_activity_at",
        /// The youngest conversation first.
        Youngest = "-created_at",
        /// The oldest conversation first.
        Oldest = "created_at",
        /// The most urgent first, those of unknown urgency last.
        MostUrgent = "priority",
    }
}

impl View for Inbox {
    const NAME: &'static str = "inbox";
    const REVISION: u16 = 4;

    type Source = Conversation;
    type Row = InboxRow;

    fn fold(row: Option<InboxRow>, event: &Event, meta: &EventMeta<'_>) -> Option<InboxRow> {
        let row = if matches!(event, Event::Opened { .. }) { InboxRow::opened(event, meta) } else { row };
        let mut row = row?;
        row.apply(event, meta);
        Some(row)
    }

    fn order(row: &InboxRow) -> u64 {
        row.last_activity_at.as_millis()
    }

    fn owner(row: &InboxRow) -> Option<Uuid> {
        Some(row.customer.id.0)
    }
}

impl InboxRow {
    /// The row in its outside form: the names of the model, what is unknown absent.
    pub fn to_json(&self) -> Value {
        outside::compact(self)
    }

    fn opened(event: &Event, meta: &EventMeta<'_>) -> Option<Self> {
        let Event::Opened { at, id, customer, channel, subject, follow_up_of, priority } = event else {
            return None;
        };
        Some(Self {
            id: *id,
            status: Status::Open,
            subject: subject.clone(),
            customer: CustomerRef { id: customer.id, name: customer.name.clone() },
            channel: channel.clone(),
            channels_used: BTreeSet::from([channel.clone()]),
            priority: *priority,
            tags: BTreeSet::new(),
            assigned_agent_id: None,
            assigned_team_id: None,
            snoozed_until: None,
            outcome: None,
            follow_up_of: *follow_up_of,
            resolution_id: None,
            case_id: None,
            next_due: None,
            unreachable: false,
            last_message: None,
            created_at: *at,
            last_activity_at: *at,
            version: meta.version,
        })
    }

    fn apply(&mut self, event: &Event, meta: &EventMeta<'_>) {
        self.version = meta.version;
        if is_activity(event) {
            self.last_activity_at = event.at();
        }
        match event {
            Event::DeliveryChanged { status, .. } => self.unreachable &= !status.is_accepted(),
            Event::Opened { .. } | Event::HandedOff { .. } => {}
            Event::NoteAdded { .. } => {}
            Event::CustomerKnown { customer, .. } => self.customer.name.clone_from(&customer.name),
            Event::MessageReceived { at, message, .. } => {
                self.channels_used.insert(message.channel.clone());
                if !message.automatic {
                    self.channel = message.channel.clone();
                }
                if self.subject.is_none() {
                    self.subject = message.subject.as_deref().and_then(Subject::new).map(Subject::into_text);
                }
                self.last_message = Some(LastMessage::new(Direction::Inbound, &message.text, *at));
            }
            Event::MessageQueued { at, message, .. } => {
                self.channels_used.insert(message.channel.clone());
                // The engine's own words never hide what the customer said.
                if !message.automatic {
                    self.last_message = Some(LastMessage::new(Direction::Outbound, &message.text, *at));
                }
            }
            Event::StateChanged { to, .. } => self.change_status(*to),
            Event::Assigned { agent, team, .. } => {
                self.assigned_agent_id = *agent;
                self.assigned_team_id = *team;
            }
            Event::Unassigned { .. } => {
                self.assigned_agent_id = None;
                self.assigned_team_id = None;
            }
            Event::Snoozed { until, .. } => self.snoozed_until = Some(*until),
            Event::Woken { .. } => self.snoozed_until = None,
            Event::TagsChanged { added, removed, .. } => {
                self.tags.retain(|tag| !removed.contains(tag));
                self.tags.extend(added.iter().cloned());
            }
            Event::OutcomeRecorded { outcome, .. } => self.outcome = *outcome,
            Event::PrioritySet { severity, .. } => self.priority = Some(*severity),
            Event::Escalated { request, .. } => {
                self.resolution_id = Some(request.resolution_id);
                self.case_id = Some(request.case_id.clone());
                self.priority = request.severity.or(self.priority);
            }
            Event::EscalationJoined { request, .. } => self.priority = request.severity.or(self.priority),
            Event::ClocksChanged { clocks, .. } => {
                self.next_due = clocks.next_due().map(|(clock, due_at)| NextDue { clock, due_at });
            }
            Event::CustomerUnreachable { .. } => self.unreachable = true,
            Event::StandingKnown { .. }
            | Event::SlaWarned { .. }
            | Event::SlaBreached { .. }
            | Event::Reminded { .. }
            | Event::Nudged { .. }
            | Event::Hurried { .. }
            | Event::Recalled { .. }
            | Event::SilenceBroken { .. }
            | Event::ReachRetried { .. }
            | Event::SupervisorAlarmed { .. }
            | Event::PersonActed { .. }
            | Event::CaseKnown { .. } => {}
        }
    }

    fn change_status(&mut self, to: Status) {
        self.status = to;
        if to == Status::Resolved {
            self.snoozed_until = None;
        } else {
            self.outcome = None;
        }
    }
}

/// Whether somebody did something: not a report, a calculation or an alarm.
fn is_activity(event: &Event) -> bool {
    !matches!(
        event,
        Event::DeliveryChanged { .. }
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
            | Event::CaseKnown { .. }
    )
}

impl LastMessage {
    fn new(direction: Direction, text: &str, at: Timestamp) -> Self {
        // Cut before it is put on one line, so that a long text costs no more than a short one.
        let snippet = clip(&one_line(&clip(text, 4 * SNIPPET_MAX)), SNIPPET_MAX);
        Self { direction, snippet, at }
    }
}

impl Filter {
    /// Whether the row is wanted.
    pub fn matches(&self, row: &InboxRow) -> bool {
        self.channel.as_ref().is_none_or(|channel| row.channels_used.contains(channel))
            && self.status.is_none_or(|status| row.status == status)
            && self.customer_id.is_none_or(|customer| row.customer.id == customer)
            && self.assigned_to.is_none_or(|id| row.is_given_to(id))
            && self.severity.is_none_or(|severity| row.priority == Some(severity))
            && self.q.as_ref().is_none_or(|q| row.holds(&q.to_lowercase()))
    }
}

impl InboxRow {
    fn is_given_to(&self, id: Uuid) -> bool {
        self.assigned_agent_id.map(|agent| agent.0) == Some(id)
            || self.assigned_team_id.map(|team| team.0) == Some(id)
    }

    fn holds(&self, needle: &str) -> bool {
        let snippet = self.last_message.as_ref().map(|last| last.snippet.as_str());
        let texts = [self.subject.as_deref(), snippet, self.customer.name.as_deref()];
        outside::found(needle, texts.into_iter().flatten().chain(self.tags.iter().map(String::as_str)))
    }
}

impl Sort {
    /// Which of two rows comes first; rows that are equal in it are in the order of their ids.
    pub fn compare(self, a: &InboxRow, b: &InboxRow) -> Ordering {
        let unknown_last = |row: &InboxRow| (row.priority.is_none(), row.priority);
        let by_sort = match self {
            Self::NewestActivity => b.last_activity_at.cmp(&a.last_activity_at),
            Self::OldestActivity => a.last_activity_at.cmp(&b.last_activity_at),
            Self::Youngest => b.created_at.cmp(&a.created_at),
            Self::Oldest => a.created_at.cmp(&b.created_at),
            Self::MostUrgent => unknown_last(a).cmp(&unknown_last(b)),
        };
        by_sort.then_with(|| a.id.cmp(&b.id))
    }
}
