//! How long answers took, each kept to within a hundredth of the truth.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// How long answers took since the start. Shared by all who answer.
pub(super) struct Latency(Mutex<Taken>);

struct Taken {
    micros: Histogram<u64>,
    max: u64,
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
        let micros =
            Histogram::new_with_bounds(1, u64::MAX, 2).expect("two digits of any number can be kept");
        Self(Mutex::new(Taken { micros, max: 0 }))
    }
}

impl Latency {
    /// One more answer.
    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut taken = self.lock();
        taken.micros.saturating_record(micros);
        taken.max = taken.max.max(micros);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let taken = self.lock();
        let at_most = |part: f64| taken.micros.value_at_quantile(part).min(taken.max);
        Percentiles { count: taken.micros.len(), p50: at_most(0.50), p99: at_most(0.99), max: taken.max }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded_to_within_a_hundredth() {
        let latency = Latency::default();
        assert_eq!(latency.percentiles(), Percentiles::default());
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        let percentiles = latency.percentiles();
        assert_eq!((percentiles.count, percentiles.max), (1000, 1000));
        assert!((500..=505).contains(&percentiles.p50), "{percentiles:?}");
        assert!((990..=1000).contains(&percentiles.p99), "{percentiles:?}");
        latency.record(Duration::MAX);
        assert_eq!(latency.percentiles().max, u64::MAX);
    }
}
