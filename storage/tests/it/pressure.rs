//! What is refused when too much waits, and what never is.

use std::time::Duration;

use throughline_storage::append::*;
use throughline_storage::journal::JournalOptions;
use throughline_storage::store::memory::MemoryStore;

use crate::world::*;

#[tokio::test]
async fn a_full_queue_refuses_inbound_and_lets_the_rest_wait() {
    for options in [
        JournalOptions { queue_entries: 2, ..JournalOptions::default() },
        JournalOptions { queue_bytes: 2048, ..JournalOptions::default() },
    ] {
        let store = MemoryStore::new();
        let journal = open_with(&store, options);
        let gate = store.faults().hold();
        let mut answers = submit(&journal, vec![turn(&stream(0), 0, 1)]).await;
        assert!(gate.wait_for_commit(Duration::from_secs(10)));
        answers.extend(submit(&journal, vec![inbound("one"), inbound("two")]).await);
        assert_eq!(journal.commit(inbound("three")).await, Err(CommitError::Busy));
        let turns = (1..=4).map(|number| turn(&stream(number), 0, 1)).collect();
        answers.extend(submit(&journal, turns).await);
        assert_eq!(journal.stats().queue_entries, 2);
        assert!(journal.stats().queue_bytes > 0);
        gate.release();
        assert!(futures::future::join_all(answers).await.iter().all(Result::is_ok));
        journal.commit(inbound("three")).await.unwrap();
        let stats = journal.stats();
        assert_eq!((stats.queue_entries, stats.queue_bytes, stats.appends), (0, 0, 8));
        assert_eq!(stats.inbox_pending, 3);
        assert!(stats.max_micros >= stats.p99_micros && stats.p99_micros >= stats.p50_micros);
    }
}

#[tokio::test]
async fn an_append_larger_than_the_queue_still_gets_through() {
    let journal = open_with(&MemoryStore::new(), JournalOptions { queue_bytes: 1024, ..Default::default() });
    let large = "x".repeat(20_000);
    journal.commit(inbound(&large)).await.unwrap();
    journal.commit(Append { class: AppendClass::Essential, ..inbound(&large) }).await.unwrap();
}

#[tokio::test]
async fn inbound_is_refused_while_commits_are_late() {
    let store = MemoryStore::new();
    let journal = open_with(&store, JournalOptions { late_after: Duration::ZERO, ..Default::default() });
    let gate = store.faults().hold();
    let answers = submit(&journal, vec![turn(&stream(1), 0, 1)]).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    while journal.stats().oldest_waiting_ms == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(journal.commit(inbound("late")).await, Err(CommitError::Busy));
    gate.release();
    futures::future::join_all(answers).await;
    journal.commit(turn(&stream(2), 0, 1)).await.unwrap();
}

#[tokio::test]
async fn inbound_is_refused_while_the_inbox_is_full_and_taken_once_it_is_not() {
    let store = MemoryStore::new();
    let options = JournalOptions { inbox_max: 2, ..Default::default() };
    let journal = open_with(&store, options.clone());
    journal.commit(inbound("one")).await.unwrap();
    let second = journal.commit(inbound("two")).await.unwrap().inbox[0];
    assert_eq!(journal.commit(inbound("three")).await, Err(CommitError::Busy));
    let journal = open_with(&store.reopen(), options);
    assert_eq!(journal.commit(inbound("three")).await, Err(CommitError::Busy), "it is counted at the start");
    let taken = Append { consume: vec![PendingKey::Inbox(second)], ..Append::default() };
    journal.commit(taken).await.unwrap();
    journal.commit(inbound("three")).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_turns_and_no_inbound() {
    let folder = tempfile::tempdir().unwrap();
    let options = |min_free| JournalOptions {
        folder: Some(folder.path().to_owned()),
        min_free,
        ..JournalOptions::default()
    };
    let journal = open_with(&MemoryStore::new(), options(u64::MAX));
    let answer = journal.commit(inbound("hello")).await;
    assert!(
        matches!(answer, Err(CommitError::NoSpace { free, min_free: u64::MAX }) if free > 0),
        "{answer:?}"
    );
    journal.commit(turn(&stream(1), 0, 1)).await.unwrap();
    open_with(&MemoryStore::new(), options(1)).commit(inbound("hello")).await.unwrap();
}
