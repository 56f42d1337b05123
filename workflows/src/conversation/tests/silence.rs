//! The promise against silence: twelve hours, half an hour of margin, a nudge two hours ahead.

use super::{fixtures::*, story::*};
use crate::{
    activity::ConversationActivity,
    conversation::{
        Command, Conversation, DeliveryStatus, Event, NewMessage, Purpose, Status, WhyChannel,
        standing::Standing,
    },
    message::{Address, Channel, Inbound},
    policy::Policy,
    scenario::moment,
    sla::BreachReason,
    time::{Span, Timestamp},
    workflow::Workflow as _,
};

fn nudged(event: &Event) -> bool {
    matches!(event, Event::Nudged { .. })
}

fn unreachable(event: &Event) -> bool {
    matches!(event, Event::CustomerUnreachable { .. })
}

fn broken(story: &Story) -> Vec<(Timestamp, Timestamp, BreachReason)> {
    story
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SilenceBroken { at, due_at, reason, .. } => Some((*at, *due_at, *reason)),
            _ => None,
        })
        .collect()
}

/// What the machine wrote after the acknowledgement.
fn updates(story: &Story) -> Vec<(Timestamp, Purpose, Channel)> {
    story.machine().into_iter().filter(|(_, purpose, _)| *purpose != Purpose::Acknowledgement).collect()
}

fn status_of(story: &Story, n: u64) -> DeliveryStatus {
    story.facts().send_status(grace_message(n)).unwrap()
}

#[test]
fn a_person_is_asked_to_write_and_half_an_hour_ahead_the_machine_does() {
    let mut story = Story::begin();
    story.at("21:00");
    assert_eq!(story.times(nudged), [moment("19:00")]);
    assert_eq!(updates(&story), [(moment("20:30"), Purpose::Waiting, Channel::Sms)]);
    assert_eq!(
        story.last_text(),
        "Your message is still with us. You will hear from us again by 2026-03-03 08:30 (UTC)."
    );
    assert_eq!(broken(&story), []);
    // And so on, every twelve hours from what was heard.
    story.until(on_day(1, "08:30"));
    assert_eq!(updates(&story)[1], (on_day(1, "08:00"), Purpose::Waiting, Channel::Sms));
    assert_eq!(story.times(nudged), [moment("19:00"), on_day(1, "06:30")]);
}

#[test]
fn a_persons_words_move_the_deadline_even_in_a_case() {
    let mut story = Story::begin();
    story.at("10:00").grace(escalate(1)).at("15:00").grace_replies(1);
    let clock = story.silence().unwrap();
    assert_eq!(
        (clock.since, clock.due_at, clock.write_at),
        (moment("15:00"), on_day(1, "03:00"), on_day(1, "02:30"))
    );
}

#[test]
fn nobody_is_written_to_on_the_customers_turn_or_once_it_is_resolved() {
    let mut story = Story::begin();
    story.at("10:00").grace_replies(1).until(on_day(9, "09:00"));
    assert_eq!((story.silence(), updates(&story)), (None, vec![]));
    let mut story = Story::begin();
    story.at("10:00").grace(Command::Resolve { outcome: None, summary: None }).until(on_day(9, "09:00"));
    assert_eq!((story.silence(), updates(&story)), (None, vec![]));
}

#[test]
fn an_answer_that_no_channel_has_taken_does_not_end_the_waiting() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.line(Channel::Sms, Line::Silent).at("10:00").grace_replies(1);
    assert_eq!(story.facts().status, Status::AwaitingCustomer);
    story.at("20:29");
    assert_eq!(story.sent.len(), 2);
    // Half an hour ahead the words go by mail, as Grace wrote them, and the SMS is not sent any more.
    story.at("20:30");
    let mail = story.sent.last().unwrap();
    assert_eq!(
        (&mail.channel, mail.text.as_str(), mail.automatic),
        (&Channel::Email, "Try the switch.", false)
    );
    assert_eq!(status_of(&story, 1), DeliveryStatus::Superseded);
    assert_eq!((story.silence(), updates(&story)), (None, vec![]));
    let queued = story.events.iter().rev().find_map(|event| match event {
        Event::MessageQueued { why, replaces, .. } => Some((*why, *replaces)),
        _ => None,
    });
    assert_eq!(queued, Some((WhyChannel::Fallback, Some(grace_message(1)))));
}

