//! A run: step by step the seed decides what goes on, and after every step what must hold is looked at.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::Ordering},
};

use rand::{SeedableRng, rngs::StdRng};
use throughline_storage::store::memory::MemoryStore;
use throughline_workflows::time::{Span, Timestamp};

use crate::{
    acts::{Answer, Happens, Request},
    life::Life,
    operators::Entity,
    providers::World,
    script::{Odds, Script},
    steps::begin,
    trace::Trace,
    twist::Twist,
    witness::Witness,
};

/// How long it takes until everything that was put off is done once nothing fails any more.
const SETTLED_AFTER: Span = Span::from_hours(2);

/// How long it goes on after that, so that the next word to everybody who waits falls due.
const AFTERWARDS: Span = Span::from_hours(13);

/// So often in all may a process end before it has started, because a turn crashed on the way.
const STARTS_MAX: u32 = 20;

/// What a crash says that was put into a turn. Work that crashes again and again is kept for people.
pub(crate) const FAULT: &str = "a fault was put into this turn";

/// A run that needs more steps than this goes round in circles.
const STEPS_MAX: u64 = 100_000;

/// And sooner where it is meant to fail.
const TWISTED_STEPS_MAX: u64 = 20_000;

/// How a run ended.
pub(crate) struct Ended {
    /// Stands for everything that happened.
    pub(crate) hash: String,
    pub(crate) figures: Figures,
    /// What was broken first, if anything was, and what led there.
    pub(crate) broken: Option<String>,
}

/// What a run came to, or many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    steps: u64,
    lives: u64,
    records: u64,
    sent: u64,
    turned_away: u64,
    repeated: u64,
    operations: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.lives += other.lives;
        self.records += other.records;
        self.sent += other.sent;
        self.turned_away += other.turned_away;
        self.repeated += other.repeated;
        self.operations += other.operations;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, steps, lives, records, sent, turned_away, repeated, operations } = self;
        write!(
            f,
            "{seeds} seeds: {steps} steps, {lives} lives, {records} records, {sent} messages taken, {turned_away} \
             turned away, {repeated} repeated, {operations} acts of operators"
        )
    }
}

