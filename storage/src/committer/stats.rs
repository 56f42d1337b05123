//! What commits cost: counters, and a small histogram of how long the store takes.

use std::time::{Duration, Instant};

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
    /// Half of the groups took at most this, in microseconds, to within an eighth.
    pub p50_micros: u64,
    /// 99 of 100 groups took at most this, in microseconds, to within an eighth.
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

/// Each power of two of microseconds is divided into this many equal buckets.
const PARTS: u64 = 8;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
const BUCKETS: usize = (64 - PARTS_BITS as usize + 1) * PARTS as usize;

/// What is counted as groups are written.
pub(crate) struct Costs {
    groups: u64,
    appends: u64,
    keys: u64,
    last: u64,
    max: u64,
    sum: u64,
    buckets: Box<[u64; BUCKETS]>,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs { groups: 0, appends: 0, keys: 0, last: 0, max: 0, sum: 0, buckets: Box::new([0; BUCKETS]) }
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
        self.buckets[bucket(micros)] += 1;
    }

    pub(crate) fn figures(&self) -> CommitStats {
        CommitStats {
            groups: self.groups,
            appends: self.appends,
            keys: self.keys,
            last_micros: self.last,
            max_micros: self.max,
            mean_micros: self.sum.checked_div(self.groups).unwrap_or(0),
            p50_micros: self.at_most(50),
            p99_micros: self.at_most(99),
            ..CommitStats::default()
        }
    }

    /// What so many of a hundred groups took at most.
    fn at_most(&self, percent: u64) -> u64 {
        let wanted = (self.groups * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if wanted > 0 && seen >= wanted {
                return upper(index).min(self.max);
            }
        }
        0
    }
}

/// Small values have a bucket each; above, the leading bits choose.
fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = micros.ilog2() - PARTS_BITS;
    let part = (micros >> power) - PARTS;
    (u64::from(power + 1) * PARTS + part) as usize
}

/// The largest value in a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < PARTS {
        return index;
    }
    let power = index / PARTS - 1;
    let next = u128::from(PARTS + index % PARTS + 1) << power;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_within_an_eighth() {
        for micros in (0..5000).chain([1 << 40, u64::MAX - 1, u64::MAX]) {
            let index = bucket(micros);
            assert!(micros <= upper(index), "{micros}");
            assert!(index == 0 || micros > upper(index - 1), "{micros}");
            assert!(upper(index) - micros <= micros / 8, "{micros}");
        }
    }

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
    }
}
