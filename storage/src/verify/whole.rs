//! The whole store, key by key: does everything in it say what it is, and does it fit together?
//!
//! Every value is read as what its key says it is. Every stream's chain and the feed's are walked. Beyond that:
//! a record with events is in the feed, a pending activity is asked for by its record, the timers
//! of a stream's last record can be found by their moment, a row of a view and the pointer to it agree. Nothing ends the walk:
//! what cannot be read is noted, and what stands behind it is looked at.
//!
//! It reads a store and no journal, so that one whose journal does not open can be looked through too.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use super::{Chain, Walk};
use crate::append::{StreamId, TimerKey};
use crate::damage::{Damage, Place, ReadError};
use crate::envelope::{EnvelopeError, Record, Snapshot, indexed};
use crate::feed::{self, FeedGroup};
use crate::journal::Head;
use crate::keys;
use crate::projections::{INDEX, OWNED, POINTER};
use crate::store::{Pair, Store};
use crate::streams;
use crate::{activities, claims, dead_letters, inbox, timers, wire};

/// Damages that are kept; more are only counted.
const KEPT_MAX: usize = 1000;

/// What is looked for beyond damage.
#[derive(Default)]
pub struct Wanted<'a> {
    /// The hash of a feed's head that was kept elsewhere: the feed must have passed through it.
    pub expect: Option<[u8; 32]>,
    /// Whether there is a blob of a name.
    pub has_blob: Option<&'a dyn Fn(&str) -> bool>,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// How much there is in each part of the keyspace.
    pub parts: BTreeMap<&'static str, Figures>,
    /// Streams.
    pub streams: u64,
    /// Records that can be read.
    pub records: u64,
    /// Their events.
    pub events: u64,
    /// Groups of the feed that can be read.
    pub groups: u64,
    /// Where the feed ends.
    pub head: Head,
    /// At which `seq` the feed passed through the hash that was expected.
    pub expected_at: Option<u64>,
    /// What is damaged, the first thousand of it.
    pub damages: Vec<Damage>,
    /// How much is damaged.
    pub damaged: u64,
}

impl Verified {
    /// Notes something that is damaged.
    pub fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damages.len() < KEPT_MAX {
            self.damages.push(damage);
        }
    }
}

/// Looks through a whole store that nobody writes to. `progress` is told how many keys have been seen.
pub fn verify(store: &dyn Store, wanted: &Wanted<'_>, progress: &mut dyn FnMut(u64)) -> Verified {
    let mut look = Look {
        store,
        wanted,
        found: Verified::default(),
        seen: 0,
        progress,
        chain: None,
        last: None,
        eventful: 0,
        listed: None,
        not_found: HashSet::new(),
    };
    let mut gap_from = Vec::new();
    for (part, name) in keys::PARTS {
        look.gap(&gap_from, &[*part]);
        look.found.parts.insert(name, Figures::default());
        match *part {
            keys::FEED => look.feed(),
            part => look.part(part, name),
        }
        gap_from = keys::after_prefix(vec![*part]);
    }
    look.gap(&gap_from, &[]);
    look.timers_against_records();
    look.records_against_feed();
    if look.wanted.expect.is_some() && look.found.expected_at.is_none() {
        let reason = "the feed never passed through the hash that was expected";
        look.found.note(Damage::to_group(look.found.head.seq, reason));
    }
    look.found
}

struct Look<'a> {
    store: &'a dyn Store,
    wanted: &'a Wanted<'a>,
    found: Verified,
    seen: u64,
    progress: &'a mut dyn FnMut(u64),
    /// The stream that is being walked, and its last record.
    chain: Option<Chain>,
    last: Option<Record>,
    /// Records with events.
    eventful: u64,
    /// How many of them the feed lists; none where a part of it cannot be read.
    listed: Option<u64>,
    /// Timers that must be found by their moment and are not where they were put; one that was stuck has been moved.
    not_found: HashSet<(StreamId, String, u64)>,
}

