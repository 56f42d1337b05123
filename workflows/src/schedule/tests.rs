//! The table of `schedule.rs`, row by row, and the moments that expressions name.

use super::*;
use crate::scenario::{Scenario, id, moment};

fn plan(cron: &str, timezone: &str) -> Box<Plan> {
    let (cron, timezone) = (cron.to_owned(), timezone.to_owned());
    Box::new(Plan { name: "morning".to_owned(), cron, timezone, work: Work::ReportSummary })
}

fn planned(next_due: &str) -> Event {
    Event::Planned {
        at: moment("08:00"),
        id: ScheduleId(id(70)),
        plan: plan("*/30 * * * *", "UTC"),
        next_due: Some(moment(next_due)),
    }
}

fn ran(due: &str) -> Event {
    let next_due = Some(moment("10:00"));
    Event::Ran { at: moment("09:10"), due: moment(due), next_due }
}

fn configure(plan: Box<Plan>) -> Command {
    Command::Configure { schedule_id: ScheduleId(id(70)), plan }
}

fn next(expression: &str, timezone: &str, after: &str) -> String {
    let next = cron::next(expression, timezone, after.parse().unwrap()).unwrap();
    next.map_or("never".to_owned(), |next| next.to_string())
}

#[test]
fn a_plan_arms_its_first_moment() {
    let wanted = plan("30 9 * * Mon-Fri", "Europe/Berlin");
    let next_due = Some(moment("2026-03-03T08:30:00Z"));
    let expected =
        Event::Planned { at: moment("09:00"), id: ScheduleId(id(70)), plan: wanted.clone(), next_due };
    Scenario::<Schedule>::given([])
        .when(configure(wanted))
        .then([expected])
        .then_armed([(Deadline::Run, moment("2026-03-03T08:30:00Z"))]);
    Scenario::<Schedule>::given([planned("09:30")])
        .when(configure(plan("*/30 * * * *", "UTC")))
        .then_nothing();
}

#[test]
fn what_a_downtime_missed_runs_once() {
    Scenario::<Schedule>::given([planned("08:30")])
        .at("11:40")
        .when(Command::Run)
        .then([Event::Ran { at: moment("11:40"), due: moment("08:30"), next_due: Some(moment("12:00")) }])
        .then_activities([Perform { work: Work::ReportSummary, due: moment("08:30") }])
        .then_armed([(Deadline::Run, moment("12:00"))]);
    Scenario::<Schedule>::given([planned("09:30")]).when(Command::Run).then_nothing();
}

#[test]
fn a_run_ends_once_with_its_figures_or_with_why_there_are_none() {
    let figures = BTreeMap::from([("waiting".to_owned(), 3)]);
    let finish = |due: &str| Command::Finish { due: moment(due), figures: figures.clone() };
    let finished = Event::Finished {
        at: moment("09:00"),
        due: moment("08:30"),
        name: "morning".to_owned(),
        work: Work::ReportSummary,
        figures: figures.clone(),
    };
    assert_eq!(Schedule::topic(&finished), Some("automation.executed"));
    Scenario::<Schedule>::given([planned("08:30"), ran("08:30")]).when(finish("08:30")).then([finished]);
    Scenario::<Schedule>::given([planned("08:30"), ran("08:30")]).when(finish("07:30")).then_nothing();

    let error = ActivityError { code: None, message: "unreadable".to_owned() };
    let (due, name) = (moment("08:30"), "morning".to_owned());
    Scenario::<Schedule>::given([planned("08:30"), ran("08:30")])
        .when(Command::Fail { due, error: error.clone() })
        .then([Event::Failed { at: moment("09:00"), due, name, error }]);
}

#[test]
fn one_that_is_stopped_has_no_timer_and_no_use_for_what_was_under_way() {
    let outcome = Scenario::<Schedule>::given([planned("09:30"), ran("08:30")]).when(Command::Stop);
    outcome.then([Event::Stopped { at: moment("09:00") }]).then_armed([]);
    let stopped = Event::Stopped { at: moment("09:00") };
    let finish = Command::Finish { due: moment("08:30"), figures: BTreeMap::new() };
    Scenario::<Schedule>::given([planned("09:30"), ran("08:30"), stopped]).when(finish).then_nothing();
}

#[test]
fn what_names_no_moments_is_refused_by_its_field() {
    for (expression, timezone, error) in [
        ("9 o'clock", "UTC", cron::CronError::Expression),
        ("61 * * * *", "UTC", cron::CronError::Expression),
        ("0 9 * * 1-5", "UTC", cron::CronError::NumberedDays),
        ("0 9 * * *", "Berlin", cron::CronError::Timezone),
    ] {
        assert_eq!(cron::next(expression, timezone, moment("09:00")), Err(error.clone()), "{expression}");
        Scenario::<Schedule>::given([])
            .when(configure(plan(expression, timezone)))
            .then_rejected(Rejection::invalid(error.field(), error.to_string()));
    }
}

#[test]
fn expressions_are_read_in_their_time_zone_and_through_the_changes_of_its_clocks() {
    assert_eq!(next("30 8 * * *", "UTC", "2026-11-21T08:30:00Z"), "2026-11-22T08:30:00.000Z");
    assert_eq!(next("15 30 8 * * *", "UTC", "2026-11-21T08:30:00Z"), "2026-11-21T08:30:15.000Z");
    assert_eq!(next("0 9 * * Mon", "America/New_York", "2026-11-21T00:00:00Z"), "2026-11-23T14:00:00.000Z");
    assert_eq!(next("0 12 */2 * *", "UTC", "2026-11-21T13:00:00Z"), "2026-11-23T12:00:00.000Z");
    // On 29 March 2026 Berlin has no 02:30.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00.000Z");
    // On 25 October 2026 it has two.
    let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
    assert_eq!(first, "2026-10-25T00:30:00.000Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", &first), "2026-10-26T01:30:00.000Z");
    assert_eq!(next("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z"), "never");
}
