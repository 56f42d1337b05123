//! The inbox: messages that are durable and not yet anyone's turn.
//!
//! An entry is its own pending mark: the turn that takes the message deletes it. The committer numbers entries
//! in the order in which they became durable, and never gives a number twice.

use std::ops::Bound;

use crate::append::NewInboxEntry;
use crate::damage::{Damage, ReadError};
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::wire::{Kind, Reader, Writer};

/// A message that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its number, for [`crate::append::PendingKey::Inbox`]. Later entries have higher ones.
    pub number: u64,
    /// The tenant it was sent to.
    pub tenant: String,
    /// The message, in its author's encoding.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// The entries with a number above `after`, in order, at most `limit` of them. What is damaged is passed over.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read.
    pub fn inbox(&self, after: u64, limit: usize) -> Result<Vec<InboxEntry>, ReadError> {
        let (from, to) = (keys::inbox(after), keys::after_prefix(vec![keys::INBOX]));
        let read = |key: &[u8], value: &[u8]| {
            let number = keys::read_inbox(key).ok_or_else(|| Damage::at(key, "not an entry's key"))?;
            decode(number, value).map_err(|error| ReadError::undecodable(key, error))
        };
        let entries = self.store().range(Bound::Excluded(&from), Bound::Excluded(&to));
        entries
            .filter_map(|pair| match pair {
                Ok((key, value)) => self.unless_damaged(&key, read(&key, &value)),
                Err(error) => Some(Err(error.into())),
            })
            .take(limit)
            .collect()
    }
}

/// All of an entry but its number, which stands in its key.
pub(crate) fn encode(entry: &NewInboxEntry) -> Vec<u8> {
    let mut writer = Writer::new(Kind::InboxEntry);
    writer.bytes(entry.tenant.as_bytes());
    writer.bytes(&entry.bytes);
    writer.seal()
}

pub(crate) fn decode(number: u64, bytes: &[u8]) -> Result<InboxEntry, EnvelopeError> {
    let mut reader = Reader::open(Kind::InboxEntry, bytes)?;
    let tenant = reader.text()?.to_owned();
    let entry = InboxEntry { number, tenant, bytes: reader.bytes()?.to_vec() };
    reader.end()?;
    Ok(entry)
}
