//! One suite that every engine must pass (feature `testing`).
//!
//! It holds an engine to the words of [`Store`]: whole batches, key order from both ends, and everything back after
//! reopening. What a power cut does to an engine's files cannot be seen from in here; the crash tests show that.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::store::{Batch, KEY_BYTES_MAX, Pair, Store, StoreError, VALUE_BYTES_MAX};

/// Where a store keeps its content: a folder, or what stands for one.
pub trait Place {
    /// Opens the store with all that was committed there. The suite has closed and dropped the one before.
    fn open(&self) -> Arc<dyn Store>;

    /// Makes the sync of the next commit fail, and says whether it can do so.
    fn fail_next_sync(&self) -> bool {
        false
    }
}

/// Holds an engine to every check. `place` gives a new and empty place.
///
/// # Panics
/// If the engine breaks its promise; where the panic stands says which.
pub fn run(place: impl Fn() -> Box<dyn Place>) {
    let checks: [fn(&dyn Place); 13] = [
        new_is_empty,
        put_get_replace_remove,
        whole_batches,
        later_changes_win,
        empty_batch,
        byte_order,
        bounds,
        both_ends,
        largest_value,
        unsuitable_keys,
        big_batch,
        concurrent_readers,
        failed_sync,
    ];
    for check in checks {
        check(&*place());
    }
}

/// Compares an engine with a map in memory, over `cases` random lives of batches, reopenings and ranges.
///
/// # Panics
/// If they differ, with the smallest life found that shows it.
pub fn run_model(cases: u32, place: impl Fn() -> Box<dyn Place>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..40), |steps| live(&*place(), steps));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn new_is_empty(place: &dyn Place) {
    let store = place.open();
    assert_eq!(store.get(b"a").expect("a read"), None);
    assert_eq!(all(&*store), []);
    store.size_on_disk().expect("a size");
    assert_eq!(all(&*reopen(store, place)), []);
}

fn put_get_replace_remove(place: &dyn Place) {
    let store = place.open();
    commit(&*store, &[(b"a", Some(b"1")), (b"b", Some(b"")), (b"c", Some(b"3"))]);
    assert_eq!(store.get(b"a").expect("a read").as_deref(), Some(&b"1"[..]));
    assert_eq!(store.get(b"b").expect("a read").as_deref(), Some(&b""[..]));
    commit(&*store, &[(b"a", Some(b"2")), (b"c", None), (b"never there", None)]);
    let expected = [pair(b"a", b"2"), pair(b"b", b"")];
    assert_eq!(all(&*store), expected);
    let store = reopen(store, place);
    assert_eq!(all(&*store), expected);
    assert_eq!(store.get(b"c").expect("a read"), None);
}

fn whole_batches(place: &dyn Place) {
    let mut store = place.open();
    for round in 0..20_u32 {
        let mut batch = Batch::default();
        (0..50_u32).for_each(|key| batch.put(key.to_be_bytes(), round.to_be_bytes()));
        store.commit(batch).expect("a commit");
        if round % 7 == 0 {
            store = reopen(store, place);
        }
        let pairs = all(&*store);
        assert_eq!(pairs.len(), 50);
        assert!(pairs.iter().all(|(_, value)| *value == round.to_be_bytes()));
    }
}

fn later_changes_win(place: &dyn Place) {
    let store = place.open();
    commit(
        &*store,
        &[(b"a", Some(b"1")), (b"a", None), (b"b", None), (b"b", Some(b"2")), (b"b", Some(b"3"))],
    );
    assert_eq!(all(&*store), [pair(b"b", b"3")]);
    assert_eq!(all(&*reopen(store, place)), [pair(b"b", b"3")]);
}

fn empty_batch(place: &dyn Place) {
    let store = place.open();
    commit(&*store, &[]);
    commit(&*store, &[(b"a", Some(b"1"))]);
    commit(&*store, &[]);
    assert_eq!(all(&*reopen(store, place)), [pair(b"a", b"1")]);
}

