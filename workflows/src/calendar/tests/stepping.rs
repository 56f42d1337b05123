//! A second calculation that shares nothing with the first: it looks at a clock on the wall minute by minute, and
//! never turns wall time into an instant.
//!
//! A range is open from the first minute at which the clock shows its opening or more, to the last minute at which
//! the clock shows its closing or, where that is skipped, the first minute after the last that showed less.

use std::{collections::HashSet, sync::LazyLock};

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const MINUTE: u64 = 60_000;

/// The days that a tape shows, and how many of them at each end only serve the ranges that reach across.
const DAYS: u64 = 14;
const MARGIN: u64 = 3;

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Zones and the days on which a tape begins; most have a change of the clocks in the middle.
const PLACES: [(&str, &str); 20] = [
    ("America/New_York", "2026-03-01T00:00:00Z"),
    ("America/New_York", "2026-10-25T00:00:00Z"),
    ("Europe/Berlin", "2026-03-22T00:00:00Z"),
    ("Europe/Berlin", "2026-10-18T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-03-29T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-09-27T00:00:00Z"),
    ("America/St_Johns", "2009-03-01T00:00:00Z"),
    ("America/St_Johns", "2009-10-25T00:00:00Z"),
    ("Asia/Beirut", "2026-03-22T00:00:00Z"),
    ("Asia/Beirut", "2026-10-18T00:00:00Z"),
    ("America/Santiago", "2026-03-29T00:00:00Z"),
    ("America/Santiago", "2026-08-30T00:00:00Z"),
    ("Pacific/Apia", "2011-12-23T00:00:00Z"),
    ("Asia/Pyongyang", "2018-04-28T00:00:00Z"),
    ("America/Caracas", "2007-12-02T00:00:00Z"),
    ("Antarctica/Troll", "2026-03-22T00:00:00Z"),
    ("Antarctica/Troll", "2026-10-18T00:00:00Z"),
    ("Africa/Casablanca", "2026-02-08T00:00:00Z"),
    ("Asia/Kolkata", "2026-06-01T00:00:00Z"),
    ("UTC", "2026-12-25T00:00:00Z"),
];

/// What the clock on the wall shows at each minute of a fortnight.
struct Tape {
    zone: &'static str,
    begin: Timestamp,
    wall: Vec<NaiveDateTime>,
}

static TAPES: LazyLock<Vec<Tape>> = LazyLock::new(|| {
    let tape = |(zone, begin): (&'static str, &str)| {
        let (tz, begin) = (zone.parse::<Tz>().unwrap(), at(begin));
        let shown = |minute| (begin + Span::from_mins(minute)).to_chrono().with_timezone(&tz).naive_local();
        Tape { zone, begin, wall: (0..DAYS * 24 * 60).map(shown).collect() }
    };
    PLACES.map(tape).into()
});

/// A range as the test draws it: weekday, minute of its opening, minutes to its closing.
type Drawn = (usize, u32, u32);

impl Tape {
    fn instant(&self, minute: usize) -> Timestamp {
        self.begin + Span::from_mins(minute as u64)
    }

    fn minute(&self, at: Timestamp) -> usize {
        assert_eq!(at.as_millis() % MINUTE, 0, "{at} is no whole minute");
        usize::try_from(at.since(self.begin).as_millis() / MINUTE).unwrap()
    }