#[test]
fn a_superseded_send_is_not_wanted_any_more() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.line(Channel::Sms, Line::Silent).at("10:00").grace_replies(1);
    let wanted = |story: &Story| {
        let sms = story.sent.iter().find(|sent| sent.message_id == grace_message(1)).unwrap();
        Conversation::still_wanted(&story.state, &ConversationActivity::Send(Box::new(sms.clone())))
    };
    assert!(wanted(&story));
    story.at("20:30");
    assert!(!wanted(&story));
}

#[test]
fn after_a_minute_the_next_channel_gets_it() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.line(Channel::Sms, Line::Silent).at("20:32");
    let (first, second) = (moment("20:30"), moment("20:31"));
    assert_eq!(
        updates(&story),
        [(first, Purpose::Waiting, Channel::Sms), (second, Purpose::Waiting, Channel::Email)]
    );
}

#[test]
fn words_that_the_only_channel_has_yet_to_take_are_waited_for_before_nobody_can_be_reached() {
    let mut story = Story::begin();
    // The update of half past eight has not left when the case is opened, and its news take the update's place.
    story.line(Channel::Sms, Line::Silent).at("20:30");
    story.now = moment("20:30:20");
    story.grace(escalate(1));
    let escalation = story.sent.last().unwrap().message_id;
    story.until(moment("20:31:10"));
    assert_eq!(story.times(unreachable), [], "the channel has refused nothing");
    assert!(story.facts().sends.get(escalation).unwrap().is_open());
    story.accepted(escalation).until(on_day(1, "07:00"));
    assert_eq!((story.times(unreachable), broken(&story)), (vec![], vec![]));
    assert_eq!(updates(&story).last().unwrap().1, Purpose::Escalation, "and the next is due at eight");
}

#[test]
fn words_of_this_minute_have_their_minute_before_the_next_channel_gets_some() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.line(Channel::Sms, Line::Silent).at("20:30");
    story.now = moment("20:30:20");
    story.grace(escalate(1)).until(moment("20:31:10"));
    let last = |story: &Story| story.sent.last().map(|sent| sent.channel.clone());
    assert_eq!(last(&story), Some(Channel::Sms), "the news of the case are a minute old at most");
    story.until(moment("20:32:00"));
    assert_eq!((last(&story), story.times(unreachable)), (Some(Channel::Email), vec![]));
}

#[test]
fn what_is_refused_goes_to_the_next_channel_at_once_the_preferred_one_first_and_never_to_a_denied_one() {
    let phone = Address::phone("+15550123456");
    let chat = Address::handle(&Channel::Telegram, "ada");
    let standing = Standing {
        preferred: Some(Channel::Telegram),
        addresses: vec![phone, Address::email("ada@example.com"), chat],
        ..Standing::default()
    };
    let mut story = Story::begin_under(Policy::default(), Some(standing.clone()));
    story.line(Channel::Sms, Line::Refuses).at("20:30");
    let channels =
        |story: &Story| updates(story).into_iter().map(|(_, _, channel)| channel).collect::<Vec<_>>();
    assert_eq!(channels(&story), [Channel::Sms, Channel::Telegram]);
    let denied = Standing { denied: [Channel::Telegram].into_iter().collect(), ..standing };
    let mut story = Story::begin_under(Policy::default(), Some(denied));
    story.line(Channel::Sms, Line::Refuses).at("20:30");
    assert_eq!(channels(&story), [Channel::Sms, Channel::Email]);
}

