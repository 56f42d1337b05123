//! A store made anew from archives: the one that stands by itself first, then those that add to it, in order.
//!
//! What an earlier archive of such a row says counts only for records and feed; all else is as the last one says. So
//! what was removed between two of them does not come back.

use std::io::Read;

use crate::archive::{Archive, ArchiveError, End, FilePart, Frame, is_added_to};
use crate::store::{Batch, Store, StoreError};

/// Why an archive was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be written.
    #[error("{name}: {error}")]
    File {
        /// Its name in the archive.
        name: String,
        /// Why.
        error: std::io::Error,
    },
}

/// Takes an archive into a store that holds what the archives before it brought, and nothing else. `is_last` says
/// whether no other follows; `file` is given the parts of files. `progress` is told how many bytes have been read.
///
/// # Errors
/// [`RestoreError`]; the store then holds a part of it and is good for nothing.
pub fn take_in<R: Read>(
    mut archive: Archive<R>,
    is_last: bool,
    store: &dyn Store,
    file: &mut dyn FnMut(&FilePart) -> std::io::Result<()>,
    progress: &mut dyn FnMut(u64),
) -> Result<End, RestoreError> {
    let wanted = |key: &[u8]| is_last || is_added_to(key);
    while let Some(frame) = archive.next_frame()? {
        match frame {
            Frame::Pairs(pairs) => {
                let pairs = pairs.into_iter().filter(|(key, _)| wanted(key));
                commit(store, pairs.map(|(key, value)| (key, Some(value))).collect())?;
            }
            Frame::Changes(changes) => {
                commit(store, changes.into_iter().filter(|(key, _)| wanted(key)).collect())?;
            }
            Frame::File(part) => {
                file(&part).map_err(|error| RestoreError::File { name: part.name.clone(), error })?;
            }
            Frame::Absent(_) => {}
        }
        progress(archive.bytes_read());
    }
    Ok(archive.end()?)
}

fn commit(store: &dyn Store, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), StoreError> {
    if changes.is_empty() { Ok(()) } else { store.commit(Batch { changes }) }
}