    /// For each minute, whether the calendar is open.
    fn open_minutes(&self, ranges: &[Drawn], holidays: &HashSet<NaiveDate>) -> Vec<bool> {
        let (first, last) = (self.wall[0].date(), self.wall[self.wall.len() - 1].date());
        let dates = first.iter_days().take_while(|date| *date <= last);
        let mut openings: Vec<(NaiveDateTime, usize)> = Vec::new();
        let mut closings: Vec<(NaiveDateTime, usize)> = Vec::new();
        for date in dates.filter(|date| !holidays.contains(date)) {
            for (_, open, length) in
                ranges.iter().filter(|range| date.weekday().number_from_monday() as usize == range.0 + 1)
            {
                let open = date.and_hms_opt(open / 60, open % 60, 0).unwrap();
                let number = openings.len();
                openings.push((open, number));
                closings.push((open + TimeDelta::minutes((*length).into()), number));
            }
        }
        openings.sort();
        closings.sort();
        let mut opened = vec![self.wall.len(); openings.len()];
        let mut closed = vec![0; openings.len()];
        let mut waiting = openings.iter().peekable();
        for (minute, shown) in self.wall.iter().enumerate() {
            while let Some((_, number)) = waiting.next_if(|(open, _)| open <= shown) {
                opened[*number] = minute;
            }
        }
        let mut waiting = closings.iter().rev().peekable();
        for (minute, shown) in self.wall.iter().enumerate().rev() {
            while let Some((close, number)) = waiting.next_if(|(close, _)| close >= shown) {
                closed[*number] = if close == shown { minute } else { minute + 1 };
            }
        }
        let mut open = vec![false; self.wall.len()];
        for (opened, closed) in opened.into_iter().zip(closed) {
            for minute in opened..closed.min(open.len()) {
                open[minute] = true;
            }
        }
        open
    }
}

/// Ranges of a week of which none overlap: what does not fit beside those before it is left out.
fn week() -> impl Strategy<Value = Vec<Drawn>> {
    // Most changes of the clocks are at night, and people write round times.
    let minute = prop_oneof![
        3 => (0_u32..24).prop_map(|hour| hour * 60),
        3 => 0_u32..4 * 60,
        2 => 0_u32..24 * 60,
    ];
    let length =
        prop_oneof![3 => (1_u32..24).prop_map(|hours| hours * 60), 2 => 1_u32..24 * 60, 2 => 1_u32..90];
    vec((0_usize..7, minute, length), 1..16).prop_map(|drawn| {
        let mut taken = vec![false; 7 * 24 * 60];
        let mut ranges = Vec::new();
        for (day, open, length) in drawn {
            let start = day * 24 * 60 + open as usize;
            let minutes = || (start..start + length as usize).map(|minute| minute % (7 * 24 * 60));
            if minutes().all(|minute| !taken[minute]) {
                minutes().for_each(|minute| taken[minute] = true);
                ranges.push((day, open, length));
            }
        }
        ranges
    })
}

