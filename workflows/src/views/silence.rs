//! Who waits for us, the longest first, and who cannot be reached.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    conversation::{Conversation, Event, Facts, State, silence},
    time::Timestamp,
    workflow::Workflow,
};

/// The view of waiting customers.
#[derive(Clone, Copy, Debug)]
pub struct Waiting;

/// A conversation and how its customer waits. Its state is kept, so that it is never judged otherwise than the
/// conversation judges itself, without what only tells repetitions. [`WaitingRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRow {
    state: State,
}

impl View for Waiting {
    const NAME: &'static str = "waiting";
    // Rows hold the workflow's state: another STATE_REVISION there is another revision here.
    const REVISION: u16 = 3;

    type Source = Conversation;
    type Row = WaitingRow;

    fn fold(row: Option<WaitingRow>, event: &Event, _meta: &EventMeta<'_>) -> Option<WaitingRow> {
        let mut state = row.map(|row| row.state).unwrap_or_default();
        Conversation::evolve(&mut state, event);
        state.forget_recent();
        state.facts().is_some().then_some(WaitingRow { state })
    }

    fn order(row: &WaitingRow) -> u64 {
        // Whoever waits longest comes first; then whom nothing reaches.
        row.since().map_or(row.is_unreachable().into(), |since| u64::MAX - since.as_millis())
    }

    /// Whether the customer waits for us, or cannot be told what they should be told.
    fn is_listed(row: &WaitingRow) -> bool {
        row.since().is_some() || row.is_unreachable()
    }
}

impl WaitingRow {
    /// What is known of the conversation.
    pub fn facts(&self) -> Option<&Facts> {
        self.state.facts()
    }

    /// Since when the customer has heard nothing, while they wait.
    pub fn since(&self) -> Option<Timestamp> {
        self.facts().and_then(silence::clock).map(|clock| clock.since)
    }

    /// By when we mean to write to a customer who waits, and by when they must have heard from us.
    pub fn next_update(&self) -> Option<(Timestamp, Timestamp)> {
        self.facts().and_then(silence::clock).map(|clock| (clock.write_at, clock.due_at))
    }

    /// Whether no channel is left by which the customer can be reached.
    pub fn is_unreachable(&self) -> bool {
        self.facts().is_some_and(|facts| !facts.silence.is_reachable())
    }

    /// The row in its outside form at `now`: what is unknown absent.
    pub fn to_json(&self, now: Timestamp) -> Value {
        let Some(facts) = self.facts() else { return Value::Null };
        let clock = silence::clock(facts);
        outside::compact(&json!({
            "conversation_id": facts.id,
            "status": facts.status,
            "subject": facts.subject.as_ref().map(|subject| subject.as_str()),
            "customer": { "id": facts.customer.id, "name": facts.customer.name },
            "channel": facts.channel,
            "priority": facts.priority,
            "sla_tier": facts.standing.tier,
            "assigned_agent_id": facts.assigned_agent,
            "assigned_team_id": facts.assigned_team,
            "case_id": facts.open_case().map(|case| &case.case_id),
            "last_heard_at": facts.sends.heard_at(),
            "waiting_since": clock.map(|clock| clock.since),
            "silent_seconds": clock.map(|clock| now.since(clock.since).as_secs()),
            "next_update_at": clock.map(|clock| clock.write_at),
            "next_update_due_at": clock.map(|clock| clock.due_at),
            "reachable": facts.silence.is_reachable(),
            "retry_at": facts.silence.retry_at,
            "machine_updates": facts.silence.updates,
        }))
    }
}
