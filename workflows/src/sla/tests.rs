//! One clock through everything that can happen to it, by hand-computed times.

use super::*;
use crate::{
    calendar::{CalendarSpec, Hours},
    policy::{Fraction, Warn},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn office() -> Calendar {
    let day = || vec!["09:00-17:00".to_owned()];
    let hours = Hours { mon: day(), tue: day(), wed: day(), thu: day(), fri: day(), ..Hours::default() };
    let spec = CalendarSpec { timezone: "Europe/Berlin".to_owned(), hours, holidays: Vec::new() };
    Calendar::new(&spec).unwrap()
}

fn terms(hours: &Calendar, target: Span) -> Terms<'_> {
    let warn = Warn::At(Fraction::thousandths(750).unwrap());
    Terms { target, warn, calendar: Some("office"), hours, policy: 1 }
}

#[test]
fn a_target_is_spent_in_the_windows_of_its_calendar() {
    let office = office();
    // A Friday, an hour before closing: one hour that day, three on Monday.
    let clock = Clock::start(at("2026-11-20T16:00:00+01:00"), &terms(&office, Span::from_hours(4)));
    assert_eq!(clock.due_at, Some(at("2026-11-23T12:00:00+01:00")));
    assert_eq!(clock.warn_at, Some(at("2026-11-23T11:00:00+01:00")));
    assert_eq!(clock.remaining_seconds(at("2026-11-22T12:00:00+01:00"), &office), 3 * 3600);
}

#[test]
fn a_pause_keeps_what_was_spent_and_one_outside_hours_is_worth_nothing() {
    let office = office();
    let terms = terms(&office, Span::from_hours(4));
    let clock = Clock::start(at("2026-11-23T10:00:00+01:00"), &terms);
    let paused = clock.clone().pause(at("2026-11-23T11:30:00+01:00"), &office);
    assert_eq!((paused.spent, paused.due_at, paused.next_look()), (Span::from_mins(90), None, None));
    let resumed = paused.resume(at("2026-11-24T09:00:00+01:00"), &terms);
    assert_eq!(resumed.due_at, Some(at("2026-11-24T11:30:00+01:00")));

    let evening = Clock::start(at("2026-11-23T15:00:00+01:00"), &terms);
    let overnight = evening.clone().pause(at("2026-11-23T18:00:00+01:00"), &office);
    let due = overnight.resume(at("2026-11-24T08:00:00+01:00"), &terms).due_at;
    assert_eq!(due, evening.due_at, "nobody was there to spend anything");
}

#[test]
fn exactly_at_the_due_time_is_in_time_and_a_millisecond_later_is_not() {
    let always = Calendar::always();
    let clock = Clock::start(at("2026-11-23T10:00:00Z"), &terms(&always, Span::from_hours(2)));
    let due = at("2026-11-23T12:00:00Z");
    assert_eq!(clock.overdue(due), None);
    let late = clock.overdue(due + Span::from_millis(1)).unwrap();
    assert_eq!((late.due_at, late.breached_at), (due, due));
}

#[test]
fn a_shorter_target_that_is_spent_already_falls_due_at_the_change_and_not_before() {
    let always = Calendar::always();
    let clock = Clock::start(at("2026-11-23T10:00:00Z"), &terms(&always, Span::from_hours(8)));
    let change = at("2026-11-23T15:00:00Z");
    let clock = clock.retarget(change, &always, &Terms { policy: 2, ..terms(&always, Span::from_hours(2)) });
    assert_eq!((clock.spent, clock.due_at, clock.policy), (Span::from_hours(5), Some(change), 2));
    let late = clock.overdue(at("2026-11-23T15:00:01Z")).unwrap();
    assert_eq!(late.breached_at, change, "no breach is dated before the change");
}

