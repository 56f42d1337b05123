//! The default engine, sled 0.34, with the cures it needs. No other file names it.
//!
//! Its own `flush` hands bytes to the disk without ever asking for them to be kept, so a power cut would take
//! acknowledged batches back or leave a folder that cannot be opened. Every commit therefore ends with a sync of the
//! data file, through a second handle on it; nothing is acknowledged before. The rest of the cures stand where they
//! are applied: the segment size, the half-written snapshot, the names in the folder, the panics.
//!
//! There is one tree, one writer at a time, and never a second try after a sync has failed.

mod waker;

use std::fs::{self, File, OpenOptions};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use ::sled::{Config, Db, Error, IVec, Iter};

use self::waker::Waker;
use super::folder::{ADVICE, Folder, Format, LOCK_PAUSE, LOCK_TRIES, damaged, failed, sync_folder};
use super::panics::catch;
use super::seal::Witness;
use super::{Batch, Pair, Pairs, Store, StoreError, StoreOptions, closed, is_empty_range, lock};

/// The version of what this file writes into a folder, whatever engine release writes it.
const FORMAT_VERSION: u32 = 1;

/// With segments this large no value that a store takes, nor a page of them, ends up in a file of its own: those are
/// never synced. It is fixed from the first byte of a folder's life.
const SEGMENT_BYTES: usize = 8 << 20;

/// Segments are cleaned up only by the engine's periodic flush.
const FLUSH_EVERY_MS: u64 = 500;

const DATA: &str = "db";
const PARAMETERS: &str = "conf";

/// How to open a [`SledStore`]. The process takes more than the cache: the engine's index comes on top.
pub type SledOptions = StoreOptions;

/// A folder opened with sled.
pub struct SledStore {
    /// Gone once the store is closed.
    open: RwLock<Option<Open>>,
    /// The second handle on the data file, for the sync that the engine leaves out.
    data: File,
    /// Held for the whole of a commit. What the last batch did.
    writer: Mutex<Option<Witness>>,
    /// The first failure, after which nothing is written.
    poisoned: OnceLock<String>,
    /// Locked until the store is closed.
    folder: Mutex<Option<Folder>>,
}

struct Open {
    /// Gone before the engine, which it must not be the last to hold.
    waker: Waker,
    db: Db,
}

impl SledStore {
    /// Opens a folder, making it if there is none.
    ///
    /// What a killed process wrote and never synced is synced before anyone can read it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has the folder after a second of trying;
    /// [`StoreError::Unsuitable`] if another engine, version or segment size made it, or it holds other files;
    /// [`StoreError::Damaged`] if the engine cannot read its files, with what to do about it;
    /// [`StoreError::Io`] if the operating system refuses.
    pub fn open(path: impl AsRef<Path>, options: SledOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let format = Format {
            engine: "sled",
            fields: vec![
                ("version", FORMAT_VERSION.to_string()),
                ("segment_bytes", SEGMENT_BYTES.to_string()),
            ],
        };
        let mut folder = Folder::open(path, format)?;
        if folder.ready {
            for name in [DATA, PARAMETERS] {
                if !folder.join(name).exists() {
                    return Err(damaged(path, &format!("the file {name} is missing")));
                }
            }
        } else {
            folder.clear()?;
        }
        remove_unfinished_snapshots(&folder)?;
        if folder.ready {
            // Opening may write a snapshot and sync it. It must not tell of pages that a killed process left to the
            // operating system, and that a power cut would still take.
            sync_data(&folder, &open_data(&folder)?)?;
        }

        let db = open_engine(path, &options)?;
        let data = match finish_opening(path, &mut folder, &db) {
            Ok(data) => data,
            Err(error) => {
                let _ = catch(|| drop(db)); // It may panic on a failing disk.
                return Err(error);
            }
        };
        let beside = db.clone();
        let waker =
            Waker::new(move || drop(catch(|| beside.flush()))).map_err(|error| failed(path, &error))?;
        Ok(Self {
            open: RwLock::new(Some(Open { waker, db })),
            data,
            writer: Mutex::new(folder.witness.take()),
            poisoned: OnceLock::new(),
            folder: Mutex::new(Some(folder)),
        })
    }

