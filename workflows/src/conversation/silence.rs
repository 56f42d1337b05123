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

use super::{
    DeliveryStatus, Event, Facts, Rejection,
    case::Case,
    draft::Draft,
    event::{Purpose, WhyChannel},
    lifecycle::Status,
    reach,
    sends::SentMessage,
    speech::{self, FALLBACK_AFTER, Saying},
};
use crate::{
    activity::ConversationActivity,
    ids::MessageId,
    message::{Channel, Outbound},
    sla::BreachReason,
    time::{Span, Timestamp},
    words::Outcome,
    workflow::{By, Context, Decision},
};

/// Between two tries to reach a customer who could not be reached.
const RETRY_AFTER: Span = Span::from_hours(1);

/// How long a send may be uncertain before something is done about it.
const UNCERTAIN_FOR: Span = Span::from_mins(10);

/// How long before the due time an unreachable customer is tried once more: two channels have their minute.
const LAST_TRY: Span = Span::from_mins(2);

/// How late a timer may be in a process that is up.
const SLEPT: Span = Span::from_secs(5);

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
    Some(SilenceClock { since, due_at, write_at, nudge_at: (due_at - updates.nudge_before).max(since) })
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

/// Does whatever has fallen due.
pub(super) fn look(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    if due(moments(&draft.facts).uncertain) {
        settle_uncertain(draft);
    }
    draft.record_any(broken(&draft.facts, now));
    while due(moments(&draft.facts).fallback) {
        let late = draft.facts.sends.open().find(|send| due(send.fallback_at)).cloned();
        let Some(late) = late else { break };
        // A minute that passed while the process was down is none that the channel had: it may even have taken it.
        let slept = late.fallback_at.is_some_and(|at| {
            now.since(at) >= SLEPT && at <= late.queued_at + FALLBACK_AFTER + FALLBACK_AFTER
        });
        if slept {
            draft.record(Event::Hurried { at: now, message_id: late.id, fallback_at: now + FALLBACK_AFTER });
        } else {
            pass_on(draft, &late);
        }
    }
    if due(moments(&draft.facts).retry) {
        draft.record(Event::ReachRetried { at: now, retry_at: now + RETRY_AFTER });
        reach_again(draft);
    }
    if due(moments(&draft.facts).write) {
        write(draft);
    }
    if due(moments(&draft.facts).nudge) && !due(moments(&draft.facts).write) {
        nudge(draft);
    }
}

fn nudge(draft: &mut Draft<'_>) {
    let Some(clock) = clock(&draft.facts) else { return };
    let agent = draft.facts.assigned_agent;
    draft.record(Event::Nudged { at: draft.cx.now, since: clock.since, due_at: clock.due_at, agent });
}

/// A waiting customer heard nothing for longer than promised: what every turn looks at first, since what it records
/// may end the waiting.
pub(super) fn broken(facts: &Facts, now: Timestamp) -> Option<Event> {
    moments(facts).broken.filter(|due| *due <= now)?;
    let clock = clock(facts)?;
    let silence = &facts.silence;
    let bound = silence.binding_since.filter(|bound| *bound > clock.due_at);
    let reason = match bound {
        Some(_) => BreachReason::LateFailure,
        None if !silence.is_reachable() => BreachReason::Unreachable,
        None => BreachReason::NotAccepted,
    };
    let at = bound.unwrap_or(clock.due_at).max(facts.clocks.updates_since);
    let (since, due_at, detected_at) = (clock.since, clock.due_at, now);
    Some(Event::SilenceBroken { at, since, due_at, detected_at, reason })
}

/// It is time to write: a person's message that is stuck, or the machine's words.
fn write(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    let stuck = draft.facts.sends.open().find(|send| !send.automatic).cloned();
    if let Some(stuck) = stuck {
        // What was written this minute has its minute.
        if stuck.status == DeliveryStatus::Queued && now.since(stuck.queued_at) < FALLBACK_AFTER {
            let fallback_at = stuck.queued_at.max(now) + FALLBACK_AFTER;
            draft.record(Event::Hurried { at: now, message_id: stuck.id, fallback_at });
        } else {
            pass_on(draft, &stuck);
        }
        return;
    }
    if let Some(undelivered) = undelivered(&draft.facts) {
        let other = reach::untried_but(&draft.facts, &undelivered.channel).is_some();
        if !other && reach::untried(&draft.facts).is_some() {
            // It failed long ago, and its channel is the only one: perhaps it works again.
            return recall_again(draft, undelivered.id);
        }
        return pass_on(draft, &undelivered);
    }
    let before: Vec<_> = draft.facts.sends.open().map(|send| send.id).collect();
    for id in before {
        supersede(draft, id);
    }
    match reach::untried(&draft.facts) {
        Some(channel) if draft.facts.status != Status::AwaitingCustomer => {
            update(draft, channel, WhyChannel::LastUsed, None);
        }
        Some(_) | None => unreachable(draft),
    }
}

