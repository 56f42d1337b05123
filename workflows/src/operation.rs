//! What operators did: one stream a tenant, kept for the audit. It decides nothing.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Record` | the same id among the newest | nothing |
//! | | any | `Acted` |
//!
//! Who acted is the principal of the record.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::OperationId,
    record::checked_name,
    text::{clip, non_empty},
    time::Timestamp,
    topic::Topic,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// How many of the newest ids are remembered; what is repeated is repeated at once.
const RECENT_MAX: usize = 32;
/// The longest target and reason that are kept, in characters.
const TEXT_MAX: usize = 2_000;

/// The workflow of a tenant's operations.
#[derive(Clone, Copy, Debug)]
pub struct Operation;

/// An order to the record of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// An operator acted.
    Record {
        /// The act's id; a repeated one is the same act.
        operation_id: OperationId,
        /// What was done, for example `dead_letter.retry`.
        action: String,
        /// What it was done to: an id, a path.
        target: String,
        /// Why, in the operator's words.
        reason: String,
    },
}

/// A fact about a tenant's operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An operator acted.
    Acted {
        /// When.
        at: Timestamp,
        /// The act's id.
        operation_id: OperationId,
        /// What was done.
        action: String,
        /// What it was done to.
        target: String,
        /// Why.
        reason: Option<String>,
    },
}

/// The state of the record: the newest ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    recent: VecDeque<OperationId>,
}

impl Workflow for Operation {
    const KIND: &'static str = "operation";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Command::Record { operation_id, action, target, reason } = command;
        if state.recent.contains(&operation_id) {
            return Ok(Decision::nothing());
        }
        let action = checked_name("action", &action)?;
        let reason = non_empty(&reason).map(|reason| clip(&reason, TEXT_MAX));
        let target = clip(&target, TEXT_MAX);
        Ok(Decision::event(Event::Acted { at: cx.now, operation_id, action, target, reason }))
    }

    fn evolve(state: &mut State, event: &Event) {
        let Event::Acted { operation_id, .. } = event;
        state.recent.push_back(*operation_id);
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
            Event::Acted { .. } => EventType { name: "acted", version: 1 },
        }
    }

    fn topic(_event: &Event) -> Option<&'static str> {
        Some(Topic::OperatorActed.as_str())
    }
}
