//! The journal: what has happened, in streams and in one feed, and what is owed, committed together.
//!
//! A [`Journal`] is a handle that is cloned freely. Everything is written through [`Journal::commit`] and read
//! through the functions of the modules beside this one: streams, snapshots, claims, timers, activities, inbox,
//! dead letters, feed. Reads go to the store at once, block for as long as the disk does, and may see a group
//! shortly before it is durable; whoever tells the outside what they read waits for [`Journal::barrier`] first.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};

#[cfg(feature = "testing")]
pub use crate::committer::SteppedCommitter;
pub use crate::committer::{CommitStats, Head, Progress};
pub use crate::damage::{Damage, Place, ReadError};
pub use crate::feed::{FeedEntry, FeedGroup};
pub use crate::inbox::InboxEntry;
pub use crate::streams::StoredRecord;
pub use crate::verify::{VerifiedFeed, VerifiedStream};

use crate::append::{Append, AppendClass, CommitError, Committed};
use crate::committer::{
    Committer, Counters, Disk, Front, Fronts, INBOX_MARK, LAYOUT, LAYOUT_MARK, Queue, Room, Shared,
};
use crate::feed;
use crate::keys;
use crate::prepared::Prepared;
use crate::store::{Pairs, Store, StoreError, VALUE_BYTES_MAX};
use crate::wire;

/// A handle to the journal.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    disk: Disk,
    late_after: Duration,
    inbox_max: u64,
    /// Keys of pending items that cannot be read and have been told of.
    told: Mutex<HashSet<Vec<u8>>>,
}

/// How a journal behaves under pressure, and where it has its time from.
#[derive(Clone)]
pub struct JournalOptions {
    /// Where the store is, for the check of the room that is left; none where there is no disk to watch.
    pub folder: Option<PathBuf>,
    /// Bytes that must stay free on the disk for new inbound to be taken.
    pub min_free: u64,
    /// Appends that may wait: beyond, inbound is refused and the rest waits for room.
    pub queue_entries: usize,
    /// Bytes of the appends that may wait.
    pub queue_bytes: usize,
    /// How old the oldest waiting append may be for new inbound to be taken.
    pub late_after: Duration,
    /// Inbox entries that may wait for their turn for new inbound to be taken.
    pub inbox_max: u64,
    /// Engine time, in milliseconds since the Unix epoch, for the feed.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            folder: None,
            min_free: 512 << 20,
            queue_entries: 8192,
            queue_bytes: 64 << 20,
            late_after: Duration::from_secs(5),
            inbox_max: 1_000_000,
            now_ms: Arc::new(machine_ms),
        }
    }
}

/// Why a journal does not open.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The engine does not, or what it holds is not ours to open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the journal would go on from is damaged.
    #[error("damaged {0}")]
    Damaged(#[from] Damage),
    /// The operating system gives no thread.
    #[error("the committer's thread does not start: {0}")]
    Thread(String),
}

