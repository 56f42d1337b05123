//! Disks that refuse: full at any write, or failing at any sync. What was acknowledged stays, nothing is tried twice,
//! and the folder opens once the disk is well again.

use std::fs;
use std::path::Path;
use std::process::Command;

use throughline_storage::store::Engine;

use crate::child::{Content, Ended, Running, child};
use crate::engines::{first_seed, on_every_engine, rounds};
use crate::shadow::{Chance, Shadow, Shim};

on_every_engine!(
    a_disk_that_is_full_at_any_write_takes_back_nothing,
    a_disk_that_is_full_for_a_moment_takes_back_nothing,
    a_sync_that_fails_at_any_moment_poisons_the_store_for_good,
);

fn a_disk_that_is_full_at_any_write_takes_back_nothing(engine: Engine) {
    fail_again_and_again(engine, 5, |shim, command, shadow, chance| {
        shim.preload_full(command, shadow, 1 + chance.below(250), None);
    });
}

fn a_disk_that_is_full_for_a_moment_takes_back_nothing(engine: Engine) {
    fail_again_and_again(engine, 5, |shim, command, shadow, chance| {
        let writes = 1 + chance.below(3);
        shim.preload_full(command, shadow, 1 + chance.below(250), Some(writes));
    });
}

fn a_sync_that_fails_at_any_moment_poisons_the_store_for_good(engine: Engine) {
    fail_again_and_again(engine, 5, |shim, command, shadow, chance| {
        shim.preload_failing(command, shadow, 1 + chance.below(60) as u32);
    });
}

/// One folder through many failures, early and late, each life going on from what the former left: once by a process
/// that ends, once by a power cut on top.
fn fail_again_and_again(
    engine: Engine,
    usual: u64,
    preload: impl Fn(&Shim, &mut Command, &Shadow, &mut Chance),
) {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after) = (place.path().join("live"), place.path().join("after"));
    fs::create_dir(&live).unwrap();
    let seed = first_seed();
    let mut chance = Chance(seed);
    let mut expected = Content::new(engine, seed);
    let mut failures_of_commits = 0;
    for _ in 0..rounds(usual) {
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut command = child("write_until_it_fails", engine, &live, seed, expected.last + 1);
        preload(&shim, &mut command, &shadow, &mut chance);
        let ended = Running::start(command).end_by_itself();
        assert_it_failed_well(&ended);
        failures_of_commits += u64::from(ended.said("failed"));
        expected.advance(ended.acknowledged().max(expected.last));

        if chance.coin() {
            shadow.durable(&after).unwrap();
        } else {
            shadow.powered(&after).unwrap();
        }
        expected.open_and_compare(&after);
        replace(&live, &after);
    }
    assert!(failures_of_commits > 0, "no commit has failed: next to nothing was tested");
}

/// The child was refused by its disk while it opened the folder, or by a commit; and it said so in order.
fn assert_it_failed_well(ended: &Ended) {
    let told = ended.told();
    assert!(ended.succeeded, "{told}");
    assert!(ended.said("refused: ") || ended.said("ended"), "{told}");
    assert!(!ended.errors.contains("panicked"), "{told}");
}

fn replace(live: &Path, after: &Path) {
    fs::remove_dir_all(live).unwrap();
    fs::rename(after, live).unwrap();
}
