//! A decision in the making: what is decided so far, and the conversation as it would be then.

use super::{Conversation, Event, Facts, State};
use crate::{
    activity::ConversationActivity,
    workflow::{Context, Decision},
};

/// A decision and the facts that follow from it.
pub(super) struct Draft<'c> {
    pub(super) facts: Facts,
    pub(super) cx: &'c Context<'c>,
    decision: Decision<Conversation>,
}

impl<'c> Draft<'c> {
    /// Nothing is decided yet.
    pub(super) fn new(facts: &Facts, cx: &'c Context<'c>) -> Self {
        Self { facts: facts.clone(), cx, decision: Decision::nothing() }
    }

    /// `decision` is made of `state`; none where there is no conversation even then.
    pub(super) fn continuing(
        state: &State,
        decision: Decision<Conversation>,
        cx: &'c Context<'c>,
    ) -> Result<Self, Decision<Conversation>> {
        let mut state = state.clone();
        decision.events.iter().for_each(|event| state.evolve(event));
        match state.into_facts() {
            Some(facts) => Ok(Self { facts: *facts, cx, decision }),
            None => Err(decision),
        }
    }

    /// Adds a fact.
    pub(super) fn record(&mut self, event: Event) {
        self.facts.evolve(&event);
        self.decision.events.push(event);
    }

    /// Adds a fact, if there is one.
    pub(super) fn record_any(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.record(event);
        }
    }

    /// Asks the world for something.
    pub(super) fn ask(&mut self, activity: ConversationActivity) {
        self.decision.activities.push(activity);
    }

    /// Adds a message to the customer: the fact and the request to send it.
    pub(super) fn queue(&mut self, letter: super::replies::Letter) {
        let (event, activity) = super::replies::queued(&self.facts, letter, self.cx);
        self.record(event);
        self.ask(activity);
    }

    /// What is decided so far.
    pub(super) fn events(&self) -> &[Event] {
        &self.decision.events
    }

    pub(super) fn done(self) -> Decision<Conversation> {
        self.decision
    }
}
