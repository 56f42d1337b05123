//! The description of a calendar, read and checked: every mistake is collected, each under its path.

use std::collections::BTreeSet;

use chrono::{NaiveDate, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Calendar, CalendarError, CalendarSpec, Hours, Range, wall::DAY};

/// The minutes of a week.
const WEEK: u32 = 7 * DAY as u32;

/// What a range may look like.
const RANGE: &str = "a range such as \"09:00-17:00\", \"22:00-06:00\" (to the next day) or \"00:00-24:00\"";

/// Reads a description; see [`Calendar::new`].
pub(super) fn read(spec: &CalendarSpec) -> Result<Calendar, Vec<CalendarError>> {
    let mut errors = Vec::new();
    let zone = keep(zone(&spec.timezone), "timezone", &mut errors);
    let placed = ranges(&spec.hours, &mut errors);
    let mut holidays = BTreeSet::new();
    for (index, text) in spec.holidays.iter().enumerate() {
        holidays.extend(keep(date(text), &format!("holidays[{index}]"), &mut errors));
    }
    let mut week: [Vec<Range>; 7] = Default::default();
    for placed in placed {
        if let Some(day) = week.get_mut(placed.day) {
            day.push(placed.range);
        }
    }
    match zone {
        Some(zone) if errors.is_empty() => Ok(Calendar { zone, week, holidays }),
        Some(_) | None => Err(errors),
    }
}

/// The value, or nothing and one more error.
fn keep<T>(outcome: Result<T, String>, path: &str, errors: &mut Vec<CalendarError>) -> Option<T> {
    outcome.map_err(|what| errors.push(CalendarError { path: path.to_owned(), what })).ok()
}

fn zone(name: &str) -> Result<Tz, String> {
    if name.is_empty() {
        return Err("has to be given: the name of a time zone such as \"Europe/Berlin\"".to_owned());
    }
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().replace(' ', "_");
    name.parse().map_err(|_| {
        let near = TZ_VARIANTS.iter().find(|zone| city(zone.name()).eq_ignore_ascii_case(&city(name)));
        let near = near.map(|zone| format!("; did you mean {:?}?", zone.name())).unwrap_or_default();
        format!("{name:?} is not a time zone of the IANA database such as \"Europe/Berlin\"{near}")
    })
}

/// A date of exactly ten characters.
fn date(text: &str) -> Result<NaiveDate, String> {
    // What is not a dash is a digit: a year with a sign would be read too.
    let dash = |place: usize| place == 4 || place == 7;
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match dash(place) {
            true => byte == b'-',
            false => byte.is_ascii_digit(),
        });
    let date = shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    date.ok_or_else(|| format!("{text:?} is not a date such as \"2026-12-25\""))
}

/// A range and where it stands.
#[derive(Debug)]
struct Placed {
    /// The weekday from Monday, 0 to 6.
    day: usize,
    range: Range,
    path: String,
}

impl Placed {
    /// The minutes of the week from its opening to its closing, which may lie in the next week.
    fn minutes(&self) -> (u32, u32) {
        let midnight = u32::try_from(self.day).unwrap_or_default() * u32::from(DAY);
        (midnight + u32::from(self.range.open), midnight + u32::from(self.range.close))
    }
}

/// Every range in the order of the week; overlaps are told of the one that begins later.
fn ranges(hours: &Hours, errors: &mut Vec<CalendarError>) -> Vec<Placed> {
    let Hours { mon, tue, wed, thu, fri, sat, sun } = hours;
    let mut placed = Vec::new();
    for (day, texts) in [mon, tue, wed, thu, fri, sat, sun].into_iter().enumerate() {
        for (index, text) in texts.iter().enumerate() {
            let path = format!("hours.{}[{index}]", name_of(day));
            if let Some(range) = keep(range(text), &path, errors) {
                placed.push(Placed { day, range, path });
            }
        }
    }
    if placed.is_empty() && errors.iter().all(|error| !error.path.starts_with("hours")) {
        let what = "never opens; at least one day needs a range, such as mon = [\"09:00-17:00\"]".to_owned();
        errors.push(CalendarError { path: "hours".to_owned(), what });
    }
    placed.sort_by_key(|placed| placed.minutes().0);
    for (index, late) in placed.iter().enumerate() {
        let open = late.minutes().0;
        let before = placed.iter().take(index).find(|early| open < early.minutes().1);
        // The last ranges of the week may reach into the first ones of the next.
        let around = || placed.iter().skip(index + 1).find(|early| open + WEEK < early.minutes().1);
        if let Some(early) = before.or_else(around) {
            let (found, early, path) = (late.range, early.range, &early.path);
            let what = format!("\"{found}\" overlaps \"{early}\" ({path})");
            errors.push(CalendarError { path: late.path.clone(), what });
        }
    }
    placed
}

fn name_of(day: usize) -> String {
    let day = u8::try_from(day).ok().and_then(|day| Weekday::try_from(day).ok());
    day.map(|day| day.to_string().to_ascii_lowercase()).unwrap_or_default()
}

/// A range; one that closes earlier than it opens ends the next day.
fn range(text: &str) -> Result<Range, String> {
    let ends = text.split_once('-').and_then(|(open, close)| Some((minutes(open)?, minutes(close)?)));
    match ends {
        Some((open, _)) if open == DAY => {
            Err(format!("{text:?} opens at 24:00, which can only be a close; write 00:00 of the next day"))
        }
        Some((open, close)) if open == close => {
            Err(format!("{text:?} opens and closes at the same time; a whole day is \"00:00-24:00\""))
        }
        Some((open, close)) if close < open => Ok(Range { open, close: close + DAY }),
        Some((open, close)) => Ok(Range { open, close }),
        None => Err(format!("{text:?} is not {RANGE}")),
    }
}

/// The minutes of a time `HH:MM`, up to 24:00.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY).then_some(total)
}
