//! Cron expressions: minute, hour, day of the month, month, day of the week, in a time zone.
//!
//! Five fields, or six with the second in front. Days of the week are written `Mon` to `Sun`: as numbers they mean one
//! thing to some programs and another to others. A moment that the clocks skip is left out; one that they repeat
//! comes once.

use chrono_tz::Tz;

use crate::time::Timestamp;

/// Why an expression names no moments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error(
        "five fields such as \"0 9 * * Mon-Fri\" (minute, hour, day of the month, month, day of the week), or six with \
         the second in front"
    )]
    Expression,
    /// Its days of the week are numbers.
    #[error("with days of the week as Mon, Tue, Wed, Thu, Fri, Sat, Sun, not as numbers")]
    NumberedDays,
    /// There is no such time zone.
    #[error("the name of a time zone such as Europe/Berlin")]
    Timezone,
}

impl CronError {
    /// The field at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Expression | Self::NumberedDays => "cron",
            Self::Timezone => "timezone",
        }
    }
}

/// The first moment after `after` that the expression names; none if there is no other.
///
/// # Errors
/// [`CronError`]
pub fn next(expression: &str, timezone: &str, after: Timestamp) -> Result<Option<Timestamp>, CronError> {
    let timezone: Tz = timezone.parse().map_err(|_| CronError::Timezone)?;
    let fields: Vec<_> = expression.split_whitespace().collect();
    let whole = match fields.len() {
        5 => format!("0 {}", fields.join(" ")),
        6 => fields.join(" "),
        _ => return Err(CronError::Expression),
    };
    // A step such as */2 counts days and names none.
    let days = fields.last().copied().unwrap_or_default().split(',');
    if days.filter_map(|days| days.split('/').next()).any(|days| days.contains(|c: char| c.is_ascii_digit()))
    {
        return Err(CronError::NumberedDays);
    }
    let schedule: cron::Schedule = whole.parse().map_err(|_| CronError::Expression)?;
    let after = after.to_chrono().with_timezone(&timezone);
    Ok(schedule.after(&after).next().map(|next| Timestamp::from_chrono(next.to_utc())))
}
