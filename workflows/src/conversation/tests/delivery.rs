//! What becomes of a send: every pair of the ladder.

use super::fixtures::*;
use crate::{
    activity::ConversationActivity,
    conversation::{Conversation, Delivery, DeliveryStatus, Event, SENT, command::Command},
    ids::MessageId,
    message::{Channel, Outbound},
    scenario::moment,
    workflow::{ActivityError, By, Claim, Workflow},
};

fn accepted() -> Command {
    let delivery = Delivery::Accepted { at: moment("08:59"), provider_message_id: Some("SM9".to_owned()) };
    Command::RecordDelivery { message_id: message(2), delivery }
}

fn error() -> ActivityError {
    ActivityError { code: Some("21610".to_owned()), message: "the customer opted out".to_owned() }
}

fn failed() -> Command {
    Command::RecordDelivery { message_id: message(2), delivery: Delivery::Failed { error: error() } }
}

fn uncertain() -> Command {
    let error = ActivityError { code: Some("timeout".to_owned()), message: "no answer".to_owned() };
    Command::RecordDelivery { message_id: message(2), delivery: Delivery::Uncertain { error } }
}

fn claim() -> Claim {
    Claim::take_if_free(SENT, format!("{}:SM9", outbound(2).channel))
}

fn report(message_id: Option<MessageId>, provider: &str, status: DeliveryStatus) -> Command {
    Command::Report {
        channel: outbound(2).channel,
        provider_message_id: provider.to_owned(),
        message_id,
        status,
        error: (status == DeliveryStatus::Failed).then(error),
        at: moment("08:58"),
    }
}

fn accepted_as(provider: &str) -> Vec<Event> {
    let mut events = sent_and(None);
    events.push(Event::DeliveryChanged {
        at: moment("08:20"),
        message_id: message(2),
        status: DeliveryStatus::Sent,
        provider_message_id: Some(provider.to_owned()),
        error: None,
    });
    events
}

fn changed(status: DeliveryStatus) -> Event {
    Event::DeliveryChanged {
        at: moment("08:58"),
        message_id: message(2),
        status,
        provider_message_id: Some("SM9".to_owned()),
        error: (status == DeliveryStatus::Failed).then(error),
    }
}

/// The change, and that nothing else reaches her where it is a failure: she has one channel.
fn changed_and(status: DeliveryStatus) -> Vec<Event> {
    let unreachable = Event::CustomerUnreachable { at: moment("09:00"), retry_at: moment("10:00") };
    let failed = (status == DeliveryStatus::Failed).then_some(unreachable);
    [changed(status)].into_iter().chain(failed).collect()
}

fn sent_and(status: Option<DeliveryStatus>) -> Vec<Event> {
    let mut events = waiting_and([queued(outbound(2), By::engine(), "08:10")]);
    events.extend(status.map(|status| delivery(2, status, "08:20")));
    events
}

#[test]
fn acceptance_makes_it_sent_at_the_moment_of_acceptance() {
    given(sent_and(None)).when(accepted()).then([Event::DeliveryChanged {
        at: moment("08:59"),
        message_id: message(2),
        status: DeliveryStatus::Sent,
        provider_message_id: Some("SM9".to_owned()),
        error: None,
    }]);
}

#[test]
fn a_send_whose_answer_was_lost_is_uncertain_until_something_is_heard() {
    let send = ConversationActivity::Send(Box::new(outbound(2)));
    let lost = ActivityError { code: Some("timeout".to_owned()), message: "no answer".to_owned() };
    assert_eq!(Conversation::activity_uncertain(&send, &lost), Some(uncertain()));
    given(sent_and(None)).when(uncertain()).then([Event::DeliveryChanged {
        at: moment("09:00"),
        message_id: message(2),
        status: DeliveryStatus::Uncertain,
        provider_message_id: None,
        error: Some(lost),
    }]);
    for status in [DeliveryStatus::Sent, DeliveryStatus::Delivered, DeliveryStatus::Failed] {
        given(sent_and(Some(DeliveryStatus::Uncertain)))
            .when(report(Some(message(2)), "SM9", status))
            .then(changed_and(status))
            .then_claims([claim()]);
    }
}

#[test]
fn a_report_finds_its_message_by_the_providers_id_and_climbs_or_changes_nothing() {
    use DeliveryStatus::{Delivered, Failed, Queued, Read, Sent};
    for status in [Delivered, Read, Failed] {
        let given = given(accepted_as("SM9"));
        given.when(report(None, "SM9", status)).then(changed_and(status)).then_claims([]);
    }
    for status in [Queued, Sent] {
        let given = given(accepted_as("SM9"));
        given.when(report(None, "SM9", status)).then_nothing();
    }
    given(accepted_as("SM9")).when(report(None, "SM8", Delivered)).then_nothing();
}

#[test]
fn what_a_receiver_of_ones_own_calls_a_message_is_claimed_by_nobody() {
    let message = Outbound { channel: Channel::Generic("web".to_owned()), ..outbound(2) };
    let queued = waiting_and([queued(message, By::engine(), "08:10")]);
    given(queued).when(accepted()).then_claims([]);
}

#[test]
fn a_send_that_is_given_up_has_failed() {
    let send = ConversationActivity::Send(Box::new(outbound(2)));
    assert_eq!(Conversation::activity_failed(&send, &error()), Some(failed()));
    for before in [None, Some(DeliveryStatus::Sent)] {
        let failure = Event::DeliveryChanged {
            at: moment("09:00"),
            message_id: message(2),
            status: DeliveryStatus::Failed,
            provider_message_id: None,
            error: Some(error()),
        };
        // There is no other channel: a person must know at once.
        let unreachable = Event::CustomerUnreachable { at: moment("09:00"), retry_at: moment("10:00") };
        given(sent_and(before)).when(failed()).then([failure, unreachable]);
    }
}

#[test]
fn reports_that_do_not_climb_change_nothing() {
    use DeliveryStatus::{Delivered, Failed, Read, Sent};
    for before in [Sent, Delivered, Read, Failed] {
        // Whatever came first: the report that follows must find its way.
        given(sent_and(Some(before))).when(accepted()).then([]).then_activities([]).then_claims([claim()]);
    }
    for before in [Delivered, Read, Failed] {
        given(sent_and(Some(before))).when(failed()).then_nothing();
    }
}

#[test]
fn a_report_about_a_message_that_is_not_known_changes_nothing() {
    given(waiting()).when(accepted()).then_nothing();
}

#[test]
fn the_ladder_over_all_pairs() {
    use DeliveryStatus::{Delivered, Failed, Held, Queued, Read, Sent, Superseded, Uncertain};
    let climb = [Held, Queued, Uncertain, Sent, Delivered, Read];
    for (low, before) in climb.iter().enumerate() {
        for (high, after) in climb.iter().enumerate() {
            // What stays uncertain is kept back for a person to decide.
            let held_back = (*before, *after) == (Uncertain, Held);
            assert_eq!(before.yields_to(*after), low < high || held_back, "{before} to {after}");
        }
        assert!(!Failed.yields_to(*before));
        assert_eq!(before.yields_to(Failed), low < 4, "{before} to failed");
        assert_eq!(before.yields_to(Superseded), low < 3, "{before} to superseded");
        // Taken after all: the truth.
        assert_eq!(Superseded.yields_to(*before), low >= 3, "superseded to {before}");
    }
    for end in [Failed, Superseded] {
        assert!(!Failed.yields_to(end) && !Superseded.yields_to(end), "{end}");
    }
}
