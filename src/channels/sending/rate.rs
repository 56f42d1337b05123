//! How fast a provider may be asked, in the engine's time.
//!
//! What is turned away is told when to come again, each a little after the one before, so that a thousand waiting
//! messages do not all come back for the one place that gets free.

use std::{
    fmt,
    num::NonZeroU32,
    ops::Add,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as GovernorClock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use serde::{Deserialize, Deserializer, de};

use throughline_actors::clock::Clock;
use throughline_workflows::time::{Span, Timestamp};

/// So many in a span: `10/s`, `60/min`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate such as \"10/s\", \"60/min\" or \"1000/h\"")]
pub struct RateError(String);

impl Rate {
    /// `count` a second.
    pub const fn per_second(count: NonZeroU32) -> Self {
        Self { count, unit: Unit::Second }
    }

    fn quota(self) -> Quota {
        match self.unit {
            Unit::Second => Quota::per_second(self.count),
            Unit::Minute => Quota::per_minute(self.count),
            Unit::Hour => Quota::per_hour(self.count),
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RateError(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = match unit.trim() {
            "s" => Unit::Second,
            "min" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(wrong()),
        };
        Ok(Self { count: count.trim().parse().map_err(|_| wrong())?, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "s",
            Unit::Minute => "min",
            Unit::Hour => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The engine's time as the limiter counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Timestamp);

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        // Rounded up, so that nothing comes back a fraction too early.
        Self(self.0 + Span::from_millis(other.as_u64().div_ceil(1_000_000)))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::from(self.0.since(earlier.0).to_std())
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        let millis = self.0.as_millis().saturating_sub(duration.as_u64() / 1_000_000);
        Self(Timestamp::from_millis(millis))
    }
}

/// The engine's clock as the limiter reads it.
#[derive(Clone, Debug)]
struct EngineClock(Clock);

impl GovernorClock for EngineClock {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.now())
    }
}

/// Keeps to one [`Rate`].
pub struct Limit {
    rate: Rate,
    clock: EngineClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, EngineClock, NoOpMiddleware<Moment>>,
    /// The latest moment that anybody was told to come again.
    promised: Mutex<Timestamp>,
}

impl Limit {
    /// A limit in the time of `clock`.
    pub fn new(rate: Rate, clock: Clock) -> Self {
        let clock = EngineClock(clock);
        let limiter = RateLimiter::direct_with_clock(rate.quota(), clock.clone());
        Self { rate, clock, limiter, promised: Mutex::new(Timestamp::default()) }
    }

    /// The rate it keeps to.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether one more may be asked now; otherwise how long to wait.
    ///
    /// # Errors
    /// How long to wait.
    pub fn admit(&self) -> Result<(), Span> {
        let Err(not_until) = self.limiter.check() else { return Ok(()) };
        let now = self.clock.now();
        let wait =
            u64::try_from(not_until.wait_time_from(now).as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let between = self.rate.quota().replenish_interval();
        let between = u64::try_from(between.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = (now.0 + Span::from_millis(wait)).max(*promised + Span::from_millis(between));
        Err(promised.since(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::manual("2026-11-21T09:30:00Z".parse().unwrap())
    }

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for text in ["10/s", "60/min", "1000/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "10", "0/s", "ten/s", "10/d", "-1/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_turned_away_comes_back_one_after_the_other_and_is_let_in() {
        let clock = clock();
        let limit = Limit::new("2/s".parse().unwrap(), clock.clone());
        assert_eq!(limit.admit(), Ok(()));
        assert_eq!(limit.admit(), Ok(()));
        let mut waits: Vec<u64> = (0..4).map(|_| limit.admit().unwrap_err().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 1500, 2000]);
        let start = clock.now();
        for wait in waits.drain(..) {
            clock.move_to(start + Span::from_millis(wait));
            assert_eq!(limit.admit(), Ok(()), "after {wait} ms");
        }
        assert!(limit.admit().is_err(), "the rate holds for those who waited too");
    }

    #[test]
    fn a_clock_that_stands_lets_no_more_in_than_the_rate() {
        let limit = Limit::new("60/min".parse().unwrap(), clock());
        assert_eq!((0..200).filter(|_| limit.admit().is_ok()).count(), 60);
    }
}
