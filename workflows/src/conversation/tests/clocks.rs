//! The clocks of the SLA, rule by rule. The built-in targets: two hours, four hours, a day.

use super::{fixtures::*, story::*};
use crate::{
    conversation::{Command, Event, Status, standing::Standing},
    message::Channel,
    policy::{OnReopen, PauseIn, Policy, Targets, Tier, Warn},
    scenario::moment,
    sla::{
        BreachReason,
        ClockKind::{EscalationUnattended, FirstResponse, NextResponse, Resolution},
    },
    time::Span,
    words::{Severity, SlaTier},
};

fn with_tier(tier: Tier) -> Policy {
    let mut policy = Policy::default();
    policy.tiers.insert(SlaTier::Standard, tier);
    policy
}

fn ms() -> Span {
    Span::from_millis(1)
}

fn warned(event: &Event) -> bool {
    matches!(event, Event::SlaWarned { .. })
}

#[test]
fn the_first_response_starts_with_the_first_message_and_is_met_when_a_channel_takes_a_persons_answer() {
    let mut story = Story::begin();
    assert_eq!(story.clock(FirstResponse).due_at, Some(moment("11:00")));
    // The acknowledgement was taken, and a note and a machine's words are no answer.
    let note_id = crate::ids::NoteId(crate::scenario::id(40));
    story.at("09:30").grace(Command::AddNote { note_id, text: "Hm.".to_owned() });
    assert!(story.clock(FirstResponse).is_open());
    story.line(Channel::Sms, Line::Silent).at("10:00").grace_replies(1);
    assert!(story.clock(FirstResponse).is_open(), "nobody has taken it");
    story.at("10:20").accepted(grace_message(1));
    assert_eq!(story.clock(FirstResponse).met_at, Some(moment("10:20")));
    assert_eq!(story.clock(FirstResponse).met_by, Some(grace_message(1)));
}

#[test]
fn an_update_by_the_machine_answers_nothing() {
    let mut story = Story::begin();
    story.at("20:31");
    assert_eq!(story.machine().len(), 2, "an acknowledgement and an update, both taken");
    assert!(story.clock(FirstResponse).is_open());
    assert_eq!(story.facts().asked_since, Some(moment("09:00")));
}

#[test]
fn there_is_one_first_response_also_after_a_reopen() {
    let mut story = Story::begin();
    story.at("09:10").grace_replies(1);
    story.at("10:00").grace(Command::Resolve { outcome: None, summary: None });
    story.at("12:00").ada_writes();
    assert_eq!(story.facts().status, Status::Reopened);
    assert_eq!(story.clock(FirstResponse).met_at, Some(moment("09:10")));
    assert_eq!(story.clock(NextResponse).due_at, Some(moment("16:00")));
}

#[test]
fn the_next_response_counts_from_the_oldest_unanswered_message_on_any_channel() {
    let mut story = Story::begin();
    story.at("09:10").grace_replies(1);
    assert!(story.clocks().next_response.is_none(), "nothing is unanswered");
    story.at("10:00").ada_writes();
    let by_mail = crate::message::Inbound { received_at: moment("11:00"), ..mail(50) };
    story.at("11:00").tell(receive(by_mail));
    assert_eq!(story.clock(NextResponse).due_at, Some(moment("14:00")));
    story.at("12:00").grace_replies(2);
    assert_eq!(story.clock(NextResponse).met_at, Some(moment("12:00")));
    // The next one is an instance of its own.
    story.at("13:00").ada_writes();
    assert_eq!(story.clock(NextResponse).due_at, Some(moment("17:00")));
}

#[test]
fn an_answer_that_was_written_before_the_message_does_not_answer_it() {
    let mut story = Story::begin();
    story.at("09:10").grace_replies(1);
    story.at("10:00").ada_writes();
    story.line(Channel::Sms, Line::Silent).at("10:30").grace_replies(2);
    story.at("11:00").ada_writes();
    story.at("11:10").accepted(grace_message(2));
    // What was asked at ten is answered, what was asked at eleven is not.
    assert_eq!(story.clock(NextResponse).started_at, moment("11:00"));
    assert_eq!(story.clock(NextResponse).due_at, Some(moment("15:00")));
}

#[test]
fn exactly_at_the_due_time_is_in_time() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Silent).at("10:50").grace_replies(1);
    story.at("11:00").accepted(grace_message(1));
    story.until(on_day(0, "12:00"));
    assert_eq!(story.breaches(), []);
}

#[test]
fn a_millisecond_later_is_a_breach_of_the_due_time() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Silent).at("10:50").grace_replies(1);
    let late = moment("11:00") + ms();
    story.down_until(late).accepted(grace_message(1));
    assert_eq!(story.breaches(), [(FirstResponse, moment("11:00"), moment("11:00"))]);
    let detected = story.events.iter().find_map(|event| match event {
        Event::SlaBreached { detected_at, reason, .. } => Some((*detected_at, *reason)),
        _ => None,
    });
    assert_eq!(detected, Some((late, BreachReason::Late)));
}

