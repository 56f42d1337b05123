//! What becomes of a send: every pair of the ladder.

use super::fixtures::*;
use crate::{
    activity::ConversationActivity,
    conversation::{Conversation, Delivery, DeliveryStatus, Event, command::Command},
    scenario::{Scenario, moment},
    workflow::{ActivityError, By, Workflow},
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

fn sent_and(status: Option<DeliveryStatus>) -> Vec<Event> {
    let mut events = waiting_and([queued(outbound(2), By::engine(), "08:10")]);
    events.extend(status.map(|status| delivery(2, status, "08:20")));
    events
}

#[test]
fn acceptance_makes_it_sent_at_the_moment_of_acceptance() {
    Scenario::<Conversation>::given(sent_and(None)).when(accepted()).then([Event::DeliveryChanged {
        at: moment("08:59"),
        message_id: message(2),
        status: DeliveryStatus::Sent,
        provider_message_id: Some("SM9".to_owned()),
        error: None,
    }]);
}

#[test]
fn a_send_that_is_given_up_has_failed() {
    let send = ConversationActivity::Send(Box::new(outbound(2)));
    assert_eq!(Conversation::activity_failed(&send, &error()), Some(failed()));
    for before in [None, Some(DeliveryStatus::Sent)] {
        let _ =
            Scenario::<Conversation>::given(sent_and(before)).when(failed()).then([Event::DeliveryChanged {
                at: moment("09:00"),
                message_id: message(2),
                status: DeliveryStatus::Failed,
                provider_message_id: None,
                error: Some(error()),
            }]);
    }
}

#[test]
fn reports_that_do_not_climb_change_nothing() {
    use DeliveryStatus::{Delivered, Failed, Read, Sent};
    for before in [Sent, Delivered, Read, Failed] {
        Scenario::<Conversation>::given(sent_and(Some(before))).when(accepted()).then_nothing();
    }
    for before in [Delivered, Read, Failed] {
        Scenario::<Conversation>::given(sent_and(Some(before))).when(failed()).then_nothing();
    }
}

#[test]
fn a_report_about_a_message_that_is_not_known_changes_nothing() {
    Scenario::<Conversation>::given(waiting()).when(accepted()).then_nothing();
}

#[test]
fn the_ladder_over_all_pairs() {
    use DeliveryStatus::{Delivered, Failed, Held, Queued, Read, Sent, Uncertain};
    let climb = [Held, Queued, Uncertain, Sent, Delivered, Read];
    for (low, before) in climb.iter().enumerate() {
        for (high, after) in climb.iter().enumerate() {
            assert_eq!(before.yields_to(*after), low < high, "{before} to {after}");
        }
        assert!(!Failed.yields_to(*before));
        assert_eq!(before.yields_to(Failed), low < 4, "{before} to failed");
    }
    assert!(!Failed.yields_to(Failed));
}
