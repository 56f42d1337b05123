//! Which rule asks for a timer, for whoever wonders why it is armed.
//!
//! Words only: what is armed, and for when, follows from `deadlines`, and a timer without a rule here is armed all the
//! same.

use super::{Deadline, Facts, sends::SentMessage, silence};
use crate::{
    sla::ClockKind,
    time::{Span, Timestamp},
};

/// The rule behind a deadline of this conversation, in one line; none where the state does not ask for it.
pub(super) fn rule(facts: &Facts, deadline: Deadline) -> Option<String> {
    let updates = facts.clocks.updates;
    let clock = silence::clock(facts);
    match deadline {
        Deadline::Snooze => {
            facts.snoozed_until.map(|_| "snooze: put aside by a person until then".to_owned())
        }
        Deadline::Nudge => clock.map(|clock| {
            let before = updates.nudge_before;
            format!("silence: updates.nudge_before {before} ahead of the update due {}", clock.due_at)
        }),
        Deadline::Update => clock.map(|clock| {
            let margin = updates.margin;
            match facts.silence.owed {
                Some(owed) if clock.write_at < clock.due_at - margin => {
                    format!("case: the word that its window has passed is owed since {owed}")
                }
                Some(_) | None => format!(
                    "silence: updates.margin {margin} ahead of {}, {}",
                    clock.due_at,
                    interval(updates.interval, clock.since)
                ),
            }
        }),
        Deadline::Fallback => {
            let first = facts.sends.open().filter(|send| send.fallback_at.is_some());
            first.min_by_key(|send| send.fallback_at).map(|send: &SentMessage| {
                format!("silence: the next channel gets what {} has not taken by then", send.channel)
            })
        }
        Deadline::Silence => {
            clock.map(|clock| format!("silence: {}", interval(updates.interval, clock.since)))
        }
        Deadline::Retry => facts
            .silence
            .retry_at
            .map(|_| "silence: a customer who could not be reached is tried again".to_owned()),
        Deadline::Uncertain => facts
            .sends
            .iter()
            .filter_map(|send| send.uncertain_since)
            .min()
            .map(|since| format!("delivery: whether a message was sent is not known since {since}")),
        Deadline::Reminder => facts.clocks.reminder.map(|reminder| {
            let (tier, number) = (facts.clocks.tier, reminder.sent + 1);
            format!(
                "sla tier {tier}: reminder {number} of the message unanswered since {}",
                reminder.waiting_since
            )
        }),
        Deadline::Clock(kind) => of_clock(facts, kind),
    }
}

fn interval(interval: Span, since: Timestamp) -> String {
    format!("updates.interval {interval} since {since}")
}

fn of_clock(facts: &Facts, kind: ClockKind) -> Option<String> {
    let clock = facts.clocks.get(kind)?;
    let (tier, severity) = (facts.clocks.tier, facts.clocks.severity);
    let kind = kind.as_str().replace('_', " ");
    let hours = clock.calendar.as_ref().map_or_else(
        || "around the clock".to_owned(),
        |calendar| format!("in the hours of calendar {calendar}"),
    );
    let (target, started, policy) = (clock.target, clock.started_at, clock.policy);
    let what = match (clock.warn_at, clock.due_at) {
        (Some(_), Some(due)) => format!(", warning of what is due {due}"),
        _ => String::new(),
    };
    Some(format!(
        "sla tier {tier} {severity}: {kind} {target} {hours} since {started}, policy version {policy}{what}"
    ))
}
