//! Long-running cases, as their conversation sees them.

use super::{fixtures::*, story::*};
use crate::{
    conversation::{
        Command, Event, Move, NewMessage, Purpose, Status,
        case::{CaseFacts, CaseOrder, CaseReport, EscalationRequest, Window},
        standing::Standing,
    },
    ids::ResolutionId,
    message::Channel,
    policy::Policy,
    scenario::{id, moment},
    time::{Span, Timestamp},
    words::{CaseStatus, IssueType, Outcome, Severity, WindowSource},
};

fn news(version: u64, status: CaseStatus) -> CaseFacts {
    CaseFacts { version, status, window: None, missed: None, attended_at: None, person_at: None, joins: 0 }
}

fn hear(report: CaseReport) -> Command {
    Command::HearCase { resolution_id: ResolutionId(id(61)), report: Box::new(report) }
}

fn by_noon() -> Window {
    Window { from: None, by: moment("12:00"), source: WindowSource::Person }
}

/// Ada has written by SMS at nine, and a case was opened at ten.
fn escalated() -> Story {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.at("10:00").grace(escalate(1));
    story
}

/// Every time of day that a text shows, as it stands there.
fn times_in(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let shape = |at: &usize| {
        text.get(*at..at + 16).is_some_and(|slice| {
            slice
                .bytes()
                .zip("dddd-dd-dd dd:dd".bytes())
                .all(|(c, d)| if d == b'd' { c.is_ascii_digit() } else { c == d })
        })
    };
    (0..bytes.len()).filter(shape).map(|at| text[at..at + 16].to_owned()).collect()
}

fn shown(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m-%d %H:%M").to_string()
}

#[test]
fn escalating_is_possible_in_every_status_and_reopens_what_is_resolved_first() {
    for status in Status::ALL {
        let outcome = given(standing(*status)).when(escalate(1));
        assert_eq!(facts(outcome.state()).status, Status::Escalated, "from {status}");
        let moves: Vec<_> = outcome
            .decision()
            .events
            .iter()
            .filter_map(|event| match event {
                Event::StateChanged { by, .. } => Some(*by),
                _ => None,
            })
            .collect();
        let expected = match status {
            Status::Resolved => vec![Move::Reopen, Move::Escalate],
            Status::Escalated => vec![],
            _ => vec![Move::Escalate],
        };
        assert_eq!(moves, expected, "from {status}");
    }
}

#[test]
fn the_customer_learns_at_once_the_case_and_the_channel_by_which_it_goes_on() {
    let story = escalated();
    let text = "Your case is TL-0000-01X. You will hear from us again by 2026-03-02 22:00 (UTC), by email.";
    assert_eq!((story.last_text(), &story.sent.last().unwrap().channel), (text, &Channel::Sms));
    assert!(matches!(&story.orders[..], [CaseOrder::Open { continuation: Some(Channel::Email), .. }]));
    let mut story = story;
    story.at("21:30");
    assert_eq!(story.machine().last(), Some(&(moment("21:30"), Purpose::Update, Channel::Email)));
}

#[test]
fn a_second_escalation_joins_the_case() {
    let mut story = escalated();
    story.at("11:00").grace(escalate(2));
    assert!(
        matches!(&story.orders[1], CaseOrder::Join { request } if request.resolution_id == ResolutionId(id(62)))
    );
    assert_eq!(story.facts().case.as_ref().unwrap().resolution_id, ResolutionId(id(61)));
    assert_eq!(story.facts().status, Status::Escalated);
}

#[test]
fn a_window_that_a_person_or_the_policy_recorded_is_told() {
    let mut story = Story::begin();
    let request = EscalationRequest { expected_by: Some(moment("17:00")), ..request(1) };
    story.at("10:00").grace(Command::Escalate { request: Box::new(request) });
    assert!(
        story.last_text().contains("We expect to have it solved by 2026-03-02 17:00 (UTC)."),
        "{}",
        story.last_text()
    );
    let mut policy = Policy::default();
    let windows = [(Severity::P2, Span::from_hours(5))].into_iter().collect();
    policy.windows = [(IssueType::Technical, windows)].into_iter().collect();
    let mut story = Story::begin_under(policy, None);
    story.at("10:00").grace(escalate(1));
    assert!(story.last_text().contains("solved by 2026-03-02 15:00 (UTC)."), "{}", story.last_text());
}

