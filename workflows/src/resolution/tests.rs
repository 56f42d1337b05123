//! A case through everything that can happen to it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the events it is about")]

use super::*;
use crate::{
    conversation::case::CaseFacts,
    ids::{CaseId, MessageId},
    message::Channel,
    scenario::{Scenario, id, moment, person},
    words::{IssueType, Severity},
};

fn this() -> ResolutionId {
    ResolutionId(id(60))
}

fn conversation() -> ConversationId {
    ConversationId(id(1))
}

fn request(n: u64) -> Box<EscalationRequest> {
    Box::new(EscalationRequest {
        resolution_id: ResolutionId(id(n)),
        case_id: CaseId::of(this()),
        issue_type: IssueType::Billing,
        owning_team: "finance".to_owned(),
        severity: Some(Severity::P1),
        expected_by: None,
        summary: Some("Charged twice.".to_owned()),
    })
}

fn by_noon() -> Window {
    Window { from: None, by: moment("12:00"), source: WindowSource::Person }
}

fn take(order: CaseOrder) -> Command {
    Command::Take { resolution_id: this(), conversation_id: conversation(), order }
}

fn order(window: Option<Window>) -> CaseOrder {
    CaseOrder::Open {
        request: request(60),
        severity: Severity::P1,
        window,
        continuation: Some(Channel::Email),
    }
}

fn opened(window: Option<Window>) -> Event {
    Event::Opened {
        at: moment("08:00"),
        id: this(),
        case_id: CaseId::of(this()),
        conversation_id: conversation(),
        issue_type: IssueType::Billing,
        owning_team: "finance".to_owned(),
        severity: Severity::P1,
        window,
        continuation: Some(Channel::Email),
        summary: Some("Charged twice.".to_owned()),
    }
}

fn open(window: Option<Window>) -> Scenario<Resolution> {
    Scenario::given([opened(window)]).by(person("Grace"))
}

fn solved() -> Event {
    let (root_cause, fix_description) = (Some("A retry.".to_owned()), Some("Refunded.".to_owned()));
    Event::Resolved { at: moment("08:30"), root_cause, fix_description, with_conversation: false }
}

fn after(events: impl IntoIterator<Item = Event>) -> Scenario<Resolution> {
    Scenario::given([opened(None)].into_iter().chain(events)).by(person("Grace"))
}

fn acted() -> Event {
    Event::PersonActed { at: moment("09:00") }
}

fn tells(report: CaseReport) -> ResolutionActivity {
    ResolutionActivity::TellConversation { conversation_id: conversation(), report: Box::new(report) }
}

/// The facts after a person has done something at nine.
fn facts(version: u64, status: CaseStatus, window: Option<Window>) -> CaseFacts {
    let nine = Some(moment("09:00"));
    CaseFacts { version, status, window, missed: None, attended_at: nine, person_at: nine, joins: 0 }
}

fn new_message(text: &str) -> NewMessage {
    NewMessage {
        id: MessageId(id(100)),
        channel: None,
        text: text.to_owned(),
        attachments: Vec::new(),
        agent_name: None,
    }
}

fn resolve(cause: &str, fix: &str) -> Command {
    Command::Resolve { root_cause: cause.to_owned(), fix_description: fix.to_owned(), message: None }
}

#[test]
fn a_case_opens_once_with_its_window_and_arms_the_moment_after_it() {
    let at_nine = |event| match event {
        Event::Opened {
            id,
            case_id,
            conversation_id,
            issue_type,
            owning_team,
            severity,
            window,
            continuation,
            summary,
            ..
        } => {
            let at = moment("09:00");
            Event::Opened {
                at,
                id,
                case_id,
                conversation_id,
                issue_type,
                owning_team,
                severity,
                window,
                continuation,
                summary,
            }
        }
        other => other,
    };
    Scenario::<Resolution>::given([])
        .when(take(order(Some(by_noon()))))
        .then([at_nine(opened(Some(by_noon())))])
        .then_activities([])
        .then_armed([(Deadline::Window, moment("12:00") + Span::from_millis(1))]);
    open(None).when(take(order(None))).then_nothing();
    let other =
        Command::Take { resolution_id: this(), conversation_id: ConversationId(id(2)), order: order(None) };
    open(None).when(other).then_rejected(Rejection::Exists);
}

