//! Old backups, taken off a shelf once newer ones stand there.
//!
//! What goes is a whole chain: a full backup with everything that adds to it. It goes from its end, so that whatever
//! is left when somebody pulls the plug can still be restored. What is damaged, or adds to something that is gone, is
//! left alone: it is no copy of anything, and a person should see it.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::shelf::{Kept, Shelf, lock, sync_folder};

/// Removes what the newest `full_kept` full backups, and what adds to them, do without. The chain of `newest` stays
/// whatever its age. Answers the names of what was removed.
///
/// # Errors
/// If the shelf cannot be read or written, or another writes to it; what was removed until then is gone.
pub(crate) fn prune(folder: &Path, full_kept: usize, newest: &Path) -> anyhow::Result<Vec<String>> {
    let _lock = lock(folder)?;
    let superseded = superseded(&Shelf::read(folder)?, full_kept, newest);
    for kept in &superseded {
        fs::remove_file(&kept.path).with_context(|| format!("{} cannot be removed", kept.path.display()))?;
    }
    if !superseded.is_empty() {
        sync_folder(folder)?;
    }
    Ok(superseded.iter().map(Kept::name).collect())
}

/// In the order in which they can go.
fn superseded(shelf: &Shelf, full_kept: usize, newest: &Path) -> Vec<Kept> {
    let full_of = |kept: &Kept| -> Option<PathBuf> { Some(shelf.chain(kept).ok()?.first()?.path.clone()) };
    let full = shelf.kept.iter().rev().filter(|kept| kept.is_full());
    let mut stay: HashSet<PathBuf> = full.take(full_kept).map(|kept| kept.path.clone()).collect();
    stay.extend(shelf.kept.iter().find(|kept| kept.path == newest).and_then(full_of));
    let goes = |kept: &&Kept| full_of(kept).is_some_and(|full| !stay.contains(&full));
    let mut superseded: Vec<Kept> = shelf.kept.iter().filter(goes).cloned().collect();
    superseded.sort_by_cached_key(|kept| {
        let chain = shelf.chain(kept).map_or(0, |chain| chain.len());
        (std::cmp::Reverse(chain), kept.begun_at())
    });
    superseded
}
