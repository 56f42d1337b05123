//! The list of conversations.

use serde_json::json;

use super::folded;
use crate::{
    conversation::{CustomerCard, Event, Move, Status},
    ids::{AgentId, ConversationId, CustomerId, MessageId},
    message::{Address, Channel, Details, Inbound, Outbound},
    scenario::{id, moment, person},
    views::{
        View,
        inbox::{Filter, Inbox, InboxRow, Sort},
    },
    words::{Outcome, Severity},
    workflow::By,
};

pub(super) fn opened() -> Event {
    Event::Opened {
        at: moment("09:00"),
        id: ConversationId(id(1)),
        customer: CustomerCard { id: CustomerId(id(2)), name: Some("Ada".to_owned()), language: None },
        channel: Channel::Sms,
        subject: None,
        follow_up_of: None,
        priority: None,
    }
}

pub(super) fn received(text: &str, automatic: bool) -> Event {
    Event::MessageReceived {
        at: moment("09:01"),
        by: By::customer(Some(id(2)), Some("Ada".to_owned()), "sms"),
        message: Box::new(Inbound {
            id: MessageId(id(3)),
            channel: Channel::Sms,
            provider_message_id: "SM1".to_owned(),
            from: vec![Address::phone("+15550123456")],
            name: None,
            to: Some("+15550100200".to_owned()),
            text: text.to_owned(),
            subject: None,
            attachments: Vec::new(),
            thread: None,
            vouched: false,
            automatic,
            details: Details::Sms { segments: 1 },
            metadata: "{\"order\":null}".to_owned(),
            sent_at: Some(moment("08:59")),
            received_at: moment("09:00"),
        }),
    }
}

pub(super) fn queued(automatic: bool) -> Event {
    Event::MessageQueued {
        at: moment("09:02"),
        by: person("Grace"),
        message: Box::new(Outbound {
            message_id: MessageId(id(4)),
            conversation_id: ConversationId(id(1)),
            channel: Channel::Email,
            to: Address::email("ada@example.com"),
            to_name: None,
            from: None,
            from_name: Some("Grace".to_owned()),
            subject: Some("Re: Lamp".to_owned()),
            text: "Try the switch.".to_owned(),
            attachments: Vec::new(),
            in_reply_to: None,
            references: Vec::new(),
            automatic,
        }),
        why: crate::conversation::WhyChannel::Requested,
        purpose: crate::conversation::Purpose::Reply,
        replaces: None,
        promises: None,
        fallback_at: None,
    }
}

pub(super) fn moved(from: Status, to: Status, by: Move, time: &str) -> Event {
    Event::StateChanged { at: moment(time), from, to, by }
}

fn row(events: &[Event]) -> InboxRow {
    let mut all = vec![opened()];
    all.extend_from_slice(events);
    folded::<Inbox>(&all)
}

#[test]
fn a_row_shows_what_is_known_and_leaves_out_what_is_not() {
    let row = row(&[received("The lamp\nis dark", false), queued(false)]);
    assert_eq!(
        row.to_json(),
        json!({
            "id": id(1),
            "status": "open",
            "customer": { "id": id(2), "name": "Ada" },
            "channel": "sms",
            "channels_used": ["email", "sms"],
            "tags": [],
            "last_message": {
                "direction": "outbound",
                "snippet": "Try the switch.",
                "at": "2026-03-02T09:02:00.000Z",
            },
            "created_at": "2026-03-02T09:00:00.000Z",
            "last_activity_at": "2026-03-02T09:02:00.000Z",
            "unreachable": false,
            "version": 3,
        })
    );
    assert_eq!(Inbox::order(&row), moment("09:02").as_millis());
}

#[test]
fn the_machines_own_words_do_not_hide_the_customers() {
    let row = row(&[received("The lamp\nis dark", false), queued(true)]);
    assert_eq!(row.last_message.unwrap().snippet, "The lamp is dark");
    let long = self::row(&[received(&"ü ".repeat(5_000), false)]);
    assert_eq!(long.last_message.unwrap().snippet.chars().count(), 200);
}

#[test]
fn a_row_follows_status_snooze_and_outcome() {
    let outcome =
        Event::OutcomeRecorded { at: moment("10:00"), outcome: Some(Outcome::Answered), summary: None };
    let snoozed = Event::Snoozed { at: moment("09:30"), until: moment("17:00") };
    let resolve = moved(Status::AwaitingAgent, Status::Resolved, Move::Resolve, "10:00");
    let resolved = row(&[snoozed.clone(), outcome.clone(), resolve.clone()]);
    assert_eq!((resolved.status, resolved.outcome), (Status::Resolved, Some(Outcome::Answered)));
    assert_eq!(resolved.snoozed_until, None);
    let reopen = moved(Status::Resolved, Status::Reopened, Move::Reopen, "11:00");
    let reopened = row(&[outcome, resolve, reopen, snoozed]);
    assert_eq!((reopened.outcome, reopened.snoozed_until), (None, Some(moment("17:00"))));
}

#[test]
fn a_filter_wants_all_it_names() {
    let row = row(&[
        received("The LAMP is dark", false),
        Event::Assigned { at: moment("09:05"), agent: Some(AgentId(id(7))), team: None },
        Event::PrioritySet { at: moment("09:06"), severity: Severity::P1 },
        Event::TagsChanged { at: moment("09:07"), added: vec!["Vip".to_owned()], removed: Vec::new() },
        queued(true),
    ]);
    let none = Filter::default;
    let wanted = [
        none(),
        Filter { channel: Some(Channel::Email), status: Some(Status::Open), ..none() },
        Filter { customer_id: Some(CustomerId(id(2))), assigned_to: Some(id(7)), ..none() },
        Filter { severity: Some(Severity::P1), q: Some("lamp".to_owned()), ..none() },
        Filter { q: Some("ADA".to_owned()), ..none() },
        Filter { q: Some("vip".to_owned()), ..none() },
    ];
    for filter in wanted {
        assert!(filter.matches(&row), "{filter:?}");
    }
    let unwanted = [
        Filter { channel: Some(Channel::Chat), ..none() },
        Filter { status: Some(Status::Resolved), ..none() },
        Filter { customer_id: Some(CustomerId(id(3))), ..none() },
        Filter { assigned_to: Some(id(8)), ..none() },
        Filter { severity: Some(Severity::P0), ..none() },
        Filter { q: Some("switch".to_owned()), ..none() },
    ];
    for filter in unwanted {
        assert!(!filter.matches(&row), "{filter:?}");
    }
}

#[test]
fn rows_are_sorted_as_asked() {
    let plain = row(&[]);
    let busy = row(&[received("x", false)]);
    let urgent = row(&[Event::PrioritySet { at: moment("09:00"), severity: Severity::P0 }]);
    let first = |sort: &str| {
        let sort: Sort = sort.parse().unwrap();
        let mut rows = [&plain, &busy, &urgent];
        rows.sort_by(|a, b| sort.compare(a, b));
        rows[0].clone()
    };
    assert_eq!(first("-last_activity_at"), busy);
    assert_eq!(first("last_activity_at"), plain);
    assert_eq!(first("priority"), urgent);
    assert!("size".parse::<Sort>().is_err());
}