#[test]
fn bad_windows_and_teams_are_refused_by_the_name_of_the_field() {
    let mut story = Story::begin();
    let year = moment("09:00") + Span::from_hours(24 * 366);
    for (by, allowed) in [(moment("09:00"), "later than now"), (year, "within a year")] {
        let request = EscalationRequest { expected_by: Some(by), ..request(1) };
        let told = story.refused(Command::Escalate { request: Box::new(request) }).to_string();
        assert!(told.starts_with(&format!("expected_by must be {allowed}")), "{told}");
    }
    let request = EscalationRequest { owning_team: " ".to_owned(), ..request(1) };
    let told = story.refused(Command::Escalate { request: Box::new(request) }).to_string();
    assert!(told.starts_with("owning_team must be"), "{told}");
}

#[test]
fn a_window_that_passed_is_told_honestly_and_once_and_a_new_one_by_a_person_takes_its_place() {
    let mut story = escalated();
    let missed = CaseFacts { missed: Some(moment("12:00")), ..news(2, CaseStatus::AwaitingFix) };
    story.tell(hear(CaseReport::Facts(CaseFacts {
        window: Some(by_noon()),
        ..news(1, CaseStatus::AwaitingFix)
    })));
    story.until(moment("12:00") + Span::from_millis(1)).tell(hear(CaseReport::Facts(missed)));
    story.at("12:05");
    let told: Vec<_> =
        story.machine().into_iter().filter(|(_, what, _)| *what == Purpose::WindowMissed).collect();
    assert_eq!(told.len(), 1);
    assert!(
        story.last_text().starts_with("We had expected to have your case TL-0000-01X solved by 2026-03-02 12:00 (UTC), and it is not: the cause is known, and a fix is being prepared."),
        "{}", story.last_text()
    );
    // The next is an ordinary update, without any window.
    story.until(on_day(1, "00:00"));
    assert_eq!(story.machine().last().unwrap().1, Purpose::Update);
    let window = Window { by: on_day(2, "12:00"), ..by_noon() };
    let again = CaseFacts { window: Some(window), ..news(3, CaseStatus::FixInProgress) };
    story.tell(hear(CaseReport::Facts(again))).until(on_day(1, "12:00"));
    assert!(story.last_text().contains("solved by 2026-03-04 12:00"), "{}", story.last_text());
}

#[test]
fn no_text_of_the_machine_holds_a_time_that_nobody_recorded() {
    let mut story = escalated();
    let mut recorded: Vec<Timestamp> = Vec::new();
    for (version, status) in
        (1..).zip(CaseStatus::ALL.iter().filter(|status| **status != CaseStatus::Resolved))
    {
        let by = moment("12:00") + Span::from_hours(14 * version);
        recorded.push(by);
        let window = (version % 2 == 0).then_some(Window { by, ..by_noon() });
        let missed = (version % 3 == 0).then_some(moment("12:00"));
        let facts = CaseFacts { window, missed, ..news(version, *status) };
        recorded.extend(missed);
        story.tell(hear(CaseReport::Facts(facts)));
        let next = story.now + Span::from_hours(13);
        story.until(next);
    }
    let mut looked_at = 0;
    for event in &story.events {
        let Event::MessageQueued { message, promises, .. } = event else { continue };
        if !message.automatic {
            continue;
        }
        for time in times_in(&message.text) {
            looked_at += 1;
            let known = recorded.iter().chain(promises).any(|at| shown(*at) == time);
            assert!(known, "{time} in {:?}", message.text);
        }
    }
    assert!(looked_at > 6, "{looked_at} times were looked at");
}

#[test]
fn times_are_told_by_the_customers_own_clocks() {
    let standing = Standing { timezone: Some("Asia/Kolkata".to_owned()), ..two_channels() };
    let mut story = Story::begin_under(Policy::default(), Some(standing));
    story.at("10:00").grace(escalate(1));
    assert!(story.last_text().contains("2026-03-03 03:30 (Asia/Kolkata)"), "{}", story.last_text());
}

#[test]
fn a_solved_case_resolves_its_conversation_in_the_same_hand_over() {
    let mut story = escalated();
    story
        .at("15:00")
        .tell(hear(CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: None }));
    assert_eq!((story.facts().status, story.facts().outcome), (Status::Resolved, Some(Outcome::Resolved)));
    assert_eq!(
        story.last_text(),
        "Your case TL-0000-01X is solved. If anything is left, just answer this message."
    );
    let mut story = escalated();
    let words = NewMessage { id: grace_message(1), text: "We refunded you.".to_owned(), ..new_message(1) };
    story
        .at("15:00")
        .tell(hear(CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: Some(words) }));
    assert_eq!((story.last_text(), story.facts().status), ("We refunded you.", Status::Resolved));
}

