//! One step of a run: what may go on, and how the seed chooses among it.

use std::sync::{Arc, atomic::Ordering};

use rand::Rng;
use throughline_storage::store::{
    Store,
    memory::{Failure, MemoryStore},
};
use throughline_workflows::{
    conversation::Conversation,
    time::{Span, Timestamp},
};

use crate::{
    life::Life,
    providers::{Verdict, World},
    run::Simulation,
    script::Order,
    twist::{self, Twist, Twisted},
};

/// How long one try may take before its transport gives up.
const TRY_MAX: Span = Span::from_secs(30);

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
    Leap,
    Die,
    BreakDisk,
}

impl Simulation {
    /// One thing goes on, chosen by chance.
    pub(crate) fn step(&mut self) -> Result<(), String> {
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
            (Step::Leap, if self.life.engine().is_some() { rare(self.odds().leap) } else { 0 }),
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
            Step::Leap => self.leap(),
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
                self.hear()?;
                self.die()?;
            }
        }
        Ok(())
    }

    /// Whoever waited for the group is answered, and what is durable is looked at.
    pub(crate) fn end_group(&mut self) -> Result<(), String> {
        self.life.committer.end();
        self.life.synced = false;
        self.look()
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
        let tenant = &self.witness.conversations[&id].tenant;
        let there = engine.send_away::<Conversation>(tenant, id);
        self.note(&format!("passivated: {there}"));
    }

    /// The machine's clock is put forward, or the machine slept: hours are gone in which nothing was done, and what fell
    /// due in them is due at once, in the middle of whatever is under way.
    fn leap(&mut self) {
        let by = match self.rng.random_range(0..3) {
            0 => Span::from_secs(self.rng.random_range(1..120)),
            1 => Span::from_mins(self.rng.random_range(2..120)),
            _ => Span::from_hours(self.rng.random_range(2..20)),
        };
        let before = self.life.now();
        self.life.leap(by);
        self.downs.push((before, self.life.now()));
        self.note("the clock leaps");
    }

    /// The process ends where it stands, and is back some time later on what was durable.
    pub(crate) fn die(&mut self) -> Result<(), String> {
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
        // What the next life knows is seen when it has begun.
        self.known_paused.clear();
        self.tell_of_pauses();
        Ok(())
    }
}

pub(crate) fn begin(
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
    if twist == Twist::PausesAreForgotten {
        twist::forget_pauses(&store);
    }
    let through: Arc<dyn Store> = Arc::new(Twisted::new(store.clone(), twist));
    Life::begin(number, seed, world, store, through, at)
}
