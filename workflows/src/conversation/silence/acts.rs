//! What is done about a customer's silence: asking a person to write, writing, and finding a channel that works.

use super::{LAST_TRY, SLEPT, UNCERTAIN_FOR, broken, clock, moments};
use crate::{
    activity::ConversationActivity,
    conversation::{
        Conversation, DeliveryStatus, Event, Facts, Rejection,
        case::Case,
        draft::Draft,
        event::{Purpose, WhyChannel},
        lifecycle::Status,
        reach,
        replies::Letter,
        sends::SentMessage,
        speech::{self, FALLBACK_AFTER, Saying},
    },
    ids::MessageId,
    message::{Channel, Outbound},
    time::{Span, Timestamp},
    workflow::{By, Context, Decision},
};

/// Between two tries to reach a customer who could not be reached.
const RETRY_AFTER: Span = Span::from_hours(1);

/// Does whatever has fallen due.
pub(in crate::conversation) fn look(draft: &mut Draft<'_>) {
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
        let slept = late.fallback_at.is_some_and(|at| now.since(at) >= SLEPT);
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

/// It is time to write: a person's message that is stuck, or the machine's words.
fn write(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    if let Some(stuck) = stuck(&draft.facts) {
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
    say_something(draft);
}

/// The machine's own words, by a channel that was not given any since the customer last heard; unless some are on their
/// way, which its channel may only not have come to yet: written this minute, or by the last channel there is.
fn say_something(draft: &mut Draft<'_>) {
    let now = draft.cx.now;
    let untried = reach::untried(&draft.facts).filter(|_| draft.facts.status != Status::AwaitingCustomer);
    let on_its_way = on_its_way(&draft.facts)
        .filter(|send| untried.is_none() || now.since(send.queued_at) < FALLBACK_AFTER)
        .map(|send| send.id);
    match (on_its_way, untried) {
        (Some(message_id), _) => {
            draft.record(Event::Hurried { at: now, message_id, fallback_at: now + FALLBACK_AFTER });
        }
        (None, Some(channel)) => {
            supersede_everything(draft);
            update(draft, channel, WhyChannel::LastUsed, None);
        }
        (None, None) => unreachable(draft),
    }
}

/// What the machine said last and its channel has neither taken nor refused.
fn on_its_way(facts: &Facts) -> Option<&SentMessage> {
    facts.sends.open().rfind(|send| send.automatic && send.status == DeliveryStatus::Queued)
}

/// The oldest message by a person that waits for its channel, or that may not have arrived and has another one left.
/// What may have arrived by the only channel there is stays for a person to decide, and does not keep the machine from
/// its own words.
fn stuck(facts: &Facts) -> Option<SentMessage> {
    let other = |send: &SentMessage| reach::untried_but(facts, &send.channel).is_some();
    let mut open = facts.sends.open().filter(|send| !send.automatic);
    open.find(|send| send.status == DeliveryStatus::Queued || other(send)).cloned()
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
        // What came back nobody has looked at: where its case stands is no person's word yet.
        Some(_) if facts.status != Status::Reopened => Purpose::Update,
        Some(_) | None => Purpose::Waiting,
    };
    let why = if Some(&channel) == draft.facts.open_case().and_then(|case| case.continuation.as_ref()) {
        WhyChannel::Continuation
    } else {
        why
    };
    speech::say(draft, Saying { purpose, channel, why, replaces, urgent: true });
}

/// A message does not get through its channel: the next one gets it, or nobody does.
pub(in crate::conversation) fn pass_on(draft: &mut Draft<'_>, send: &SentMessage) {
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
    let Some(channel) = next else {
        if is_recalling(&draft.facts) && send.fallback_at.is_some() {
            // The words that are being looked up will tell whether a channel is left.
            let (at, message_id) = (draft.cx.now, send.id);
            draft.record(Event::Hurried { at, message_id, fallback_at: at + FALLBACK_AFTER });
        }
        return unreachable(draft);
    };
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
pub(in crate::conversation) fn supersede(draft: &mut Draft<'_>, id: MessageId) {
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

/// A person has written: what the machine had ready to say to somebody who waits is not sent any more.
pub(in crate::conversation) fn supersede_updates(draft: &mut Draft<'_>) {
    supersede_all(draft, |purpose| purpose != Purpose::Escalation && purpose != Purpose::Resolved);
}

/// Nobody waits any more: nothing that the machine had ready is sent any more.
pub(in crate::conversation) fn supersede_everything(draft: &mut Draft<'_>) {
    supersede_all(draft, |_| true);
}

fn supersede_all(draft: &mut Draft<'_>, stale: impl Fn(Purpose) -> bool) {
    let open = draft.facts.sends.open().filter(|send| send.automatic && stale(send.purpose));
    let open: Vec<_> = open.map(|send| send.id).collect();
    for id in open {
        supersede(draft, id);
    }
}

/// Whether a person's words are being looked up, to go out again.
fn is_recalling(facts: &Facts) -> bool {
    facts.sends.iter().any(|send| send.recalled_at.is_some())
}

/// No channel is left, unless words that are being looked up find one.
fn unreachable(draft: &mut Draft<'_>) {
    if !is_recalling(&draft.facts) {
        no_channel_left(draft);
    }
}

/// No channel is left. Said again at every round of tries, until somebody acts.
fn no_channel_left(draft: &mut Draft<'_>) {
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
    if let Some(stuck) = stuck(&draft.facts) {
        if reach::untried_but(&draft.facts, &stuck.channel).is_some() {
            pass_on(draft, &stuck);
        }
        return;
    }
    say_something(draft);
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
pub(in crate::conversation) fn recall_failed(draft: &mut Draft<'_>, message_id: MessageId) {
    if draft.facts.sends.get(message_id).is_some_and(|send| send.recalled_at.is_some()) {
        no_channel_left(draft);
    }
}

/// The words of a person's message that has to go out again are here.
pub(in crate::conversation) fn resend(draft: &mut Draft<'_>, original: Outbound, by: By) {
    let recalled = draft.facts.sends.get(original.message_id).filter(|send| send.recalled_at.is_some());
    let Some(send) = recalled.cloned() else { return };
    let Some(channel) = reach::untried(&draft.facts) else { return no_channel_left(draft) };
    let Some(contact) = draft.facts.contacts.get(&channel) else { return no_channel_left(draft) };
    let to = contact.theirs.clone();
    let why = if channel == send.channel { WhyChannel::Requested } else { WhyChannel::Fallback };
    let letter = Letter {
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
pub(in crate::conversation) fn send_again(
    facts: &Facts,
    message_id: MessageId,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
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
