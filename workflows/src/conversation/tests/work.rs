//! What colleagues do with a conversation: notes, tags, assignment, hand-off, snooze, resolving and reopening.

use super::fixtures::*;
use crate::{
    conversation::{Conversation, Deadline, Event, Move, Rejection, Status, command::Command},
    ids::{AgentId, NoteId, TeamId},
    scenario::{id, moment, person},
    words::{Outcome, Severity},
    workflow::Workflow,
};

fn agent() -> Option<AgentId> {
    Some(AgentId(id(20)))
}

fn team() -> Option<TeamId> {
    Some(TeamId(id(30)))
}

fn texts(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn at_nine(from: Status, to: Status, by: Move) -> Event {
    changed(from, to, by, "09:00")
}

fn resolve() -> Command {
    Command::Resolve { outcome: Some(Outcome::Answered), summary: Some("New bulb. ".to_owned()) }
}

#[test]
fn commands_to_a_conversation_that_never_was_are_refused() {
    let commands = [
        reply(1),
        Command::AddNote { note_id: NoteId(id(40)), text: "x".to_owned() },
        Command::Assign { agent: agent(), team: None },
        Command::Unassign,
        Command::HandOff { reason: None },
        Command::Snooze { until: moment("17:00") },
        Command::Wake,
        Command::Tag { add: Vec::new(), remove: Vec::new() },
        resolve(),
        Command::Reopen,
        Command::SetPriority { severity: Severity::P0 },
    ];
    for command in commands {
        given([]).when(command).then_rejected(Rejection::Unknown);
    }
}

#[test]
fn a_note_names_its_author_and_is_written_once() {
    let command = Command::AddNote { note_id: NoteId(id(40)), text: " Calls back. ".to_owned() };
    given(standing(Status::Resolved)).by(person("Grace")).when(command).then([Event::NoteAdded {
        at: moment("09:00"),
        by: person("Grace"),
        note_id: NoteId(id(40)),
        text: "Calls back.".to_owned(),
    }]);
}

#[test]
fn an_empty_note_is_refused() {
    let rejection = Rejection::Invalid { field: "text", allowed: "a text that is not empty".to_owned() };
    let command = Command::AddNote { note_id: NoteId(id(40)), text: " ".to_owned() };
    given(standing(Status::Open)).when(command).then_rejected(rejection);
}

#[test]
fn tags_come_and_go_and_only_what_differs_is_recorded() {
    let tagged =
        Event::TagsChanged { at: moment("08:30"), added: texts(&["lamp", "vip"]), removed: Vec::new() };
    let command = Command::Tag { add: texts(&["vip", " new ", "new"]), remove: texts(&["lamp", "gone"]) };
    let changed =
        Event::TagsChanged { at: moment("09:00"), added: texts(&["new"]), removed: texts(&["lamp"]) };
    let outcome = given(waiting_and([tagged])).when(command).then([changed]);
    let tags: Vec<_> = facts(outcome.state()).tags.iter().cloned().collect();
    assert_eq!(tags, ["new", "vip"]);
    let both = Command::Tag { add: texts(&["a"]), remove: texts(&["a"]) };
    given(standing(Status::Open)).when(both).then_nothing();
}

#[test]
fn tags_that_cannot_be_are_refused() {
    let allowed = "tags of 1 to 64 characters, each on one line".to_owned();
    for tag in ["", "a\nb", &"x".repeat(65)] {
        let rejection = Rejection::Invalid { field: "add", allowed: allowed.clone() };
        let command = Command::Tag { add: texts(&[tag]), remove: Vec::new() };
        given(standing(Status::Open)).when(command).then_rejected(rejection);
    }
    let many = (0..101).map(|n| format!("t{n}")).collect();
    let rejection =
        Rejection::Invalid { field: "add", allowed: "few enough that there are at most 100 tags".to_owned() };
    let command = Command::Tag { add: many, remove: Vec::new() };
    given(standing(Status::Open)).when(command).then_rejected(rejection);
}

#[test]
fn assigning_moves_no_status_and_an_agent_keeps_the_team() {
    for status in Status::ALL {
        let command = Command::Assign { agent: None, team: team() };
        let assigned = Event::Assigned { at: moment("09:00"), agent: None, team: team() };
        given(standing(*status)).when(command).then([assigned]);
    }
    let to_team = Event::Assigned { at: moment("08:30"), agent: None, team: team() };
    let outcome = given(waiting_and([to_team]))
        .when(Command::Assign { agent: agent(), team: None })
        .then([Event::Assigned { at: moment("09:00"), agent: agent(), team: team() }]);
    assert_eq!(facts(outcome.state()).assigned_team, team());
}

#[test]
fn a_team_takes_it_from_the_agent() {
    let to_agent = Event::Assigned { at: moment("08:30"), agent: agent(), team: None };
    given(waiting_and([to_agent]))
        .when(Command::Assign { agent: None, team: team() })
        .then([Event::Assigned { at: moment("09:00"), agent: None, team: team() }]);
}

#[test]
fn assigning_to_nobody_is_refused_and_unassigning_nobody_is_nothing() {
    let rejection = Rejection::Invalid { field: "agent_id", allowed: "given, or else team_id".to_owned() };
    given(standing(Status::Open)).when(Command::Assign { agent: None, team: None }).then_rejected(rejection);
    given(standing(Status::Open)).when(Command::Unassign).then_nothing();
    let assigned = Event::Assigned { at: moment("08:30"), agent: agent(), team: None };
    given(waiting_and([assigned])).when(Command::Unassign).then([Event::Unassigned { at: moment("09:00") }]);
}

#[test]
fn a_hand_off_asks_for_a_person() {
    let command = || Command::HandOff { reason: Some(" Wants a person. ".to_owned()) };
    let handed = || Event::HandedOff { at: moment("09:00"), reason: Some("Wants a person.".to_owned()) };
    for status in [Status::Open, Status::AwaitingCustomer, Status::Reopened] {
        let moved = at_nine(status, Status::AwaitingAgent, Move::HandOff);
        given(standing(status)).when(command()).then([handed(), moved]);
    }
    for status in [Status::AwaitingAgent, Status::Escalated] {
        given(standing(status)).when(command()).then([handed()]);
    }
    given(standing(Status::Resolved)).when(command()).then_rejected(illegal(Status::Resolved, Move::HandOff));
}

#[test]
fn a_hand_off_wakes_what_is_snoozed_and_an_answer_settles_it() {
    let snoozed = Event::Snoozed { at: moment("08:30"), until: moment("17:00") };
    let handed = Event::HandedOff { at: moment("09:00"), reason: None };
    given(waiting_and([snoozed]))
        .when(Command::HandOff { reason: None })
        .then([handed.clone(), Event::Woken { at: moment("09:00") }]);
    for status in [Status::AwaitingAgent, Status::Escalated] {
        let mut events = standing(status);
        events.push(handed.clone());
        let outcome = given(events).when(reply(3));
        assert_eq!(facts(outcome.state()).handoff, None);
    }
}

#[test]
fn a_snooze_arms_its_timer_and_the_timer_ends_it() {
    let until = moment("17:00");
    let snoozed = Event::Snoozed { at: moment("09:00"), until };
    for status in Status::ALL.iter().filter(|status| **status != Status::Resolved) {
        let outcome = given(standing(*status)).when(Command::Snooze { until }).then([snoozed.clone()]);
        assert!(Conversation::deadlines(outcome.state()).holds(Deadline::Snooze, until));
    }
    let told = |event: &Event| {
        matches!(event, Event::ClocksChanged { .. } | Event::Reminded { .. } | Event::SlaBreached { .. })
    };
    let outcome = given(waiting_and([snoozed]))
        .aside(told)
        .at("17:00")
        .when(Conversation::deadline_passed(Deadline::Snooze))
        .then([Event::Woken { at: until }]);
    assert_eq!(facts(outcome.state()).snoozed_until, None);
    assert_eq!("snooze".parse::<Deadline>().unwrap(), Deadline::Snooze);
    assert!("sneeze".parse::<Deadline>().is_err());
}

#[test]
fn a_timer_that_comes_too_early_or_too_late_changes_nothing() {
    let snoozed = Event::Snoozed { at: moment("08:30"), until: moment("17:00") };
    given(waiting_and([snoozed])).when(Command::Wake).then_nothing();
    given(standing(Status::Open)).when(Command::Wake).then_nothing();
}

#[test]
fn a_snooze_into_the_past_or_of_what_is_resolved_is_refused() {
    let allowed = "later than now, 2026-03-02T09:00:00.000Z".to_owned();
    let rejection = Rejection::Invalid { field: "until", allowed };
    given(standing(Status::Open)).when(Command::Snooze { until: moment("09:00") }).then_rejected(rejection);
    given(standing(Status::Resolved))
        .when(Command::Snooze { until: moment("17:00") })
        .then_rejected(illegal(Status::Resolved, Move::Snooze));
}

#[test]
fn resolving_records_the_outcome_and_disarms_everything() {
    let recorded = Event::OutcomeRecorded {
        at: moment("09:00"),
        outcome: Some(Outcome::Answered),
        summary: Some("New bulb.".to_owned()),
    };
    for status in Status::ALL.iter().filter(|status| **status != Status::Resolved) {
        let moved = at_nine(*status, Status::Resolved, Move::Resolve);
        given(standing(*status)).when(resolve()).then([recorded.clone(), moved]);
    }
    let snoozed = Event::Snoozed { at: moment("08:30"), until: moment("17:00") };
    let outcome = given(waiting_and([snoozed])).when(resolve()).then_armed([]);
    assert_eq!(facts(outcome.state()).outcome, Some(Outcome::Answered));
}

#[test]
fn resolving_without_a_word_is_only_the_move_and_resolving_twice_is_nothing() {
    let bare = Command::Resolve { outcome: None, summary: Some("  ".to_owned()) };
    let moved = at_nine(Status::Open, Status::Resolved, Move::Resolve);
    given(standing(Status::Open)).when(bare).then([moved]);
    given(standing(Status::Resolved)).when(resolve()).then_nothing();
}

#[test]
fn a_person_reopens_what_is_resolved_and_nothing_else() {
    let reopened = at_nine(Status::Resolved, Status::Reopened, Move::Reopen);
    let outcome = given(standing(Status::Resolved)).when(Command::Reopen).then([reopened]).then_claims([]);
    assert_eq!(facts(outcome.state()).resolved_at, None);
    given(standing(Status::Reopened)).when(Command::Reopen).then_nothing();
    for status in [Status::Open, Status::AwaitingCustomer, Status::AwaitingAgent, Status::Escalated] {
        given(standing(status)).when(Command::Reopen).then_rejected(illegal(status, Move::Reopen));
    }
}

#[test]
fn the_severity_is_a_persons_to_correct() {
    let set = Event::PrioritySet { at: moment("09:00"), severity: Severity::P0 };
    let command = Command::SetPriority { severity: Severity::P0 };
    let outcome = given(standing(Status::Open)).when(command).then([set]);
    assert_eq!(facts(outcome.state()).priority, Some(Severity::P0));
}
