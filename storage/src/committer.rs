//! The committer: one thread through which everything becomes durable.
//!
//! It takes whatever waits as one group, checks each append against the store and the group so far, writes one
//! batch, and answers everyone once that batch is durable. While a group is being synced the next one gathers; there
//! is no other delay. Nobody is answered earlier, losers included: a refusal rests on what the group found, and
//! that must not be told before it is certain.
//!
//! A store that fails once is not asked again: whoever waits hears of it, and so does everyone after them.

mod capture;
mod disk;
mod fronts;
mod group;
mod queue;
mod stats;
#[cfg(feature = "testing")]
mod stepped;
mod versions;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

pub use self::stats::CommitStats;
#[cfg(feature = "testing")]
pub use self::stepped::SteppedCommitter;

pub(crate) use self::capture::Capture;
pub(crate) use self::disk::Disk;
pub(crate) use self::fronts::{Front, Fronts};
pub(crate) use self::group::{Counters, INBOX_MARK, LAYOUT, LAYOUT_MARK};
pub(crate) use self::queue::{Queue, Room};

use self::group::Group;
use self::queue::Job;
use self::stats::{Costs, machine_now};
use self::versions::Versions;
use crate::append::{CommitError, Committed};
use crate::prepared::Prepared;
use crate::store::{Store, StoreError};

/// How far the durable journal has come. Nothing in it is ahead of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The `seq` of the last durable event.
    pub seq: u64,
    /// Groups that became durable since the journal was opened.
    pub groups: u64,
    /// The number of the last durable inbox entry, or a higher one that was never given.
    pub inbox: u64,
    /// Timers armed since the journal was opened: when it grows, look again for what is due.
    pub timers_armed: u64,
    /// Activities that became pending since the journal was opened: when it grows, look again.
    pub activities_pending: u64,
    /// Why the journal has failed, if it has: it commits nothing more, and the process must end.
    pub failed: Option<Arc<str>>,
}

/// The end of the durable feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the last durable event.
    pub seq: u64,
    /// Hash of the last group: it stands for everything up to there.
    pub hash: [u8; 32],
    /// Engine time of that group, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What the committer shares with those who use the journal.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) progress: watch::Sender<Progress>,
    /// Groups handed to the store since the journal was opened: readers may see that many.
    pub(crate) begun: AtomicU64,
    head: Mutex<Head>,
    inbox_pending: AtomicU64,
    /// Where the queues begin.
    pub(crate) fronts: Fronts,
    costs: Mutex<Costs>,
    /// Who copies the store at this moment, and must hear of every group.
    capture: Mutex<Option<Arc<Capture>>>,
}

impl Shared {
    pub(crate) fn new(queue: Queue, counters: &Counters) -> Shared {
        let progress = Progress { seq: counters.seq, inbox: counters.inbox, ..Progress::default() };
        Shared {
            queue,
            progress: watch::Sender::new(progress),
            begun: AtomicU64::new(0),
            head: Mutex::new(head(counters)),
            inbox_pending: AtomicU64::new(counters.inbox_pending),
            fronts: Fronts::new(),
            costs: Mutex::default(),
            capture: Mutex::default(),
        }
    }

    pub(crate) fn head(&self) -> Head {
        lock(&self.head).clone()
    }

    pub(crate) fn inbox_pending(&self) -> u64 {
        self.inbox_pending.load(Ordering::Relaxed)
    }

    pub(crate) fn stats(&self) -> CommitStats {
        let (queue_entries, queue_bytes) = self.queue.size();
        CommitStats {
            queue_entries: queue_entries as u64,
            queue_bytes: queue_bytes as u64,
            oldest_waiting_ms: u64::try_from(self.queue.oldest().as_millis()).unwrap_or(u64::MAX),
            inbox_pending: self.inbox_pending(),
            failed: self.failed().map(|reason| reason.to_string()),
            ..lock(&self.costs).figures(machine_now())
        }
    }

    /// Lets `capture` hear of every group from now on; those that the store has already been handed are not among
    /// them, and are durable once the barrier has passed. Answers false where somebody hears of them already.
    pub(crate) fn begin_capture(&self, capture: &Arc<Capture>) -> bool {
        let mut present = lock(&self.capture);
        let free = present.is_none();
        if free {
            *present = Some(Arc::clone(capture));
        }
        free
    }

    /// `capture` hears of no more groups.
    pub(crate) fn end_capture(&self, capture: &Arc<Capture>) {
        lock(&self.capture).take_if(|present| Arc::ptr_eq(present, capture));
    }

    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        self.progress.borrow().failed.clone()
    }
}

/// What belongs to the thread alone.
pub(crate) struct Committer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(crate) counters: Counters,
    versions: Versions,
}

