//! The cures of sled that cannot be seen from a clean run.

use std::fs;
use std::path::PathBuf;

use throughline_storage::store::{Engine, StoreError};

use crate::files::{Place, assert_damaged};

#[test]
fn a_folder_of_other_segments_is_not_opened() {
    let place = Place::with_one_key(Engine::Sled);
    let format = place.folder.join("FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("segment_bytes = 8388608", "segment_bytes = 524288")).unwrap();
    let Err(StoreError::Unsuitable(said)) = place.open() else { panic!("other segments were opened") };
    assert!(said.contains("segment_bytes 524288 and cannot be opened"), "{said}");
}

#[test]
fn a_snapshot_cut_off_half_way_does_no_harm() {
    let place = Place::with_one_key(Engine::Sled);
    fs::write(place.folder.join("snap.00000000FFFFFFFF.generating"), "half a snap").unwrap();
    place.assert_key_is_there();
}

#[test]
fn damage_is_told_with_what_to_do_about_it() {
    let place = Place::with_one_key(Engine::Sled);
    fs::write(snapshot(&place), "this is no snapshot, whatever its name says").unwrap();
    assert_damaged(place.open(), "cannot be opened");
}

/// The engine's snapshot, which it writes when it opens a folder that has been written to.
fn snapshot(place: &Place) -> PathBuf {
    place.open().unwrap().close().unwrap();
    let name = place.files().into_iter().find(|file| file.to_str().unwrap().starts_with("snap."));
    place.folder.join(name.expect("a snapshot"))
}
