//! The arithmetic of one SLA clock: budgets of business time, spent while the clock runs.
//!
//! A [`Clock`] is a value that holds results: what was spent before it last began to run, and when it falls due if
//! nothing happens. It is changed by what happens to its conversation, under the terms of a policy, and never looks
//! at a clock itself. Replaying the changes gives the same clock.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | it starts | due when the target is spent in the calendar's windows |
//! | a pause | what was spent is kept, nothing is due |
//! | it goes on | due when the rest is spent |
//! | other terms | what was spent by the old calendar is kept; the rest of the new target is spent by the new one |
//! | it is met | it stands still for good; met exactly at the due time is in time |
//! | the due time passes | a breach, stamped with the due time or the later moment that made it due |

use serde::{Deserialize, Serialize};

use crate::{
    calendar::Calendar,
    ids::MessageId,
    policy::Terms,
    time::{Span, Timestamp},
    words::words,
};

words! {
    /// What is being waited for.
    ClockKind, "a clock" {
        /// A person's first answer.
        FirstResponse = "first_response",
        /// A person's answer to the oldest unanswered message, after the first answer.
        NextResponse = "next_response",
        /// The end of the conversation.
        Resolution = "resolution",
        /// The first act of a person on an escalated case.
        EscalationUnattended = "escalation_unattended",
    }
}

words! {
    /// Why something was not in time.
    BreachReason, "a reason of a breach" {
        /// The time passed.
        Late = "late",
        /// What had met it failed later, when it was due already.
        LateFailure = "late_failure",
        /// No channel took a message.
        NotAccepted = "not_accepted",
        /// The customer could not be reached on any channel.
        Unreachable = "unreachable",
    }
}

/// One clock of one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// When it started.
    pub started_at: Timestamp,
    /// How much business time it has.
    pub target: Span,
    /// The calendar that it is spent in; none for around the clock.
    pub calendar: Option<String>,
    /// The version of the policy whose calendar and target these are.
    pub policy: u64,
    /// What was spent before it last began to run.
    pub spent: Span,
    /// Since when it runs; kept when it is met. None while it is paused.
    pub running_since: Option<Timestamp>,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
    /// When it falls due, or would have, had it not been met; none while it is paused, or where the calendar does not
    /// open for that long within ten years.
    pub due_at: Option<Timestamp>,
    /// When the warning comes.
    pub warn_at: Option<Timestamp>,
    /// When the warning came.
    pub warned_at: Option<Timestamp>,
    /// Since when the facts and the target hold that made it fall due then: no breach is dated before.
    pub binding_since: Timestamp,
    /// When it was met.
    pub met_at: Option<Timestamp>,
    /// The message that met it, where one did.
    pub met_by: Option<MessageId>,
    /// Whether it had been met by a message that failed later.
    pub met_failed: bool,
    /// When it was breached.
    pub breached_at: Option<Timestamp>,
    /// When the breach was noticed.
    pub detected_at: Option<Timestamp>,
}

/// A due time that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// When it was due.
    pub due_at: Timestamp,
    /// The date of the breach.
    pub breached_at: Timestamp,
}

impl Clock {
    /// A clock that starts at `at` and runs.
    pub fn start(at: Timestamp, terms: &Terms<'_>) -> Self {
        let clock = Self {
            started_at: at,
            target: Span::ZERO,
            calendar: None,
            policy: 0,
            spent: Span::ZERO,
            running_since: Some(at),
            paused_at: None,
            due_at: None,
            warn_at: None,
            warned_at: None,
            binding_since: at,
            met_at: None,
            met_by: None,
            met_failed: false,
            breached_at: None,
            detected_at: None,
        };
        clock.run(at, Span::ZERO, terms)
    }

    /// Whether it still has to be met, paused or not.
    pub fn is_open(&self) -> bool {
        self.met_at.is_none()
    }

    /// Whether time is being spent.
    pub fn is_running(&self) -> bool {
        self.is_open() && self.paused_at.is_none()
    }

    /// What is spent by `at`; `hours` is the calendar it runs by.
    pub fn spent_by(&self, at: Timestamp, hours: &Calendar) -> Span {
        let until = self.met_at.map_or(at, |met| met.min(at));
        let running = match self.running_since {
            Some(since) if self.paused_at.is_none() => hours.business_time(since, until),
            Some(_) | None => Span::ZERO,
        };
        Span::from_millis(self.spent.as_millis() + running.as_millis())
    }

    /// What is left at `at`, in whole seconds; negative once more was spent than there was.
    pub fn remaining_seconds(&self, at: Timestamp, hours: &Calendar) -> i64 {
        let seconds = |span: Span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        seconds(self.target).saturating_sub(seconds(self.spent_by(at, hours)))
    }

    /// The clock stands still from `at` on.
    #[must_use]
    pub fn pause(mut self, at: Timestamp, hours: &Calendar) -> Self {
        if self.is_running() {
            let at = self.not_before(at);
            self.spent = self.spent_by(at, hours);
            self.paused_at = Some(at);
            self.running_since = None;
            self.due_at = None;
            self.warn_at = None;
        }
        self
    }

