//! The feed: everything that happened, in one order, as groups that became durable together.
//!
//! A group does not hold events. It says which records of which streams it brought, with their hashes, and the
//! hash of the group before it: whoever keeps one hash of the feed elsewhere can later tell that nothing up to
//! there was changed. Records without events have no `seq`; they are listed in the group they came with, and where
//! none of the group had any, there is no group: their own stream's chain covers them.

use std::ops::Bound;

use crate::append::StreamId;
use crate::damage::{Damage, ReadError};
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::store::{Pair, Store, StoreError};
use crate::wire::{Kind, Reader, Writer, sha256};

/// Records that became durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedGroup {
    /// The `seq` of its first event: one more than the last of the group before.
    pub first_seq: u64,
    /// The `seq` of its last event.
    pub last_seq: u64,
    /// Engine time of the commit, in milliseconds since the Unix epoch. Never less than the group's before.
    pub at_ms: u64,
    /// Hash of the group before; zeros for the first.
    pub previous: [u8; 32],
    /// Its records, in the order in which they were taken.
    pub entries: Vec<FeedEntry>,
    /// Its own hash, over its stored bytes.
    pub hash: [u8; 32],
}

/// One record of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its stream.
    pub stream: StreamId,
    /// Its version in that stream.
    pub version: u64,
    /// How many events it holds: they follow the `seq` of the entries before it.
    pub events: u32,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Journal {
    /// The durable groups that hold events with a `seq` above `after_seq`, in order, at most `limit` of them. The
    /// first may also hold events up to `after_seq`.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or a group is damaged.
    pub fn feed(&self, after_seq: u64, limit: usize) -> Result<Vec<FeedGroup>, ReadError> {
        let durable = self.head().seq;
        if after_seq >= durable {
            return Ok(Vec::new());
        }
        // The group that the next event is in may have begun before it.
        let (origin, next) = (keys::feed(0), keys::feed(after_seq + 1));
        let mut before = self.store().range(Bound::Included(&origin), Bound::Included(&next));
        let from = match before.next_back().transpose()? {
            Some((key, _)) => key,
            None => next,
        };
        let to = keys::feed(durable);
        let mut groups = Vec::new();
        for pair in self.store().range(Bound::Included(&from), Bound::Included(&to)) {
            if groups.len() == limit {
                break;
            }
            let group = decode_pair(pair)?;
            if group.last_seq > after_seq {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}

/// The newest group there is.
pub(crate) fn last(store: &dyn Store) -> Result<Option<FeedGroup>, ReadError> {
    let (from, to) = keys::within(&[keys::FEED]);
    let (from, to) = keys::half_open(&from, &to);
    store.range(from, to).next_back().map(decode_pair).transpose()
}

impl FeedGroup {
    /// The bytes to store; their hash becomes the group's.
    pub(crate) fn encode(&mut self) -> Vec<u8> {
        let mut writer = Writer::new(Kind::FeedGroup);
        writer.number(self.first_seq);
        writer.number(self.at_ms);
        writer.raw(&self.previous);
        writer.number(self.entries.len() as u64);
        for entry in &self.entries {
            writer.stream(&entry.stream);
            writer.number(entry.version);
            writer.number(u64::from(entry.events));
            writer.raw(&entry.hash);
        }
        let bytes = writer.seal();
        self.hash = sha256(&bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<FeedGroup, EnvelopeError> {
        let mut reader = Reader::open(Kind::FeedGroup, bytes)?;
        let first_seq = reader.number()?;
        let at_ms = reader.number()?;
        let previous = reader.array()?;
        let entries = reader.list(|reader| {
            let stream = reader.stream()?;
            Ok(FeedEntry {
                stream,
                version: reader.number()?,
                events: reader.small()?,
                hash: reader.array()?,
            })
        })?;
        reader.end()?;
        let events: u64 = entries.iter().map(|entry| u64::from(entry.events)).sum();
        let last_seq = first_seq
            .checked_add(events)
            .and_then(|after| after.checked_sub(1))
            .filter(|last| *last >= first_seq)
            .ok_or(EnvelopeError::Malformed("a group without events"))?;
        Ok(FeedGroup { first_seq, last_seq, at_ms, previous, entries, hash: sha256(bytes) })
    }
}

/// A group, checked against the key it stands under.
pub(crate) fn decode_pair(pair: Result<Pair, StoreError>) -> Result<FeedGroup, ReadError> {
    let (key, value) = pair?;
    let group = FeedGroup::decode(&value).map_err(|error| match keys::read_feed(&key) {
        Some(first_seq) => Damage::to_group(first_seq, error),
        None => Damage::at(&key, "not a feed group's key"),
    })?;
    if key != keys::feed(group.first_seq) {
        return Err(Damage::to_group(group.first_seq, "it stands in another's place").into());
    }
    Ok(group)
}
