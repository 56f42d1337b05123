//! The 72 hours: customers write, persons act, time passes, the process dies and comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use throughline_actors::{
    clock::{Clock, Minter},
    engine::{Engine, EngineBuilder, SendError},
    host::EngineOptions,
    introspect::Recorded,
    order::CommandMeta,
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::memory::MemoryStore,
    verify::{Wanted, verify},
};
use throughline_workflows::{
    conversation::{self, Conversation, DeliveryStatus, Event, NewMessage, Status, case::EscalationRequest},
    customer::{self, CustomerPatch},
    ids::{CaseId, CustomerId, MessageId, NoteId, ResolutionId, TenantId},
    message::{Channel, Details, Inbound},
    policy::Policy,
    resolution::{self, Resolution},
    time::{Span, Timestamp},
    words::{CaseStatus, IssueType, Severity},
    workflow::{By, ByKind, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use super::{
    script::{Customer, Kind, Script},
    world::{Accepted, StandIn, World},
};
use crate::{config::Config, performers::Outside};

/// Between two looks at what customers and persons do.
const STEP: Span = Span::from_mins(20);

/// What can be known afterwards.
pub(super) struct History {
    pub(super) world: Arc<World>,
    pub(super) accepted: Vec<Accepted>,
    /// Each customer's conversation, by the customer's number.
    pub(super) conversations: BTreeMap<usize, Told>,
    /// From when to when the process was down.
    pub(super) downs: Vec<(Timestamp, Timestamp)>,
    pub(super) ended_at: Timestamp,
    /// What contradicts the engine itself: a state that is not the fold of its events, a timer that is not armed.
    pub(super) contradictions: Vec<String>,
    seed: u64,
}

/// One conversation as its journal tells it.
pub(super) struct Told {
    pub(super) events: Vec<Recorded<Event>>,
    pub(super) cases: Vec<Vec<Recorded<resolution::Event>>>,
}

impl Told {
    /// The messages that the engine knows to have been taken by their channels.
    fn taken(&self) -> impl Iterator<Item = MessageId> {
        self.events.iter().filter_map(|recorded| match &recorded.event {
            Event::DeliveryChanged { message_id, status: DeliveryStatus::Sent, .. } => Some(*message_id),
            _ => None,
        })
    }
}

impl History {
    pub(super) fn summary(&self) -> String {
        let ledger = self.world.ledger();
        let (seed, heard) = (self.seed, self.accepted.len());
        let bounced = self.accepted.iter().filter(|accepted| accepted.bounced_at.is_some()).count();
        let machine = self.accepted.iter().filter(|accepted| accepted.automatic).count();
        format!(
            "seed {seed}: {heard} messages taken, {machine} of them the machine's, {bounced} bounced, {} turned \
             away, {} repeated; {} lives",
            ledger.turned_away,
            ledger.repeated,
            self.downs.len() + 1,
        )
    }
}

/// Lives through the 72 hours of a seed.
pub(super) fn run(seed: u64) -> History {
    let mut simulation = Simulation::begin(seed);
    let end = simulation.world.script.end();
    while simulation.now() < end {
        simulation.act();
        simulation.pass(end);
    }
    let store = simulation.store.clone();
    let history = simulation.history();
    look_through(seed, store.reopen());
    history
}

/// What an operator's tools say of what is left when the power goes: everything fits together, and every entity is what
/// its history makes it.
fn look_through(seed: u64, store: MemoryStore) {
    let found = verify(&store, &Wanted::default(), &mut |_| {});
    assert_eq!(found.damages, [], "seed {seed}");
    let journal = Journal::open(Arc::new(store), JournalOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let offline = crate::recovery::folder::offline(journal, folder.path()).unwrap();
    let replayed = offline.replay(&mut |_| {}).unwrap();
    assert_eq!(replayed.differences, [], "seed {seed}");
    assert_eq!((replayed.entities, replayed.not_rearmed.len()), (found.streams, 0), "seed {seed}");
}

struct Simulation {
    seed: u64,
    rng: StdRng,
    world: Arc<World>,
    folder: TempDir,
    store: MemoryStore,
    life: Life,
    downs: Vec<(Timestamp, Timestamp)>,
    /// The conversations that are known, by customer.
    conversations: BTreeMap<usize, Uuid>,
    /// How often each customer has written.
    written: Vec<u32>,
    escalated: Vec<bool>,
    /// Messages that no life has taken yet: their providers deliver them again.
    waiting: Vec<usize>,
    acts: u64,
}

/// From the start of the process to its end.
struct Life {
    runtime: tokio::runtime::Runtime,
    engine: Engine,
}

impl Life {
    fn begin(world: &Arc<World>, seed: u64, store: &MemoryStore, folder: &TempDir, at: Timestamp) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let life = world.next_life();
        let clock = Clock::manual(at);
        let ticking = clock.clone();
        let options = JournalOptions {
            now_ms: Arc::new(move || ticking.now().as_millis()),
            ..JournalOptions::default()
        };
        let mut config = Config::default();
        config.storage.path = folder.path().to_owned();
        let engine = runtime.block_on(async {
            let journal = Journal::open(Arc::new(store.clone()), options).unwrap();
            let blobs = Arc::new(Blobs::open(folder.path().join("blobs")).unwrap());
            let outside = Outside::new(&config, blobs.clone(), clock.clone()).unwrap();
            let builder = EngineBuilder::new(journal, blobs, clock.clone())
                .minter(Minter::seeded(clock, seed * 1_000 + life as u64))
                .options(EngineOptions { shards: 2, ..EngineOptions::default() })
                .policies([(tenant(), policy())]);
            let stand_in = StandIn { outside, world: world.clone(), life };
            crate::app::workflows(
                builder,
                stand_in.clone(),
                stand_in,
                throughline_actors::performer::NoPerformer,
            )
            .start()
            .await
            .unwrap()
        });
        Self { runtime, engine }
    }

    /// What comes of it, if the process does not die meanwhile.
    fn live<T>(&self, world: &World, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = world.death.notified() => None,
                done = what => Some(done),
            }
        })
    }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// What is usual, and a window for some cases.
