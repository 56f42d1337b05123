//! The promise against silence: whoever waits for us hears from us in time.
//!
//! A waiting customer's silence begins with what they last heard, or with the moment they began to wait. Everything
//! here follows from the state: when they must hear again, when the machine writes if nobody does, and when the person
//! responsible is asked to write instead. `look` does what has fallen due; it is what every timer of this file asks
//! for, in any order and as often as one likes.
//!
//! | when | what |
//! |---|---|
//! | `updates.nudge_before` ahead | the person responsible is asked to write |
//! | `updates.margin` ahead, or the last polite moment before it | a person's message that is stuck, or else the template, goes out |
//! | a minute later, not taken by its channel | the next channel gets it |
//! | no channel left | the customer is unreachable; tried again two minutes ahead, every hour, and when they write |
//! | the time has passed | a breach, whatever the reason |
//! | ten minutes of uncertainty | the machine's words are sent again, a person's are held |

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Event, Facts, event::Purpose, lifecycle::Status, sends::SentMessage};
use crate::{
    message::Channel,
    sla::BreachReason,
    time::{Span, Timestamp},
    words::Outcome,
};

mod acts;

pub(super) use acts::{
    look, pass_on, recall_failed, resend, send_again, supersede_everything, supersede_updates,
};

/// How long a send may be uncertain before something is done about it.
const UNCERTAIN_FOR: Span = Span::from_mins(10);

/// How long before the due time an unreachable customer is tried once more: two channels have their minute.
const LAST_TRY: Span = Span::from_mins(2);

/// How late a timer may be in a process that is up.
const SLEPT: Span = Span::from_secs(20);

/// What the promise needs to know beyond the messages themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Whether there is somebody to be silent to: a person wrote who can be answered, or one of ours wrote.
    pub counts: bool,
    /// When the present waiting began.
    pub began: Option<Timestamp>,
    /// Since when what is known of the waiting holds, where something that had been heard failed later.
    pub binding_since: Option<Timestamp>,
    /// The silence, by its beginning, for which a person was asked to write.
    pub nudged_for: Option<Timestamp>,
    /// The silence, by its beginning, that lasted too long.
    pub broken_for: Option<Timestamp>,
    /// Updates by the machine since a person last did something.
    pub updates: u32,
    /// Whether a supervisor knows of them.
    pub alarmed: bool,
    /// When an unreachable customer is tried again; none while they can be reached.
    pub retry_at: Option<Timestamp>,
    /// Channels that were given a message since the customer last heard from us.
    pub tried: BTreeSet<Channel>,
    /// Channels that refused since the customer last used them.
    pub failed: BTreeSet<Channel>,
    /// Since when the customer is owed the word that a window has passed.
    pub owed: Option<Timestamp>,
}

impl Silence {
    /// A channel took a message.
    pub(super) fn heard(&mut self, channel: &Channel) {
        self.tried.clear();
        self.failed.remove(channel);
        self.retry_at = None;
    }

    /// A person did something.
    pub(super) fn person_acted(&mut self) {
        self.updates = 0;
        self.alarmed = false;
    }

    /// Whether a channel is left by which the customer can be reached.
    pub fn is_reachable(&self) -> bool {
        self.retry_at.is_none()
    }
}

/// A waiting customer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceClock {
    /// Since when they have heard nothing.
    pub since: Timestamp,
    /// By when they must hear again.
    pub due_at: Timestamp,
    /// When the machine writes, if nobody does.
    pub write_at: Timestamp,
    /// When the person responsible is asked to write.
    pub nudge_at: Timestamp,
}

/// The silence of a customer who waits; none if it is not ours to break.
pub fn clock(facts: &Facts) -> Option<SilenceClock> {
    if !waits(facts) {
        return None;
    }
    let updates = facts.clocks.updates;
    let since = facts.sends.heard_at().max(facts.silence.began)?;
    let promised =
        facts.sends.last_heard().and_then(|send| send.promises).filter(|promised| *promised > since);
    let due_at = promised.map_or(since + updates.interval, |promised| promised.min(since + updates.interval));
    let polite = politely(facts, since, due_at - updates.margin);
    let owed = facts.silence.owed.filter(|_| !is_open(facts, Purpose::WindowMissed));
    let write_at = owed.map_or(polite, |owed| after_quiet(facts, owed).min(polite));
    // As long before the machine writes as it would be were the machine to write as late as it may.
    let lead =
        updates.nudge_before.as_millis() - updates.margin.as_millis().min(updates.nudge_before.as_millis());
    let nudge_at = (polite - Span::from_millis(lead)).max(since);
    Some(SilenceClock { since, due_at, write_at, nudge_at })
}

