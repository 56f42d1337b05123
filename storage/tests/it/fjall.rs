//! The end of fjall's journal: what a power cut tears is cut off, and damage is never taken for that.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use throughline_storage::store::{Batch, Engine};

use crate::files::{Place, assert_damaged, flip, used};

/// Values of so many bytes make up each of the batches; the last has another content.
const VALUE_BYTES: usize = 20_000;

struct Torn {
    place: Place,
    journal: PathBuf,
    /// Where the last batch begins and ends.
    from: u64,
    to: u64,
}

/// A folder with three batches in its journal, as a process leaves it that is killed.
fn three_batches() -> Torn {
    let place = Place::new(Engine::Fjall);
    let store = place.open().unwrap();
    let journal = place.folder.join("fjall/0.jnl");
    let mut ends = vec![];
    for number in 1..=3_u8 {
        let mut batch = Batch::default();
        (0..3_u8).for_each(|key| batch.put([key], vec![number; VALUE_BYTES]));
        store.commit(batch).unwrap();
        ends.push(used(&journal));
    }
    store.close().unwrap();
    fs::remove_file(place.folder.join("CLOSED")).unwrap(); // The process was killed.
    // Most of what is laid out for later is left away, to be quick.
    OpenOptions::new().write(true).open(&journal).unwrap().set_len(ends[2] + 10_000).unwrap();
    Torn { journal, from: ends[1], to: ends[2], place }
}

impl Torn {
    /// The same in another folder.
    fn again(&self) -> Self {
        let place = self.place.copied();
        Self { journal: place.folder.join("fjall/0.jnl"), from: self.from, to: self.to, place }
    }

    fn overwrite(&self, at: u64, bytes: &[u8]) {
        OpenOptions::new().write(true).open(&self.journal).unwrap().write_all_at(bytes, at).unwrap();
    }

    #[track_caller]
    fn assert_batches(&self, number: u8) {
        let store = self.place.open().unwrap();
        for key in 0..3_u8 {
            let value = store.get(&[key]).unwrap();
            assert!(value.is_some_and(|value| value == vec![number; VALUE_BYTES]), "{number}");
        }
        store.close().unwrap();
    }
}

#[test]
fn a_last_batch_that_lacks_a_block_anywhere_was_never_acknowledged() {
    let whole = three_batches();
    whole.again().assert_batches(3);
    for block in whole.from / 4096..=(whole.to - 1) / 4096 {
        let torn = whole.again();
        let (from, to) = ((block * 4096).max(torn.from), ((block + 1) * 4096).min(torn.to));
        torn.overwrite(from, &vec![0; (to - from) as usize]);
        torn.assert_batches(2);
        // And it can be gone on with.
        let store = torn.place.open().unwrap();
        let mut batch = Batch::default();
        (0..3_u8).for_each(|key| batch.put([key], vec![4; VALUE_BYTES]));
        store.commit(batch).unwrap();
        store.close().unwrap();
        torn.assert_batches(4);
    }
}

#[test]
fn a_last_batch_that_was_cut_off_anywhere_was_never_acknowledged() {
    let whole = three_batches();
    for at in (whole.from + 1..whole.to).step_by(2_557).chain([whole.to - 1]) {
        let torn = whole.again();
        torn.overwrite(at, &vec![0; (torn.to - at) as usize]);
        torn.assert_batches(2);
    }
}

#[test]
fn a_block_that_is_gone_further_up_is_damage() {
    let whole = three_batches();
    for block in 0..whole.from / 4096 {
        let torn = whole.again();
        torn.overwrite(block * 4096, &[0; 4096]);
        let before = fs::read(&torn.journal).unwrap();
        assert_damaged(torn.place.open(), "the journal fjall/0.jnl is damaged");
        assert!(fs::read(&torn.journal).unwrap() == before, "damage is left as it is");
    }
}

#[test]
fn a_flipped_bit_in_the_last_batch_is_damage_too() {
    let whole = three_batches();
    for at in (whole.from..whole.to).step_by(1_999) {
        let torn = whole.again();
        flip(&torn.journal, at, 4);
        assert_damaged(torn.place.open(), "the journal fjall/0.jnl is damaged");
    }
}

#[test]
fn a_journal_missing_between_two_others_is_damage() {
    let torn = three_batches();
    fs::rename(&torn.journal, torn.place.folder.join("fjall/2.jnl")).unwrap();
    fs::write(torn.place.folder.join("fjall/0.jnl"), "").unwrap();
    assert_damaged(torn.place.open(), "the journal 1.jnl is missing");
}
