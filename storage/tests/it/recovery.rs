//! Kills while a folder is opened that has to be recovered, again and again: each opening goes on from what the one
//! before has done and left undone.

use std::fs;
use std::time::Duration;

use throughline_storage::store::Engine;

use crate::child::{Content, Running, child};
use crate::engines::{first_seed, on_every_engine, rounds};
use crate::shadow::{Chance, Shadow, Shim};

on_every_engine!(a_kill_while_a_folder_is_recovered_takes_back_nothing);

fn a_kill_while_a_folder_is_recovered_takes_back_nothing(engine: Engine) {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let killed: u64 = (0..2).map(|round| kill_openings(engine, &shim, first_seed() + round)).sum();
    assert!(killed > 0, "every opening was over before its kill: next to nothing was tested");
}

/// Returns how many openings were killed before they were over.
fn kill_openings(engine: Engine, shim: &Shim, seed: u64) -> u64 {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after) = (place.path().join("live"), place.path().join("after"));
    fs::create_dir(&live).unwrap();
    let mut chance = Chance(seed);
    let mut expected = Content::new(engine, seed);
    let mut killed = 0;
    for _ in 0..rounds(2) {
        // Something to recover.
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut writer = child("write", engine, &live, seed, expected.last + 1);
        shim.preload(&mut writer, &shadow);
        let acknowledged = Running::start(writer).kill_after(Duration::from_millis(300)).acknowledged();
        expected.advance(acknowledged.max(expected.last));
        // How long an opening takes, to aim at its middle.
        let mut longest_us = 40_000;
        for _ in 0..8 {
            let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
            let mut opening = child("open_only", engine, &live, seed, 0);
            shim.preload(&mut opening, &shadow);
            let mut opening = Running::start(opening);
            assert!(opening.wait_for("opening"));
            let ended = opening.kill_after(Duration::from_micros(chance.below(longest_us)));
            assert!(!ended.said("refused"), "{}", ended.told());
            if ended.said("opened") {
                longest_us = (longest_us / 2).max(2_000);
            } else {
                killed += 1;
            }
            match chance.below(3) {
                0 => shadow.durable(&after).unwrap(),
                1 => shadow.mixture(&after, chance.next()).unwrap(),
                _ => continue, // Only the process died.
            }
            fs::remove_dir_all(&live).unwrap();
            fs::rename(&after, &live).unwrap();
        }
        expected.open_and_compare(&live);
    }
    killed
}