/// Writes what the machine has to say to somebody who waits.
fn update(draft: &mut Draft<'_>, channel: Channel, why: WhyChannel, replaces: Option<MessageId>) {
    let facts = &draft.facts;
    let missed = |case: &Case| {
        // The case may not have told yet that its time has passed; and what failed has still to be said.
        let passed = case.facts.window.is_some_and(|window| window.by < draft.cx.now);
        let replaced = replaces.and_then(|id| facts.sends.get(id)).map(|send| send.purpose);
        let again = replaced == Some(Purpose::WindowMissed) && case.facts.missed.is_some();
        facts.silence.owed.is_some() || passed || again
    };
    let purpose = match facts.open_case() {
        Some(case) if missed(case) => Purpose::WindowMissed,
        Some(_) => Purpose::Update,
        None => Purpose::Waiting,
    };
    let why = if Some(&channel) == draft.facts.open_case().and_then(|case| case.continuation.as_ref()) {
        WhyChannel::Continuation
    } else {
        why
    };
    speech::say(draft, Saying { purpose, channel, why, replaces, urgent: true });
}

/// A message does not get through its channel: the next one gets it, or nobody does.
pub(super) fn pass_on(draft: &mut Draft<'_>, send: &SentMessage) {
    if send.replaced || send.recalled_at.is_some() {
        return;
    }
    let waits_no_more = clock(&draft.facts).is_none();
    let stale = matches!(send.purpose, Purpose::Waiting | Purpose::Update | Purpose::WindowMissed);
    // Whoever has heard since, or is about to, does not have to hear that they are not forgotten.
    let later = |other: &SentMessage| other.id != send.id && other.queued_at >= send.queued_at;
    let heard_since = draft.facts.sends.iter().any(|other| {
        other.id != send.id && other.accepted_at.is_some_and(|accepted_at| accepted_at >= send.queued_at)
    });
    let on_its_way =
        draft.facts.sends.iter().any(|other| later(other) && (other.is_open() || other.is_hurried()));
    let notice = matches!(send.purpose, Purpose::Acknowledgement | Purpose::Escalation);
    if (stale && (waits_no_more || heard_since || on_its_way)) || (notice && (waits_no_more || heard_since)) {
        supersede(draft, send.id);
        return;
    }
    let next = reach::untried_but(&draft.facts, &send.channel);
    let Some(channel) = next else { return unreachable(draft) };
    if !send.automatic {
        draft.record(Event::Recalled { at: draft.cx.now, message_id: send.id, again: false });
        draft.ask(ConversationActivity::Recall { message_id: send.id });
        return;
    }
    supersede(draft, send.id);
    if stale {
        update(draft, channel, WhyChannel::Fallback, Some(send.id));
    } else {
        let (purpose, replaces) = (send.purpose, Some(send.id));
        speech::say(draft, Saying { purpose, channel, why: WhyChannel::Fallback, replaces, urgent: true });
    }
}

/// Whatever waits in a channel's queue with this id is not sent any more.
pub(super) fn supersede(draft: &mut Draft<'_>, id: MessageId) {
    if draft.facts.sends.get(id).is_some_and(SentMessage::is_open) {
        let (at, status) = (draft.cx.now, DeliveryStatus::Superseded);
        draft.record(Event::DeliveryChanged {
            at,
            message_id: id,
            status,
            provider_message_id: None,
            error: None,
        });
    }
}

/// A person has written, or nobody waits any more: the machine's words to somebody who waits are not sent any more.
pub(super) fn supersede_updates(draft: &mut Draft<'_>) {
    let stale = [Purpose::Waiting, Purpose::Update, Purpose::WindowMissed];
    let open: Vec<_> =
        draft.facts.sends.open().filter(|send| stale.contains(&send.purpose)).map(|send| send.id).collect();
    for id in open {
        supersede(draft, id);
    }
}

/// No channel is left. Said again at every round of tries, until somebody acts.
fn unreachable(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    let retry_at =
        draft.facts.silence.retry_at.filter(|retry_at| *retry_at > now).unwrap_or(now + RETRY_AFTER);
    // One more try while there is still time.
    let last = clock(&draft.facts).map(|clock| clock.due_at - LAST_TRY).filter(|last| *last > now);
    let retry_at = last.map_or(retry_at, |last| retry_at.min(last));
    draft.record(Event::CustomerUnreachable { at: now, retry_at });
}

/// The words of a person's message are looked up, to go out again by whichever channel is best.
fn recall_again(draft: &mut Draft<'_>, message_id: MessageId) {
    draft.record(Event::Recalled { at: draft.cx.now, message_id, again: true });
    draft.ask(ConversationActivity::Recall { message_id });
}

