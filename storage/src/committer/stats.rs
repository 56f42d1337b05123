//! What commits cost: counters, and a histogram of how long the store takes.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Figures of the committer since the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Groups written.
    pub groups: u64,
    /// Appends written in them.
    pub appends: u64,
    /// Keys put or removed in them.
    pub keys: u64,
    /// How long the last group took to become durable, in microseconds.
    pub last_micros: u64,
    /// The longest a group took, in microseconds.
    pub max_micros: u64,
    /// The mean over all groups, in microseconds.
    pub mean_micros: u64,
    /// Half of the groups took at most this, in microseconds, to within a hundredth.
    pub p50_micros: u64,
    /// 99 of 100 groups took at most this, in microseconds, to within a hundredth.
    pub p99_micros: u64,
    /// Appends that wait for their group.
    pub queue_entries: u64,
    /// Bytes of those appends.
    pub queue_bytes: u64,
    /// How long the oldest append has waited for its answer, in milliseconds.
    pub oldest_waiting_ms: u64,
    /// Inbox entries that no turn has taken yet.
    pub inbox_pending: u64,
    /// Why the journal has failed, if it has.
    pub failed: Option<String>,
}

/// The machine's monotonic clock: for how long commits take and appends wait, never for what is recorded.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the machine; nothing of it is stored or decided upon"
)]
pub(crate) fn machine_now() -> Instant {
    Instant::now()
}

/// What is counted as groups are written.
pub(crate) struct Costs {
    groups: u64,
    appends: u64,
    keys: u64,
    last: u64,
    max: u64,
    sum: u64,
    /// How long groups took, in microseconds.
    took: Histogram<u64>,
}

impl Default for Costs {
    fn default() -> Costs {
        let took = Histogram::new_with_bounds(1, u64::MAX, 2).expect("two digits of any number can be kept");
        Costs { groups: 0, appends: 0, keys: 0, last: 0, max: 0, sum: 0, took }
    }
}

impl Costs {
    pub(crate) fn record(&mut self, appends: usize, keys: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.groups += 1;
        self.appends += appends as u64;
        self.keys += keys as u64;
        self.last = micros;
        self.max = self.max.max(micros);
        self.sum = self.sum.saturating_add(micros);
        self.took.saturating_record(micros);
    }

    pub(crate) fn figures(&self) -> CommitStats {
        CommitStats {
            groups: self.groups,
            appends: self.appends,
            keys: self.keys,
            last_micros: self.last,
            max_micros: self.max,
            mean_micros: self.sum.checked_div(self.groups).unwrap_or(0),
            p50_micros: self.at_most(0.50),
            p99_micros: self.at_most(0.99),
            ..CommitStats::default()
        }
    }

    /// What this part of the groups took at most.
    fn at_most(&self, part: f64) -> u64 {
        self.took.value_at_quantile(part).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut costs = Costs::default();
        assert_eq!(costs.figures(), CommitStats::default());
        for micros in 1..=100 {
            costs.record(2, 3, Duration::from_micros(micros));
        }
        let figures = costs.figures();
        assert_eq!((figures.groups, figures.appends, figures.keys), (100, 200, 300));
        assert_eq!((figures.last_micros, figures.max_micros, figures.mean_micros), (100, 100, 50));
        assert!((50..57).contains(&figures.p50_micros), "{figures:?}");
        assert!((99..=100).contains(&figures.p99_micros), "{figures:?}");
        costs.record(1, 1, Duration::MAX);
        assert_eq!(costs.figures().max_micros, u64::MAX);
    }
}
