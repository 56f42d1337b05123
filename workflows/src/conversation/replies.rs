//! What we write to the customer: a person's first message or answer, and the engine's own words.
//!
//! An answer goes by the channel the customer last used unless its writer chose another. A message is complete when
//! it leaves here; whoever sends it needs to look nothing up.

use super::{
    Conversation, Facts, Rejection, State,
    command::{CustomerCard, NewMessage},
    event::{Event, WhyChannel},
    lifecycle::Move,
    moved,
    receiving::current,
    threading::Subject,
};
use crate::{
    activity::ConversationActivity,
    ids::{ConversationId, MessageId},
    message::{Address, Attachment, Channel, Outbound},
    words::Severity,
    workflow::{By, Context, Decision, Workflow},
};

/// The longest text that a person can send or note, in bytes.
const TEXT_MAX: usize = 20_000;

/// The most files that one message can carry.
const ATTACHMENTS_MAX: usize = 20;

/// How a person begins a conversation.
pub(super) struct Beginning {
    pub(super) conversation_id: ConversationId,
    pub(super) customer: CustomerCard,
    pub(super) to: Address,
    pub(super) subject: Option<String>,
    pub(super) priority: Option<Severity>,
    pub(super) replaces: Option<ConversationId>,
}

/// What is to be written, by whom, to where.
pub(super) struct Letter {
    pub(super) id: MessageId,
    pub(super) channel: Channel,
    pub(super) to: Address,
    pub(super) text: String,
    pub(super) attachments: Vec<Attachment>,
    pub(super) by: By,
    pub(super) agent_name: Option<String>,
    pub(super) automatic: bool,
    pub(super) why: WhyChannel,
}

/// Begins a conversation with a message to the customer.
pub(super) fn begin(
    plan: Beginning,
    message: NewMessage,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    check_contents(&message)?;
    let (channel, why) = match message.channel.clone() {
        Some(channel) => (channel, WhyChannel::Requested),
        None => match plan.to.usual_channel() {
            Some(channel) => (channel, WhyChannel::SuitsAddress),
            None => return Err(Rejection::invalid("to", "an address")),
        },
    };
    if !plan.to.is_reached_by(&channel) {
        return Err(Rejection::NoAddress { channel });
    }
    let opened = Event::Opened {
        at: cx.now,
        id: plan.conversation_id,
        customer: plan.customer.clone(),
        channel: channel.clone(),
        subject: plan.subject.as_deref().and_then(Subject::new).map(Subject::into_text),
        follow_up_of: None,
        priority: plan.priority,
    };
    let mut state = State::default();
    Conversation::evolve(&mut state, &opened);
    let decision = Decision::event(opened).claim(current(&plan.customer, plan.replaces));
    let Some(facts) = state.facts() else { return Ok(decision) };
    let letter = letter(message, channel, plan.to, why, cx);
    Ok(queue(decision, facts, letter, cx).and_all(moved(facts, Move::Replied, cx)?))
}

/// The same beginning again is nothing new; another one is refused.
pub(super) fn begin_again(facts: &Facts, message: &NewMessage) -> Result<Decision<Conversation>, Rejection> {
    match facts.send_status(message.id) {
        Some(_) => Ok(Decision::nothing()),
        None => Err(Rejection::Exists),
    }
}

/// Answers the customer.
pub(super) fn reply(
    facts: &Facts,
    message: NewMessage,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    if facts.send_status(message.id).is_some() {
        return Ok(Decision::nothing());
    }
    let change = moved(facts, Move::Replied, cx)?;
    check_contents(&message)?;
    let (channel, why) = match message.channel.clone() {
        Some(channel) => (channel, WhyChannel::Requested),
        None => (facts.channel.clone(), WhyChannel::LastUsed),
    };
    let Some(contact) = facts.contacts.get(&channel) else {
        return Err(Rejection::NoAddress { channel });
    };
    let letter = letter(message, channel, contact.theirs.clone(), why, cx);
    Ok(queue(Decision::nothing(), facts, letter, cx).and_all(change))
}

/// Adds a message to the customer: the fact and the request to send it.
pub(super) fn queue(
    decision: Decision<Conversation>,
    facts: &Facts,
    letter: Letter,
    cx: &Context<'_>,
) -> Decision<Conversation> {
    let by_mail = letter.channel == Channel::Email;
    let thread = facts.mail.as_ref().filter(|_| by_mail);
    let message = Box::new(Outbound {
        message_id: letter.id,
        conversation_id: facts.id,
        to: letter.to,
        to_name: facts.customer.name.clone(),
        // Mail comes from the tenant's one address; elsewhere we answer from the number or page last written to.
        from: facts
            .contacts
            .get(&letter.channel)
            .filter(|_| !by_mail)
            .and_then(|contact| contact.ours.clone()),
        from_name: letter.agent_name,
        subject: by_mail.then(|| subject(facts, cx)),
        text: letter.text,
        attachments: letter.attachments,
        in_reply_to: thread.map(|thread| thread.message_id.clone()),
        references: thread.map(|thread| thread.references.clone()).unwrap_or_default(),
        automatic: letter.automatic,
        channel: letter.channel,
    });
    let queued =
        Event::MessageQueued { at: cx.now, by: letter.by, message: message.clone(), why: letter.why };
    decision.and(queued).activity(ConversationActivity::Send(message))
}

fn letter(message: NewMessage, channel: Channel, to: Address, why: WhyChannel, cx: &Context<'_>) -> Letter {
    Letter {
        id: message.id,
        channel,
        to,
        text: message.text,
        attachments: message.attachments,
        by: cx.by.clone(),
        agent_name: message.agent_name,
        automatic: false,
        why,
    }
}

/// The subject of a mail: an answer's once anything was said before, else the subject itself; the tenant's name
/// where there is none, since a mail without a subject looks like rubbish.
fn subject(facts: &Facts, cx: &Context<'_>) -> String {
    let begins = facts.sends.is_empty() && facts.recent_inbound.is_empty();
    match &facts.subject {
        Some(subject) if begins => subject.as_str().to_owned(),
        Some(subject) => subject.of_answer(),
        None => cx.policy.name.clone(),
    }
}

/// Refuses a text that would not fit a record, which holds it as an event and as an activity.
pub(super) fn check_length(text: &str) -> Result<(), Rejection> {
    if text.len() > TEXT_MAX {
        return Err(Rejection::invalid("text", format!("at most {TEXT_MAX} bytes long")));
    }
    Ok(())
}

fn check_contents(message: &NewMessage) -> Result<(), Rejection> {
    if message.text.trim().is_empty() && message.attachments.is_empty() {
        return Err(Rejection::invalid("text", "a text that is not empty, unless files go along"));
    }
    check_length(&message.text)?;
    if message.attachments.len() > ATTACHMENTS_MAX {
        return Err(Rejection::invalid("attachments", format!("at most {ATTACHMENTS_MAX} files")));
    }
    Ok(())
}
