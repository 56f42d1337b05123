//! A run: step by step the seed decides what goes on, and after every step what must hold is looked at.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::Ordering},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use throughline_storage::store::{
    Store,
    memory::{Failure, MemoryStore},
};
use throughline_workflows::{
    conversation::Conversation,
    time::{Span, Timestamp},
};

use crate::{
    acts::{Answer, Happens, Request},
    clocks,
    life::{Life, tenant},
    providers::{Verdict, World},
    script::{Odds, Order, Script},
    silence,
    trace::Trace,
    twist::{Twist, Twisted},
    witness::Witness,
};

/// How long one try may take before its transport gives up.
const TRY_MAX: Span = Span::from_secs(30);

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
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, steps, lives, records, sent, turned_away, repeated } = self;
        write!(
            f,
            "{seeds} seeds: {steps} steps, {lives} lives, {records} records, {sent} messages taken, {turned_away} \
             turned away, {repeated} repeated"
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
    twist: Twist,
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
    /// From when to when the process was down.
    pub(crate) downs: Vec<(Timestamp, Timestamp)>,
    /// Whether the present life has been compared with the one before.
    returned: bool,
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

    fn odds(&self) -> &Odds {
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
            self.hear();
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

    /// One thing goes on, chosen by chance.
    fn step(&mut self) -> Result<(), String> {
        let ready = self.life.stepper.ready();
        let waiting = self.life.committer.waiting();
        let begun = self.life.committer.has_begun();
        let tries = self.world.waiting();
        let due = self.life.engine().is_some()
            && self.agenda.keys().next().is_some_and(|(at, _)| *at <= self.life.now());
        let calm = self.is_calm();
        let disk = self.odds().disk;
        let quiet = ready.is_empty() && waiting == 0 && !begun;
        let rare = |rate: u32| if calm { 0 } else { rate };
        let menu = [
            (Step::Poll, if ready.is_empty() { 0 } else { 600 }),
            (Step::Begin, if waiting > 0 && !begun && !self.life.owes_sync { 10 * disk } else { 0 }),
            (Step::Sync, if begun && !self.life.synced { 10 * disk } else { 0 }),
            (Step::End, if (begun && self.life.synced) || self.life.owes_sync { 10 * disk } else { 0 }),
            (Step::Try, if tries.is_empty() { 0 } else { 150 }),
            (Step::Outside, if due { 100 } else { 0 }),
            (Step::Passivate, rare(self.odds().passivation)),
            (Step::Crash, rare(self.odds().crash)),
            (Step::Moment, if quiet && !tries.is_empty() { 150 } else { rare(3) }),
            (Step::Die, rare(self.odds().death)),
            (
                Step::BreakDisk,
                if waiting > 0 && !begun && !self.life.owes_sync { rare(self.odds().broken_disk) } else { 0 },
            ),
        ];
        let total: u32 = menu.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            // Only an engine that is starting could be waited for.
            return Err("nothing can go on".to_owned());
        }
        let mut dice = self.rng.random_range(0..total);
        let chosen = menu.iter().find(|(_, weight)| {
            let hit = dice < *weight;
            dice = dice.saturating_sub(*weight);
            hit
        });
        match chosen.map_or(Step::Poll, |(step, _)| *step) {
            Step::Poll => {
                let place = match self.odds().order {
                    Order::First => 0,
                    Order::Last => ready.len() - 1,
                    Order::Any => self.rng.random_range(0..ready.len()),
                };
                let task = ready[place];
                self.note(&format!("{} {}", task.number, task.name));
                self.life.stepper.poll(task.number);
            }
            Step::Begin => {
                let most = self.rng.random_range(1..=self.odds().group);
                self.note(&format!("a group of {}", most.min(waiting)));
                self.life.synced = false;
                self.life.committer.begin(most);
            }
            Step::Sync => {
                if self.twist == Twist::AnswersBeforeDurable {
                    // Whoever waited is told already; a process that ends now has told too much.
                    self.life.committer.end();
                    self.life.owes_sync = true;
                    self.look()?;
                } else {
                    self.note("durable");
                    self.life.store.faults().sync();
                    self.life.synced = true;
                }
            }
            Step::End if self.life.owes_sync => {
                self.life.owes_sync = false;
                self.life.store.faults().sync();
            }
            Step::End => self.end_group()?,
            Step::Try => self.judge(&tries),
            Step::Outside => self.happen(),
            Step::Passivate => self.passivate(),
            Step::Crash => {
                self.note("a turn will crash");
                self.life.crashes.store(1, Ordering::SeqCst);
            }
            Step::Moment => {
                let by = Span::from_millis(self.rng.random_range(1..1_500));
                self.pass(by);
            }
            Step::Die => self.die()?,
            Step::BreakDisk => {
                let failure = [Failure::BeforeWriting, Failure::AfterWriting, Failure::AfterSync]
                    [self.rng.random_range(0..3)];
                self.note(&format!("the disk fails: {failure:?}"));
                self.life.store.faults().fail_next(failure);
                self.life.committer.begin(usize::MAX);
                self.life.committer.end();
                // The process ends itself, as soon as it sees that.
                for _ in 0..self.rng.random_range(0..20) {
                    if let Some(task) = self.life.stepper.ready().first() {
                        self.life.stepper.poll(task.number);
                    }
                }
                self.hear();
                self.die()?;
            }
        }
        Ok(())
    }

    /// Whoever waited for the group is answered, and what is durable is looked at.
    fn end_group(&mut self) -> Result<(), String> {
        self.life.committer.end();
        self.life.synced = false;
        self.look()
    }

    fn look(&mut self) -> Result<(), String> {
        let Some(engine) = self.life.engine() else { return Ok(()) };
        if !self.returned {
            self.returned = true;
            self.witness.returns(&engine)?;
        }
        self.witness.look(&engine, &self.world)?;
        let head: String = engine.head_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.note(&format!("the journal is at {} {head}", self.witness.seq));
        Ok(())
    }

    /// A provider answers, or does not.
    fn judge(&mut self, tries: &[crate::providers::Waiting]) {
        let held = tries[self.rng.random_range(0..tries.len())].clone();
        let now = self.life.now();
        let waited = now.since(held.since);
        let dice = self.rng.random_range(0..100);
        let verdict = match self.world.script.storm(held.channel.as_ref(), now) {
            Some(storm) if dice < storm.fails => {
                let after = self.rng.random_bool(0.3).then(|| Span::from_mins(self.rng.random_range(1..20)));
                Verdict::Fail(after)
            }
            Some(storm) if dice < storm.fails + storm.hangs => {
                if waited < TRY_MAX {
                    return; // It still hangs.
                }
                Verdict::Hang
            }
            Some(storm) if dice < storm.fails + storm.hangs + storm.loses => Verdict::TakeAndLose,
            _ => Verdict::Take,
        };
        let whose = held.channel.as_ref().map_or("the endpoint".to_owned(), ToString::to_string);
        self.note(&format!("try {} of {whose}: {verdict:?}", held.number));
        self.world.judge(held.number, verdict, now);
    }

    fn passivate(&mut self) {
        let Some(engine) = self.life.engine() else { return };
        let known: Vec<_> = self.witness.conversations.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.rng.random_range(0..known.len())];
        let there = engine.send_away::<Conversation>(&tenant(), id);
        self.note(&format!("passivated: {there}"));
    }

    /// The process ends where it stands, and is back some time later on what was durable.
    fn die(&mut self) -> Result<(), String> {
        let pause = match self.rng.random_range(0..100) {
            dice if dice < self.odds().long_down => Span::from_mins(self.rng.random_range(10..900)),
            dice if dice % 2 == 0 => Span::from_millis(self.rng.random_range(0..3_000)),
            _ => Span::from_secs(self.rng.random_range(1..400)),
        };
        let died_at = self.life.now();
        let back_at = died_at + pause;
        self.note(&format!("the process ends, and is back at {back_at}"));
        self.world.hang_up();
        let store = self.life.end();
        let number = self.life.number + 1;
        self.life = begin(number, self.seed, &self.world, store, self.twist, back_at);
        self.downs.push((died_at, back_at));
        self.returned = false;
        self.forget_unanswered();
        Ok(())
    }

    /// Time passes.
    fn pass(&mut self, by: Span) {
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

    fn look_at_silence(&mut self) -> Result<(), String> {
        // What became durable as a process ended, or while it started, has not been looked at.
        self.look()?;
        silence::check(self)?;
        clocks::check(self)
    }

    /// Nothing is under way, and nothing was left behind.
    fn look_at_rest(&mut self) -> Result<(), String> {
        let Some(engine) = self.life.engine() else { return Err("the engine is not there".to_owned()) };
        let mut broken = engine.audit_all()?;
        let inbox = engine.inbox()?;
        if !inbox.is_empty() {
            broken.push(format!("messages are left in the inbox: {inbox:?}"));
        }
        for activity in engine.activities(usize::MAX)? {
            broken.push(format!("an activity is left: {activity:?}"));
        }
        if engine.views().reached() < engine.last_seq() {
            broken.push("the lists are behind the journal".to_owned());
        }
        if engine.relayed_seq() < engine.last_seq() {
            broken.push("the endpoint was not told of everything".to_owned());
        }
        if !self.asked.is_empty() || !self.agenda.is_empty() {
            broken.push(format!("not answered: {:?}; not done: {:?}", self.asked, self.agenda));
        }
        for letter in engine.dead_letters(None)? {
            // What crashes an entity is kept for reading, and so is what an outage of hours made the engine give up.
            let expected =
                letter.kind == "command" || letter.kind == "activity" || letter.reason.contains(FAULT);
            if !expected {
                broken.push(format!("a dead letter: {} {}", letter.kind, letter.reason));
            }
        }
        for accepted in self.world.with_ledger(|ledger| ledger.twice()) {
            broken.push(format!("it went out twice: {accepted}"));
        }
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }
}

/// What may go on in a step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Poll,
    Begin,
    Sync,
    End,
    Try,
    Outside,
    Passivate,
    Crash,
    Moment,
    Die,
    BreakDisk,
}

fn begin(
    number: usize,
    seed: u64,
    world: &Arc<World>,
    store: MemoryStore,
    twist: Twist,
    at: Timestamp,
) -> Life {
    if twist == Twist::DiskForgets {
        store.faults().forget_last();
    }
    let through: Arc<dyn Store> = Arc::new(Twisted::new(store.clone(), twist));
    Life::begin(number, seed, world, store, through, at)
}
