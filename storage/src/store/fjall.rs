//! The second engine, fjall 3: a log-structured tree. No other file names it.
//!
//! Its journal is synced before a commit returns, which it does only when asked: the default is the operating system's
//! buffer. What it keeps in memory until it is written to tables is bounded by the options. It stops taking writes
//! after a failed sync by itself, and when its background work fails; then a commit that waits for that work would
//! wait for ever, so the waiting is done here, where the failure is seen.
//!
//! Reads go through a snapshot of the moment, since the engine's plain reads may see a batch in part. There is one
//! keyspace, one writer at a time, and never a second try after a sync has failed.

mod journals;
mod manifests;
mod reclaim;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use ::fjall::compaction::Leveled;
use ::fjall::config::{CompressionPolicy, PartitioningPolicy, PinningPolicy};
use ::fjall::{
    AbstractTree as _, CompressionType, Database, Error, Guard, Iter, JournalRecoveryError, Keyspace,
    KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode, Readable as _,
};

use self::reclaim::Reclaimer;
use super::folder::{ADVICE, Folder, Format, LOCK_PAUSE, LOCK_TRIES, damaged, failed, sync_folder};
use super::panics::catch;
use super::seal::Witness;
use super::{
    Batch, KEY_BYTES_MAX, Pair, Pairs, Store, StoreError, StoreOptions, closed, is_empty_range, lock,
};

/// The version of what this file writes into a folder, whatever engine release writes it.
const FORMAT_VERSION: u32 = 1;

/// Where the engine's files are, below the store's folder: it has a file called `lock`, as we have a `LOCK`.
const FILES: &str = "fjall";

/// The only keyspace that is ours. The engine keeps one more, which describes it.
const KEYSPACE: &str = "store";

/// Files held open. A process is often allowed 1024, of which the door needs most.
const OPEN_FILES_MAX: usize = 256;

/// One thread writes and merges tables. Of several the engine keeps the first for writing, which it does by handing
/// itself each order to merge again and again, for as long as the others merge: a whole core went there.
const WORKERS: usize = 1;

/// Memory tables that may wait to be written before commits wait for them: as many as fill up while tables are merged.
/// The engine itself waits at four.
const WAITING_TABLES_MAX: usize = 2;

/// Tables in the youngest level before commits wait for it to be merged. The engine itself waits at thirty.
const YOUNG_TABLES_MAX: usize = 24;

/// Merged tables are of this size, and so each level is twice as large as the engine would make it: a key is looked for
/// in fewer of them.
const TABLE_BYTES: u64 = 128 << 20;

/// Between two looks at work that has to be waited for.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// A folder opened with fjall.
pub struct FjallStore {
    /// Gone once the store is closed.
    open: RwLock<Option<Open>>,
    /// Held for the whole of a commit. What the last batch did.
    writer: Mutex<Option<Witness>>,
    /// The first failure, after which nothing is written.
    poisoned: OnceLock<String>,
    /// Locked until the store is closed.
    folder: Mutex<Option<Folder>>,
}

struct Open {
    /// Gone before the rest, so that nothing of it is kept.
    reclaimer: Reclaimer,
    database: Database,
    keys: Keyspace,
    /// A memory table of this size is sealed and written to disk.
    memory_table_bytes: u64,
}

impl FjallStore {
    /// Opens a folder, making it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has the folder after a second of trying;
    /// [`StoreError::Unsuitable`] if another engine or version made it, or it holds other files;
    /// [`StoreError::Damaged`] if the engine cannot read its files, with what to do about it;
    /// [`StoreError::Io`] if the operating system refuses.
    pub fn open(path: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let format = Format { engine: "fjall", fields: vec![("version", FORMAT_VERSION.to_string())] };
        let mut folder = Folder::open(path, format)?;
        if folder.ready {
            refuse_damaged(path, &folder)?;
        } else {
            folder.clear()?;
        }
        let open = open_engine(path, &folder, &options)?;
        if !folder.ready {
            sync_all(&folder.join(FILES))?;
            folder.finish()?;
        }
        let store = Self {
            writer: Mutex::new(folder.witness.clone()),
            open: RwLock::new(Some(open)),
            poisoned: OnceLock::new(),
            folder: Mutex::default(),
        };
        folder.ask_witness(|key| store.get(key))?;
        *lock(&store.folder) = Some(folder);
        Ok(store)
    }

    fn poison(&self, why: &str) {
        let _ = self.poisoned.set(why.to_owned()); // Only the first failure explains the others.
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        self.poisoned.get().map_or(Ok(()), |first| Err(StoreError::Poisoned(first.clone())))
    }

