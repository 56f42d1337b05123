//! What was recorded, as somebody sees it who reads every record once it is durable: the laws about counting.

use std::collections::{BTreeMap, BTreeSet};

use throughline_actors::{engine::Engine, stepper::audit::Recorded};
use throughline_workflows::{
    conversation::{Conversation, DeliveryStatus, Event, Status},
    ids::{MessageId, NoteId},
    resolution::{self, Resolution},
    time::Timestamp,
    workflow::{ByKind, Workflow as _},
};
use uuid::Uuid;

use crate::providers::World;

/// What was recorded so far.
#[derive(Default)]
pub(crate) struct Witness {
    /// How far the feed was read, and what stood for all of it then.
    pub(crate) seq: u64,
    pub(crate) conversations: BTreeMap<Uuid, Told>,
    pub(crate) cases: BTreeMap<Uuid, Vec<resolution::Event>>,
    /// Providers' ids of messages, in the order in which they became durable.
    entered: Vec<String>,
    received: BTreeSet<String>,
    words: BTreeSet<String>,
    notes: BTreeSet<NoteId>,
    /// What the engine has answered for: it may never be lost again.
    pub(crate) acknowledged: BTreeSet<String>,
    pub(crate) said: BTreeSet<String>,
    pub(crate) records: u64,
}

/// One conversation.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) events: Vec<Event>,
    pub(crate) statuses: Vec<(Timestamp, Status)>,
    /// The same, each from when it counts: what a customer's message moves from its receipt.
    pub(crate) moves: Vec<(Timestamp, Status)>,
    /// When its customer's messages came in, and when they were taken.
    pub(crate) asked: Vec<(Timestamp, Timestamp)>,
    /// Who wrote.
    pub(crate) from: Option<String>,
    /// Messages that the engine knows to have been taken.
    pub(crate) taken: BTreeSet<MessageId>,
}

impl Told {
    /// What was recorded, a line each.
    pub(crate) fn lines(&self) -> Vec<(Timestamp, String)> {
        let tells = |event: &&Event| {
            !matches!(event, Event::ClocksChanged { .. } | Event::SlaWarned { .. } | Event::Reminded { .. })
        };
        let line = |event: &Event| (event.at(), format!("{event:?}").chars().take(260).collect());
        self.events.iter().filter(tells).map(line).collect()
    }

    pub(crate) fn story(&self) -> String {
        self.lines().iter().map(|(at, line)| format!("    {at} {line}\n")).collect()
    }
}

impl Witness {
    /// Reads what has become durable; says what cannot be.
    pub(crate) fn look(&mut self, engine: &Engine, world: &World) -> Result<(), String> {
        let (reached, records, mut broken) = engine.audit(self.seq)?;
        self.seq = reached;
        for record in records {
            self.records += 1;
            self.read(engine, &record, world, &mut broken)?;
        }
        let inbox = engine.inbox()?;
        for id in &inbox {
            if !self.entered.contains(id) {
                self.entered.push(id.clone());
            }
        }
        let inbox: BTreeSet<_> = inbox.into_iter().collect();
        for id in self.acknowledged.difference(&self.received) {
            if !inbox.contains(id) && !is_dead(engine, id)? {
                broken.push(format!("message {id} was acknowledged and is gone"));
            }
        }
        for words in self.said.difference(&self.words) {
            broken.push(format!("a person was told that {words:?} are kept, and they are gone"));
        }
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }

    fn read(
        &mut self,
        engine: &Engine,
        record: &Recorded,
        world: &World,
        broken: &mut Vec<String>,
    ) -> Result<(), String> {
        let id = record.stream.entity;
        if record.stream.kind == Resolution::KIND {
            self.cases.entry(id).or_default().extend(engine.recorded::<Resolution>(record)?);
        }
        if record.stream.kind != Conversation::KIND {
            return Ok(());
        }
        let mut received = None;
        for event in engine.recorded::<Conversation>(record)? {
            let told = self.conversations.entry(id).or_default();
            match &event {
                Event::Opened { at, .. } => told.statuses.push((*at, Status::Open)),
                Event::StateChanged { at, to, .. } => {
                    told.statuses.push((*at, *to));
                    told.moves.push((received.unwrap_or(*at), *to));
                }
                Event::MessageReceived { at, message, .. } => {
                    received = Some(message.received_at);
                    told.asked.push((message.received_at, *at));
                    told.from = message.from.first().map(ToString::to_string);
                    let from = told.from.clone();
                    let provider_id = message.provider_message_id.clone();
                    self.in_order(engine, &provider_id, from.as_deref(), broken)?;
                    if !self.received.insert(provider_id.clone()) {
                        broken.push(format!("message {provider_id} was taken twice"));
                    }
                }
                Event::MessageQueued { message, by, replaces: None, .. }
                    if by.kind == ByKind::Person && !self.words.insert(message.text.clone()) =>
                {
                    broken.push(format!("{:?} was queued twice", message.text));
                }
                Event::NoteAdded { note_id, .. } if !self.notes.insert(*note_id) => {
                    broken.push(format!("note {note_id} was taken twice"));
                }
                Event::DeliveryChanged { message_id, status, .. } if status.is_accepted() => {
                    if *status == DeliveryStatus::Sent && !told.taken.insert(*message_id) {
                        broken.push(format!("message {message_id} was recorded as sent twice"));
                    }
                    let known = |ledger: &mut crate::providers::Ledger| {
                        ledger.accepted.iter().any(|accepted| accepted.message_id == *message_id)
                    };
                    if !world.with_ledger(known) {
                        broken.push(format!("message {message_id} was recorded as sent, and nobody took it"));
                    }
                }
                _ => {}
            }
            let told = self.conversations.entry(id).or_default();
            told.events.push(event);
        }
        Ok(())
    }

    /// The messages of one address reach their conversation in the order in which they became durable.
    fn in_order(
        &self,
        engine: &Engine,
        id: &str,
        from: Option<&str>,
        broken: &mut Vec<String>,
    ) -> Result<(), String> {
        // The provider's id begins with the customer's name, who writes from one address.
        let Some((customer, _)) = id.rsplit_once('-') else { return Ok(()) };
        for before in self.entered.iter().take_while(|entered| *entered != id) {
            let same = before.rsplit_once('-').is_some_and(|(other, _)| other == customer);
            if same && !self.received.contains(before) && !is_dead(engine, before)? {
                broken.push(format!("message {id} of {from:?} overtook {before}"));
            }
        }
        Ok(())
    }

    /// A process is back: it must know everything that was ever seen to be durable.
    pub(crate) fn returns(&self, engine: &Engine) -> Result<(), String> {
        let head = engine.last_seq();
        if head < self.seq {
            return Err(format!("the journal ends at {head}, and {} was durable before", self.seq));
        }
        let broken = engine.audit_all()?;
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }
}

/// Whether a message was given up and is kept for people.
fn is_dead(engine: &Engine, id: &str) -> Result<bool, String> {
    let letters = engine.dead_letters(None)?;
    Ok(letters.iter().any(|letter| letter.kind == "inbound" && letter.payload.to_string().contains(id)))
}
