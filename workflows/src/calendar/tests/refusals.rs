//! What a calendar cannot be: every mistake at once, each under its path.

use super::*;

#[track_caller]
fn refused(spec: &CalendarSpec, expected: &[(&str, &str)]) {
    let errors = Calendar::new(spec).unwrap_err();
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (path, words)) in errors.iter().zip(expected) {
        assert!(error.path == *path && error.what.contains(words), "{error} is not {path} … {words}");
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_path() {
    refused(
        &spec(
            "Europe/Atlantis",
            &[
                ("mon", &["09:00-12:00", "9-17", "11:00-13:00"]),
                ("tue", &["10:00-10:00", "24:00-06:00"]),
                ("sun", &["25:00-26:00"]),
            ],
            &["2026-12-25", "2026-02-30", "25.12.2026", "2026-1-1"],
        ),
        &[
            ("timezone", "\"Europe/Atlantis\" is not a time zone"),
            ("hours.mon[1]", "\"9-17\" is not a range such as \"09:00-17:00\""),
            ("hours.tue[0]", "opens and closes at the same time; a whole day is \"00:00-24:00\""),
            ("hours.tue[1]", "opens at 24:00"),
            ("hours.sun[0]", "is not a range"),
            ("hours.mon[2]", "\"11:00-13:00\" overlaps \"09:00-12:00\" (hours.mon[0])"),
            ("holidays[1]", "\"2026-02-30\" is not a date such as"),
            ("holidays[2]", "is not a date"),
            ("holidays[3]", "is not a date"),
        ],
    );
}

#[test]
fn a_zone_is_named_and_a_near_one_is_proposed() {
    let zone = |name: &str| spec(name, &[("mon", &["09:00-17:00"])], &[]);
    refused(&zone(""), &[("timezone", "has to be given")]);
    refused(&zone("New York"), &[("timezone", "did you mean \"America/New_York\"?")]);
    refused(&zone("europe/berlin"), &[("timezone", "did you mean \"Europe/Berlin\"?")]);
    refused(&zone("Moon"), &[("timezone", "such as \"Europe/Berlin\"")]);
    for good in ["UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires"] {
        assert_eq!(Calendar::new(&zone(good)).unwrap().zone(), good);
    }
}

#[test]
fn a_calendar_that_never_opens_is_refused() {
    refused(&spec(BERLIN, &[], &[]), &[("hours", "never opens")]);
    refused(&spec(BERLIN, &[("mon", &[])], &["2026-12-25"]), &[("hours", "never opens")]);
    // Where something was meant, that is the mistake.
    refused(&spec(BERLIN, &[("mon", &["nine to five"])], &[]), &[("hours.mon[0]", "is not a range")]);
}

#[test]
fn a_holiday_has_a_year_of_four_digits_and_no_sign() {
    for date in ["-026-12-25", "+026-12-25", "2026-1-025", "20261-2-25"] {
        refused(&spec(BERLIN, &[("mon", &["09:00-12:00"])], &[date]), &[("holidays[0]", "is not a date")]);
    }
}

#[test]
fn ranges_may_touch_and_may_not_overlap() {
    let good: &[(&str, &[&str])] = &[("mon", &["12:00-17:00", "09:00-12:00"]), ("tue", &["00:00-24:00"])];
    assert!(Calendar::new(&spec(BERLIN, good, &[])).is_ok());
    refused(
        &spec(BERLIN, &[("wed", &["09:00-17:00", "09:00-17:00"])], &[]),
        &[("hours.wed[1]", "overlaps \"09:00-17:00\" (hours.wed[0])")],
    );
    // The one that begins later is complained about, wherever it is written.
    refused(
        &spec(BERLIN, &[("wed", &["12:00-17:00", "09:00-12:01"])], &[]),
        &[("hours.wed[0]", "overlaps \"09:00-12:01\" (hours.wed[1])")],
    );
}

#[test]
fn a_night_may_reach_the_next_days_first_range_and_not_into_it() {
    let night = |close: &str| spec(BERLIN, &[("mon", &[close]), ("tue", &["06:00-14:00"])], &[]);
    assert!(Calendar::new(&night("22:00-06:00")).is_ok());
    refused(&night("22:00-06:01"), &[("hours.tue[0]", "overlaps \"22:00-06:01\" (hours.mon[0])")]);
    // Sunday's night reaches Monday.
    let week = |close: &str| spec(BERLIN, &[("mon", &["06:00-14:00"]), ("sun", &[close])], &[]);
    assert!(Calendar::new(&week("22:00-06:00")).is_ok());
    refused(&week("22:00-07:00"), &[("hours.mon[0]", "overlaps \"22:00-07:00\" (hours.sun[0])")]);
}

#[test]
fn only_hours_and_minutes_of_two_digits_are_a_time() {
    for range in ["9:00-17:00", "09:00", "09:00-17:00-18:00", "09:60-17:00", "09:00-24:01", "+9:00-17:00", ""]
    {
        refused(&spec(BERLIN, &[("fri", &[range])], &[]), &[("hours.fri[0]", "is not a range")]);
    }
}