fn byte_order(place: &dyn Place) {
    let store = place.open();
    let keys: [&[u8]; 8] = [b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"aa", b"b", b"\xff\xff"];
    let mut batch = Batch::default();
    keys.iter().rev().for_each(|key| batch.put(*key, *key));
    store.commit(batch).expect("a commit");
    let store = reopen(store, place);
    assert_eq!(all(&*store), keys.map(|key| pair(key, key)));
    let backwards = store.range(Bound::Unbounded, Bound::Unbounded).rev();
    let mut backwards: Vec<_> = backwards.map(|pair| pair.expect("a read")).collect();
    backwards.reverse();
    assert_eq!(backwards, keys.map(|key| pair(key, key)));
}

fn bounds(place: &dyn Place) {
    use Bound::{Excluded, Included, Unbounded};

    let store = place.open();
    commit(&*store, &[(b"b", Some(b"")), (b"d", Some(b"")), (b"f", Some(b""))]);
    type Case<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>, &'a str);
    let cases: [Case<'_>; 14] = [
        (Unbounded, Unbounded, "bdf"),
        (Included(b"b"), Included(b"f"), "bdf"),
        (Excluded(b"b"), Excluded(b"f"), "d"),
        (Included(b"c"), Included(b"e"), "d"),
        (Excluded(b"c"), Unbounded, "df"),
        (Unbounded, Excluded(b"d"), "b"),
        (Included(b"d"), Included(b"d"), "d"),
        // Nothing lies in these; an engine that panics on them would be a trap.
        (Included(b"d"), Excluded(b"d"), ""),
        (Excluded(b"d"), Excluded(b"d"), ""),
        (Excluded(b"d"), Included(b"d"), ""),
        (Included(b"f"), Included(b"b"), ""),
        (Excluded(b"f"), Unbounded, ""),
        (Unbounded, Excluded(b""), ""),
        (Included(b"g"), Unbounded, ""),
    ];
    for (from, to, expected) in cases {
        let forwards: Vec<_> = store.range(from, to).map(|pair| pair.expect("a read").0).collect();
        let mut backwards: Vec<_> = store.range(from, to).rev().map(|pair| pair.expect("a read").0).collect();
        backwards.reverse();
        assert_eq!(forwards.concat(), expected.as_bytes(), "{from:?} {to:?}");
        assert_eq!(backwards, forwards, "{from:?} {to:?}");
    }
}