fn policy() -> Policy {
    let window = BTreeMap::from([(Severity::P1, Span::from_hours(7))]);
    Policy { windows: BTreeMap::from([(IssueType::Technical, window)]), ..Policy::default() }
}

impl Simulation {
    fn begin(seed: u64) -> Self {
        let script = Script::new(seed);
        let start = script.start;
        let people = script.customers.len();
        let world = World::new(script);
        let folder = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        let life = Life::begin(&world, seed, &store, &folder, start);
        let simulation = Self {
            seed,
            rng: StdRng::seed_from_u64(seed ^ 0xC0FFEE),
            world,
            folder,
            store,
            life,
            downs: Vec::new(),
            conversations: BTreeMap::new(),
            written: vec![0; people],
            escalated: vec![false; people],
            waiting: Vec::new(),
            acts: 0,
        };
        simulation.register();
        simulation
    }

    fn now(&self) -> Timestamp {
        self.life.engine.now()
    }

    /// The process dies as it stands and is back after `pause`.
    fn die(&mut self, pause: Span) {
        let died_at = self.now();
        let back_at = died_at + pause;
        let store = self.store.reopen();
        let next = Life::begin(&self.world, self.seed, &store, &self.folder, back_at);
        let last = std::mem::replace(&mut self.life, next);
        drop(last.engine);
        last.runtime.shutdown_background();
        self.store = store;
        self.downs.push((died_at, back_at));
    }

    /// It died in the midst of a send: back at once, soon, or after hours.
    fn die_in_the_midst(&mut self) {
        let pause = match self.rng.random_range(0..4) {
            0 => Span::from_secs(5),
            1 => Span::from_secs(90),
            2 => Span::from_mins(25),
            _ => Span::from_hours(3),
        };
        self.die(pause);
    }

    /// Time passes up to the next look, or the next stop.
    fn pass(&mut self, end: Timestamp) {
        let now = self.now();
        let stop =
            self.world.script.stops.iter().find(|(at, _)| *at >= now && !self.has_stopped(*at)).copied();
        let step = Span::from_millis(STEP.as_millis() - now.as_millis() % STEP.as_millis());
        let next = stop.map_or(now + step, |(at, _)| (now + step).min(at)).min(end);
        let engine = self.life.engine.clone();
        match self.life.live(&self.world, engine.advance(next.since(now))) {
            None => self.die_in_the_midst(),
            Some(passed) => {
                passed.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
                if let Some((_, pause)) = stop.filter(|(at, _)| *at == next) {
                    self.die(pause);
                }
            }
        }
    }

    fn has_stopped(&self, at: Timestamp) -> bool {
        self.downs.iter().any(|(down, _)| *down == at)
    }

