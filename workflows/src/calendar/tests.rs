//! Calendars: each rule as a scenario; what is refused is in `refusals`, a second calculation in `stepping`.

mod refusals;
mod stepping;

use super::*;

/// A calendar of `zone` with ranges by weekday; a weekday without any is closed.
fn calendar(zone: &str, hours: &[(&str, &[&str])], holidays: &[&str]) -> Calendar {
    Calendar::new(&spec(zone, hours, holidays)).unwrap()
}

fn spec(zone: &str, hours: &[(&str, &[&str])], holidays: &[&str]) -> CalendarSpec {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let mut spec =
        CalendarSpec { timezone: zone.to_owned(), hours: Hours::default(), holidays: texts(holidays) };
    for (day, ranges) in hours {
        *day_of(&mut spec.hours, day) = texts(ranges);
    }
    spec
}

fn day_of<'a>(hours: &'a mut Hours, day: &str) -> &'a mut Vec<String> {
    match day {
        "mon" => &mut hours.mon,
        "tue" => &mut hours.tue,
        "wed" => &mut hours.wed,
        "thu" => &mut hours.thu,
        "fri" => &mut hours.fri,
        "sat" => &mut hours.sat,
        "sun" => &mut hours.sun,
        other => panic!("{other} is no day"),
    }
}

const NEW_YORK: &str = "America/New_York";
const BERLIN: &str = "Europe/Berlin";
const LORD_HOWE: &str = "Australia/Lord_Howe";

