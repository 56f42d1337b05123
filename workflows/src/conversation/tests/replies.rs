//! What we write to the customer.

use super::fixtures::*;
use crate::{
    activity::ConversationActivity,
    conversation::{Event, Move, NewMessage, Purpose, Rejection, Status, WhyChannel, command::Command},
    ids::ConversationId,
    message::{Address, Channel, Outbound},
    scenario::{id, moment, person},
    words::Severity,
    workflow::{By, Claim},
};

fn from_grace() -> Outbound {
    Outbound { from_name: Some("Grace".to_owned()), ..outbound(2) }
}

/// What Grace wrote, under her name.
fn grace_replies() -> Command {
    Command::Reply { message: NewMessage { agent_name: Some("Grace".to_owned()), ..new_message(2) } }
}

fn begin(to: Address, channel: Option<Channel>) -> Command {
    begin_instead_of(None, to, channel)
}

fn begin_instead_of(replaces: Option<ConversationId>, to: Address, channel: Option<Channel>) -> Command {
    Command::Begin {
        conversation_id: this(),
        customer: ada(),
        message: NewMessage { channel, agent_name: Some("Grace".to_owned()), ..new_message(2) },
        to,
        subject: Some("Your order".to_owned()),
        priority: Some(Severity::P1),
        replaces,
        standing: None,
    }
}

#[test]
fn a_reply_goes_by_the_channel_last_used_and_makes_it_the_customers_turn() {
    given(waiting())
        .by(person("Grace"))
        .when(grace_replies())
        .then([
            queued(from_grace(), person("Grace"), "09:00"),
            changed(Status::AwaitingAgent, Status::AwaitingCustomer, Move::Replied, "09:00"),
        ])
        .then_activities([ConversationActivity::Send(Box::new(from_grace()))]);
}

#[test]
fn a_second_reply_keeps_the_status_and_so_does_one_in_a_case() {
    for status in [Status::AwaitingCustomer, Status::Escalated] {
        given(standing(status)).by(person("Grace")).when(grace_replies()).then([queued(
            from_grace(),
            person("Grace"),
            "09:00",
        )]);
    }
}

#[test]
fn a_token_that_is_no_agents_lends_no_name_to_the_customer() {
    given(waiting())
        .by(person("nightly export"))
        .when(reply(2))
        .then([
            queued(outbound(2), person("nightly export"), "09:00"),
            changed(Status::AwaitingAgent, Status::AwaitingCustomer, Move::Replied, "09:00"),
        ])
        .then_activities([ConversationActivity::Send(Box::new(outbound(2)))]);
}

#[test]
fn a_reply_from_open_or_reopened_makes_it_the_customers_turn() {
    for status in [Status::Open, Status::Reopened] {
        let outcome = given(standing(status)).when(reply(2));
        assert_eq!(facts(outcome.state()).status, Status::AwaitingCustomer);
    }
}

#[test]
fn a_reply_to_what_is_resolved_is_refused_with_the_legal_moves() {
    let rejection = illegal(Status::Resolved, Move::Replied);
    let text = "`replied` is not possible while the conversation is `resolved`; \
                possible: customer_wrote, escalate, resolve, reopen";
    assert_eq!(rejection.to_string(), text);
    let _ = given(standing(Status::Resolved)).when(reply(2)).then_rejected(rejection);
}

#[test]
fn a_reply_that_was_taken_is_not_sent_again_even_once_resolved() {
    let events = [
        queued(outbound(2), By::engine(), "08:10"),
        changed(Status::AwaitingAgent, Status::Resolved, Move::Resolve, "08:20"),
    ];
    given(waiting_and(events)).when(reply(2)).then_nothing();
}

