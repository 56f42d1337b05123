//! What is committed while somebody copies the store, kept in order until they take it.
//!
//! It waits in a file without a name, so that neither a slow copier nor a burst of commits takes memory; the file is
//! written from its beginning again whenever everything in it has been taken. The committer is never kept waiting:
//! where the file cannot be written or has grown too large, the copy fails and the commits go on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Head;
use crate::archive::{Change, FRAME_FULL, decode_changes, encode_changes};
use crate::envelope::EnvelopeError;

/// Bytes that may wait to be taken.
const WAITING_MAX: u64 = 4 << 30;

/// Changes on their way from the committer to a copier.
pub(crate) struct Capture {
    state: Mutex<State>,
}

struct State {
    spool: File,
    written: u64,
    taken: u64,
    /// The end of the feed after the last group.
    head: Option<Head>,
    /// Why not everything is in it.
    failed: Option<String>,
    /// Whether what comes now comes too late.
    closed: bool,
}

impl Capture {
    /// Keeps changes in a file without a name, in `folder` or wherever such files are.
    pub(crate) fn new(folder: Option<&Path>) -> std::io::Result<Capture> {
        let spool = match folder {
            Some(folder) => tempfile::tempfile_in(folder)?,
            None => tempfile::tempfile()?,
        };
        let state = State { spool, written: 0, taken: 0, head: None, failed: None, closed: false };
        Ok(Capture { state: Mutex::new(state) })
    }

    /// Takes in a group that is durable.
    pub(super) fn push(&self, changes: Vec<Change>, head: Head) {
        let mut state = self.lock();
        if state.closed || state.failed.is_some() {
            return;
        }
        state.head = Some(head);
        for piece in pieces(changes) {
            if let Err(reason) = state.write(&encode_changes(&piece)) {
                state.failed = Some(reason);
                return;
            }
        }
    }

    /// The next changes that were committed, at most about [`FRAME_FULL`] bytes of them; none where all were taken.
    pub(crate) fn take(&self) -> Result<Option<Vec<Change>>, String> {
        let mut state = self.lock();
        if let Some(reason) = &state.failed {
            return Err(reason.clone());
        }
        if state.taken == state.written {
            (state.taken, state.written) = (0, 0);
            return Ok(None);
        }
        state.read().map(Some)
    }

    /// Bytes that wait to be taken.
    pub(crate) fn waiting(&self) -> u64 {
        let state = self.lock();
        state.written - state.taken
    }

    /// Takes in no more, not even a group that is on its way.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// The end of the feed after everything that was taken in; none while there was nothing.
    pub(crate) fn head(&self) -> Option<Head> {
        self.lock().head.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.written - self.taken + bytes.len() as u64 > WAITING_MAX {
            return Err("more was committed than the reader of the copy could take in".into());
        }
        let length = (bytes.len() as u32).to_le_bytes();
        for bytes in [&length[..], bytes] {
            let written = self.spool.write_all_at(bytes, self.written);
            written.map_err(|error| format!("what is committed meanwhile cannot be kept: {error}"))?;
            self.written += bytes.len() as u64;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<Change>, String> {
        let failed = |error: std::io::Error| format!("what was committed meanwhile cannot be read: {error}");
        let mut length = [0; 4];
        self.spool.read_exact_at(&mut length, self.taken).map_err(failed)?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.spool.read_exact_at(&mut bytes, self.taken + 4).map_err(failed)?;
        self.taken += 4 + bytes.len() as u64;
        decode_changes(&bytes)
            .map_err(|error: EnvelopeError| format!("what was committed meanwhile is damaged: {error}"))
    }
}

/// Cut so that none is much more than [`FRAME_FULL`] bytes.
fn pieces(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for (key, value) in changes {
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        if let Some(piece) = pieces.last_mut() {
            piece.push((key, value));
        }
        if bytes >= FRAME_FULL {
            pieces.push(Vec::new());
            bytes = 0;
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