    /// Calls the engine, unless the store is closed. A panic poisons the store: what it left behind in memory cannot
    /// be trusted with another write.
    fn call<T>(&self, call: impl FnOnce(&Open) -> Result<T, Error>) -> Result<T, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or_else(closed)?;
        match catch(|| call(open)) {
            Ok(outcome) => outcome.map_err(explain),
            Err(said) => Err(self.panicked(&said)),
        }
    }

    fn panicked(&self, said: &str) -> StoreError {
        self.poison(said);
        StoreError::Damaged(format!("the engine stopped with `{said}`; {ADVICE}"))
    }
}

impl Store for FjallStore {
    fn engine(&self) -> &'static str {
        "fjall"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None); // The engine would panic.
        }
        self.call(|open| Ok(open.database.snapshot().get(&open.keys, key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        let (from, to) = (cut(from, Bound::Excluded), cut(to, Bound::Included));
        match self.call(|open| Ok(open.database.snapshot().range::<&[u8], _>(&open.keys, (from, to)))) {
            Ok(pairs) => Box::new(Range { store: self, pairs, failed: false }),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        if batch.changes.is_empty() {
            return Ok(());
        }
        if self.open.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(closed()); // Nothing is written, so nothing is in doubt.
        }
        let witness = Witness::of(&batch);
        let written = self.call(|open| {
            wait_for_backlog(open)?;
            let mut changes = OwnedWriteBatch::with_capacity(open.database.clone(), batch.changes.len())
                .durability(Some(PersistMode::SyncData));
            for (key, value) in batch.changes {
                match value {
                    Some(value) => changes.insert(&open.keys, key, value),
                    None => changes.remove(&open.keys, key),
                }
            }
            changes.commit()?;
            let table = open.keys.tree.active_memtable();
            if table.size() >= open.memory_table_bytes {
                open.reclaimer.sealing(table);
                open.keys.rotate_memtable()?;
            }
            Ok(())
        });
        match &written {
            Ok(()) => *writer = witness,
            Err(error) => self.poison(&error.to_string()),
        }
        written
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        lock(&self.folder).as_ref().ok_or_else(closed)?.bytes_on_disk()
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let mut outcome = self.refuse_if_poisoned();
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            let dropped = catch(|| {
                let synced = open.database.persist(PersistMode::SyncAll).map_err(explain);
                drop(open);
                synced
            });
            outcome = outcome.and(dropped.unwrap_or_else(|said| Err(StoreError::Io(said))));
        }
        if let Some(folder) = lock(&self.folder).take()
            && outcome.is_ok()
        {
            // Tables are listed by the engine itself; a journal that is gone or cut it would not miss.
            let journals = journals::names(folder.path(), &folder.join(FILES));
            folder.seal(journals.unwrap_or_default(), writer.take());
        }
        outcome
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        let _ = self.close(); // What was acknowledged is durable already.
    }
}

/// The engine's own iterator, with its panics caught.
struct Range<'a> {
    store: &'a FjallStore,
    pairs: Iter,
    failed: bool,
}

impl Range<'_> {
    fn step(&mut self, step: impl FnOnce(&mut Iter) -> Option<Guard>) -> Option<Result<Pair, StoreError>> {
        if self.failed {
            return None;
        }
        let error = match catch(|| step(&mut self.pairs).map(Guard::into_inner)) {
            Ok(None) => return None,
            Ok(Some(Ok((key, value)))) => return Some(Ok((key.to_vec(), value.to_vec()))),
            Ok(Some(Err(error))) => explain(error),
            Err(said) => self.store.panicked(&said),
        };
        self.failed = true;
        Some(Err(error))
    }
}

impl Iterator for Range<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// A bound longer than any key, which the engine would panic at, said by its beginning: no key lies between the two.
fn cut<'a>(bound: Bound<&'a [u8]>, beginning: fn(&'a [u8]) -> Bound<&'a [u8]>) -> Bound<&'a [u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) if key.len() > KEY_BYTES_MAX => {
            beginning(&key[..KEY_BYTES_MAX])
        }
        bound => bound,
    }
}

/// Waits until the engine has written enough of what it holds in memory to take more.
///
/// The engine waits for this inside of a commit too, but it never looks whether the work it waits for has died. Since
/// we are the only writer and always leave it room, it finds nothing to wait for.
fn wait_for_backlog(open: &Open) -> Result<(), Error> {
    while open.keys.sealed_memtable_count() > WAITING_TABLES_MAX
        || open.keys.l0_table_count() > YOUNG_TABLES_MAX
    {
        open.database.persist(PersistMode::Buffer)?; // Refused as soon as the engine is poisoned.
        thread::sleep(BACKLOG_PAUSE);
    }
    Ok(())
}