#[test]
fn a_reply_may_choose_a_channel_whose_address_is_known() {
    let events = waiting_and([received(mail(5), "08:10"), received(sms(6), "08:20")]);
    let command = Command::Reply { message: NewMessage { channel: Some(Channel::Email), ..new_message(7) } };
    let outcome = given(events).when(command);
    let Event::MessageQueued { message, why, .. } = &outcome.decision().events[0] else { panic!() };
    assert_eq!((&message.channel, *why), (&Channel::Email, WhyChannel::Requested));
    assert_eq!(message.to, Address::email("ada@example.com"));
    assert_eq!(message.in_reply_to.as_deref(), Some("m5@example.com"));
    assert_eq!(message.subject.as_deref(), Some("Re: Broken lamp"));
}

#[test]
fn a_reply_by_a_channel_without_an_address_is_refused() {
    let command = Command::Reply { message: NewMessage { channel: Some(Channel::Email), ..new_message(2) } };
    let rejection = Rejection::NoAddress { channel: Channel::Email };
    given(waiting()).when(command).then_rejected(rejection);
}

#[test]
fn a_reply_of_nothing_is_refused() {
    let command = Command::Reply { message: NewMessage { text: " \n".to_owned(), ..new_message(2) } };
    let allowed = "a text that is not empty, unless files go along".to_owned();
    let rejection = Rejection::Invalid { field: "text", allowed };
    given(waiting()).when(command).then_rejected(rejection);
}

#[test]
fn a_person_begins_a_conversation() {
    let first = Outbound { from: None, from_name: Some("Grace".to_owned()), ..outbound(2) };
    let opened = Event::Opened {
        at: moment("09:00"),
        id: this(),
        customer: ada(),
        channel: Channel::Sms,
        subject: Some("Your order".to_owned()),
        follow_up_of: None,
        priority: Some(Severity::P1),
    };
    let written = Event::MessageQueued {
        at: moment("09:00"),
        by: person("Grace"),
        message: Box::new(first.clone()),
        why: WhyChannel::SuitsAddress,
        purpose: Purpose::Reply,
        replaces: None,
        promises: None,
        fallback_at: None,
    };
    given([])
        .by(person("Grace"))
        .when(begin(Address::phone("+15550123456"), None))
        .then([opened, written, changed(Status::Open, Status::AwaitingCustomer, Move::Replied, "09:00")])
        .then_activities([ConversationActivity::Send(Box::new(first))])
        .then_claims([Claim::take("current", ada().id.to_string())]);
}

#[test]
fn a_mail_that_begins_a_conversation_is_no_answer() {
    let outcome = given([]).when(begin(Address::email("ada@example.com"), None));
    let Event::MessageQueued { message, .. } = &outcome.decision().events[1] else { panic!() };
    assert_eq!(message.subject.as_deref(), Some("Your order"));
    assert_eq!((&message.in_reply_to, message.references.len()), (&None, 0));
}

#[test]
fn a_beginning_may_take_the_place_of_the_current_conversation() {
    let former = ConversationId(id(7));
    let to = Address::phone("+15550123456");
    let command = begin_instead_of(Some(former), to, Some(Channel::Whatsapp));
    given([]).when(command).then_claims([Claim::take_from("current", ada().id.to_string(), former.0)]);
}

#[test]
fn a_beginning_by_a_channel_that_cannot_reach_the_address_is_refused() {
    given([])
        .when(begin(Address::email("ada@example.com"), Some(Channel::Sms)))
        .then_rejected(Rejection::NoAddress { channel: Channel::Sms });
    let nowhere = Address::handle(&Channel::Chat, "v1");
    let nowhere = Address { value: nowhere.value.replace("chat/", ""), ..nowhere };
    let rejection = Rejection::Invalid { field: "to", allowed: "an address".to_owned() };
    given([]).when(begin(nowhere, None)).then_rejected(rejection);
}

#[test]
fn a_second_beginning_with_the_same_id_is_refused() {
    given(waiting()).when(begin(Address::phone("+15550123456"), None)).then_rejected(Rejection::Exists);
}
