//! An append made ready for the committer: every key and value encoded, by the append's author and in its task.
//! The committer's one thread then only checks and writes.

use crate::append::{Append, AppendClass, ClaimChange, NewRecord, SnapshotBytes, StreamId};
use crate::store::VALUE_BYTES_MAX;
use crate::streams::PLACE_BYTES;
use crate::{activities, claims, dead_letters, inbox, keys, timers, wire};

/// What a claim's value takes beside its owner, at most.
const CLAIM_OVERHEAD: usize = 16;

/// An append as keys and values.
pub(crate) struct Prepared {
    pub(crate) record: Option<PreparedRecord>,
    /// Keys that must exist, and are deleted.
    pub(crate) consume: Vec<Vec<u8>>,
    pub(crate) claims: Vec<PreparedClaim>,
    /// Keys that are deleted where they exist.
    pub(crate) disarm: Vec<Vec<u8>>,
    /// What is written without a question, in order.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Values of inbox entries, still without their numbers.
    pub(crate) inbox: Vec<Vec<u8>>,
    pub(crate) timers: u64,
    pub(crate) activities: u64,
    pub(crate) class: AppendClass,
}

pub(crate) struct PreparedRecord {
    pub(crate) stream: StreamId,
    /// What the keys of its stream begin with.
    pub(crate) prefix: Vec<u8>,
    pub(crate) expected_version: u64,
    /// The groups that were durable before it was found there.
    pub(crate) read_after: Option<u64>,
    pub(crate) events: u32,
    pub(crate) hash: [u8; 32],
    /// Room for its place in the feed, then its bytes.
    pub(crate) value: Vec<u8>,
}

pub(crate) struct PreparedClaim {
    /// Where it is written.
    pub(crate) key: Vec<u8>,
    /// Where else it may be found.
    pub(crate) elsewhere: Vec<Vec<u8>>,
    pub(crate) change: ClaimChange,
}

impl Prepared {
    /// Encodes an append.
    ///
    /// # Panics
    /// If a name has a NUL byte, a claim's key is too long, a row is not in the callers' space, or a record or
    /// snapshot is another stream's than it says. Each is a mistake of the program, and must not reach the disk.
    pub(crate) fn new(append: Append) -> Prepared {
        let (timers, activities) = (append.arm.len() as u64, append.activities.len() as u64);
        let mut changes = Vec::new();
        let mut put = |key, value| changes.push((key, Some(value)));
        for timer in &append.arm {
            put(keys::timer(&timer.key), timers::encode(timer));
        }
        for activity in &append.activities {
            put(keys::activity(&activity.key), activities::encode(activity));
        }
        for letter in &append.dead_letters {
            put(keys::dead_letter(letter.id), dead_letters::encode(letter));
        }
        for name in &append.blobs {
            put(keys::blob(name), Vec::new());
        }
        // A cache is not worth a refused turn: without it the stream is replayed from the one before.
        if let Some(snapshot) = append.snapshot.filter(fits) {
            put(keys::snapshot(&snapshot.stream), snapshot.bytes);
        }
        // A lane let go and held again in one append is held.
        changes.extend(append.unhold.iter().map(|lane| (keys::hold(lane), None)));
        let holds = append.hold.iter();
        changes.extend(holds.map(|hold| (keys::hold(&hold.key), Some(activities::encode_hold(hold)))));
        for row in append.rows {
            assert!(keys::is_row(&row.key), "a row's key is made by `keys::row` or `keys::setting`");
            changes.push((row.key, row.value));
        }
        Prepared {
            record: append.record.map(PreparedRecord::new),
            consume: append.consume.iter().map(keys::pending).collect(),
            claims: append
                .claims
                .into_iter()
                .map(|request| {
                    let (key, elsewhere) = keys::claim(&request.key);
                    PreparedClaim { key, elsewhere, change: request.change }
                })
                .collect(),
            disarm: append.disarm.iter().map(keys::timer).collect(),
            changes,
            inbox: append.inbox.iter().map(inbox::encode).collect(),
            timers,
            activities,
            class: append.class,
        }
    }

    /// Only removals, of keys in any part of the keyspace: for the journal's own sweeps.
    pub(crate) fn removal(removed: Vec<Vec<u8>>) -> Prepared {
        let mut prepared = Prepared::new(Append::default());
        prepared.changes = removed.into_iter().map(|key| (key, None)).collect();
        prepared
    }

    /// Bytes of the largest value it would write.
    pub(crate) fn largest_value(&self) -> usize {
        let record = self.record.as_ref().map(|record| record.value.len());
        let changes = self.changes.iter().filter_map(|(_, value)| value.as_ref()).map(Vec::len);
        let owners = self.claims.iter().map(|claim| owner_bytes(&claim.change) + CLAIM_OVERHEAD);
        let inbox = self.inbox.iter().map(Vec::len);
        record.into_iter().chain(changes).chain(owners).chain(inbox).max().unwrap_or(0)
    }

    /// About how many bytes it holds in memory, and will write.
    pub(crate) fn bytes(&self) -> usize {
        let record = self.record.as_ref().map_or(0, |record| record.prefix.len() + record.value.len());
        let claims = self.claims.iter().map(|claim| claim.key.len() * 2 + owner_bytes(&claim.change));
        let changes = self.changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        let keys = self.consume.iter().chain(&self.disarm).chain(&self.inbox).map(Vec::len);
        record + claims.sum::<usize>() + changes.sum::<usize>() + keys.sum::<usize>()
    }
}

impl PreparedRecord {
    fn new(record: NewRecord) -> PreparedRecord {
        debug_assert_eq!(record.hash, wire::sha256(&record.bytes), "a record's hash is that of its bytes");
        let mut value = Vec::with_capacity(PLACE_BYTES + record.bytes.len());
        value.resize(PLACE_BYTES, 0);
        value.extend_from_slice(&record.bytes);
        PreparedRecord {
            prefix: keys::records(&record.stream),
            stream: record.stream,
            expected_version: record.expected_version,
            read_after: record.read_after,
            events: record.events,
            hash: record.hash,
            value,
        }
    }
}

fn fits(snapshot: &SnapshotBytes) -> bool {
    let StreamId { tenant, kind, entity } = &snapshot.stream;
    let bytes = snapshot.bytes.len();
    if bytes > VALUE_BYTES_MAX {
        tracing::warn!(
            tenant.id = %tenant,
            stream.kind = %kind,
            stream.id = %entity,
            bytes,
            "a snapshot is larger than the store takes, and is left out"
        );
    }
    bytes <= VALUE_BYTES_MAX
}

fn owner_bytes(change: &ClaimChange) -> usize {
    match change {
        ClaimChange::Take { owner }
        | ClaimChange::TakeIfFree { owner }
        | ClaimChange::TakeOnce { owner }
        | ClaimChange::Release { owner } => owner.len(),
        ClaimChange::TakeFrom { owner, former } => owner.len() + former.len(),
    }
}

/// The value that a taken claim is stored as.
pub(crate) fn claim_value(owner: &[u8]) -> Vec<u8> {
    claims::encode(owner)
}
