//! What is owed and what has happened, read back in the right order and to the right end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use throughline_storage::append::*;
use throughline_storage::journal::{Journal, JournalOptions};
use throughline_storage::store::memory::MemoryStore;
use throughline_storage::store::{Batch, Engine, Store, StoreOptions};
use uuid::Uuid;

use crate::world::*;

#[tokio::test]
async fn due_work_comes_in_order_up_to_the_moment_itself() {
    let journal = open(&MemoryStore::new());
    let timers = [timer(2, 50), timer(1, 50), timer(1, 70), timer(1, u64::MAX)];
    let activities = [activity(1, 50, 1), activity(1, 50, 0), activity(1, 70, 0)];
    let append = Append { arm: timers.to_vec(), activities: activities.to_vec(), ..Append::default() };
    journal.commit(append).await.unwrap();

    assert_eq!(journal.timers(None, 49, 10).unwrap(), vec![]);
    assert_eq!(journal.timers(None, 50, 10).unwrap(), vec![timer(1, 50), timer(2, 50)]);
    assert_eq!(journal.timers(None, 50, 1).unwrap(), vec![timer(1, 50)]);
    assert_eq!(journal.timers(Some(&timer(1, 50).key), 70, 10).unwrap(), vec![timer(2, 50), timer(1, 70)]);
    assert_eq!(journal.timers(Some(&timer(1, 70).key), 60, 10).unwrap(), vec![]);
    assert_eq!(journal.timers(None, u64::MAX, 10).unwrap().len(), 4);

    assert_eq!(journal.activities(None, 69, 10).unwrap(), vec![activity(1, 50, 0), activity(1, 50, 1)]);
    let after = activity(1, 50, 0).key;
    assert_eq!(
        journal.activities(Some(&after), 70, 10).unwrap(),
        vec![activity(1, 50, 1), activity(1, 70, 0)]
    );
}

#[tokio::test]
async fn records_are_read_from_either_end_and_in_part() {
    let journal = open(&MemoryStore::new());
    turns(&journal, &stream(1), 300, 1).await;
    turns(&journal, &stream(2), 2, 1).await;
    let versions = |records: &mut dyn Iterator<Item = Result<_, _>>| -> Vec<u64> {
        records
            .map(|record: Result<throughline_storage::journal::StoredRecord, _>| {
                let record = record.map_err(|error: throughline_storage::journal::ReadError| error).unwrap();
                assert_eq!(record.decode().unwrap().version, record.version);
                record.version
            })
            .collect()
    };
    assert_eq!(versions(&mut journal.records(&stream(1), ..)), (1..=300).collect::<Vec<_>>());
    assert_eq!(versions(&mut journal.records(&stream(1), 255..=257)), vec![255, 256, 257]);
    assert_eq!(versions(&mut journal.records(&stream(1), 299..)), vec![299, 300]);
    assert_eq!(versions(&mut journal.records(&stream(1), ..2)), vec![1]);
    assert_eq!(versions(&mut journal.records(&stream(1), ..).rev().take(2)), vec![300, 299]);
    assert_eq!(versions(&mut journal.records(&stream(3), ..)), Vec::<u64>::new());
    assert_eq!(journal.version(&stream(1)).unwrap(), 300);
    assert!(journal.record(&stream(1), 301).unwrap().is_none());
}

#[tokio::test]
async fn entities_are_listed_once_each_and_only_their_kind_s() {
    let journal = open(&MemoryStore::new());
    for number in [3, 1, u128::MAX, 2] {
        turns(&journal, &stream(number), 3, 1).await;
    }
    let other = |tenant: &str, kind: &str| StreamId { tenant: tenant.into(), kind: kind.into(), ..stream(9) };
    for other in [other("acme", "customer"), other("acmes", "conversation"), other("acm", "conversation")] {
        turns(&journal, &other, 1, 1).await;
    }
    let list = |after: Option<u128>, limit| -> Vec<u128> {
        let found = journal.streams("acme", "conversation", after.map(Uuid::from_u128), limit).unwrap();
        found.iter().map(Uuid::as_u128).collect()
    };
    assert_eq!(list(None, 10), vec![1, 2, 3, u128::MAX]);
    assert_eq!(list(None, 2), vec![1, 2]);
    assert_eq!(list(Some(2), 10), vec![3, u128::MAX]);
    assert_eq!(list(Some(u128::MAX), 10), vec![]);
    assert_eq!(list(None, 0), vec![]);
}