    /// The clock goes on at `at`.
    #[must_use]
    pub fn resume(mut self, at: Timestamp, terms: &Terms<'_>) -> Self {
        match self.paused_at.take() {
            Some(paused) if self.is_open() => {
                let (at, spent) = (at.max(paused), self.spent);
                self.run(at, spent, terms)
            }
            paused => {
                self.paused_at = paused;
                self
            }
        }
    }

    /// Other terms hold from `at` on; `hours` is the calendar it ran by until then. What was spent is kept.
    #[must_use]
    pub fn retarget(mut self, at: Timestamp, hours: &Calendar, terms: &Terms<'_>) -> Self {
        if !self.is_open() {
            return self;
        }
        if self.paused_at.is_some() {
            self.target = terms.target;
            self.calendar = terms.calendar.map(str::to_owned);
            self.policy = terms.policy;
            return self;
        }
        let at = self.not_before(at);
        let (due_before, binding_before) = (self.due_at, self.binding_since);
        let spent = self.spent_by(at, hours);
        let mut clock = self.run(at, spent, terms);
        if clock.due_at == due_before {
            clock.binding_since = binding_before;
        }
        clock
    }

    /// What was waited for has happened, at `at`.
    #[must_use]
    pub fn meet(mut self, at: Timestamp, by: Option<MessageId>) -> Self {
        if self.is_open() {
            self.met_at = Some(at.max(self.started_at));
            self.met_by = by;
            self.warn_at = None;
        }
        self
    }

    /// What met it turned out, at `at`, not to have happened: it runs as if it never had been met.
    #[must_use]
    pub fn unmeet(mut self, at: Timestamp) -> Self {
        self.met_at = None;
        self.met_by = None;
        self.met_failed = true;
        self.binding_since = self.binding_since.max(at);
        self
    }

    /// What was over goes on at `at`, with what was left of it; `hours` is the calendar it ran by.
    #[must_use]
    pub fn reopen(mut self, at: Timestamp, hours: &Calendar, terms: &Terms<'_>) -> Self {
        // What was counted before it paused, or before it last began to run, is not counted again, even if the message
        // that reopens it is older.
        let at = self.not_before(self.paused_at.map_or(at, |paused| at.max(paused)));
        let spent = self.spent_by(at, hours);
        self.met_at = None;
        self.met_by = None;
        self.paused_at = None;
        self.run(at, spent, terms)
    }

    /// Whether its due time has passed at `at` without a breach having been noted.
    pub fn overdue(&self, at: Timestamp) -> Option<Overdue> {
        let due_at = self.due_at.filter(|_| self.breached_at.is_none())?;
        (at > due_at).then(|| Overdue { due_at, breached_at: due_at.max(self.binding_since) })
    }

    /// The breach is noted.
    #[must_use]
    pub fn breach(mut self, overdue: Overdue, detected_at: Timestamp) -> Self {
        self.breached_at = Some(overdue.breached_at);
        self.detected_at = Some(detected_at);
        self.warn_at = None;
        self
    }

    /// Whether its warning is due at `at` and has not come.
    pub fn must_warn(&self, at: Timestamp) -> bool {
        self.is_running() && self.breached_at.is_none() && self.warn_at.is_some_and(|warn| warn <= at)
    }

    /// The warning has come.
    #[must_use]
    pub fn warned(mut self, at: Timestamp) -> Self {
        self.warned_at = Some(at);
        self.warn_at = None;
        self
    }

    /// When the engine must look at it next: at the warning, or right after the due time.
    pub fn next_look(&self) -> Option<Timestamp> {
        if !self.is_running() {
            return None;
        }
        // What happens exactly at the due time is in time.
        let breach = self.due_at.filter(|_| self.breached_at.is_none()).map(|due| due + Span::from_millis(1));
        self.warn_at.into_iter().chain(breach).min()
    }

    /// Runs from `at` with `spent` behind it.
    fn run(mut self, at: Timestamp, spent: Span, terms: &Terms<'_>) -> Self {
        let left = |until: Span| Span::from_millis(until.as_millis().saturating_sub(spent.as_millis()));
        let reached = |until: Span| terms.hours.due(at, left(until)).ok().map(|due| due.at);
        self.target = terms.target;
        self.calendar = terms.calendar.map(str::to_owned);
        self.policy = terms.policy;
        self.spent = spent;
        self.running_since = Some(at);
        self.binding_since = at;
        self.due_at = reached(terms.target);
        let warn_at = reached(terms.warn.after(terms.target));
        if self.warned_at.is_none_or(|warned| warn_at.is_some_and(|warn| warn > warned.max(at))) {
            self.warned_at = None;
            self.warn_at = warn_at.filter(|_| self.breached_at.is_none());
        } else {
            self.warn_at = None;
        }
        self
    }

    /// `at`, but not before it began to run: what is counted is never negative.
    fn not_before(&self, at: Timestamp) -> Timestamp {
        self.running_since.map_or(at, |since| at.max(since))
    }
}

#[cfg(test)]
mod tests;