impl Committer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
        counters: Counters,
    ) -> Committer {
        Committer { store, shared, now_ms, counters, versions: Versions::default() }
    }

    /// Works until the journal is closed or dropped.
    pub(crate) fn run(mut self) {
        while let Some(jobs) = self.shared.queue.next_group() {
            self.group(jobs);
        }
        if self.shared.queue.is_end_awaited() {
            let closed = guarded(|| self.store.close());
            self.shared.queue.ended(&closed);
        }
    }

    fn group(&mut self, jobs: Vec<Job>) {
        let begun = self.begin(jobs);
        self.end(begun);
    }

    /// Checks a group and hands it to the store. Nobody is answered yet.
    fn begin(&mut self, jobs: Vec<Job>) -> Begun {
        let (mut appends, mut replies) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        for job in jobs {
            // What is left of the job here, its room in the queue, is free again for the next.
            appends.push(job.prepared);
            replies.push(job.reply);
        }
        let written = match self.shared.failed() {
            Some(reason) => Err(reason),
            None => guarded(|| self.write(appends)).map_err(|error| self.fail(&error)),
        };
        Begun { replies, written }
    }

    /// Answers everyone of a group that the store has made durable, or could not.
    fn end(&mut self, begun: Begun) {
        match begun.written {
            Ok(Written { answers, sealed }) => {
                if let Some((counters, groups)) = sealed {
                    self.counters = counters;
                    self.publish(groups);
                }
                for (reply, answer) in begun.replies.into_iter().zip(answers) {
                    // Whoever no longer waits has its append nonetheless.
                    drop(reply.send(answer));
                }
            }
            Err(reason) => {
                for reply in begun.replies {
                    drop(reply.send(Err(CommitError::Failed(reason.to_string()))));
                }
            }
        }
    }

    /// Checks and writes a group. The answers hold when this returns.
    fn write(&mut self, appends: Vec<Prepared>) -> Result<Written, StoreError> {
        let number = self.shared.begun.load(Ordering::SeqCst) + 1;
        let mut group = Group::new(&*self.store, &mut self.versions, number, self.counters.clone());
        let mut answers = Vec::with_capacity(appends.len());
        for append in appends {
            answers.push(group.take(append)?);
        }
        let (batch, counters) = group.finish((self.now_ms)());
        let Some(batch) = batch else { return Ok(Written { answers, sealed: None }) };

        // Before the store has it: a reader may see the batch from the next line on, and asks the barrier after.
        let groups = self.shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // After the count, so that whoever begins to copy either hears of this group or waits for it.
        let capture = lock(&self.shared.capture).clone();
        let captured = capture.map(|capture| (capture, batch.changes.clone()));
        self.shared.fronts.begin_write(&batch);
        let (keys, begin) = (batch.changes.len(), machine_now());
        self.store.commit(batch)?;
        let end = machine_now();
        self.shared.fronts.end_write();
        if let Some((capture, changes)) = captured {
            // Before anybody hears that it is durable: whoever waited for that finds it captured.
            capture.push(changes, head(&counters));
        }

        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        lock(&self.shared.costs).record(taken, keys, end.saturating_duration_since(begin), end);
        Ok(Written { answers, sealed: Some((counters, groups)) })
    }

    /// Tells of what is durable, before those who waited for it are answered: they may look at once.
    fn publish(&self, groups: u64) {
        let Counters { seq, inbox, timers, activities, inbox_pending, .. } = self.counters;
        *lock(&self.shared.head) = head(&self.counters);
        self.shared.inbox_pending.store(inbox_pending, Ordering::Relaxed);
        self.shared.progress.send_replace(Progress {
            seq,
            groups,
            inbox,
            timers_armed: timers,
            activities_pending: activities,
            failed: None,
        });
    }

    fn fail(&self, error: &StoreError) -> Arc<str> {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(%reason, "a commit has failed, and nothing more is written");
        self.shared.progress.send_modify(|progress| progress.failed = Some(Arc::clone(&reason)));
        reason
    }
}

/// A group that the store has, and those who wait for their answers.
struct Begun {
    replies: Vec<oneshot::Sender<Result<Committed, CommitError>>>,
    written: Result<Written, Arc<str>>,
}

/// What is said of a group once it is durable, and from where the next goes on; nothing where nothing was written.
struct Written {
    answers: Vec<Result<Committed, CommitError>>,
    sealed: Option<(Counters, u64)>,
}

/// A panic inside an engine counts as its failure: whoever waits must hear of it.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(StoreError::Io(describe(&*panic))))
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine panicked: {}", words.unwrap_or("without words"))
}

fn head(counters: &Counters) -> Head {
    Head { seq: counters.seq, hash: counters.hash, at_ms: counters.at_ms }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
