//! Who read personal data, and who was refused: one stream a tenant and day, kept for the audit. It decides nothing.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Record` | the same batch among the newest | nothing |
//! | | any | `Accessed` |
//!
//! Reads come in batches, because one small commit for many is cheap. A day's stream ends with the day, so that none
//! grows without end.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::{OperationId, TokenId},
    role::Role,
    text::clip,
    time::Timestamp,
    words::words,
    workflow::{ActivityError, By, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// How many of the newest batches are remembered; what is repeated is repeated at once.
const RECENT_MAX: usize = 32;
/// The longest path that is kept, in characters.
const PATH_MAX: usize = 300;
/// The most reads of one batch: together they fit into one record.
pub const BATCH_MAX: usize = 64;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The workflow of a day's reads.
#[derive(Clone, Copy, Debug)]
pub struct Reads;

words! {
    /// What came of wanting to read.
    AccessOutcome, "an outcome of a read" {
        /// It was shown.
        Read = "read",
        /// The role did not allow it.
        Refused = "refused",
    }
}

/// Somebody read, or wanted to read, personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: By,
    /// With which token.
    pub token_id: TokenId,
    /// In which role.
    pub role: Role,
    /// The kind of thing, for example `conversation` or `customers` for a list of them.
    pub noun: String,
    /// Its id; none for a list.
    pub subject: Option<Uuid>,
    /// The path that was asked, without its query, which may hold anything.
    pub path: String,
    /// What came of it.
    pub outcome: AccessOutcome,
}

/// An order to the record of a day's reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// These happened; at most [`BATCH_MAX`].
    Record {
        /// The batch's id; a repeated one is the same batch.
        batch_id: OperationId,
        /// The reads, oldest first.
        accesses: Vec<Access>,
    },
}

/// A fact about a day's reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Personal data were read, or refused to a reader.
    Accessed {
        /// When it was recorded.
        at: Timestamp,
        /// The batch's id.
        batch_id: OperationId,
        /// The reads, oldest first.
        accesses: Vec<Access>,
    },
}

/// The state of a day: the newest batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    recent: VecDeque<OperationId>,
}

/// The stream of the day (in UTC) that holds `at`. Later days have greater ids.
pub fn day_of(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(at.as_millis() / DAY_MS))
}

/// When the day of a stream begins.
pub fn beginning_of(day: Uuid) -> Timestamp {
    Timestamp::from_millis(u64::try_from(day.as_u128()).unwrap_or(u64::MAX).saturating_mul(DAY_MS))
}

impl Workflow for Reads {
    const KIND: &'static str = "access";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Command::Record { batch_id, mut accesses } = command;
        if state.recent.contains(&batch_id) || accesses.is_empty() {
            return Ok(Decision::nothing());
        }
        if accesses.len() > BATCH_MAX {
            return Err(Rejection::invalid("accesses", format!("at most {BATCH_MAX} reads")));
        }
        for access in &mut accesses {
            access.path = clip(&access.path, PATH_MAX);
            access.noun = clip(&access.noun, PATH_MAX);
        }
        Ok(Decision::event(Event::Accessed { at: cx.now, batch_id, accesses }))
    }

    fn evolve(state: &mut State, event: &Event) {
        let Event::Accessed { batch_id, .. } = event;
        state.recent.push_back(*batch_id);
        while state.recent.len() > RECENT_MAX {
            state.recent.pop_front();
        }
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &NoActivity, _error: &ActivityError) -> Option<Command> {
        match *activity {}
    }

    fn event_type(event: &Event) -> EventType {
        match event {
            Event::Accessed { .. } => EventType { name: "accessed", version: 1 },
        }
    }
}
