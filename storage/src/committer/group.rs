//! One group on its way to the store: appends are checked in order of arrival, each against the store as it will
//! be once those before it are written.

use std::collections::BTreeMap;

use super::versions::Versions;
use crate::append::{ClaimChange, CommitError, Committed};
use crate::claims;
use crate::feed::{FeedEntry, FeedGroup};
use crate::keys;
use crate::prepared::{Prepared, PreparedClaim, PreparedRecord, claim_value};
use crate::store::{Batch, Store, StoreError};
use crate::streams;
use crate::wire;

/// The version of the layout of keys and values, written with the first commit.
pub(crate) const LAYOUT: u64 = 1;
pub(crate) const LAYOUT_MARK: &str = "layout";

/// Up to which number the inbox may count before the mark is moved again. It is moved by blocks, so that it costs
/// a key once in many entries; after a restart the rest of a block is left out.
pub(crate) const INBOX_MARK: &str = "inbox";
const INBOX_BLOCK: u64 = 4096;

/// What carries over from group to group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// The `seq` of the last event.
    pub(crate) seq: u64,
    /// Hash of the last feed group.
    pub(crate) hash: [u8; 32],
    /// Engine time of the last feed group.
    pub(crate) at_ms: u64,
    /// The last number given in the inbox.
    pub(crate) inbox: u64,
    /// Numbers up to here may be given without moving the mark.
    pub(crate) inbox_reserved: u64,
    /// Entries in the inbox.
    pub(crate) inbox_pending: u64,
    /// Timers ever armed since the journal was opened.
    pub(crate) timers: u64,
    /// Activities that ever became pending since the journal was opened.
    pub(crate) activities: u64,
    /// Whether the store says which layout it has.
    pub(crate) marked: bool,
}

