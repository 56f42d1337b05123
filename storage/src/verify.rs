//! What an operator can trust: every checksum, and both chains of hashes.
//!
//! A stream's chain shows that no record of it was changed, removed or moved, except its last ones; the feed's
//! chain shows those too, and its head stands for everything. Someone with the disk can forge both from the first
//! change on: that is why the head is worth keeping elsewhere.

use std::ops::Bound;

use crate::append::StreamId;
use crate::damage::{Damage, Place, ReadError};
use crate::feed::{FeedEntry, FeedGroup, decode_pair};
use crate::journal::{Head, Journal};
use crate::keys;

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
        let mut damages = Vec::new();
        let mut verified = VerifiedStream { records: 0, events: 0, head: [0; 32] };
        let mut expected = 1;
        // Unknown after a damaged record: its successor cannot be held against it.
        let mut previous = Some([0; 32]);
        let mut next_seq = 0;
        for stored in self.records(stream, ..) {
            let here = |version| Place::Record { stream: stream.clone(), version };
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    let damage = error.into_damage(here(expected));
                    // The record's own version, where the damage tells it.
                    if let Place::Record { version, .. } = damage.place {
                        expected = version.saturating_add(1);
                    }
                    damages.push(damage);
                    previous = None;
                    continue;
                }
            };
            let mut damaged = |reason: &str| damages.push(Damage::to_record(stream, stored.version, reason));
            if stored.version != expected {
                damaged(&format!("record {expected} was expected here"));
            }
            if stored.first_seq < next_seq {
                damaged("its seq is not after that of the record before");
            }
            expected = stored.version.saturating_add(1);
            match stored.decode() {
                Ok(record) => {
                    if previous.is_some_and(|hash| hash != record.previous) {
                        damaged("it does not follow the record before it: the hashes differ");
                    }
                    verified.records += 1;
                    verified.events += record.events.len() as u64;
                    next_seq = stored.first_seq.saturating_add(record.events.len() as u64);
                    previous = Some(stored.hash);
                    verified.head = stored.hash;
                }
                Err(error) => {
                    damages.push(error.into_damage(here(stored.version)));
                    previous = None;
                }
            }
            if damages.len() >= DAMAGES_MAX {
                break;
            }
        }
        if damages.is_empty() { Ok(verified) } else { Err(damages) }
    }

    /// Reads the whole durable feed and checks every group's checksum, its link to the one before, and that every
    /// record it lists is there with the hash and the `seq` it lists.
    ///
    /// # Errors
    /// What is damaged, the first hundred of it, each naming the group or the record.
    pub fn verify_feed(&self) -> Result<VerifiedFeed, Vec<Damage>> {
        let durable = self.head();
        let mut walk =
            Walk { journal: self, groups: 0, records: 0, head: Head::default(), damages: Vec::new() };
        let (from, to) = (keys::feed(0), keys::feed(durable.seq));
        for pair in self.store().range(Bound::Included(&from), Bound::Included(&to)) {
            match decode_pair(pair) {
                Ok(group) => walk.group(group),
                Err(error) => {
                    let place = Place::FeedGroup { first_seq: walk.head.seq + 1 };
                    walk.damages.push(error.into_damage(place));
                }
            }
            if walk.damages.len() >= DAMAGES_MAX {
                break;
            }
        }
        if walk.damages.is_empty() && walk.head != durable {
            walk.damages.push(Damage::to_group(durable.seq, "the feed ends before it"));
        }
        let Walk { groups, records, head, damages, .. } = walk;
        if damages.is_empty() { Ok(VerifiedFeed { groups, records, head }) } else { Err(damages) }
    }
}

/// How far a walk through the feed has come.
struct Walk<'a> {
    journal: &'a Journal,
    groups: u64,
    records: u64,
    head: Head,
    damages: Vec<Damage>,
}

impl Walk<'_> {
    fn group(&mut self, group: FeedGroup) {
        if group.first_seq != self.head.seq + 1 {
            let reason = format!("a group that begins at seq {} was expected", self.head.seq + 1);
            self.damages.push(Damage::to_group(group.first_seq, reason));
        }
        if group.previous != self.head.hash {
            let reason = "it does not follow the group before it: the hashes differ";
            self.damages.push(Damage::to_group(group.first_seq, reason));
        }
        let mut seq = group.first_seq;
        for entry in &group.entries {
            if let Err(damage) = self.entry(entry, seq) {
                self.damages.push(damage);
            }
            seq = seq.saturating_add(u64::from(entry.events));
        }
        self.groups += 1;
        self.records += group.entries.len() as u64;
        self.head = Head { seq: group.last_seq, hash: group.hash, at_ms: group.at_ms };
    }

    fn entry(&self, entry: &FeedEntry, seq: u64) -> Result<(), Damage> {
        let FeedEntry { stream, version, events, hash } = entry;
        let damaged = |reason: &str| Damage::to_record(stream, *version, reason);
        let here = || Place::Record { stream: stream.clone(), version: *version };
        let stored =
            self.journal.record(stream, *version).map_err(|error: ReadError| error.into_damage(here()))?;
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
