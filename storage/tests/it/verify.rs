//! The whole store looked through: what is sound passes, and whatever is changed, removed or added is found and named.

use proptest::prelude::*;
use throughline_storage::append::*;
use throughline_storage::envelope::{ActivityBytes, Armed, EventBytes, Record, Snapshot};
use throughline_storage::figures;
use throughline_storage::journal::{Journal, Place};
use throughline_storage::keys;
use throughline_storage::projections::View;
use throughline_storage::store::memory::MemoryStore;
use throughline_storage::store::{Batch, Store};
use throughline_storage::verify::{Verified, Wanted, verify};
use uuid::Uuid;

use crate::backup::content;
use crate::damage::keys_of;
use crate::everything::letter;
use crate::world::*;

fn record(stream: &StreamId, version: u64, previous: [u8; 32], events: usize) -> NewRecord {
    let event = EventBytes { name: "Happened".into(), version: 1, bytes: vec![7; 3] };
    let encoded = Record {
        stream: stream.clone(),
        version,
        at_ms: 1_000,
        correlation: Uuid::nil(),
        metadata: vec![],
        key_id: None,
        previous,
        events: vec![event; events],
        activities: vec![ActivityBytes { lane: "email".into(), bytes: b"send".to_vec() }],
        armed: vec![Armed { name: "silence".into(), due_ms: 2_000 }],
    }
    .encode();
    let (expected_version, events) = (version - 1, events as u32);
    NewRecord {
        stream: stream.clone(),
        expected_version,
        read_after: None,
        events,
        bytes: encoded.bytes,
        hash: encoded.hash,
    }
}

/// Two streams with one of everything that fits together; the timer of the second was stuck, and moved.
async fn sound() -> (MemoryStore, Journal) {
    let store = MemoryStore::new();
    let journal = open(&store);
    for number in [1, 2] {
        let of = stream(number);
        let first = record(&of, 1, [0; 32], 2);
        let second = record(&of, 2, first.hash, 1);
        let third = record(&of, 3, second.hash, 0);
        let snapshot = Snapshot {
            stream: of.clone(),
            state_revision: 1,
            version: 2,
            seq: 0,
            head: second.hash,
            armed: vec![],
            state: b"state".to_vec(),
        };
        let mut timer = timer(number, 2_000);
        if number == 2 {
            timer.key.fire_at_ms = 9_000;
            timer.stuck = 1;
        }
        let view = View::new("list", 1);
        let lane = LaneKey { stream: of.clone(), lane: "email".into() };
        let mut rows = view.put("acme", of.entity, None, 77, b"row".to_vec());
        rows.push(view.own("acme", Uuid::from_u128(9), of.entity));
        rows.push(view.reached(1));
        rows.push(RowChange { key: keys::setting("clock"), value: Some(b"anything".to_vec()) });
        let everything = Append {
            record: Some(first),
            claims: take(permanent(&format!("key {number}")), "me").claims,
            arm: vec![timer],
            activities: vec![activity(number, 60, 0)],
            hold: vec![LaneHold { key: lane, held_by: activity(number, 60, 0).key }],
            snapshot: Some(SnapshotBytes { stream: of.clone(), bytes: snapshot.encode().bytes }),
            inbox: inbound("hello").inbox,
            dead_letters: vec![letter(number)],
            blobs: vec![format!("acme/{number}/1")],
            rows,
            ..Append::default()
        };
        journal.commit(everything).await.unwrap();
        journal.commit(take_once(periodic("message", 5), &format!("{number}"))).await.ok();
        for next in [second, third] {
            journal.commit(Append { record: Some(next), ..Append::default() }).await.unwrap();
        }
    }
    (store, journal)
}

fn look(store: &MemoryStore) -> Verified {
    verify(store, &Wanted::default(), &mut |_| {})
}

fn places(found: &Verified) -> Vec<Place> {
    found.damages.iter().map(|damage| damage.place.clone()).collect()
}

fn put(store: &MemoryStore, key: &[u8], value: Option<Vec<u8>>) {
    store.commit(Batch { changes: vec![(key.to_vec(), value)] }).unwrap();
}

#[tokio::test]
async fn a_sound_store_passes_and_is_counted() {
    let (store, journal) = sound().await;
    let mut told = 0;
    let found = verify(&store, &Wanted::default(), &mut |seen| told = seen);
    assert_eq!(found.damages, vec![]);
    assert_eq!((found.streams, found.records, found.events), (2, 6, 6));
    assert_eq!(found.head, journal.head());
    assert_eq!(found.parts["timers"].keys, 2);
    assert_eq!(found.parts.values().map(|part| part.keys).sum::<u64>(), content(&store).len() as u64);

    let counted = figures::count(&store, &mut |_| {}).unwrap();
    assert_eq!(counted.parts, found.parts);
    assert_eq!(counted.head, found.head);
    let kind = counted.kinds[&("acme".into(), "conversation".into())];
    assert_eq!((kind.streams, kind.records, kind.longest), (2, 6, 3));
}

