//! A customer's message comes in.

use super::fixtures::*;
use crate::{
    activity::ConversationActivity,
    conversation::{
        Conversation, CustomerCard, Deadline, Event, Move, Opening, Rejection, Status, WhyChannel,
        command::Command,
    },
    ids::{ConversationId, CustomerId},
    message::{Address, Channel, Inbound, Outbound},
    policy::Policy,
    scenario::{Outcome, id, moment},
    sla::ClockKind,
    workflow::{By, Claim, Workflow},
};

const ACKNOWLEDGEMENT: &str = "Thank you, Ada. We have your message and a person will answer.";

fn acknowledgement() -> Outbound {
    Outbound {
        message_id: message(1).of_answer(),
        text: ACKNOWLEDGEMENT.to_owned(),
        automatic: true,
        ..outbound(1)
    }
}

#[test]
fn a_first_message_opens_queues_and_is_acknowledged() {
    let queue = changed(Status::Open, Status::AwaitingAgent, Move::Queued, "09:00");
    given([])
        .when(open_with(sms(1)))
        .then([
            opened(Channel::Sms, None, "09:00"),
            received(sms(1), "09:00"),
            queue,
            queued(acknowledgement(), By::engine(), "09:00"),
        ])
        .then_activities([ConversationActivity::Send(Box::new(acknowledgement()))])
        .then_claims([Claim::take("current", ada().id.to_string())])
        .then_armed([
            // Twelve hours of silence from nine, less two hours, half an hour, nothing.
            (Deadline::Nudge, moment("19:00")),
            (Deadline::Update, moment("20:30")),
            (Deadline::Silence, moment("2026-03-02T21:00:00.001Z")),
            (Deadline::Reminder, moment("09:30")),
            // Three quarters of two hours and of a day.
            (Deadline::Clock(ClockKind::FirstResponse), moment("10:30")),
            (Deadline::Clock(ClockKind::Resolution), moment("2026-03-03T03:00:00Z")),
        ]);
}

#[test]
fn a_follow_up_takes_the_place_of_the_conversation_it_follows() {
    let former = ConversationId(id(7));
    let opening = Opening { follow_up_of: Some(former), replaces: Some(former), standing: None };
    let command = Command::Receive {
        conversation_id: this(),
        inbound: Box::new(sms(1)),
        customer: ada(),
        opening: Some(opening),
    };
    let outcome = given([]).when(command);
    assert!(
        matches!(&outcome.decision().events[0], Event::Opened { follow_up_of, .. } if *follow_up_of == Some(former))
    );
    outcome.then_claims([Claim::take_from("current", ada().id.to_string(), former.0)]);
}

#[test]
fn a_message_to_a_conversation_that_never_was_is_refused() {
    given([]).when(receive(sms(1))).then_rejected(Rejection::Unknown);
}

#[test]
fn an_automatic_first_message_is_not_acknowledged() {
    let outcome = given([]).when(open_with(automatic(mail(1)))).then_activities([]);
    assert_eq!(facts(outcome.state()).status, Status::AwaitingAgent);
}

#[test]
fn nothing_is_acknowledged_where_the_policy_says_so() {
    let policy = Policy { acknowledge: false, ..Policy::default() };
    given([]).under(policy).when(open_with(sms(1))).then_activities([]);
}

#[test]
fn nothing_is_acknowledged_to_an_address_that_nobody_reads() {
    for address in [Address::phone("72345"), Address::phone("+12345"), Address::email("no-reply@example.com")]
    {
        let channel = if address.value.contains('@') { Channel::Email } else { Channel::Sms };
        let inbound = Inbound { from: vec![address], channel, ..sms(1) };
        given([]).when(open_with(inbound)).then_activities([]);
    }
    // A sender with letters instead of a number is a handle, and telephones cannot answer one.
    let inbound = Inbound { from: vec![Address::handle(&Channel::Sms, "SHOP")], ..sms(1) };
    given([]).when(open_with(inbound)).then_activities([]);
}

#[test]
fn the_acknowledgement_of_a_mail_hangs_on_it() {
    let outcome = given([]).when(open_with(mail(1)));
    let [ConversationActivity::Send(sent)] = &outcome.decision().activities[..] else { panic!() };
    assert_eq!(sent.subject.as_deref(), Some("Re: Broken lamp"));
    assert_eq!(sent.in_reply_to.as_deref(), Some("m1@example.com"));
    assert_eq!(sent.references, ["m1@example.com"]);
    assert_eq!((&sent.from, sent.automatic), (&None, true));
}

