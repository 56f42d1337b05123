//! The engine in memory: for tests, simulations and trying things out. Nothing outlives the process.
//!
//! It keeps the promises of [`Store`] and can be told to break down on purpose, through [`Faults`]: a commit
//! that fails before or after it wrote, a commit that readers see before it is durable, a power cut, a disk that
//! says *durable* of what it then forgets. It deliberately does not imitate any engine's files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::{Batch, Pair, Pairs, Store, StoreError, is_empty_range};

/// How many pairs a range copies under the lock at a time.
const PAGE_PAIRS: usize = 256;

/// Ordered keys in memory. Clones share the content.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What readers see.
    visible: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Held for the whole of a commit, except while it waits at the gate.
    control: Mutex<Control>,
    /// Told whenever `control` changes in a way that someone may wait for.
    changed: Condvar,
}

/// Keys, with the values that they had before.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Default)]
struct Control {
    /// Why no more commits are taken.
    refused: Option<StoreError>,
    /// What a power cut undoes: keys of the batch that is visible and not durable, with their former values.
    undo: Undo,
    /// A commit returns at once, and becomes durable when [`Faults::sync`] is called.
    sync_by_hand: bool,
    /// What a power cut undoes of the last durable batch too, where the disk forgets it.
    forgotten: Option<Undo>,
    /// Whether a commit is between *visible* and *durable*.
    at_gate: bool,
    /// Who holds the gate: the number of the last [`Gate`], or none when it is open.
    gate: Option<u64>,
    gates: u64,
    reads_fail: bool,
    planned: BTreeMap<u64, Failure>,
    commits: u64,
    changes: u64,
}

/// How a commit breaks down. The store is poisoned in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was written.
    BeforeWriting,
    /// Everything was written and readers saw it, yet a power cut undoes it: the sync failed.
    AfterWriting,
    /// Everything is durable, yet the caller is told that it failed: the answer of the sync was lost.
    AfterSync,
}

/// Breaks a [`MemoryStore`] on purpose.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

/// Holds commits between *visible* and *durable*, until it is released or dropped.
pub struct Gate {
    shared: Arc<Shared>,
    number: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle that breaks this store.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults { shared: Arc::clone(&self.shared) }
    }

    /// Cuts the power and starts anew: a store with what was durable and nothing else, free of faults.
    ///
    /// This store takes no more commits, and one that waits at a [`Gate`] fails; what readers see of it stays.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut control = self.shared.control();
        control.refused = Some(StoreError::Poisoned("the power was cut".to_owned()));
        let mut content = self.shared.visible.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, former) in control.undo.iter().chain(control.forgotten.iter().flatten()) {
            match former {
                Some(value) => content.insert(key.clone(), value.clone()),
                None => content.remove(key),
            };
        }
        drop(control);
        self.shared.changed.notify_all();
        Self { shared: Arc::new(Shared { visible: RwLock::new(content), ..Shared::default() }) }
    }
}

impl Store for MemoryStore {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.may_read()?;
        Ok(self.shared.visible.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        Box::new(Pages {
            shared: &self.shared,
            from: from.map(<[u8]>::to_vec),
            to: to.map(<[u8]>::to_vec),
            front: VecDeque::new(),
            back: VecDeque::new(),
            failed: false,
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut control = self.shared.control();
        if let Some(why) = &control.refused {
            return Err(why.clone());
        }
        control.commits += 1;
        control.changes += batch.changes.len() as u64;
        let number = control.commits;
        let failure = control.planned.remove(&number);
        if failure == Some(Failure::BeforeWriting) {
            return Err(control.poison("injected before the write"));
        }

        assert!(control.undo.is_empty(), "the batch before is synced first");
        control.undo = self.shared.show(batch);
        while control.gate.is_some() && control.refused.is_none() {
            control.at_gate = true;
            self.shared.changed.notify_all();
            control = self.shared.changed.wait(control).unwrap_or_else(PoisonError::into_inner);
        }
        control.at_gate = false;
        if let Some(why) = &control.refused {
            return Err(why.clone()); // The power was cut meanwhile.
        }
        if failure == Some(Failure::AfterWriting) {
            return Err(control.poison("injected after the write"));
        }
        if !control.sync_by_hand || failure.is_some() {
            control.sync();
        }
        if failure == Some(Failure::AfterSync) {
            return Err(control.poison("injected after the sync"));
        }
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        let visible = self.shared.visible.read().unwrap_or_else(PoisonError::into_inner);
        Ok(visible.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut control = self.shared.control();
        match &control.refused {
            Some(StoreError::Poisoned(why)) => Err(StoreError::Poisoned(why.clone())),
            _ => {
                control.refused = Some(StoreError::Io("the store is closed".to_owned()));
                Ok(())
            }
        }
    }
}

impl Faults {
    /// Makes the next commit fail.
    pub fn fail_next(&self, failure: Failure) {
        self.fail_nth(1, failure);
    }

    /// Makes the `nth` commit from now on fail; 1 is the next.
    pub fn fail_nth(&self, nth: u64, failure: Failure) {
        let mut control = self.shared.control();
        let number = control.commits + nth;
        control.planned.insert(number, failure);
    }

    /// Makes every read fail, or lets reads succeed again.
    pub fn fail_reads(&self, fail: bool) {
        self.shared.control().reads_fail = fail;
    }

    /// Closes the gate: from now on a commit waits after readers can see it and before it is durable.
    #[must_use]
    pub fn hold(&self) -> Gate {
        let mut control = self.shared.control();
        control.gates += 1;
        control.gate = Some(control.gates);
        Gate { shared: Arc::clone(&self.shared), number: control.gates }
    }

    /// From now on a commit returns as soon as readers see it, and is durable once [`Faults::sync`] is called: for a
    /// simulation on one thread, which cannot wait at a [`Gate`].
    pub fn sync_by_hand(&self) {
        self.shared.control().sync_by_hand = true;
    }

    /// Makes what readers see durable.
    pub fn sync(&self) {
        self.shared.control().sync();
    }

    /// From now on a power cut undoes the last batch that was said to be durable: a disk that lies.
    pub fn forget_last(&self) {
        self.shared.control().forgotten.get_or_insert_default();
    }

    /// Commits tried so far, failed ones included: how many syncs a disk would have made.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.control().commits
    }

    /// Keys put or removed by all commits so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.control().changes
    }
}

impl Gate {
    /// Waits until a commit stands at the gate, at most `timeout`. Says whether one does.
    #[must_use]
    pub fn wait_for_commit(&self, timeout: Duration) -> bool {
        let control = self.shared.control();
        let (control, _) = self
            .shared
            .changed
            .wait_timeout_while(control, timeout, |control| !control.at_gate)
            .unwrap_or_else(PoisonError::into_inner);
        control.at_gate
    }

