//! How commits end that do not: by a failing store, an engine that panics, or a journal that is closed.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use throughline_storage::append::*;
use throughline_storage::journal::{Journal, JournalOptions};
use throughline_storage::store::memory::{Failure, MemoryStore};
use throughline_storage::store::{Batch, Pairs, Store, StoreError};

use crate::everything::*;
use crate::world::*;

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_half_done_and_is_the_last() {
    for failure in [Failure::BeforeWriting, Failure::AfterWriting, Failure::AfterSync] {
        for nth in 1..=4 {
            let store = MemoryStore::new();
            let journal = open(&store);
            store.faults().fail_nth(nth, failure);
            for number in 1..=5 {
                let answer = journal.commit(everything(number)).await;
                assert_eq!(answer.is_ok(), number < nth, "{answer:?}");
                assert!(matches!(answer, Ok(_) | Err(CommitError::Failed(_))));
            }
            assert!(journal.progress().borrow().failed.is_some());
            assert!(journal.stats().failed.is_some());
            assert!(matches!(journal.barrier().await, Err(CommitError::Failed(_))));
            assert_eq!(store.faults().commits(), nth, "nothing is tried after a failure");

            let journal = open(&store.reopen());
            for number in 1..nth {
                assert_eq!(parts(&journal, number), ALL_PARTS);
            }
            let last = if failure == Failure::AfterSync { ALL_PARTS } else { 0 };
            assert_eq!(parts(&journal, nth), last, "{failure:?}");
            assert_eq!(parts(&journal, nth + 1), 0);
            journal.verify_feed().unwrap();
            journal.commit(turn(&stream(99), 0, 1)).await.unwrap();
            journal.verify_feed().unwrap();
        }
    }
}

#[tokio::test]
async fn nobody_hears_of_an_owner_whose_claim_may_be_lost() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let mut appends: Vec<_> =
        (0..16).map(|number| take(permanent("key"), &format!("owner {number}"))).collect();
    // Nor of the version or the deletion that the same group brought.
    appends.extend([turn(&stream(1), 0, 1), turn(&stream(1), 0, 1)]);
    let faults = store.faults();
    let answers = as_one_group(&store, &journal, appends, || faults.fail_next(Failure::AfterWriting)).await;
    for answer in answers {
        assert!(matches!(answer, Err(CommitError::Failed(_))), "{answer:?}");
    }
    assert_eq!(open(&store.reopen()).claim(&permanent("key")).unwrap(), None);
}

#[tokio::test]
async fn a_barrier_over_a_commit_that_fails_fails_with_it() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let gate = store.faults().hold();
    store.faults().fail_next(Failure::AfterWriting);
    let answers = submit(&journal, vec![turn(&stream(1), 0, 1)]).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    let barrier = journal.barrier();
    gate.release();
    assert!(matches!(barrier.await, Err(CommitError::Failed(_))));
    futures::future::join_all(answers).await;
}

#[tokio::test]
async fn closing_writes_what_waits_and_takes_nothing_more() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let gate = store.faults().hold();
    let answers = submit(&journal, (0..5).map(|number| turn(&stream(number), 0, 1)).collect()).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    let mut closing = Box::pin(journal.close());
    assert!((&mut closing).now_or_never().is_none());
    assert!(matches!(journal.commit(turn(&stream(9), 0, 1)).await, Err(CommitError::Failed(_))));
    gate.release();
    assert!(futures::future::join_all(answers).await.iter().all(Result::is_ok));
    closing.await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(open(&store.reopen()).head().seq, 5);
}

#[tokio::test]
async fn the_last_handle_lets_go_of_the_store() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let journal = Journal::open(Arc::clone(&store), JournalOptions::default()).unwrap();
    journal.clone().commit(turn(&stream(1), 0, 1)).await.unwrap();
    drop(journal);
    for _ in 0..10_000 {
        if Arc::strong_count(&store) == 1 {
            return;
        }
        std::thread::yield_now();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the committer still has the store");
}

/// An engine that panics instead of failing.
struct Panics(MemoryStore);

impl Store for Panics {
    fn engine(&self) -> &'static str {
        "panics"
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }
    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Pairs<'_> {
        self.0.range(from, to)
    }
    fn commit(&self, _: Batch) -> Result<(), StoreError> {
        panic!("tried to do the impossible")
    }
    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_engine_that_panics_has_failed_and_leaves_nobody_waiting() {
    let journal = Journal::open(Arc::new(Panics(MemoryStore::new())), JournalOptions::default()).unwrap();
    for _ in 0..2 {
        let Err(CommitError::Failed(reason)) = journal.commit(turn(&stream(1), 0, 1)).await else {
            panic!("it must fail")
        };
        assert!(reason.contains("tried to do the impossible"), "{reason}");
    }
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_read_fails_the_commit() {
    let store = MemoryStore::new();
    let journal = open(&store);
    store.faults().fail_reads(true);
    assert!(matches!(journal.commit(turn(&stream(1), 0, 1)).await, Err(CommitError::Failed(_))));
    store.faults().fail_reads(false);
    assert!(matches!(journal.commit(turn(&stream(1), 0, 1)).await, Err(CommitError::Failed(_))));
    assert_eq!(store.faults().commits(), 0);
}
