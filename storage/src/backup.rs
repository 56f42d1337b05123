//! A copy of the store while it is being written to, for any engine: consistent, and held up by nothing.
//!
//! A range over a store is no snapshot. So a backup first lets the committer hand it every group from now on, then
//! copies the keyspace in key order, a piece at a time, and puts between the pieces what was committed meanwhile.
//! For every key, the last the archive says of it is what it was when the copy ended: either it changed meanwhile, and
//! the last change says so, or it did not, and was copied as it was. What was committed behind the copy's back, in
//! keys that are still to be copied, is left out: the copy will find it. At the end everything that may have been seen
//! is waited for, so that nothing is in the archive that a power cut could still take.
//!
//! A backup with a base leaves out the records and feed groups that the base has. The rest it copies whole.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::append::CommitError;
use crate::archive::{Base, Change, Composer, End, FRAME_FULL, FilePart, Frame, Header, is_added_to};
use crate::blobs::{BlobError, Blobs};
use crate::committer::Capture;
use crate::damage::ReadError;
use crate::feed;
use crate::journal::{Head, Journal, machine_ms};
use crate::keys;
use crate::store::{Pair, Store, StoreError};

/// Bytes that are looked through in one step, most of which a backup with a base leaves out.
const STEP_BYTES: usize = 4 << 20;

/// Pieces of what was committed meanwhile that go out with each step: more than the step itself, so that it does not
/// pile up, and few enough to be held in memory.
const PIECES_A_STEP: usize = 8;

/// Bytes that may wait even where the disk has no room for new messages: a disk that fills is a reason for a backup.
const WAITING_WITHOUT_ROOM: u64 = 64 << 20;

/// How much older than the base a blob's file may be for a backup with a base to hold it. A blob is stored moments before
/// it is named; the hour is for clocks that are put right. Should even that not be enough, the blob is in no archive of
/// the chain, which whoever checks the chain finds.
const BLOB_AGE: Duration = Duration::from_secs(3600);

/// What blobs are called in an archive, before their own names.
pub const BLOBS: &str = "blobs/";

/// The name of the blob that a key of the store names, if it is such a key.
#[must_use]
pub fn named_blob(key: &[u8]) -> Option<&str> {
    let (part, name) = key.split_first()?;
    if *part == keys::BLOBS { std::str::from_utf8(name).ok() } else { None }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One is being made; a second would only slow both down.
    #[error("another backup is being made")]
    Busy,
    /// What it should add to is not part of this journal's history.
    #[error(
        "the journal has no event {0} with that hash: the backup to add to is another journal's, or of a later state"
    )]
    UnknownBase(u64),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was committed may never become durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A blob cannot be read.
    #[error("blob {name}: {error}")]
    Blob {
        /// Its name.
        name: String,
        /// Why.
        error: BlobError,
    },
    /// It could not keep up, or the operating system refused.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> BackupError {
        BackupError::Read(error.into())
    }
}

/// What a backup is made of beside the journal.
pub struct BackupOptions {
    /// Where blobs are.
    pub blobs: Arc<Blobs>,
    /// Further files that belong to the data folder, small ones, each with its name below it.
    pub files: Vec<(String, Vec<u8>)>,
    /// What to add to; none for a backup that stands by itself.
    pub base: Option<Base>,
    /// The version of the program.
    pub program: String,
}

/// A backup that is being made. Dropped, it leaves no trace.
pub struct Backup {
    journal: Journal,
    blobs: Arc<Blobs>,
    base: Option<Base>,
    capture: Arc<Capture>,
    composer: Option<Composer>,
    phase: Phase,
    /// Bytes that are ready to be given out.
    ready: VecDeque<Vec<u8>>,
    /// Where the feed ended when it began.
    begun_at: Head,
    end: Option<End>,
}

/// How far it is.
enum Phase {
    /// The next key to copy is the first after this one.
    Copying(Vec<u8>),
    /// The last key is copied.
    Settling,
    /// Nothing more is captured, and what was is on its way out.
    Draining,
    /// The next blob to look at is the first after this key.
    Blobs(Vec<u8>),
    /// The next part of a blob: name, offset, length.
    Blob(String, u64, u64),
    Done,
}

/// What one step of the copy found.
struct Step {
    pairs: Vec<Pair>,
    /// Where the next goes on; none at the end of the keyspace.
    reached: Option<Vec<u8>>,
}