#[test]
fn nothing_is_taken_before_it_is_open() {
    let commands = [take(CaseOrder::Close), Command::Pause, resolve("a", "b"), Command::WindowPassed];
    for command in commands {
        Scenario::<Resolution>::given([]).when(command).then_rejected(Rejection::Unknown);
    }
}

#[test]
fn a_status_is_told_to_the_conversation_with_who_acted() {
    let (from, to) = (CaseStatus::Investigating, CaseStatus::AwaitingFix);
    open(None)
        .when(Command::SetStatus { status: to, note: None })
        .then([Event::StatusChanged { at: moment("09:00"), from, to }, acted()])
        .then_activities([tells(CaseReport::Facts(facts(3, to, None)))]);
    let same = Command::SetStatus { status: from, note: None };
    open(None).when(same).then_nothing();
}

#[test]
fn a_case_is_resolved_with_its_cause_and_its_fix_only() {
    let told = open(None).when(Command::SetStatus { status: CaseStatus::Resolved, note: None });
    let told = told.rejection().unwrap().to_string();
    assert!(told.starts_with("status must be one of investigating, awaiting_fix"), "{told}");
    for (cause, fix, field) in [(" ", "b", "root_cause"), ("a", "", "fix_description")] {
        let told = open(None).when(resolve(cause, fix)).rejection().unwrap().to_string();
        assert!(told.starts_with(&format!("{field} must be")), "{told}");
    }
    let report = CaseReport::Resolved { facts: facts(3, CaseStatus::Resolved, None), message: None };
    open(None)
        .when(resolve("A retry.", "Refunded."))
        .then([
            match solved() {
                Event::Resolved { root_cause, fix_description, with_conversation, .. } => {
                    Event::Resolved { at: moment("09:00"), root_cause, fix_description, with_conversation }
                }
                other => other,
            },
            acted(),
        ])
        .then_activities([tells(report)])
        .then_armed([]);
}

#[test]
fn a_solved_case_takes_notes_and_nothing_else() {
    after([solved()]).when(resolve("A retry.", "Refunded.")).then_nothing();
    let refused = [
        resolve("Another.", "Refunded."),
        Command::SetStatus { status: CaseStatus::Monitoring, note: None },
        Command::SetWindow { from: None, by: moment("17:00") },
        Command::Pause,
        Command::Resume,
        Command::Write { message: new_message("Hello.") },
    ];
    for command in refused {
        let outcome = after([solved()]).when(command);
        assert!(matches!(outcome.rejection(), Some(Rejection::Illegal { from: CaseStatus::Resolved, .. })));
    }
    let note = Command::AddNote { note_id: NoteId(id(40)), text: " Closed. ".to_owned() };
    assert_eq!(after([solved()]).when(note).decision().events.len(), 2);
}

#[test]
fn a_window_is_a_persons_and_lies_ahead_in_the_right_order() {
    let set = Command::SetWindow { from: None, by: moment("12:00") };
    open(None)
        .when(set)
        .then([Event::WindowSet { at: moment("09:00"), window: by_noon() }, acted()])
        .then_activities([tells(CaseReport::Facts(facts(3, CaseStatus::Investigating, Some(by_noon()))))]);
    let wrong = [
        (None, moment("09:00"), "expected_by must be later than now"),
        (None, moment("09:00") + Span::from_hours(24 * 366), "expected_by must be within a year"),
        (Some(moment("13:00")), moment("12:00"), "expected_from must be not later than expected_by"),
    ];
    for (from, by, says) in wrong {
        let told = open(None).when(Command::SetWindow { from, by }).rejection().unwrap().to_string();
        assert!(told.starts_with(says), "{told}");
    }
}

