//! What the machine says to a customer: a template, filled from what persons recorded and nothing else.
//!
//! The only time that is the engine's own is that of the next update, since that is a promise the engine keeps.

use super::{
    draft::Draft,
    event::{Purpose, WhyChannel},
    reach,
    replies::Letter,
};
use crate::{
    calendar::Calendar,
    ids::MessageId,
    message::Channel,
    template,
    time::{Span, Timestamp},
    workflow::By,
};

/// How long one channel has before the next one gets a message that must arrive.
pub(super) const FALLBACK_AFTER: Span = Span::from_secs(60);

/// What is to be said, and how it goes out.
pub(super) struct Saying {
    pub(super) purpose: Purpose,
    pub(super) channel: Channel,
    pub(super) why: WhyChannel,
    /// The message that it takes the place of.
    pub(super) replaces: Option<MessageId>,
    /// Whether the next channel gets it when this one does not take it.
    pub(super) urgent: bool,
}

/// Writes to the customer in the machine's words.
pub(super) fn say(draft: &mut Draft<'_>, saying: Saying) {
    let Some(contact) = draft.facts.contacts.get(&saying.channel) else { return };
    let to = contact.theirs.clone();
    let promises = promise(draft, saying.purpose);
    let letter = Letter {
        id: reach::next_id(&draft.facts, draft.cx.now),
        to,
        text: words(draft, &saying, promises),
        attachments: Vec::new(),
        by: By::engine(),
        agent_name: None,
        automatic: true,
        why: saying.why,
        purpose: saying.purpose,
        replaces: saying.replaces,
        promises,
        fallback_at: saying.urgent.then(|| draft.cx.now + FALLBACK_AFTER),
        channel: saying.channel,
    };
    draft.queue(letter);
}

/// By when the customer is told to hear again: a whole minute, since nobody reads more.
fn promise(draft: &Draft<'_>, purpose: Purpose) -> Option<Timestamp> {
    match purpose {
        Purpose::Waiting | Purpose::Escalation | Purpose::Update | Purpose::WindowMissed => {
            let due = draft.cx.now + draft.facts.clocks.updates.interval;
            Some(Timestamp::from_millis(due.as_millis() / 60_000 * 60_000))
        }
        Purpose::Reply | Purpose::Acknowledgement | Purpose::Resolved => None,
    }
}

fn words(draft: &Draft<'_>, saying: &Saying, promises: Option<Timestamp>) -> String {
    let (facts, cx) = (&draft.facts, draft.cx);
    let language = facts.customer.language.as_deref();
    let zone = facts.standing.timezone.as_deref().unwrap_or(&cx.policy.timezone);
    let case = facts.case.as_ref();
    let window = case.and_then(|case| case.facts.window).filter(|window| window.by > cx.now);
    let expected_by = match saying.purpose {
        Purpose::WindowMissed => {
            case.and_then(|case| case.facts.missed.or(case.facts.window.map(|window| window.by)))
        }
        Purpose::Reply
        | Purpose::Acknowledgement
        | Purpose::Waiting
        | Purpose::Escalation
        | Purpose::Update
        | Purpose::Resolved => window.map(|window| window.by),
    };
    let template = match (saying.purpose, expected_by) {
        (Purpose::Acknowledgement | Purpose::Reply, _) => "acknowledgement",
        (Purpose::Waiting, _) => "waiting",
        (Purpose::Escalation, None) => "escalation",
        (Purpose::Escalation, Some(_)) => "escalation_window",
        (Purpose::Update, None) => "update",
        (Purpose::Update, Some(_)) => "update_window",
        (Purpose::WindowMissed, _) => "window_missed",
        (Purpose::Resolved, _) => "resolved",
    };
    template::say(cx.policy, language, template, |variable| match variable {
        "customer" => facts.customer.name.as_deref().and_then(template::presentable),
        "case_id" => case.map(|case| case.case_id.to_string()),
        "status_text" => case.map(|case| {
            template::say(cx.policy, language, &format!("status_{}", case.facts.status), |_| None)
        }),
        "expected_by" => expected_by.map(|by| shown(by, zone)),
        "next_update_at" => promises.map(|by| shown(by, zone)),
        "channel" => {
            let goes_on = case.and_then(|case| case.continuation.as_ref()).unwrap_or(&saying.channel);
            Some(spoken(goes_on))
        }
        _ => None,
    })
}

/// A moment as the customer's own clocks show it, the same in every language.
pub(super) fn shown(at: Timestamp, zone: &str) -> String {
    let wall = Calendar::wall_time_in(zone, at);
    format!("{} ({})", wall.0.format("%Y-%m-%d %H:%M"), wall.1)
}

/// A channel as people call it.
fn spoken(channel: &Channel) -> String {
    match channel {
        Channel::Chat => "chat".to_owned(),
        Channel::Email => "email".to_owned(),
        Channel::Sms => "SMS".to_owned(),
        Channel::Whatsapp => "WhatsApp".to_owned(),
        Channel::Messenger => "Messenger".to_owned(),
        Channel::Instagram => "Instagram".to_owned(),
        Channel::X => "X".to_owned(),
        Channel::Voice => "phone".to_owned(),
        Channel::Telegram => "Telegram".to_owned(),
        Channel::Generic(name) => name.clone(),
    }
}
