//! How long a waiting customer may hear nothing, and how far ahead the engine acts.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The longest silence that a policy may allow: twelve hours. A policy may be stricter, never more lenient.
pub const INTERVAL_MAX: Span = Span::from_hours(12);

/// The shortest interval between two updates: anything less would be a nuisance, and leave no room for a retry.
const INTERVAL_MIN: Span = Span::from_mins(10);

/// The rules of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// Whoever waits for us hears from us at least this often.
    pub interval: Span,
    /// An update is sent this long before it is due, so that a retry and a second channel fit.
    pub margin: Span,
    /// The person responsible is asked to write this long before it is due.
    pub nudge_before: Span,
    /// After this many updates by the machine without an act by a person a supervisor is alarmed.
    pub alarm_after: u32,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            interval: INTERVAL_MAX,
            margin: Span::from_mins(30),
            nudge_before: Span::from_hours(2),
            alarm_after: 6,
        }
    }
}

impl Updates {
    /// What is wrong with them: the setting and what is allowed.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        if self.interval > INTERVAL_MAX {
            let what = format!("must be at most {INTERVAL_MAX}, not {}: silence is failure", self.interval);
            mistakes.push(("interval", what));
        }
        if self.interval < INTERVAL_MIN {
            mistakes.push(("interval", format!("must be at least {INTERVAL_MIN}, not {}", self.interval)));
        }
        let half = Span::from_millis(self.interval.as_millis() / 2);
        if self.margin < Span::from_mins(2) || self.margin > half {
            let what = format!("must be 2m to half of updates.interval ({half}), not {}", self.margin);
            mistakes.push(("margin", what));
        }
        if self.nudge_before < self.margin || self.nudge_before >= self.interval {
            let what = format!(
                "must be at least updates.margin ({}) and less than updates.interval ({}), not {}",
                self.margin, self.interval, self.nudge_before
            );
            mistakes.push(("nudge_before", what));
        }
        if self.alarm_after == 0 {
            mistakes.push(("alarm_after", "must be at least 1".to_owned()));
        }
        mistakes
    }
}