#[test]
fn a_late_failure_of_a_persons_words_sends_them_by_the_next_channel_at_once() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.at("10:00").grace_replies(1);
    story.at("15:00").failed(grace_message(1));
    let mail = story.sent.last().unwrap();
    assert_eq!((&mail.channel, mail.text.as_str()), (&Channel::Email, "Try the switch."));
    assert_eq!(broken(&story), [], "twelve hours from the acknowledgement are not over");
}

#[test]
fn a_late_failure_after_the_due_time_is_a_breach_dated_at_the_failure() {
    let mut story = Story::begin();
    story.at("20:00").grace(escalate(1));
    story.at("20:10").grace_replies(1);
    let sent =
        story.sent.iter().filter(|sent| sent.automatic).map(|sent| sent.message_id).collect::<Vec<_>>();
    // At ten the next day the bounces come in: nothing since the first minute has arrived.
    story.line(Channel::Sms, Line::Silent).until(on_day(1, "07:00"));
    story.failed(grace_message(1));
    for id in sent {
        story.failed(id);
    }
    let at = on_day(1, "07:00");
    story.until(at + Span::from_millis(1));
    assert_eq!(broken(&story), [(at, moment("21:00"), BreachReason::LateFailure)]);
}

#[test]
fn without_a_channel_the_customer_is_unreachable_and_tried_again_every_hour_and_when_they_write() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Refuses).at("23:00");
    // Two minutes before the due time there is a last try in time; from there on, one an hour.
    let tried = ["20:30", "20:58", "21:58", "22:58"].map(moment);
    assert_eq!(story.times(unreachable), tried);
    assert_eq!(broken(&story), [(moment("21:00"), moment("21:00"), BreachReason::Unreachable)]);
    assert!(!story.facts().silence.is_reachable());
    story.line(Channel::Sms, Line::Good).at("23:10").ada_writes();
    story.at("23:11");
    assert_eq!(updates(&story).last(), Some(&(moment("23:10"), Purpose::Waiting, Channel::Sms)));
    assert!(story.facts().silence.is_reachable());
}

#[test]
fn a_persons_words_are_the_first_that_an_unreachable_customer_gets() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Refuses).at("10:00").grace_replies(1);
    assert_eq!(story.times(unreachable), [moment("10:00")]);
    story.line(Channel::Sms, Line::Good).at("11:00");
    let again = story.sent.last().unwrap();
    assert_eq!((again.text.as_str(), again.automatic), ("Try the switch.", false));
    assert!(story.facts().silence.is_reachable());
    assert_eq!((story.silence(), updates(&story)), (None, vec![]));
}

#[test]
fn several_missed_updates_are_one() {
    let mut story = Story::begin();
    story.down_until(on_day(2, "10:00")).tell(Command::Look);
    story.until(on_day(2, "10:01"));
    assert_eq!(updates(&story), [(on_day(2, "10:00"), Purpose::Waiting, Channel::Sms)]);
    assert_eq!(broken(&story), [(moment("21:00"), moment("21:00"), BreachReason::Late)]);
    assert_eq!(story.times(nudged), [], "the machine has written: nobody must be asked to");
}

#[test]
fn automatic_senders_and_mailboxes_that_nobody_reads_are_left_alone_until_a_person_writes() {
    let nobody = Inbound { from: vec![Address::email("no-reply@example.com")], ..mail(1) };
    for inbound in [automatic(mail(1)), nobody] {
        let mut story = Story::empty(Policy::default());
        story.open(inbound, None);
        story.until(on_day(9, "09:00"));
        assert_eq!((story.silence(), story.machine(), story.breaches()), (None, vec![], vec![]));
        let person = Inbound { received_at: story.now, ..mail(2) };
        story.tell(receive(person));
        assert_eq!(story.silence().unwrap().since, on_day(9, "09:00"));
    }
}

