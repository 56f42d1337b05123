//! Reading streams: their records, in order, from either end.

use std::ops::{Bound, RangeBounds};

use uuid::Uuid;

use crate::append::StreamId;
use crate::damage::{Damage, ReadError};
use crate::envelope::Record;
use crate::journal::Journal;
use crate::keys;
use crate::store::{Pair, Store, StoreError};
use crate::wire::sha256;

/// What stands before a record in its value: the `seq` of its first event, and a checksum over that and the key.
/// The committer writes both; the rest was encoded by the record's author, who cannot know them.
pub(crate) const PLACE_BYTES: usize = 8 + 4;

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its stream.
    pub stream: StreamId,
    /// Its version.
    pub version: u64,
    /// The `seq` of its first event; where it has none, of the next event there was.
    pub first_seq: u64,
    /// Its hash, over `bytes`.
    pub hash: [u8; 32],
    /// The encoded record.
    pub bytes: Vec<u8>,
}

impl StoredRecord {
    /// The record itself.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], naming stream and version, if it is not what was written there.
    pub fn decode(&self) -> Result<Record, ReadError> {
        let damaged =
            |reason: &dyn ToString| Damage::to_record(&self.stream, self.version, reason.to_string());
        let record = Record::decode(&self.bytes).map_err(|error| damaged(&error))?;
        if record.stream != self.stream || record.version != self.version {
            return Err(damaged(&"another record stands in its place").into());
        }
        Ok(record)
    }
}

impl Journal {
    /// The records of a stream whose versions are in a range, in order; from the other end by `rev()`.
    ///
    /// Each may fail with [`ReadError`] if the engine cannot read it or it is damaged.
    pub fn records<'a, R: RangeBounds<u64>>(
        &'a self,
        stream: &StreamId,
        versions: R,
    ) -> impl DoubleEndedIterator<Item = Result<StoredRecord, ReadError>> + use<'a, R> {
        let (from, to) = bounds(stream, &versions);
        let stream = stream.clone();
        self.store()
            .range(as_slice(&from), as_slice(&to))
            .map(move |pair| pair.map_err(ReadError::from).and_then(|pair| stored(&stream, pair)))
    }

    /// One record of a stream.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read it or it is damaged.
    pub fn record(&self, stream: &StreamId, version: u64) -> Result<Option<StoredRecord>, ReadError> {
        let key = keys::record(stream, version);
        self.store().get(&key)?.map(|value| stored(stream, (key, value))).transpose()
    }

    /// The version a stream is at; 0 where it does not exist.
    ///
    /// # Errors
    /// [`ReadError::Store`] if the engine cannot read.
    pub fn version(&self, stream: &StreamId) -> Result<u64, ReadError> {
        Ok(last_version(self.store(), &keys::records(stream))?)
    }

    /// The entities of one kind that have records, in the order of their ids, after `after` and at most `limit`
    /// of them. It goes from entity to entity and not through their records.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or a key is damaged.
    pub fn streams(
        &self,
        tenant: &str,
        kind: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>, ReadError> {
        let prefix = keys::records_of_kind(tenant, kind);
        let end = keys::after_prefix(prefix.clone());
        let beyond = |entity: Uuid| match entity.as_u128().checked_add(1) {
            Some(next) => [&prefix, &next.to_be_bytes()[..]].concat(),
            None => end.clone(),
        };
        let mut from = after.map_or_else(|| prefix.clone(), beyond);
        let mut found = Vec::new();
        while found.len() < limit && from < end {
            let (low, high) = keys::half_open(&from, &end);
            let Some(pair) = self.store().range(low, high).next() else { break };
            let (key, _) = pair?;
            let entity = key.get(prefix.len()..).and_then(|rest| rest.first_chunk());
            let entity = Uuid::from_bytes(*entity.ok_or_else(|| Damage::at(&key, "not a record's key"))?);
            found.push(entity);
            from = beyond(entity);
        }
        Ok(found)
    }
}

/// The version a stream is at, given what the keys of its records begin with.
pub(crate) fn last_version(store: &dyn Store, prefix: &[u8]) -> Result<u64, StoreError> {
    let (from, to) = keys::within(prefix);
    let (from, to) = keys::half_open(&from, &to);
    let Some(pair) = store.range(from, to).next_back() else { return Ok(0) };
    let (key, _) = pair?;
    let version = keys::record_version(&key).filter(|_| key.len() == prefix.len() + 8);
    version.ok_or_else(|| StoreError::Damaged(Damage::at(&key, "not a record's key").to_string()))
}

/// A record's value: its place in the feed, then its bytes.
pub(crate) fn place(value: &mut [u8], key: &[u8], first_seq: u64) {
    value[..8].copy_from_slice(&first_seq.to_be_bytes());
    value[8..PLACE_BYTES].copy_from_slice(&place_checksum(key, first_seq).to_le_bytes());
}

fn place_checksum(key: &[u8], first_seq: u64) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(key);
    checksum.update(&first_seq.to_be_bytes());
    checksum.finalize()
}

pub(crate) fn stored(stream: &StreamId, (key, mut value): Pair) -> Result<StoredRecord, ReadError> {
    let version = keys::record_version(&key).ok_or_else(|| Damage::at(&key, "not a record's key"))?;
    let damaged = |reason: &str| Damage::to_record(stream, version, reason);
    let (first_seq, rest) = value.split_first_chunk().ok_or_else(|| damaged("cut short"))?;
    let first_seq = u64::from_be_bytes(*first_seq);
    let checksum = rest.first_chunk().ok_or_else(|| damaged("cut short"))?;
    if u32::from_le_bytes(*checksum) != place_checksum(&key, first_seq) {
        return Err(damaged("checksum of its seq does not match").into());
    }
    value.drain(..PLACE_BYTES);
    Ok(StoredRecord { stream: stream.clone(), version, first_seq, hash: sha256(&value), bytes: value })
}

fn bounds(stream: &StreamId, versions: &impl RangeBounds<u64>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let key = |version: &u64| keys::record(stream, *version);
    let from = match versions.start_bound() {
        Bound::Unbounded => Bound::Included(key(&0)),
        bound => bound.map(key),
    };
    let to = match versions.end_bound() {
        Bound::Unbounded => Bound::Included(key(&u64::MAX)),
        bound => bound.map(key),
    };
    (from, to)
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