#[tokio::test]
async fn the_feed_goes_on_from_any_event() {
    let store = MemoryStore::new();
    let now = Arc::new(AtomicU64::new(100));
    let clock = Arc::clone(&now);
    let now_ms = Arc::new(move || clock.load(Ordering::Relaxed));
    let journal =
        Journal::open(Arc::new(store.clone()), JournalOptions { now_ms, ..JournalOptions::default() })
            .unwrap();
    for (number, at_ms) in [(1, 100), (2, 90), (3, 110)] {
        now.store(at_ms, Ordering::Relaxed);
        journal.commit(turn(&stream(number), 0, 3)).await.unwrap();
    }
    journal.commit(inbound("no event, no group")).await.unwrap();

    let seqs = |after, limit| -> Vec<(u64, u64)> {
        let groups = journal.feed(after, limit).unwrap();
        groups.iter().map(|group| (group.first_seq, group.last_seq)).collect()
    };
    assert_eq!(seqs(0, 10), vec![(1, 3), (4, 6), (7, 9)]);
    assert_eq!(seqs(2, 10), vec![(1, 3), (4, 6), (7, 9)]);
    assert_eq!(seqs(3, 10), vec![(4, 6), (7, 9)]);
    assert_eq!(seqs(5, 1), vec![(4, 6)]);
    assert_eq!(seqs(8, 10), vec![(7, 9)]);
    assert_eq!(seqs(9, 10), vec![]);
    assert_eq!(seqs(u64::MAX, 10), vec![]);

    let groups = journal.feed(0, 10).unwrap();
    let times: Vec<_> = groups.iter().map(|group| group.at_ms).collect();
    assert_eq!(times, vec![100, 100, 110], "recorded time does not go back");
    assert_eq!(groups[0].previous, [0; 32]);
    assert_eq!(groups[1].previous, groups[0].hash);
    assert_eq!(journal.head().hash, groups[2].hash);
    assert_eq!(journal.verify_feed().unwrap().head, journal.head());

    let again = open(&store.reopen());
    assert_eq!(again.head(), journal.head());
    assert_eq!(again.commit(turn(&stream(4), 0, 1)).await.unwrap().seq, 10);
    assert_eq!(again.feed(9, 1).unwrap()[0].previous, journal.head().hash);
}

#[tokio::test]
async fn an_inbox_number_is_never_given_twice() {
    let mut store = MemoryStore::new();
    let mut last = 0;
    for round in 0..4 {
        let journal = open(&store);
        assert_eq!(journal.progress().borrow().inbox, last.max(journal.progress().borrow().inbox));
        let inbox = vec![NewInboxEntry { tenant: "acme".into(), bytes: b"hello".to_vec() }; 1500];
        for _ in 0..3 {
            let numbers =
                journal.commit(Append { inbox: inbox.clone(), ..Append::default() }).await.unwrap().inbox;
            assert!(numbers.is_sorted() && numbers.len() == 1500);
            assert!(numbers[0] > last, "round {round}: {} after {last}", numbers[0]);
            last = *numbers.last().unwrap();
            assert_eq!(journal.progress().borrow().inbox, last);
            let consume = numbers.into_iter().map(PendingKey::Inbox).collect();
            journal.commit(Append { consume, ..Append::default() }).await.unwrap();
        }
        assert_eq!(journal.inbox(0, 10).unwrap(), vec![]);
        assert_eq!(journal.stats().inbox_pending, 0);
        store = store.reopen();
    }
}

#[tokio::test]
async fn the_inbox_is_read_in_order_of_arrival() {
    let journal = open(&MemoryStore::new());
    for number in 1..=300_u64 {
        journal.commit(inbound(&number.to_string())).await.unwrap();
    }
    let page = journal.inbox(254, 3).unwrap();
    let read: Vec<_> = page.iter().map(|entry| (entry.number, entry.bytes.clone())).collect();
    assert_eq!(read, vec![(255, b"255".to_vec()), (256, b"256".to_vec()), (257, b"257".to_vec())]);
    assert_eq!(page[0].tenant, "acme");
    assert_eq!(journal.inbox(300, 3).unwrap(), vec![]);
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let snapshot = throughline_storage::envelope::Snapshot {
        stream: stream(1),
        state_revision: 1,
        version: 1,
        seq: 1,
        head: [0; 32],
        armed: vec![],
        state: b"state".to_vec(),
    };
    let bytes = SnapshotBytes { stream: stream(1), bytes: snapshot.encode().bytes };
    journal.commit(Append { snapshot: Some(bytes.clone()), ..turn(&stream(1), 0, 1) }).await.unwrap();
    assert_eq!(journal.snapshot(&stream(1)).unwrap(), Some(snapshot));
    let key = crate::damage::keys_of(&store, b's').remove(0);
    let mut flipped = bytes.bytes;
    flipped[20] ^= 4;
    store.commit(Batch { changes: vec![(key, Some(flipped))] }).unwrap();
    assert_eq!(journal.snapshot(&stream(1)).unwrap(), None);
}

#[tokio::test]
async fn the_journal_goes_on_where_it_was_on_sled() {
    goes_on_where_it_was(Engine::Sled).await;
}

#[tokio::test]
async fn the_journal_goes_on_where_it_was_on_fjall() {
    goes_on_where_it_was(Engine::Fjall).await;
}

async fn goes_on_where_it_was(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let mut head = None;
    for round in 0..3 {
        let store = engine.open(folder.path().join("db"), StoreOptions::default()).unwrap();
        let journal = Journal::open(store, JournalOptions::default()).unwrap();
        if let Some(head) = head {
            assert_eq!(journal.head(), head);
        }
        turns(&journal, &stream(1), 20, 2).await;
        journal.commit(inbound("hello")).await.unwrap();
        let verified = journal.verify_stream(&stream(1)).unwrap();
        assert_eq!((verified.records, verified.events), (20 * (round + 1), 40 * (round + 1)));
        journal.verify_feed().unwrap();
        head = Some(journal.head());
        journal.close().await.unwrap();
    }
}
