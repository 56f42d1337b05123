//! Whether a provider may be asked now: not faster than agreed, not while it is down, not before it said.
//!
//! One gate for each channel of each tenant. It holds nothing that must survive a restart: after one the provider is
//! asked once too often at worst.

use std::sync::{Mutex, PoisonError};

use throughline_actors::clock::Clock;
use throughline_workflows::time::{Span, Timestamp};

use super::{
    SendOutcome,
    breaker::{Breaker, Change},
    rate::{Limit, Rate},
};

/// Stands before one channel of one tenant.
pub struct Gate {
    /// The channel and its tenant, for the log.
    name: String,
    clock: Clock,
    limit: Option<Limit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    breaker: Breaker,
    /// Until when the provider asked to be left alone.
    silent_until: Timestamp,
}

/// Why a try does not begin. It is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotNow {
    /// When to ask again.
    pub after: Span,
    /// Why, for people.
    pub why: String,
}

impl Gate {
    /// A gate that is open.
    pub fn new(name: String, rate: Option<Rate>, clock: Clock) -> Self {
        let limit = rate.map(|rate| Limit::new(rate, clock.clone()));
        Self { name, clock, limit, state: Mutex::default() }
    }

    /// Whether a try may begin. One that may counts against the rate.
    ///
    /// # Errors
    /// [`NotNow`], with the moment to ask again.
    pub fn admit(&self) -> Result<(), NotNow> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now < state.silent_until {
            let why = format!("the provider of {} asked to wait until {}", self.name, state.silent_until);
            return Err(NotNow { after: state.silent_until.since(now), why });
        }
        let closed = |until: Timestamp, name: &str| NotNow {
            after: until.since(now),
            why: format!("the provider of {name} does not answer and is asked again at {until}"),
        };
        if let Some(until) = state.breaker.shut_until(now) {
            return Err(closed(until, &self.name));
        }
        if let Some(limit) = &self.limit
            && let Err(after) = limit.admit()
        {
            let Rate { count, span } = limit.rate();
            let why = format!("{} sends no more than {count} in {span}", self.name);
            return Err(NotNow { after, why });
        }
        state.breaker.admit(now).map_err(|until| closed(until, &self.name))
    }

    /// Somebody says that the provider works again: the next try is let through, and shows whether it does. The agreed
    /// rate holds all the same.
    pub fn mended(&self) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.silent_until = state.silent_until.min(now);
        state.breaker.mended(now);
    }

    /// Learns from how a try ended.
    pub fn learn(&self, outcome: &SendOutcome) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match outcome {
            SendOutcome::Retry { after: Some(after), down: true, .. } => {
                // It is there, and says when it wants to be asked again: that holds for every message.
                state.silent_until = state.silent_until.max(now + *after);
                state.breaker.answered()
            }
            SendOutcome::Retry { after: None, down: true, .. } | SendOutcome::Uncertain(_) => {
                state.breaker.failed(now)
            }
            SendOutcome::Accepted { .. }
            | SendOutcome::Refused(_)
            | SendOutcome::Retry { down: false, .. } => state.breaker.answered(),
        };
        match change {
            Change::None => {}
            Change::Opened(until) => {
                tracing::error!(channel = %self.name, %until, "a provider does not answer; nothing is sent there for a while");
            }
            Change::Closed => tracing::info!(channel = %self.name, "a provider answers again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::sending::{breaker::FAILURES_MAX, failure};

    fn gate(count: Option<u32>) -> (Gate, Clock) {
        let clock = Clock::manual("2026-11-21T09:30:00Z".parse().unwrap());
        let count = count.and_then(std::num::NonZeroU32::new);
        let rate = count.map(|count| Rate { count, span: Span::from_secs(1) });
        (Gate::new("sms of default".to_owned(), rate, clock.clone()), clock)
    }

    fn down() -> SendOutcome {
        SendOutcome::down(failure("connect", "refused"))
    }

    #[test]
    fn a_provider_that_is_down_is_left_alone_and_then_asked_once() {
        let (gate, clock) = gate(None);
        for _ in 0..FAILURES_MAX {
            gate.admit().unwrap();
            gate.learn(&down());
        }
        let not_now = gate.admit().unwrap_err();
        assert_eq!(not_now.after, Span::from_secs(15));
        clock.move_to(clock.now() + not_now.after);
        gate.admit().unwrap();
        assert!(gate.admit().is_err());
        gate.learn(&SendOutcome::Accepted { provider_message_id: None });
        gate.admit().unwrap();
    }

    #[test]
    fn what_one_message_is_told_about_waiting_holds_for_all() {
        let (gate, clock) = gate(None);
        let slow_down = failure("429", "too many");
        gate.learn(&SendOutcome::Retry { after: Some(Span::from_secs(7)), error: slow_down, down: true });
        assert_eq!(gate.admit().unwrap_err().after, Span::from_secs(7));
        clock.move_to(clock.now() + Span::from_secs(7));
        gate.admit().unwrap();
    }

    #[test]
    fn an_operator_who_has_mended_it_need_not_wait() {
        let (gate, _) = gate(None);
        for _ in 0..FAILURES_MAX {
            gate.learn(&down());
        }
        gate.mended();
        gate.admit().unwrap();
        gate.learn(&SendOutcome::Retry {
            after: Some(Span::from_mins(9)),
            error: failure("429", ""),
            down: true,
        });
        gate.admit().unwrap_err();
        gate.mended();
        gate.admit().unwrap();
    }

    #[test]
    fn a_refused_message_says_nothing_against_its_provider() {
        let (gate, _) = gate(None);
        for _ in 0..FAILURES_MAX * 2 {
            gate.learn(&SendOutcome::Refused(failure("21211", "invalid number")));
        }
        gate.admit().unwrap();
    }

    #[test]
    fn the_rate_is_kept() {
        let (gate, _) = gate(Some(3));
        assert_eq!((0..10).filter(|_| gate.admit().is_ok()).count(), 3);
    }
}
