//! Time and chance: the only place that asks the machine for either.
//!
//! *Engine time* never goes back. On the system clock it runs with the machine's monotonic clock and takes the
//! wall clock's forward jumps; at start it is the later of the wall clock and the last recorded time. On the
//! manual clock it stands still until someone moves it. Every due moment and every comparison with a time from
//! outside uses engine time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use throughline_workflows::time::{Span, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

/// How long the system clock sleeps at most before it looks again, since the wall clock may jump forward.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Engine time. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System { started: Instant, offset: AtomicU64 },
    Manual { now: watch::Sender<Timestamp> },
}

/// Which clock a data folder was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// Runs by itself.
    System,
    /// Moves when told to.
    Manual,
}

impl ClockMode {
    /// The mode's name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Manual => "manual",
        }
    }
}

impl Clock {
    /// A running clock, never earlier than `last_recorded`.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system(last_recorded: Timestamp) -> Self {
        let clock = Self(Arc::new(Source::System {
            started: Instant::now(),
            offset: AtomicU64::new(last_recorded.as_millis()),
        }));
        clock.now();
        clock
    }

    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual { now: watch::Sender::new(start) }))
    }

    /// Whether the clock runs by itself.
    pub fn mode(&self) -> ClockMode {
        match &*self.0 {
            Source::System { .. } => ClockMode::System,
            Source::Manual { .. } => ClockMode::Manual,
        }
    }

    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { started, offset } => {
                // The wall is read first: whatever happens between the two readings can only make it look behind.
                let wall = wall();
                let running = millis(started.elapsed());
                let ahead = wall.as_millis().saturating_sub(running);
                // The offset only grows, so a wall clock that is set back does not take engine time with it.
                let offset = offset.fetch_max(ahead, Ordering::Relaxed).max(ahead);
                Timestamp::from_millis(running + offset)
            }
            Source::Manual { now } => *now.borrow(),
        }
    }

    /// How far the wall clock is behind engine time. Always zero on the manual clock.
    pub fn wall_behind(&self) -> Span {
        match &*self.0 {
            Source::System { .. } => self.now().since(wall()),
            Source::Manual { .. } => Span::ZERO,
        }
    }

    /// Returns once engine time is `at` or later.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &*self.0 {
            Source::System { .. } => loop {
                let left = at.since(self.now()).to_std();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            },
            Source::Manual { now } => {
                // The sender lives as long as `self`, so the wait cannot fail.
                let _ = now.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Moves the manual clock forward to `to`; an earlier time leaves it where it is.
    ///
    /// Returns whether this is the manual clock.
    pub fn move_to(&self, to: Timestamp) -> bool {
        match &*self.0 {
            Source::System { .. } => false,
            Source::Manual { now } => {
                now.send_if_modified(|now| {
                    let later = to > *now;
                    *now = to.max(*now);
                    later
                });
                true
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn wall() -> Timestamp {
    // A machine set before 1970 reads as 1970.
    Timestamp::from_millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Makes identifiers: UUIDv7 of engine time and chance, each greater than the one before.
///
/// Within a millisecond the twelve bits after the time count up from a random start (RFC 9562, 6.2, method 1), so
/// that what is made in order also sorts in order; when they run out the next millisecond is used.
#[derive(Clone, Debug)]
pub struct Minter {
    clock: Clock,
    state: Arc<Mutex<Minting>>,
}

#[derive(Debug)]
struct Minting {
    chance: StdRng,
    at_ms: u64,
    count: u16,
}

/// The count's twelve bits.
const COUNT_MAX: u16 = 0x0fff;

/// Where a millisecond's count begins at most: half of its numbers are left.
const COUNT_START_MAX: u16 = 0x07ff;

impl Minter {
    /// A minter whose chance comes from the operating system.
    pub fn new(clock: Clock) -> Self {
        Self::from_chance(clock, StdRng::from_os_rng())
    }

    /// A minter that makes the same ids for the same seed and times.
    pub fn seeded(clock: Clock, seed: u64) -> Self {
        Self::from_chance(clock, StdRng::seed_from_u64(seed))
    }

    fn from_chance(clock: Clock, chance: StdRng) -> Self {
        Self { clock, state: Arc::new(Mutex::new(Minting { chance, at_ms: 0, count: 0 })) }
    }

    /// A new id.
    pub fn mint(&self) -> Uuid {
        let now = self.clock.now().as_millis();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = [0; 10];
        state.chance.fill_bytes(&mut random);
        if now > state.at_ms || state.count == COUNT_MAX {
            state.at_ms = now.max(state.at_ms + 1);
            state.count = u16::from_be_bytes([random[0], random[1]]) & COUNT_START_MAX;
        } else {
            state.count += 1;
        }
        random[..2].copy_from_slice(&state.count.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(state.at_ms, &random).into_uuid()
    }

    /// Unguessable bytes, for secrets.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).chance.fill_bytes(bytes);
    }
}

/// Measures how long something took, in the machine's time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_time_starts_no_earlier_than_what_was_recorded() {
        let recorded = wall() + Span::from_hours(5);
        let clock = Clock::system(recorded);
        assert!(clock.now() >= recorded);
        assert!(clock.wall_behind() > Span::from_hours(4));
    }

    #[test]
    fn engine_time_follows_a_wall_clock_that_is_ahead() {
        let clock = Clock::system(Timestamp::from_millis(1));
        assert!(wall().since(clock.now()) < Span::from_secs(5));
        assert_eq!(clock.wall_behind(), Span::ZERO);
    }

    #[tokio::test]
    async fn the_manual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp::from_millis(5_000)).await }
        });
        assert!(clock.move_to(Timestamp::from_millis(4_999)));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.move_to(Timestamp::from_millis(5_000));
        sleeper.await.unwrap();
        clock.move_to(Timestamp::from_millis(3));
        assert_eq!(clock.now(), Timestamp::from_millis(5_000), "it never goes back");
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let minter = Minter::seeded(clock.clone(), 7);
        let first = minter.mint();
        clock.move_to(Timestamp::from_millis(1_001));
        assert!(first < minter.mint());
        assert_eq!(first.get_version_num(), 7);
    }

    #[test]
    fn ids_sort_in_the_order_they_were_made_also_within_one_moment() {
        let minter = Minter::seeded(Clock::manual(Timestamp::from_millis(1_000)), 7);
        let ids: Vec<_> = (0..20_000).map(|_| minter.mint()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    }
}