impl Look<'_> {
    /// Nothing stands between two parts.
    fn gap(&mut self, from: &[u8], to: &[u8]) {
        let to = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        for pair in self.store.range(Bound::Included(from), to) {
            match pair {
                Ok((key, _)) => self.found.note(Damage::at(&key, "a key in no part of the keyspace")),
                Err(error) => {
                    self.found.note(Damage::at(from, error));
                    return;
                }
            }
        }
    }

    fn part(&mut self, part: u8, name: &'static str) {
        let (from, to) = keys::within(&[part]);
        let (from, to) = keys::half_open(&from, &to);
        let mut last = vec![part];
        for pair in self.store.range(from, to) {
            match pair {
                Ok(pair) => {
                    last.clone_from(&pair.0);
                    self.see(name, &pair);
                    if let Err(error) = self.pair(part, pair) {
                        self.found.note(error.into_damage(Place::Key(last.clone())));
                    }
                }
                // What stands behind it in this part cannot be reached; the other parts can.
                Err(error) => {
                    let reason = format!("what follows in this part cannot be read: {error}");
                    self.found.note(Damage::at(&last, reason));
                    break;
                }
            }
        }
        if part == keys::RECORDS {
            self.end_of_stream();
        }
    }

    fn see(&mut self, name: &'static str, (key, value): &Pair) {
        let part = self.found.parts.entry(name).or_default();
        part.keys += 1;
        part.bytes += (key.len() + value.len()) as u64;
        self.seen += 1;
        if self.seen.is_multiple_of(1024) {
            (self.progress)(self.seen);
        }
    }

    fn pair(&mut self, part: u8, (key, value): Pair) -> Result<(), ReadError> {
        let undecodable = |error: EnvelopeError| ReadError::undecodable(&key, error);
        let strange = |what: &str| Damage::at(&key, format!("not the key of {what}"));
        match part {
            keys::RECORDS => return self.record((key, value)),
            keys::ACTIVITIES => {
                let activity = keys::read_activity(&key).ok_or_else(|| strange("an activity"))?;
                let activity = activities::decode(activity, &value).map_err(undecodable)?;
                self.asked_for(&key, &activity.key.stream, activity.key.version, activity.key.index)?;
            }
            keys::BLOBS => {
                let name = std::str::from_utf8(&key[1..]).map_err(|_| strange("a blob"))?;
                if self.wanted.has_blob.is_some_and(|has_blob| !has_blob(name)) {
                    return Err(Damage::at(&key, "the blob is named and is not there").into());
                }
            }
            keys::CLAIMS | keys::PERIODIC_CLAIMS => {
                claims::decode(&value).map_err(undecodable)?;
            }
            keys::DEAD_LETTERS => {
                let letter = dead_letters::decode(&value).map_err(undecodable)?;
                if key != keys::dead_letter(letter.id) {
                    return Err(Damage::at(&key, "another letter stands in its place").into());
                }
            }
            keys::SETTINGS => {
                let name = keys::read_name(&key).ok_or_else(|| strange("a setting"))?;
                // The others are in their authors' encoding.
                if name.starts_with("view/") {
                    wire::open_number(&value).map_err(undecodable)?;
                }
            }
            keys::HOLDS => {
                let lane = keys::read_hold(&key).ok_or_else(|| strange("a held lane"))?;
                activities::decode_hold(lane, &value).map_err(undecodable)?;
            }
            keys::INBOX => {
                let number = keys::read_inbox(&key).ok_or_else(|| strange("an inbox entry"))?;
                inbox::decode(number, &value).map_err(undecodable)?;
            }
            keys::MARKS => {
                wire::open_number(&value).map_err(undecodable)?;
            }
            keys::ROWS => self.row(&key, &value)?,
            keys::SNAPSHOTS => {
                let stream = keys::read_snapshot(&key).ok_or_else(|| strange("a snapshot"))?;
                let snapshot = Snapshot::decode(&value).map_err(undecodable)?;
                self.snapshot(&key, &stream, &snapshot)?;
            }
            _ => {
                let timer = keys::read_timer(&key).ok_or_else(|| strange("a timer"))?;
                let timer = timers::decode(timer, &value).map_err(undecodable)?;
                let TimerKey { stream, name, .. } = timer.key;
                self.not_found.remove(&(stream, name, timer.due_ms));
            }
        }
        Ok(())
    }

    /// The next record of this or the next stream.
    fn record(&mut self, (key, value): Pair) -> Result<(), ReadError> {
        let Some((stream, _)) = keys::read_record(&key) else {
            return Err(Damage::at(&key, "not the key of a record").into());
        };
        if self.chain.as_ref().is_none_or(|chain| chain.stream != stream) {
            self.end_of_stream();
            self.chain = Some(Chain::new(stream.clone()));
        }
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let found = &mut self.found;
        self.last = chain.take(streams::stored(&stream, (key, value)), &mut |damage| found.note(damage));
        if self.last.as_ref().is_some_and(|record| !record.events.is_empty()) {
            self.eventful += 1;
        }
        Ok(())
    }

    /// What the last record of a stream says must fire next must be found by its moment.
    fn end_of_stream(&mut self) {
        let Some(chain) = self.chain.take() else { return };
        self.found.streams += 1;
        self.found.records += chain.verified.records;
        self.found.events += chain.verified.events;
        // Where the last record cannot be read, its timers cannot be held against anything.
        let Some(last) = self.last.take() else { return };
        for armed in indexed(&last.armed, last.at_ms) {
            let stream = chain.stream.clone();
            let key = TimerKey { fire_at_ms: armed.due_ms, stream, name: armed.name.clone() };
            match self.store.get(&keys::timer(&key)) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.not_found.insert((key.stream, key.name, armed.due_ms));
                }
                Err(error) => self.found.note(Damage::at(&keys::timer(&key), error)),
            }
        }
    }

    /// Timers that must be found by their moment and cannot. One too many is no damage: it fires and is dropped.
    fn timers_against_records(&mut self) {
        for (stream, name, due_ms) in std::mem::take(&mut self.not_found) {
            let reason = format!("the timer {name} for {due_ms} must fire next, and nothing would fire it");
            let version = streams::last_version(self.store, &keys::records(&stream)).unwrap_or(0);
            self.found.note(Damage::to_record(&stream, version, reason));
        }
    }

    /// That the record which asked for an activity is there, and asked.
    fn asked_for(&self, key: &[u8], stream: &StreamId, version: u64, index: u32) -> Result<(), ReadError> {
        if version == 0 {
            return Ok(()); // Nobody's: what it asks for stands in itself.
        }
        let record = streams::read(self.store, stream, version)?;
        let record =
            record.ok_or_else(|| Damage::at(key, format!("record {version} of its entity is missing")))?;
        // Should the record be damaged, its own stream's walk says so.
        match record.decode() {
            Ok(record) if record.activities.len() <= index as usize => {
                Err(Damage::at(key, format!("record {version} of its entity does not ask for it")).into())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// That a snapshot is its stream's, and of a record that is there.
    fn snapshot(&self, key: &[u8], stream: &StreamId, snapshot: &Snapshot) -> Result<(), ReadError> {
        if snapshot.stream != *stream {
            return Err(Damage::at(key, "it is another stream's").into());
        }
        match streams::read(self.store, stream, snapshot.version) {
            Ok(Some(record)) if record.hash == snapshot.head => Ok(()),
            Ok(Some(_)) => Err(Damage::at(key, "it was taken of another history: the hashes differ").into()),
            Ok(None) => {
                Err(Damage::at(key, format!("record {} of its entity is missing", snapshot.version)).into())
            }
            Err(_) => Ok(()), // Its own stream's walk says so.
        }
    }

    /// That a row and the pointer to it agree.
    fn row(&self, key: &[u8], value: &[u8]) -> Result<(), ReadError> {
        let damaged = |reason: &str| ReadError::from(Damage::at(key, reason));
        let (view, rest) = keys::read_row(key).ok_or_else(|| damaged("not the key of a row"))?;
        match rest.split_first() {
            Some((&POINTER, entity)) if entity.len() == 16 => {
                let order: [u8; 8] = value.try_into().map_err(|_| damaged("a pointer is 8 bytes"))?;
                let order = !u64::from_be_bytes(order);
                let row = [view, &[INDEX], &order.to_be_bytes(), entity].concat();
                match self.store.get(&row)? {
                    Some(_) => Ok(()),
                    None => Err(damaged("it points to a row that is not there")),
                }
            }
            Some((&INDEX, place)) if place.len() == 8 + 16 => {
                let (order, entity) = place.split_at(8);
                let pointer = self.store.get(&[view, &[POINTER], entity].concat())?;
                let order: Vec<u8> = order.iter().map(|byte| !byte).collect();
                if pointer == Some(order) { Ok(()) } else { Err(damaged("nothing points to this row")) }
            }
            Some((&OWNED, place)) if place.len() == 16 + 16 => {
                let entity = &place[16..];
                match self.store.get(&[view, &[POINTER], entity].concat())? {
                    Some(_) => Ok(()),
                    None => Err(damaged("it says whose a row is that is not there")),
                }
            }
            _ => Err(damaged("not the key of a row")),
        }
    }

    fn feed(&mut self) {
        let (from, to) = keys::within(&[keys::FEED]);
        let (from, to) = keys::half_open(&from, &to);
        let mut walk = Walk::new(self.store);
        let mut readable = true;
        for pair in self.store.range(from, to) {
            if let Ok(pair) = &pair {
                self.see("feed", pair);
            }
            let reached = pair.is_ok();
            let group = feed::decode_pair(pair);
            if let Ok(FeedGroup { hash, last_seq, .. }) = &group
                && self.wanted.expect == Some(*hash)
            {
                self.found.expected_at = Some(*last_seq);
            }
            readable &= group.is_ok();
            let found = &mut self.found;
            walk.take(group, &mut |damage| found.note(damage));
            if !reached {
                break;
            }
        }
        self.found.groups = walk.feed.groups;
        self.listed = readable.then_some(walk.eventful);
        self.found.head = walk.feed.head;
    }

    /// Every record with events is in the feed: where it lists fewer than there are, the others are named.
    fn records_against_feed(&mut self) {
        if self.listed.is_none_or(|listed| listed >= self.eventful) {
            return;
        }
        let (from, to) = keys::within(&[keys::RECORDS]);
        let (from, to) = keys::half_open(&from, &to);
        for (key, value) in self.store.range(from, to).filter_map(Result::ok) {
            let Some((stream, version)) = keys::read_record(&key) else { continue };
            let Ok(stored) = streams::stored(&stream, (key, value)) else { continue };
            let has_events = stored.decode().is_ok_and(|record| !record.events.is_empty());
            if has_events && self.is_listed(&stream, version, stored.first_seq) == Some(false) {
                self.found.note(Damage::to_record(&stream, version, "the feed does not list it"));
            }
        }
    }

    fn is_listed(&self, stream: &StreamId, version: u64, first_seq: u64) -> Option<bool> {
        let (from, to) = (keys::feed(0), keys::feed(first_seq));
        let group = self.store.range(Bound::Included(&from), Bound::Included(&to)).next_back();
        let Some(group) = group else { return Some(false) };
        let group = feed::decode_pair(group).ok()?;
        Some(group.entries.iter().any(|entry| entry.stream == *stream && entry.version == version))
    }
}
