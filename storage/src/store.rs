//! The narrow seam to a storage engine: ordered keys, and one atomic, durable commit.
//!
//! Everything above (journal, claims, timers, activities, projections) is written once, against this.

mod engine;
pub mod fjall;
mod folder;
pub mod memory;
mod panics;
mod seal;
pub mod sled;

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use engine::{Engine, StoreOptions};

/// The longest key an engine takes; the empty key is none.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The largest value an engine takes. What is larger belongs into a blob, with the value naming it.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Pairs in key order, from both ends.
pub type Pairs<'a> = Box<dyn DoubleEndedIterator<Item = Result<Pair, StoreError>> + 'a>;

/// Ordered keys with atomic, durable commits.
///
/// One thread commits at a time; any number read meanwhile. A reader may see a batch shortly before it is
/// durable, so nothing read is told outside before the journal's barrier has passed.
pub trait Store: Send + Sync + 'static {
    /// The engine's name, as configured.
    fn engine(&self) -> &'static str;

    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError`] if the engine cannot read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The pairs between two bounds, in key order. Not a snapshot: of a batch committed meanwhile it may give a part.
    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_>;

    /// Writes the whole batch or nothing of it, durably: when this returns, a power cut does not undo it.
    /// Later changes of a batch to the same key win.
    ///
    /// # Errors
    /// [`StoreError`] if the batch may not be durable. The store is then *poisoned*: every later commit is
    /// refused, since a sync that failed once can never be repeated. Only a value larger than [`VALUE_BYTES_MAX`], or
    /// a key that is empty or longer than [`KEY_BYTES_MAX`], is refused with [`StoreError::Unsuitable`] before
    /// anything is written, and poisons nothing.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Bytes the engine takes on disk.
    ///
    /// # Errors
    /// [`StoreError`] if the engine cannot tell.
    fn size_on_disk(&self) -> Result<u64, StoreError>;

    /// Writes what the engine keeps for a quick start and lets go of the folder. Nothing is lost without it.
    ///
    /// # Errors
    /// [`StoreError`] if the last sync fails.
    fn close(&self) -> Result<(), StoreError>;
}

/// Changes to be written as one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Each a key and its new value, or none to remove it.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Puts a value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Refuses what no engine takes, before anything is written.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] if a value is larger than [`VALUE_BYTES_MAX`], or a key is empty or longer than
    /// [`KEY_BYTES_MAX`]: a bug of the caller, which should have kept a large value as a blob. It does not poison the
    /// store.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        for (key, value) in &self.changes {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(StoreError::Unsuitable(format!(
                    "a key of {} bytes: a store takes 1 to {KEY_BYTES_MAX}",
                    key.len()
                )));
            }
            let len = value.as_ref().map_or(0, Vec::len);
            if len > VALUE_BYTES_MAX {
                return Err(StoreError::Unsuitable(format!(
                    "a value of {len} bytes is more than the {VALUE_BYTES_MAX} a store takes: keep it as a blob"
                )));
            }
        }
        Ok(())
    }
}

/// Why an engine could not do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("{path} is in use{}", holder.as_deref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    Locked {
        /// The folder.
        path: String,
        /// The process that holds it, where it can be told.
        holder: Option<String>,
    },
    /// What is on disk cannot be read as it should.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The folder is not one that this engine, version or mode can open.
    #[error("{0}")]
    Unsuitable(String),
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
    /// An earlier write or sync has failed; nothing more is written.
    #[error("poisoned by an earlier failure: {0}")]
    Poisoned(String),
}

/// Whether no key can lie between the bounds. Engines differ in how they bear such a question.
fn is_empty_range(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (_, Bound::Excluded([])) => true,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => {
            from >= to
        }
    }
}

/// A lock whose holder panicked is taken all the same: what it guarded is poisoned by other means.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::Io("the store is closed".to_owned())
}
