//! Where a conversation stands with its clocks and with silence, as the outside sees it.

use serde_json::{Map, Value, json};

use super::outside;
use crate::{
    conversation::{
        Facts,
        clocks::{Clocks, Explanation},
        silence,
    },
    policy::Policies,
    sla::{Clock, ClockKind},
    time::Timestamp,
};

/// The clocks by name, at `now`. A clock that never started is absent.
pub fn sla_json(clocks: &Clocks, policies: &Policies, now: Timestamp) -> Value {
    let clocks = ClockKind::ALL.iter().filter_map(|kind| {
        let clock = clocks.get(*kind)?;
        let policy = policies.version(clock.policy).unwrap_or_else(|| policies.in_force());
        let remaining = clock.remaining_seconds(now, policy.hours(clock.calendar.as_deref()));
        Some((kind.as_str().to_owned(), clock_json(clock, remaining)))
    });
    Value::Object(clocks.collect::<Map<_, _>>())
}

fn clock_json(clock: &Clock, remaining_seconds: i64) -> Value {
    outside::compact(&json!({
        "started_at": clock.started_at,
        "due_at": clock.due_at,
        "warned_at": clock.warned_at,
        "met_at": clock.met_at,
        "breached_at": clock.breached_at,
        "detected_at": clock.detected_at,
        "paused_at": clock.paused_at.filter(|_| clock.is_open()),
        "target_seconds": clock.target.as_secs(),
        "remaining_seconds": clock.is_open().then_some(remaining_seconds),
    }))
}

/// What the customer has heard, and when they hear again.
pub fn silence_json(facts: &Facts) -> Value {
    let clock = silence::clock(facts);
    outside::compact(&json!({
        "last_heard_at": facts.sends.heard_at(),
        "waiting_since": clock.map(|clock| clock.since),
        "next_update_due_at": clock.map(|clock| clock.due_at),
        "next_update_at": clock.map(|clock| clock.write_at),
        "reachable": facts.silence.is_reachable(),
        "retry_at": facts.silence.retry_at,
        "machine_updates": facts.silence.updates,
    }))
}

/// Why a clock is due when it is.
pub fn explanation_json(explanation: &Explanation) -> Value {
    let stretches = explanation.stretches.iter().map(|stretch| {
        json!({
            "from": stretch.from,
            "to": stretch.to,
            "calendar": stretch.calendar,
            "policy_version": stretch.policy,
            "counted_seconds": stretch.counted.as_secs(),
            "intervals": stretch.intervals,
        })
    });
    let mut shown = outside::object(&clock_json(&explanation.clock, explanation.remaining_seconds));
    shown.insert("clock".to_owned(), json!(explanation.kind));
    shown.insert("stretches".to_owned(), outside::compact(&stretches.collect::<Vec<_>>()));
    Value::Object(shown)
}