/// Whether there is somebody who waits for us.
fn waits(facts: &Facts) -> bool {
    facts.silence.counts && facts.outcome != Some(Outcome::Merged) && facts.waits()
}

/// `at`, or the last moment before the quiet hours it falls into. Quiet hours that are longer than the promise allows
/// yield to it.
fn politely(facts: &Facts, since: Timestamp, at: Timestamp) -> Timestamp {
    let updates = facts.clocks.updates;
    let room = Span::from_millis(updates.interval.as_millis() - updates.margin.as_millis());
    match quiet(facts, at) {
        Some(quiet) if quiet.span() <= room => {
            let before = quiet.from - Span::from_secs(1);
            if before > since { before } else { at }
        }
        Some(_) | None => at,
    }
}

/// `at`, or the end of the quiet hours it falls into.
fn after_quiet(facts: &Facts, at: Timestamp) -> Timestamp {
    quiet(facts, at).map_or(at, |quiet| quiet.to)
}

fn quiet(facts: &Facts, at: Timestamp) -> Option<crate::calendar::Interval> {
    let zone = facts.standing.timezone.as_deref().unwrap_or(&facts.clocks.timezone);
    facts.standing.quiet_hours.as_ref()?.around(at, zone)
}

fn is_open(facts: &Facts, purpose: Purpose) -> bool {
    facts.sends.open().any(|send| send.purpose == purpose)
}

/// The moments at which something of this file falls due, by what it is.
pub(super) struct Moments {
    pub(super) nudge: Option<Timestamp>,
    pub(super) write: Option<Timestamp>,
    pub(super) fallback: Option<Timestamp>,
    pub(super) broken: Option<Timestamp>,
    pub(super) retry: Option<Timestamp>,
    pub(super) uncertain: Option<Timestamp>,
}

/// When something falls due in this state.
pub(super) fn moments(facts: &Facts) -> Moments {
    let silence = &facts.silence;
    let clock = clock(facts);
    let hurried = facts.sends.iter().any(SentMessage::is_hurried);
    let undelivered = facts.sends.iter().any(SentMessage::is_undelivered);
    let open = facts.status != Status::Resolved;
    Moments {
        nudge: clock
            .filter(|clock| silence.nudged_for != Some(clock.since) && clock.nudge_at < clock.write_at)
            // Once words are on their way, nobody has to be asked for some.
            .filter(|_| !hurried)
            .map(|clock| clock.nudge_at),
        write: clock.filter(|_| silence.is_reachable() && !hurried).map(|clock| clock.write_at),
        fallback: facts.sends.open().filter_map(|send| send.fallback_at).min(),
        // Exactly at the due time is in time.
        broken: clock
            .filter(|clock| silence.broken_for != Some(clock.since))
            .map(|clock| clock.due_at + Span::from_millis(1)),
        // What is on its way has its next channel, and after the last one the next round.
        retry: silence.retry_at.filter(|_| !hurried && (clock.is_some() || (undelivered && open))),
        uncertain: facts
            .sends
            .iter()
            .filter_map(|send| send.uncertain_since)
            .min()
            .map(|at| at + UNCERTAIN_FOR),
    }
}

/// A waiting customer heard nothing for longer than promised: what every turn looks at first, since what it records
/// may end the waiting.
pub(super) fn broken(facts: &Facts, now: Timestamp) -> Option<Event> {
    moments(facts).broken.filter(|due| *due <= now)?;
    let clock = clock(facts)?;
    let silence = &facts.silence;
    let bound = silence.binding_since.filter(|bound| *bound > clock.due_at);
    let written = facts.sends.iter().any(|send| send.queued_at >= clock.since && send.accepted_at.is_none());
    let reason = match bound {
        Some(_) => BreachReason::LateFailure,
        None if !silence.is_reachable() => BreachReason::Unreachable,
        None if written => BreachReason::NotAccepted,
        // Nobody was there to write: the server was down.
        None => BreachReason::Late,
    };
    let at = bound.unwrap_or(clock.due_at).max(facts.clocks.updates_since);
    let (since, due_at, detected_at) = (clock.since, clock.due_at, now);
    Some(Event::SilenceBroken { at, since, due_at, detected_at, reason })
}
