//! Where streams are, remembered: most appends continue a stream that was continued a moment ago.

use std::num::NonZeroUsize;

use lru::LruCache;

/// Streams remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(64 * 1024).expect("more than none");

/// Versions of the streams used last, by what the keys of their records begin with.
///
/// Only the committer changes versions, so what is remembered is right. And whatever was changed after the last of
/// those that are forgotten is remembered: a stream that was read after that and is not among them is as it was read.
pub(crate) struct Versions {
    of: LruCache<Vec<u8>, Version>,
    /// The last group that changed a stream which is remembered no more.
    forgotten: u64,
}

/// Where a stream is.
struct Version {
    version: u64,
    /// The group that changed it last; 0 where none of those that are remembered did.
    changed: u64,
}

impl Default for Versions {
    fn default() -> Versions {
        Versions { of: LruCache::new(REMEMBERED), forgotten: 0 }
    }
}

impl Versions {
    /// Where a stream is, if it is remembered.
    pub(crate) fn get(&mut self, stream: &[u8]) -> Option<u64> {
        self.of.get(stream).map(|of| of.version)
    }

    /// Whether a stream that is not remembered is as it was found once so many groups were durable.
    pub(crate) fn unchanged_since(&self, groups: u64) -> bool {
        self.forgotten <= groups
    }

    /// A stream that was looked up is there.
    pub(crate) fn found(&mut self, stream: Vec<u8>, version: u64) {
        self.remember(stream, Version { version, changed: 0 });
    }

    /// A stream goes there with this group.
    pub(crate) fn changed(&mut self, stream: Vec<u8>, version: u64, group: u64) {
        self.remember(stream, Version { version, changed: group });
    }

    fn remember(&mut self, stream: Vec<u8>, of: Version) {
        // What comes back under the same name was not forgotten, but replaced.
        let is_new = !self.of.contains(&stream);
        if let Some((_, gone)) = self.of.push(stream, of).filter(|_| is_new) {
            self.forgotten = self.forgotten.max(gone.changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut versions = Versions::default();
        versions.changed(name(0), 7, 1);
        for number in 1..=2 * REMEMBERED.get() {
            versions.found(name(number), 1);
            if number % (REMEMBERED.get() / 2) == 0 {
                assert_eq!(versions.get(&name(0)), Some(7));
            }
        }
        assert_eq!(versions.get(&name(1)), None);
        versions.changed(name(0), 8, 2);
        assert_eq!(versions.get(&name(0)), Some(8));
        assert!(versions.unchanged_since(0), "the only one that was changed is remembered");
    }

    #[test]
    fn what_was_read_before_a_change_that_is_forgotten_is_not_relied_on() {
        let mut versions = Versions::default();
        for group in 1..=3 {
            versions.changed(name(0), group, group);
        }
        assert!(versions.unchanged_since(0), "it was replaced, and is still remembered");
        for number in 1..=REMEMBERED.get() {
            versions.found(name(number), 1);
        }
        assert_eq!(versions.get(&name(0)), None);
        assert!(!versions.unchanged_since(2));
        assert!(versions.unchanged_since(3));
    }
}
