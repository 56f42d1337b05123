//! How long to wait before trying again: pure functions of what is tried and how often it was.
//!
//! These are ours and no library's because they must follow engine time, survive restarts and give the same
//! answer on every replay.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use throughline_workflows::time::Span;

/// Before the next try of the activity `id`, of which `attempts` have failed: 1 s doubling to 15 min, less up to a
/// quarter so that many that failed together do not return together.
pub fn activity(id: &str, attempts: u32) -> Span {
    let full = doubled(1_000, attempts.saturating_sub(1), 15 * 60_000);
    // The default hasher of a fixed state: the same for every process, so a retry time can be recomputed.
    let mut hasher = std::hash::DefaultHasher::new();
    (id, attempts).hash(&mut hasher);
    let jitter = hasher.finish() % (full / 4 + 1);
    Span::from_millis(full - jitter)
}

/// The longest that a timer which fired without effect waits to fire again.
pub const STUCK_MAX: Span = Span::from_mins(15);

/// Before a timer that fired `stuck` times without effect fires again: 1 s doubling to 15 min.
pub fn stuck_timer(stuck: u32) -> Span {
    Span::from_millis(doubled(1_000, stuck, STUCK_MAX.as_millis()))
}

/// Before an entity actor that crashed `crashes` times in a row is started again, in machine time: 50 ms doubling
/// to 30 s.
pub fn restart(crashes: u32) -> Duration {
    Duration::from_millis(doubled(50, crashes.saturating_sub(1), 30_000))
}

/// Before work that could not be handed over is handed over again, in machine time: 50 ms doubling to 5 s.
pub fn hand_over(tries: u32) -> Duration {
    Duration::from_millis(doubled(50, tries.saturating_sub(1), 5_000))
}

fn doubled(first: u64, times: u32, most: u64) -> u64 {
    first.saturating_mul(1u64.checked_shl(times.min(32)).unwrap_or(u64::MAX)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_come_slower_each_time_up_to_a_quarter_hour() {
        let id = "0193-a.1.0";
        assert!(activity(id, 1) <= Span::from_secs(1) && activity(id, 1) >= Span::from_millis(750));
        for attempts in 1..40 {
            assert!(activity(id, attempts) <= Span::from_mins(15));
            assert_eq!(activity(id, attempts), activity(id, attempts), "a function of its arguments");
        }
        assert!(activity(id, 30) >= Span::from_millis(15 * 60_000 * 3 / 4));
        assert_eq!(stuck_timer(0), Span::from_secs(1));
        assert_eq!(stuck_timer(63), Span::from_mins(15));
        assert_eq!(restart(1), Duration::from_millis(50));
    }
}
