//! The files of a folder, whatever the engine: whose they are, what is missing, what was changed.

use std::fs;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_storage::store::{Batch, Engine, Store, StoreError, StoreOptions};

use crate::engines::{on_every_engine, rounds};
use crate::shadow::Chance;

on_every_engine!(
    a_second_server_is_told_who_has_the_folder,
    a_folder_is_opened_only_by_what_made_it,
    someone_elses_folder_is_left_alone,
    a_making_that_was_cut_off_starts_again,
    a_state_that_is_not_known_is_damage_and_never_a_fresh_start,
    a_missing_file_is_damage_and_never_a_fresh_start,
    a_cut_file_is_damage_or_no_matter,
    a_flipped_bit_is_found_or_no_matter,
    a_closed_store_answers_and_changes_nothing,
);

fn a_second_server_is_told_who_has_the_folder(engine: Engine) {
    let place = Place::with_one_key(engine);
    let first = place.open().unwrap();
    let Err(StoreError::Locked { path, holder }) = place.open() else { panic!("two stores in one folder") };
    assert_eq!(Path::new(&path), place.folder);
    let holder = holder.unwrap();
    assert!(holder.starts_with(&format!("process {} (it-", std::process::id())), "{holder}");
    first.close().unwrap();
    place.open().unwrap();
}

fn a_folder_is_opened_only_by_what_made_it(engine: Engine) {
    for other in Engine::ALL.into_iter().filter(|other| *other != engine) {
        let place = Place::with_one_key(engine);
        let Err(StoreError::Unsuitable(said)) = other.open(&place.folder, StoreOptions::default()) else {
            panic!("{other} opened a folder of {engine}")
        };
        assert!(
            said.contains(&format!("engine {engine} and cannot be opened with engine {other}")),
            "{said}"
        );
        assert!(said.contains("journal export") && said.contains("journal import"), "{said}");
        place.assert_key_is_there();
    }
    let place = Place::with_one_key(engine);
    let format = place.folder.join("FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    assert!(text.contains("version = 1\n"), "{text}");
    fs::write(&format, text.replace("version = 1\n", "version = 9\n")).unwrap();
    let Err(StoreError::Unsuitable(said)) = place.open() else { panic!("version 9 was opened") };
    assert!(said.contains("version 9 and cannot be opened"), "{said}");
    fs::write(&format, text).unwrap();
    place.assert_key_is_there();
}

fn someone_elses_folder_is_left_alone(engine: Engine) {
    let place = Place::new(engine);
    fs::create_dir_all(&place.folder).unwrap();
    fs::write(place.folder.join("letter.txt"), "dear").unwrap();
    let Err(StoreError::Unsuitable(said)) = place.open() else { panic!("a store in a home") };
    assert!(said.contains("letter.txt"), "{said}");
    assert_eq!(fs::read_to_string(place.folder.join("letter.txt")).unwrap(), "dear");
}

fn a_making_that_was_cut_off_starts_again(engine: Engine) {
    let place = Place::with_one_key(engine);
    let format = place.folder.join("FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("state = ready", "state = making")).unwrap();
    for file in place.files() {
        fs::write(place.folder.join(file), "half a ").unwrap();
    }
    let store = place.open().unwrap();
    assert_eq!(store.get(b"key").unwrap(), None);
}

fn a_state_that_is_not_known_is_damage_and_never_a_fresh_start(engine: Engine) {
    for state in ["", "state = \n", "state = raedy\n", "state = makin\n", "state=ready\n"] {
        let place = Place::with_one_key(engine);
        let format = place.folder.join("FORMAT");
        let text = fs::read_to_string(&format).unwrap();
        fs::write(&format, text.replace("state = ready\n", state)).unwrap();
        assert_damaged(place.open(), "does not say its state");
        fs::write(&format, text).unwrap();
        place.assert_key_is_there();
    }
}

fn a_missing_file_is_damage_and_never_a_fresh_start(engine: Engine) {
    let full = Place::with_many_keys(engine);
    for file in full.files() {
        let place = full.copied();
        let missing = place.folder.join(&file);
        fs::remove_file(&missing).unwrap();
        match place.open() {
            Ok(store) => {
                let said = full.compare(&*store);
                assert!(said.is_none(), "{} is missing: {said:?}", file.display());
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged(_)), "{}: {error}", file.display());
                assert!(error.to_string().contains("keep a copy of the whole data folder"), "{error}");
                assert!(!missing.exists(), "{} was made anew", file.display());
            }
        }
    }
}

fn a_cut_file_is_damage_or_no_matter(engine: Engine) {
    let full = Place::with_many_keys(engine);
    let mut chance = Chance(11);
    for file in full.files() {
        for _ in 0..rounds(3) {
            let place = full.copied();
            let cut = fs::OpenOptions::new().write(true).open(place.folder.join(&file)).unwrap();
            let used = used(&full.folder.join(&file));
            let at = chance.below(used.max(1));
            cut.set_len(at).unwrap();
            full.judge(&place, &format!("{} cut at {at} of {used}", file.display()));
        }
    }
}