#[test]
fn downtime_dates_a_breach_at_the_due_time_and_says_when_it_was_noticed() {
    let mut story = Story::begin();
    story.down_until(moment("15:00")).tell(Command::Look);
    assert_eq!(story.breaches(), [(FirstResponse, moment("11:00"), moment("11:00"))]);
    story.tell(Command::Look);
    assert_eq!(story.breaches().len(), 1);
}

#[test]
fn an_answer_accepted_before_the_due_time_meets_it_even_if_that_is_learned_later() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Silent).at("10:50").grace_replies(1);
    let accepted = crate::conversation::Delivery::Accepted { at: moment("10:55"), provider_message_id: None };
    story.down_until(moment("15:00")).settled(grace_message(1), accepted);
    assert_eq!(story.breaches(), []);
    assert_eq!(story.clock(FirstResponse).met_at, Some(moment("10:55")));
}

#[test]
fn a_late_failure_makes_it_unanswered_and_the_breach_is_dated_at_the_failure() {
    let mut story = Story::begin();
    story.at("10:00").grace_replies(1);
    story.line(Channel::Sms, Line::Silent).at("12:00").failed(grace_message(1));
    assert_eq!(story.breaches(), [(FirstResponse, moment("11:00"), moment("12:00"))]);
    let reason = story.events.iter().find_map(|event| match event {
        Event::SlaBreached { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, Some(BreachReason::LateFailure));
    assert_eq!(story.facts().asked_since, Some(moment("09:00")));
}

#[test]
fn a_first_answer_that_failed_late_is_made_good_by_a_second_that_arrived() {
    let mut story = Story::begin();
    story.at("10:00").grace_replies(1);
    story.at("10:30").grace_replies(2);
    story.line(Channel::Sms, Line::Silent).at("12:00").failed(grace_message(1));
    assert_eq!(story.facts().asked_since, None, "the second answered it too");
    assert_eq!(story.clock(FirstResponse).met_at, Some(moment("10:30")));
    assert_eq!(story.breaches(), []);
}

#[test]
fn the_resolution_pauses_for_the_customer_and_goes_on_with_what_was_left() {
    let mut story = Story::begin();
    assert_eq!(story.clock(Resolution).due_at, Some(on_day(1, "09:00")));
    story.at("10:00").grace_replies(1);
    assert_eq!((story.clock(Resolution).spent, story.clock(Resolution).due_at), (Span::from_hours(1), None));
    story.until(on_day(3, "10:00")).ada_writes();
    assert_eq!(story.clock(Resolution).due_at, Some(on_day(4, "09:00")));
}

#[test]
fn a_reopened_resolution_resumes_or_restarts_as_the_tier_says() {
    for (on_reopen, due) in [(OnReopen::Resume, "11:00"), (OnReopen::Restart, "12:00")] {
        let mut story = Story::begin_under(with_tier(Tier { on_reopen, ..Tier::default() }), None);
        story.at("10:00").grace(Command::Resolve { outcome: None, summary: None });
        assert_eq!(story.clock(Resolution).met_at, Some(moment("10:00")));
        story.at("12:00").ada_writes();
        assert_eq!(story.clock(Resolution).due_at, Some(on_day(1, due)), "{on_reopen}");
    }
}

#[test]
fn a_snooze_stops_no_clock_unless_the_tier_says_so() {
    for (pause_in, due) in [(vec![], Some("09:00")), (vec![PauseIn::Snoozed], None)] {
        let tier = Tier { pause_in: pause_in.into_iter().collect(), ..Tier::default() };
        let mut story = Story::begin_under(with_tier(tier), None);
        story.at("10:00").grace(Command::Snooze { until: moment("12:00") });
        assert_eq!(story.clock(Resolution).due_at, due.map(|due| on_day(1, due)));
        story.at("12:00");
        let paused = if due.is_some() { "09:00" } else { "11:00" };
        assert_eq!(story.clock(Resolution).due_at, Some(on_day(1, paused)));
    }
}

#[test]
fn warnings_come_once_at_three_quarters_or_a_span_ahead() {
    let mut story = Story::begin();
    story.at("10:59");
    assert_eq!(story.times(warned), [moment("10:30")]);
    let mut story = Story::begin_under(
        with_tier(Tier { warn: Warn::Before(Span::from_mins(10)), ..Tier::default() }),
        None,
    );
    story.at("10:59");
    assert_eq!(story.times(warned), [moment("10:50")]);
}

#[test]
fn reminders_come_once_each_and_several_missed_ones_are_one() {
    let reminded = |event: &Event| matches!(event, Event::Reminded { .. });
    let numbers = |story: &Story| -> Vec<u32> {
        story
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Reminded { number, .. } => Some(*number),
                _ => None,
            })
            .collect()
    };
    let mut story = Story::begin();
    story.at("18:00");
    assert_eq!(story.times(reminded), [moment("09:30"), moment("10:00"), moment("11:00")]);
    assert_eq!(numbers(&story), [1, 2, 3]);
    let mut story = Story::begin();
    story.down_until(moment("10:15")).tell(Command::Look);
    story.at("18:00");
    assert_eq!(
        (story.times(reminded), numbers(&story)),
        (vec![moment("10:15"), moment("11:00")], vec![2, 3])
    );
    let mut story = Story::begin();
    story.at("09:10").grace_replies(1).at("18:00");
    assert_eq!(story.times(reminded), [], "it is answered");
}