/// The channels of an unreachable customer are tried again: first with what a person wrote.
fn reach_again(draft: &mut Draft<'_>) {
    if let Some(undelivered) = undelivered(&draft.facts) {
        draft.record(Event::Recalled { at: draft.cx.now, message_id: undelivered.id, again: true });
        draft.ask(ConversationActivity::Recall { message_id: undelivered.id });
        return;
    }
    // A person's message that its channel has still to take is tried there all the time; another may have come back.
    let open = draft.facts.sends.open().find(|send| !send.automatic).cloned();
    if let Some(open) = open {
        let other = reach::untried_but(&draft.facts, &open.channel).is_some();
        if other && open.status == DeliveryStatus::Queued {
            pass_on(draft, &open);
        }
        return;
    }
    let stale: Vec<_> = draft.facts.sends.open().map(|send| send.id).collect();
    for id in stale {
        supersede(draft, id);
    }
    match reach::untried(&draft.facts) {
        Some(channel) if draft.facts.status != Status::AwaitingCustomer => {
            update(draft, channel, WhyChannel::LastUsed, None);
        }
        Some(_) | None => unreachable(draft),
    }
}

/// The oldest message by a person that never got through.
fn undelivered(facts: &Facts) -> Option<SentMessage> {
    facts.sends.iter().find(|send| send.is_undelivered()).cloned()
}

/// What has been uncertain for long enough: the machine's words are sent again, a person's are kept for them to decide.
fn settle_uncertain(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    let late: Vec<_> = draft
        .facts
        .sends
        .iter()
        .filter(|send| send.uncertain_since.is_some_and(|since| since + UNCERTAIN_FOR <= now))
        .cloned()
        .collect();
    for send in late {
        if !send.automatic {
            let (message_id, status) = (send.id, DeliveryStatus::Held);
            let (provider_message_id, error) = (None, None);
            draft.record(Event::DeliveryChanged { at: now, message_id, status, provider_message_id, error });
            continue;
        }
        supersede(draft, send.id);
        // By the same channel, unless the customer has come not to want it.
        let same = reach::channels(&draft.facts).into_iter().find(|channel| *channel == send.channel);
        let (why, channel) = match same {
            Some(channel) => (WhyChannel::Requested, Some(channel)),
            None => (WhyChannel::Fallback, reach::untried(&draft.facts)),
        };
        let Some(channel) = channel else {
            unreachable(draft);
            continue;
        };
        let purpose = send.purpose;
        speech::say(draft, Saying { purpose, channel, why, replaces: Some(send.id), urgent: true });
    }
}

/// The words of a message that has to go out again cannot be found: a person must know, and the channels are tried
/// again at the next round.
pub(super) fn recall_failed(draft: &mut Draft<'_>, message_id: MessageId) {
    if draft.facts.sends.get(message_id).is_some_and(|send| send.recalled_at.is_some()) {
        unreachable(draft);
    }
}

/// The words of a person's message that has to go out again are here.
pub(super) fn resend(draft: &mut Draft<'_>, original: Outbound, by: By) {
    let recalled = draft.facts.sends.get(original.message_id).filter(|send| send.recalled_at.is_some());
    let Some(send) = recalled.cloned() else { return };
    let Some(channel) = reach::untried(&draft.facts) else { return unreachable(draft) };
    let Some(contact) = draft.facts.contacts.get(&channel) else { return unreachable(draft) };
    let to = contact.theirs.clone();
    let why = if channel == send.channel { WhyChannel::Requested } else { WhyChannel::Fallback };
    let letter = super::replies::Letter {
        id: reach::next_id(&draft.facts, draft.cx.now),
        channel,
        to,
        text: original.text,
        attachments: original.attachments,
        by,
        agent_name: original.from_name,
        automatic: false,
        why,
        purpose: send.purpose,
        replaces: Some(send.id),
        promises: None,
        fallback_at: Some(draft.cx.now + FALLBACK_AFTER),
    };
    supersede(draft, send.id);
    draft.queue(letter);
}

/// A person wants a message sent again that did not get through, or may not have.
pub(super) fn send_again(
    facts: &Facts,
    message_id: MessageId,
    cx: &Context<'_>,
) -> Result<Decision<super::Conversation>, Rejection> {
    let Some(send) = facts.sends.get(message_id) else {
        return Err(Rejection::invalid("message_id", "a message to the customer that did not get through"));
    };
    if send.recalled_at.is_some() || send.replaced {
        return Ok(Decision::nothing());
    }
    if send.automatic {
        return Err(Rejection::invalid(
            "message_id",
            "a person's message; the machine sends its own again by itself",
        ));
    }
    let stuck =
        matches!(send.status, DeliveryStatus::Held | DeliveryStatus::Uncertain | DeliveryStatus::Failed);
    if !stuck {
        let allowed = format!("one that is held, uncertain or failed, and this one is {}", send.status);
        return Err(Rejection::invalid("message_id", allowed));
    }
    let mut draft = Draft::new(facts, cx);
    draft.record(Event::Recalled { at: cx.now, message_id, again: true });
    draft.ask(ConversationActivity::Recall { message_id });
    Ok(draft.done())
}
