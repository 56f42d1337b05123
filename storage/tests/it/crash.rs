//! Power cuts: what was acknowledged is there afterwards, whole, and nothing else is there in part.
//!
//! A child process commits batches and says so after each; it is killed at a random moment, and what a power cut
//! would have left of its folder is opened and compared with what the batches should have made of it. The child is
//! this very binary, started again with one of the ignored tests as its only work.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::ops::Bound;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use throughline_storage::store::sled::{SledOptions, SledStore};
use throughline_storage::store::{Batch, Store, StoreError};

#[path = "../../../tests/shadow/shadow.rs"]
mod shadow;

use shadow::{Chance, Shadow, Shim};

const FOLDER: &str = "CRASH_TEST_FOLDER";
const SEED: &str = "CRASH_TEST_SEED";
const FIRST: &str = "CRASH_TEST_FIRST";

/// The key under which each batch leaves its number.
const LAST: &[u8] = b"last";

#[test]
fn a_power_cut_takes_back_nothing_that_was_acknowledged() {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let acknowledged: u64 = (1..=3).map(|seed| crash_again_and_again(&shim, seed)).sum();
    assert!(acknowledged > 100, "only {acknowledged} batches were acknowledged: next to nothing was tested");
}

/// One folder through five crashes, each going on from what one of the states of the former left behind. Returns how
/// many batches were acknowledged.
fn crash_again_and_again(shim: &Shim, seed: u64) -> u64 {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (live, after, next) =
        (place.path().join("live"), place.path().join("after"), place.path().join("next"));
    fs::create_dir(&live).unwrap();
    let mut chance = Chance(seed);
    let mut expected = Content::new(seed);
    let mut acknowledged_in_all = 0;
    // Short lives die while they open the folder, long ones while segments are cleaned up and used again.
    for longest_ms in [300, 60, 900, 60, 300] {
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut child = child("write", &live, seed, expected.last + 1);
        shim.preload(&mut child, &shadow);
        let lifetime = Duration::from_millis(longest_ms / 2 + chance.below(longest_ms / 2));
        let acknowledged = kill_after(lifetime, child).max(expected.last);
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
            open_and_compare(&after, &mut found);
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

/// The shim has teeth: the bare engine, which never syncs, loses what it acknowledged.
#[test]
fn the_bare_engine_would_lose_acknowledged_batches() {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lost = (0..10).any(|round| {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (live, after) = (place.path().join("live"), place.path().join("after"));
        fs::create_dir(&live).unwrap();
        let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
        let mut child = child("write_bare", &live, round, 1);
        shim.preload(&mut child, &shadow);
        let acknowledged = kill_after(Duration::from_millis(300), child);
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
fn a_sync_that_fails_poisons_the_store_for_good() {
    let shim = Shim::build(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let live = place.path().join("live");
    fs::create_dir(&live).unwrap();
    SledStore::open(live.join("store"), SledOptions::default()).unwrap().close().unwrap();
    let shadow = Shadow::begin(&live, place.path().join("shadow")).unwrap();
    let mut child = child("write_until_a_sync_fails", &live, 1, 1);
    shim.preload_failing(&mut child, &shadow, 30);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged = last_acknowledged(&output.stdout);
    assert!(acknowledged > 0);
    let after = place.path().join("after");
    shadow.durable(&after).unwrap();
    let mut expected = Content::new(1);
    expected.advance(acknowledged);
    open_and_compare(&after, &mut expected);
}

#[test]
#[ignore = "the child of the tests above"]
fn write() {
    let Some((store, seed, first)) = open_as_child() else { return };
    for number in first.. {
        store.commit(batch(seed, number)).unwrap();
        acknowledge(number);
    }
}

#[test]
#[ignore = "the child of the tests above"]
fn write_bare() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let db = ::sled::open(Path::new(&folder).join("store")).unwrap();
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
        acknowledge(number);
    }
}

#[test]
#[ignore = "the child of the tests above"]
fn write_until_a_sync_fails() {
    let Some((store, seed, first)) = open_as_child() else { return };
    for number in first.. {
        match store.commit(batch(seed, number)) {
            Ok(()) => acknowledge(number),
            Err(error) => {
                assert!(matches!(error, StoreError::Io(_)), "{error}");
                break;
            }
        }
    }
    for _ in 0..3 {
        assert!(matches!(store.commit(batch(seed, 1)), Err(StoreError::Poisoned(_))));
    }
    assert!(store.get(LAST).is_ok(), "reads go on");
    assert!(matches!(store.close(), Err(StoreError::Poisoned(_))));
}

fn child(work: &str, folder: &Path, seed: u64, first: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("crash::{work}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(SEED, seed.to_string()).env(FIRST, first.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// None when somebody runs the ignored tests by hand.
fn open_as_child() -> Option<(SledStore, u64, u64)> {
    let folder = std::env::var(FOLDER).ok()?;
    let number = |name| std::env::var(name).unwrap().parse().unwrap();
    let options = SledOptions { cache_bytes: 8 << 20 };
    Some((SledStore::open(Path::new(&folder).join("store"), options).unwrap(), number(SEED), number(FIRST)))
}

fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nacknowledged {number}").and_then(|()| out.flush()).unwrap();
}

fn last_acknowledged(output: &[u8]) -> u64 {
    let output = String::from_utf8_lossy(output);
    // A line that the kill cut short says nothing.
    let whole = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).max().unwrap_or(0)
}

/// Lets a child live for so long. Returns the last batch that it acknowledged.
fn kill_after(lifetime: Duration, mut command: Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        output.read_to_end(&mut all).unwrap();
        all
    });
    std::thread::sleep(lifetime); // The kill has to come from outside and at no moment of the child's choosing.
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    let end = child.wait_with_output().unwrap();
    assert!(ended.is_none(), "the child ended by itself: {}", String::from_utf8_lossy(&end.stderr));
    last_acknowledged(&reader.join().unwrap())
}

/// The n-th batch of a seed: new keys, changed ones, removed ones, and its own number.
fn batch(seed: u64, number: u64) -> Batch {
    let mut chance = Chance(seed ^ number.wrapping_mul(0x1000_0001));
    let mut batch = Batch::default();
    let group = 1 + chance.below(128);
    let longest = if chance.below(3) == 0 { 20_000 } else { 1_000 };
    for index in 0..group {
        let len = 100 + chance.below(longest - 100);
        let value = format!("{number} {index} ").into_bytes().into_iter().cycle().take(len as usize);
        match chance.below(8) {
            0 => batch.put(format!("new {number:08} {index}"), value.collect::<Vec<_>>()),
            1 => batch.remove(format!("slot {:03}", chance.below(400))),
            _ => batch.put(format!("slot {:03}", chance.below(400)), value.collect::<Vec<_>>()),
        }
    }
    batch.put(LAST, number.to_be_bytes());
    batch
}

/// What a folder must hold after the batches up to `last`.
#[derive(Clone)]
struct Content {
    seed: u64,
    last: u64,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Content {
    fn new(seed: u64) -> Self {
        Self { seed, last: 0, pairs: BTreeMap::new() }
    }

    fn advance(&mut self, to: u64) {
        for (key, value) in (self.last + 1..=to).flat_map(|number| batch(self.seed, number).changes) {
            match value {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
        self.last = to;
    }
}

/// Opens what a crash left. It must hold exactly the batches that were acknowledged, or one more: the one that was
/// being committed.
fn open_and_compare(root: &Path, expected: &mut Content) {
    let store = SledStore::open(root.join("store"), SledOptions::default()).unwrap();
    let last = store.get(LAST).unwrap().map_or(0, |last| u64::from_be_bytes(last.try_into().unwrap()));
    let acknowledged = expected.last;
    assert!(
        last == acknowledged || last == acknowledged + 1,
        "{acknowledged} batches were acknowledged, {last} are there (seed {})",
        expected.seed
    );
    expected.advance(last);
    let mut found = store.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap);
    for (key, value) in &expected.pairs {
        let same = found.next().is_some_and(|found| found.0 == *key && found.1 == *value);
        assert!(same, "{} is not as batch {last} left it", String::from_utf8_lossy(key));
    }
    assert!(found.next().is_none(), "something is there that batch {last} had not left");
    drop(found);
    store.close().unwrap();
}
