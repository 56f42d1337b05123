//! The faults that a store in memory can be given are the ones that a disk has.

use std::thread;
use std::time::Duration;

use throughline_storage::store::memory::{Failure, MemoryStore};
use throughline_storage::store::{Batch, Store, StoreError};

const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_held_commit_is_visible_and_not_yet_durable() {
    let store = MemoryStore::new();
    store.commit(put("old")).unwrap();
    let gate = store.faults().hold();
    thread::scope(|scope| {
        let commit = scope.spawn(|| store.commit(put("new")));
        assert!(gate.wait_for_commit(LONG));
        assert_eq!(value(&store), "new");
        assert!(!commit.is_finished());
        gate.release();
        commit.join().unwrap().unwrap();
    });
    assert_eq!(value(&store.reopen()), "new");
}

#[test]
fn a_power_cut_undoes_a_held_commit() {
    let store = MemoryStore::new();
    store.commit(put("old")).unwrap();
    let gate = store.faults().hold();
    let after = thread::scope(|scope| {
        let mut batch = put("new");
        batch.remove("key");
        batch.put("another", "1");
        let commit = scope.spawn(|| store.commit(batch));
        assert!(gate.wait_for_commit(LONG));
        let after = store.reopen();
        assert!(matches!(commit.join().unwrap(), Err(StoreError::Poisoned(_))));
        after
    });
    assert_eq!(value(&after), "old");
    assert_eq!(after.get(b"another").unwrap(), None);
    after.commit(put("newer")).unwrap();
}

#[test]
fn each_failure_leaves_behind_what_it_says() {
    for (failure, seen, durable) in [
        (Failure::BeforeWriting, "old", "old"),
        (Failure::AfterWriting, "new", "old"),
        (Failure::AfterSync, "new", "new"),
    ] {
        let store = MemoryStore::new();
        store.faults().fail_nth(2, failure);
        store.commit(put("old")).unwrap();
        assert!(matches!(store.commit(put("new")), Err(StoreError::Io(_))));
        assert!(matches!(store.commit(put("never")), Err(StoreError::Poisoned(_))));
        assert_eq!(value(&store), seen, "{failure:?}");
        assert_eq!(value(&store.reopen()), durable, "{failure:?}");
    }
}

#[test]
fn reads_fail_while_they_are_told_to() {
    let store = MemoryStore::new();
    store.commit(put("old")).unwrap();
    store.faults().fail_reads(true);
    assert!(store.get(b"key").is_err());
    let mut pairs = store.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    assert!(pairs.next().is_some_and(|pair| pair.is_err()));
    assert!(pairs.next().is_none());
    store.faults().fail_reads(false);
    assert_eq!(value(&store), "old");
    assert_eq!((store.faults().commits(), store.faults().changes()), (1, 1));
}

#[test]
fn what_is_not_synced_by_hand_does_not_outlive_a_power_cut() {
    let store = MemoryStore::new();
    store.faults().sync_by_hand();
    store.commit(put("old")).unwrap();
    store.faults().sync();
    store.commit(put("new")).unwrap();
    assert_eq!(value(&store), "new");
    assert_eq!(value(&store.reopen()), "old");
}

#[test]
fn a_disk_that_lies_forgets_the_last_batch_and_no_other() {
    let store = MemoryStore::new();
    store.faults().forget_last();
    for kept in ["first", "second", "third"] {
        store.commit(put(kept)).unwrap();
    }
    assert_eq!(value(&store.reopen()), "second");
}

fn put(value: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put("key", value);
    batch
}

fn value(store: &MemoryStore) -> String {
    String::from_utf8(store.get(b"key").unwrap().unwrap()).unwrap()
}