    /// Lets the commit that waits, and those after it, become durable.
    pub fn release(self) {} // Dropping it does.
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut control = self.shared.control();
        if control.gate == Some(self.number) {
            control.gate = None;
        }
        drop(control);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_read(&self) -> Result<(), StoreError> {
        if self.control().reads_fail {
            Err(StoreError::Io("injected while reading".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Lets readers see the batch, all at once, and says how to undo it.
    fn show(&self, batch: Batch) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        let mut undo = Vec::with_capacity(batch.changes.len());
        let mut touched = BTreeSet::new();
        for (key, value) in batch.changes {
            let former = match value {
                Some(value) => visible.insert(key.clone(), value),
                None => visible.remove(&key),
            };
            // Only the first change of a key replaces something that was durable.
            if touched.insert(key.clone()) {
                undo.push((key, former));
            }
        }
        undo
    }
}

impl Control {
    fn sync(&mut self) {
        let durable = std::mem::take(&mut self.undo);
        if let Some(forgotten) = self.forgotten.as_mut().filter(|_| !durable.is_empty()) {
            *forgotten = durable;
        }
    }

    fn poison(&mut self, why: &str) -> StoreError {
        self.refused = Some(StoreError::Poisoned(why.to_owned()));
        StoreError::Io(why.to_owned())
    }
}

/// A range, read a page at a time from both ends so that no lock outlives a call.
struct Pages<'a> {
    shared: &'a Shared,
    /// The bounds of what neither end has read yet.
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    /// Pages read and not yet handed out, both in key order.
    front: VecDeque<Pair>,
    back: VecDeque<Pair>,
    failed: bool,
}

impl Pages<'_> {
    fn read(&mut self, from_back: bool) -> Result<(), StoreError> {
        self.shared.may_read()?;
        if is_empty_range(borrowed(&self.from), borrowed(&self.to)) {
            return Ok(());
        }
        let visible = self.shared.visible.read().unwrap_or_else(PoisonError::into_inner);
        let pairs = visible.range::<[u8], _>((borrowed(&self.from), borrowed(&self.to)));
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if from_back {
            pairs.rev().take(PAGE_PAIRS).map(copy).for_each(|pair| self.back.push_front(pair));
            if let Some((key, _)) = self.back.front() {
                self.to = Bound::Excluded(key.clone());
            }
        } else {
            self.front.extend(pairs.take(PAGE_PAIRS).map(copy));
            if let Some((key, _)) = self.front.back() {
                self.from = Bound::Excluded(key.clone());
            }
        }
        Ok(())
    }

    fn step(&mut self, from_back: bool) -> Option<Result<Pair, StoreError>> {
        if self.failed {
            return None;
        }
        let ready = if from_back { &self.back } else { &self.front };
        if ready.is_empty()
            && let Err(error) = self.read(from_back)
        {
            self.failed = true;
            return Some(Err(error));
        }
        // Once the middle is used up, each end goes on with what the other has read.
        if from_back {
            self.back.pop_back().or_else(|| self.front.pop_back()).map(Ok)
        } else {
            self.front.pop_front().or_else(|| self.back.pop_front()).map(Ok)
        }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl DoubleEndedIterator for Pages<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