fn hours(first: u64) -> Targets {
    Targets { first_response: Some(Span::from_hours(first)), ..Targets::built_in() }
}

#[test]
fn a_change_of_policy_keeps_what_was_consumed_and_dates_no_breach_before_it() {
    let mut story = Story::begin_under(with_tier(Tier { default: hours(8), ..Tier::default() }), None);
    story.at("15:00");
    let shorter = Policy {
        version: 2,
        since: moment("15:00"),
        ..with_tier(Tier { default: hours(1), ..Tier::default() })
    };
    story.policies = story.policies.clone().changed(shorter);
    // The sweep comes to it twenty minutes later.
    story.down_until(moment("15:20")).tell(Command::AdoptPolicy);
    assert_eq!(story.breaches(), [(FirstResponse, moment("15:00"), moment("15:00"))]);
}

#[test]
fn several_versions_are_taken_up_one_after_the_other() {
    let mut story = Story::begin_under(with_tier(Tier { default: hours(8), ..Tier::default() }), None);
    let version = |version, since, first| Policy {
        version,
        since: moment(since),
        ..with_tier(Tier { default: hours(first), ..Tier::default() })
    };
    // For one hour it was due at noon; that was long ago by the time anybody looks.
    story.policies = story.policies.clone().changed(version(2, "11:30", 3)).changed(version(3, "12:30", 6));
    story.down_until(moment("13:00")).tell(Command::AdoptPolicy);
    assert_eq!(story.breaches(), [(FirstResponse, moment("12:00"), moment("12:00"))]);
    assert_eq!((story.clocks().policy, story.clock(FirstResponse).policy), (3, 3));
}

#[test]
fn what_was_late_before_a_change_of_policy_is_late_by_the_terms_of_that_time() {
    let mut story = Story::begin();
    let same = Policy { version: 2, since: moment("12:00"), ..Policy::default() };
    story.policies = story.policies.clone().changed(same);
    story.down_until(moment("13:00")).tell(Command::AdoptPolicy);
    assert_eq!(story.breaches(), [(FirstResponse, moment("11:00"), moment("11:00"))]);
}

#[test]
fn a_higher_severity_and_a_better_tier_change_the_target_from_then_on() {
    let mut policy = Policy::default();
    let by_severity = [(Severity::P0, hours(1))].into_iter().collect();
    policy.tiers.insert(SlaTier::Premium, Tier { by_severity, ..Tier::default() });
    let mut story = Story::begin_under(policy, None);
    story.at("10:30").grace(priority(Severity::P0));
    assert_eq!(story.clock(FirstResponse).due_at, Some(moment("11:00")));
    let standing = Standing { tier: SlaTier::Premium, ..Standing::default() };
    story.at("10:40").tell(Command::KnowStanding { standing: Box::new(standing) });
    story.at("10:41");
    assert_eq!(story.breaches(), [(FirstResponse, moment("10:40"), moment("10:40"))]);
}

#[test]
fn a_case_that_nobody_attends_to_breaches_after_four_hours() {
    let mut story = Story::begin();
    story.at("09:10").grace_replies(1);
    story.at("10:00").grace(escalate(1));
    assert_eq!(
        story.clock(EscalationUnattended).due_at,
        Some(moment("14:00")),
        "asking for it is not attending to it"
    );
    story.at("14:01");
    assert_eq!(story.breaches(), [(EscalationUnattended, moment("14:00"), moment("14:00"))]);
    let mut story = Story::begin();
    story.at("10:00").grace(escalate(1)).at("11:00").grace(Command::HandOff { reason: None });
    assert_eq!(story.clock(EscalationUnattended).met_at, Some(moment("11:00")));
}

#[test]
fn saying_again_what_is_so_attends_to_nothing_even_when_a_broken_silence_is_noticed_with_it() {
    let mut story = Story::begin();
    story.at("09:30").grace(priority(Severity::P0)).grace(escalate(1));
    story.down_until(on_day(1, "10:00")).grace(priority(Severity::P0));
    assert!(story.events.iter().any(|event| matches!(event, Event::SilenceBroken { .. })), "it was noticed");
    assert_eq!(story.clock(EscalationUnattended).met_at, None);
    story.grace(Command::HandOff { reason: None });
    assert_eq!(story.clock(EscalationUnattended).met_at, Some(on_day(1, "10:00")));
}

#[test]
fn a_conversation_that_goes_on_elsewhere_has_no_clock() {
    let mut story = Story::begin();
    let outcome = Some(crate::words::Outcome::Merged);
    story.at("09:30").grace(Command::Resolve { outcome, summary: None });
    story.until(on_day(5, "09:00"));
    assert_eq!((story.breaches(), story.silence()), (vec![], None));
}
