//! What was recorded, as somebody sees it who reads every record once it is durable: the laws about counting.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use throughline_actors::{dead_letters::Letter, engine::Engine, stepper::audit::Recorded};
use throughline_workflows::{
    conversation::{Conversation, DeliveryStatus, Event, Status},
    customer::Customer,
    ids::{MessageId, NoteId, TenantId},
    message::{AttachmentAt, Inbound},
    resolution::Resolution,
    time::Timestamp,
    workflow::{ByKind, Workflow as _},
};
use uuid::Uuid;

use crate::{operations::Operations, outside::file_of, providers::World};

/// What was recorded so far.
#[derive(Default)]
pub(crate) struct Witness {
    /// How far the feed was read, and what stood for all of it then.
    pub(crate) seq: u64,
    pub(crate) conversations: BTreeMap<Uuid, Told>,
    /// The cases, and whose they are.
    pub(crate) cases: BTreeMap<Uuid, TenantId>,
    /// The customers: known ones bear the same ids at every tenant.
    pub(crate) customers: BTreeSet<(TenantId, Uuid)>,
    pub(crate) operations: Operations,
    /// Messages by their tenants and their providers' ids, in the order in which they became durable.
    entered: Vec<String>,
    received: BTreeSet<String>,
    words: BTreeSet<String>,
    notes: BTreeSet<NoteId>,
    /// What the engine has answered for: it may never be lost again.
    pub(crate) acknowledged: BTreeSet<String>,
    pub(crate) said: BTreeSet<String>,
    /// Messages that an operator put back, and that may overtake others therefore or be overtaken.
    pub(crate) put_back: BTreeSet<String>,
    pub(crate) records: u64,
}

/// One conversation.
pub(crate) struct Told {
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// The version of the policy that its clocks run by.
    pub(crate) policy: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) statuses: Vec<(Timestamp, Status)>,
    /// The same, each from when it counts (what a customer's message moves from its receipt) and with the version of the
    /// policy by which it was decided.
    pub(crate) moves: Vec<(Timestamp, Status, u64)>,
    /// When its clocks changed, and by which version of the policy.
    pub(crate) ran_by: Vec<(Timestamp, u64)>,
    /// The version of the policy by which its clocks began.
    pub(crate) began_by: u64,
    /// When its customer's messages came in, and when they were taken.
    pub(crate) asked: Vec<(Timestamp, Timestamp)>,
    /// Who wrote.
    pub(crate) from: Option<String>,
    /// Messages that the engine knows to have been taken.
    pub(crate) taken: BTreeSet<MessageId>,
    /// Messages that the engine knows to have failed.
    pub(crate) failed: BTreeSet<MessageId>,
}

impl Told {
    fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            policy: 0,
            events: Vec::new(),
            statuses: Vec::new(),
            moves: Vec::new(),
            ran_by: Vec::new(),
            began_by: 0,
            asked: Vec::new(),
            from: None,
            taken: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

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
        let held = if records.is_empty() { BTreeSet::new() } else { world.held() };
        for record in records {
            self.records += 1;
            self.operations.read(engine, &record, &held, &mut broken)?;
            self.read(engine, &record, world, &mut broken)?;
        }
        let inbox = engine.inbox()?.into_iter().map(|(tenant, id)| format!("{tenant}/{id}"));
        let inbox: Vec<_> = inbox.collect();
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
        broken.extend(self.operations.broken());
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
        let tenant: TenantId = record.stream.tenant.parse().map_err(|_| "a record of no tenant")?;
        if record.stream.kind == Resolution::KIND {
            self.cases.entry(id).or_insert(tenant);
            return Ok(());
        }
        if record.stream.kind == Customer::KIND {
            self.customers.insert((tenant, id));
            return Ok(());
        }
        if record.stream.kind != Conversation::KIND {
            return Ok(());
        }
        let (mut received, mut moved) = (None, 0);
        for event in engine.recorded::<Conversation>(record)? {
            let told = self.conversations.entry(id).or_insert_with(|| Told::new(tenant.clone()));
            match &event {
                Event::Opened { at, .. } => told.statuses.push((*at, Status::Open)),
                Event::StateChanged { at, to, .. } => {
                    told.statuses.push((*at, *to));
                    told.moves.push((received.unwrap_or(*at), *to, 0));
                    moved += 1;
                }
                Event::MessageReceived { at, message, .. } => {
                    // Of two messages of one instant the second moves nothing back to it.
                    let before = told.asked.last().map(|(received, _)| *received);
                    received = Some(message.received_at).filter(|received| Some(*received) != before);
                    told.asked.push((message.received_at, *at));
                    told.from = message.from.first().map(ToString::to_string);
                    let from = told.from.clone();
                    let provider_id = format!("{tenant}/{}", message.provider_message_id);
                    if !message.text.ends_with(&format!(" to {tenant}")) {
                        broken.push(format!("{:?} is in a conversation of {tenant}", message.text));
                    }
                    whole(engine, &tenant, message, broken);
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
                Event::DeliveryChanged { message_id, status: DeliveryStatus::Failed, .. } => {
                    told.failed.insert(*message_id);
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
                Event::ClocksChanged { at, clocks } => {
                    told.policy = clocks.policy;
                    told.ran_by.push((*at, clocks.policy));
                }
                _ => {}
            }
            let told = self.conversations.entry(id).or_insert_with(|| Told::new(tenant.clone()));
            told.events.push(event);
        }
        if let Some(told) = self.conversations.get_mut(&id) {
            let policy = told.policy;
            told.moves.iter_mut().rev().take(moved).for_each(|(_, _, by)| *by = policy);
            if told.began_by == 0 {
                told.began_by = policy;
            }
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
            if same
                && !self.received.contains(before)
                && !self.put_back.contains(before)
                && !is_dead(engine, before)?
            {
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

/// The files that a message names are there for its tenant, and for nobody else.
fn whole(engine: &Engine, tenant: &TenantId, message: &Inbound, broken: &mut Vec<String>) {
    for file in &message.attachments {
        let AttachmentAt::Blob(key) = &file.at else { continue };
        // The folder is read at once, where there is no runtime.
        let read = |tenant: &TenantId| engine.blob(tenant, key).now_or_never().and_then(Result::ok).flatten();
        if read(tenant) != Some(file_of(tenant, &message.provider_message_id)) {
            broken
                .push(format!("the file {key} of {} is not what came with it", message.provider_message_id));
        }
        for other in engine.tenants().iter().filter(|other| *other != tenant) {
            if read(other).is_some() {
                broken.push(format!("{other} is shown the file {key}"));
            }
        }
    }
}

/// Whether a message was given up and is kept for people.
fn is_dead(engine: &Engine, id: &str) -> Result<bool, String> {
    let Some((tenant, id)) = id.split_once('/') else { return Ok(false) };
    let letters = engine.dead_letters(None)?;
    let is_it = |letter: &Letter| letter.kind == "inbound" && letter.tenant == tenant;
    Ok(letters.iter().any(|letter| is_it(letter) && letter.payload.to_string().contains(id)))
}