#[tokio::test]
async fn a_store_without_anything_is_sound() {
    let found = look(&MemoryStore::new());
    assert_eq!((found.damaged, found.records), (0, 0));
    assert_eq!(figures::count(&MemoryStore::new(), &mut |_| {}).unwrap().first_at_ms, None);
}

#[tokio::test]
async fn a_hash_that_was_kept_is_found_wherever_the_feed_passed_through_it() {
    let (store, journal) = sound().await;
    let middle = journal.feed(0, 2).unwrap().pop().unwrap();
    let expect = |hash| verify(&store, &Wanted { expect: Some(hash), ..Wanted::default() }, &mut |_| {});
    assert_eq!(expect(middle.hash).expected_at, Some(middle.last_seq));
    assert_eq!(expect(journal.head().hash).expected_at, Some(journal.head().seq));
    let never = expect([9; 32]);
    assert_eq!((never.expected_at, never.damaged), (None, 1));
}

#[tokio::test]
async fn a_blob_that_is_named_and_gone_is_found() {
    let (store, _journal) = sound().await;
    let has_blob = |name: &str| name != "acme/2/1";
    let found = verify(&store, &Wanted { has_blob: Some(&has_blob), ..Wanted::default() }, &mut |_| {});
    assert_eq!(found.damages.len(), 1);
    assert_eq!(found.damages[0].to_string(), "blobs, value of bacme/2/1: the blob is named and is not there");
}

#[tokio::test]
async fn what_is_missing_or_added_is_named_and_ends_nothing() {
    let removed = |part: u8, at: usize| async move {
        let (store, _journal) = sound().await;
        let key = keys_of(&store, part).remove(at);
        put(&store, &key, None);
        look(&store).damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    // The timer where it was armed, and the one that was moved.
    assert!(removed(b't', 0).await.contains("the timer silence for 2000 must fire next"));
    assert!(removed(b't', 1).await.contains("the timer silence for 2000 must fire next"));
    // A record in the middle: the chain, the feed, the snapshot and the activity of it.
    let said = removed(b'r', 1).await;
    assert!(said.contains("record 2 was expected here") && said.contains("record 2 of its entity"), "{said}");
    let said = removed(b'r', 0).await;
    assert!(
        said.contains("activities, value of") && said.contains("record 1 of its entity is missing"),
        "{said}"
    );
    assert!(removed(b'p', 0).await.contains("it points to a row that is not there"));
    let said = removed(b'p', 4).await;
    assert!(said.contains("nothing points to this row"), "{said}");
    assert!(said.contains("it says whose a row is that is not there"), "{said}");
    // Of the feed: the group after it, and the records that nobody lists.
    let said = removed(b'f', 1).await;
    assert!(said.contains("a group that begins at seq 3 was expected"), "{said}");
    assert!(
        said.contains("record 2 of conversation") && said.contains("the feed does not list it"),
        "{said}"
    );

    let added = |key: Vec<u8>, value: Vec<u8>| async move {
        let (store, _journal) = sound().await;
        put(&store, &key, Some(value));
        let found = look(&store);
        assert_eq!(places(&found), vec![Place::Key(key)]);
        found.damages[0].reason.clone()
    };
    assert_eq!(added(b"q?".to_vec(), vec![]).await, "a key in no part of the keyspace");
    assert_eq!(added(b"\0".to_vec(), vec![]).await, "a key in no part of the keyspace");
    assert_eq!(added(b"z".to_vec(), vec![]).await, "a key in no part of the keyspace");
    assert_eq!(added(b"t".to_vec(), vec![]).await, "not the key of a timer");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_flipped_bit_is_found_where_it_is(which in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, _journal) = runtime.block_on(sound());
        // Rows and settings have their authors' encodings; blobs' marks have no value.
        let sealed: Vec<_> = content(&store)
            .into_iter()
            .filter(|(key, _)| ![b'p', b'g', b'b'].contains(&key[0]))
            .collect();
        let (key, mut value) = sealed[which.index(sealed.len())].clone();
        let bit = bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        put(&store, &key, Some(value));
        let found = look(&store);
        let named = |place: &Place| match place {
            Place::Key(at) => *at == key,
            Place::Record { stream, version } => {
                key.starts_with(b"r") && key.ends_with(&version.to_be_bytes())
                    && key.windows(16).any(|bytes| bytes == stream.entity.as_bytes())
            }
            Place::FeedGroup { first_seq } => key.starts_with(b"f") && key.ends_with(&first_seq.to_be_bytes()),
        };
        prop_assert!(places(&found).iter().any(named), "{:?}", found.damages);
    }
}
