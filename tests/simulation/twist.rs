//! Worlds that do not keep what the engine relies on: a run in one of them must fail, or the laws have no teeth.

use std::ops::Bound;

use throughline_storage::store::{Batch, Pairs, Store, StoreError, memory::MemoryStore};

use crate::life::{elsewhere, home};

/// What is different in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// Nothing.
    None,
    /// A power cut takes the last batch that the disk said to have kept.
    DiskForgets,
    /// Whoever waits for a commit is answered before it is durable.
    AnswersBeforeDurable,
    /// An inbox entry that a turn consumes stays where it is.
    InboxStays,
    /// A timer that is armed is not kept.
    TimersAreLost,
    /// A pending activity that a turn consumes stays where it is.
    ActivitiesStay,
    /// A process that begins knows nothing of pauses.
    PausesAreForgotten,
    /// A row of one tenant's list stands in another's too.
    RowsLeak,
    /// The keys by which repeated requests are recognised are not kept.
    KeysAreForgotten,
    /// A provider that does not recognise a repetition is said to.
    SmsClaimsToBeKeyed,
}

fn holds(key: &[u8], part: &[u8]) -> bool {
    key.windows(part.len()).any(|window| window == part)
}

/// Takes the pauses out of what a process will begin on.
pub(crate) fn forget_pauses(store: &MemoryStore) {
    let (from, to) = (b"gpaused/".as_slice(), b"gpaused0".as_slice());
    let pairs = store.range(Bound::Included(from), Bound::Excluded(to));
    let changes: Vec<_> = pairs.filter_map(|pair| Some((pair.ok()?.0, None))).collect();
    if !changes.is_empty() {
        store.commit(Batch { changes }).unwrap();
    }
}

/// Puts the rows of one tenant's lists into those of another as well.
fn leak(batch: &mut Batch) {
    let (from, to) = (format!("p{}\0", elsewhere()), format!("p{}\0", home()));
    let leaks = batch.changes.iter().filter_map(|(key, value)| {
        let rest = key.strip_prefix(from.as_bytes())?;
        Some(([to.as_bytes(), rest].concat(), value.clone()))
    });
    let leaks: Vec<_> = leaks.collect();
    batch.changes.extend(leaks);
}

/// A store with a twist.
pub(crate) struct Twisted {
    store: MemoryStore,
    twist: Twist,
}

impl Twisted {
    pub(crate) fn new(store: MemoryStore, twist: Twist) -> Self {
        Self { store, twist }
    }

    fn keeps(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let part = key.first().copied();
        match self.twist {
            Twist::InboxStays => part != Some(b'i') || value.is_some(),
            Twist::ActivitiesStay => part != Some(b'a') || value.is_some(),
            Twist::TimersAreLost => part != Some(b't') || value.is_none(),
            Twist::KeysAreForgotten => part != Some(b'w') || value.is_none() || !holds(key, b"idempotency\0"),
            Twist::None
            | Twist::DiskForgets
            | Twist::AnswersBeforeDurable
            | Twist::PausesAreForgotten
            | Twist::RowsLeak
            | Twist::SmsClaimsToBeKeyed => true,
        }
    }
}

impl Store for Twisted {
    fn engine(&self) -> &'static str {
        self.store.engine()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        self.store.range(from, to)
    }

    fn commit(&self, mut batch: Batch) -> Result<(), StoreError> {
        if self.twist == Twist::RowsLeak {
            leak(&mut batch);
        }
        batch.changes.retain(|(key, value)| self.keeps(key, value.as_deref()));
        self.store.commit(batch)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.store.size_on_disk()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}
