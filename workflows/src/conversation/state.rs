//! What a conversation must remember to decide: the size of what is open, never of the history.
//!
//! Message bodies are in the events and nowhere here; the timeline is read from the journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    case::Case,
    clocks::Clocks,
    command::CustomerCard,
    delivery::DeliveryStatus,
    event::{Event, Purpose},
    lifecycle::{Move, Status},
    sends::{Sends, SentMessage},
    silence::Silence,
    standing::Standing,
    threading::{MailThread, Subject},
};
use crate::{
    ids::{AgentId, ConversationId, MessageId, NoteId, ResolutionId, TeamId},
    message::{Address, Channel, Inbound},
    time::Timestamp,
    words::{Outcome, Severity},
};

mod outgoing;

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
    /// How the customer is to be treated.
    pub standing: Standing,
    /// The messages on their way to the customer.
    pub sends: Sends,
    /// The customer's first message that a machine may answer, by the engine's time; counts from its receipt.
    pub first_asked_at: Option<Timestamp>,
    /// Since when the customer waits for an answer by a person: the receipt of the oldest unanswered message.
    pub asked_since: Option<Timestamp>,
    /// When the customer last wrote.
    pub last_asked_at: Option<Timestamp>,
    /// When a person last wrote to the customer, taken by a channel or not.
    pub last_written_at: Option<Timestamp>,
    /// The clocks of the SLA.
    pub clocks: Clocks,
    /// What the promise against silence needs to know.
    pub silence: Silence,
    /// The long-running case, the last one where there were several.
    pub case: Option<Case>,
    /// The newest inbound messages.
    pub recent_inbound: VecDeque<SeenMessage>,
    /// The newest notes.
    pub recent_notes: VecDeque<NoteId>,
    /// The newest escalations that joined an open case, by the resolution they had asked for.
    pub recent_joins: VecDeque<ResolutionId>,
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

    /// What is known, taken out of it.
    pub(super) fn into_facts(self) -> Option<Box<Facts>> {
        self.0
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

    /// Forgets what only tells a repetition: for a copy in which nothing is decided.
    pub(crate) fn forget_recent(&mut self) {
        if let Some(facts) = &mut self.0 {
            facts.recent_inbound.clear();
            facts.recent_notes.clear();
            facts.recent_joins.clear();
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
            standing: Standing::default(),
            sends: Sends::default(),
            first_asked_at: None,
            asked_since: None,
            last_asked_at: None,
            last_written_at: None,
            clocks: Clocks::default(),
            silence: Silence::default(),
            case: None,
            recent_inbound: VecDeque::new(),
            recent_notes: VecDeque::new(),
            recent_joins: VecDeque::new(),
        }
    }

    /// Where a send stands; none if it never was, or is settled and forgotten.
    pub fn send_status(&self, message_id: MessageId) -> Option<DeliveryStatus> {
        self.sends.get(message_id).map(|send| send.status)
    }

    /// Whether this message was taken already, as far as is remembered.
    pub(super) fn has_seen(&self, inbound: &Inbound) -> bool {
        self.recent_inbound.iter().any(|seen| {
            seen.id == inbound.id
                || (seen.channel == inbound.channel
                    && seen.provider_message_id == inbound.provider_message_id)
        })
    }

    /// Whether the customer waits for us: it is our turn, or our answer has not reached them yet.
    pub(super) fn waits(&self) -> bool {
        let unanswered = self.status == Status::AwaitingCustomer && self.asked_since.is_some();
        self.status.waits_for_us() || unanswered
    }

    /// The case, while somebody works on it.
    pub fn open_case(&self) -> Option<&Case> {
        self.case.as_ref().filter(|case| case.facts.is_open())
    }

    /// How urgent it is: normal where nobody said.
    pub fn severity(&self) -> Severity {
        self.priority.unwrap_or(Severity::P2)
    }

    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            // Handled by the state as a whole: a conversation opens once.
            Event::Opened { .. } => {}
            Event::CustomerKnown { customer, .. } => self.customer = customer.clone(),
            Event::MessageReceived { message, .. } => self.record_inbound(message),
            Event::MessageQueued { .. } => self.record_queued(event),
            Event::DeliveryChanged { .. } => self.record_delivery(event),
            Event::StateChanged { at, to, by, .. } => self.record_status(*to, *at, *by),
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
            Event::StandingKnown { standing, .. } => self.record_standing(standing),
            Event::ClocksChanged { clocks, .. } => self.clocks = (**clocks).clone(),
            Event::Recalled { at, message_id, again } => {
                let Some(send) = self.sends.get_mut(*message_id) else { return };
                send.recalled_at = Some(*at);
                send.fallback_at = None;
                if *again {
                    self.silence.tried.remove(&send.channel);
                    self.silence.failed.remove(&send.channel);
                } else {
                    self.silence.tried.insert(send.channel.clone());
                }
            }
            Event::Hurried { at, message_id, fallback_at } => {
                if let Some(send) = self.sends.get_mut(*message_id) {
                    if send.fallback_at.is_some_and(|due| due < *at) {
                        // The process was down meanwhile: what the channels did before says nothing any more.
                        self.silence.tried.clear();
                    }
                    send.fallback_at = Some(*fallback_at);
                    self.silence.tried.insert(send.channel.clone());
                }
            }
            Event::Nudged { since, .. } => self.silence.nudged_for = Some(*since),
            Event::SilenceBroken { since, .. } => self.silence.broken_for = Some(*since),
            Event::CustomerUnreachable { retry_at, .. } => {
                self.silence.retry_at = Some(*retry_at);
                for send in self.sends.iter_mut() {
                    send.fallback_at = None;
                    send.recalled_at = None;
                }
            }
            Event::ReachRetried { retry_at, .. } => {
                self.silence.retry_at = Some(*retry_at);
                self.silence.tried.clear();
                self.silence.failed.clear();
            }
            Event::SupervisorAlarmed { .. } => self.silence.alarmed = true,
            Event::PersonActed { .. } => self.silence.person_acted(),
            Event::Escalated { at, request, window, continuation } => {
                if self.priority.is_none() || request.severity.is_some() {
                    self.priority = request.severity.or(self.priority);
                }
                self.case = Some(Case::opened(*at, request, *window, continuation.clone()));
                self.silence.owed = None;
            }
            Event::CaseKnown { at, facts } => self.record_case(facts, *at),
            // Told to people: nothing here depends on it.
            Event::SlaWarned { .. } | Event::SlaBreached { .. } | Event::Reminded { .. } => {}
            Event::EscalationJoined { request, .. } => {
                remember(&mut self.recent_joins, request.resolution_id);
                if let Some(case) = &mut self.case {
                    case.joins += 1;
                }
                if request.severity.is_some() {
                    self.priority = request.severity;
                }
            }
        }
    }

    fn record_standing(&mut self, standing: &Standing) {
        self.standing = standing.clone();
        for address in &standing.addresses {
            let Some(channel) = address.usual_channel() else { continue };
            self.contacts.entry(channel).or_insert_with(|| Contact { theirs: address.clone(), ours: None });
        }
    }

    fn record_case(&mut self, facts: &super::case::CaseFacts, at: Timestamp) {
        let Some(case) = &mut self.case else { return };
        let newly_missed = facts.missed.is_some() && facts.missed != case.facts.missed;
        let acted = facts.person_at > case.facts.person_at;
        case.facts = *facts;
        // An update that was due first may have said so already.
        let said = |send: &SentMessage| {
            send.purpose == Purpose::WindowMissed
                && Some(send.queued_at) > facts.missed
                && (send.is_open() || send.accepted_at.is_some())
        };
        if newly_missed && !self.sends.iter().any(said) {
            self.silence.owed = Some(at);
        } else if facts.missed.is_none() {
            self.silence.owed = None;
        }
        if acted {
            self.silence.person_acted();
        }
    }

    fn record_inbound(&mut self, message: &Inbound) {
        let seen = SeenMessage {
            id: message.id,
            provider_message_id: message.provider_message_id.clone(),
            channel: message.channel.clone(),
        };
        remember(&mut self.recent_inbound, seen);
        if !message.automatic {
            self.last_asked_at = self.last_asked_at.max(Some(message.received_at));
            if !self.waits() || !self.silence.counts || self.silence.began.is_none() {
                self.silence.began = Some(message.received_at);
            }
            self.silence.tried.clear();
            self.silence.failed.remove(&message.channel);
            if message.from.iter().any(Address::can_answer) {
                self.record_question(message.received_at);
            }
            if self.silence.retry_at.is_some() {
                // Whoever writes can perhaps be reached again.
                self.silence.retry_at = Some(message.received_at);
            }
        }
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

    /// The customer asks something that a person has to answer.
    fn record_question(&mut self, received_at: Timestamp) {
        self.first_asked_at.get_or_insert(received_at);
        self.silence.counts = true;
        self.asked_since.get_or_insert(received_at);
        for send in self.sends.iter_mut().filter(|send| !send.automatic) {
            send.asked_since.get_or_insert(received_at);
        }
    }

    fn record_status(&mut self, to: Status, at: Timestamp, by: Move) {
        let waited = self.waits();
        self.status = to;
        // A customer's message that makes it wait has been counted from its receipt.
        if to.waits_for_us() && !waited && by != Move::CustomerWrote {
            self.silence.began = Some(at);
        }
        match to {
            // Nothing waits in a resolved conversation: no snooze, no request for a person.
            Status::Resolved => {
                self.resolved_at = Some(at);
                self.snoozed_until = None;
                self.handoff = None;
                self.asked_since = None;
                self.silence.owed = None;
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
