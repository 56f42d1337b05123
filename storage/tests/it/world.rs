//! Builders that hide what does not matter to a test of the journal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use throughline_storage::append::*;
use throughline_storage::envelope::{Armed, EventBytes, Record};
use throughline_storage::journal::{Journal, JournalOptions};
use throughline_storage::store::memory::MemoryStore;
use uuid::Uuid;

pub(crate) const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;

pub(crate) fn open(store: &MemoryStore) -> Journal {
    open_with(store, JournalOptions::default())
}

pub(crate) fn open_with(store: &MemoryStore, options: JournalOptions) -> Journal {
    Journal::open(Arc::new(store.clone()), JournalOptions { now_ms: Arc::new(|| 1_000), ..options }).unwrap()
}

pub(crate) fn stream(number: u128) -> StreamId {
    StreamId { tenant: "acme".into(), kind: "conversation".into(), entity: Uuid::from_u128(number) }
}

/// The record that continues a stream whose last record has the hash `previous`.
pub(crate) fn record_after(previous: [u8; 32], stream: &StreamId, expected: u64, events: u32) -> NewRecord {
    let event = |number| EventBytes { name: "Happened".into(), version: 1, bytes: vec![number as u8; 3] };
    let record = Record {
        stream: stream.clone(),
        version: expected + 1,
        at_ms: 1_000,
        correlation: Uuid::from_u128(1),
        metadata: b"someone".to_vec(),
        key_id: None,
        previous,
        events: (0..events).map(event).collect(),
        activities: vec![],
        armed: vec![Armed { name: "silence".into(), due_ms: 2_000 }],
    };
    let encoded = record.encode();
    NewRecord {
        stream: stream.clone(),
        expected_version: expected,
        read_after: None,
        events,
        bytes: encoded.bytes,
        hash: encoded.hash,
    }
}

pub(crate) fn turn(stream: &StreamId, expected: u64, events: u32) -> Append {
    Append { record: Some(record_after([0; 32], stream, expected, events)), ..Append::default() }
}

/// Turns that follow each other properly, committed one by one.
pub(crate) async fn turns(journal: &Journal, stream: &StreamId, count: u64, events: u32) {
    for _ in 0..count {
        let version = journal.version(stream).unwrap();
        let last = journal.record(stream, version).unwrap();
        let record = record_after(last.map_or([0; 32], |last| last.hash), stream, version, events);
        journal.commit(Append { record: Some(record), ..Append::default() }).await.unwrap();
    }
}

pub(crate) fn inbound(text: &str) -> Append {
    Append {
        inbox: vec![NewInboxEntry { tenant: "acme".into(), bytes: text.into() }],
        class: AppendClass::Inbound,
        ..Append::default()
    }
}

pub(crate) fn permanent(key: &str) -> ClaimKey {
    claim_key(key, ClaimLifetime::Permanent)
}

pub(crate) fn periodic(key: &str, at_ms: u64) -> ClaimKey {
    claim_key(key, ClaimLifetime::Periodic { at_ms })
}

fn claim_key(key: &str, lifetime: ClaimLifetime) -> ClaimKey {
    ClaimKey { tenant: "acme".into(), space: "address".into(), key: key.into(), lifetime }
}

pub(crate) fn claim(key: ClaimKey, change: ClaimChange) -> Append {
    Append { claims: vec![ClaimRequest { key, change }], ..Append::default() }
}

pub(crate) fn take(key: ClaimKey, owner: &str) -> Append {
    claim(key, ClaimChange::Take { owner: owner.into() })
}

pub(crate) fn take_once(key: ClaimKey, owner: &str) -> Append {
    claim(key, ClaimChange::TakeOnce { owner: owner.into() })
}

pub(crate) fn timer(number: u128, fire_at_ms: u64) -> Timer {
    let key = TimerKey { fire_at_ms, stream: stream(number), name: "silence".into() };
    Timer { key, due_ms: fire_at_ms, stuck: 0 }
}

pub(crate) fn activity(number: u128, ready_at_ms: u64, index: u32) -> PendingActivity {
    PendingActivity {
        key: ActivityKey { ready_at_ms, stream: stream(number), version: 1, index },
        lane: "email".into(),
        attempts: 0,
        asked_at_ms: 10,
        last_error: None,
        edited: None,
        begun_at_ms: None,
    }
}

pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + 'a>>;

/// Hands appends to the committer in this order, without waiting for any answer.
pub(crate) async fn submit<'a>(journal: &'a Journal, appends: Vec<Append>) -> Vec<Answer<'a>> {
    let mut answers = Vec::new();
    for append in appends {
        let mut answer: Answer<'a> = Box::pin(tokio::task::unconstrained(journal.commit(append)));
        answers.push(match futures::poll!(&mut answer) {
            Poll::Ready(early) => Box::pin(std::future::ready(early)),
            Poll::Pending => answer,
        });
    }
    answers
}

/// Holds the committer at the gate with an append of no interest, lets `appends` queue up behind it, and says what
/// became of them: they are one group.
pub(crate) async fn as_one_group(
    store: &MemoryStore,
    journal: &Journal,
    appends: Vec<Append>,
    meanwhile: impl FnOnce(),
) -> Vec<Result<Committed, CommitError>> {
    let gate = store.faults().hold();
    let first = submit(journal, vec![take(permanent("of no interest"), "anyone")]).await;
    assert!(gate.wait_for_commit(Duration::from_secs(10)));
    let count = appends.len() as u64;
    let answers = submit(journal, appends).await;
    assert_eq!(journal.stats().queue_entries, count);
    meanwhile();
    gate.release();
    futures::future::join_all(first).await;
    futures::future::join_all(answers).await
}
