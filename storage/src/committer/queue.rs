//! Appends on their way to the committer: bounded in number and bytes, in order of arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::stats::machine_now;
use crate::append::{CommitError, Committed};
use crate::prepared::Prepared;
use crate::store::{StoreError, VALUE_BYTES_MAX};

/// The most appends in a group. Beyond some hundred only latency grows.
const GROUP_APPENDS: usize = 512;
/// The most bytes in a group, unless one append alone has more.
const GROUP_BYTES: usize = 4 << 20;
/// The most bytes of a group's list of records, which must fit into one value.
const GROUP_LIST_BYTES: usize = VALUE_BYTES_MAX - 1024;
/// What a record takes in that list, at most, beside the names of tenant and kind.
const LISTED_BYTES: usize = 80;

/// Bytes are counted in pieces of this size.
const PIECE: usize = 1024;

/// An append that waits, and who waits for it.
pub(crate) struct Job {
    pub(crate) prepared: Prepared,
    pub(crate) reply: oneshot::Sender<Result<Committed, CommitError>>,
    bytes: usize,
    since: Instant,
    /// Its room in the queue, given back when its group begins.
    _room: Room,
}

/// Room for one append.
pub(crate) struct Room {
    _entry: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The queue.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    entries: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    pieces_max: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// Since when the oldest append of the group now being written has waited.
    in_flight: Option<Instant>,
    closing: bool,
    /// Those who wait for the end; none of them: the journal was dropped, and the store is left as it is.
    closers: Vec<oneshot::Sender<Result<(), StoreError>>>,
    closed: Option<Result<(), StoreError>>,
}

/// The journal takes nothing more.
pub(crate) struct Closed;

impl Waiting {
    /// The oldest appends that wait, up to the size of a group.
    fn take(&mut self, most: usize) -> Vec<Job> {
        self.in_flight = self.jobs.front().map(|job| job.since);
        let (mut group, mut bytes, mut listed) = (Vec::new(), 0, 0);
        while let Some(job) = self.jobs.front() {
            bytes += job.bytes;
            listed += listed_bytes(&job.prepared);
            let full = group.len() == most || bytes > GROUP_BYTES || listed > GROUP_LIST_BYTES;
            if full && !group.is_empty() {
                break;
            }
            group.extend(self.jobs.pop_front());
        }
        self.bytes -= group.iter().map(|job| job.bytes).sum::<usize>();
        group
    }
}

impl Queue {
    pub(crate) fn new(entries: usize, bytes: usize) -> Queue {
        let pieces_max = (bytes / PIECE).clamp(1, (u32::MAX as usize).min(Semaphore::MAX_PERMITS));
        Queue {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            entries: Arc::new(Semaphore::new(entries.clamp(1, Semaphore::MAX_PERMITS))),
            pieces: Arc::new(Semaphore::new(pieces_max)),
            pieces_max,
        }
    }

    /// Room for an append, as soon as there is some. None is left behind for ever: they are served in order.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Closed> {
        let entry = Arc::clone(&self.entries).acquire_owned().await.map_err(|_| Closed)?;
        let pieces = Arc::clone(&self.pieces).acquire_many_owned(self.pieces(bytes)).await;
        Ok(Room { _entry: entry, _bytes: pieces.map_err(|_| Closed)? })
    }

    /// Room for an append, if there is some at once.
    pub(crate) fn room_now(&self, bytes: usize) -> Option<Room> {
        let entry = Arc::clone(&self.entries).try_acquire_owned().ok()?;
        let pieces = Arc::clone(&self.pieces).try_acquire_many_owned(self.pieces(bytes)).ok()?;
        Some(Room { _entry: entry, _bytes: pieces })
    }

    /// An append larger than the whole queue takes all of it.
    fn pieces(&self, bytes: usize) -> u32 {
        bytes.div_ceil(PIECE).clamp(1, self.pieces_max) as u32
    }

    pub(crate) fn push(
        &self,
        prepared: Prepared,
        room: Room,
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    ) -> Result<(), Closed> {
        let bytes = prepared.bytes();
        let mut waiting = self.lock();
        if waiting.closing {
            return Err(Closed);
        }
        // The committer sleeps only where nothing waits; to wake it costs a call to the system.
        let asleep = waiting.jobs.is_empty();
        waiting.bytes += bytes;
        waiting.jobs.push_back(Job { prepared, reply, bytes, since: machine_now(), _room: room });
        drop(waiting);
        if asleep {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Everything that waits, up to the size of a group. Blocks until something does; none once the queue is
    /// closed and empty.
    pub(crate) fn next_group(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        waiting.in_flight = None;
        while waiting.jobs.is_empty() {
            if waiting.closing {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(waiting.take(GROUP_APPENDS))
    }

    /// What waits, at most `most` of it, without waiting for anything.
    #[cfg(feature = "testing")]
    pub(crate) fn group_now(&self, most: usize) -> Vec<Job> {
        self.lock().take(most.clamp(1, GROUP_APPENDS))
    }

    /// Takes nothing more. What waits is still committed.
    pub(crate) fn close(&self, closer: Option<oneshot::Sender<Result<(), StoreError>>>) {
        let mut waiting = self.lock();
        waiting.closing = true;
        match (closer, waiting.closed.clone()) {
            // Whoever asks again hears the same; a receiver that is gone does not mind.
            (Some(closer), Some(answer)) => drop(closer.send(answer)),
            (Some(closer), None) => waiting.closers.push(closer),
            (None, _) => {}
        }
        drop(waiting);
        self.entries.close();
        self.pieces.close();
        self.changed.notify_one();
    }

    /// Whether someone waits for the end.
    pub(crate) fn is_end_awaited(&self) -> bool {
        !self.lock().closers.is_empty()
    }

    /// Tells those who wait for the end how it went.
    pub(crate) fn ended(&self, answer: &Result<(), StoreError>) {
        let mut waiting = self.lock();
        waiting.closed = Some(answer.clone());
        for closer in waiting.closers.drain(..) {
            drop(closer.send(answer.clone()));
        }
    }

    /// Appends that wait, and their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.jobs.len(), waiting.bytes)
    }

    /// How long the oldest append has waited, those of the group now being written included.
    pub(crate) fn oldest(&self) -> Duration {
        let waiting = self.lock();
        let since = waiting.in_flight.or_else(|| waiting.jobs.front().map(|job| job.since));
        since.map_or(Duration::ZERO, |since| machine_now().saturating_duration_since(since))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listed_bytes(prepared: &Prepared) -> usize {
    prepared
        .record
        .as_ref()
        .map_or(0, |record| LISTED_BYTES + record.stream.tenant.len() + record.stream.kind.len())
}
