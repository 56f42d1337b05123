//! Business calendars: when a team is there, and when a promise that is kept in business time falls due.
//!
//! A calendar is a time zone, ranges of wall time for each weekday, and holidays. [`Calendar::new`] makes one of
//! its description or names every mistake, so that what is computed later cannot fail on a bad calendar. Offsets
//! are never kept: each date's ranges become instants by the zone's rules for that date.
//!
//! | question | answer |
//! |---|---|
//! | when does a range belong to a day? | when it begins on it; one that closes earlier than it opens ends the next day |
//! | what does a holiday close? | the ranges that begin on it; the night before runs to its end |
//! | the clock is put back | a range opens at the first reading of its time and closes at the second |
//! | the clock is put forward over a time | that time is the first instant after the gap; a range without rest is dropped |
//! | is the close open? | no: windows are half-open, though a due moment may equal a close |
//! | what is a second of business time? | a real, elapsed one inside the union of the windows |

mod reading;
mod wall;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, iter, sync::LazyLock};

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

/// How far ahead a due moment is looked for: ten years.
const HORIZON: Span = Span::from_hours(3653 * 24);

/// A calendar as configuration describes it, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalendarSpec {
    /// The name of a zone in the IANA database, for example `Europe/Berlin`.
    pub timezone: String,
    /// The ranges of each weekday.
    pub hours: Hours,
    /// Dates (`2026-12-25`) on which no range begins.
    pub holidays: Vec<String>,
}

/// Ranges such as `09:00-17:00` by weekday; a day without any is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// Those that open on a Monday.
    pub mon: Vec<String>,
    /// Those that open on a Tuesday.
    pub tue: Vec<String>,
    /// Those that open on a Wednesday.
    pub wed: Vec<String>,
    /// Those that open on a Thursday.
    pub thu: Vec<String>,
    /// Those that open on a Friday.
    pub fri: Vec<String>,
    /// Those that open on a Saturday.
    pub sat: Vec<String>,
    /// Those that open on a Sunday.
    pub sun: Vec<String>,
}

/// What is wrong with the description of a calendar, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct CalendarError {
    /// The setting inside the calendar, list entries counted from 0: `timezone`, `hours.mon[1]`, `holidays[3]`.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

/// A checked calendar. It opens at least once a week, holidays aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CalendarSpec", into = "CalendarSpec")]
pub struct Calendar {
    zone: Tz,
    /// The ranges by weekday from Monday, each day's in the order of their opening; none overlap.
    week: [Vec<Range>; 7],
    holidays: BTreeSet<NaiveDate>,
}

/// A range of wall time in minutes from the midnight that its day begins with. A close beyond 1440 is on the next
/// day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    open: u16,
    close: u16,
}

/// A stretch of time: `from` is inside, `to` no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The first moment inside.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

impl Interval {
    /// How long it is.
    pub const fn span(self) -> Span {
        self.to.since(self.from)
    }
}

/// When business time is spent, and how it was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The first moment at which all of it has passed; it may be the close of a window.
    pub at: Timestamp,
    /// What was counted, in order; intervals neither overlap nor touch, and add up to what was to be spent.
    pub intervals: Vec<Interval>,
}

/// Why there is no due moment: the calendar does not open for long enough within ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{spend} of business time do not pass within ten years of {from}, only {counted}")]
pub struct DueError {
    /// From when it was counted.
    pub from: Timestamp,
    /// What was to be spent.
    pub spend: Span,
    /// What the calendar has within ten years.
    pub counted: Span,
}

impl Calendar {
    /// Checks a description.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its setting: an unknown zone, texts that are no range or no
    /// date, a range without length, ranges that overlap (also into the next day), and hours without any range.
    pub fn new(spec: &CalendarSpec) -> Result<Self, Vec<CalendarError>> {
        reading::read(spec)
    }

    /// Around the clock, every day.
    pub fn always() -> Self {
        let day = || vec![Range { open: 0, close: wall::DAY }];
        Self { zone: Tz::UTC, week: std::array::from_fn(|_| day()), holidays: BTreeSet::new() }
    }

