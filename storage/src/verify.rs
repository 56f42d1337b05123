//! What an operator can trust: every checksum, and both chains of hashes.
//!
//! A stream's chain shows that no record of it was changed, removed or moved, except its last ones; the feed's
//! chain shows those too, and its head stands for everything. Someone with the disk can forge both from the first
//! change on: that is why the head is worth keeping elsewhere.

mod whole;

use std::ops::Bound;

pub use self::whole::{Figures, Verified, Wanted, verify};

use crate::append::StreamId;
use crate::damage::{Damage, Place, ReadError};
use crate::envelope::Record;
use crate::feed::{FeedEntry, FeedGroup, decode_pair};
use crate::journal::{Head, Journal};
use crate::keys;
use crate::store::Store;
use crate::streams::{self, StoredRecord};

/// Damages reported of one stream or the feed; the first tell where to look, and more would only fill memory.
const DAMAGES_MAX: usize = 100;

/// A stream that is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStream {
    /// Its records, and so its version.
    pub records: u64,
    /// Their events.
    pub events: u64,
    /// Hash of its last record; zeros for a stream without any.
    pub head: [u8; 32],
}

/// A feed that is as it was written, up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFeed {
    /// Its groups.
    pub groups: u64,
    /// The records in them.
    pub records: u64,
    /// Where it ends: the `seq` is the number of its events.
    pub head: Head,
}

impl Journal {
    /// Reads a whole stream and checks every record's checksum, its place and its link to the one before.
    ///
    /// # Errors
    /// What is damaged, the first hundred of it, each naming the stream and the version.
    pub fn verify_stream(&self, stream: &StreamId) -> Result<VerifiedStream, Vec<Damage>> {
        let mut chain = Chain::new(stream.clone());
        let mut damages = Vec::new();
        for stored in self.records(stream, ..) {
            chain.take(stored, &mut |damage| damages.push(damage));
            if damages.len() >= DAMAGES_MAX {
                break;
            }
        }
        if damages.is_empty() { Ok(chain.verified) } else { Err(damages) }
    }

    /// Reads the whole durable feed and checks every group's checksum, its link to the one before, and that every
    /// record it lists is there with the hash and the `seq` it lists.
    ///
    /// # Errors
    /// What is damaged, the first hundred of it, each naming the group or the record.
    pub fn verify_feed(&self) -> Result<VerifiedFeed, Vec<Damage>> {
        let durable = self.head();
        let mut walk = Walk::new(self.store());
        let mut damages = Vec::new();
        let (from, to) = (keys::feed(0), keys::feed(durable.seq));
        for pair in self.store().range(Bound::Included(&from), Bound::Included(&to)) {
            walk.take(decode_pair(pair), &mut |damage| damages.push(damage));
            if damages.len() >= DAMAGES_MAX {
                break;
            }
        }
        if damages.is_empty() && walk.feed.head != durable {
            damages.push(Damage::to_group(durable.seq, "the feed ends before it"));
        }
        if damages.is_empty() { Ok(walk.feed) } else { Err(damages) }
    }
}

/// How far a walk along a stream has come.
struct Chain {
    stream: StreamId,
    verified: VerifiedStream,
    expected: u64,
    /// Unknown after a damaged record: its successor cannot be held against it.
    previous: Option<[u8; 32]>,
    next_seq: u64,
}

impl Chain {
    fn new(stream: StreamId) -> Chain {
        let verified = VerifiedStream { records: 0, events: 0, head: [0; 32] };
        Chain { stream, verified, expected: 1, previous: Some([0; 32]), next_seq: 0 }
    }

