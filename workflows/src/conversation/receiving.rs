//! A customer's message comes in: it opens the conversation, continues it, or belongs elsewhere.
//!
//! The conversation has the last word: intake brings the message to the customer's current conversation, or to the
//! one that the message names, and learns here whether it was taken. The table is in [`super`].

use super::{
    Conversation,
    command::{CustomerCard, Opening},
    draft::Draft,
    escalation,
    event::{Event, Purpose, WhyChannel},
    lifecycle::{Move, Status},
    moved,
    rejection::Rejection,
    replies::Letter,
    silence,
    state::{Facts, State},
    threading::Subject,
};
use crate::{
    ids::ConversationId,
    message::Inbound,
    template,
    workflow::{By, Claim, Context, Decision},
};

/// The unique key, by customer: the conversation that takes a message which names none.
pub const CURRENT: &str = "current";

/// Opens a conversation with the customer's message.
pub(super) fn open(
    id: ConversationId,
    inbound: Box<Inbound>,
    customer: CustomerCard,
    opening: Opening,
    cx: &Context<'_>,
) -> Decision<Conversation> {
    let opened = Event::Opened {
        at: cx.now,
        id,
        customer: customer.clone(),
        channel: inbound.channel.clone(),
        subject: inbound.subject.as_deref().and_then(Subject::new).map(Subject::into_text),
        follow_up_of: opening.follow_up_of,
        priority: None,
    };
    // Nobody judges a message here yet, so the turn that opens also puts it in line for a person.
    let queued =
        Event::StateChanged { at: cx.now, from: Status::Open, to: Status::AwaitingAgent, by: Move::Queued };
    let received = received(&inbound, &customer, cx);
    let known = opening.standing.map(|standing| Event::StandingKnown { at: cx.now, standing });
    let decision = Decision::event(opened)
        .and_all(known)
        .and(received)
        .and(queued)
        .claim(current(&customer, opening.replaces));
    acknowledge(decision, &inbound, cx)
}

/// Takes a message into a conversation that exists.
pub(super) fn receive(
    facts: &Facts,
    inbound: Box<Inbound>,
    customer: CustomerCard,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    if facts.has_seen(&inbound) {
        return Ok(Decision::nothing());
    }
    if is_too_late(facts, &inbound, cx) {
        return Err(Rejection::Closed);
    }
    if is_nameless(facts, &inbound, &customer) {
        return Err(Rejection::Nameless);
    }
    let mut draft = Draft::new(facts, cx);
    draft.record(received(&inbound, &customer, cx));
    draft.record_any(newly_known(facts, customer, cx));
    if inbound.automatic {
        // A machine wrote: kept, but nobody's turn changes for it.
        return Ok(draft.done());
    }
    draft.record_any(facts.snoozed_until.map(|_| Event::Woken { at: cx.now }));
    // The claim `current` is not touched: it was taken when the conversation opened and is still ours, or it has
    // moved on to a later conversation, where messages that name no thread belong.
    draft.record_any(moved(facts, Move::CustomerWrote, cx)?);
    if facts.status == Status::Resolved {
        escalation::customer_answered(&mut draft);
    }
    // Whoever writes can perhaps be reached again.
    silence::look(&mut draft);
    Ok(draft.done())
}

/// The claim on being the customer's current conversation.
pub(super) fn current(customer: &CustomerCard, replaces: Option<ConversationId>) -> Claim {
    let key = customer.id.to_string();
    match replaces {
        Some(former) => Claim::take_from(CURRENT, key, former.0),
        None => Claim::take(CURRENT, key),
    }
}

/// Resolved for longer than the window, and not named: an explicit thread leads back whatever its age.
fn is_too_late(facts: &Facts, inbound: &Inbound, cx: &Context<'_>) -> bool {
    // Counted from when the webhook was taken: downtime of ours takes no day of the customer's.
    let waited = |resolved_at| inbound.received_at.since(resolved_at);
    let past_window = facts.resolved_at.is_some_and(|at| waited(at) > cx.policy.reopen_window);
    past_window && inbound.thread != Some(facts.id)
}

/// A name comes with the message, and nobody here knows whether the customer has one already.
fn is_nameless(facts: &Facts, inbound: &Inbound, customer: &CustomerCard) -> bool {
    let has_name = customer.id == facts.customer.id && facts.customer.name.is_some();
    inbound.name.is_some() && customer.name.is_none() && !has_name
}

fn received(inbound: &Inbound, customer: &CustomerCard, cx: &Context<'_>) -> Event {
    let name = customer.name.clone().or_else(|| inbound.name.clone());
    let by = By::customer(Some(customer.id.0), name, inbound.channel.to_string());
    Event::MessageReceived { at: cx.now, by, message: Box::new(inbound.clone()) }
}

/// A name or language of the customer that the conversation did not know. One it knows stays: what a message says
/// of its sender is no better. A thread may bring in a message of another customer; the conversation stays with its
/// own.
fn newly_known(facts: &Facts, customer: CustomerCard, cx: &Context<'_>) -> Option<Event> {
    if customer.id != facts.customer.id {
        return None;
    }
    let known = CustomerCard {
        id: customer.id,
        name: facts.customer.name.clone().or(customer.name),
        language: facts.customer.language.clone().or(customer.language),
    };
    (known != facts.customer).then_some(Event::CustomerKnown { at: cx.now, customer: known })
}

/// Adds the acknowledgement of an opening message, where somebody can read it.
///
/// An automatic message is never answered by a machine: two of them would answer each other for ever.
fn acknowledge(
    decision: Decision<Conversation>,
    inbound: &Inbound,
    cx: &Context<'_>,
) -> Decision<Conversation> {
    if !cx.policy.acknowledge || inbound.automatic {
        return decision;
    }
    let mut draft = match Draft::continuing(&State::default(), decision, cx) {
        Ok(draft) => draft,
        Err(decision) => return decision,
    };
    let contact = draft.facts.contacts.get(&inbound.channel).filter(|contact| contact.theirs.can_answer());
    let Some(to) = contact.map(|contact| contact.theirs.clone()) else { return draft.done() };
    let name = draft.facts.customer.name.as_deref().or(inbound.name.as_deref());
    let name = name.and_then(template::presentable);
    let language = draft.facts.customer.language.as_deref();
    let purpose = Purpose::Acknowledgement;
    let letter = Letter {
        id: inbound.id.of_answer(),
        channel: inbound.channel.clone(),
        to,
        text: template::say(cx.policy, language, purpose.as_str(), |_| name.clone()),
        attachments: Vec::new(),
        by: By::engine(),
        agent_name: None,
        automatic: true,
        why: WhyChannel::LastUsed,
        purpose,
        replaces: None,
        promises: None,
        fallback_at: None,
    };
    draft.queue(letter);
    draft.done()
}
