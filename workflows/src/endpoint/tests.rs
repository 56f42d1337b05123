//! The table of `endpoint.rs`, row by row.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    ids::EndpointId,
    policy::Policies,
    scenario::{Scenario, id, moment},
    time::{Span, Timestamp},
    topic::Topic,
    workflow::By,
};

const URL: &str = "https://shop.example.com/hooks";

fn settings(topics: &[Topic]) -> Box<Settings> {
    let target = Target::Url(URL.to_owned());
    Box::new(Settings { target, topics: topics.to_vec(), description: None })
}

fn registered(topics: &[Topic]) -> Event {
    let secret = Some(SecretText::new("whsec_old"));
    Event::Registered {
        at: moment("08:00"),
        id: EndpointId(id(60)),
        settings: settings(topics),
        secret,
        configured: false,
    }
}

fn mailbox() -> Event {
    let target = Target::Mail("supervisor@example.com".to_owned());
    Event::Registered {
        at: moment("08:00"),
        id: EndpointId(id(60)),
        settings: Box::new(Settings { target, topics: Vec::new(), description: None }),
        secret: None,
        configured: true,
    }
}

fn notice(seq: u64, topic: Topic) -> Notice {
    let body = format!(r#"{{"type":"{topic}","conversation_id":"c1","timestamp":"t","seq":{seq}}}"#);
    Notice { id: format!("evt_{seq}"), seq, topic, body }
}

fn noticed(seq: u64, topic: Topic) -> Noticed {
    Noticed { id: format!("evt_{seq}"), seq, topic }
}

fn notified(seqs: &[u64]) -> Event {
    let notices = seqs.iter().map(|seq| noticed(*seq, Topic::MessageReceived)).collect();
    Event::Notified { at: moment("08:30"), notices }
}

fn refused() -> ActivityError {
    ActivityError { code: Some("500".to_owned()), message: "500 Internal Server Error".to_owned() }
}

fn report(id: &str, report: Report) -> Command {
    Command::RecordDelivery { id: id.to_owned(), report }
}

fn state(events: impl IntoIterator<Item = Event>) -> State {
    let mut state = State::default();
    events.into_iter().for_each(|event| state.evolve(&event));
    state
}

#[test]
fn it_is_told_only_of_what_it_wants_and_of_nothing_twice() {
    let notices = vec![
        notice(3, Topic::MessageReceived),
        notice(4, Topic::SlaBreached),
        notice(5, Topic::MessageReceived),
        notice(6, Topic::MessageReceived),
    ];
    let outcome = Scenario::<Endpoint>::given([registered(&[Topic::MessageReceived]), notified(&[3])])
        .when(Command::Notify { notices });
    let decision = outcome.decision();
    let expected: Vec<_> = [5, 6].map(|seq| noticed(seq, Topic::MessageReceived)).into();
    assert_eq!(decision.events, [Event::Notified { at: moment("09:00"), notices: expected }]);
    let EndpointActivity::Post { id, body } = &decision.activities[0] else { panic!("a post") };
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((id.as_str(), body["type"].as_str()), ("evt_5", Some("message.received")));
    assert_eq!((body["timestamp"].as_str(), body["data"]["seq"].as_u64()), (Some("t"), Some(5)));
    assert_eq!(decision.activities.len(), 2);
}

#[test]
fn while_many_deliveries_are_open_it_takes_only_the_first_of_what_it_is_told() {
    let all: Vec<u64> = (1..=state::OPEN_MAX as u64 - 1).collect();
    let notices = vec![notice(500, Topic::MessageReceived), notice(501, Topic::MessageReceived)];
    let outcome = Scenario::<Endpoint>::given([registered(&[]), notified(&all)])
        .when(Command::Notify { notices: notices.clone() })
        .then([Event::Notified { at: moment("09:00"), notices: vec![noticed(500, Topic::MessageReceived)] }]);
    assert_eq!(outcome.state().facts().unwrap().room(), 0);
    let accepted = report("evt_1", Report::Accepted { attempts: 1 });
    let mut state = outcome.state().clone();
    let (policies, by) = (Policies::default(), By::engine());
    for command in [accepted, Command::Notify { notices }] {
        let cx = Context::new(moment("09:01"), &policies, &by);
        Endpoint::decide(&state, command, &cx).unwrap().events.iter().for_each(|event| state.evolve(event));
    }
    assert_eq!(state.facts().unwrap().notified_seq, 501, "and the rest once there is room");
}

#[test]
fn one_that_is_switched_off_is_told_of_nothing_and_does_not_catch_up_later() {
    let off = Event::Disabled { at: moment("08:10"), why: Disabled::Asked };
    let notices = vec![notice(3, Topic::MessageReceived)];
    Scenario::<Endpoint>::given([registered(&[]), off.clone()])
        .when(Command::Notify { notices })
        .then_nothing();
    Scenario::<Endpoint>::given([registered(&[]), off])
        .when(Command::Enable)
        .then([Event::Enabled { at: moment("09:00") }]);
}

#[test]
fn a_mailbox_is_told_in_words() {
    let notices = vec![notice(3, Topic::CustomerUnreachable)];
    let outcome = Scenario::<Endpoint>::given([mailbox()]).when(Command::Notify { notices });
    let decision = outcome.decision();
    let EndpointActivity::Mail { subject, path, .. } = &decision.activities[0] else { panic!("a mail") };
    assert_eq!(subject, "A customer cannot be reached by any channel: conversation c1");
    assert_eq!(path.as_deref(), Some("/api/v1/conversations/c1"));
}

#[test]
fn a_test_goes_out_once_and_only_while_it_is_active() {
    let test = || Command::Test { id: "test_1".to_owned() };
    let outcome = Scenario::<Endpoint>::given([registered(&[])]).when(test());
    let decision = outcome.decision();
    assert_eq!(decision.events, [Event::Tested { at: moment("09:00"), id: "test_1".to_owned() }]);
    assert_eq!(decision.activities.len(), 1);
    let off = Event::Disabled { at: moment("08:10"), why: Disabled::Gone };
    Scenario::<Endpoint>::given([registered(&[]), off])
        .when(test())
        .then_rejected(Rejection::invalid("active", "true before a test can be sent"));
}

#[test]
fn a_message_that_fails_holds_up_some_of_the_others_and_no_test() {
    let lane = |id: &str| Endpoint::lane(&EndpointActivity::Post { id: id.to_owned(), body: String::new() });
    let lanes: std::collections::BTreeSet<_> = (0..100).map(|n| lane(&format!("evt_{n}")).unwrap()).collect();
    assert_eq!(lanes.len(), 4, "{lanes:?}");
    assert_eq!(lane("evt_7"), lane("evt_7"));
    assert_eq!(lane("test_7"), None);
}

#[test]
fn what_is_given_up_is_remembered_until_something_is_accepted_again() {
    let events = [registered(&[]), notified(&[1, 2])];
    let error = refused();
    let failed = Event::DeliveryFailed { at: moment("09:00"), id: "evt_1".to_owned(), error: error.clone() };
    Scenario::<Endpoint>::given(events.clone())
        .when(report("evt_1", Report::Failed { error }))
        .then([failed.clone()]);
    let after = state(events.iter().cloned().chain([failed.clone()]));
    assert_eq!(after.facts().unwrap().failing_since, Some(moment("09:00")));

    let accepted = Event::Delivered { at: moment("09:00"), id: "evt_2".to_owned(), attempts: 3 };
    Scenario::<Endpoint>::given(events.iter().cloned().chain([failed.clone()]))
        .when(report("evt_2", Report::Accepted { attempts: 3 }))
        .then([accepted.clone()]);
    let after = state(events.into_iter().chain([failed, accepted]));
    assert_eq!(after.facts().unwrap().failing_since, None);
    assert_eq!(after.facts().unwrap().delivery("evt_2").unwrap().attempts, Some(3));
}

#[test]
fn a_dead_letter_that_was_sent_again_counts_as_delivered() {
    let failed = Event::DeliveryFailed { at: moment("08:40"), id: "evt_1".to_owned(), error: refused() };
    Scenario::<Endpoint>::given([registered(&[]), notified(&[1]), failed])
        .when(report("evt_1", Report::Accepted { attempts: 1 }))
        .then([Event::Delivered { at: moment("09:00"), id: "evt_1".to_owned(), attempts: 1 }]);
}

#[test]
fn one_that_says_it_is_gone_is_switched_off() {
    let error = ActivityError { code: Some("410".to_owned()), message: "410 Gone".to_owned() };
    Scenario::<Endpoint>::given([registered(&[]), notified(&[1])])
        .when(report("evt_1", Report::Gone { error: error.clone() }))
        .then([
            Event::DeliveryFailed { at: moment("09:00"), id: "evt_1".to_owned(), error },
            Event::Disabled { at: moment("09:00"), why: Disabled::Gone },
        ]);
}

#[test]
fn what_cannot_be_an_address_is_refused_by_the_name_of_its_field() {
    for url in ["ftp://example.com", "https://exa mple.com", ""] {
        let target = Target::Url(url.to_owned());
        let settings = Box::new(Settings { target, topics: Vec::new(), description: None });
        let endpoint_id = EndpointId(id(60));
        Scenario::<Endpoint>::given([])
            .when(Command::Register { endpoint_id, settings, secret: None, configured: false })
            .then_rejected(Rejection::invalid(
                "url",
                "a web address, https://… or, on this machine, http://…",
            ));
    }
    let patch = EndpointPatch { url: Some(URL.to_owned()), ..EndpointPatch::default() };
    Scenario::<Endpoint>::given([mailbox()])
        .when(Command::Update(Box::new(patch)))
        .then_rejected(Rejection::invalid("url", "absent: this endpoint is a mail address"));
}

#[test]
fn what_is_removed_is_gone_and_what_was_under_way_changes_nothing() {
    let removed = Event::Removed { at: moment("08:40") };
    Scenario::<Endpoint>::given([registered(&[]), notified(&[1])])
        .when(Command::Remove)
        .then([Event::Removed { at: moment("09:00") }]);
    Scenario::<Endpoint>::given([registered(&[]), notified(&[1]), removed.clone()])
        .when(report("evt_1", Report::Accepted { attempts: 1 }))
        .then_nothing();
    Scenario::<Endpoint>::given([registered(&[]), removed])
        .when(Command::Enable)
        .then_rejected(Rejection::Unknown { kind: "endpoint" });
}

#[test]
fn nobody_reads_a_secret_in_a_state_or_an_event() {
    let rotated = Event::Rotated { at: moment("08:10"), secret: SecretText::new("whsec_new") };
    for shown in [
        serde_json::to_string(&rotated).unwrap(),
        serde_json::to_string(&state([registered(&[]), rotated.clone()])).unwrap(),
        format!("{:?}", state([registered(&[]), rotated.clone()])),
    ] {
        assert!(!shown.contains("whsec_") && shown.contains("hidden"), "{shown}");
    }
}

proptest! {
    /// However often and whenever a secret is changed, the newest signs, and the one before it for a day.
    #[test]
    fn the_newest_secret_and_the_one_before_it_sign(waits in proptest::collection::vec(0_u64..3_000, 1..8)) {
        let mut kept = state([registered(&[])]);
        let (mut now, mut before) = (moment("08:00"), "whsec_old".to_owned());
        let live = |state: &State, at: Timestamp| -> Vec<String> {
            state.facts().unwrap().live_secrets(at).map(|secret| secret.text.reveal().to_owned()).collect()
        };
        for (turn, minutes) in waits.into_iter().enumerate() {
            now = now + Span::from_mins(minutes);
            let newest = format!("whsec_{turn}");
            let (policies, by) = (Policies::default(), By::engine());
            let cx = Context::new(now, &policies, &by);
            let command = Command::Rotate { secret: SecretText::new(&*newest) };
            for event in Endpoint::decide(&kept, command, &cx).unwrap().events {
                kept.evolve(&event);
            }
            let in_time = live(&kept, now + secret::ROTATION - Span::from_millis(1));
            prop_assert_eq!(in_time.first(), Some(&newest));
            prop_assert!(in_time.contains(&before), "{} of {:?}", before, in_time);
            prop_assert_eq!(live(&kept, now + secret::ROTATION), vec![newest.clone()]);
            before = newest;
        }
    }
}