    fn poison(&self, why: &str) {
        let _ = self.poisoned.set(why.to_owned()); // Only the first failure explains the others.
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        self.poisoned.get().map_or(Ok(()), |first| Err(StoreError::Poisoned(first.clone())))
    }

    /// Calls the engine, unless the store is closed. A panic poisons the store: what it left behind in memory cannot
    /// be trusted with another write.
    fn call<T>(&self, call: impl FnOnce(&Open) -> Result<T, Error>) -> Result<T, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.as_ref() else {
            return Err(Failure::Closed);
        };
        match catch(|| call(open)) {
            Ok(outcome) => outcome.map_err(|error| Failure::Error(explain(error))),
            Err(said) => Err(Failure::Panic(said)),
        }
    }

    fn read<T>(&self, call: impl FnOnce(&Db) -> Result<T, Error>) -> Result<T, StoreError> {
        self.call(|open| call(&open.db)).map_err(|failure| self.failed_read(failure))
    }

    fn failed_read(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Closed => closed(),
            Failure::Error(error) => error,
            Failure::Panic(said) => {
                self.poison(&said);
                StoreError::Damaged(format!("the engine stopped with `{said}`; {ADVICE}"))
            }
        }
    }
}

impl Store for SledStore {
    fn engine(&self) -> &'static str {
        "sled"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|db| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        match self.read(|db| Ok(db.range::<&[u8], _>((from, to)))) {
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
        let witness = Witness::of(&batch);
        let mut changes = ::sled::Batch::default();
        for (key, value) in batch.changes {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        let written = self.call(|Open { waker, db }| {
            db.apply_batch(changes)?;
            waker.watch(|| db.flush())?;
            Ok(())
        });
        let error = match written {
            Ok(()) => match self.data.sync_data() {
                Ok(()) => {
                    *writer = witness;
                    return Ok(());
                }
                Err(error) => StoreError::Io(format!("sync of the data file: {error}")),
            },
            Err(Failure::Closed) => return Err(closed()), // Nothing was written, so nothing is in doubt.
            Err(Failure::Error(error)) => error,
            Err(Failure::Panic(said)) => {
                StoreError::Damaged(format!("the engine stopped with `{said}`; {ADVICE}"))
            }
        };
        self.poison(&error.to_string());
        Err(error)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        lock(&self.folder).as_ref().ok_or_else(closed)?.bytes_on_disk()
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let mut outcome = self.refuse_if_poisoned();
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            // Dropping it writes what it still has; it may panic on a failing disk.
            let dropped = catch(|| drop(open)).map_err(StoreError::Io);
            outcome = outcome.and(dropped);
            if outcome.is_ok() {
                let synced = self.data.sync_data();
                outcome = synced.map_err(|error| StoreError::Io(format!("last sync: {error}")));
            }
        }
        if let Some(folder) = lock(&self.folder).take()
            && outcome.is_ok()
        {
            folder.seal(vec![DATA.to_owned(), PARAMETERS.to_owned()], writer.take());
        }
        outcome
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        let _ = self.close(); // What was acknowledged is durable already.
    }
}

/// Why a call into the engine failed.
enum Failure {
    Closed,
    Error(StoreError),
    Panic(String),
}

/// The engine's own iterator, with its panics caught.
struct Range<'a> {
    store: &'a SledStore,
    pairs: Iter,
    failed: bool,
}