#[test]
fn the_acknowledgement_speaks_the_customers_language() {
    let mut policy = Policy::default();
    let german = [("acknowledgement".to_owned(), "Danke, {customer}!".to_owned())];
    policy.templates.insert("de".to_owned(), german.into_iter().collect());
    let mut customer = ada();
    customer.language = Some("de-AT".to_owned());
    let command = Command::Receive {
        conversation_id: this(),
        inbound: Box::new(sms(1)),
        customer,
        opening: Some(Opening::default()),
    };
    let outcome = given([]).under(policy).when(command);
    let [ConversationActivity::Send(sent)] = &outcome.decision().activities[..] else { panic!() };
    assert_eq!(sent.text, "Danke, Ada!");
}

#[test]
fn a_further_message_is_kept_and_keeps_the_status() {
    given(waiting())
        .when(receive(sms(2)))
        .then([received(sms(2), "09:00")])
        .then_activities([])
        .then_claims([]);
}

#[test]
fn the_same_message_again_changes_nothing() {
    given(waiting()).when(receive(sms(1))).then_nothing();
    // The provider delivers it again, and the door has minted another id.
    let again = Inbound { id: message(50), ..sms(1) };
    given(waiting()).when(receive(again)).then_nothing();
    given(waiting()).when(open_with(sms(1))).then_nothing();
}

#[test]
fn the_customers_answer_makes_it_our_turn() {
    let turn = changed(Status::AwaitingCustomer, Status::AwaitingAgent, Move::CustomerWrote, "09:00");
    given(standing(Status::AwaitingCustomer)).when(receive(sms(2))).then([received(sms(2), "09:00"), turn]);
}

#[test]
fn an_escalated_conversation_stays_so_when_the_customer_writes() {
    given(standing(Status::Escalated)).when(receive(sms(2))).then([received(sms(2), "09:00")]);
}

fn taken_at(inbound: Inbound, time: &str) -> Inbound {
    Inbound { received_at: moment(time), ..inbound }
}

#[test]
fn a_message_inside_the_window_reopens_without_touching_the_claim() {
    // Taken at the last moment, and brought here minutes later because the server was down.
    let (last_moment, later) = ("2026-03-09T08:00:00Z", "2026-03-09T08:20:00Z");
    let inbound = taken_at(sms(2), last_moment);
    let reopened = changed(Status::Resolved, Status::Reopened, Move::CustomerWrote, later);
    given(standing(Status::Resolved))
        .at(later)
        .when(receive(inbound.clone()))
        .then([received(inbound, later), reopened])
        .then_claims([]);
}

#[test]
fn a_message_after_the_window_belongs_elsewhere() {
    let too_late = "2026-03-09T08:00:00.001Z";
    for inbound in [sms(2), automatic(sms(2))] {
        given(standing(Status::Resolved))
            .at(too_late)
            .when(receive(taken_at(inbound, too_late)))
            .then_rejected(Rejection::Closed);
    }
}

#[test]
fn a_message_that_names_the_conversation_reopens_it_whatever_its_age() {
    let years_later = "2036-03-09T08:00:00Z";
    let inbound = Inbound { thread: Some(this()), ..taken_at(sms(2), years_later) };
    let outcome = given(standing(Status::Resolved)).at(years_later).when(receive(inbound));
    assert_eq!(facts(outcome.state()).status, Status::Reopened);
    let elsewhere = Inbound { thread: Some(ConversationId(id(8))), ..taken_at(sms(2), years_later) };
    given(standing(Status::Resolved))
        .at(years_later)
        .when(receive(elsewhere))
        .then_rejected(Rejection::Closed);
}

#[test]
fn an_automatic_message_is_kept_and_moves_nothing() {
    for status in Status::ALL {
        let inbound = automatic(sms(2));
        given(standing(*status))
            .when(receive(inbound.clone()))
            .then([received(inbound, "09:00")])
            .then_activities([]);
    }
}

#[test]
fn a_bounce_does_not_become_the_customers_address() {
    let bounce = Inbound { from: vec![Address::email("mailer-daemon@example.net")], ..automatic(mail(2)) };
    let outcome = given(waiting_by_mail()).when(receive(bounce));
    let facts = facts(outcome.state());
    assert_eq!(facts.contacts[&Channel::Email].theirs, Address::email("ada@example.com"));
    assert_eq!(facts.mail.as_ref().unwrap().message_id, "m1@example.com");
}

