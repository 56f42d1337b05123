//! Wall time turned into instants: what a zone's clocks show, read the other way round.
//!
//! A time that the clocks show twice has a first and a last reading; one that they skip is read at the first
//! instant after the gap.

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::time::Timestamp;

/// The minutes of a day.
pub(super) const DAY: u16 = 24 * 60;

/// Further than any zone is from UTC or has ever moved its clocks, in seconds.
const FAR: i64 = 2 * 24 * 60 * 60;

/// The wall time `minutes` after the midnight that `date` begins with.
pub(super) fn moment(date: NaiveDate, minutes: u16) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN) + TimeDelta::minutes(minutes.into())
}

/// The first instant at which clocks in `zone` show `wall`.
pub(super) fn first_reading(zone: Tz, wall: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) => Timestamp::from_chrono(at.to_utc()),
        LocalResult::Ambiguous(first, second) => Timestamp::from_chrono(first.min(second).to_utc()),
        LocalResult::None => after_the_gap(zone, wall),
    }
}

/// The last instant at which clocks in `zone` show `wall`.
pub(super) fn last_reading(zone: Tz, wall: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) => Timestamp::from_chrono(at.to_utc()),
        LocalResult::Ambiguous(first, second) => Timestamp::from_chrono(first.max(second).to_utc()),
        LocalResult::None => after_the_gap(zone, wall),
    }
}

/// The first instant at which clocks in `zone`, which never show `wall`, show more.
fn after_the_gap(zone: Tz, wall: NaiveDateTime) -> Timestamp {
    let instant = |seconds: i64| wall + TimeDelta::seconds(seconds);
    let shows_more = |seconds: i64| {
        let utc = instant(seconds);
        utc + zone.offset_from_utc_datetime(&utc).fix() > wall
    };
    // The clocks move on whole seconds, so the gap lies between two of them; half the way is looked at each time.
    let (mut before, mut after) = (-FAR, FAR);
    while after - before > 1 {
        let middle = before.midpoint(after);
        if shows_more(middle) { after = middle } else { before = middle }
    }
    Timestamp::from_chrono(Utc.from_utc_datetime(&instant(after)))
}
