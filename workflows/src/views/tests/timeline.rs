//! A conversation in full.

use serde_json::{Value, json};

use super::{
    inbox::{moved, opened, queued, received},
    with_meta,
};
use crate::{
    conversation::{DeliveryStatus, Event, Move, Status},
    ids::{MessageId, NoteId},
    scenario::{id, moment, person},
    views::timeline::Timeline,
    words::Outcome,
    workflow::ActivityError,
};

fn shown(events: &[Event], messages_max: usize) -> Value {
    let mut timeline = Timeline::default();
    for (event, version) in events.iter().zip(1..) {
        with_meta(version, |meta| timeline.apply(event, meta));
    }
    timeline.to_json(messages_max).unwrap()
}

fn delivered(status: DeliveryStatus, time: &str, error: Option<ActivityError>) -> Event {
    Event::DeliveryChanged {
        at: moment(time),
        message_id: MessageId(id(4)),
        status,
        provider_message_id: error.is_none().then(|| "SM9".to_owned()),
        error,
    }
}

#[test]
fn nothing_is_shown_of_what_never_began() {
    assert_eq!(Timeline::default().to_json(10), None);
}

#[test]
fn a_message_from_the_customer_has_the_names_of_the_model() {
    let shown = shown(&[opened(), received("The lamp is dark", false)], 10);
    assert_eq!(
        shown["messages"][0],
        json!({
            "id": id(3),
            "conversation_id": id(1),
            "channel": "sms",
            "direction": "inbound",
            "by": { "kind": "customer", "id": id(2), "name": "Ada", "via": "sms" },
            "content": "The lamp is dark",
            "automatic": false,
            "attachments": [],
            "provider_message_id": "SM1",
            "metadata": { "order": null },
            "sent_at": "2026-03-02T08:59:00.000Z",
            "received_at": "2026-03-02T09:00:00.000Z",
            "details": {
                "from": "+15550123456",
                "to": "+15550100200",
                "provider_sid": "SM1",
                "segments": 1,
                "media_urls": [],
            },
        })
    );
}

#[test]
fn a_message_of_ours_tells_what_became_of_it() {
    let before = shown(&[opened(), queued(false)], 10);
    let message = &before["messages"][0];
    assert_eq!(message["delivery"], json!({ "status": "queued", "why_this_channel": "requested" }));
    assert_eq!(
        message["details"],
        json!({ "subject": "Re: Lamp", "to": ["ada@example.com"], "references": [] })
    );
    assert_eq!(message.get("sent_at"), None);

    let sent = shown(&[opened(), queued(false), delivered(DeliveryStatus::Sent, "09:03", None)], 10);
    let message = &sent["messages"][0];
    assert_eq!(message["sent_at"], "2026-03-02T09:03:00.000Z");
    assert_eq!(message["provider_message_id"], "SM9");
    assert_eq!(sent["events"][2]["type"], "message.sent");

    let error = ActivityError { code: Some("21610".to_owned()), message: "opted out".to_owned() };
    let failed = delivered(DeliveryStatus::Failed, "09:03", Some(error));
    let failed = shown(&[opened(), queued(false), failed], 10);
    let message = &failed["messages"][0];
    assert_eq!(message["failed_at"], "2026-03-02T09:03:00.000Z");
    assert_eq!(
        message["delivery"],
        json!({
            "status": "failed", "error_code": "21610", "error": "opted out", "why_this_channel": "requested",
        })
    );
}

#[test]
fn only_the_newest_messages_are_shown_and_all_are_counted() {
    let shown = shown(&[opened(), received("first", false), queued(false)], 1);
    assert_eq!(shown["messages_total"], 2);
    assert_eq!(shown["messages"].as_array().unwrap().len(), 1);
    assert_eq!(shown["messages"][0]["content"], "Try the switch.");
}

#[test]
fn an_event_names_topic_author_cause_and_place() {
    let queue = moved(Status::Open, Status::AwaitingAgent, Move::Queued, "09:00");
    let shown = shown(&[opened(), queue, received("x", false)], 10);
    assert_eq!(
        shown["events"][1],
        json!({
            "type": "conversation.state_changed",
            "conversation_id": id(1),
            "by": { "kind": "engine" },
            "cause": { "kind": "command", "id": "c1" },
            "timestamp": "2026-03-02T09:00:00.000Z",
            "details": { "from": "open", "to": "awaiting_agent", "move": "queued" },
            "version": 2,
            "seq": 42,
        })
    );
    assert_eq!(shown["events"][0]["type"], "conversation.created");
    assert_eq!(shown["events"][2]["message_id"], json!(id(3)));
    assert_eq!(shown["events"][2]["by"]["kind"], "customer");
    assert_eq!(shown["status"], "awaiting_agent");
}

#[test]
fn notes_the_brief_and_the_summary_are_shown() {
    let note = Event::NoteAdded {
        at: moment("09:10"),
        by: person("Grace"),
        note_id: NoteId(id(6)),
        text: "Calls back.".to_owned(),
    };
    let handed = Event::HandedOff { at: moment("09:11"), reason: Some("Angry.".to_owned()) };
    let outcome = Event::OutcomeRecorded {
        at: moment("09:12"),
        outcome: Some(Outcome::Answered),
        summary: Some("New bulb.".to_owned()),
    };
    let events = [opened(), received("Dark!", false), received("Away.", true), note, handed, outcome];
    let shown = shown(&events, 10);
    assert_eq!(shown["internal_notes"][0]["text"], "Calls back.");
    assert_eq!(shown["internal_notes"][0]["created_at"], "2026-03-02T09:10:00.000Z");
    assert_eq!(shown["handoff"], json!({ "summary": "Angry.", "asked": "Dark!" }));
    assert_eq!((&shown["summary"], &shown["outcome"]), (&json!("New bulb."), &json!("answered")));
    assert_eq!(shown["events"][3]["details"], json!({ "what": "note_added", "note_id": id(6) }));
}
