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
    /// Appends written a second at present: each counts for less the longer ago it was, to a third after ten seconds.
    pub appends_per_second: u64,
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

/// For so long an append counts for the present rate, on average.
const RECENT: Duration = Duration::from_secs(10);

/// How often something happens at present: an average in which the past fades.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// As it was when something happened last, a second.
    per_second: f64,
    /// When that was, if ever.
    at: Option<Instant>,
}

impl Rate {
    fn at(&self, now: Instant) -> f64 {
        let ago = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.per_second * (-ago.as_secs_f64() / RECENT.as_secs_f64()).exp()
    }

    fn add(&mut self, count: usize, now: Instant) {
        *self = Self { per_second: self.at(now) + count as f64 / RECENT.as_secs_f64(), at: Some(now) };
    }
}

/// What is counted as groups are written.
pub(crate) struct Costs {
    groups: u64,
    appends: u64,
    rate: Rate,
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
        let rate = Rate { per_second: 0.0, at: None };
        Costs { groups: 0, appends: 0, rate, keys: 0, last: 0, max: 0, sum: 0, took }
    }
}

impl Costs {
    pub(crate) fn record(&mut self, appends: usize, keys: usize, took: Duration, now: Instant) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.groups += 1;
        self.appends += appends as u64;
        self.rate.add(appends, now);
        self.keys += keys as u64;
        self.last = micros;
        self.max = self.max.max(micros);
        self.sum = self.sum.saturating_add(micros);
        self.took.saturating_record(micros);
    }

    pub(crate) fn figures(&self, now: Instant) -> CommitStats {
        CommitStats {
            groups: self.groups,
            appends: self.appends,
            appends_per_second: self.rate.at(now).round() as u64,
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
        let (mut costs, now) = (Costs::default(), machine_now());
        assert_eq!(costs.figures(now), CommitStats::default());
        for micros in 1..=100 {
            costs.record(2, 3, Duration::from_micros(micros), now);
        }
        let figures = costs.figures(now);
        assert_eq!((figures.groups, figures.appends, figures.keys), (100, 200, 300));
        assert_eq!((figures.last_micros, figures.max_micros, figures.mean_micros), (100, 100, 50));
        assert!((50..57).contains(&figures.p50_micros), "{figures:?}");
        assert!((99..=100).contains(&figures.p99_micros), "{figures:?}");
        costs.record(1, 1, Duration::MAX, now);
        assert_eq!(costs.figures(now).max_micros, u64::MAX);
    }

    #[test]
    fn the_present_rate_is_that_of_the_last_moments() {
        let (mut costs, begin) = (Costs::default(), machine_now());
        let at = |millis: u64| begin + Duration::from_millis(millis);
        for tenth in 0..600 {
            costs.record(40, 40, Duration::ZERO, at(tenth * 100));
        }
        let rate = |millis: u64| costs.figures(at(millis)).appends_per_second;
        assert!((396..=404).contains(&rate(60_000)), "40 each tenth of a second: {}", rate(60_000));
        assert!((140..=154).contains(&rate(70_000)), "a third ten seconds after the last: {}", rate(70_000));
        assert_eq!(rate(200_000), 0);
    }
}
