//! What the scenarios begin with. Builders hide what does not matter.

use crate::{
    conversation::{
        Conversation, CustomerCard, DeliveryStatus, Event, Facts, Move, NewMessage, Opening, Purpose,
        Rejection, State, Status, WhyChannel, command::Command, lifecycle::legal_moves,
    },
    ids::{ConversationId, CustomerId, MessageId},
    message::{Address, Channel, Details, EmailDetails, Inbound, Outbound},
    scenario::{Scenario, id, moment},
    workflow::By,
};

/// The conversation of all scenarios.
pub(super) fn this() -> ConversationId {
    ConversationId(id(1))
}

pub(super) fn message(n: u64) -> MessageId {
    MessageId(id(100 + n))
}

pub(super) fn ada() -> CustomerCard {
    CustomerCard { id: CustomerId(id(2)), name: Some("Ada".to_owned()), language: None }
}

pub(super) fn ada_by(channel: &str) -> By {
    By::customer(Some(id(2)), Some("Ada".to_owned()), channel)
}

/// Ada's `n`th text message.
pub(super) fn sms(n: u64) -> Inbound {
    Inbound {
        id: message(n),
        channel: Channel::Sms,
        provider_message_id: format!("SM{n}"),
        from: vec![Address::phone("+15550123456")],
        name: None,
        to: Some("+15550100200".to_owned()),
        text: format!("text {n}"),
        subject: None,
        attachments: Vec::new(),
        thread: None,
        vouched: false,
        automatic: false,
        details: Details::Sms { segments: 1 },
        metadata: String::new(),
        sent_at: None,
        received_at: moment("09:00"),
    }
}

/// Ada's `n`th mail.
pub(super) fn mail(n: u64) -> Inbound {
    let details = EmailDetails { message_id: Some(format!("m{n}@example.com")), ..EmailDetails::default() };
    Inbound {
        channel: Channel::Email,
        from: vec![Address::email("ada@example.com")],
        to: Some("support@example.com".to_owned()),
        subject: Some("Broken lamp".to_owned()),
        details: Details::Email(Box::new(details)),
        ..sms(n)
    }
}

/// A scenario of what people do; what the clocks make of it is left aside.
pub(super) fn given(events: impl IntoIterator<Item = Event>) -> Scenario<Conversation> {
    Scenario::given(events).aside(|event| matches!(event, Event::ClocksChanged { .. }))
}

pub(super) fn automatic(inbound: Inbound) -> Inbound {
    Inbound { automatic: true, ..inbound }
}

pub(super) fn receive(inbound: Inbound) -> Command {
    Command::Receive { conversation_id: this(), inbound: Box::new(inbound), customer: ada(), opening: None }
}

pub(super) fn open_with(inbound: Inbound) -> Command {
    Command::Receive {
        conversation_id: this(),
        inbound: Box::new(inbound),
        customer: ada(),
        opening: Some(Opening::default()),
    }
}

pub(super) fn new_message(n: u64) -> NewMessage {
    NewMessage {
        id: message(n),
        channel: None,
        text: "Try the switch.".to_owned(),
        attachments: Vec::new(),
        agent_name: None,
    }
}

pub(super) fn reply(n: u64) -> Command {
    Command::Reply { message: new_message(n) }
}

pub(super) fn opened(channel: Channel, subject: Option<&str>, time: &str) -> Event {
    Event::Opened {
        at: moment(time),
        id: this(),
        customer: ada(),
        channel,
        subject: subject.map(str::to_owned),
        follow_up_of: None,
        priority: None,
    }
}

pub(super) fn received(inbound: Inbound, time: &str) -> Event {
    let by = ada_by(&inbound.channel.to_string());
    Event::MessageReceived { at: moment(time), by, message: Box::new(inbound) }
}

pub(super) fn changed(from: Status, to: Status, by: Move, time: &str) -> Event {
    Event::StateChanged { at: moment(time), from, to, by }
}

/// Ada has written by SMS and waits for an agent.
pub(super) fn waiting() -> Vec<Event> {
    vec![
        opened(Channel::Sms, None, "08:00"),
        received(sms(1), "08:00"),
        changed(Status::Open, Status::AwaitingAgent, Move::Queued, "08:00"),
    ]
}

/// Ada has written a mail and waits for an agent.
pub(super) fn waiting_by_mail() -> Vec<Event> {
    vec![
        opened(Channel::Email, Some("Broken lamp"), "08:00"),
        received(mail(1), "08:00"),
        changed(Status::Open, Status::AwaitingAgent, Move::Queued, "08:00"),
    ]
}

/// [`waiting`], and then this.
pub(super) fn waiting_and(more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut events = waiting();
    events.extend(more);
    events
}

/// As [`waiting`], in another status since eight o'clock.
pub(super) fn standing(status: Status) -> Vec<Event> {
    let by = Move::JudgedAnew;
    waiting_and((status != Status::AwaitingAgent).then(|| Event::StateChanged {
        at: moment("08:00"),
        from: Status::AwaitingAgent,
        to: status,
        by,
    }))
}

/// What we write to Ada by SMS.
pub(super) fn outbound(n: u64) -> Outbound {
    Outbound {
        message_id: message(n),
        conversation_id: this(),
        channel: Channel::Sms,
        to: Address::phone("+15550123456"),
        to_name: Some("Ada".to_owned()),
        from: Some("+15550100200".to_owned()),
        from_name: None,
        subject: None,
        text: "Try the switch.".to_owned(),
        attachments: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: false,
    }
}

pub(super) fn queued(message: Outbound, by: By, time: &str) -> Event {
    let purpose = if message.automatic { Purpose::Acknowledgement } else { Purpose::Reply };
    Event::MessageQueued {
        at: moment(time),
        by,
        message: Box::new(message),
        why: WhyChannel::LastUsed,
        purpose,
        replaces: None,
        promises: None,
        fallback_at: None,
    }
}

pub(super) fn delivery(n: u64, status: DeliveryStatus, time: &str) -> Event {
    Event::DeliveryChanged {
        at: moment(time),
        message_id: message(n),
        status,
        provider_message_id: None,
        error: None,
    }
}

pub(super) fn illegal(from: Status, wanted: Move) -> Rejection {
    Rejection::IllegalMove { from, wanted, legal: legal_moves(from) }
}

pub(super) fn facts(state: &State) -> &Facts {
    state.facts().unwrap()
}
