//! A story in which everything was kept, and what is said of it once one thing was not.

use reqwest::StatusCode;
use serde_json::json;

use super::*;

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_millis(1_795_420_800_000) + Span::from_mins(minutes)
}

fn hour(hours: u64) -> Timestamp {
    at(hours * 60)
}

fn ours(sent_at: Timestamp, channel: &str, content: &str) -> Value {
    let delivery = json!({ "status": "sent" });
    json!({ "direction": "outbound", "channel": channel, "content": content, "sent_at": sent_at, "delivery": delivery })
}

/// The server is gone from hour 40 to hour 46; what Ada heard last before it, she heard in hour 33.
fn kept() -> Outcome {
    let conversation = json!({
        "status": "reopened",
        "messages": [
            { "direction": "inbound", "channel": "sms", "content": "Help!" },
            ours(hour(0), "sms", "It arrived."),
            ours(hour(11), "sms", "From Grace."),
            { "direction": "outbound", "channel": "sms", "content": "An update.", "delivery": { "status": "superseded" } },
            ours(hour(22), "email", "An update."),
            ours(hour(33), "sms", "An update."),
            ours(hour(46), "sms", "An update."),
        ],
        "events": [{ "seq": 1 }, { "details": { "to": "reopened" } }],
    });
    Outcome {
        token: String::new(),
        conversation_id: String::new(),
        start: hour(0),
        end: hour(48),
        case_id: String::new(),
        acts: Vec::new(),
        conversation,
        before: json!({ "events": [{ "seq": 1 }] }),
        after: json!({ "events": [{ "seq": 1 }, { "seq": 2 }] }),
        down: (hour(40), hour(46)),
        breaches: json!({ "items": [{ "clock": "silence", "due_at": hour(45) }, { "clock": "resolution" }] }),
        silence: json!({ "items": [] }),
        of_ada: vec!["Help!".to_owned()],
        of_grace: vec!["From Grace.".to_owned()],
        taken: ["It arrived.", "From Grace.", "An update.", "An update."].map(str::to_owned).to_vec(),
        refused: StatusCode::FORBIDDEN,
    }
}

/// The only promise that is broken once `change` was made.
#[track_caller]
fn broken(change: impl FnOnce(&mut Outcome)) -> String {
    let mut outcome = kept();
    change(&mut outcome);
    let broken: Vec<_> = verdicts(&outcome).into_iter().filter(|verdict| !verdict.kept).collect();
    assert_eq!(broken.len(), 1, "{broken:#?}");
    broken[0].promise.clone()
}

#[test]
fn a_story_in_which_all_was_kept_is_judged_so() {
    let outcome = kept();
    assert!(verdicts(&outcome).iter().all(|verdict| verdict.kept), "{:#?}", verdicts(&outcome));
    let summary = summary(&outcome);
    assert_eq!(summary.longest_silence_seconds, 13 * 60 * 60);
    assert_eq!(summary.longest_silence_up_seconds, 11 * 60 * 60);
    assert_eq!((summary.superseded, summary.messages["sms"], summary.messages["email"]), (1, 4, 1));
}

#[test]
fn a_minute_of_silence_too_much_is_seen() {
    let silent = broken(|outcome| {
        outcome.conversation["messages"][4]["sent_at"] = json!(at(23 * 60 + 1));
    });
    assert!(silent.contains("more than 12 hours"), "{silent}");
}

#[test]
fn an_overdue_update_that_is_slow_or_comes_twice_is_seen() {
    let slow = broken(|outcome| outcome.conversation["messages"][6]["sent_at"] = json!(at(46 * 60 + 3)));
    assert!(slow.contains("at once"), "{slow}");
    let twice = broken(|outcome| {
        let again = ours(at(46 * 60 + 1), "email", "An update.");
        outcome.conversation["messages"].as_array_mut().unwrap().push(again);
    });
    assert!(twice.contains("went out once"), "{twice}");
}

#[test]
fn what_was_lost_or_doubled_is_seen() {
    let lost = broken(|outcome| outcome.after = json!({ "events": [{ "seq": 2 }] }));
    assert!(lost.contains("before the crash"), "{lost}");
    let unheard = broken(|outcome| outcome.of_ada.push("And then?".to_owned()));
    assert!(unheard.contains("answered 200"), "{unheard}");
    let doubled = broken(|outcome| outcome.taken.push("An update.".to_owned()));
    assert!(doubled.contains("provider took"), "{doubled}");
    let unsaid = broken(|outcome| outcome.of_grace.push("Also this.".to_owned()));
    assert!(unsaid.contains("Grace's"), "{unsaid}");
}

#[test]
fn a_breach_that_is_hidden_and_an_engineer_who_is_heard_are_seen() {
    let hidden = broken(|outcome| outcome.breaches = json!({ "items": [] }));
    assert!(hidden.contains("recorded"), "{hidden}");
    let misdated = broken(|outcome| outcome.breaches["items"][0]["due_at"] = json!(hour(46)));
    assert!(misdated.contains("recorded"), "{misdated}");
    let heard = broken(|outcome| outcome.refused = StatusCode::OK);
    assert!(heard.contains("403"), "{heard}");
}
