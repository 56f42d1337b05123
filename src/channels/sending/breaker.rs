//! Stops asking a provider that does not answer, and asks again carefully. Pure; the time is an argument.
//!
//! | state | a failure | a success | asked whether a try may begin |
//! |---|---|---|---|
//! | closed | opens, after [`FAILURES_MAX`] in a row | forgets the failures | yes |
//! | open | stays open, for longer | closes | not before the pause is over; then one may |
//! | one is trying | opens again, for twice as long | closes | only once that one is taken for lost |
//!
//! It is not a library's because it must follow the engine's time, which a test or a rehearsal moves.

use throughline_workflows::time::{Span, Timestamp};

/// Failures in a row after which nothing is asked for a while.
pub const FAILURES_MAX: u32 = 5;
/// The first pause.
const PAUSE_MIN: Span = Span::from_secs(15);
/// The longest pause, to which it doubles: less than half the margin of the promise to a waiting customer.
const PAUSE_MAX: Span = Span::from_mins(5);
/// When a try that was let through and never came back is taken for lost.
const PROBE_MAX: Span = Span::from_mins(1);
/// How soon the others ask how it went.
const ASK_AGAIN: Span = Span::from_secs(5);

/// What is known of one provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    /// Until when nothing may be asked; none while closed.
    until: Option<Timestamp>,
    /// Whether one is trying, who is taken for lost at `until`.
    trying: bool,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody need hear of.
    None,
    /// It opened, or stays open, until then.
    Opened(Timestamp),
    /// It closed: the provider is back.
    Closed,
}

impl Breaker {
    /// Whether a try may begin; otherwise when to ask again. Where it is open and the pause is over, one may: the
    /// others wait for how that goes.
    ///
    /// # Errors
    /// The moment to ask again.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.shut_until(now) {
            return Err(until);
        }
        if self.until.is_some() {
            self.trying = true;
            self.until = Some(now + PROBE_MAX);
        }
        Ok(())
    }

    /// When to ask again, while nothing may be asked.
    pub fn shut_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.until.filter(|until| now < *until)?;
        Some(if self.trying { until.min(now + ASK_AGAIN) } else { until })
    }

    /// The provider could not be asked, or could not answer.
    pub fn failed(&mut self, now: Timestamp) -> Change {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX {
            return Change::None;
        }
        let doublings = (self.failures - FAILURES_MAX).min(16);
        let pause = Span::from_millis(PAUSE_MIN.as_millis() << doublings).min(PAUSE_MAX);
        let until = now + pause;
        self.until = Some(until);
        self.trying = false;
        Change::Opened(until)
    }

    /// Somebody says that it works again: one may try at once.
    pub fn mended(&mut self, now: Timestamp) {
        if self.until.is_some() {
            self.until = Some(now);
            self.trying = false;
        }
    }

    /// The provider answered, whatever it said.
    pub fn answered(&mut self) -> Change {
        let was_open = self.until.is_some();
        *self = Self::default();
        if was_open { Change::Closed } else { Change::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_793_613_600_000 + seconds * 1000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.failed(at(0)), Change::None);
        }
        assert_eq!(breaker.failed(at(0)), Change::Opened(at(15)));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not_let_them_add_up() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            for _ in 1..FAILURES_MAX {
                breaker.failed(at(0));
            }
            assert_eq!(breaker.admit(at(0)), Ok(()));
            assert_eq!(breaker.answered(), Change::None);
        }
        assert_eq!(opened().admit(at(14)), Err(at(15)));
    }

    #[test]
    fn after_the_pause_one_may_try_and_its_answer_lets_all_of_them_go() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(15)), Ok(()));
        assert_eq!(breaker.admit(at(15)), Err(at(20)), "the others wait for the first");
        assert_eq!(breaker.answered(), Change::Closed);
        assert_eq!(breaker.admit(at(16)), Ok(()));
        assert_eq!(breaker.admit(at(16)), Ok(()));
    }

    #[test]
    fn a_failed_try_doubles_the_pause_up_to_five_minutes() {
        let mut breaker = opened();
        let mut now = 15;
        for pause in [30, 60, 120, 240, 300, 300] {
            assert_eq!(breaker.admit(at(now)), Ok(()));
            assert_eq!(breaker.failed(at(now)), Change::Opened(at(now + pause)));
            now += pause;
        }
    }

    #[test]
    fn whoever_says_that_it_is_mended_gets_one_try_at_once() {
        let mut breaker = opened();
        breaker.mended(at(3));
        assert_eq!(breaker.admit(at(3)), Ok(()));
        assert_eq!(breaker.admit(at(3)), Err(at(8)), "the others wait for the first");
        assert_eq!(breaker.failed(at(4)), Change::Opened(at(34)), "it was not");
        let mut closed = Breaker::default();
        closed.mended(at(0));
        assert_eq!(closed, Breaker::default());
    }

    #[test]
    fn a_try_that_never_comes_back_does_not_keep_it_shut() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(15)), Ok(()));
        assert_eq!(breaker.admit(at(74)), Err(at(75)));
        assert_eq!(breaker.admit(at(75)), Ok(()));
    }
}
