//! How fast a provider may be asked, in the engine's time.
//!
//! What is turned away is told when to come again, each a little after the one before, so that a thousand waiting
//! messages do not all come back for the one place that gets free.

use std::{
    num::NonZeroU32,
    ops::Add,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as GovernorClock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use throughline_actors::clock::Clock;
use throughline_workflows::time::{Span, Timestamp};

/// So many in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In what time; not zero.
    pub span: Span,
}

impl Rate {
    /// All of them at once, and then one after the other.
    fn quota(self) -> Quota {
        let between = (self.span.to_std() / self.count.get()).max(Duration::from_millis(1));
        Quota::with_period(between).unwrap_or(Quota::per_second(self.count)).allow_burst(self.count)
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

    fn rate(count: u32, span: Span) -> Rate {
        Rate { count: NonZeroU32::new(count).unwrap(), span }
    }

    fn clock() -> Clock {
        Clock::manual("2026-11-21T09:30:00Z".parse().unwrap())
    }

    #[test]
    fn what_is_turned_away_comes_back_one_after_the_other_and_is_let_in() {
        let clock = clock();
        let limit = Limit::new(rate(2, Span::from_secs(1)), clock.clone());
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
        let limit = Limit::new(rate(60, Span::from_mins(1)), clock());
        assert_eq!((0..200).filter(|_| limit.admit().is_ok()).count(), 60);
    }
}