impl Journal {
    /// Opens the journal that a store holds, an empty one included, and starts its committer.
    ///
    /// # Errors
    /// [`JournalError`] if the store cannot be read, has another layout, the end of its feed is damaged, or no
    /// thread can be started.
    pub fn open(store: Arc<dyn Store>, options: JournalOptions) -> Result<Journal, JournalError> {
        let (journal, committer) = Journal::assemble(store, options)?;
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run())
            .map_err(|error| JournalError::Thread(error.to_string()))?;
        Ok(journal)
    }

    /// Opens the journal that a store holds without a thread of its own: it writes when the committer that is given
    /// back is told to. It never closes by itself.
    ///
    /// # Errors
    /// Those of [`Journal::open`].
    #[cfg(feature = "testing")]
    pub fn open_stepped(
        store: Arc<dyn Store>,
        options: JournalOptions,
    ) -> Result<(Journal, crate::committer::SteppedCommitter), JournalError> {
        let (journal, committer) = Journal::assemble(store, options)?;
        Ok((journal, crate::committer::SteppedCommitter::new(committer)))
    }

    fn assemble(
        store: Arc<dyn Store>,
        options: JournalOptions,
    ) -> Result<(Journal, Committer), JournalError> {
        let counters = resume(&*store)?;
        let queue = Queue::new(options.queue_entries, options.queue_bytes);
        let shared = Arc::new(Shared::new(queue, &counters));
        let committer = Committer::new(Arc::clone(&store), Arc::clone(&shared), options.now_ms, counters);
        let disk = Disk::new(options.folder, options.min_free);
        let (late_after, inbox_max) = (options.late_after, options.inbox_max);
        let inner = Inner { store, shared, disk, late_after, inbox_max, told: Mutex::default() };
        Ok((Journal { inner: Arc::new(inner) }, committer))
    }

    /// Writes an append, whole or not at all. When it answers `Ok`, the append is durable; every other answer but
    /// [`CommitError::Failed`] means that it left no trace, and is itself durable knowledge.
    ///
    /// Essential appends wait for room in the queue; inbound ones are refused instead. A caller that stops
    /// waiting does not take its append back.
    ///
    /// # Errors
    /// [`CommitError`], each variant with its own meaning.
    ///
    /// # Panics
    /// If a name contains a NUL byte, a claim's key is longer than [`keys::CLAIM_KEY_MAX`], or a row's key is not
    /// in the callers' space: mistakes of the program that must not reach the disk.
    pub async fn commit(&self, append: Append) -> Result<Committed, CommitError> {
        let prepared = Prepared::new(append);
        let bytes = prepared.largest_value();
        if bytes > VALUE_BYTES_MAX {
            return Err(CommitError::TooLarge { bytes, max: VALUE_BYTES_MAX });
        }
        self.submit(prepared).await
    }

    /// Waits until everything that a reader could have seen when this was called is durable. Costs next to
    /// nothing while nothing is being written.
    ///
    /// # Errors
    /// [`CommitError::Failed`] if it may never become durable.
    pub async fn barrier(&self) -> Result<(), CommitError> {
        let shared = &self.inner.shared;
        let begun = shared.begun.load(Ordering::SeqCst);
        let passed = |progress: &Progress| progress.groups >= begun || progress.failed.is_some();
        let answer = |progress: &Progress| match &progress.failed {
            Some(reason) => Err(CommitError::Failed(reason.to_string())),
            None => Ok(()),
        };
        {
            let progress = shared.progress.borrow();
            if passed(&progress) {
                return answer(&progress);
            }
        }
        let mut progress = shared.progress.subscribe();
        let reached = progress.wait_for(passed).await;
        reached
            .map_err(|_| CommitError::Failed("the journal is gone".into()))
            .and_then(|progress| answer(&progress))
    }

    /// How far the durable journal is, to wait for it to move.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.shared.progress.subscribe()
    }

    /// How many groups have become durable since the journal was opened: what is read from now on holds all of them.
    #[must_use]
    pub fn durable_groups(&self) -> u64 {
        self.inner.shared.progress.borrow().groups
    }

    /// The end of the durable feed.
    #[must_use]
    pub fn head(&self) -> Head {
        self.inner.shared.head()
    }

    /// What commits have cost, and what waits.
    #[must_use]
    pub fn stats(&self) -> CommitStats {
        self.inner.shared.stats()
    }

    /// The bytes that are free on the disk, and those below which new inbound is refused; none for a journal without a
    /// folder, or where the disk does not answer.
    #[must_use]
    pub fn disk_room(&self) -> Option<(u64, u64)> {
        self.inner.disk.room()
    }

    /// A row of a projection or a setting of the engine above, by its whole key.
    ///
    /// # Errors
    /// [`ReadError::Store`] if the engine cannot read.
    pub fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.inner.store.get(key)?)
    }

    /// The rows between two bounds, in key order, from both ends.
    pub fn rows(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        self.inner.store.range(from, to)
    }

    /// Commits what waits, takes nothing more, and closes the store. Asked again, it answers the same.
    ///
    /// # Errors
    /// [`StoreError`] if the store has failed or its last sync fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (closer, closed) = oneshot::channel();
        self.inner.shared.queue.close(Some(closer));
        closed.await.unwrap_or_else(|_| Err(StoreError::Io("the committer has ended".into())))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The data folder, where there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.inner.disk.folder()
    }

    /// Whether the disk has room for what can be done without.
    pub(crate) fn has_room(&self) -> Result<(), CommitError> {
        self.inner.disk.has_room()
    }

    /// Removes keys in any part of the keyspace.
    pub(crate) async fn remove(&self, keys: Vec<Vec<u8>>) -> Result<(), CommitError> {
        self.submit(Prepared::removal(keys)).await.map(drop)
    }

    /// Steps over a pending item that cannot be read, so that one damaged item does not keep the others from being
    /// done. It stays where it is, and is told of once.
    pub(crate) fn unless_damaged<T>(
        &self,
        key: &[u8],
        item: Result<T, ReadError>,
    ) -> Option<Result<T, ReadError>> {
        match item {
            Err(ReadError::Damaged(damage)) => {
                if self.inner.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_vec()) {
                    tracing::error!(%damage, "a pending item cannot be read and is passed over");
                }
                None
            }
            other => Some(other),
        }
    }

    /// What is due in a part of the keyspace whose keys begin with a moment. What is damaged is passed over.
    pub(crate) fn due<T>(
        &self,
        front: &Front,
        after: Option<Vec<u8>>,
        up_to_ms: u64,
        limit: usize,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let part = front.part();
        let prefix = |moment: u64| [&[part][..], &moment.to_be_bytes()].concat();
        let to = up_to_ms.checked_add(1).map_or_else(|| keys::after_prefix(vec![part]), prefix);
        let (search, from) = match after {
            Some(after) => (None, Bound::Excluded(after)),
            None => {
                let (search, from) = front.search();
                (Some(search), Bound::Included(from))
            }
        };
        let mut pairs = self.store().range(from.as_ref().map(Vec::as_slice), Bound::Excluded(&to)).peekable();
        match (search, pairs.peek()) {
            (Some(search), Some(Ok((first, _)))) => search.found(first),
            (Some(search), None) => search.found(&to),
            _ => {}
        }
        pairs
            .filter_map(|pair| match pair {
                Ok((key, value)) => self.unless_damaged(&key, decode(&key, &value)),
                Err(error) => Some(Err(error.into())),
            })
            .take(limit)
            .collect()
    }

    pub(crate) fn fronts(&self) -> &Fronts {
        &self.inner.shared.fronts
    }

    async fn submit(&self, prepared: Prepared) -> Result<Committed, CommitError> {
        let shared = &self.inner.shared;
        if let Some(reason) = shared.failed() {
            return Err(CommitError::Failed(reason.to_string()));
        }
        let bytes = prepared.bytes();
        let room = match prepared.class {
            AppendClass::Essential => shared.queue.room(bytes).await.map_err(|_| closed())?,
            AppendClass::Inbound => self.admit(bytes)?,
        };
        let (reply, answer) = oneshot::channel();
        shared.queue.push(prepared, room, reply).map_err(|_| closed())?;
        // The committer answers whatever happens, unless its thread is gone.
        answer.await.unwrap_or_else(|_| Err(CommitError::Failed("the committer has ended".into())))
    }

    /// Whether new inbound would be taken right now. For work that is done before the commit, such as storing what
    /// the append will name.
    ///
    /// # Errors
    /// What the commit of an inbound append would answer: [`CommitError::Busy`], [`CommitError::NoSpace`] or
    /// [`CommitError::Failed`].
    pub fn admits_inbound(&self) -> Result<(), CommitError> {
        self.admit(0).map(drop)
    }

    /// Room for something new, if the journal keeps up with what it has.
    fn admit(&self, bytes: usize) -> Result<Room, CommitError> {
        let Inner { shared, disk, late_after, inbox_max, .. } = &*self.inner;
        disk.has_room()?;
        if shared.inbox_pending() >= *inbox_max || shared.queue.oldest() > *late_after {
            return Err(CommitError::Busy);
        }
        shared.queue.room_now(bytes).ok_or(CommitError::Busy)
    }
}

