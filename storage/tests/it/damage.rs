//! What was changed, removed or moved on disk is found, and named.

use std::ops::Bound;

use proptest::prelude::*;
use throughline_storage::append::LaneKey;
use throughline_storage::journal::{Damage, Journal, Place, ReadError};
use throughline_storage::store::memory::MemoryStore;
use throughline_storage::store::{Batch, Store};
use uuid::Uuid;

use crate::everything::*;
use crate::world::*;

/// All keys in one part of the keyspace.
pub(crate) fn keys_of(store: &MemoryStore, part: u8) -> Vec<Vec<u8>> {
    let (from, to) = ([part], [part + 1]);
    store.range(Bound::Included(&from), Bound::Excluded(&to)).map(|pair| pair.unwrap().0).collect()
}

fn change(store: &MemoryStore, key: &[u8], value: Option<Vec<u8>>) {
    store.commit(Batch { changes: vec![(key.to_vec(), value)] }).unwrap();
}

/// A journal with a stream of eight records and another of three.
async fn sound() -> (MemoryStore, Journal) {
    let store = MemoryStore::new();
    let journal = open(&store);
    turns(&journal, &stream(1), 8, 2).await;
    turns(&journal, &stream(2), 3, 1).await;
    assert_eq!(journal.verify_stream(&stream(1)).unwrap().events, 16);
    assert_eq!(journal.verify_feed().unwrap().records, 11);
    (store, journal)
}

fn at(version: u64) -> Place {
    Place::Record { stream: stream(1), version }
}

fn places(damages: Vec<Damage>) -> Vec<Place> {
    damages.into_iter().map(|damage| damage.place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_flipped_bit_of_a_record_is_found_where_it_is(version in 1..=8_u64, at_bit in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, journal) = runtime.block_on(sound());
        let key = keys_of(&store, b'r').remove(version as usize - 1);
        let mut value = store.get(&key).unwrap().unwrap();
        let bit = at_bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        change(&store, &key, Some(value));
        prop_assert_eq!(places(journal.verify_stream(&stream(1)).unwrap_err()), vec![at(version)]);
        prop_assert!(places(journal.verify_feed().unwrap_err()).contains(&at(version)));
        journal.verify_stream(&stream(2)).unwrap();
        let read = journal.record(&stream(1), version).and_then(|record| record.unwrap().decode());
        prop_assert!(matches!(read, Err(ReadError::Damaged(damage)) if damage.place == at(version)));
    }

    #[test]
    fn any_flipped_bit_of_the_feed_is_found(group in 0..11_usize, at_bit in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, journal) = runtime.block_on(sound());
        let key = keys_of(&store, b'f').remove(group);
        let mut value = store.get(&key).unwrap().unwrap();
        let bit = at_bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        change(&store, &key, Some(value));
        prop_assert!(journal.verify_feed().is_err());
        prop_assert!(matches!(journal.feed(0, 100), Err(ReadError::Damaged(_))));
    }
}

#[tokio::test]
async fn a_removed_record_leaves_a_gap_in_the_chain() {
    for version in 1..=8_u64 {
        let (store, journal) = sound().await;
        let key = keys_of(&store, b'r').remove(version as usize - 1);
        change(&store, &key, None);
        let stream_damage = journal.verify_stream(&stream(1));
        if version == 8 {
            // The stream alone cannot know that it once was longer. The feed can.
            assert_eq!(stream_damage.unwrap().records, 7);
        } else {
            assert!(places(stream_damage.unwrap_err()).contains(&at(version + 1)));
        }
        assert_eq!(places(journal.verify_feed().unwrap_err()), vec![at(version)]);
    }
}

#[tokio::test]
async fn records_in_another_order_are_found() {
    let (store, journal) = sound().await;
    let keys = keys_of(&store, b'r');
    let (third, fourth) = (store.get(&keys[2]).unwrap(), store.get(&keys[3]).unwrap());
    change(&store, &keys[2], fourth);
    change(&store, &keys[3], third);
    assert_eq!(places(journal.verify_stream(&stream(1)).unwrap_err()), vec![at(3), at(4)]);
    assert!(journal.verify_feed().is_err());
}

#[tokio::test]
async fn a_record_rewritten_with_a_right_checksum_breaks_the_chain() {
    let (store, journal) = sound().await;
    let stored = journal.record(&stream(1), 4).unwrap().unwrap();
    let mut record = stored.decode().unwrap();
    record.events[0].bytes = b"never happened".to_vec();
    let key = keys_of(&store, b'r').remove(3);
    let mut value = store.get(&key).unwrap().unwrap();
    value.truncate(value.len() - stored.bytes.len());
    value.extend_from_slice(&record.encode().bytes);
    change(&store, &key, Some(value));
    let damages = journal.verify_stream(&stream(1)).unwrap_err();
    assert_eq!(places(damages.clone()), vec![at(5)], "its successor does not follow it");
    assert!(damages[0].to_string().contains("record 5 of conversation"), "{}", damages[0]);
    assert_eq!(places(journal.verify_feed().unwrap_err()), vec![at(4)]);
}

/// What stands before a record's bytes: its seq, and a checksum over its key and that.
const PLACE_BYTES: usize = 8 + 4;

#[tokio::test]
async fn a_record_in_another_s_place_is_not_read_as_it() {
    let (store, journal) = sound().await;
    let keys = keys_of(&store, b'r');
    let (third, fourth) = (store.get(&keys[2]).unwrap().unwrap(), store.get(&keys[3]).unwrap().unwrap());
    change(&store, &keys[2], Some([&third[..PLACE_BYTES], &fourth[PLACE_BYTES..]].concat()));
    let read = journal.record(&stream(1), 3).unwrap().unwrap().decode();
    assert!(matches!(read, Err(ReadError::Damaged(damage)) if damage.place == at(3)));
    assert!(places(journal.verify_stream(&stream(1)).unwrap_err()).contains(&at(3)));
}