impl Journal {
    /// Begins a backup: an archive, to be read piece by piece. It holds everything that was durable when this returned.
    ///
    /// # Errors
    /// [`BackupError::Busy`] while another is being made, [`BackupError::UnknownBase`] if the base is not part of this
    /// journal's history.
    pub async fn backup(&self, options: BackupOptions) -> Result<Backup, BackupError> {
        let BackupOptions { blobs, files, base, program } = options;
        let base = base.filter(|base| base.seq > 0);
        if let Some(base) = &base {
            self.check_base(base)?;
        }
        let capture = Capture::new(self.folder()).map_err(|error| {
            BackupError::Failed(format!("no file for what is committed meanwhile: {error}"))
        })?;
        let capture = Arc::new(capture);
        if !self.shared().begin_capture(&capture) {
            return Err(BackupError::Busy);
        }
        let header = Header {
            engine: self.store().engine().to_owned(),
            program,
            begun_at_ms: machine_ms(),
            bytes_expected: self.store().size_on_disk().unwrap_or(0),
            base: base.clone(),
        };
        let (mut composer, first) = Composer::begin(&header);
        let mut ready = VecDeque::from([first]);
        for (name, bytes) in files {
            let length = bytes.len() as u64;
            let whole = FilePart { name, offset: 0, length, bytes };
            ready.push_back(composer.add(&Frame::File(whole)));
        }
        // From here on, dropping it ends the capture.
        let mut backup = Backup {
            journal: self.clone(),
            blobs,
            base,
            capture,
            composer: Some(composer),
            phase: Phase::Copying(Vec::new()),
            ready,
            begun_at: Head::default(),
            end: None,
        };
        // What the store was handed before it heard of the capture is only to be found by the copy.
        self.barrier().await?;
        backup.begun_at = self.head();
        Ok(backup)
    }

    /// That the base's last event is this journal's, too.
    fn check_base(&self, base: &Base) -> Result<(), BackupError> {
        let (from, to) = (keys::feed(0), keys::feed(base.seq));
        let group = self.store().range(Bound::Included(&from), Bound::Included(&to)).next_back();
        let group = group.map(feed::decode_pair).transpose()?;
        match group.filter(|group| group.last_seq == base.seq && group.hash == base.hash) {
            Some(_) => Ok(()),
            None => Err(BackupError::UnknownBase(base.seq)),
        }
    }
}