    /// The same for whoever needs to borrow it.
    pub fn around_the_clock() -> &'static Self {
        static ALWAYS: LazyLock<Calendar> = LazyLock::new(Calendar::always);
        &ALWAYS
    }

    /// The name of the time zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// What clocks in the calendar's zone show at this moment.
    pub fn wall_time(&self, at: Timestamp) -> DateTime<FixedOffset> {
        at.to_chrono().with_timezone(&self.zone).fixed_offset()
    }

    /// What clocks in the zone of that name show at this moment, and the zone's name; UTC for one that does not exist.
    pub fn wall_time_in(zone: &str, at: Timestamp) -> (DateTime<FixedOffset>, &'static str) {
        let zone = zone.parse::<Tz>().unwrap_or(Tz::UTC);
        (at.to_chrono().with_timezone(&zone).fixed_offset(), zone.name())
    }

    /// Whether somebody is there. The moment of closing is outside.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.pieces(at, at + Span::from_millis(1)).next().is_some()
    }

    /// The open windows between two moments, cut off there, in order; those that touch are one.
    pub fn windows(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Interval> + use<'_> {
        let mut pieces = self.pieces(from, to).peekable();
        iter::from_fn(move || {
            let mut window = pieces.next()?;
            while let Some(next) = pieces.next_if(|next| next.from == window.to) {
                window.to = next.to;
            }
            Some(window)
        })
    }

    /// The business time between two moments, in real elapsed time; zero if `to` is not after `from`.
    pub fn business_time(&self, from: Timestamp, to: Timestamp) -> Span {
        Span::from_millis(self.pieces(from, to).map(|piece| piece.span().as_millis()).sum())
    }

    /// The first moment, not before `from`, by which `spend` of business time has passed since `from`.
    ///
    /// Nothing to spend is due at once, open or not.
    ///
    /// # Errors
    /// [`DueError`] if that much business time does not pass within ten years.
    pub fn due(&self, from: Timestamp, spend: Span) -> Result<Due, DueError> {
        let mut due = Due { at: from, intervals: Vec::new() };
        let mut left = spend.as_millis();
        for piece in self.pieces(from, from + HORIZON) {
            if left == 0 {
                break;
            }
            let counted = left.min(piece.span().as_millis());
            left -= counted;
            due.at = piece.from + Span::from_millis(counted);
            match due.intervals.last_mut() {
                Some(last) if last.to == piece.from => last.to = due.at,
                Some(_) | None => due.intervals.push(Interval { from: piece.from, to: due.at }),
            }
        }
        if left == 0 {
            Ok(due)
        } else {
            let counted = Span::from_millis(spend.as_millis() - left);
            Err(DueError { from, spend, counted })
        }
    }

    /// The windows of each range between two moments, in order and without overlap, but perhaps touching. Nothing
    /// is computed before it is asked for.
    fn pieces(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Interval> + use<'_> {
        let date = |at: Timestamp| self.wall_time(at).date_naive();
        // A range may end the day after it begins, and a zone may move its clock by up to a day.
        let first = date(from).checked_sub_days(Days::new(2));
        let last = date(to).checked_add_days(Days::new(1));
        iter::successors(first, |date| date.succ_opt())
            .take_while(move |date| last.is_some_and(|last| *date <= last))
            .flat_map(|date| self.windows_of(date))
            // Where the clock is put back, a range can open before the one before it has closed.
            .scan(from, move |counted, window| {
                let piece = Interval { from: window.from.max(*counted), to: window.to.min(to) };
                *counted = piece.to.max(*counted);
                Some(piece)
            })
            .filter(|piece| piece.from < piece.to)
    }

    /// The windows of the ranges that begin on `date`.
    fn windows_of(&self, date: NaiveDate) -> impl Iterator<Item = Interval> + use<'_> {
        let day = self.week.get(date.weekday().num_days_from_monday() as usize);
        let ranges = day.filter(|_| !self.holidays.contains(&date)).map(Vec::as_slice).unwrap_or_default();
        ranges.iter().map(move |range| Interval {
            from: wall::first_reading(self.zone, wall::moment(date, range.open)),
            to: wall::last_reading(self.zone, wall::moment(date, range.close)),
        })
    }
}

impl TryFrom<CalendarSpec> for Calendar {
    type Error = CalendarErrors;

    fn try_from(spec: CalendarSpec) -> Result<Self, Self::Error> {
        Self::new(&spec).map_err(CalendarErrors)
    }
}

/// Everything that is wrong with the description of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CalendarErrors(pub Vec<CalendarError>);

impl From<Calendar> for CalendarSpec {
    fn from(calendar: Calendar) -> Self {
        let day = |ranges: Vec<Range>| ranges.iter().map(Range::to_string).collect();
        let [mon, tue, wed, thu, fri, sat, sun] = calendar.week.map(day);
        Self {
            timezone: calendar.zone.name().to_owned(),
            hours: Hours { mon, tue, wed, thu, fri, sat, sun },
            holidays: calendar.holidays.iter().map(NaiveDate::to_string).collect(),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let close = if self.close > wall::DAY { self.close - wall::DAY } else { self.close };
        let (open_hour, open_minute) = (self.open / 60, self.open % 60);
        write!(f, "{open_hour:02}:{open_minute:02}-{:02}:{:02}", close / 60, close % 60)
    }
}