fn both_ends(place: &dyn Place) {
    let store = place.open();
    let mut batch = Batch::default();
    (0..1500_u32).for_each(|key| batch.put(key.to_be_bytes(), key.to_be_bytes()));
    store.commit(batch).expect("a commit");
    let mut pairs = store.range(Bound::Unbounded, Bound::Unbounded);
    let mut seen = Vec::new();
    // Two from the front, one from the back, until they meet.
    for turn in 0.. {
        let next = if turn % 3 == 2 { pairs.next_back() } else { pairs.next() };
        let Some(next) = next else { break };
        seen.push(next.expect("a read").0);
    }
    assert!(pairs.next().is_none() && pairs.next_back().is_none(), "a range that has ended stays so");
    seen.sort();
    assert_eq!(seen, (0..1500_u32).map(|key| key.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

fn largest_value(place: &dyn Place) {
    let store = place.open();
    let largest = vec![7; VALUE_BYTES_MAX];
    // Neighbours, since an engine may write them as one.
    let mut batch = Batch::default();
    (0..40_u8).for_each(|key| batch.put([key], largest.clone()));
    store.commit(batch).expect("a commit");
    let mut batch = Batch::default();
    batch.put("too large", vec![7; VALUE_BYTES_MAX + 1]);
    batch.put("small", "1");
    assert!(matches!(store.commit(batch), Err(StoreError::Unsuitable(_))));
    commit(&*store, &[(b"after", Some(b"fine"))]);
    let store = reopen(store, place);
    assert_eq!(all(&*store).len(), 41);
    assert!((0..40_u8).all(|key| store.get(&[key]).expect("a read").as_ref() == Some(&largest)));
    assert_eq!(store.get(b"small").expect("a read"), None);
}

fn unsuitable_keys(place: &dyn Place) {
    let store = place.open();
    let longest = vec![7; KEY_BYTES_MAX];
    commit(&*store, &[(&longest, Some(b"1"))]);
    let too_long = vec![7; KEY_BYTES_MAX + 1];
    for key in [&b""[..], &too_long] {
        for value in [Some(&b"1"[..]), None] {
            let changes = vec![(b"small".to_vec(), Some(vec![1])), (key.to_vec(), value.map(<[u8]>::to_vec))];
            assert!(matches!(store.commit(Batch { changes }), Err(StoreError::Unsuitable(_))));
        }
        assert_eq!(store.get(key).expect("a read"), None);
    }
    // Yet both are bounds: one before, one right behind the longest key.
    for (from, to, expected) in [
        (Bound::Included(&b""[..]), Bound::Included(&too_long[..]), 1),
        (Bound::Unbounded, Bound::Excluded(&too_long[..]), 1),
        (Bound::Unbounded, Bound::Included(&b""[..]), 0),
        (Bound::Included(&too_long[..]), Bound::Unbounded, 0),
        (Bound::Excluded(&too_long[..]), Bound::Unbounded, 0),
    ] {
        assert_eq!(store.range(from, to).count(), expected);
    }
    assert_eq!(all(&*reopen(store, place)), [(longest, b"1".to_vec())]);
}

fn big_batch(place: &dyn Place) {
    let store = place.open();
    let value = |key: u32| key.to_be_bytes().repeat(250);
    let mut batch = Batch::default();
    (0..20_000_u32).for_each(|key| batch.put(key.to_be_bytes(), value(key)));
    store.commit(batch).expect("a commit");
    let store = reopen(store, place);
    assert_eq!(all(&*store).len(), 20_000);
    let mut batch = Batch::default();
    (0..20_000_u32).filter(|key| key % 2 == 0).for_each(|key| batch.remove(key.to_be_bytes()));
    store.commit(batch).expect("a commit");
    let pairs = all(&*reopen(store, place));
    assert_eq!(pairs.len(), 10_000);
    assert!(pairs.iter().zip((1..).step_by(2)).all(|((_, found), key)| *found == value(key)));
}

/// A batch shows all at once: whoever has read its last key finds its first key at least as new.
fn concurrent_readers(place: &dyn Place) {
    let store = place.open();
    let done = AtomicBool::new(false);
    let put = |round: u32| {
        let mut batch = Batch::default();
        (0..64_u32).for_each(|key| batch.put(key.to_be_bytes(), round.to_be_bytes()));
        store.commit(batch).expect("a commit");
    };
    let get = |key: u32| store.get(&key.to_be_bytes()).expect("a read").expect("a value");
    put(0);
    std::thread::scope(|scope| {
        for reader in 0..3_u32 {
            let (get, store, done) = (&get, &store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    for key in 0..63 {
                        let (one, other) = if reader == 0 { (key, 63) } else { (63, key) };
                        let earlier = get(one);
                        assert!(get(other) >= earlier, "a batch was seen in part");
                    }
                    let keys =
                        store.range(Bound::Unbounded, Bound::Unbounded).map(|pair| pair.expect("a read").0);
                    assert!(keys.eq((0..64_u32).map(|key| key.to_be_bytes().to_vec())));
                }
            });
        }
        (1..100).for_each(put);
        done.store(true, Ordering::Relaxed);
    });
    assert!(all(&*store).iter().all(|(_, value)| *value == 99_u32.to_be_bytes()));
}

fn failed_sync(place: &dyn Place) {
    let store = place.open();
    commit(&*store, &[(b"a", Some(b"1")), (b"b", Some(b"1"))]);
    if !place.fail_next_sync() {
        return;
    }
    let batch = || {
        let mut batch = Batch::default();
        batch.put("a", "2");
        batch.put("b", "2");
        batch
    };
    store.commit(batch()).expect_err("the sync was told to fail");
    for _ in 0..2 {
        assert!(matches!(store.commit(batch()), Err(StoreError::Poisoned(_))), "a sync is never tried again");
    }
    store.get(b"a").expect("reads go on");
    assert!(matches!(store.close(), Err(StoreError::Poisoned(_))), "closing does not pretend");
    drop(store);
    let store = place.open();
    assert_eq!(
        store.get(b"a").expect("a read"),
        store.get(b"b").expect("a read"),
        "the outcome is open, not halved"
    );
    store.commit(batch()).expect("a new life");
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Reopen,
    /// A range, and from which end each pair is taken.
    Read(Bound<Vec<u8>>, Bound<Vec<u8>>, Vec<bool>),
}

fn step() -> impl Strategy<Value = Step> {
    let change = || (key(1), proptest::option::weighted(0.7, vec(any::<u8>(), 0..300)));
    prop_oneof![
        6 => vec(change(), 0..60).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        6 => (bound(), bound(), vec(any::<bool>(), 1..8)).prop_map(|(from, to, ends)| Step::Read(from, to, ends)),
    ]
}

/// Few letters and short keys, so that lives touch the same keys again and one key is often another's beginning.
fn key(shortest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(255)], shortest..5)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![key(0).prop_map(Bound::Included), key(0).prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn live(place: &dyn Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut store = place.open();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Commit(changes) => {
                for (key, value) in &changes {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
                store.commit(Batch { changes }).map_err(|error| TestCaseError::fail(error.to_string()))?;
            }
            Step::Reopen => store = reopen(store, place),
            Step::Read(from, to, ends) => {
                let within = |key: &Vec<u8>| {
                    let above = match &from {
                        Bound::Included(from) => key >= from,
                        Bound::Excluded(from) => key > from,
                        Bound::Unbounded => true,
                    };
                    above
                        && match &to {
                            Bound::Included(to) => key <= to,
                            Bound::Excluded(to) => key < to,
                            Bound::Unbounded => true,
                        }
                };
                let mut expected =
                    model.iter().filter(|(key, _)| within(key)).map(|(key, value)| pair(key, value));
                let mut found = store.range(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                for from_back in ends.iter().cycle() {
                    let (found, expected) = if *from_back {
                        (found.next_back(), expected.next_back())
                    } else {
                        (found.next(), expected.next())
                    };
                    let found = found.transpose().map_err(|error| TestCaseError::fail(error.to_string()))?;
                    proptest::prop_assert_eq!(&found, &expected);
                    if found.is_none() {
                        break;
                    }
                }
            }
        }
    }
    let content: Vec<Pair> = model.into_iter().collect();
    proptest::prop_assert_eq!(&all(&*store), &content);
    proptest::prop_assert_eq!(&all(&*reopen(store, place)), &content);
    Ok(())
}

fn reopen(store: Arc<dyn Store>, place: &dyn Place) -> Arc<dyn Store> {
    store.close().expect("a clean close");
    drop(store);
    place.open()
}

fn commit(store: &dyn Store, changes: &[(&[u8], Option<&[u8]>)]) {
    let changes = changes.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
    store.commit(Batch { changes }).expect("a commit");
}

fn all(store: &dyn Store) -> Vec<Pair> {
    store.range(Bound::Unbounded, Bound::Unbounded).map(|pair| pair.expect("a read")).collect()
}

fn pair(key: &[u8], value: &[u8]) -> Pair {
    (key.to_vec(), value.to_vec())
}
