//! Where the queues begin: timers and activities are worked through in the order of their moments, from the front.
//!
//! A log-structured engine keeps what was deleted as keys until it merges them, so a search for the first key that is
//! left would walk over everything that was consumed before it, again and again. What a search has found is therefore
//! kept: nothing lies before it, until a commit puts something there.

use std::sync::Mutex;

use super::lock;
use crate::keys;
use crate::store::Batch;

/// The fronts of the parts of the keyspace that begin with a moment.
pub(crate) struct Fronts {
    pub(crate) timers: Front,
    pub(crate) activities: Front,
}

/// The front of one part.
pub(crate) struct Front {
    part: u8,
    known: Mutex<Known>,
}

struct Known {
    /// Nothing that readers can see lies before this key.
    begins: Vec<u8>,
    /// The first of the keys that are being written: from some moment on readers see them.
    writing: Option<Vec<u8>>,
    /// Searches under way.
    searches: usize,
    /// The first of the keys that were written since the oldest of them began, or some time before.
    written: Option<Vec<u8>>,
}

/// A search from the front, for as long as this lives.
pub(crate) struct Search<'a>(&'a Front);

impl Fronts {
    pub(crate) fn new() -> Self {
        Self { timers: Front::new(keys::TIMERS), activities: Front::new(keys::ACTIVITIES) }
    }

    /// A batch is about to be handed to the store. Its changes are in the order of their keys.
    pub(super) fn begin_write(&self, batch: &Batch) {
        let changes = &batch.changes;
        for front in [&self.timers, &self.activities] {
            let from =
                changes.partition_point(|(key, _)| key.first().is_none_or(|first| *first < front.part));
            let of_part = changes[from..].iter().take_while(|(key, _)| key.first() == Some(&front.part));
            front.begin_write(of_part.filter(|(_, value)| value.is_some()).map(|(key, _)| key).next());
        }
    }

    /// Readers see the batch, all of it.
    pub(super) fn end_write(&self) {
        [&self.timers, &self.activities].into_iter().for_each(Front::end_write);
    }
}

impl Front {
    fn new(part: u8) -> Self {
        let known = Known { begins: vec![part], writing: None, searches: 0, written: None };
        Self { part, known: Mutex::new(known) }
    }

    /// The first byte of the part's keys.
    pub(crate) fn part(&self) -> u8 {
        self.part
    }

    /// Begins a search, and says from which key, itself included.
    pub(crate) fn search(&self) -> (Search<'_>, Vec<u8>) {
        let mut known = lock(&self.known);
        if known.searches == 0 {
            known.written = None;
        }
        known.searches += 1;
        (Search(self), known.begins.clone())
    }

    fn begin_write(&self, first: Option<&Vec<u8>>) {
        let mut known = lock(&self.known);
        if let Some(first) = first.filter(|first| **first < known.begins) {
            known.begins.clone_from(first);
        }
        known.writing = first.cloned();
    }

    fn end_write(&self) {
        let mut known = lock(&self.known);
        let Some(key) = known.writing.take() else { return };
        if known.searches > 0 && known.written.as_ref().is_none_or(|written| key < *written) {
            known.written = Some(key);
        }
    }
}