#[test]
fn after_six_updates_without_a_person_a_supervisor_is_alarmed_and_the_updates_go_on() {
    let alarmed = |event: &Event| matches!(event, Event::SupervisorAlarmed { .. });
    let mut story = Story::begin();
    // An update every eleven and a half hours from nine.
    let sixth = moment("09:00") + Span::from_mins(6 * 690);
    story.until(sixth + Span::from_hours(24));
    assert_eq!(story.times(alarmed), [sixth]);
    assert_eq!(updates(&story).len(), 8);
    story.grace(Command::Assign { agent: Some(crate::ids::AgentId(crate::scenario::id(20))), team: None });
    assert_eq!(story.facts().silence.updates, 0);
}

fn quiet(hours: &str) -> Standing {
    Standing {
        quiet_hours: Some(hours.parse().unwrap()),
        timezone: Some("Europe/Vienna".to_owned()),
        ..two_channels()
    }
}

#[test]
fn in_quiet_hours_the_machine_writes_at_the_last_polite_moment_before() {
    // Half past eight in the evening is half past nine in Vienna.
    let mut story = Story::begin_under(Policy::default(), Some(quiet("21:00-07:00")));
    assert_eq!(story.silence().unwrap().write_at, "2026-03-02T19:59:59Z".parse().unwrap());
    story.at("20:00");
    assert_eq!(
        story.last_text(),
        "Your message is still with us. You will hear from us again by 2026-03-03 08:59 (Europe/Vienna)."
    );
}

#[test]
fn quiet_hours_that_are_too_long_yield_to_the_promise() {
    let story = Story::begin_under(Policy::default(), Some(quiet("20:00-19:00")));
    assert_eq!(story.silence().unwrap().write_at, moment("20:30"));
}

#[test]
fn an_uncertain_update_is_sent_again_after_ten_minutes_and_a_persons_message_is_held() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Unsure).at("10:00").grace_replies(1).at("10:09");
    assert_eq!(status_of(&story, 1), DeliveryStatus::Uncertain);
    story.at("10:10");
    assert_eq!((status_of(&story, 1), story.sent.len()), (DeliveryStatus::Held, 2));
    // Grace has them sent again.
    story.line(Channel::Sms, Line::Good).at("10:30");
    story.grace(Command::SendAgain { message_id: grace_message(1) });
    assert_eq!(story.sent.last().unwrap().text, "Try the switch.");
    assert_eq!(story.silence(), None);

    let mut story = Story::begin();
    let ack = story.sent[0].message_id;
    assert!(story.facts().sends.get(ack).is_some());
    story.at("12:00").line(Channel::Sms, Line::Unsure).grace(escalate(1));
    story.line(Channel::Sms, Line::Good).at("12:10");
    let written: Vec<_> = updates(&story).into_iter().map(|(at, purpose, _)| (at, purpose)).collect();
    assert_eq!(written, [(moment("12:00"), Purpose::Escalation), (moment("12:10"), Purpose::Escalation)]);
}

#[test]
fn sending_again_what_arrived_or_what_the_machine_wrote_is_refused() {
    let mut story = Story::begin();
    story.at("10:00").grace_replies(1);
    let told = story.refused(Command::SendAgain { message_id: grace_message(1) }).to_string();
    assert!(told.starts_with("message_id must be one that is held, uncertain or failed"), "{told}");
    let machine = story.sent[0].message_id;
    let told = story.refused(Command::SendAgain { message_id: machine }).to_string();
    assert!(told.starts_with("message_id must be a person's message"), "{told}");
}

#[test]
fn a_recall_that_fails_after_the_channel_took_the_message_changes_nothing() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.at("10:00").grace_replies(1);
    story.tell(Command::RecallFailed { message_id: grace_message(1), error: error() });
    assert_eq!(status_of(&story, 1), DeliveryStatus::Sent);
}