/// Monday to Friday, nine to five.
fn office(zone: &str) -> Calendar {
    let day: &[&str] = &["09:00-17:00"];
    calendar(zone, &["mon", "tue", "wed", "thu", "fri"].map(|name| (name, day)), &[])
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn hours(count: u64) -> Span {
    Span::from_hours(count)
}

/// What is open between two moments, as pairs of wall time in the calendar's zone, with its offset.
fn shown(calendar: &Calendar, from: &str, to: &str) -> Vec<String> {
    let wall = |at| calendar.wall_time(at).format("%d %H:%M %:z").to_string();
    calendar
        .windows(at(from), at(to))
        .map(|window| format!("{} to {}", wall(window.from), wall(window.to)))
        .collect()
}

/// The due moment, and what was counted.
fn due(calendar: &Calendar, from: &str, spend: Span) -> (String, Vec<Interval>) {
    let due = calendar.due(at(from), spend).unwrap();
    let wall = calendar.wall_time(due.at).to_rfc3339();
    (wall, due.intervals)
}

#[track_caller]
fn falls_due(calendar: &Calendar, from: &str, spend: Span, expected: &str) {
    let (due, intervals) = due(calendar, from, spend);
    assert_eq!(due, expected);
    let counted: u64 = intervals.iter().map(|interval| interval.span().as_millis()).sum();
    assert_eq!(counted, spend.as_millis());
}

#[test]
fn time_is_spent_inside_the_windows_only() {
    let office = office(BERLIN);
    // Friday afternoon to Monday noon.
    falls_due(&office, "2026-06-05T16:00:00+02:00", hours(4), "2026-06-08T12:00:00+02:00");
    let (_, intervals) = due(&office, "2026-06-05T16:00:00+02:00", hours(4));
    let expected = [
        ("2026-06-05T16:00:00+02:00", "2026-06-05T17:00:00+02:00"),
        ("2026-06-08T09:00:00+02:00", "2026-06-08T12:00:00+02:00"),
    ];
    assert_eq!(intervals, expected.map(|(from, to)| Interval { from: at(from), to: at(to) }));
}

#[test]
fn a_due_moment_may_be_a_close() {
    falls_due(&office(BERLIN), "2026-06-04T09:00:00+02:00", hours(8), "2026-06-04T17:00:00+02:00");
    let a_moment_more = Span::from_millis(8 * 3_600_000 + 1);
    falls_due(&office(BERLIN), "2026-06-04T09:00:00+02:00", a_moment_more, "2026-06-05T09:00:00.001+02:00");
}

#[test]
fn the_open_is_inside_and_the_close_is_outside_to_the_millisecond() {
    let office = office(BERLIN);
    assert!(!office.is_open(at("2026-06-04T08:59:59.999+02:00")));
    assert!(office.is_open(at("2026-06-04T09:00:00+02:00")));
    assert!(office.is_open(at("2026-06-04T16:59:59.999+02:00")));
    assert!(!office.is_open(at("2026-06-04T17:00:00+02:00")));
    falls_due(&office, "2026-06-04T17:00:00+02:00", Span::from_secs(1), "2026-06-05T09:00:01+02:00");
    falls_due(&office, "2026-06-04T16:59:59+02:00", Span::from_secs(1), "2026-06-04T17:00:00+02:00");
}

#[test]
fn nothing_to_spend_is_due_at_once() {
    for from in ["2026-06-04T12:00:00+02:00", "2026-06-06T12:00:00+02:00"] {
        assert_eq!(
            office(BERLIN).due(at(from), Span::ZERO).unwrap(),
            Due { at: at(from), intervals: Vec::new() }
        );
    }
}

#[test]
fn business_time_counts_from_and_to_anywhere() {
    let office = office(BERLIN);
    let between = |from, to| office.business_time(at(from), at(to));
    assert_eq!(between("2026-06-05T16:59:30+02:00", "2026-06-08T09:00:30+02:00"), Span::from_secs(60));
    assert_eq!(between("2026-06-06T00:00:00+02:00", "2026-06-07T23:00:00+02:00"), Span::ZERO);
    assert_eq!(between("2026-06-08T12:00:00+02:00", "2026-06-08T10:00:00+02:00"), Span::ZERO);
    assert_eq!(between("2026-06-01T00:00:00+02:00", "2026-06-08T00:00:00+02:00"), hours(40));
}

#[test]
fn a_day_may_be_split() {
    let split = calendar(NEW_YORK, &[("mon", &["13:00-17:00", "09:00-12:00"])], &[]);
    falls_due(&split, "2026-06-08T11:00:00-04:00", hours(2), "2026-06-08T14:00:00-04:00");
    assert!(!split.is_open(at("2026-06-08T12:00:00-04:00")));
    // Due at the last close before lunch, not at the first opening after it.
    falls_due(&split, "2026-06-08T11:00:00-04:00", hours(1), "2026-06-08T12:00:00-04:00");
}

#[test]
fn ranges_that_touch_are_one_window() {
    let touching =
        calendar(BERLIN, &[("mon", &["09:00-12:00", "12:00-24:00"]), ("tue", &["00:00-01:00"])], &[]);
    let windows = shown(&touching, "2026-06-08T00:00:00+02:00", "2026-06-10T00:00:00+02:00");
    assert_eq!(windows, ["08 09:00 +02:00 to 09 01:00 +02:00"]);
    let (_, intervals) = due(&touching, "2026-06-08T11:00:00+02:00", hours(14));
    assert_eq!(intervals.len(), 1);
}

#[test]
fn a_range_that_closes_earlier_than_it_opens_ends_the_next_day() {
    let night = calendar(BERLIN, &[("sun", &["22:00-06:00"])], &[]);
    assert!(night.is_open(at("2026-06-08T05:59:59+02:00")), "Monday morning belongs to Sunday's shift");
    assert!(!night.is_open(at("2026-06-08T06:00:00+02:00")));
    assert!(!night.is_open(at("2026-06-08T22:00:00+02:00")));
    falls_due(&night, "2026-06-07T12:00:00+02:00", hours(9), "2026-06-14T23:00:00+02:00");
}

#[test]
fn midnight_may_be_written_as_a_close_in_two_ways() {
    for close in ["22:00-24:00", "22:00-00:00"] {
        let evening = calendar(BERLIN, &[("sat", &[close])], &[]);
        let windows = shown(&evening, "2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z");
        assert_eq!(windows, ["06 22:00 +02:00 to 07 00:00 +02:00"]);
    }
}

#[test]
fn a_holiday_closes_the_ranges_that_begin_on_it() {
    let days: &[(&str, &[&str])] = &[("thu", &["09:00-17:00", "22:00-06:00"]), ("fri", &["09:00-17:00"])];
    let seen = |holidays: &[&str]| {
        let calendar = calendar(BERLIN, days, holidays);
        shown(&calendar, "2026-12-24T00:00:00+01:00", "2026-12-26T00:00:00+01:00")
    };
    let (thursday, night, friday) = (
        "24 09:00 +01:00 to 24 17:00 +01:00",
        "24 22:00 +01:00 to 25 06:00 +01:00",
        "25 09:00 +01:00 to 25 17:00 +01:00",
    );
    assert_eq!(seen(&[]), [thursday, night, friday]);
    // The night before a holiday runs to its end.
    assert_eq!(seen(&["2026-12-25"]), [thursday, night]);
    // The night that begins on a holiday is closed, also on the morning after it.
    assert_eq!(seen(&["2026-12-24"]), [friday]);
}

#[test]
fn a_holiday_is_a_date_of_the_calendars_own_zone() {
    let auckland = calendar("Pacific/Auckland", &[("fri", &["09:00-17:00"])], &["2026-12-25"]);
    assert!(!auckland.is_open(at("2026-12-24T22:00:00Z")), "it is Friday the 25th there");
    assert!(auckland.is_open(at("2026-12-17T22:00:00Z")));
}

#[test]
fn an_office_keeps_its_wall_time_when_the_clocks_change() {
    for (zone, from, expected) in [
        // Thirty hours: two on Friday, eight a day from Monday to Wednesday, four on Thursday.
        (NEW_YORK, "2026-03-06T15:00:00-05:00", "2026-03-12T13:00:00-04:00"),
        (NEW_YORK, "2026-10-30T15:00:00-04:00", "2026-11-05T13:00:00-05:00"),
        (BERLIN, "2026-03-27T15:00:00+01:00", "2026-04-02T13:00:00+02:00"),
        (BERLIN, "2026-10-23T15:00:00+02:00", "2026-10-29T13:00:00+01:00"),
    ] {
        falls_due(&office(zone), from, hours(30), expected);
    }
}

#[test]
fn a_night_shift_is_shorter_when_the_clock_is_put_forward_and_longer_when_it_is_put_back() {
    for (zone, evening, morning, length) in [
        (NEW_YORK, "2026-03-07T22:00:00-05:00", "2026-03-08T06:00:00-04:00", 7 * 60),
        (NEW_YORK, "2026-10-31T22:00:00-04:00", "2026-11-01T06:00:00-05:00", 9 * 60),
        (BERLIN, "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00", 7 * 60),
        (BERLIN, "2026-10-24T22:00:00+02:00", "2026-10-25T06:00:00+01:00", 9 * 60),
        (LORD_HOWE, "2026-10-03T22:00:00+10:30", "2026-10-04T06:00:00+11:00", 7 * 60 + 30),
        (LORD_HOWE, "2026-04-04T22:00:00+11:00", "2026-04-05T06:00:00+10:30", 8 * 60 + 30),
    ] {
        let night = calendar(zone, &[("sat", &["22:00-06:00"])], &[]);
        let length = Span::from_mins(length);
        assert_eq!(night.business_time(at(evening), at(evening) + hours(24)), length, "{zone} {evening}");
        falls_due(&night, evening, length, morning);
    }
}

/// The windows of a Sunday's `ranges` around the moment at which the clocks change.
fn on_sunday(zone: &str, ranges: &[&str], noon: &str) -> Vec<String> {
    let calendar = calendar(zone, &[("sun", ranges)], &[]);
    let noon = at(noon);
    shown(&calendar, &(noon - hours(24)).to_string(), &(noon + hours(24)).to_string())
}

#[test]
fn in_an_overlap_a_range_opens_at_the_first_reading_and_closes_at_the_second() {
    // 01:00 to 02:00 comes twice.
    let seen = |ranges: &[&str]| on_sunday(NEW_YORK, ranges, "2026-11-01T12:00:00-05:00");
    assert_eq!(seen(&["01:30-09:00"]), ["01 01:30 -04:00 to 01 09:00 -05:00"]);
    assert_eq!(seen(&["00:00-01:30"]), ["01 00:00 -04:00 to 01 01:30 -05:00"]);
    assert_eq!(seen(&["01:15-01:45"]), ["01 01:15 -04:00 to 01 01:45 -05:00"]);
    // The first time that comes twice, and the first that does not.
    assert_eq!(seen(&["00:00-01:00"]), ["01 00:00 -04:00 to 01 01:00 -05:00"]);
    assert_eq!(seen(&["02:00-03:00"]), ["01 02:00 -05:00 to 01 03:00 -05:00"]);
    let berlin = on_sunday(BERLIN, &["02:30-02:45"], "2026-10-25T12:00:00+01:00");
    assert_eq!(berlin, ["25 02:30 +02:00 to 25 02:45 +01:00"]);
    let lord_howe = on_sunday(LORD_HOWE, &["01:40-01:50"], "2026-04-05T12:00:00+10:30");
    assert_eq!(lord_howe, ["05 01:40 +11:00 to 05 01:50 +10:30"]);
}

#[test]
fn what_two_ranges_of_an_overlap_share_counts_once() {
    // The first closes at the second 01:30; the next opened at the first.
    let ranges = ["00:30-01:30", "01:30-02:30"];
    let seen = on_sunday(NEW_YORK, &ranges, "2026-11-01T12:00:00-05:00");
    assert_eq!(seen, ["01 00:30 -04:00 to 01 02:30 -05:00"]);
    let calendar = calendar(NEW_YORK, &[("sun", &ranges)], &[]);
    let day = (at("2026-11-01T00:00:00-04:00"), at("2026-11-02T00:00:00-05:00"));
    assert_eq!(calendar.business_time(day.0, day.1), hours(3));
    falls_due(&calendar, "2026-11-01T00:00:00-04:00", hours(3), "2026-11-01T02:30:00-05:00");
}

#[test]
fn in_a_gap_open_and_close_become_the_first_instant_after_it() {
    // 02:00 to 03:00 does not come.
    let seen = |ranges: &[&str]| on_sunday(NEW_YORK, ranges, "2026-03-08T12:00:00-04:00");
    assert_eq!(seen(&["02:30-09:00"]), ["08 03:00 -04:00 to 08 09:00 -04:00"]);
    assert_eq!(seen(&["00:00-02:30"]), ["08 00:00 -05:00 to 08 03:00 -04:00"]);
    assert_eq!(seen(&["01:00-02:00"]), ["08 01:00 -05:00 to 08 03:00 -04:00"]);
    assert_eq!(seen(&["02:30-02:45"]), [""; 0], "nothing of it is left");
    assert_eq!(seen(&["02:00-03:00", "03:00-04:00"]), ["08 03:00 -04:00 to 08 04:00 -04:00"]);
    let berlin = on_sunday(BERLIN, &["01:00-02:15"], "2026-03-29T12:00:00+02:00");
    assert_eq!(berlin, ["29 01:00 +01:00 to 29 03:00 +02:00"]);
    let lord_howe = on_sunday(LORD_HOWE, &["02:10-02:20", "02:25-03:00"], "2026-10-04T12:00:00+11:00");
    assert_eq!(lord_howe, ["04 02:30 +11:00 to 04 03:00 +11:00"]);
}

#[test]
fn a_whole_day_that_the_clocks_skip_has_no_windows() {
    // Samoa went from Thursday the 29th to Saturday the 31st of December 2011.
    let days: &[&str] = &["09:00-17:00"];
    let samoa = calendar("Pacific/Apia", &["thu", "fri", "sat"].map(|day| (day, days)), &[]);
    let windows = shown(&samoa, "2011-12-29T12:00:00Z", "2012-01-01T12:00:00Z");
    assert_eq!(windows, ["29 09:00 -10:00 to 29 17:00 -10:00", "31 09:00 +14:00 to 31 17:00 +14:00"]);
}

#[test]
fn clocks_that_change_at_midnight_move_the_days_with_them() {
    // In Beirut the 29th of March 2026 begins at 01:00, and the 24th of October ends twice.
    let day = calendar("Asia/Beirut", &[("sat", &["00:00-24:00"]), ("sun", &["00:00-24:00"])], &[]);
    assert_eq!(day.business_time(at("2026-03-26T00:00:00Z"), at("2026-04-01T00:00:00Z")), hours(47));
    assert_eq!(day.business_time(at("2026-10-22T00:00:00Z"), at("2026-10-28T00:00:00Z")), hours(49));
}

#[test]
fn a_sunday_that_is_read_twice_in_its_first_minute_opens_while_saturday_is_repeated() {
    // In St. John's, until 2011, the clock went back at 00:01 to 23:01 of the day before.
    let sunday = calendar("America/St_Johns", &[("sun", &["00:00-08:00"])], &[]);
    let windows = shown(&sunday, "2009-10-31T12:00:00Z", "2009-11-01T12:00:00Z");
    assert_eq!(windows, ["01 00:00 -02:30 to 01 08:00 -03:30"]);
    assert!(sunday.is_open(at("2009-10-31T23:30:00-03:30")), "Sunday has begun once already");
    assert!(!sunday.is_open(at("2009-10-31T23:30:00-02:30")));
}

#[test]
fn around_the_clock_every_moment_counts() {
    let always = Calendar::always();
    assert!(always.is_open(at("2026-12-25T03:00:00Z")));
    falls_due(&always, "2026-12-24T23:59:59.999Z", hours(24 * 365), "2027-12-24T23:59:59.999+00:00");
    assert_eq!(due(&always, "2026-12-24T23:59:59.999Z", hours(24 * 365)).1.len(), 1);
    assert_eq!(always.business_time(Timestamp::default(), at("1970-03-01T00:00:00Z")), hours(24 * 59));
}

#[test]
fn a_year_of_business_time_is_counted_window_by_window() {
    // Two hundred and nineteen weeks of forty hours.
    let (due, intervals) = due(&office(NEW_YORK), "2026-01-05T09:00:00-05:00", hours(24 * 365));
    assert_eq!((due.as_str(), intervals.len()), ("2030-03-15T17:00:00-04:00", 1095));
}

#[test]
fn what_does_not_fit_into_ten_years_is_an_error_and_not_an_endless_search() {
    // One minute a week.
    let rare = calendar(BERLIN, &[("mon", &["00:00-00:01"])], &[]);
    let error = rare.due(at("2026-01-01T00:00:00Z"), hours(10)).unwrap_err();
    assert_eq!(error.counted, Span::from_mins(522));
    let said = "10h of business time do not pass within ten years of 2026-01-01T00:00:00.000Z, only 8h 42m";
    assert_eq!(error.to_string(), said);
    let last = at("9999-12-31T23:59:59.999Z");
    assert!(Calendar::always().due(last, hours(1)).is_err());
    assert!(Calendar::always().due(Timestamp::default(), Span::from_millis(u64::MAX)).is_err());
    assert_eq!(Calendar::always().business_time(last, last), Span::ZERO);
}
