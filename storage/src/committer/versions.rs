//! Where streams are, remembered: most appends continue a stream that was continued a moment ago.

use std::num::NonZeroUsize;

use lru::LruCache;

/// Streams remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(64 * 1024).expect("more than none");

/// Versions of the streams used last, by what the keys of their records begin with.
///
/// Only the committer changes versions, so what is remembered is right.
pub(crate) struct Versions(LruCache<Vec<u8>, u64>);

impl Default for Versions {
    fn default() -> Versions {
        Versions(LruCache::new(REMEMBERED))
    }
}

impl Versions {
    pub(crate) fn get(&mut self, stream: &[u8]) -> Option<u64> {
        self.0.get(stream).copied()
    }

    pub(crate) fn set(&mut self, stream: Vec<u8>, version: u64) {
        self.0.put(stream, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut versions = Versions::default();
        let name = |number: usize| number.to_be_bytes().to_vec();
        versions.set(name(0), 7);
        for number in 1..=2 * REMEMBERED.get() {
            versions.set(name(number), 1);
            if number % (REMEMBERED.get() / 2) == 0 {
                assert_eq!(versions.get(&name(0)), Some(7));
            }
        }
        assert_eq!(versions.get(&name(1)), None);
        versions.set(name(0), 8);
        assert_eq!(versions.get(&name(0)), Some(8));
    }
}
