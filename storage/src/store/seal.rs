//! What a clean stop writes down, so that the next start can tell what was taken away since.
//!
//! An engine takes an unreadable end of its log for what a crash left unfinished, and goes on without it. After a clean
//! stop nothing was unfinished: the seal says how long the files were that an engine would not miss, and what the last
//! batch wrote, by which it is seen whether that batch is still there. After a crash there is no seal. It is a text of
//! lines, the last with a checksum over the others; one that cannot be read is no seal.

use std::path::Path;

use data_encoding::HEXLOWER;

use super::folder::damaged;
use super::{Batch, StoreError};

/// What the last batch did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    key: Vec<u8>,
    /// The CRC-32 of the value, or none if the key was removed.
    value: Option<u32>,
}

impl Witness {
    /// The witness of a batch, or none of one that changes nothing.
    pub(super) fn of(batch: &Batch) -> Option<Self> {
        let (key, value) = batch.changes.last()?; // A later change of a key wins, so this one does.
        Some(Self { key: key.clone(), value: value.as_deref().map(crc32fast::hash) })
    }

    /// Asks the store that belongs to `path` whether the batch is there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is not, or what `get` answers.
    pub(super) fn ask(
        &self,
        path: &Path,
        get: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        let found = get(&self.key)?;
        if found.as_deref().map(crc32fast::hash) == self.value {
            return Ok(());
        }
        Err(damaged(path, "the last batch before the clean stop is gone"))
    }
}

/// What [`Seal::read`] and [`Seal::text`] agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// Names of files below the store's folder, and their bytes.
    pub(super) files: Vec<(String, u64)>,
    pub(super) witness: Option<Witness>,
}

impl Seal {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, bytes) in &self.files {
            text += &format!("file {name} = {bytes}\n");
        }
        if let Some(Witness { key, value }) = &self.witness {
            let key = HEXLOWER.encode(key);
            let value = value.map_or_else(|| "removed".to_owned(), |value| value.to_string());
            text += &format!("last {key} = {value}\n");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        text + &format!("checksum = {checksum}\n")
    }

    /// The seal that this is the text of.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (lines, checksum) = text.strip_suffix('\n')?.rsplit_once("checksum = ")?;
        if checksum.parse() != Ok(crc32fast::hash(lines.as_bytes())) {
            return None;
        }
        let mut seal = Self::default();
        for line in lines.lines() {
            let (name, value) = line.rsplit_once(" = ")?;
            if let Some(name) = name.strip_prefix("file ") {
                seal.files.push((name.to_owned(), value.parse().ok()?));
            } else {
                let key = HEXLOWER.decode(name.strip_prefix("last ")?.as_bytes()).ok()?;
                let value = if value == "removed" { None } else { Some(value.parse().ok()?) };
                seal.witness = Some(Witness { key, value });
            }
        }
        Some(seal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_was_written_and_not_at_all_once_a_bit_has_changed() {
        let mut batch = Batch::default();
        batch.put([0, 255, 7], "first");
        let put = Witness::of(&batch);
        batch.remove("last = removed");
        let removed = Witness::of(&batch);
        let files = vec![("fjall/0.jnl".to_owned(), 67_108_864), ("db".to_owned(), 0)];
        for witness in [None, put, removed] {
            let seal = Seal { files: files.clone(), witness };
            let text = seal.text();
            assert_eq!(Seal::read(&text), Some(seal));
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 2;
                assert_eq!(String::from_utf8(changed).ok().and_then(|text| Seal::read(&text)), None);
                assert_eq!(Seal::read(&text[..at]), None);
            }
        }
        assert_eq!(Witness::of(&Batch::default()), None);
    }
}