    /// Customers of whom more is known than they write.
    fn register(&self) {
        let engine = self.life.engine.clone();
        let people = self.world.script.customers.iter().enumerate();
        self.life.runtime.block_on(async {
            for (index, customer) in people.filter(|(_, customer)| customer.kind == Kind::Person) {
                let id = engine.mint();
                let mut addresses: Vec<_> = customer.channels.values().cloned().collect();
                addresses.dedup();
                let profile = CustomerPatch {
                    channel: customer.preferred.clone().map(Some),
                    timezone: customer.zone.map(|(zone, _)| zone.to_owned()),
                    quiet_hours: customer.quiet.map(|(range, _)| range.to_owned()),
                    ..CustomerPatch::default()
                };
                let command = customer::Command::Register {
                    customer_id: CustomerId(id),
                    addresses,
                    name: Some(format!("Customer {index}")),
                    via: "api".to_owned(),
                    verified: true,
                    profile: Box::new(profile),
                };
                engine.send::<customer::Customer>(&tenant(), id, command, meta(&engine)).await.unwrap();
            }
        });
    }

    /// What customers, persons and providers do at this moment.
    fn act(&mut self) {
        let now = self.now();
        let people = self.world.script.customers.len();
        for index in 0..people {
            let customer = &self.world.script.customers[index];
            if customer.writes_at <= now && self.written[index] == 0 {
                self.written[index] = 1;
                self.waiting.push(index);
            }
        }
        if !self.deliver() || !self.bounce() {
            return self.die_in_the_midst();
        }
        self.learn();
        for index in 0..people {
            let due = self.world.script.customers[index].escalated_at.is_some_and(|at| at <= now);
            if due
                && !self.escalated[index]
                && let Some(id) = self.conversations.get(&index).copied()
            {
                self.escalated[index] = true;
                if !self.escalate(id) {
                    return self.die_in_the_midst();
                }
            }
        }
        for _ in 0..3 {
            let index = self.rng.random_range(0..people);
            let Some(id) = self.conversations.get(&index).copied() else { continue };
            if self.world.script.customers[index].kind == Kind::NoReply {
                continue;
            }
            if !self.act_on(index, id) {
                return self.die_in_the_midst();
            }
        }
    }

    /// The customers' messages come in; what is not taken is delivered again.
    fn deliver(&mut self) -> bool {
        let tenant = tenant();
        while let Some(index) = self.waiting.last().copied() {
            let engine = self.life.engine.clone();
            let inbound = inbound(&engine, index, self.written[index], &self.world.script.customers[index]);
            let taken = engine.receive(&tenant, inbound, Vec::new(), engine.mint());
            match self.life.live(&self.world, taken) {
                Some(taken) => taken.unwrap(),
                None => return false,
            };
            self.waiting.pop();
        }
        let engine = self.life.engine.clone();
        matches!(self.life.live(&self.world, engine.settle()), Some(Ok(())))
    }

    /// Mails that were taken come back.
    fn bounce(&mut self) -> bool {
        let now = self.now();
        let due: Vec<_> = {
            let ledger = self.world.ledger();
            let due = |accepted: &&Accepted| {
                accepted.bounced_at.is_none() && accepted.bounces_at.is_some_and(|at| at <= now)
            };
            ledger.accepted.iter().filter(due).cloned().collect()
        };
        for bounced in due {
            let command = conversation::Command::Report {
                message_id: None,
                channel: bounced.channel,
                provider_message_id: bounced.provider_id,
                status: DeliveryStatus::Failed,
                error: None,
                at: now,
            };
            let mut ledger = self.world.ledger();
            for known in ledger.accepted.iter_mut().filter(|known| known.message_id == bounced.message_id) {
                known.bounced_at = Some(now);
            }
            drop(ledger);
            if !self.order::<Conversation>(bounced.conversation, command, By::engine()) {
                return false;
            }
        }
        true
    }

    /// Finds the conversations that have begun.
    fn learn(&mut self) {
        let engine = self.life.engine.clone();
        for (index, customer) in self.world.script.customers.iter().enumerate() {
            if self.written[index] == 0 || self.conversations.contains_key(&index) {
                continue;
            }
            let address = customer.channels[&customer.writes_by].to_string();
            let found = self.life.runtime.block_on(async {
                let owner = engine.owner(&tenant(), customer::ADDRESS, &address).await.unwrap()?;
                engine.owner(&tenant(), conversation::CURRENT, &owner.to_string()).await.unwrap()
            });
            if let Some(found) = found {
                self.conversations.insert(index, found);
            }
        }
    }

