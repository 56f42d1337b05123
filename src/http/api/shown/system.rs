//! Entities, timers, activities, histories and dead letters.

#![expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use throughline_actors::pauses::Pause;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{By, Cause, Time};

/// An entity in a list.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct Actor {
    /// Its kind, for example `conversation`.
    kind: String,
    /// Which one.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// `hot` while in memory, else `passive`.
    residency: String,
    /// Orders sent and not yet answered.
    mailbox_depth: usize,
    /// Its version.
    version: u64,
    /// The name of the last command it was given since it came into memory.
    last_command: Option<String>,
    /// When that was; for one that is not in memory, when its last turn was recorded.
    last_command_at: Option<Time>,
    /// Restarts since it came into memory.
    restarts: u32,
    /// What the last crash said.
    last_failure: Option<String>,
    /// Since when an operator has it paused.
    paused: Option<Paused>,
}

/// An entity's state with all that it is owed.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct ActorState {
    /// Its kind.
    kind: String,
    /// Which one.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// The version shown.
    version: u64,
    /// The state at that version.
    #[schema(value_type = Object)]
    state: Value,
    /// The timers that this state arms.
    timers: Vec<ArmedTimer>,
    /// What it asked of the world and is not done.
    pending_activities: Vec<Activity>,
    /// `hot` or `passive`.
    residency: String,
    /// Orders sent and not yet answered.
    mailbox_depth: usize,
    /// Restarts since it came into memory.
    restarts: u32,
    /// What the last crash said.
    last_failure: Option<String>,
    /// Since when an operator has it paused.
    paused: Option<Paused>,
}

/// A timer that a state arms.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct ArmedTimer {
    /// Its name.
    name: String,
    /// When it is due.
    due_at: Time,
    /// How long until then in seconds, negative once it has passed; only for the present version.
    remaining_seconds: Option<i64>,
    /// Which rule asks for it, for example `silence: updates.interval 12h since 2026-11-21T10:03:00.000Z`.
    rule: Option<String>,
    /// When it fires again, where it fired without effect.
    fire_at: Option<Time>,
    /// How often it fired without effect.
    stuck: Option<u32>,
}

/// Since when an operator has an entity paused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Paused {
    /// Since when.
    since: Time,
    /// Who paused it.
    by: By,
    /// Why, in their words.
    reason: String,
}

/// A pause as it is shown.
pub(in crate::http) fn pause_json(pause: &Pause) -> Value {
    serde_json::json!({ "since": pause.since, "by": pause.by, "reason": pause.reason })
}

/// What changed between two versions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VersionDiff {
    /// The entity's kind.
    kind: String,
    /// Which one.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// The earlier version.
    from: u64,
    /// The later version.
    to: u64,
    /// The fields of the state that differ.
    changes: Vec<Changed>,
    /// The timers that differ.
    timers: Vec<Changed>,
    /// The events between the two, oldest first.
    events: Vec<HistoryEntry>,
}

/// One field that differs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangedField)]
pub(in crate::http) struct Changed {
    /// Where, for example `sends.messages[id=…].status`.
    path: String,
    /// The value before; absent where there was none.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The value after; absent where there is none.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

/// An entity, compared with its journal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Replayed {
    /// Its kind.
    kind: String,
    /// Which one.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// The version that the journal leads to.
    version: u64,
    /// How many events that took.
    events: u64,
    /// The version of the snapshot that was compared.
    snapshot_version: Option<u64>,
    /// The version in memory that was compared.
    memory_version: Option<u64>,
    /// Timers compared.
    timers: usize,
    /// What differs; nothing, unless there is a mistake of the software or damage to the store.
    differences: Vec<Difference>,
}

/// One thing that differs from the journal.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct Difference {
    /// `snapshot`, `memory`, `timers`, `index` or `journal`.
    against: String,
    /// The version at which it was compared.
    version: u64,
    /// The path of the field, a timer's name, or `record`.
    path: String,
    /// What the journal says.
    #[schema(value_type = Object)]
    journal: Value,
    /// What was found.
    #[schema(value_type = Object)]
    found: Value,
}

/// A comparison of all entities.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReplayRun {
    /// When it began.
    started_at: Time,
    /// When it ended; absent while it goes on.
    finished_at: Option<Time>,
    /// Entities to compare.
    entities: u64,
    /// Entities compared.
    compared: u64,
    /// Events read for that.
    events: u64,
    /// Entities in which something differs.
    differing: u64,
    /// The first 200 of what differs.
    differences: Vec<FoundDifference>,
    /// Why it ended before its end.
    failed: Option<String>,
}

/// A difference and whose it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct FoundDifference {
    /// The entity's kind.
    kind: String,
    /// Which one.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// What differs.
    #[serde(flatten)]
    difference: Difference,
}

/// One event, with what caused it.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct RecordedEvent {
    /// The event's name.
    #[serde(rename = "type")]
    kind: String,
    /// The entity's version after its turn.
    version: u64,
    /// Its place in the whole store.
    seq: u64,
    /// When the turn was taken.
    timestamp: Time,
    /// Who asked.
    by: By,
    /// What made them ask.
    cause: Cause,
    /// Joins everything that one message or request led to.
    trace_id: Uuid,
    /// The event itself.
    #[schema(value_type = Object)]
    details: Value,
}

/// One event of an entity's history.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct HistoryEntry {
    /// The event and what caused it.
    #[serde(flatten)]
    event: RecordedEvent,
    /// The cause in words.
    because: String,
    /// Where to look further: `state` after it, the `change` it made, its `cause`.
    links: BTreeMap<String, String>,
}

/// One event of the feed, with whose it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct FeedEvent {
    /// The tenant.
    tenant: String,
    /// The entity's kind.
    kind: String,
    /// The entity.
    id: Uuid,
    /// The event and what caused it.
    #[serde(flatten)]
    event: RecordedEvent,
}

/// An armed timer in a list.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct Timer {
    /// The entity's kind.
    kind: String,
    /// The entity.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// The timer's name.
    name: String,
    /// When it is due.
    due_at: Time,
    /// When it fires: later than due for one that is stuck.
    fire_at: Time,
    /// How often it fired without effect.
    stuck: u32,
    /// Whether its entity is paused: it fires when that is resumed.
    paused: bool,
}

/// A pending activity.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PendingActivity)]
pub(in crate::http) struct Activity {
    /// `ENTITY.VERSION.INDEX`.
    id: String,
    /// The entity's kind.
    kind: String,
    /// The entity.
    entity: Uuid,
    /// Whose it is.
    tenant: String,
    /// The lane whose order it keeps.
    lane: String,
    /// Tries so far.
    attempts: u32,
    /// What the last try said.
    last_error: Option<String>,
    /// When it is tried next.
    next_try_at: Time,
    /// When it was asked for.
    asked_at: Time,
    /// When the try began that is under way, where it must not be made twice.
    begun_at: Option<Time>,
    /// Whether its entity is paused: it is tried when that is resumed.
    paused: bool,
}

/// Something that was given up.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct DeadLetter {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    tenant: String,
    /// `inbound`, `activity`, `command`, `webhook` or `report`.
    kind: String,
    /// When it was given up.
    at: Time,
    /// Why.
    reason: String,
    /// Tries that were made.
    attempts: u32,
    /// The entity it concerns, as `KIND/ID`.
    entity: Option<String>,
    /// The version that entity was at.
    version: Option<u64>,
    /// Whether a retry can do anything.
    retryable: bool,
    /// What was given up.
    #[schema(value_type = Object)]
    payload: Value,
}
