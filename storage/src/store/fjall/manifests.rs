//! The engine's manifests, compared with the checksums that the engine writes and does not read.
//!
//! Each keyspace has a manifest `vN` that lists its tables, and a file `current` with the number of the manifest that
//! is valid (u64), its XXH3 (u128, little-endian like all of them) and a zero. A manifest with a flipped bit could name
//! other tables, or make the engine ask for more memory than there is.

use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::store::StoreError;
use crate::store::folder::{damaged, failed};

/// Looks at the manifest of the keyspace in `folder`, which belongs to the store at `path`.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not the one that was written, [`StoreError::Io`] if the operating system refuses.
pub(super) fn look_at(path: &Path, folder: &Path) -> Result<(), StoreError> {
    let read = |name: &str| match fs::read(folder.join(name)) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let missing = folder.join(name);
            let missing = missing.strip_prefix(path).unwrap_or(&missing).display().to_string();
            Err(damaged(path, &format!("the file {missing} is missing")))
        }
        Err(error) => Err(failed(&folder.join(name), &error)),
    };
    let changed = || {
        let place = folder.strip_prefix(path).unwrap_or(folder).display();
        damaged(path, &format!("the manifest in {place} has been changed"))
    };
    let current = read("current")?;
    let (number, rest) = current.split_first_chunk().ok_or_else(changed)?;
    let (checksum, rest) = rest.split_first_chunk().ok_or_else(changed)?;
    if rest != [0] {
        return Err(changed());
    }
    let manifest = read(&format!("v{}", u64::from_le_bytes(*number)))?;
    if xxh3_128(&manifest) == u128::from_le_bytes(*checksum) { Ok(()) } else { Err(changed()) }
}