    /// Gives an order; false if the process dies over it.
    fn order<W: Workflow>(&self, id: Uuid, command: W::Command, by: By) -> bool {
        let engine = self.life.engine.clone();
        let meta = CommandMeta { by, ..meta(&engine) };
        let sent =
            self.life.live(&self.world, async { engine.send::<W>(&tenant(), id, command, meta).await });
        match sent {
            // What a person wants that cannot be is refused, and so it is in life.
            Some(Ok(_) | Err(SendError::Rejected(_))) => {}
            Some(Err(error)) => panic!("seed {}: {error}", self.seed),
            None => return false,
        }
        let engine = self.life.engine.clone();
        matches!(self.life.live(&self.world, engine.settle()), Some(Ok(())))
    }

    fn by_person<W: Workflow>(&self, id: Uuid, command: W::Command) -> bool {
        let by = By {
            kind: ByKind::Person,
            id: Some(Uuid::from_u128(7)),
            name: Some("Robin".to_owned()),
            via: Some("api".to_owned()),
        };
        self.order::<W>(id, command, by)
    }

    fn escalate(&mut self, id: Uuid) -> bool {
        let resolution_id = ResolutionId(self.life.engine.mint());
        let now = self.now();
        let hours = self.rng.random_range(1..30);
        let request = EscalationRequest {
            resolution_id,
            case_id: CaseId::of(resolution_id),
            issue_type: if self.rng.random_bool(0.5) { IssueType::Technical } else { IssueType::Billing },
            owning_team: "engineering".to_owned(),
            severity: self.rng.random_bool(0.5).then_some(Severity::P1),
            expected_by: self.rng.random_bool(0.4).then(|| now + Span::from_hours(hours)),
            summary: Some("NOTE: it does not work".to_owned()),
        };
        self.by_person::<Conversation>(id, conversation::Command::Escalate { request: Box::new(request) })
    }

    /// Something that a person or the customer does in a conversation as it stands.
    fn act_on(&mut self, index: usize, id: Uuid) -> bool {
        use conversation::Command;
        let engine = self.life.engine.clone();
        let state = self.life.runtime.block_on(engine.state::<Conversation>(&tenant(), id)).unwrap();
        let Some(facts) = state.as_ref().and_then(|(state, _)| state.facts()) else { return true };
        let case = facts.open_case().map(|case| case.resolution_id.0);
        let dice = self.rng.random_range(0..100);
        match (facts.status, dice) {
            (_, 0..10) => {
                let (note_id, text) = (NoteId(engine.mint()), "NOTE: the parcel is lost".to_owned());
                self.by_person::<Conversation>(id, Command::AddNote { note_id, text })
            }
            (Status::Escalated, 10..75) if let Some(case) = case => self.act_on_case(index, case),
            (Status::Resolved, 10..40) => self.by_person::<Conversation>(id, Command::Reopen),
            (Status::Resolved | Status::AwaitingCustomer, 40..85) => {
                self.written[index] += 1;
                self.waiting.push(index);
                self.deliver()
            }
            (Status::Resolved, _) => true,
            (_, 75..79) => self.by_person::<Conversation>(id, Command::HandBack),
            (_, 79..85) => {
                let command = Command::Resolve { outcome: None, summary: Some("NOTE: done".to_owned()) };
                self.by_person::<Conversation>(id, command)
            }
            (_, 85..88) => self.escalate(id),
            (_, 88..92) => {
                self.written[index] += 1;
                self.waiting.push(index);
                self.deliver()
            }
            (_, 92..94) => {
                let until = self.now() + Span::from_hours(5);
                self.by_person::<Conversation>(id, Command::Snooze { until })
            }
            (_, _) => {
                let message = self.words(index);
                self.by_person::<Conversation>(id, Command::Reply { message })
            }
        }
    }

    fn act_on_case(&mut self, index: usize, case: Uuid) -> bool {
        use resolution::Command;
        let command = match self.rng.random_range(0..20) {
            0..3 => Command::AddNote {
                note_id: NoteId(self.life.engine.mint()),
                text: "NOTE: the disk is full".to_owned(),
            },
            3..8 => {
                let all: Vec<_> =
                    CaseStatus::ALL.iter().filter(|status| **status != CaseStatus::Resolved).collect();
                let status = *all[self.rng.random_range(0..all.len())];
                Command::SetStatus { status, note: None }
            }
            8..12 => {
                let minutes = self.rng.random_range(30..1_200);
                Command::SetWindow { from: None, by: self.now() + Span::from_mins(minutes) }
            }
            12..16 => Command::Write { message: self.words(index) },
            16 => Command::Pause,
            17 => Command::Resume,
            _ => Command::Resolve {
                root_cause: "NOTE: a full disk".to_owned(),
                fix_description: "NOTE: a larger disk".to_owned(),
                message: self.rng.random_bool(0.5).then(|| self.words(index)),
            },
        };
        self.by_person::<Resolution>(case, command)
    }