impl Range<'_> {
    fn step(
        &mut self,
        step: impl FnOnce(&mut Iter) -> Option<Result<(IVec, IVec), Error>>,
    ) -> Option<Result<Pair, StoreError>> {
        if self.failed {
            return None;
        }
        let outcome = match catch(|| step(&mut self.pairs)) {
            Ok(None) => return None,
            Ok(Some(Ok((key, value)))) => return Some(Ok((key.to_vec(), value.to_vec()))),
            Ok(Some(Err(error))) => Failure::Error(explain(error)),
            Err(said) => Failure::Panic(said),
        };
        self.failed = true;
        Some(Err(self.store.failed_read(outcome)))
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

/// A crash while a snapshot is written leaves a file that the engine would take for a damaged snapshot at every later
/// start. A snapshot only saves time.
fn remove_unfinished_snapshots(folder: &Folder) -> Result<(), StoreError> {
    for name in folder.names()? {
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let path = folder.join(&name);
            fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
    }
    Ok(())
}

fn open_engine(path: &Path, options: &SledOptions) -> Result<Db, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let config = Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(options.cache_bytes.max(1 << 20))
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        match catch(|| config.open()) {
            Ok(Ok(db)) => return Ok(db),
            // Our own lock is ours, so this is the last of a process that is going, or a stranger's tool.
            Ok(Err(Error::Io(error))) if error.to_string().starts_with("could not acquire lock") => {
                if tries == LOCK_TRIES {
                    return Err(StoreError::Locked { path: path.display().to_string(), holder: None });
                }
                std::thread::sleep(LOCK_PAUSE);
            }
            // The folder was made with our settings, so a file that says otherwise has been changed.
            Ok(Err(error @ (Error::Corruption { .. } | Error::ReportableBug(_) | Error::Unsupported(_)))) => {
                return Err(damaged(path, &said(&error)));
            }
            Ok(Err(error)) => return Err(explain(error)),
            Err(said) => return Err(damaged(path, &said)),
        }
    }
}

/// Makes durable what opening has written, and looks whether all is there. Returns the second handle on the data file.
fn finish_opening(path: &Path, folder: &mut Folder, db: &Db) -> Result<File, StoreError> {
    let data = open_data(folder)?;
    sync_data(folder, &data)?;
    if folder.ready {
        folder.sync()?; // Opening may have written a snapshot and removed the former.
    } else {
        let parameters = folder.join(PARAMETERS);
        let synced = File::open(&parameters).and_then(|file| file.sync_all());
        synced.map_err(|error| failed(&parameters, &error))?;
        data.sync_all().map_err(|error| failed(&folder.join(DATA), &error))?;
        sync_folder(&folder.join("blobs"))?;
        folder.finish()?;
    }
    folder.ask_witness(|key| match catch(|| db.get(key)) {
        Ok(found) => found.map(|value| value.map(|value| value.to_vec())).map_err(explain),
        Err(said) => Err(damaged(path, &said)),
    })?;
    Ok(data)
}

fn open_data(folder: &Folder) -> Result<File, StoreError> {
    let path = folder.join(DATA);
    OpenOptions::new().read(true).write(true).open(&path).map_err(|error| failed(&path, &error))
}

fn sync_data(folder: &Folder, data: &File) -> Result<(), StoreError> {
    data.sync_data().map_err(|error| failed(&folder.join(DATA), &error))
}

/// What the engine says of damage, without the parts of its words that are only for its authors.
fn said(error: &Error) -> String {
    match error {
        Error::Corruption { at: Some(at), .. } => format!("a checksum does not match at {at:?}"),
        Error::Corruption { at: None, .. } => "a checksum does not match".to_owned(),
        error => error.to_string(),
    }
}

fn explain(error: Error) -> StoreError {
    match error {
        Error::Io(error) => StoreError::Io(error.to_string()),
        Error::Unsupported(why) => StoreError::Unsuitable(why),
        error @ (Error::Corruption { .. } | Error::ReportableBug(_) | Error::CollectionNotFound(_)) => {
            StoreError::Damaged(format!("{}; {ADVICE}", said(&error)))
        }
    }
}