#[tokio::test]
async fn a_record_given_another_seq_with_a_right_checksum_is_missed_by_the_feed() {
    let (store, journal) = sound().await;
    let key = keys_of(&store, b'r').remove(3);
    let mut value = store.get(&key).unwrap().unwrap();
    let seq = 1_000_u64.to_be_bytes();
    value[..8].copy_from_slice(&seq);
    value[8..PLACE_BYTES].copy_from_slice(&crc32fast::hash(&[&key[..], &seq].concat()).to_le_bytes());
    change(&store, &key, Some(value));
    assert_eq!(places(journal.verify_feed().unwrap_err()), vec![at(4)]);
    assert_eq!(places(journal.verify_stream(&stream(1)).unwrap_err()), vec![at(5)], "it goes back there");
}

#[tokio::test]
async fn a_group_removed_from_the_feed_is_missed() {
    let (store, journal) = sound().await;
    let keys = keys_of(&store, b'f');
    change(&store, &keys[5], None);
    let damages = places(journal.verify_feed().unwrap_err());
    assert_eq!(damages[0], Place::FeedGroup { first_seq: 13 });
    let (store, journal) = sound().await;
    let last = keys_of(&store, b'f').pop().unwrap();
    change(&store, &last, None);
    assert_eq!(places(journal.verify_feed().unwrap_err()).len(), 1, "while it is open, it knows its end");
}

#[tokio::test]
async fn a_journal_whose_end_is_damaged_or_whose_layout_is_newer_does_not_open() {
    let (store, _journal) = sound().await;
    let key = keys_of(&store, b'f').pop().unwrap();
    change(&store, &key, Some(b"nonsense".to_vec()));
    let store = store.reopen();
    assert!(Journal::open(std::sync::Arc::new(store), Default::default()).is_err());

    let (store, _journal) = sound().await;
    for key in keys_of(&store, b'm') {
        let mut newer = vec![1, b'N', 2];
        newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
        change(&store, &key, Some(newer));
    }
    let refused = Journal::open(std::sync::Arc::new(store.reopen()), Default::default()).err().unwrap();
    assert_eq!(refused.to_string(), "the journal has layout 2, and this program knows 1");
}

/// Reads what stands under a key of this kind of the second of two appends with everything. None where what is damaged
/// is passed over, since it is one of many or can be made anew.
fn read_second(journal: &Journal, kind: u8) -> Option<Result<(), ReadError>> {
    let lane = LaneKey { stream: stream(2), lane: "email".into() };
    let read = match kind {
        b'r' => journal.record(&stream(2), 1).and_then(|record| record.unwrap().decode()).map(drop),
        b'c' => journal.claim(&permanent("key 2")).map(drop),
        b'w' => journal.claim(&periodic("week 2", 1_000)).map(drop),
        b'h' => journal.hold(&lane).map(drop),
        b't' => journal.timer(&timer(2, 50).key).map(drop),
        b'a' => journal.activity(&activity(2, 60, 0).key).map(drop),
        b'd' => journal.dead_letter(Uuid::from_u128(2)).map(drop),
        b'f' => journal.feed(0, 100).map(drop),
        b's' => {
            assert_eq!(journal.snapshot(&stream(2)).unwrap(), None);
            return None;
        }
        b'i' => {
            assert!(journal.inbox(0, 100).unwrap().iter().all(|entry| entry.number != 2));
            return None;
        }
        other => panic!("no test reads the kind {}", char::from(other)),
    };
    Some(read)
}

#[tokio::test]
async fn a_flipped_bit_under_any_kind_of_key_is_named_and_the_rest_is_served() {
    let store = MemoryStore::new();
    let journal = open(&store);
    for number in 1..=2 {
        journal.commit(everything(number)).await.unwrap();
        journal.commit(take_once(periodic(&format!("week {number}"), 1_000), "me")).await.unwrap();
    }
    for kind in *b"rscwhtaidf" {
        let key = keys_of(&store, kind).remove(1);
        let whole = store.get(&key).unwrap().unwrap();
        for bit in (0..whole.len() * 8).step_by(3) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            change(&store, &key, Some(flipped));
            match read_second(&journal, kind) {
                Some(Err(ReadError::Damaged(Damage { place, .. }))) => match place {
                    Place::Record { stream: damaged, version } => {
                        assert_eq!((kind, damaged, version), (b'r', stream(2), 1));
                    }
                    Place::FeedGroup { .. } => assert_eq!(kind, b'f'),
                    Place::Key(named) => assert_eq!(named, key, "it is named by its key"),
                },
                Some(read) => panic!("bit {bit} under {}: {read:?}", key.escape_ascii()),
                None => {}
            }
            // All of the other one, by itself and in lists.
            if kind == b'f' {
                assert_eq!(journal.feed(0, 1).unwrap()[0].entries[0].stream, stream(1));
            } else {
                assert_eq!(parts(&journal, 1), ALL_PARTS, "bit {bit} under {}", key.escape_ascii());
            }
            assert!(journal.dead_letters(None, 10).unwrap().contains(&letter(1)));
            assert!(journal.timers(None, 100, 10).unwrap().contains(&timer(1, 50)));
            assert!(journal.activities(None, 100, 10).unwrap().contains(&activity(1, 60, 0)));
        }
        change(&store, &key, Some(whole));
    }
    assert_eq!((parts(&journal, 1), parts(&journal, 2)), (ALL_PARTS, ALL_PARTS));
}