#[test]
fn a_longer_target_keeps_what_was_spent_by_the_old_calendar() {
    let (office, always) = (office(), Calendar::always());
    // From 15:00 two hours are spent by the office's hours, although nine have passed.
    let clock = Clock::start(at("2026-11-23T15:00:00+01:00"), &terms(&office, Span::from_hours(4)));
    let clock =
        clock.retarget(at("2026-11-24T00:00:00+01:00"), &office, &terms(&always, Span::from_hours(6)));
    assert_eq!((clock.spent, clock.due_at), (Span::from_hours(2), Some(at("2026-11-24T04:00:00+01:00"))));
}

#[test]
fn a_warning_comes_once_and_again_only_if_it_lies_ahead_anew() {
    let always = Calendar::always();
    let clock = Clock::start(at("2026-11-23T10:00:00Z"), &terms(&always, Span::from_hours(4)));
    let warn = at("2026-11-23T13:00:00Z");
    assert!(!clock.must_warn(warn - Span::from_millis(1)) && clock.must_warn(warn));
    let warned = clock.warned(warn);
    assert_eq!(warned.next_look(), Some(at("2026-11-23T14:00:00Z") + Span::from_millis(1)));
    let same = warned.clone().retarget(warn, &always, &terms(&always, Span::from_hours(4)));
    assert_eq!((same.warn_at, same.warned_at), (None, Some(warn)));
    let longer = warned.retarget(warn, &always, &terms(&always, Span::from_hours(8)));
    assert_eq!(longer.warn_at, Some(at("2026-11-23T16:00:00Z")));
}

#[test]
fn what_met_a_clock_and_failed_later_leaves_it_as_it_was_but_breached_no_earlier_than_the_failure() {
    let always = Calendar::always();
    let clock = Clock::start(at("2026-11-23T10:00:00Z"), &terms(&always, Span::from_hours(2)));
    let met = clock.meet(at("2026-11-23T11:00:00Z"), None);
    assert_eq!(met.next_look(), None);
    let failed = at("2026-11-23T15:00:00Z");
    let open = met.unmeet(failed);
    let late = open.overdue(failed).unwrap();
    assert_eq!((late.due_at, late.breached_at), (at("2026-11-23T12:00:00Z"), failed));
}

#[test]
fn what_reopens_a_clock_and_is_older_than_its_pause_counts_nothing_twice() {
    let always = Calendar::around_the_clock();
    let terms = terms(always, Span::from_hours(8));
    // It ran for two hours, then the customer was waited for, then it was over.
    let clock = Clock::start(at("2026-11-23T10:00:00Z"), &terms)
        .pause(at("2026-11-23T12:00:00Z"), always)
        .meet(at("2026-11-23T12:30:00Z"), None);
    // A message from before the pause, which was held up on its way.
    let older = clock.clone().reopen(at("2026-11-23T11:00:00Z"), always, &terms);
    assert_eq!(older.spent_by(at("2026-11-23T13:00:00Z"), always), Span::from_hours(3));
    assert_eq!(older.due_at, Some(at("2026-11-23T18:00:00Z")));
    // One from after it counts from when it came.
    let newer = clock.reopen(at("2026-11-23T12:15:00Z"), always, &terms);
    assert_eq!(newer.spent_by(at("2026-11-23T13:15:00Z"), always), Span::from_hours(3));
}

#[test]
fn what_reopens_a_clock_and_is_older_than_its_last_run_counts_nothing_twice() {
    let always = Calendar::around_the_clock();
    let terms = terms(always, Span::from_hours(8));
    // It ran from nine to eleven, and from twelve until it was met.
    let clock = Clock::start(at("2026-11-23T09:00:00Z"), &terms)
        .pause(at("2026-11-23T11:00:00Z"), always)
        .resume(at("2026-11-23T12:00:00Z"), &terms)
        .meet(at("2026-11-23T12:30:00Z"), None);
    for older in ["2026-11-23T10:00:00Z", "2026-11-23T11:30:00Z"] {
        let reopened = clock.clone().reopen(at(older), always, &terms);
        assert_eq!(reopened.spent_by(at("2026-11-23T13:00:00Z"), always), Span::from_hours(3), "{older}");
    }
}