    /// Takes the next record, and gives it back if it can be read.
    fn take(
        &mut self,
        stored: Result<StoredRecord, ReadError>,
        damages: &mut dyn FnMut(Damage),
    ) -> Option<Record> {
        let stream = self.stream.clone();
        let here = |version| Place::Record { stream: stream.clone(), version };
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let damage = error.into_damage(here(self.expected));
                // The record's own version, where the damage tells it.
                if let Place::Record { version, .. } = damage.place {
                    self.expected = version.saturating_add(1);
                }
                damages(damage);
                self.previous = None;
                return None;
            }
        };
        let mut damaged = |reason: &str| damages(Damage::to_record(&stream, stored.version, reason));
        if stored.version != self.expected {
            damaged(&format!("record {} was expected here", self.expected));
        }
        if stored.first_seq < self.next_seq {
            damaged("its seq is not after that of the record before");
        }
        self.expected = stored.version.saturating_add(1);
        let record = match stored.decode() {
            Ok(record) => record,
            Err(error) => {
                damages(error.into_damage(here(stored.version)));
                self.previous = None;
                return None;
            }
        };
        if self.previous.is_some_and(|hash| hash != record.previous) {
            damaged("it does not follow the record before it: the hashes differ");
        }
        self.verified.records += 1;
        self.verified.events += record.events.len() as u64;
        self.next_seq = stored.first_seq.saturating_add(record.events.len() as u64);
        self.previous = Some(stored.hash);
        self.verified.head = stored.hash;
        Some(record)
    }
}

/// How far a walk through the feed has come.
struct Walk<'a> {
    store: &'a dyn Store,
    feed: VerifiedFeed,
    /// Records with events that were listed.
    eventful: u64,
}

impl Walk<'_> {
    fn new(store: &dyn Store) -> Walk<'_> {
        let feed = VerifiedFeed { groups: 0, records: 0, head: Head::default() };
        Walk { store, feed, eventful: 0 }
    }

    /// Takes the next group.
    fn take(&mut self, group: Result<FeedGroup, ReadError>, damages: &mut dyn FnMut(Damage)) {
        match group {
            Ok(group) => self.group(group, damages),
            Err(error) => {
                let place = Place::FeedGroup { first_seq: self.feed.head.seq + 1 };
                damages(error.into_damage(place));
            }
        }
    }

    fn group(&mut self, group: FeedGroup, damages: &mut dyn FnMut(Damage)) {
        let head = &self.feed.head;
        if group.first_seq != head.seq + 1 {
            let reason = format!("a group that begins at seq {} was expected", head.seq + 1);
            damages(Damage::to_group(group.first_seq, reason));
        }
        if group.previous != head.hash {
            let reason = "it does not follow the group before it: the hashes differ";
            damages(Damage::to_group(group.first_seq, reason));
        }
        let mut seq = group.first_seq;
        for entry in &group.entries {
            if let Err(damage) = self.entry(entry, seq) {
                damages(damage);
            }
            self.eventful += u64::from(entry.events > 0);
            seq = seq.saturating_add(u64::from(entry.events));
        }
        self.feed.groups += 1;
        self.feed.records += group.entries.len() as u64;
        self.feed.head = Head { seq: group.last_seq, hash: group.hash, at_ms: group.at_ms };
    }

    fn entry(&self, entry: &FeedEntry, seq: u64) -> Result<(), Damage> {
        let FeedEntry { stream, version, events, hash } = entry;
        let damaged = |reason: &str| Damage::to_record(stream, *version, reason);
        let here = || Place::Record { stream: stream.clone(), version: *version };
        let stored =
            streams::read(self.store, stream, *version).map_err(|error| error.into_damage(here()))?;
        let stored = stored.ok_or_else(|| damaged("it is missing"))?;
        if stored.hash != *hash {
            return Err(damaged("it is not the record that was committed: the hashes differ"));
        }
        if stored.first_seq != seq {
            return Err(damaged("its seq is not the one it was given"));
        }
        let record = stored.decode().map_err(|error| error.into_damage(here()))?;
        if record.events.len() as u64 != u64::from(*events) {
            return Err(damaged("it does not hold as many events as it was committed with"));
        }
        Ok(())
    }
}