    /// A person's words, different every time.
    fn words(&mut self, index: usize) -> NewMessage {
        self.acts += 1;
        let customer = &self.world.script.customers[index];
        let chosen = self.rng.random_bool(0.2);
        let nth = self.rng.random_range(0..customer.channels.len());
        NewMessage {
            id: MessageId(self.life.engine.mint()),
            channel: customer.channels.keys().nth(nth).filter(|_| chosen).cloned(),
            text: format!("Words of a person, number {}", self.acts),
            attachments: Vec::new(),
            agent_name: None,
        }
    }

    fn history(self) -> History {
        let engine = self.life.engine.clone();
        let mut contradictions = Vec::new();
        let mut armed: BTreeMap<Uuid, Vec<(String, Timestamp)>> = BTreeMap::new();
        for timer in engine.timers(None, usize::MAX).unwrap() {
            if timer.kind == Conversation::KIND {
                armed.entry(timer.id).or_default().push((timer.name, timer.due_at));
            }
        }
        for letter in engine.dead_letters(None).unwrap() {
            if letter.kind != "activity"
                || !letter.reason.contains("provider") && !letter.reason.contains("mailbox")
            {
                contradictions.push(format!("a dead letter: {} {}", letter.kind, letter.reason));
            }
        }
        let mut conversations = BTreeMap::new();
        for (index, id) in &self.conversations {
            let told = self.life.runtime.block_on(async {
                let events = engine.events::<Conversation>(&tenant(), *id).await.unwrap();
                let mut folded = conversation::State::default();
                events.iter().for_each(|recorded| Conversation::evolve(&mut folded, &recorded.event));
                let state =
                    engine.state::<Conversation>(&tenant(), *id).await.unwrap().map(|(state, _)| state);
                if state.as_ref() != Some(&folded) {
                    contradictions
                        .push(format!("conversation of {index}: the state is not the fold of its events"));
                }
                let mut wanted: Vec<_> = Conversation::deadlines(&folded)
                    .iter()
                    .map(|(name, due)| (name.to_string(), due))
                    .collect();
                let mut armed = armed.remove(id).unwrap_or_default();
                wanted.sort();
                armed.sort();
                if wanted != armed {
                    contradictions.push(format!("conversation of {index}: armed {armed:?}, not {wanted:?}"));
                }
                let opened = events.iter().filter_map(|recorded| match &recorded.event {
                    Event::Escalated { request, .. } => Some(request.resolution_id.0),
                    _ => None,
                });
                let mut cases = Vec::new();
                for case in opened.collect::<Vec<_>>() {
                    cases.push(engine.events::<Resolution>(&tenant(), case).await.unwrap());
                }
                Told { events, cases }
            });
            conversations.insert(*index, told);
        }
        let mut accepted = self.world.ledger().accepted.clone();
        let recorded: BTreeSet<_> = conversations.values().flat_map(Told::taken).collect();
        for said in &mut accepted {
            said.unheard = !recorded.contains(&said.message_id);
            if said.unheard && !self.downs.iter().any(|(down, _)| *down == said.at) {
                contradictions.push(format!("what {} took at {} is not recorded", said.channel, said.at));
            }
        }
        let history = History {
            accepted,
            world: self.world,
            conversations,
            downs: self.downs,
            ended_at: engine.now(),
            contradictions,
            seed: self.seed,
        };
        self.life.runtime.block_on(engine.drain()).unwrap();
        self.life.runtime.shutdown_timeout(Duration::from_secs(1));
        history
    }
}

fn meta(engine: &Engine) -> CommandMeta {
    CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: Uuid::nil().to_string() },
        correlation: engine.mint(),
        idempotency: None,
    }
}

fn inbound(engine: &Engine, index: usize, nth: u32, customer: &Customer) -> Inbound {
    Inbound {
        id: MessageId(engine.mint()),
        channel: customer.writes_by.clone(),
        provider_message_id: format!("in-{index}-{nth}"),
        from: vec![customer.channels[&customer.writes_by].clone()],
        name: None,
        to: Some("support@example.com".to_owned()).filter(|_| customer.writes_by == Channel::Email),
        text: format!("Question {nth}"),
        subject: Some("A question".to_owned()),
        attachments: Vec::new(),
        thread: None,
        vouched: true,
        automatic: customer.kind == Kind::Machine,
        details: Details::None,
        metadata: String::new(),
        sent_at: None,
        received_at: engine.now(),
    }
}
