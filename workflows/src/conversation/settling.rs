//! The end that is none: resolving, opening again, and how urgent it is.

use super::{
    Conversation, Event, Facts, Rejection, draft::Draft, escalation, lifecycle::Move, moved, silence,
};
use crate::{
    text::non_empty,
    words::{Outcome, Severity},
    workflow::{Context, Decision},
};

/// Resolves. What is resolved already stays as it is, with its first outcome.
pub(super) fn resolve(
    facts: &Facts,
    outcome: Option<Outcome>,
    summary: Option<String>,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    let Some(change) = moved(facts, Move::Resolve, cx)? else { return Ok(Decision::nothing()) };
    let mut draft = Draft::new(facts, cx);
    silence::supersede_everything(&mut draft);
    escalation::close_case(&mut draft);
    let summary = summary.as_deref().and_then(non_empty);
    let said = outcome.is_some() || summary.is_some();
    let recorded = said.then_some(Event::OutcomeRecorded { at: cx.now, outcome, summary });
    draft.record_any(recorded);
    draft.record(change);
    Ok(draft.done())
}

/// Opens a resolved conversation again, at a person's wish.
pub(super) fn reopen(facts: &Facts, cx: &Context<'_>) -> Result<Decision<Conversation>, Rejection> {
    Ok(Decision::nothing().and_all(moved(facts, Move::Reopen, cx)?))
}

/// Records how urgent a person says it is.
pub(super) fn set_priority(facts: &Facts, severity: Severity, cx: &Context<'_>) -> Decision<Conversation> {
    if facts.priority == Some(severity) {
        return Decision::nothing();
    }
    Decision::event(Event::PrioritySet { at: cx.now, severity })
}