/// What one append does to keys, while it is being checked.
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// A group that is being gathered.
pub(crate) struct Group<'a> {
    store: &'a dyn Store,
    versions: &'a mut Versions,
    /// Which group this is, of those handed to the store since the journal was opened.
    number: u64,
    counters: Counters,
    first_seq: u64,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    entries: Vec<FeedEntry>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(
        store: &'a dyn Store,
        versions: &'a mut Versions,
        number: u64,
        counters: Counters,
    ) -> Group<'a> {
        let first_seq = counters.seq + 1;
        Group { store, versions, number, counters, first_seq, changes: BTreeMap::new(), entries: Vec::new() }
    }

    /// Takes an append into the group, or says why not; then it leaves no trace in it. The answer holds once the
    /// group is durable.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read: nothing can be promised then.
    pub(crate) fn take(&mut self, prepared: Prepared) -> Result<Result<Committed, CommitError>, StoreError> {
        let mut own = Changes::new();
        // What is owed comes first: whoever comes twice hears that it is done, rather than to decide again.
        for key in prepared.consume {
            if self.get(&own, &key)?.is_none() {
                return Ok(Err(CommitError::AlreadyDone));
            }
            own.push((key, None));
        }
        if let Some(record) = &prepared.record {
            let (expected, actual) = (record.expected_version, self.version(record)?);
            if expected != actual {
                return Ok(Err(CommitError::Conflict { expected, actual }));
            }
        }
        for (index, claim) in prepared.claims.into_iter().enumerate() {
            if let Some(owner) = self.claim(&mut own, claim)? {
                return Ok(Err(CommitError::ClaimTaken { index, owner }));
            }
        }
        // Deleting costs as much as writing, so what is not there is not deleted.
        for key in prepared.disarm {
            if self.get(&own, &key)?.is_some() {
                own.push((key, None));
            }
        }

        // From here on nothing is refused.
        own.extend(prepared.changes);
        self.counters.timers += prepared.timers;
        self.counters.activities += prepared.activities;
        for (key, value) in own {
            self.change(key, value);
        }
        let inbox = prepared.inbox.into_iter().map(|value| self.enter(value)).collect();
        let version = prepared.record.map_or(0, |record| self.append(record));
        Ok(Ok(Committed { version, seq: self.counters.seq, inbox }))
    }

    /// The whole group as one batch, none if there is nothing to write, and the counters once it is durable.
    pub(crate) fn finish(mut self, now_ms: u64) -> (Option<Batch>, Counters) {
        if self.changes.is_empty() {
            return (None, self.counters);
        }
        if !self.counters.marked {
            self.change(keys::mark(LAYOUT_MARK), Some(wire::seal_number(LAYOUT)));
            self.counters.marked = true;
        }
        if self.counters.seq >= self.first_seq {
            let mut group = FeedGroup {
                first_seq: self.first_seq,
                last_seq: self.counters.seq,
                at_ms: now_ms.max(self.counters.at_ms),
                previous: self.counters.hash,
                entries: std::mem::take(&mut self.entries),
                hash: [0; 32],
            };
            let bytes = group.encode();
            self.change(keys::feed(group.first_seq), Some(bytes));
            self.counters.hash = group.hash;
            self.counters.at_ms = group.at_ms;
        }
        (Some(Batch { changes: self.changes.into_iter().collect() }), self.counters)
    }

    /// What a key holds once the append's own changes and the group's are written.
    fn get(&self, own: &Changes, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some((_, value)) = own.iter().rev().find(|(changed, _)| changed == key) {
            return Ok(value.clone());
        }
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        }
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if key.first() == Some(&keys::INBOX) {
            match value {
                Some(_) => self.counters.inbox_pending += 1,
                None => self.counters.inbox_pending = self.counters.inbox_pending.saturating_sub(1),
            }
        }
        self.changes.insert(key, value);
    }

    /// Where the stream of a record is, this group included.
    fn version(&mut self, record: &PreparedRecord) -> Result<u64, StoreError> {
        if let Some(version) = self.versions.get(&record.prefix) {
            return Ok(version);
        }
        // To find the end of a stream costs as much as to write a record. Its author has just done so, mostly.
        let version = match record.read_after {
            Some(groups) if self.versions.unchanged_since(groups) => record.expected_version,
            _ => streams::last_version(self.store, &record.prefix)?,
        };
        self.versions.found(record.prefix.clone(), version);
        Ok(version)
    }

    /// Does what is asked with a claim, or names the owner that stands against it.
    fn claim(&self, own: &mut Changes, claim: PreparedClaim) -> Result<Option<Vec<u8>>, StoreError> {
        let PreparedClaim { key, elsewhere, change } = claim;
        let mut found = Vec::new();
        for place in keys::claim_places(&key, &elsewhere) {
            found.extend(self.owner(own, place)?.map(|owner| (place.to_vec(), owner)));
        }
        // A later week's hides those before it.
        let held = found.first().map(|(_, owner)| owner);
        let new = match (change, held) {
            (ClaimChange::Take { owner }, Some(held)) if *held == owner => return Ok(None),
            (ClaimChange::TakeFrom { owner, .. }, Some(held)) if *held == owner => return Ok(None),
            (ClaimChange::TakeFrom { owner, former }, Some(held)) if *held == former => owner,
            (ClaimChange::Release { owner }, Some(held)) if *held == owner => {
                own.extend(found.into_iter().map(|(place, _)| (place, None)));
                return Ok(None);
            }
            (ClaimChange::Release { .. }, _) | (ClaimChange::TakeIfFree { .. }, Some(_)) => return Ok(None),
            (
                ClaimChange::Take { owner }
                | ClaimChange::TakeFrom { owner, .. }
                | ClaimChange::TakeIfFree { owner }
                | ClaimChange::TakeOnce { owner },
                None,
            ) => owner,
            (_, Some(held)) => return Ok(Some(held.clone())),
        };
        // Written under an earlier week than the one it was found in, it would be hidden.
        let newest = found.into_iter().next().map(|(place, _)| place);
        own.push((newest.filter(|place| *place > key).unwrap_or(key), Some(claim_value(&new))));
        Ok(None)
    }

    fn owner(&self, own: &Changes, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(own, key)?.map(|value| claims::decode_or_fail(key, &value)).transpose()
    }

    /// Gives an inbox entry its number.
    fn enter(&mut self, value: Vec<u8>) -> u64 {
        self.counters.inbox += 1;
        if self.counters.inbox > self.counters.inbox_reserved {
            self.counters.inbox_reserved = self.counters.inbox + INBOX_BLOCK - 1;
            self.change(keys::mark(INBOX_MARK), Some(wire::seal_number(self.counters.inbox_reserved)));
        }
        self.change(keys::inbox(self.counters.inbox), Some(value));
        self.counters.inbox
    }

    /// Gives a record its version and its place in the feed.
    fn append(&mut self, record: PreparedRecord) -> u64 {
        let PreparedRecord { stream, prefix, expected_version, events, hash, mut value, .. } = record;
        let version = expected_version + 1;
        let key = keys::record(&stream, version);
        streams::place(&mut value, &key, self.counters.seq + 1);
        self.counters.seq += u64::from(events);
        self.change(key, Some(value));
        self.entries.push(FeedEntry { stream, version, events, hash });
        self.versions.changed(prefix, version, self.number);
        version
    }
}
