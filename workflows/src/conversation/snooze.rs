//! Out of sight until a given time. A snooze is a person's wish: it stops no clock of the customer's, and the
//! customer's next message ends it.

use super::{Conversation, Event, Facts, Rejection, lifecycle::Move, moved};
use crate::{
    time::Timestamp,
    workflow::{Context, Decision},
};

/// Puts the conversation out of sight until `until`; a second time moves it.
pub(super) fn snooze(
    facts: &Facts,
    until: Timestamp,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    moved(facts, Move::Snooze, cx)?;
    if facts.snoozed_until == Some(until) {
        return Ok(Decision::nothing());
    }
    if until <= cx.now {
        return Err(Rejection::invalid("until", format!("later than now, {}", cx.now)));
    }
    Ok(Decision::event(Event::Snoozed { at: cx.now, until }))
}

/// The timer has fired. A snooze that was moved meanwhile has a timer of its own.
pub(super) fn wake(facts: &Facts, cx: &Context<'_>) -> Decision<Conversation> {
    match facts.snoozed_until {
        Some(until) if until <= cx.now => Decision::event(Event::Woken { at: cx.now }),
        Some(_) | None => Decision::nothing(),
    }
}
