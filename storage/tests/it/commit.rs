//! What a commit promises: whole or not at all, durable before anyone hears of it, in order of arrival.

use std::time::Duration;

use futures::FutureExt;
use throughline_storage::append::*;
use throughline_storage::keys;
use throughline_storage::store::VALUE_BYTES_MAX;
use throughline_storage::store::memory::MemoryStore;
use uuid::Uuid;

use crate::everything::*;
use crate::world::*;

#[tokio::test]
async fn an_append_is_whole_after_a_power_cut() {
    let store = MemoryStore::new();
    let committed = open(&store).commit(everything(1)).await.unwrap();
    assert_eq!(committed, Committed { version: 1, seq: 2, inbox: vec![1] });
    let journal = open(&store.reopen());
    assert_eq!(parts(&journal, 1), ALL_PARTS);
    assert_eq!(journal.head().seq, 2);
    let stored = journal.record(&stream(1), 1).unwrap().unwrap();
    assert_eq!((stored.version, stored.first_seq), (1, 1));
    assert_eq!(stored.decode().unwrap().events.len(), 2);
}

#[tokio::test]
async fn an_append_with_nothing_in_it_writes_nothing() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let answer = journal.commit(Append::default()).await;
    assert_eq!(answer, Ok(Committed { version: 0, seq: 0, inbox: vec![] }));
    assert_eq!(store.faults().commits(), 0);
}

#[tokio::test]
async fn a_conflict_says_where_the_stream_is_and_leaves_no_trace() {
    let journal = open(&MemoryStore::new());
    journal.commit(turn(&stream(1), 0, 1)).await.unwrap();
    for expected in [0, 2, 7] {
        let append = Append { claims: take(permanent("key"), "me").claims, ..turn(&stream(1), expected, 1) };
        assert_eq!(journal.commit(append).await, Err(CommitError::Conflict { expected, actual: 1 }));
    }
    assert_eq!(journal.version(&stream(1)).unwrap(), 1);
    assert_eq!(journal.claim(&permanent("key")).unwrap(), None);
    assert_eq!(journal.head().seq, 1);
}

#[tokio::test]
async fn what_an_author_read_is_relied_on_only_as_long_as_nothing_came_after_it() {
    let read_at = |groups: u64, expected: u64| {
        let mut append = turn(&stream(1), expected, 1);
        append.record.as_mut().unwrap().read_after = Some(groups);
        append
    };
    let store = MemoryStore::new();
    let journal = open(&store);
    assert_eq!(journal.durable_groups(), 0);
    journal.commit(read_at(0, 0)).await.unwrap();
    let before = journal.durable_groups();
    assert_eq!(before, 1);
    journal.commit(turn(&stream(1), 1, 1)).await.unwrap();
    let late = journal.commit(read_at(before, 1)).await;
    assert_eq!(late, Err(CommitError::Conflict { expected: 1, actual: 2 }));

    // Nothing is remembered of it now, and nothing has changed since it was read.
    let journal = open(&store.reopen());
    assert_eq!(journal.commit(read_at(journal.durable_groups(), 2)).await.unwrap().version, 3);
    assert_eq!(journal.version(&stream(1)).unwrap(), 3);
}

#[tokio::test]
async fn of_sixteen_takes_of_one_claim_in_one_group_one_owns_it() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let takes = (0..16).map(|number| take(permanent("key"), &format!("owner {number}"))).collect();
    let answers = as_one_group(&store, &journal, takes, || {}).await;
    assert!(answers[0].is_ok());
    for answer in &answers[1..] {
        assert_eq!(*answer, Err(CommitError::ClaimTaken { index: 0, owner: b"owner 0".to_vec() }));
    }
    assert_eq!(store.faults().commits(), 2);
    assert_eq!(journal.claim(&permanent("key")).unwrap(), Some(b"owner 0".to_vec()));
}

