//! Where streams are, remembered: most appends continue a stream that was continued a moment ago.

use std::collections::HashMap;

/// Streams remembered in each of the two generations.
const GENERATION: usize = 32 * 1024;

/// Versions of the streams used last, by what the keys of their records begin with.
///
/// Two generations instead of a list in order of use: when the younger is full the older is forgotten, and what
/// is used moves to the younger. Only the committer changes versions, so what is remembered is right.
#[derive(Default)]
pub(crate) struct Versions {
    younger: HashMap<Vec<u8>, u64>,
    older: HashMap<Vec<u8>, u64>,
}

impl Versions {
    pub(crate) fn get(&mut self, stream: &[u8]) -> Option<u64> {
        if let Some(version) = self.younger.get(stream) {
            return Some(*version);
        }
        let (stream, version) = self.older.remove_entry(stream)?;
        self.set(stream, version);
        Some(version)
    }

    pub(crate) fn set(&mut self, stream: Vec<u8>, version: u64) {
        if self.younger.len() >= GENERATION && !self.younger.contains_key(&stream) {
            self.older = std::mem::take(&mut self.younger);
        }
        self.older.remove(&stream);
        self.younger.insert(stream, version);
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
        for number in 1..=3 * GENERATION {
            versions.set(name(number), 1);
            if number % (GENERATION / 2) == 0 {
                assert_eq!(versions.get(&name(0)), Some(7));
            }
        }
        assert_eq!(versions.get(&name(1)), None);
        assert!(versions.younger.len() + versions.older.len() <= 2 * GENERATION);
        versions.set(name(0), 8);
        assert_eq!(versions.get(&name(0)), Some(8));
    }
}
