//! Who goes first: the messages that wait at the door to become durable, or the turns behind it.
//!
//! What is durable can wait a moment; a provider that gets no answer sends again. Whoever comes to the door waits for
//! the group that is being written and then for their own, so groups are kept small while anybody comes. While many
//! are at the door the intake makes more room still, but not for ever: what came in must be handled too. All of it
//! goes by the machine's time, since the engine's may stand still.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// From so many messages at once on, the door is busy: more than a few providers send at once only in a burst.
const CROWD: usize = 8;

/// For so long after that: between two groups that are written there is a moment in which hardly anybody waits.
const LASTS: Duration = Duration::from_millis(4);

/// While the door is busy, only one in so many messages is handled beside it.
const SHARE: usize = 32;

/// While the door is used at all, one in so many turns is under way behind it: a quarter makes those at the door wait
/// a third as long, and costs a tenth of what can be handled.
const USED_SHARE: usize = 4;

/// For so long after somebody came, others are expected.
const USED_LASTS: Duration = Duration::from_millis(100);

/// A burst is over by then. Where the door stays busy, what came in takes its part again.
const YIELDS_FOR: Duration = Duration::from_secs(15);

/// The messages that wait to become durable.
#[derive(Default)]
pub(crate) struct Door {
    waiting: AtomicUsize,
    /// Until when it is busy, in microseconds.
    busy_until: AtomicU64,
    /// Until when it is used, in microseconds.
    used_until: AtomicU64,
}

/// One of them, for as long as this lives.
pub(crate) struct AtTheDoor<'a>(&'a Door);

impl Door {
    /// One more message waits.
    pub(crate) fn enter(&self, now: Duration) -> AtTheDoor<'_> {
        self.used_until.fetch_max(micros(now + USED_LASTS), Ordering::Relaxed);
        if self.waiting.fetch_add(1, Ordering::Relaxed) + 1 >= CROWD {
            self.busy_until.fetch_max(micros(now + LASTS), Ordering::Relaxed);
        }
        AtTheDoor(self)
    }

    /// Whether so many wait, or waited a moment ago, that the work behind had better make room.
    fn is_busy(&self, now: Duration) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CROWD || micros(now) < self.busy_until.load(Ordering::Relaxed)
    }

    /// Of `most` turns that could be under way at once, how many may be, so that whoever comes does not wait long for
    /// what is being written.
    pub(crate) fn leaves(&self, most: usize, now: Duration) -> usize {
        if self.is_used(now) { most.div_ceil(USED_SHARE) } else { most }
    }

    /// Whether anybody waits, or came a while ago.
    fn is_used(&self, now: Duration) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || micros(now) < self.used_until.load(Ordering::Relaxed)
    }
}

impl Drop for AtTheDoor<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Since when the intake makes room.
#[derive(Default)]
pub(crate) struct Courtesy {
    busy_since: Option<Duration>,
}

impl Courtesy {
    /// Of `most` messages that could be handled at once, how many may be.
    pub(crate) fn share(&mut self, most: usize, door: &Door, now: Duration) -> usize {
        self.busy_since = door.is_busy(now).then(|| self.busy_since.unwrap_or(now));
        let yields = self.busy_since.is_some_and(|since| now.saturating_sub(since) < YIELDS_FOR);
        if yields { most.div_ceil(SHARE) } else { door.leaves(most, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(12 * 3600);

    fn crowd(door: &Door, now: Duration) -> Vec<AtTheDoor<'_>> {
        (0..CROWD).map(|_| door.enter(now)).collect()
    }

    #[test]
    fn a_door_that_nobody_uses_leaves_all_there_is() {
        let (door, mut courtesy) = (Door::default(), Courtesy::default());
        assert_eq!(door.leaves(256, NOON), 256);
        assert_eq!(courtesy.share(256, &door, NOON), 256);
    }

    #[test]
    fn a_door_that_is_used_leaves_a_part_until_nobody_has_come_for_a_while() {
        let door = Door::default();
        let one = door.enter(NOON);
        let slow = NOON + Duration::from_secs(1);
        assert_eq!(door.leaves(256, slow), 256 / USED_SHARE, "somebody still waits");
        drop(one);
        assert_eq!(door.leaves(256, slow), 256);
        drop(door.enter(slow));
        assert_eq!(door.leaves(256, slow), 256 / USED_SHARE);
        assert_eq!(door.leaves(1, slow), 1, "somebody is always handled");
        assert_eq!(door.leaves(256, slow + USED_LASTS), 256);
    }

    #[test]
    fn a_few_at_once_are_no_crowd() {
        let (door, mut courtesy) = (Door::default(), Courtesy::default());
        let _few: Vec<_> = (1..CROWD).map(|_| door.enter(NOON)).collect();
        assert_eq!(courtesy.share(256, &door, NOON), 256 / USED_SHARE);
    }

    #[test]
    fn the_door_is_busy_while_a_crowd_waits_and_a_moment_longer() {
        let (door, mut courtesy) = (Door::default(), Courtesy::default());
        let waiting = crowd(&door, NOON);
        let slow = NOON + Duration::from_secs(1);
        assert_eq!(courtesy.share(256, &door, slow), 256 / SHARE);
        drop(waiting);
        assert_eq!(courtesy.share(256, &door, slow), 256);
        drop(crowd(&door, slow));
        assert_eq!(courtesy.share(256, &door, slow), 256 / SHARE);
        assert_eq!(courtesy.share(256, &door, slow + LASTS), 256 / USED_SHARE);
        assert_eq!(courtesy.share(1, &door, slow), 1, "somebody is always handled");
    }

    #[test]
    fn a_door_that_stays_busy_is_yielded_to_for_a_burst_and_again_after_a_pause() {
        let (door, mut courtesy) = (Door::default(), Courtesy::default());
        let waiting = crowd(&door, NOON);
        assert_eq!(courtesy.share(256, &door, NOON), 256 / SHARE);
        let over = NOON + YIELDS_FOR;
        assert_eq!(courtesy.share(256, &door, over), 256 / USED_SHARE);
        drop(waiting);
        let later = over + LASTS;
        assert_eq!(courtesy.share(256, &door, later), 256);
        let _next = crowd(&door, later);
        assert_eq!(courtesy.share(256, &door, later), 256 / SHARE);
    }
}