#[test]
fn words_that_cannot_be_found_leave_the_customer_to_the_next_round() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Refuses).at("10:00").grace_replies(1);
    assert_eq!(story.times(unreachable), [moment("10:00")]);
    // An hour later Grace's words are to go out again, and nobody can find them.
    story.keep_recalls().at("11:00");
    story.tell(Command::RecallFailed { message_id: grace_message(1), error: error() });
    let armed = Conversation::deadlines(&story.state);
    assert!(armed.iter().any(|(deadline, _)| deadline == crate::conversation::Deadline::Retry), "{armed:?}");
}

#[test]
fn a_stricter_policy_makes_no_breach_before_it_came_into_force() {
    let mut story = Story::begin();
    story.at("15:00");
    let updates = crate::policy::Updates {
        interval: Span::from_hours(2),
        nudge_before: Span::from_hours(1),
        ..crate::policy::Updates::default()
    };
    let strict = Policy { version: 2, since: moment("15:00"), updates, ..Policy::default() };
    story.policies = story.policies.clone().changed(strict);
    story.line(Channel::Sms, Line::Silent).tell(Command::AdoptPolicy).at("15:01");
    assert_eq!(broken(&story), [(moment("15:00"), moment("11:00"), BreachReason::Late)]);
}

#[test]
fn a_person_who_writes_by_another_channel_is_heard_like_any_other() {
    let mut story = Story::begin_under(Policy::default(), Some(two_channels()));
    story.at("10:00").grace(Command::HandOff { reason: None });
    let message = NewMessage { id: grace_message(1), channel: Some(Channel::Email), ..new_message(1) };
    story.at("11:00").grace(Command::Reply { message });
    assert_eq!(story.silence(), None);
    story.at("12:00").ada_writes();
    assert_eq!(story.silence().unwrap().since, moment("12:00"));
}

#[test]
fn every_armed_timer_names_the_rule_that_asks_for_it() {
    let mut story = Story::begin();
    let armed = |story: &Story| {
        let deadlines: Vec<_> = Conversation::deadlines(&story.state).iter().collect();
        assert!(!deadlines.is_empty());
        deadlines
            .into_iter()
            .map(|(deadline, _)| {
                let rule = Conversation::rule(&story.state, deadline);
                (deadline.to_string(), rule.unwrap_or_else(|| panic!("{deadline} without a rule")))
            })
            .collect::<Vec<_>>()
    };
    let told = armed(&story);
    let silence = &told.iter().find(|(name, _)| name == "silence").unwrap().1;
    assert_eq!(silence, "silence: updates.interval 12h since 2026-03-02T09:00:00.000Z");
    story.at("20:40").line(Channel::Sms, super::story::Line::Silent);
    armed(&story);
    story.until(on_day(1, "08:00"));
    assert!(armed(&story).iter().any(|(name, _)| name == "fallback"));
    story.line(Channel::Sms, super::story::Line::Refuses).until(on_day(2, "09:00"));
    assert!(armed(&story).iter().any(|(name, _)| name == "retry"));
    let mut story = Story::begin();
    story.grace(escalate(1)).grace(priority(crate::words::Severity::P1));
    assert!(armed(&story).iter().any(|(_, rule)| rule.starts_with("sla tier standard P1: ")));
}

#[test]
fn a_message_that_may_have_arrived_does_not_keep_the_machine_from_writing_by_the_only_channel() {
    let mut story = Story::begin();
    story.line(Channel::Sms, Line::Unsure).at("10:00").grace_replies(1).at("10:15");
    assert_eq!(status_of(&story, 1), DeliveryStatus::Held);
    // The customer writes again and waits, and nobody decides what becomes of the message that is held.
    story.line(Channel::Sms, Line::Good).at("11:00").ada_writes();
    story.at("21:30");
    assert_eq!(updates(&story), [(moment("20:30"), Purpose::Waiting, Channel::Sms)]);
    assert_eq!((story.times(unreachable), broken(&story)), (vec![], vec![]));
    assert_eq!(status_of(&story, 1), DeliveryStatus::Held, "it stays for a person to decide");
}