#[test]
fn the_customers_message_ends_a_snooze() {
    let snoozed = Event::Snoozed { at: moment("08:30"), until: moment("17:00") };
    let outcome = given(waiting_and([snoozed]))
        .when(receive(sms(2)))
        .then([received(sms(2), "09:00"), Event::Woken { at: moment("09:00") }]);
    assert_eq!(facts(outcome.state()).snoozed_until, None);
    assert!(
        Conversation::deadlines(outcome.state()).iter().all(|(deadline, _)| deadline != Deadline::Snooze)
    );
}

#[test]
fn a_name_that_was_missing_is_taken_up_and_one_that_is_known_stays() {
    let mut nameless = ada();
    nameless.name = None;
    let first = Event::Opened {
        at: moment("08:00"),
        id: this(),
        customer: nameless,
        channel: Channel::Sms,
        subject: None,
        follow_up_of: None,
        priority: None,
    };
    let known = Event::CustomerKnown { at: moment("09:00"), customer: ada() };
    given([first]).when(receive(sms(2))).then([received(sms(2), "09:00"), known]);
    let mut renamed = ada();
    renamed.name = Some("Somebody".to_owned());
    let command = Command::Receive {
        conversation_id: this(),
        inbound: Box::new(sms(2)),
        customer: renamed,
        opening: None,
    };
    let outcome = given(waiting()).when(command);
    assert_eq!(facts(outcome.state()).customer, ada());
}

#[test]
fn a_senders_name_is_first_told_to_a_customer_who_may_have_none() {
    let message = Inbound { name: Some("Amara".to_owned()), ..sms(2) };
    let receive = |id: CustomerId, name: Option<&str>| Command::Receive {
        conversation_id: this(),
        inbound: Box::new(message.clone()),
        customer: CustomerCard { id, name: name.map(str::to_owned), language: None },
        opening: None,
    };
    let (owner, stranger) = (ada().id, CustomerId(id(3)));
    let nameless = Event::Opened {
        at: moment("08:00"),
        id: this(),
        customer: CustomerCard { name: None, ..ada() },
        channel: Channel::Sms,
        subject: None,
        follow_up_of: None,
        priority: None,
    };
    given([nameless.clone()]).when(receive(owner, None)).then_rejected(Rejection::Nameless);
    given(waiting()).when(receive(stranger, None)).then_rejected(Rejection::Nameless);
    let known = |outcome: Outcome<Conversation>| {
        let received = matches!(outcome.decision().events[..], [Event::MessageReceived { .. }, ..]);
        received.then(|| facts(outcome.state()).customer.name.clone()).flatten()
    };
    let amara = Some("Amara".to_owned());
    assert_eq!(known(given([nameless]).when(receive(owner, amara.as_deref()))), amara);
    assert_eq!(known(given(waiting()).when(receive(owner, None))), ada().name, "known here already");
}

#[test]
fn a_message_of_another_customer_in_the_thread_is_taken_and_the_conversation_stays_with_its_own() {
    let mut grace = ada();
    grace.id = CustomerId(id(3));
    grace.name = Some("Grace".to_owned());
    let inbound = Inbound { thread: Some(this()), ..sms(2) };
    let command = Command::Receive {
        conversation_id: this(),
        inbound: Box::new(inbound),
        customer: grace,
        opening: None,
    };
    let outcome = given(waiting()).when(command);
    let [Event::MessageReceived { by, .. }, ..] = &outcome.decision().events[..] else { panic!() };
    assert_eq!(by.name.as_deref(), Some("Grace"));
    assert_eq!(facts(outcome.state()).customer, ada());
}

#[test]
fn a_signed_senders_further_address_can_be_written_to() {
    let both = vec![Address::email("ada@example.com"), Address::phone("+15550123456")];
    let inbound = Inbound { channel: Channel::Generic("web".to_owned()), from: both, ..sms(1) };
    let outcome = given([]).when(open_with(inbound));
    let contacts = &facts(outcome.state()).contacts;
    let channels: Vec<String> = contacts.keys().map(Channel::to_string).collect();
    assert_eq!(channels, ["email", "sms", "generic:web"]);
    let queued = outcome.decision().events.iter().find(|event| matches!(event, Event::MessageQueued { .. }));
    let Some(Event::MessageQueued { why, message, .. }) = queued else { panic!() };
    assert_eq!((*why, message.channel.to_string().as_str()), (WhyChannel::LastUsed, "generic:web"));
}

#[test]
fn sends_of_one_channel_share_a_lane() {
    let lane = Conversation::lane(&ConversationActivity::Send(Box::new(outbound(1))));
    assert_eq!(lane.as_deref(), Some("sms"));
}
