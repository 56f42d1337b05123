//! What operators are shown, one type a list or page.

use serde::Serialize;
use throughline_storage::journal::CommitStats;
use throughline_workflows::{
    time::{Span, Timestamp},
    views::EventMeta,
    workflow::{By, Cause},
};
use uuid::Uuid;

use super::difference::Changed;
use crate::{clock::ClockMode, pauses::Pause};

/// A timer that a state arms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmedTimer {
    /// The deadline's name.
    pub name: String,
    /// When it is due.
    pub due_at: Timestamp,
    /// How long until then in seconds, negative once it has passed; only for the present version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<i64>,
    /// Which rule asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// When it fires again, where it fired without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fire_at: Option<Timestamp>,
    /// How often it fired without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<u32>,
}

/// What changed in an entity between two versions.
#[derive(Clone, Debug, Serialize)]
pub struct VersionDiff {
    /// The workflow's kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The earlier version; 0 is before the first.
    pub from: u64,
    /// The later version.
    pub to: u64,
    /// The fields of the state that differ, by path.
    pub changes: Vec<Changed>,
    /// The timers that differ, by name.
    pub timers: Vec<Changed>,
    /// The events between the two, oldest first.
    pub events: Vec<HistoryEntry>,
}

/// One event of an entity, with what caused it.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEntry {
    /// The event's stored name.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The entity's version after its turn.
    pub version: u64,
    /// Its place in the whole store.
    pub seq: u64,
    /// When the turn was taken.
    pub timestamp: Timestamp,
    /// Who asked.
    pub by: By,
    /// What made them ask.
    pub cause: Cause,
    /// Joins everything that one message or request led to.
    pub trace_id: Uuid,
    /// The event itself.
    pub details: serde_json::Value,
}

/// One event with its typed content.
#[derive(Clone, Debug)]
pub struct Recorded<E> {
    /// The event.
    pub event: E,
    /// The entity's version after its turn.
    pub version: u64,
    /// Its place in its turn.
    pub index: u32,
    /// Its place in the whole store.
    pub seq: u64,
    /// When the turn was taken.
    pub at: Timestamp,
    /// Who asked.
    pub by: By,
    /// What made them ask.
    pub cause: Cause,
}

impl<E> Recorded<E> {
    /// The event's place and reason, as views take it.
    pub fn meta(&self, entity: Uuid) -> EventMeta<'_> {
        EventMeta {
            entity,
            version: self.version,
            index: self.index,
            seq: self.seq,
            at: self.at,
            by: &self.by,
            cause: &self.cause,
        }
    }
}

/// An entity as operators list it.
#[derive(Clone, Debug, Serialize)]
pub struct ActorRow {
    /// The workflow's kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// `hot` while its actor is resident, else `passive`.
    pub residency: &'static str,
    /// Orders sent and not yet answered.
    pub mailbox_depth: usize,
    /// The entity's version.
    pub version: u64,
    /// The name of the last command it was given since its actor became resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_command: Option<String>,
    /// When that was; for a passive one, when its last turn was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_command_at: Option<Timestamp>,
    /// Restarts since its actor became resident.
    pub restarts: u32,
    /// What the last crash said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Since when an operator has it paused, who and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// An entity's state with all that it is owed.
#[derive(Clone, Debug, Serialize)]
pub struct ActorState {
    /// The workflow's kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The version shown.
    pub version: u64,
    /// The state at that version.
    pub state: serde_json::Value,
    /// The timers that this state arms.
    pub timers: Vec<ArmedTimer>,
    /// What it asked of the world and is not done; only for the present version.
    pub pending_activities: Vec<ActivityRow>,
    /// `hot` or `passive`.
    pub residency: &'static str,
    /// Orders sent and not yet answered.
    pub mailbox_depth: usize,
    /// Restarts since its actor became resident.
    pub restarts: u32,
    /// What the last crash said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Since when an operator has it paused, who and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// An armed timer as operators list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimerRow {
    /// The entity's kind.
    pub kind: String,
    /// The entity.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The deadline's name.
    pub name: String,
    /// When it is due.
    pub due_at: Timestamp,
    /// When it fires: later than due for one that is stuck.
    pub fire_at: Timestamp,
    /// How often it fired without effect.
    pub stuck: u32,
    /// Whether its entity is paused: it fires when that is resumed.
    pub paused: bool,
}

/// A pending activity as operators list it.
#[derive(Clone, Debug, Serialize)]
pub struct ActivityRow {
    /// `ENTITY.VERSION.INDEX`.
    pub id: String,
    /// The entity's kind.
    pub kind: String,
    /// The entity.
    pub entity: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The lane whose order it keeps.
    pub lane: String,
    /// Tries so far.
    pub attempts: u32,
    /// What the last try said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it is tried next.
    pub next_try_at: Timestamp,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When the try began that is under way, where it must not be made twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// Whether its entity is paused: it is tried when that is resumed.
    pub paused: bool,
}

/// The engine's figures.
#[derive(Clone, Debug)]
pub struct Status {
    /// The journal's commit figures.
    pub commits: CommitStats,
    /// The bytes that are free on the disk, and those below which inbound is refused, where that is known.
    pub disk_room: Option<(u64, u64)>,
    /// The last durable `seq`.
    pub seq: u64,
    /// How far the lists are.
    pub projected: u64,
    /// Entity actors resident.
    pub resident: usize,
    /// Restarts of actors since the start.
    pub restarts: u64,
    /// How long the most overdue timer has been due.
    pub timer_lag: Span,
    /// The clock's mode.
    pub clock_mode: ClockMode,
    /// Engine time.
    pub now: Timestamp,
    /// How far the wall clock is behind engine time.
    pub wall_behind: Span,
    /// Messages read from the inbox and not placed yet.
    pub intake_waiting: usize,
    /// Timers being fired.
    pub timers_in_flight: usize,
    /// Activities being performed.
    pub activities_in_flight: usize,
    /// Entities that an operator has paused.
    pub paused: usize,
}

/// Why something could not be shown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InspectError {
    /// No such kind is registered.
    #[error("there is no kind {0:?}; the kinds are {1}")]
    UnknownKind(String, String),
    /// The entity has no such version.
    #[error("the entity is at version {at}, there is no version {wanted}")]
    NoSuchVersion {
        /// Where it is.
        at: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// The versions do not follow one another.
    #[error("version {from} does not come before version {to}")]
    NotBefore {
        /// What was given as the earlier one.
        from: u64,
        /// What was given as the later one.
        to: u64,
    },
    /// What is stored cannot be read.
    #[error("{0}")]
    Unreadable(String),
}
