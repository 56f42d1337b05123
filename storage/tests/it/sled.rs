//! What an operator meets when a folder cannot be opened, and the cures that cannot be seen from a clean run.

use std::fs;
use std::path::{Path, PathBuf};

use throughline_storage::store::sled::{SledOptions, SledStore};
use throughline_storage::store::{Batch, Store, StoreError};

#[test]
fn a_second_server_is_told_who_has_the_folder() {
    let place = Place::with_one_key();
    let first = place.open().unwrap();
    let Err(StoreError::Locked { path, holder }) = place.open() else { panic!("two stores in one folder") };
    assert_eq!(Path::new(&path), place.folder);
    let holder = holder.unwrap();
    assert!(holder.starts_with(&format!("process {} (it-", std::process::id())), "{holder}");
    first.close().unwrap();
    place.open().unwrap();
}

#[test]
fn a_folder_is_opened_only_by_what_made_it() {
    for (from, to) in [
        ("engine = sled", "engine = fjall"),
        ("version = 1", "version = 9"),
        ("bytes = 8388608", "bytes = 524288"),
    ] {
        let place = Place::with_one_key();
        let format = place.folder.join("FORMAT");
        let text = fs::read_to_string(&format).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&format, text.replace(from, to)).unwrap();
        let Err(StoreError::Unsuitable(said)) = place.open() else { panic!("{to} was opened") };
        let (name, value) = to.split_once(" = ").unwrap();
        assert!(said.contains(&format!("{name} {value} and cannot be opened")), "{said}");
        fs::write(&format, text).unwrap();
        place.assert_key_is_there();
    }
}

#[test]
fn someone_elses_folder_is_left_alone() {
    let place = Place::new();
    fs::create_dir_all(&place.folder).unwrap();
    fs::write(place.folder.join("letter.txt"), "dear").unwrap();
    let Err(StoreError::Unsuitable(said)) = place.open() else { panic!("a store in a home") };
    assert!(said.contains("letter.txt"), "{said}");
    assert_eq!(fs::read_to_string(place.folder.join("letter.txt")).unwrap(), "dear");
}

#[test]
fn a_making_that_was_cut_off_starts_again() {
    let place = Place::with_one_key();
    let format = place.folder.join("FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("state = ready", "state = making")).unwrap();
    fs::write(place.folder.join("conf"), "half a ").unwrap();
    let store = place.open().unwrap();
    assert_eq!(store.get(b"key").unwrap(), None);
}

#[test]
fn a_state_that_is_not_known_is_damage_and_never_a_fresh_start() {
    for state in ["", "state = \n", "state = raedy\n", "state = makin\n", "state=ready\n"] {
        let place = Place::with_one_key();
        let format = place.folder.join("FORMAT");
        let text = fs::read_to_string(&format).unwrap();
        fs::write(&format, text.replace("state = ready\n", state)).unwrap();
        assert_damaged(place.open(), "does not say its state");
        fs::write(&format, text).unwrap();
        place.assert_key_is_there();
    }
}

#[test]
fn a_snapshot_cut_off_half_way_does_no_harm() {
    let place = Place::with_one_key();
    fs::write(place.folder.join("snap.00000000FFFFFFFF.generating"), "half a snap").unwrap();
    place.assert_key_is_there();
}

#[test]
fn a_missing_file_is_damage_and_never_a_fresh_start() {
    for name in ["db", "conf"] {
        let place = Place::with_one_key();
        fs::remove_file(place.folder.join(name)).unwrap();
        assert_damaged(place.open(), name);
        assert!(!place.folder.join(name).exists());
    }
}

#[test]
fn damage_is_told_with_what_to_do_about_it() {
    let place = Place::with_one_key();
    let snapshot = place.snapshot();
    fs::write(snapshot, "this is no snapshot, whatever its name says").unwrap();
    assert_damaged(place.open(), "cannot be opened");
}

/// Bytes flipped anywhere: the store opens with what it had, or says that it is damaged. It never panics, and never
/// lets a value through that was not written.
#[test]
fn flipped_bytes_are_an_error_or_no_matter() {
    let place = Place::with_one_key();
    let store = place.open().unwrap();
    for batch in 0..20_u32 {
        let mut changes = Batch::default();
        (0..30_u32)
            .for_each(|key| changes.put([batch.to_be_bytes(), key.to_be_bytes()].concat(), vec![7; 300]));
        store.commit(changes).unwrap();
    }
    store.close().unwrap();
    drop(store);
    for (name, step) in [("db", 9_973), ("conf", 5)] {
        let path = place.folder.join(name);
        let whole = fs::read(&path).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for at in (0..used).step_by(step) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            let copy = Place::new();
            fs::create_dir(&copy.folder).unwrap();
            for file in ["FORMAT", "db", "conf"] {
                fs::copy(place.folder.join(file), copy.folder.join(file)).unwrap();
            }
            fs::create_dir(copy.folder.join("blobs")).unwrap();
            fs::write(copy.folder.join(name), flipped).unwrap();
            let Ok(store) = copy.open() else { continue };
            let values = store.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
            for (_, value) in values.map_while(Result::ok) {
                assert!(value == b"value" || value == vec![7; 300], "{name} at {at}");
            }
        }
    }
}

#[test]
fn a_closed_store_answers_and_changes_nothing() {
    let place = Place::with_one_key();
    let store = place.open().unwrap();
    store.close().unwrap();
    assert!(matches!(store.get(b"key"), Err(StoreError::Io(_))));
    assert!(store.commit(one_key()).is_err());
    store.close().unwrap();
    place.assert_key_is_there();
}

fn assert_damaged(outcome: Result<SledStore, StoreError>, said: &str) {
    let Err(StoreError::Damaged(why)) = outcome else { panic!("no damage was found") };
    assert!(why.contains(said) && why.contains("keep a copy of the whole data folder"), "{why}");
}

fn one_key() -> Batch {
    let mut batch = Batch::default();
    batch.put("key", "value");
    batch
}

struct Place {
    _root: tempfile::TempDir,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { folder: root.path().join("store"), _root: root }
    }

    fn with_one_key() -> Self {
        let place = Self::new();
        let store = place.open().unwrap();
        store.commit(one_key()).unwrap();
        store.close().unwrap();
        place
    }

    fn open(&self) -> Result<SledStore, StoreError> {
        SledStore::open(&self.folder, SledOptions::default())
    }

    fn assert_key_is_there(&self) {
        let store = self.open().unwrap();
        assert_eq!(store.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        store.close().unwrap();
    }

    /// The engine's snapshot, which it writes when it opens a folder that has been written to.
    fn snapshot(&self) -> PathBuf {
        self.open().unwrap().close().unwrap();
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let mut snapshots =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap."));
        snapshots.next().expect("a snapshot")
    }
}
