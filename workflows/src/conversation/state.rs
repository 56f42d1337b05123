//! What a conversation must remember to decide: the size of what is open, never of the history.
//!
//! Message bodies are in the events and nowhere here; the timeline is read from the journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    command::CustomerCard,
    delivery::DeliveryStatus,
    event::Event,
    lifecycle::Status,
    threading::{MailThread, Subject},
};
use crate::{
    ids::{AgentId, ConversationId, MessageId, NoteId, TeamId},
    message::{Address, Channel, Inbound, Outbound},
    time::Timestamp,
    words::{Outcome, Severity},
};

/// How many ids of the newest inbound messages, notes and settled sends are remembered.
///
/// A repeat is kept out at the door by its provider's id and at the commit by the consumed inbox entry; what comes
/// through both is a retry of the turn just taken, so the last few are enough.
pub(super) const RECENT_MAX: usize = 16;

/// A conversation's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Option<Box<Facts>>);

/// What is known of a conversation that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: ConversationId,
    /// With whom.
    pub customer: CustomerCard,
    /// Whose turn it is.
    pub status: Status,
    /// When it was resolved, while it is.
    pub resolved_at: Option<Timestamp>,
    /// What became of it, while it is resolved.
    pub outcome: Option<Outcome>,
    /// How urgent it is, where somebody said so.
    pub priority: Option<Severity>,
    /// What it is about.
    pub subject: Option<Subject>,
    /// The channel the customer last used, or the one we began on.
    pub channel: Channel,
    /// Every channel used so far, in either direction.
    pub channels_used: BTreeSet<Channel>,
    /// Where the customer is reached, by channel.
    pub contacts: BTreeMap<Channel, Contact>,
    /// What an answer by mail hangs on.
    pub mail: Option<MailThread>,
    /// The agent responsible.
    pub assigned_agent: Option<AgentId>,
    /// The team responsible.
    pub assigned_team: Option<TeamId>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// When it comes back into sight, while it is out of it.
    pub snoozed_until: Option<Timestamp>,
    /// Why a person was asked for, until one has answered.
    pub handoff: Option<Handoff>,
    /// Sends without an outcome, and the newest with one.
    pub sends: VecDeque<SentMessage>,
    /// The newest inbound messages.
    pub recent_inbound: VecDeque<SeenMessage>,
    /// The newest notes.
    pub recent_notes: VecDeque<NoteId>,
}

/// The two ends of a channel: where the customer is, and which address of ours they know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The customer's address.
    pub theirs: Address,
    /// The address of ours that was last written to.
    pub ours: Option<String>,
}

/// A request for a person that nobody has answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// Why.
    pub reason: Option<String>,
}

/// A send and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The message.
    pub id: MessageId,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// The channel it goes by.
    pub channel: Channel,
    /// The provider's id of it, once it gave one.
    pub provider_message_id: Option<String>,
}

/// What tells an inbound message from its own repetition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMessage {
    /// Our id.
    pub id: MessageId,
    /// The provider's id, unique within its channel.
    pub provider_message_id: String,
    /// The channel.
    pub channel: Channel,
}

impl State {
    /// What is known; none before the first event.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_deref()
    }

    /// Records one event.
    pub(super) fn evolve(&mut self, event: &Event) {
        if let Event::Opened { id, customer, channel, subject, priority, .. } = event {
            let subject = subject.as_deref().and_then(Subject::new);
            self.0 = Some(Box::new(Facts::new(*id, customer.clone(), channel.clone(), subject, *priority)));
        } else if let Some(facts) = &mut self.0 {
            facts.evolve(event);
        }
    }
}

impl Facts {
    fn new(
        id: ConversationId,
        customer: CustomerCard,
        channel: Channel,
        subject: Option<Subject>,
        priority: Option<Severity>,
    ) -> Self {
        Self {
            id,
            customer,
            status: Status::Open,
            resolved_at: None,
            outcome: None,
            priority,
            subject,
            channels_used: BTreeSet::from([channel.clone()]),
            channel,
            contacts: BTreeMap::new(),
            mail: None,
            assigned_agent: None,
            assigned_team: None,
            tags: BTreeSet::new(),
            snoozed_until: None,
            handoff: None,
            sends: VecDeque::new(),
            recent_inbound: VecDeque::new(),
            recent_notes: VecDeque::new(),
        }
    }

    /// Where a send stands; none if it never was, or is settled and forgotten.
    pub fn send_status(&self, message_id: MessageId) -> Option<DeliveryStatus> {
        self.sends.iter().find(|send| send.id == message_id).map(|send| send.status)
    }