/// Lives through a seed, in a world with a twist or without.
pub(crate) fn run(seed: u64, twist: Twist) -> Ended {
    let mut simulation = Simulation::new(seed, twist);
    let lived = catch_unwind(AssertUnwindSafe(|| simulation.live()));
    let lived = lived.unwrap_or_else(|panic| Err(format!("it panicked: {}", words_of(&*panic))));
    let broken = lived.err().map(|broken| {
        format!(
            "{broken}\n  at {}, in life {}; before that:\n{}",
            simulation.life.now(),
            simulation.life.number,
            simulation.trace.tail()
        )
    });
    let (sent, turned_away, repeated) = simulation
        .world
        .with_ledger(|ledger| (ledger.accepted.len() as u64, ledger.turned_away, ledger.repeated));
    let figures = Figures {
        seeds: 1,
        steps: simulation.steps,
        lives: simulation.life.number as u64,
        records: simulation.witness.records,
        sent,
        turned_away,
        repeated,
        operations: simulation.witness.operations.done.len() as u64,
    };
    let ended = Ended { hash: simulation.trace.hash(), figures, broken };
    drop(simulation.life.end());
    ended
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    words.map(str::to_owned).or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

pub(crate) struct Simulation {
    pub(crate) seed: u64,
    pub(crate) twist: Twist,
    pub(crate) rng: StdRng,
    pub(crate) world: Arc<World>,
    pub(crate) life: Life,
    pub(crate) witness: Witness,
    trace: Trace,
    steps: u64,
    /// What happens outside, and when.
    pub(crate) agenda: BTreeMap<(Timestamp, u64), Happens>,
    planned: u64,
    /// What the engine was asked and has not answered.
    pub(crate) asked: BTreeMap<u64, Request>,
    pub(crate) answers: Arc<Mutex<Vec<(u64, Answer)>>>,
    pub(crate) requests: u64,
    pub(crate) words: u64,
    pub(crate) operations: u64,
    /// Entities whose operators have been told that they are paused, or of whose pause the process was told as it began.
    pub(crate) known_paused: BTreeSet<Entity>,
    /// From when to when the process was down.
    pub(crate) downs: Vec<(Timestamp, Timestamp)>,
    /// Whether the present life has been compared with the one before.
    pub(crate) returned: bool,
    died_starting: u32,
    /// How much of the ledger has been looked at for what comes back.
    pub(crate) bounced: usize,
}

impl Simulation {
    fn new(seed: u64, twist: Twist) -> Self {
        let script = Script::new(seed);
        let start = script.start;
        let mut world = World::new(seed, script);
        world.sms_claims_to_be_keyed = twist == Twist::SmsClaimsToBeKeyed;
        let world = Arc::new(world);
        let store = MemoryStore::new();
        let life = begin(1, seed, &world, store, twist, start);
        let mut simulation = Self {
            seed,
            twist,
            rng: StdRng::seed_from_u64(seed ^ 0xC0FFEE),
            world,
            life,
            witness: Witness::default(),
            trace: Trace::new(),
            steps: 0,
            agenda: BTreeMap::new(),
            planned: 0,
            asked: BTreeMap::new(),
            answers: Arc::default(),
            requests: 0,
            words: 0,
            operations: 0,
            known_paused: BTreeSet::new(),
            downs: Vec::new(),
            returned: true,
            died_starting: 0,
            bounced: 0,
        };
        simulation.plan_all();
        simulation
    }

    pub(crate) fn plan(&mut self, at: Timestamp, what: Happens) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), what);
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.trace.add(self.life.now(), what);
    }

    pub(crate) fn odds(&self) -> &Odds {
        &self.world.script.odds
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.life.now() >= self.world.script.calm
    }

    /// From the first step to the last.
    fn live(&mut self) -> Result<(), String> {
        let mut has_settled = false;
        loop {
            let up_since = self.downs.last().map_or(self.world.script.calm, |(_, up)| *up);
            let settled = up_since.max(self.world.script.calm) + SETTLED_AFTER;
            let end = settled + AFTERWARDS;
            self.steps += 1;
            let most = if self.twist == Twist::None { STEPS_MAX } else { TWISTED_STEPS_MAX };
            if self.steps > most {
                return Err(format!("it does not come to rest: {:?}", self.life.stepper.ready()));
            }
            if self.is_calm() {
                self.life.crashes.store(0, Ordering::SeqCst);
            }
            if self.life.is_quiet() && self.life.engine().is_none() {
                // It did not start, and whoever keeps the process running starts it again.
                self.died_starting += 1;
                if self.died_starting > STARTS_MAX {
                    return Err("the engine does not start".to_owned());
                }
                self.die()?;
            } else if self.life.is_quiet() && self.is_idle_outside() {
                self.look_at_silence()?;
                if !has_settled && self.life.now() >= settled {
                    has_settled = true;
                    self.look_at_rest()?;
                }
                if self.life.now() >= end {
                    return self.look_at_rest();
                }
                let next = self.next_moment(if has_settled { end } else { settled });
                self.pass(next.since(self.life.now()));
            } else {
                self.step()?;
            }
            if !self.returned && self.life.engine().is_some() {
                self.look()?;
            }
            self.hear()?;
            if let Some(found) = self.life.stepper.contradictions().into_iter().next() {
                return Err(found);
            }
        }
    }

    /// Whether nothing outside happens now, and no provider is about to answer.
    fn is_idle_outside(&self) -> bool {
        let due = self.agenda.keys().next().is_some_and(|(at, _)| *at <= self.life.now());
        !due && self.world.waiting().is_empty()
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, by: Span) {
        self.life.pass(by);
        self.note("time has passed");
    }

    /// When something is due next, but no later than `end`.
    fn next_moment(&self, end: Timestamp) -> Timestamp {
        let now = self.life.now();
        let engine = self.life.engine();
        let due = engine.and_then(|engine| engine.next_due()).filter(|due| *due > now);
        let outside = self.agenda.keys().next().map(|(at, _)| *at);
        let machine =
            self.life.stepper.next_wake().map(|wait| {
                now + Span::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
            });
        [due, outside, machine]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(end)
            .min(end)
            .max(now + Span::from_millis(1))
    }
}
