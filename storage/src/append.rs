//! What a caller hands to the committer, and what the committer answers.
//!
//! An [`Append`] happens whole or not at all. It is encoded, checksummed and hashed by its author; the committer
//! only checks it against the store (overlaid with what the group already took) and writes.

use uuid::Uuid;

/// One entity's stream of records. Tenant and kind are short names without NUL bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The tenant that owns the stream.
    pub tenant: String,
    /// What kind of entity, for example `conversation`.
    pub kind: String,
    /// The entity.
    pub entity: Uuid,
}

/// One atomic change. Everything is optional; an append with nothing in it is answered and writes nothing.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The next record of a stream.
    pub record: Option<NewRecord>,
    /// Pending items that this append settles: each must still exist, and is deleted.
    pub consume: Vec<PendingKey>,
    /// Unique keys to take, move or release.
    pub claims: Vec<ClaimRequest>,
    /// Timers to disarm. One that is not armed is passed over.
    pub disarm: Vec<TimerKey>,
    /// Timers to arm.
    pub arm: Vec<Timer>,
    /// Activities that become pending, or pending again at another time.
    pub activities: Vec<PendingActivity>,
    /// Lanes to hold because their first activity waits for another try.
    pub hold: Vec<LaneHold>,
    /// Lanes to let go on.
    pub unhold: Vec<LaneKey>,
    /// A snapshot to keep for the record's stream; replaces the older one. One that is larger than a value may be
    /// is left out, since it is only a cache.
    pub snapshot: Option<SnapshotBytes>,
    /// Inbound messages for the inbox, in order; the committer numbers them.
    pub inbox: Vec<NewInboxEntry>,
    /// What has been given up, kept for people.
    pub dead_letters: Vec<DeadLetter>,
    /// Blobs that this append names: they must not be swept.
    pub blobs: Vec<String>,
    /// Rows of projections, and other plain keys of the caller's own space.
    pub rows: Vec<RowChange>,
    /// How urgent, when the queue or the disk is full.
    pub class: AppendClass,
}

/// What may be refused under pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendClass {
    /// Turns, outcomes, timers, operators: always taken while the disk can be written.
    #[default]
    Essential,
    /// New inbound: refused while the disk is nearly full or commits are late.
    Inbound,
}

/// The next record of a stream, encoded by [`crate::envelope`].
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The stream it continues.
    pub stream: StreamId,
    /// The version the stream must be at: 0 for a stream that does not exist yet. The record becomes the next.
    pub expected_version: u64,
    /// The groups that were durable ([`crate::journal::Journal::durable_groups`]) before its author read the stream to
    /// its end and found it there. Where that is known, most streams need not be looked at again.
    pub read_after: Option<u64>,
    /// How many events are in the record; `seq` advances by as many.
    pub events: u32,
    /// The encoded record.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`.
    pub hash: [u8; 32],
}

/// Something the engine owes, until an append consumes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PendingKey {
    /// An inbox entry, by its number.
    Inbox(u64),
    /// A pending activity.
    Activity(ActivityKey),
    /// An armed timer.
    Timer(TimerKey),
    /// A dead letter, by its id.
    DeadLetter(Uuid),
}

/// A unique key and what to do with it.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Which key.
    pub key: ClaimKey,
    /// What to do.
    pub change: ClaimChange,
}

/// A unique key within tenant and space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// The tenant.
    pub tenant: String,
    /// What kind of key, a short name without NUL bytes.
    pub space: String,
    /// The key itself: at most 1 KiB; longer ones are hashed by the caller.
    pub key: Vec<u8>,
    /// How long it lasts.
    pub lifetime: ClaimLifetime,
}

/// How long a claim lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimLifetime {
    /// For ever, or until released.
    Permanent,
    /// At least a week: stored under the week of `at_ms` and found in that week and the next.
    Periodic {
        /// The engine's time, in milliseconds, at which the claim is made or looked for.
        at_ms: u64,
    },
}

/// What to do with a claimed key. Owners are compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    /// Own it: refused if someone else does, nothing if `owner` has it already.
    Take {
        /// The new owner's bytes.
        owner: Vec<u8>,
    },
    /// Own it if it is free, already `owner`'s, or `former`'s.
    TakeFrom {
        /// The new owner's bytes.
        owner: Vec<u8>,
        /// The owner it may be taken from.
        former: Vec<u8>,
    },
    /// Own it if it is free; if someone has it, it stays theirs and the append goes on.
    TakeIfFree {
        /// The new owner's bytes.
        owner: Vec<u8>,
    },
    /// Own it whether or not someone had it, and in any case not twice: refused if it is held by anyone at all,
    /// `owner` included. For message ids and idempotency keys, where the second attempt must be told.
    TakeOnce {
        /// The new owner's bytes.
        owner: Vec<u8>,
    },
    /// Give it up if `owner` has it; otherwise nothing.
    Release {
        /// The owner that gives it up.
        owner: Vec<u8>,
    },
}