    /// Whether this message was taken already, as far as is remembered.
    pub(super) fn has_seen(&self, inbound: &Inbound) -> bool {
        self.recent_inbound.iter().any(|seen| {
            seen.id == inbound.id
                || (seen.channel == inbound.channel
                    && seen.provider_message_id == inbound.provider_message_id)
        })
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            // Handled by the state as a whole: a conversation opens once.
            Event::Opened { .. } => {}
            Event::CustomerKnown { customer, .. } => self.customer = customer.clone(),
            Event::MessageReceived { message, .. } => self.record_inbound(message),
            Event::MessageQueued { message, .. } => self.record_queued(message),
            Event::DeliveryChanged { message_id, status, provider_message_id, .. } => {
                self.record_delivery(*message_id, *status, provider_message_id.as_deref());
            }
            Event::StateChanged { at, to, .. } => self.record_status(*to, *at),
            Event::NoteAdded { note_id, .. } => remember(&mut self.recent_notes, *note_id),
            Event::Assigned { agent, team, .. } => {
                self.assigned_agent = *agent;
                self.assigned_team = *team;
            }
            Event::Unassigned { .. } => {
                self.assigned_agent = None;
                self.assigned_team = None;
            }
            Event::HandedOff { reason, .. } => self.handoff = Some(Handoff { reason: reason.clone() }),
            Event::Snoozed { until, .. } => self.snoozed_until = Some(*until),
            Event::Woken { .. } => self.snoozed_until = None,
            Event::TagsChanged { added, removed, .. } => {
                self.tags.retain(|tag| !removed.contains(tag));
                self.tags.extend(added.iter().cloned());
            }
            Event::OutcomeRecorded { outcome, .. } => self.outcome = *outcome,
            Event::PrioritySet { severity, .. } => self.priority = Some(*severity),
        }
    }

    fn record_inbound(&mut self, message: &Inbound) {
        let seen = SeenMessage {
            id: message.id,
            provider_message_id: message.provider_message_id.clone(),
            channel: message.channel.clone(),
        };
        remember(&mut self.recent_inbound, seen);
        self.channels_used.insert(message.channel.clone());
        self.record_contacts(message);
        if let Some(thread) = MailThread::of(message)
            && (self.mail.is_none() || !message.automatic)
        {
            self.mail = Some(thread);
        }
        if self.subject.is_none() {
            self.subject = message.subject.as_deref().and_then(Subject::new);
        }
    }

    /// A machine's mail comes from a machine's address (a bounce from the postmaster), so it says where the customer
    /// is only as long as nothing better is known.
    fn record_contacts(&mut self, message: &Inbound) {
        if !message.automatic {
            self.channel = message.channel.clone();
        }
        let ours = message.to.clone();
        let reached = message.from.iter().find(|address| address.is_reached_by(&message.channel));
        if let Some(theirs) = reached
            && (!message.automatic || !self.contacts.contains_key(&message.channel))
        {
            let contact = Contact { theirs: theirs.clone(), ours };
            self.contacts.insert(message.channel.clone(), contact);
        }
        for address in message.from.iter().filter(|_| !message.automatic) {
            let Some(channel) = address.usual_channel() else { continue };
            if channel != message.channel && self.contacts.get(&channel).is_none_or(|c| c.theirs != *address)
            {
                self.contacts.insert(channel, Contact { theirs: address.clone(), ours: None });
            }
        }
    }

    fn record_queued(&mut self, message: &Outbound) {
        self.channels_used.insert(message.channel.clone());
        self.contacts
            .entry(message.channel.clone())
            .or_insert_with(|| Contact { theirs: message.to.clone(), ours: message.from.clone() });
        if !message.automatic {
            self.handoff = None;
        }
        self.sends.push_back(SentMessage {
            id: message.message_id,
            status: DeliveryStatus::Queued,
            channel: message.channel.clone(),
            provider_message_id: None,
        });
        self.forget_settled_sends();
    }

    fn record_delivery(&mut self, message_id: MessageId, status: DeliveryStatus, provider_id: Option<&str>) {
        if let Some(send) = self.sends.iter_mut().find(|send| send.id == message_id) {
            send.status = status;
            if let Some(id) = provider_id {
                send.provider_message_id = Some(id.to_owned());
            }
        }
        self.forget_settled_sends();
    }

    /// What is open is kept however much it is; of the settled only the newest, in case a late report comes.
    fn forget_settled_sends(&mut self) {
        let settled = self.sends.iter().filter(|send| !send.status.is_open()).count();
        let mut surplus = settled.saturating_sub(RECENT_MAX);
        self.sends.retain(|send| {
            let dropped = surplus > 0 && !send.status.is_open();
            surplus -= usize::from(dropped);
            !dropped
        });
    }

    fn record_status(&mut self, to: Status, at: Timestamp) {
        self.status = to;
        match to {
            // Nothing waits in a resolved conversation: no snooze, no request for a person.
            Status::Resolved => {
                self.resolved_at = Some(at);
                self.snoozed_until = None;
                self.handoff = None;
            }
            Status::Open
            | Status::AwaitingCustomer
            | Status::AwaitingAgent
            | Status::Escalated
            | Status::Reopened => {
                self.resolved_at = None;
                self.outcome = None;
            }
        }
    }
}

fn remember<T>(recent: &mut VecDeque<T>, newest: T) {
    recent.push_back(newest);
    while recent.len() > RECENT_MAX {
        recent.pop_front();
    }
}
