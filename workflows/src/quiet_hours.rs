//! The hours in which a customer does not want to be written to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    calendar::{Calendar, CalendarSpec, Hours, Interval},
    time::{Span, Timestamp},
};

/// A range of the day, every day, in the customer's own time: `22:00-07:00`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours(String);

/// Why a text is not a range of quiet hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of the day such as 22:00-07:00")]
pub struct QuietHoursError(String);

impl QuietHours {
    /// The range as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The quiet stretch that `at` falls into, by the clocks of `timezone`; none if it falls into none.
    ///
    /// A zone that does not exist has no quiet hours: profiles are checked when they are written.
    pub fn around(&self, at: Timestamp, timezone: &str) -> Option<Interval> {
        let calendar = calendar(&self.0, timezone)?;
        let day = Span::from_hours(25);
        calendar.windows(at - day, at + day).find(|window| window.from <= at && at < window.to)
    }
}

fn calendar(range: &str, timezone: &str) -> Option<Calendar> {
    let day = || vec![range.to_owned()];
    let hours = Hours { mon: day(), tue: day(), wed: day(), thu: day(), fri: day(), sat: day(), sun: day() };
    let spec = CalendarSpec { timezone: timezone.to_owned(), hours, holidays: Vec::new() };
    Calendar::new(&spec).ok()
}

impl FromStr for QuietHours {
    type Err = QuietHoursError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match calendar(text, "UTC") {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(QuietHoursError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for QuietHours {
    type Error = QuietHoursError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<QuietHours> for String {
    fn from(quiet: QuietHours) -> Self {
        quiet.0
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_is_found_from_both_of_its_days_in_the_customers_own_time() {
        let night: QuietHours = "22:00-07:00".parse().unwrap();
        let expected = Interval { from: at("2026-11-20T21:00:00Z"), to: at("2026-11-21T06:00:00Z") };
        for moment in ["2026-11-20T21:00:00Z", "2026-11-20T23:30:00Z", "2026-11-21T05:59:59Z"] {
            assert_eq!(night.around(at(moment), "Europe/Vienna"), Some(expected), "{moment}");
        }
        assert_eq!(night.around(at("2026-11-21T06:00:00Z"), "Europe/Vienna"), None, "the end is outside");
        assert_eq!(night.around(at("2026-11-20T12:00:00Z"), "Europe/Vienna"), None);
    }

    #[test]
    fn what_is_no_range_is_refused_with_an_example() {
        for wrong in ["", "22:00", "25:00-07:00", "22:00-22:00", "night"] {
            let error = wrong.parse::<QuietHours>().unwrap_err().to_string();
            assert!(error.contains("22:00-07:00"), "{error}");
        }
    }
}