impl Backup {
    /// The next bytes of the archive; none once it is whole.
    ///
    /// # Errors
    /// [`BackupError`]; what was given out so far is then no archive, and lacks the end that says so.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Done => return Ok(None),
                Phase::Copying(after) => self.copy(after).await?,
                Phase::Settling => self.settle().await?,
                Phase::Draining => self.drain().await?,
                Phase::Blobs(after) => self.next_blob(after).await?,
                Phase::Blob(name, offset, length) => self.part_of_blob(name, offset, length).await?,
            }
        }
    }

    /// What the archive's end says, once it has been given out.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Takes a step through the keyspace.
    async fn copy(&mut self, after: Vec<u8>) -> Result<(), BackupError> {
        if self.capture.waiting() > WAITING_WITHOUT_ROOM {
            self.journal.has_room()?;
        }
        // What was committed so far in keys that are copied already. The others are still to be copied, as they are
        // now or later.
        for _ in 0..PIECES_A_STEP {
            let Some(mut changes) = self.captured().await? else { break };
            changes.retain(|(key, _)| *key <= after);
            self.add_changes(changes);
        }
        let (journal, base) = (self.journal.clone(), self.base.clone());
        let step = blocking(move || step(journal.store(), after, base.as_ref())).await??;
        // Even where there are none: whoever reads sees that it goes on.
        self.add(&Frame::Pairs(step.pairs));
        self.phase = step.reached.map_or(Phase::Settling, Phase::Copying);
        Ok(())
    }

    /// Waits for everything that the copy may have seen.
    async fn settle(&mut self) -> Result<(), BackupError> {
        self.journal.barrier().await?;
        // What comes from now on is not in the archive, and must not move its head either.
        self.capture.close();
        self.journal.shared().end_capture(&self.capture);
        self.phase = Phase::Draining;
        Ok(())
    }

    /// Adds the next of what was committed to the end.
    async fn drain(&mut self) -> Result<(), BackupError> {
        match self.captured().await? {
            Some(changes) => {
                self.add_changes(changes);
                self.phase = Phase::Draining;
            }
            None => self.phase = Phase::Blobs(vec![keys::BLOBS]),
        }
        Ok(())
    }

    /// Looks for the next blob that belongs into the archive.
    async fn next_blob(&mut self, after: Vec<u8>) -> Result<(), BackupError> {
        let journal = self.journal.clone();
        let found = blocking(move || {
            let end = keys::after_prefix(vec![keys::BLOBS]);
            journal.store().range(Bound::Excluded(&after), Bound::Excluded(&end)).next().transpose()
        });
        let Some((key, _)) = found.await?? else { return self.finish() };
        let name = String::from_utf8_lossy(&key[1..]).into_owned();
        self.phase = Phase::Blobs(key);
        let kept_since = self.base.as_ref().map_or(0, |base| {
            base.begun_at_ms.saturating_sub(u64::try_from(BLOB_AGE.as_millis()).unwrap_or(u64::MAX))
        });
        match self.blobs.stat(&name).await {
            Ok(stat) if stat.stored_at_ms >= kept_since => self.part_of_blob(name, 0, stat.bytes).await,
            Ok(_) => Ok(()),
            Err(BlobError::Missing(_)) => {
                tracing::error!(blob = name, "a blob is named and not there; the backup says so");
                self.add(&Frame::Absent(format!("{BLOBS}{name}")));
                Ok(())
            }
            Err(error) => Err(BackupError::Blob { name, error }),
        }
    }

    async fn part_of_blob(&mut self, name: String, offset: u64, length: u64) -> Result<(), BackupError> {
        let to = length.min(offset + FRAME_FULL as u64);
        let read = self.blobs.read(&name, offset..to).await;
        let bytes = read.map_err(|error| BackupError::Blob { name: name.clone(), error })?;
        if bytes.len() as u64 != to - offset {
            return Err(BackupError::Failed(format!("blob {name} is not as long as it was")));
        }
        let part = FilePart { name: format!("{BLOBS}{name}"), offset, length, bytes: bytes.into() };
        self.add(&Frame::File(part));
        self.phase =
            if to < length { Phase::Blob(name, to, length) } else { Phase::Blobs(keys::blob(&name)) };
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BackupError> {
        let head = self.capture.head().unwrap_or_else(|| self.begun_at.clone());
        let Some(composer) = self.composer.take() else { return Ok(()) };
        let (bytes, end) = composer.finish(head);
        self.ready.push_back(bytes);
        self.end = Some(end);
        self.phase = Phase::Done;
        Ok(())
    }

    async fn captured(&self) -> Result<Option<Vec<Change>>, BackupError> {
        let capture = Arc::clone(&self.capture);
        blocking(move || capture.take()).await?.map_err(BackupError::Failed)
    }

    fn add_changes(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.add(&Frame::Changes(changes));
        }
    }

    fn add(&mut self, frame: &Frame) {
        if let Some(composer) = &mut self.composer {
            self.ready.push_back(composer.add(frame));
        }
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        self.journal.shared().end_capture(&self.capture);
    }
}

/// Copies the keys after `after`, as many as fit into a frame.
fn step(store: &dyn Store, after: Vec<u8>, base: Option<&Base>) -> Result<Step, StoreError> {
    let (mut bytes, mut looked) = (0, 0);
    let mut step = Step { pairs: Vec::new(), reached: None };
    for pair in store.range(Bound::Excluded(&after), Bound::Unbounded) {
        let (key, value) = pair?;
        if let Some(known) = base.map(|base| keys::feed(base.seq)).filter(|known| is_feed_up_to(&key, known))
        {
            // The base has the feed up to there: on behind it.
            step.reached = Some(known);
            return Ok(step);
        }
        looked += key.len() + value.len();
        if base.is_none_or(|base| !is_record_of(&key, &value, base)) {
            bytes += key.len() + value.len();
            step.pairs.push((key.clone(), value));
        }
        if bytes >= FRAME_FULL || looked >= STEP_BYTES {
            step.reached = Some(key);
            return Ok(step);
        }
    }
    Ok(step)
}

fn is_feed_up_to(key: &[u8], known: &[u8]) -> bool {
    key.first() == Some(&keys::FEED) && key <= known
}

/// Whether a pair is a record that the base has: one whose `seq` is not beyond the base's.
///
/// One without events has the `seq` of the next event there was. So it may be taken for a new one, and is then merely
/// held twice.
fn is_record_of(key: &[u8], value: &[u8], base: &Base) -> bool {
    debug_assert!(is_added_to(&[keys::RECORDS]), "only what is never changed is left out");
    let first_seq = value.first_chunk().map(|seq| u64::from_be_bytes(*seq));
    key.first() == Some(&keys::RECORDS) && first_seq.is_some_and(|seq| seq <= base.seq)
}

/// Reads where that holds up nobody.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(read).await.map_err(|error| BackupError::Failed(error.to_string()))
}