fn open_engine(path: &Path, folder: &Folder, options: &StoreOptions) -> Result<Open, StoreError> {
    let cache_bytes = options.cache_bytes.max(1 << 20);
    // One that is filled and up to two that are written. The larger they are, the less is merged later, and the longer
    // it takes to read them back at a start.
    let memory_table_bytes = (cache_bytes / 4 * 3).clamp(1 << 20, 64 << 20);
    let mut tries = 0;
    loop {
        tries += 1;
        let opened = catch(|| {
            let database = Database::builder(folder.join(FILES))
                .cache_size(cache_bytes / 2)
                .max_cached_files(Some(OPEN_FILES_MAX))
                .journal_compression(CompressionType::None) // It would be paid for inside of a commit.
                .worker_threads(WORKERS)
                .manual_journal_persist(true) // Each commit says how.
                .open()?;
            // The engine keeps all of these for a folder's life.
            let options = || {
                KeyspaceCreateOptions::default()
                    // So that a configured limit holds at once, it is watched by ourselves.
                    .max_memtable_size(u64::MAX)
                    .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
                    // What a key asks of every table that might have it is kept in memory: 1.25 bytes a key.
                    .filter_block_partitioning_policy(PartitioningPolicy::all(false))
                    .filter_block_pinning_policy(PinningPolicy::all(true))
                    // Of a merged table only the parts that are asked for. In one piece they are near a megabyte each,
                    // which a folder larger than the cache would read and check for every key.
                    .index_block_partitioning_policy(PartitioningPolicy::new([false, true]))
                    // In a folder larger than the cache most reads would unpack a block for one key of it.
                    .data_block_compression_policy(CompressionPolicy::disabled())
            };
            let keys = database.keyspace(KEYSPACE, options)?;
            let tree = keys.tree.clone();
            let reclaimer = Reclaimer::new(move || tree.current_version())?;
            Ok(Open { reclaimer, database, keys, memory_table_bytes })
        });
        match opened {
            Ok(Ok(open)) => return Ok(open),
            // Our own lock is ours, so this is the last of a process that is going, or a stranger's tool.
            Ok(Err(Error::Locked)) if tries < LOCK_TRIES => thread::sleep(LOCK_PAUSE),
            Ok(Err(Error::Locked)) => {
                return Err(StoreError::Locked { path: path.display().to_string(), holder: None });
            }
            Ok(Err(error)) => return Err(explain_open(path, error)),
            Err(said) => return Err(damaged(path, &said)),
        }
    }
}

/// Looks at what a folder must have that has been made, and whether its journals can be read. The engine would make
/// most of it anew, or throw away what it no longer finds described.
fn refuse_damaged(path: &Path, folder: &Folder) -> Result<(), StoreError> {
    for name in ["version", "lock"] {
        if !folder.join(FILES).join(name).exists() {
            return Err(damaged(path, &format!("the file {FILES}/{name} is missing")));
        }
    }
    let files = folder.join(FILES);
    for keyspace in ["keyspaces/0", "keyspaces/1"] {
        manifests::look_at(path, &files.join(keyspace))?;
    }
    journals::look_through(path, &files)
}

/// Makes a folder durable with all that is in it.
fn sync_all(folder: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(|error| failed(&path, &error))?;
        }
    }
    sync_folder(folder)
}

/// Why a folder cannot be opened. What the system says of a file that is not there, or too short, is damage.
fn explain_open(path: &Path, error: Error) -> StoreError {
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => match error.kind() {
            ErrorKind::NotFound
            | ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput => {
                damaged(path, &format!("a file is missing, cut or changed: {error}"))
            }
            _ => failed(path, &error),
        },
        Error::Poisoned => explain(error),
        error => damaged(path, &said(&error)),
    }
}

fn explain(error: Error) -> StoreError {
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => StoreError::Io(error.to_string()),
        Error::Poisoned => {
            StoreError::Io("the engine has stopped writing after an earlier failure".to_owned())
        }
        error => StoreError::Damaged(format!("{}; {ADVICE}", said(&error))),
    }
}

/// What the engine says of damage, without the parts of its words that are only for its authors.
fn said(error: &Error) -> String {
    match error {
        Error::Storage(LsmError::ChecksumMismatch { .. })
        | Error::JournalRecovery(JournalRecoveryError::ChecksumMismatch) => {
            "a checksum does not match".to_owned()
        }
        Error::Storage(LsmError::Unrecoverable) | Error::Unrecoverable => {
            "some of its files are missing or do not belong together".to_owned()
        }
        Error::InvalidVersion(_) | Error::Storage(LsmError::InvalidVersion(_)) => {
            "its files are of a version that is not known".to_owned()
        }
        Error::Storage(error) => format!("{error:?}"),
        error => format!("{error:?}"),
    }
}
