//! Power cuts: what was acknowledged is there afterwards, whole, and nothing else is there in part.
//!
//! A child process commits batches and says so after each; it is killed at a random moment, and what a power cut
//! would have left of its folder is opened and compared with what the batches should have made of it.

use std::fs;
use std::time::Duration;

use throughline_storage::store::Engine;

use crate::child::{Content, LAST, Running, batch, child};
use crate::engines::{first_seed, on_every_engine, rounds};
use crate::shadow::{Chance, Shadow, Shim};

on_every_engine!(a_power_cut_takes_back_nothing_that_was_acknowledged);

/// Fewer batches than this, and next to nothing was tested.
const ENOUGH: u64 = 100;

fn a_power_cut_takes_back_nothing_that_was_acknowledged(engine: Engine) {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut acknowledged, mut lived) = (0, 0);
    // A machine that is slow, or busy with something else, does less in a life of a given length: it has more lives.
    while lived < rounds(2) || acknowledged < ENOUGH {
        assert!(lived < rounds(2) * 20, "only {acknowledged} batches were acknowledged in {lived} rounds");
        acknowledged += crash_again_and_again(engine, &shim, first_seed() + lived);
        lived += 1;
    }
}

/// One folder through five crashes, each going on from what one of the states of the former left behind. Returns how
/// many batches were acknowledged.
fn crash_again_and_again(engine: Engine, shim: &Shim, seed: u64) -> u64 {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after, next) =
        (place.path().join("live"), place.path().join("after"), place.path().join("next"));
    fs::create_dir(&live).unwrap();
    let mut chance = Chance(seed);
    let mut expected = Content::new(engine, seed);
    let mut acknowledged_in_all = 0;
    // Short lives die while they open the folder, long ones while the engine tidies up behind its commits.
    for longest_ms in [300, 60, 900, 60, 300] {
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut child = child("write", engine, &live, seed, expected.last + 1);
        shim.preload(&mut child, &shadow);
        let lifetime = Duration::from_millis(longest_ms / 2 + chance.below(longest_ms / 2));
        let acknowledged = Running::start(child).kill_after(lifetime).acknowledged().max(expected.last);
        acknowledged_in_all += acknowledged - expected.last;
        expected.advance(acknowledged);

        let go_on_with = chance.below(4);
        let mut going_on = expected.clone();
        for state in 0..4 {
            match state {
                0 => shadow.durable(&after).unwrap(),
                1 => shadow.powered(&after).unwrap(),
                _ => shadow.mixture(&after, chance.next()).unwrap(),
            }
            let mut found = expected.clone();
            found.open_and_compare(&after);
            if state == go_on_with {
                fs::rename(&after, &next).unwrap();
                going_on = found;
            }
        }
        expected = going_on;
        fs::remove_dir_all(&live).unwrap();
        fs::rename(&next, &live).unwrap();
    }
    acknowledged_in_all
}

/// The shim has teeth: bare sled, which never syncs, loses what it acknowledged.
#[test]
fn the_bare_engine_would_lose_acknowledged_batches() {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lost = (0..10).any(|round| {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (live, after) = (place.path().join("live"), place.path().join("after"));
        fs::create_dir(&live).unwrap();
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut child = child("crash::write_bare", Engine::Sled, &live, round, 1);
        shim.preload(&mut child, &shadow);
        let acknowledged = Running::start(child).kill_after(Duration::from_millis(300)).acknowledged();
        shadow.durable(&after).unwrap();
        let found = std::panic::catch_unwind(|| {
            let db = ::sled::open(after.join("store")).ok()?;
            db.get(LAST).ok()?.map(|last| u64::from_be_bytes(last.as_ref().try_into().unwrap()))
        });
        found.ok().flatten().is_none_or(|found| found < acknowledged)
    });
    assert!(lost, "ten power cuts and nothing lost: the shim does not work");
}

#[test]
#[ignore = "work of a child"]
fn write_bare() {
    let Some(folder) = crate::child::folder() else { return };
    let db = ::sled::open(folder.join("store")).unwrap();
    for number in 1.. {
        let mut changes = ::sled::Batch::default();
        for (key, value) in batch(0, number).changes {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        db.apply_batch(changes).unwrap();
        db.flush().unwrap();
        crate::child::acknowledge(number);
    }
}