#[test]
fn a_message_that_waits_keeps_the_conversation_open_when_its_case_is_solved() {
    let mut story = escalated();
    story.at("14:00").ada_writes();
    story
        .at("15:00")
        .tell(hear(CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: None }));
    assert_eq!(story.facts().status, Status::AwaitingAgent);
}

#[test]
fn a_solved_case_is_told_by_the_next_channel_when_one_refuses() {
    let mut story = escalated();
    story.line(Channel::Email, Line::Refuses).at("15:00");
    story.tell(hear(CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: None }));
    let told: Vec<_> =
        story.machine().into_iter().filter(|(_, what, _)| *what == Purpose::Resolved).collect();
    assert_eq!(
        told.iter().map(|(_, _, channel)| channel.clone()).collect::<Vec<_>>(),
        [Channel::Email, Channel::Sms]
    );
}

#[test]
fn the_customers_answer_brings_back_the_conversation_and_its_case() {
    let mut story = escalated();
    story
        .at("15:00")
        .tell(hear(CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: None }));
    story.at("16:00").ada_writes();
    assert_eq!((story.facts().status, story.orders.last()), (Status::Reopened, Some(&CaseOrder::Reopen)));
    story.tell(hear(CaseReport::Facts(news(5, CaseStatus::Investigating))));
    assert!(story.facts().open_case().is_some());
    assert_eq!(story.silence().unwrap().since, moment("16:00"));
}

#[test]
fn a_person_who_resolves_the_conversation_closes_its_case() {
    let mut story = escalated();
    story.at("11:00").grace(Command::Resolve { outcome: None, summary: None });
    assert_eq!(story.orders.last(), Some(&CaseOrder::Close));
}

#[test]
fn an_older_report_and_one_of_another_case_change_nothing() {
    let mut story = escalated();
    story.tell(hear(CaseReport::Facts(news(5, CaseStatus::Monitoring))));
    story.tell(hear(CaseReport::Facts(news(4, CaseStatus::Resolved))));
    let other = CaseReport::Resolved { facts: news(9, CaseStatus::Resolved), message: None };
    story.tell(Command::HearCase { resolution_id: ResolutionId(id(69)), report: Box::new(other) });
    assert_eq!(story.facts().case.as_ref().unwrap().facts.status, CaseStatus::Monitoring);
    assert_eq!(story.facts().status, Status::Escalated);
}

#[test]
fn words_by_a_channel_that_the_customer_does_not_have_do_not_keep_a_solved_case_open() {
    let mut story = escalated();
    let words = NewMessage { id: grace_message(1), channel: Some(Channel::Telegram), ..new_message(1) };
    let report = CaseReport::Resolved { facts: news(4, CaseStatus::Resolved), message: Some(words) };
    story.at("15:00").tell(hear(report));
    assert_eq!(story.facts().status, Status::Resolved);
}

#[test]
fn handing_back_leaves_the_case_as_it_is() {
    let mut story = escalated();
    story.at("11:00").grace(Command::HandBack);
    assert_eq!(
        (story.facts().status, story.orders.last()),
        (Status::AwaitingAgent, Some(&CaseOrder::HandBack))
    );
    assert!(story.facts().open_case().is_some());
}

#[test]
fn a_case_asked_for_again_in_the_moment_in_which_it_is_solved_does_not_end_the_conversation() {
    let mut story = escalated();
    story.at("11:00").grace(escalate(2));
    // The resolution solved the case before it heard of the second escalation.
    story
        .at("11:00")
        .tell(hear(CaseReport::Resolved { facts: news(2, CaseStatus::Resolved), message: None }));
    assert_eq!(story.facts().status, Status::AwaitingAgent, "a person must look at it");
    assert_eq!(story.facts().outcome, None);

    // The one that had heard of it ends both.
    let mut story = escalated();
    story.at("11:00").grace(escalate(2));
    let facts = CaseFacts { joins: 1, ..news(3, CaseStatus::Resolved) };
    story.at("11:05").tell(hear(CaseReport::Resolved { facts, message: None }));
    assert_eq!(story.facts().status, Status::Resolved);
}