#[tokio::test]
async fn losers_wait_for_the_group_they_lost_in() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let gate = store.faults().hold();
    let takes = (0..16).map(|number| take_once(permanent("key"), &format!("owner {number}"))).collect();
    let mut answers = submit(&journal, takes).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    // The claim can be seen, and yet nobody is told of it.
    assert_eq!(journal.claim(&permanent("key")).unwrap(), Some(b"owner 0".to_vec()));
    tokio::task::yield_now().await;
    for answer in &mut answers {
        assert!(answer.now_or_never().is_none());
    }
    gate.release();
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test]
async fn appends_in_one_group_build_upon_each_other() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let first = Append { arm: vec![timer(1, 50)], ..turn(&stream(1), 0, 1) };
    let second = Append {
        consume: vec![PendingKey::Timer(timer(1, 50).key)],
        claims: take(permanent("key"), "me").claims,
        ..turn(&stream(1), 1, 3)
    };
    let late = Append { consume: vec![PendingKey::Timer(timer(1, 50).key)], ..Append::default() };
    let moves =
        claim(permanent("key"), ClaimChange::TakeFrom { owner: b"you".to_vec(), former: b"me".to_vec() });
    let answers = as_one_group(&store, &journal, vec![first, second, late, moves], || {}).await;
    assert_eq!(
        answers,
        vec![
            Ok(Committed { version: 1, seq: 1, inbox: vec![] }),
            Ok(Committed { version: 2, seq: 4, inbox: vec![] }),
            Err(CommitError::AlreadyDone),
            Ok(Committed { version: 0, seq: 4, inbox: vec![] }),
        ]
    );
    assert_eq!(journal.timers(None, u64::MAX, 10).unwrap(), vec![]);
    assert_eq!(journal.claim(&permanent("key")).unwrap(), Some(b"you".to_vec()));
    let groups = journal.feed(0, 10).unwrap();
    assert_eq!(groups.len(), 1, "one group, one key in the feed");
    assert_eq!(groups[0].entries.iter().map(|entry| entry.events).collect::<Vec<_>>(), vec![1, 3]);
    let firsts: Vec<_> = journal.records(&stream(1), ..).map(|record| record.unwrap().first_seq).collect();
    assert_eq!(firsts, vec![1, 2]);
}

#[tokio::test]
async fn the_barrier_waits_for_what_could_be_seen() {
    let store = MemoryStore::new();
    let journal = open(&store);
    assert_eq!(journal.barrier().now_or_never(), Some(Ok(())), "nothing is in flight");
    let gate = store.faults().hold();
    let answers = submit(&journal, vec![turn(&stream(1), 0, 1)]).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    assert_eq!(journal.version(&stream(1)).unwrap(), 1, "a reader sees it");
    assert_eq!(journal.head().seq, 0, "and it is not durable");
    assert_eq!(journal.feed(0, 10).unwrap(), vec![]);
    assert_eq!(journal.progress().borrow().seq, 0);
    let mut barrier = Box::pin(journal.barrier());
    assert_eq!((&mut barrier).now_or_never(), None);
    gate.release();
    assert_eq!(barrier.await, Ok(()));
    assert_eq!(journal.progress().borrow().seq, 1);
    assert_eq!(journal.feed(0, 10).unwrap().len(), 1);
    assert_eq!(journal.barrier().now_or_never(), Some(Ok(())));
    futures::future::join_all(answers).await;
}

#[tokio::test]
async fn an_item_is_consumed_by_one() {
    let journal = open(&MemoryStore::new());
    let number = journal.commit(inbound("hello")).await.unwrap().inbox[0];
    let owed =
        Append { activities: vec![activity(1, 5, 0)], dead_letters: vec![letter(1)], ..Append::default() };
    journal.commit(owed).await.unwrap();
    let items = [
        PendingKey::Inbox(number),
        PendingKey::Activity(activity(1, 5, 0).key),
        PendingKey::DeadLetter(Uuid::from_u128(1)),
    ];
    for (number, item) in (10..).zip(items) {
        let settle =
            |number, expected| Append { consume: vec![item.clone()], ..turn(&stream(number), expected, 1) };
        let refused = journal.commit(settle(number, 5)).await;
        assert_eq!(refused, Err(CommitError::Conflict { expected: 5, actual: 0 }), "and the item stays");
        journal.commit(settle(number, 0)).await.unwrap();
        assert_eq!(journal.commit(settle(99, 0)).await, Err(CommitError::AlreadyDone));
        // Whoever comes again with what it decided before hears that it is done, not that it must decide anew.
        assert_eq!(journal.commit(settle(number, 0)).await, Err(CommitError::AlreadyDone));
        assert_eq!(journal.version(&stream(99)).unwrap(), 0);
    }
    assert_eq!(journal.stats().inbox_pending, 0);
}

