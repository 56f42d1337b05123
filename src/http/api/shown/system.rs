//! Entities, timers, activities, histories and dead letters.

#![expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]

use serde::Deserialize;
use serde_json::Value;
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
}

/// A timer that a state arms.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct ArmedTimer {
    /// Its name.
    name: String,
    /// When it is due.
    due_at: Time,
}

/// One event of an entity, with what caused it.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct HistoryEntry {
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
    event: HistoryEntry,
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
}

/// A pending activity.
#[derive(Debug, Deserialize, ToSchema)]
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
