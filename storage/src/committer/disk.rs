//! How much room is left on the disk, asked about once a second.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::stats::machine_now;
use crate::append::CommitError;

const ASK_EVERY: Duration = Duration::from_secs(1);

/// The disk that the journal's folder is on.
pub(crate) struct Disk {
    folder: Option<PathBuf>,
    min_free: u64,
    /// When it was asked last, and what it answered.
    free: Mutex<Option<(Instant, u64)>>,
}

impl Disk {
    pub(crate) fn new(folder: Option<PathBuf>, min_free: u64) -> Disk {
        Disk { folder, min_free, free: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether there is room for something new.
    ///
    /// A disk that does not answer counts as having room: the commit will tell.
    pub(crate) fn has_room(&self) -> Result<(), CommitError> {
        match self.free() {
            Some(free) if free < self.min_free => Err(CommitError::NoSpace { free, min_free: self.min_free }),
            Some(_) | None => Ok(()),
        }
    }

    /// The bytes that are free, and those that must remain; none for a journal without a folder, or where the disk
    /// does not answer.
    pub(crate) fn room(&self) -> Option<(u64, u64)> {
        self.free().filter(|free| *free < u64::MAX).map(|free| (free, self.min_free))
    }

    fn free(&self) -> Option<u64> {
        let folder = self.folder.as_ref()?;
        let mut last = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = machine_now();
        let free = match *last {
            Some((asked, free)) if now.saturating_duration_since(asked) < ASK_EVERY => free,
            _ => {
                let free = rustix::fs::statvfs(folder)
                    .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "the disk does not say how much room it has");
                        u64::MAX
                    });
                *last = Some((now, free));
                free
            }
        };
        Some(free)
    }
}
