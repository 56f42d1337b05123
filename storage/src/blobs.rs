//! Attachments and other large things, as objects beside the journal.
//!
//! A blob is stored and synced *before* the commit that names it, so that a durable record never names a blob that
//! is not there. What no commit came to name is swept away once it is old. A name is `TENANT/INBOUND_ID/PART`.

use std::ops::Range;
use std::path::Path as Folder;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::damage::ReadError;
use crate::journal::{Journal, machine_ms};
use crate::keys;

/// A folder of blobs.
#[derive(Debug)]
pub struct Blobs {
    objects: LocalFileSystem,
}

/// What is known of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its length.
    pub bytes: u64,
    /// When it was stored, by the machine's clock, in milliseconds since the Unix epoch.
    pub stored_at_ms: u64,
}

/// Why a blob was not stored, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The name is not `TENANT/INBOUND_ID/PART`, or has characters that an object's name may not have.
    #[error("{0:?} is not a blob's name")]
    Name(String),
    /// There is no such blob.
    #[error("there is no blob {0}")]
    Missing(String),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] object_store::Error),
    /// The folder cannot be made or opened.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
    /// Whether a blob is named could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Blobs {
    /// Opens the blobs in a folder, making it where it is missing.
    ///
    /// # Errors
    /// [`BlobError`] if the folder cannot be made or opened.
    pub fn open(folder: impl AsRef<Folder>) -> Result<Blobs, BlobError> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder)?;
        // The folder's own name must survive a power cut too; only what is below it is synced by the object store.
        if let Some(parent) = folder.canonicalize()?.parent() {
            std::fs::File::open(parent)?.sync_all()?;
        }
        // Its default leaves written files to the operating system, and a power cut takes them.
        Ok(Blobs { objects: LocalFileSystem::new_with_prefix(folder)?.with_fsync(true) })
    }

    /// Stores a blob: durable when this returns. One of the same name is replaced, whole or not at all.
    ///
    /// # Errors
    /// [`BlobError`] if the name is not a blob's or the disk refuses.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.objects.put(&path(name)?, bytes.into()).await?;
        Ok(())
    }

    /// A blob's content.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if there is none, otherwise whatever the disk says.
    pub async fn get(&self, name: &str) -> Result<Bytes, BlobError> {
        let found = self.objects.get(&path(name)?).await.map_err(|error| missing(name, error))?;
        Ok(found.bytes().await?)
    }

    /// How long a blob is, and when it was stored.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if there is none, otherwise whatever the disk says.
    pub async fn stat(&self, name: &str) -> Result<BlobStat, BlobError> {
        let object = self.objects.head(&path(name)?).await.map_err(|error| missing(name, error))?;
        let stored_at_ms = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
        Ok(BlobStat { bytes: object.size, stored_at_ms })
    }

    /// A stretch of a blob's content, by bytes; shorter where the blob ends before it does.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if there is no such blob, otherwise whatever the disk says.
    pub async fn read(&self, name: &str, stretch: Range<u64>) -> Result<Bytes, BlobError> {
        if stretch.is_empty() {
            return Ok(Bytes::new());
        }
        self.objects.get_range(&path(name)?, stretch).await.map_err(|error| missing(name, error))
    }

    /// Removes the blobs that are older than `older_than` by the machine's wall clock, which stamps files, and that
    /// no commit has named, and answers how many they were.
    ///
    /// Leave a day or more: a blob is stored before it is named.
    ///
    /// # Errors
    /// [`BlobError`] if the folder cannot be listed, the journal cannot be read, or a blob cannot be removed.
    pub async fn sweep(&self, journal: &Journal, older_than: Duration) -> Result<u64, BlobError> {
        let age = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
        let before_ms = machine_ms().saturating_sub(age);
        let mut swept = 0;
        let mut listed = self.objects.list(None);
        while let Some(object) = listed.try_next().await? {
            let stored_ms = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
            if stored_ms < before_ms && !journal.names_blob(object.location.as_ref())? {
                self.objects.delete(&object.location).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Journal {
    /// Whether an append has named a blob, by [`crate::append::Append::blobs`].
    ///
    /// # Errors
    /// [`ReadError::Store`] if the engine cannot read.
    pub fn names_blob(&self, name: &str) -> Result<bool, ReadError> {
        Ok(self.store().get(&keys::blob(name))?.is_some())
    }
}

fn missing(name: &str, error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::Missing(name.to_owned()),
        error => BlobError::Objects(error),
    }
}

fn path(name: &str) -> Result<Path, BlobError> {
    let refused = || BlobError::Name(name.to_owned());
    // Not escaped but refused: the name in a record and the name on disk are one.
    let path = Path::parse(name).map_err(|_| refused())?;
    if path.parts().count() != 3 || path.as_ref() != name {
        return Err(refused());
    }
    Ok(path)
}