/// A timer's place in due order. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    /// When to fire.
    pub fire_at_ms: u64,
    /// The entity to wake.
    pub stream: StreamId,
    /// The deadline's name.
    pub name: String,
}

/// An armed timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its place in due order.
    pub key: TimerKey,
    /// The deadline's own due moment: earlier than `fire_at_ms` for a stuck timer that is tried again.
    pub due_ms: u64,
    /// How often it has fired without effect.
    pub stuck: u32,
}

/// A pending activity's place in due order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityKey {
    /// When to try next, in milliseconds since the Unix epoch.
    pub ready_at_ms: u64,
    /// The entity that asked.
    pub stream: StreamId,
    /// The version of the record that holds it.
    pub version: u64,
    /// Its index in that record.
    pub index: u32,
}

/// A pending activity. What it asks for stands in its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingActivity {
    /// Its place in due order.
    pub key: ActivityKey,
    /// The lane within the entity whose order it keeps; empty for none.
    pub lane: String,
    /// Tries so far.
    pub attempts: u32,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub asked_at_ms: u64,
    /// What the last try said.
    pub last_error: Option<String>,
    /// Payload that replaces the record's after an edited retry.
    pub edited: Option<Vec<u8>>,
    /// When a try began whose end is not known yet, in milliseconds since the Unix epoch. Only tries that must not
    /// be made twice are marked so: a mark that is found by a later process says that nobody knows.
    pub begun_at_ms: Option<u64>,
}

/// A lane of one entity: activities that are performed in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// The entity.
    pub stream: StreamId,
    /// The lane.
    pub lane: String,
}

/// A lane whose first activity waits for another try: what comes after it waits too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHold {
    /// The lane.
    pub key: LaneKey,
    /// The activity that holds it.
    pub held_by: ActivityKey,
}

/// A stream's snapshot, encoded by [`crate::envelope`].
#[derive(Clone, Debug)]
pub struct SnapshotBytes {
    /// The stream.
    pub stream: StreamId,
    /// The encoded snapshot.
    pub bytes: Vec<u8>,
}

/// An inbound message to be kept until a turn has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInboxEntry {
    /// The tenant.
    pub tenant: String,
    /// The message, in the caller's own encoding.
    pub bytes: Vec<u8>,
}

/// What has been given up, with everything needed to understand it and to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// The tenant.
    pub tenant: String,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What kind of thing, in the caller's words: `inbound`, `activity`, `command`, `webhook`.
    pub kind: String,
    /// The entity it concerns, if known, and the version that entity was at.
    pub stream: Option<(StreamId, u64)>,
    /// Why it was given up: the error or the panic.
    pub reason: String,
    /// Tries that were made.
    pub attempts: u32,
    /// What was given up, in the caller's own encoding.
    pub payload: Vec<u8>,
}

/// A plain key of a caller's space (projections, checkpoints, settings of the engine).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The key, made by [`crate::keys`].
    pub key: Vec<u8>,
    /// The value to put, or none to delete.
    pub value: Option<Vec<u8>>,
}

/// What a durable append answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The stream's version after the append; 0 where it had no record.
    pub version: u64,
    /// The `seq` of the append's last event, or of the last event before it where it had none.
    pub seq: u64,
    /// The numbers given to its inbox entries.
    pub inbox: Vec<u64>,
}

/// Why an append was not taken. It left no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The stream has moved on: rehydrate and decide again.
    #[error("stream is at version {actual}, expected {expected}")]
    Conflict {
        /// What the append expected.
        expected: u64,
        /// Where the stream is.
        actual: u64,
    },
    /// A claimed key belongs to someone else. Answered after the owner's own claim is durable.
    #[error("claim {index} is taken")]
    ClaimTaken {
        /// Which of the append's claims.
        index: usize,
        /// The owner's bytes.
        owner: Vec<u8>,
    },
    /// An item to consume is gone: the work has been done before. Answered after that is durable.
    #[error("already done")]
    AlreadyDone,
    /// Too much is waiting. Try again shortly.
    #[error("the commit queue is full")]
    Busy,
    /// The disk is nearly full: nothing new is taken in.
    #[error("only {free} bytes are free on the disk, and {min_free} must remain")]
    NoSpace {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        min_free: u64,
    },
    /// A value is larger than the store takes: part of it belongs into a blob. Trying again does not help.
    #[error("a value of {bytes} bytes is more than the {max} that are stored in one piece")]
    TooLarge {
        /// Bytes the value would take.
        bytes: usize,
        /// Bytes a value may take.
        max: usize,
    },
    /// A write or a sync has failed: nothing can be promised any more and the process must end.
    #[error("the store has failed: {0}")]
    Failed(String),
}