impl Search<'_> {
    /// Nothing lay before `first` when it looked, which was after it began.
    pub(crate) fn found(&self, first: &[u8]) {
        let mut known = lock(&self.0.known);
        // What came meanwhile it may have seen or not.
        let since = known.written.iter().chain(&known.writing).map(Vec::as_slice);
        let begins = since.fold(first, Ord::min).to_vec();
        if begins > known.begins {
            known.begins = begins;
        }
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        lock(&self.0.known).searches -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn timer(moment: u8) -> Vec<u8> {
        vec![keys::TIMERS, moment]
    }

    fn batch(changes: &[(Vec<u8>, bool)]) -> Batch {
        let value = |written: bool| written.then(Vec::new);
        Batch { changes: changes.iter().map(|(key, written)| (key.clone(), value(*written))).collect() }
    }

    fn write(fronts: &Fronts, changes: &[(Vec<u8>, bool)]) {
        fronts.begin_write(&batch(changes));
        fronts.end_write();
    }

    fn begins(fronts: &Fronts) -> Vec<u8> {
        fronts.timers.search().1
    }

    #[test]
    fn the_first_search_begins_with_the_part_and_the_next_where_that_one_found_something() {
        let fronts = Fronts::new();
        let (search, from) = fronts.timers.search();
        assert_eq!(from, [keys::TIMERS]);
        search.found(&timer(7));
        drop(search);
        assert_eq!(begins(&fronts), timer(7));
        assert_eq!(fronts.activities.search().1, [keys::ACTIVITIES]);
    }

    #[test]
    fn what_is_written_before_the_front_moves_it_back_and_what_is_deleted_does_not() {
        let fronts = Fronts::new();
        fronts.timers.search().0.found(&timer(7));
        let activity = vec![keys::ACTIVITIES, 1];
        let changes = [(activity, true), (timer(2), false), (timer(3), true), (timer(4), true)];
        write(&fronts, &changes);
        assert_eq!(begins(&fronts), timer(3));
    }

    #[test]
    fn a_search_that_another_key_overtook_finds_that_one() {
        let fronts = Fronts::new();
        let (search, _) = fronts.timers.search();
        write(&fronts, &[(timer(3), true)]);
        search.found(&timer(7));
        drop(search);
        assert_eq!(begins(&fronts), timer(3));
    }

    #[test]
    fn a_search_during_a_write_does_not_go_beyond_what_is_being_written() {
        let fronts = Fronts::new();
        fronts.begin_write(&batch(&[(timer(3), true)]));
        let (search, _) = fronts.timers.search();
        search.found(&timer(7));
        assert_eq!(begins(&fronts), timer(3));
        fronts.end_write();
        search.found(&timer(7));
        drop(search);
        assert_eq!(begins(&fronts), timer(3), "it may have looked before there was anything to see");
    }

    /// What happens to the keys of one part and to searches for them.
    #[derive(Clone, Debug)]
    enum Step {
        /// A write begins; readers do not see it yet.
        Begin(u8),
        /// Readers see it.
        Show,
        /// The write ends.
        Told,
        Delete(u8),
        Search,
        /// The search looks at what there is.
        Look(prop::sample::Index),
        End(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..20_u8).prop_map(Step::Begin),
            3 => Just(Step::Show),
            3 => Just(Step::Told),
            3 => (1..20_u8).prop_map(Step::Delete),
            2 => Just(Step::Search),
            2 => any::<prop::sample::Index>().prop_map(Step::Look),
            2 => any::<prop::sample::Index>().prop_map(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn nothing_that_readers_can_see_lies_before_the_front(steps in prop::collection::vec(step(), 1..80)) {
            let fronts = Fronts::new();
            let mut there = BTreeSet::new();
            // The key that is being written, and whether readers see it.
            let mut writing: Option<(Vec<u8>, bool)> = None;
            let mut searches = Vec::new();
            for step in steps {
                match (step, &mut writing) {
                    (Step::Begin(moment), None) => {
                        fronts.begin_write(&batch(&[(timer(moment), true)]));
                        writing = Some((timer(moment), false));
                    }
                    (Step::Show, Some((key, seen @ false))) => {
                        there.insert(key.clone());
                        *seen = true;
                    }
                    (Step::Told, Some((_, true))) => {
                        fronts.end_write();
                        writing = None;
                    }
                    (Step::Delete(moment), None) => {
                        write(&fronts, &[(timer(moment), false)]);
                        there.remove(&timer(moment));
                    }
                    (Step::Search, _) => {
                        let (search, from) = fronts.timers.search();
                        searches.push((search, from, None));
                    }
                    (Step::Look(index), _) if !searches.is_empty() => {
                        let at = index.index(searches.len());
                        let (_, from, seen) = &mut searches[at];
                        let first = there.range(from.clone()..).next().cloned();
                        *seen = Some(first.unwrap_or_else(|| vec![keys::TIMERS + 1]));
                    }
                    (Step::End(index), _) if !searches.is_empty() => {
                        let at = index.index(searches.len());
                        let (search, _, seen) = searches.swap_remove(at);
                        if let Some(first) = seen {
                            search.found(&first);
                        }
                    }
                    _ => {}
                }
                let from = begins(&fronts);
                let first = there.first();
                prop_assert!(first.is_none_or(|first| *first >= from), "{first:?} lies before {from:?}");
            }
        }
    }
}