/// The last handle is gone: the committer writes what it has and ends, and leaves the store to its owner.
impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close(None);
    }
}

/// Where the journal goes on.
fn resume(store: &dyn Store) -> Result<Counters, JournalError> {
    let layout = mark(store, LAYOUT_MARK)?;
    if let Some(layout) = layout.filter(|layout| *layout != LAYOUT) {
        let reason = format!("the journal has layout {layout}, and this program knows {LAYOUT}");
        return Err(StoreError::Unsuitable(reason).into());
    }
    let last = feed::last(store).map_err(|error| match error {
        ReadError::Store(error) => JournalError::Store(error),
        ReadError::Damaged(damage) => JournalError::Damaged(damage),
    })?;
    let (from, to) = keys::within(&[keys::INBOX]);
    let (from, to) = keys::half_open(&from, &to);
    let (mut inbox_pending, mut newest) = (0, 0);
    for pair in store.range(from, to) {
        let (key, _) = pair?;
        newest = keys::read_inbox(&key).ok_or_else(|| Damage::at(&key, "not an inbox entry's key"))?;
        inbox_pending += 1;
    }
    // The mark is never behind; should it be lost, what is there still counts.
    let inbox_reserved = mark(store, INBOX_MARK)?.unwrap_or(0).max(newest);
    let head = last.map(|group| Head { seq: group.last_seq, hash: group.hash, at_ms: group.at_ms });
    let Head { seq, hash, at_ms } = head.unwrap_or_default();
    Ok(Counters {
        seq,
        hash,
        at_ms,
        inbox: inbox_reserved,
        inbox_reserved,
        inbox_pending,
        timers: 0,
        activities: 0,
        marked: layout.is_some(),
    })
}

/// One of the journal's own marks.
fn mark(store: &dyn Store, name: &str) -> Result<Option<u64>, JournalError> {
    let key = keys::mark(name);
    let Some(value) = store.get(&key)? else { return Ok(None) };
    wire::open_number(&value).map(Some).map_err(|error| Damage::at(&key, error).into())
}

fn closed() -> CommitError {
    CommitError::Failed("the journal is closed".into())
}

/// The machine's wall clock, in milliseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "for ages of files, and for tools that open a journal without an engine's clock"
)]
pub(crate) fn machine_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
