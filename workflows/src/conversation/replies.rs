//! What we write to the customer: a person's first message or answer, and the engine's own words.
//!
//! An answer goes by the channel the customer last used unless its writer chose another. A message is complete when
//! it leaves here; whoever sends it needs to look nothing up.

use super::{
    Conversation, Facts, Rejection, State,
    command::{CustomerCard, NewMessage},
    draft::Draft,
    event::{Event, Purpose, WhyChannel},
    lifecycle::Move,
    moved, reach,
    receiving::current,
    silence,
    standing::Standing,
    threading::Subject,
};
use crate::{
    activity::ConversationActivity,
    ids::{ConversationId, MessageId},
    message::{Address, Attachment, Channel, Outbound},
    time::Timestamp,
    words::Severity,
    workflow::{By, Context, Decision},
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
    pub(super) standing: Option<Box<Standing>>,
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
    pub(super) purpose: Purpose,
    pub(super) replaces: Option<MessageId>,
    pub(super) promises: Option<Timestamp>,
    pub(super) fallback_at: Option<Timestamp>,
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
    let decision = Decision::event(opened)
        .and_all(plan.standing.map(|standing| Event::StandingKnown { at: cx.now, standing }))
        .claim(current(&plan.customer, plan.replaces));
    let mut draft = match Draft::continuing(&State::default(), decision, cx) {
        Ok(draft) => draft,
        Err(decision) => return Ok(decision),
    };
    draft.queue(letter(message, channel, plan.to, why, cx));
    let change = moved(&draft.facts, Move::Replied, cx)?;
    draft.record_any(change);
    Ok(draft.done())
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
    let mut draft = Draft::new(facts, cx);
    // A person has found words: those that the machine had ready are not needed any more.
    silence::supersede_updates(&mut draft);
    write(&mut draft, message)?;
    draft.record_any(change);
    Ok(draft.done())
}

/// Adds a person's message, by the channel they chose or the one that suits.
pub(super) fn write(draft: &mut Draft<'_>, message: NewMessage) -> Result<(), Rejection> {
    let (channel, why) = match message.channel.clone() {
        Some(channel) => (channel, WhyChannel::Requested),
        None if *reach::home(&draft.facts) == draft.facts.channel => {
            (draft.facts.channel.clone(), WhyChannel::LastUsed)
        }
        None => (reach::home(&draft.facts).clone(), WhyChannel::Continuation),
    };
    let Some(contact) = draft.facts.contacts.get(&channel) else {
        return Err(Rejection::NoAddress { channel });
    };
    let to = contact.theirs.clone();
    draft.queue(letter(message, channel, to, why, draft.cx));
    Ok(())
}

/// A message to the customer as a fact, and the request to send it.
pub(super) fn queued(facts: &Facts, letter: Letter, cx: &Context<'_>) -> (Event, ConversationActivity) {
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
    let event = Event::MessageQueued {
        at: cx.now,
        by: letter.by,
        message: message.clone(),
        why: letter.why,
        purpose: letter.purpose,
        replaces: letter.replaces,
        promises: letter.promises,
        fallback_at: letter.fallback_at,
    };
    (event, ConversationActivity::Send(message))
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
        purpose: Purpose::Reply,
        replaces: None,
        promises: None,
        fallback_at: None,
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

pub(super) fn check_contents(message: &NewMessage) -> Result<(), Rejection> {
    if message.text.trim().is_empty() && message.attachments.is_empty() {
        return Err(Rejection::invalid("text", "a text that is not empty, unless files go along"));
    }
    check_length(&message.text)?;
    if message.attachments.len() > ATTACHMENTS_MAX {
        return Err(Rejection::invalid("attachments", format!("at most {ATTACHMENTS_MAX} files")));
    }
    Ok(())
}