#[tokio::test]
async fn a_timer_is_disarmed_or_passed_over_and_an_activity_moves() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let armed = Append { arm: vec![timer(1, 50)], activities: vec![activity(1, 60, 0)], ..Append::default() };
    journal.commit(armed).await.unwrap();
    let before = store.faults().changes();
    let moved = Append {
        disarm: vec![timer(1, 50).key, timer(2, 50).key],
        consume: vec![PendingKey::Activity(activity(1, 60, 0).key)],
        activities: vec![PendingActivity { attempts: 1, ..activity(1, 90, 0) }],
        ..Append::default()
    };
    journal.commit(moved).await.unwrap();
    assert_eq!(store.faults().changes() - before, 3, "what is not armed costs nothing");
    assert_eq!(journal.timers(None, u64::MAX, 10).unwrap(), vec![]);
    assert_eq!(journal.activities(None, 89, 10).unwrap(), vec![]);
    assert_eq!(journal.activities(None, 90, 10).unwrap()[0].attempts, 1);
    let progress = journal.progress().borrow().clone();
    assert_eq!((progress.timers_armed, progress.activities_pending), (1, 2));
}

#[tokio::test]
async fn keys_are_as_few_as_promised() {
    let store = MemoryStore::new();
    let journal = open(&store);
    journal.commit(inbound("the first also writes the journal's marks")).await.unwrap();
    let cost = async |append: Append| {
        let before = store.faults().changes();
        let committed = journal.commit(append).await.unwrap();
        (store.faults().changes() - before, committed)
    };
    let door = Append { claims: take_once(periodic("message", 5), "me").claims, ..inbound("hello") };
    let (keys, committed) = cost(door).await;
    assert_eq!(keys, 2, "an inbox entry and a claim");
    let opening = Append {
        consume: vec![PendingKey::Inbox(committed.inbox[0])],
        arm: vec![timer(1, 50)],
        activities: vec![activity(1, 5, 0)],
        ..turn(&stream(1), 0, 2)
    };
    assert_eq!(cost(opening).await.0, 4 + 1, "record, entry, timer, activity; and the group in the feed");
    let outcome =
        Append { consume: vec![PendingKey::Activity(activity(1, 5, 0).key)], ..turn(&stream(1), 1, 1) };
    assert_eq!(cost(outcome).await.0, 2 + 1);
    assert_eq!(cost(turn(&stream(1), 2, 0)).await.0, 1, "without events there is nothing for the feed");
}

#[tokio::test]
async fn what_no_store_takes_is_refused_before_it_fails_anyone_else() {
    let journal = open(&MemoryStore::new());
    let large = vec![0; VALUE_BYTES_MAX + 1];
    let rows = vec![RowChange { key: keys::setting("large"), value: Some(large.clone()) }];
    let letter = DeadLetter { payload: large.clone(), ..letter(1) };
    let owner = ClaimChange::Take { owner: large.clone() };
    for append in [
        Append { rows, ..Append::default() },
        Append { inbox: vec![NewInboxEntry { tenant: "acme".into(), bytes: large }], ..Append::default() },
        Append { dead_letters: vec![letter], ..Append::default() },
        claim(permanent("key"), owner),
    ] {
        let answer = journal.commit(append).await;
        assert!(matches!(answer, Err(CommitError::TooLarge { max: VALUE_BYTES_MAX, .. })), "{answer:?}");
    }
    // Only a snapshot can be done without.
    let snapshot = SnapshotBytes { stream: stream(1), bytes: vec![0; VALUE_BYTES_MAX + 1] };
    journal.commit(Append { snapshot: Some(snapshot), ..turn(&stream(1), 0, 1) }).await.unwrap();
    assert_eq!(journal.snapshot(&stream(1)).unwrap(), None);
}

#[tokio::test]
async fn a_burst_of_streams_with_long_names_still_fits_the_feed() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let appends = (0..2_000_u128).map(|number| {
        let long = StreamId { tenant: format!("{number:0>200}"), ..stream(number) };
        turn(&long, 0, 1)
    });
    let answers = as_one_group(&store, &journal, appends.collect(), || {}).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(journal.verify_feed().unwrap().records, 2_000);
}