/// One bit flipped anywhere: the store opens with all it had, or says that it is damaged, at once or when it is read.
/// It never panics, and never lets a value through that was not written.
fn a_flipped_bit_is_found_or_no_matter(engine: Engine) {
    let full = Place::with_many_keys(engine);
    let mut chance = Chance(5);
    for file in full.files() {
        let used = used(&full.folder.join(&file));
        for _ in 0..rounds(12).min(used) {
            let place = full.copied();
            let path = place.folder.join(&file);
            let (at, bit) = (chance.below(used), chance.below(8));
            flip(&path, at, bit);
            full.judge(&place, &format!("bit {bit} of {} at {at} of {used}", file.display()));
        }
    }
}

fn a_closed_store_answers_and_changes_nothing(engine: Engine) {
    let place = Place::with_one_key(engine);
    let store = place.open().unwrap();
    store.close().unwrap();
    assert!(matches!(store.get(b"key"), Err(StoreError::Io(_))));
    assert!(store.range(Bound::Unbounded, Bound::Unbounded).next().unwrap().is_err());
    assert!(store.commit(one_key()).is_err());
    assert!(store.size_on_disk().is_err());
    store.close().unwrap();
    place.assert_key_is_there();
}

pub(crate) fn assert_damaged(outcome: Result<Arc<dyn Store>, StoreError>, said: &str) {
    let Err(StoreError::Damaged(why)) = outcome else { panic!("no damage was found") };
    assert!(why.contains(said) && why.contains("keep a copy of the whole data folder"), "{why}");
}

/// Flips a bit of a file in its place.
pub(crate) fn flip(path: &Path, at: u64, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}

/// The bytes of a file up to the last that is not zero.
pub(crate) fn used(path: &Path) -> u64 {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let bytes = fs::read(path).unwrap();
    let last = bytes.chunks(ZEROS.len()).rposition(|chunk| *chunk != ZEROS[..chunk.len()]);
    last.map_or(0, |chunk| {
        let mut used = bytes[chunk * ZEROS.len()..].iter().take(ZEROS.len());
        let in_chunk = used.rposition(|byte| *byte != 0).unwrap();
        (chunk * ZEROS.len() + in_chunk) as u64 + 1
    })
}

fn one_key() -> Batch {
    let mut batch = Batch::default();
    batch.put("key", "value");
    batch
}

/// A folder of an engine, and what is in it.
pub(crate) struct Place {
    _root: tempfile::TempDir,
    engine: Engine,
    pub(crate) folder: PathBuf,
}

const KEYS: u32 = 3_000;

fn many_keys_value(key: u32) -> Vec<u8> {
    key.to_be_bytes().repeat(60 + key as usize % 50)
}

impl Place {
    pub(crate) fn new(engine: Engine) -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { folder: root.path().join("store"), _root: root, engine }
    }

    pub(crate) fn with_one_key(engine: Engine) -> Self {
        let place = Self::new(engine);
        let store = place.open().unwrap();
        store.commit(one_key()).unwrap();
        store.close().unwrap();
        place
    }

    /// A folder that was written to for a while and opened more than once, so that there is some of everything.
    pub(crate) fn with_many_keys(engine: Engine) -> Self {
        let place = Self::new(engine);
        for part in 0..3 {
            let store = place.open().unwrap();
            let keys = part * (KEYS / 3)..(part + 1) * (KEYS / 3);
            for group in keys.collect::<Vec<_>>().chunks(100) {
                let mut batch = Batch::default();
                group.iter().for_each(|key| batch.put(key.to_be_bytes(), many_keys_value(*key)));
                store.commit(batch).unwrap();
            }
            store.close().unwrap();
        }
        place
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.engine.open(&self.folder, StoreOptions { cache_bytes: 1 << 20 })
    }

    /// Another folder with the same files.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::new(self.engine);
        copy_folder(&self.folder, &copy.folder);
        copy
    }

    pub(crate) fn assert_key_is_there(&self) {
        let store = self.open().unwrap();
        assert_eq!(store.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        store.close().unwrap();
    }

    /// The engine's files, as paths below the folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !["LOCK", "FORMAT", "CLOSED"].iter().any(|name| path.ends_with(name)) {
                    files.push(path.strip_prefix(&self.folder).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    /// What is wrong with what a store says it holds, or an error that it gives; nothing if all is there.
    fn compare(&self, store: &dyn Store) -> Option<String> {
        let mut expected = 0..KEYS;
        for pair in store.range(Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = match pair {
                Ok(pair) => pair,
                Err(error) => return Some(format!("error {error}")),
            };
            let next = expected.next();
            if next.is_none_or(|next| key != next.to_be_bytes() || value != many_keys_value(next)) {
                return Some(format!("{next:?} is gone or not what was written: {key:?}"));
            }
        }
        expected.next().map(|next| format!("{next} and what follows is gone"))
    }

    /// A folder in which something was changed opens with all that this one has, or says that it is damaged.
    fn judge(&self, changed: &Self, how: &str) {
        match changed.open() {
            Ok(store) => {
                let said = self.compare(&*store);
                assert!(
                    said.as_ref().is_none_or(|said| said.starts_with("error damaged")),
                    "{how}: {said:?}"
                );
                let _ = store.close();
            }
            Err(StoreError::Damaged(said)) => {
                assert!(said.contains("keep a copy of the whole"), "{how}: {said}")
            }
            Err(other) => panic!("{how}: {other:?}"),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
