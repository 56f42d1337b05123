//! How long answers took: counts in buckets that grow with the time, each within an eighth of the truth.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Each power of two of microseconds is divided into this many equal buckets.
const PARTS: u64 = 8;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
const BUCKETS: usize = (64 - PARTS_BITS as usize + 1) * PARTS as usize;

/// How long answers took since the start. Shared by all who answer; nobody waits for it.
pub(super) struct Latency {
    buckets: Box<[AtomicU64]>,
    max: AtomicU64,
}

/// What the answers so far took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
    }
}

impl Latency {
    /// One more answer.
    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let (count, max) = (counts.iter().sum(), self.max.load(Ordering::Relaxed));
        let at_most = |percent: u64| {
            let (wanted, mut seen) = (u64::div_ceil(count * percent, 100), 0);
            let reached = counts.iter().position(|bucket| {
                seen += bucket;
                wanted > 0 && seen >= wanted
            });
            reached.map_or(0, |index| upper(index).min(max))
        };
        Percentiles { count, p50: at_most(50), p99: at_most(99), max }
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
    let next = u128::from(PARTS + index % PARTS + 1) << (index / PARTS - 1);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded_to_within_an_eighth() {
        let latency = Latency::default();
        assert_eq!(latency.percentiles(), Percentiles::default());
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        let percentiles = latency.percentiles();
        assert_eq!((percentiles.count, percentiles.max), (1000, 1000));
        assert!((500..=563).contains(&percentiles.p50), "{percentiles:?}");
        assert!((990..=1000).contains(&percentiles.p99), "{percentiles:?}");
        latency.record(Duration::MAX);
        assert_eq!(latency.percentiles().max, u64::MAX);
    }

    #[test]
    fn every_value_lies_in_a_bucket() {
        for micros in (0..5000).chain([1 << 40, u64::MAX - 1, u64::MAX]) {
            let index = bucket(micros);
            assert!(micros <= upper(index) && (index == 0 || micros > upper(index - 1)), "{micros}");
        }
    }
}
