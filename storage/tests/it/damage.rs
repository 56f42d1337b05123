//! What was changed, removed or moved on disk is found, and named.

use std::ops::Bound;

use proptest::prelude::*;
use throughline_storage::journal::{Damage, Journal, Place, ReadError};
use throughline_storage::store::memory::MemoryStore;
use throughline_storage::store::{Batch, Store};

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