fn written(zone: &str, ranges: &[Drawn], holidays: &HashSet<NaiveDate>) -> Calendar {
    let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let mut spec = spec(zone, &[], &[]);
    for (day, open, length) in ranges {
        let close = open + length;
        let close = if close > 24 * 60 { close - 24 * 60 } else { close };
        day_of(&mut spec.hours, DAY_NAMES[*day]).push(format!("{}-{}", time(*open), time(close)));
    }
    spec.holidays = holidays.iter().map(ToString::to_string).collect();
    Calendar::new(&spec).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn stepping_minute_by_minute_gives_the_same(
        tape in 0..PLACES.len(),
        ranges in week(),
        days_off in vec(0..DAYS, 0..4),
        (a, b) in (0..(DAYS - 2 * MARGIN) * 24 * 60, 0..(DAYS - 2 * MARGIN) * 24 * 60),
        spend in 1_u64..3000,
        moments in vec(0..(DAYS - 2 * MARGIN) * 24 * 60, 4),
    ) {
        let tape = &TAPES[tape];
        let holidays = days_off.iter().map(|day| tape.wall[0].date() + TimeDelta::days(*day as i64)).collect();
        let calendar = written(tape.zone, &ranges, &holidays);
        let open = tape.open_minutes(&ranges, &holidays);
        let inside = |minute: u64| usize::try_from(minute + MARGIN * 24 * 60).unwrap();
        let (from, to) = (inside(a.min(b)), inside(a.max(b)));

        let counted = open[from..to].iter().filter(|open| **open).count() as u64;
        let (start, end) = (tape.instant(from), tape.instant(to));
        prop_assert_eq!(calendar.business_time(start, end), Span::from_mins(counted));

        let mut seen = vec![false; open.len()];
        let mut last = None;
        for window in calendar.windows(start, end) {
            prop_assert!(start <= window.from && window.from < window.to && window.to <= end);
            prop_assert!(last.is_none_or(|last| last < window.from), "windows neither overlap nor touch");
            last = Some(window.to);
            seen[tape.minute(window.from)..tape.minute(window.to)].fill(true);
        }
        prop_assert_eq!(&seen[from..to], &open[from..to]);

        for minute in moments.into_iter().map(inside) {
            prop_assert_eq!(calendar.is_open(tape.instant(minute)), open[minute]);
        }

        let known = inside((DAYS - 2 * MARGIN) * 24 * 60);
        let mut minutes = (from..known).filter(|minute| open[*minute]);
        // Most often the whole budget is spent on the tape; otherwise only that it ends later is known.
        match (minutes.nth(usize::try_from(spend - 1).unwrap()), calendar.due(start, Span::from_mins(spend))) {
            (Some(minute), Ok(due)) => {
                prop_assert_eq!(due.at, tape.instant(minute + 1));
                prop_assert_eq!(due.intervals, calendar.windows(start, due.at).collect::<Vec<_>>());
            }
            (None, Ok(due)) => prop_assert!(due.at > tape.instant(known)),
            (None, Err(error)) => prop_assert!(error.counted < error.spend),
            (Some(minute), Err(error)) => panic!("{error}, but on {}", tape.wall[minute]),
        }
    }

    #[test]
    fn what_was_spent_by_the_due_moment_is_the_budget_to_the_millisecond(
        zone in select(&[NEW_YORK, BERLIN, LORD_HOWE]),
        ranges in week(),
        from in 1_760_000_000_000_u64..1_800_000_000_000,
        spend in 0_u64..100_000_000,
        extra in 0_u64..100_000_000,
    ) {
        let calendar = written(zone, &ranges, &HashSet::new());
        let (from, spend) = (Timestamp::from_millis(from), Span::from_millis(spend));
        let Ok(due) = calendar.due(from, spend) else { return Ok(()) };
        prop_assert_eq!(calendar.business_time(from, due.at), spend);
        if due.at > from {
            let before = due.at - Span::from_millis(1);
            prop_assert!(calendar.business_time(from, before) < spend, "it is the first such moment");
        }
        // A budget spent in two parts is due when it is spent at once.
        let extra = Span::from_millis(extra + 1);
        let whole = Span::from_millis(spend.as_millis() + extra.as_millis());
        if let (Ok(parts), Ok(whole)) = (calendar.due(due.at, extra), calendar.due(from, whole)) {
            prop_assert_eq!(parts.at, whole.at);
        }
    }
}

#[test]
fn the_tapes_show_what_they_are_there_for() {
    let jumps = |tape: &Tape| {
        let steps = tape.wall.windows(2).map(|pair| (pair[1] - pair[0]).num_minutes());
        steps.filter(|step| *step != 1).collect::<Vec<_>>()
    };
    let all: Vec<Vec<i64>> = TAPES.iter().map(jumps).collect();
    assert!(all.iter().take(PLACES.len() - 2).all(|jumps| jumps.len() == 1), "{all:?}");
    let kinds: HashSet<i64> = all.into_iter().flatten().collect();
    for jump in [61, -59, 31, -29, 121, -119, 24 * 60 + 1] {
        assert!(kinds.contains(&jump), "no clock moves by {} minutes: {kinds:?}", jump - 1);
    }
    assert!(TAPES.iter().all(|tape| tape.wall.iter().all(|shown| shown.second() == 0)));
}