#[test]
fn a_window_that_passes_unmet_is_told_once_and_exactly_at_its_end_it_has_not_passed() {
    Scenario::<Resolution>::given([opened(Some(by_noon()))])
        .at("12:00")
        .when(Command::WindowPassed)
        .then_nothing();
    let late = moment("12:00") + Span::from_millis(1);
    let missed = CaseFacts {
        version: 2,
        status: CaseStatus::Investigating,
        window: None,
        missed: Some(moment("12:00")),
        attended_at: None,
        person_at: None,
        joins: 0,
    };
    Scenario::<Resolution>::given([opened(Some(by_noon()))])
        .at(&late.to_string())
        .when(Resolution::deadline_passed(Deadline::Window))
        .then([Event::WindowPassed { at: late, expected_by: moment("12:00") }])
        .then_activities([tells(CaseReport::Facts(missed))])
        .then_armed([]);
}

#[test]
fn the_stopwatch_stands_still_while_it_is_paused() {
    let events = [
        Event::Paused { at: moment("09:00") },
        Event::Resumed { at: moment("11:00") },
        Event::Resolved {
            at: moment("11:30"),
            root_cause: None,
            fix_description: None,
            with_conversation: true,
        },
        Event::Reopened { at: moment("13:00") },
    ];
    let mut state = State::default();
    Resolution::evolve(&mut state, &opened(None));
    events.iter().for_each(|event| Resolution::evolve(&mut state, event));
    // From eight to nine, from eleven to half past, and from one on.
    assert_eq!(state.facts().unwrap().clock.elapsed(moment("14:00")), Span::from_mins(150));
}

#[test]
fn words_for_the_customer_go_to_the_conversation_and_not_to_them() {
    let write = || Command::Write { message: new_message(" We found it. ") };
    let report = CaseReport::Update(new_message("We found it."));
    open(None)
        .when(write())
        .then([
            Event::UpdateWritten {
                at: moment("09:00"),
                by: person("Grace"),
                message_id: MessageId(id(100)),
                text: "We found it.".to_owned(),
            },
            acted(),
        ])
        .then_activities([
            tells(CaseReport::Facts(facts(3, CaseStatus::Investigating, None))),
            tells(report),
        ]);
}

#[test]
fn joining_raises_the_severity_and_is_known_by_its_own_id() {
    let joined = || CaseOrder::Join { request: request(61) };
    let outcome = open(None).when(take(joined()));
    assert_eq!(outcome.decision().events, [Event::Joined { at: moment("09:00"), request: request(61) }]);
    assert_eq!(outcome.state().facts().unwrap().attended_at, None, "asking is not attending");
}

#[test]
fn its_conversation_closes_reopens_and_is_handed_back_each_once() {
    let close = open(None).when(take(CaseOrder::Close));
    assert!(matches!(close.decision().events[0], Event::Resolved { with_conversation: true, .. }));
    after([solved()]).when(take(CaseOrder::Close)).then_nothing();
    let reopened = after([solved()]).when(take(CaseOrder::Reopen));
    assert_eq!(
        reopened.state().facts().unwrap().status,
        CaseStatus::Monitoring,
        "the fix that was recorded is out"
    );
    open(None).when(take(CaseOrder::Reopen)).then_nothing();
    open(None).when(take(CaseOrder::HandBack)).then([Event::HandedBack { at: moment("09:00") }, acted()]);
    // Asked for again, it can be handed back again.
    let events = [
        Event::HandedBack { at: moment("08:10") },
        Event::Joined { at: moment("08:20"), request: request(61) },
    ];
    after(events).when(take(CaseOrder::HandBack)).then([Event::HandedBack { at: moment("09:00") }, acted()]);
}

#[test]
fn whoever_asks_for_a_case_that_was_just_solved_opens_it_again() {
    let outcome = after([solved()]).when(take(CaseOrder::Join { request: request(61) }));
    assert!(outcome.state().facts().unwrap().is_open());
}
