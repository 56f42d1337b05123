//! The engine on one thread, a step at a time: for simulations in which a seed decides what goes on when.
//!
//! A [`Stepper`] stands where the runtime would: every task of the engine, every try of an activity, every firing and
//! every entity is a task of its own, and one that was woken goes on only when it is polled here. Which of them are
//! ready is told in the order in which they were begun, whoever woke them first, so that nothing depends on the
//! machine.
//!
//! **Real**, line for line, are the engine's loops (intake with its lanes, timers, activities, projector, relay, sweep,
//! upkeep), `Registry::deliver` with its time limit and repetitions, an entity's answer to an order, the turn, the
//! performers' port, the journal with its queue, its checks and its groups. **Not real** are ractor and with it the
//! shards (the `mailroom` routes, passivates and restarts in their place), the committer's thread (its groups are
//! begun and ended by the simulation), the pool for blocking reads (they are made at once) and what `tokio::select!`
//! would choose by chance (the engine's loops take their branches in order).

pub mod audit;
pub(crate) mod mailroom;

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

/// One process on one thread. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stepper(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Task>,
    begun: u64,
    ended: bool,
    /// The machine's time.
    now: Duration,
    /// Who waits for it, by when, in the order in which they began to.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    slept: u64,
    contradictions: Vec<String>,
}

/// A task, and whether it can go on.
struct Task {
    name: &'static str,
    woken: Arc<Woken>,
    /// None while it is being polled.
    work: Option<BoxFuture<'static, ()>>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A task that can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Counts the tasks of this process.
    pub number: u64,
    /// What it does.
    pub name: &'static str,
}

impl Stepper {
    /// A process in which nothing has begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a task; it waits to be polled. In a process that has ended nothing begins.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        if state.ended {
            drop(state);
            return;
        }
        state.begun += 1;
        let number = state.begun;
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        // All tasks are polled within one of the runtime's, whose patience is none of theirs.
        let work = Some(tokio::task::unconstrained(work).boxed());
        state.tasks.insert(number, Task { name, woken, work });
    }

    /// The tasks that can go on, in the order in which they were begun.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready> {
        let state = self.lock();
        let ready = state.tasks.iter().filter(|(_, task)| task.woken.0.load(Ordering::SeqCst));
        ready.map(|(number, task)| Ready { number: *number, name: task.name }).collect()
    }

    /// How many tasks of this name have not ended.
    #[must_use]
    pub fn alive(&self, name: &str) -> usize {
        self.lock().tasks.values().filter(|task| task.name == name).count()
    }

    /// Lets a task go on until it waits or ends.
    #[track_caller]
    pub fn poll(&self, number: u64) {
        let caller = Location::caller();
        let (mut work, woken) = {
            let mut state = self.lock();
            let Some(task) = state.tasks.get_mut(&number) else { return };
            let Some(work) = task.work.take() else {
                unreachable!("a task is polled by itself, from {caller}");
            };
            (work, task.woken.clone())
        };
        woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(woken);
        let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.lock();
        match polled {
            Poll::Pending => {
                if let Some(task) = state.tasks.get_mut(&number) {
                    task.work = Some(work);
                }
            }
            Poll::Ready(()) => drop(state.tasks.remove(&number)),
        }
    }

    /// The machine's time passes: whoever waited for it can go on. Engine time is the clock's.
    pub fn pass(&self, by: Duration) {
        let woken = {
            let mut state = self.lock();
            state.now += by;
            let now = state.now;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// How long until somebody waits no longer.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let state = self.lock();
        state.sleepers.keys().next().map(|(due, _)| due.saturating_sub(state.now))
    }

    /// The machine's time.
    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    /// Waits, in the machine's time.
    pub(crate) async fn sleep(&self, pause: Duration) {
        let key = {
            let mut state = self.lock();
            state.slept += 1;
            (state.now + pause, state.slept)
        };
        let sleeper = Sleeper { stepper: self, key };
        poll_fn(|context| {
            let mut state = sleeper.stepper.lock();
            if state.now >= key.0 {
                return Poll::Ready(());
            }
            state.sleepers.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Notes what cannot be, wherever it is found.
    pub(crate) fn contradict(&self, what: String) {
        self.lock().contradictions.push(what);
    }

    /// What was found that cannot be, since it was last asked.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().contradictions)
    }

    /// Ends the process: every task ends where it stands, and none begins any more.
    pub fn end(&self) {
        let tasks = {
            let mut state = self.lock();
            state.ended = true;
            std::mem::take(&mut state.tasks)
        };
        drop(tasks); // What they hold may begin a task as it goes, or give up waiting.
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for the machine's time, until they no longer do.
struct Sleeper<'a> {
    stepper: &'a Stepper,
    key: (Duration, u64),
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.stepper.lock().sleepers.remove(&self.key);
    }
}
