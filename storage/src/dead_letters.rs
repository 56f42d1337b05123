//! What has been given up, kept whole for people to read, mend and send again.

use std::ops::Bound;

use uuid::Uuid;

use crate::append::DeadLetter;
use crate::damage::ReadError;
use crate::envelope::EnvelopeError;
use crate::journal::Journal;
use crate::keys;
use crate::wire::{Kind, Reader, Writer};

impl Journal {
    /// The dead letters in the order of their ids, which is that of their making, after `after` and at most
    /// `limit` of them. What is damaged is passed over.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read.
    pub fn dead_letters(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<DeadLetter>, ReadError> {
        let from = after.map_or(vec![keys::DEAD_LETTERS], keys::dead_letter);
        let to = keys::after_prefix(vec![keys::DEAD_LETTERS]);
        let letters = self.store().range(Bound::Excluded(&from), Bound::Excluded(&to));
        letters
            .filter_map(|pair| match pair {
                Ok((key, value)) => {
                    let read = decode(&value).map_err(|error| ReadError::undecodable(&key, error));
                    self.unless_damaged(&key, read)
                }
                Err(error) => Some(Err(error.into())),
            })
            .take(limit)
            .collect()
    }

    /// One dead letter, if it is still there.
    ///
    /// # Errors
    /// [`ReadError`] if the engine cannot read or the letter is damaged.
    pub fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>, ReadError> {
        let key = keys::dead_letter(id);
        let Some(value) = self.store().get(&key)? else { return Ok(None) };
        decode(&value).map(Some).map_err(|error| ReadError::undecodable(&key, error))
    }
}

pub(crate) fn encode(letter: &DeadLetter) -> Vec<u8> {
    let mut writer = Writer::new(Kind::DeadLetter);
    writer.raw(letter.id.as_bytes());
    writer.name(&letter.tenant);
    writer.number(letter.at_ms);
    writer.name(&letter.kind);
    writer.option(letter.stream.as_ref(), |writer, (stream, version)| {
        writer.stream(stream);
        writer.number(*version);
    });
    writer.bytes(letter.reason.as_bytes());
    writer.number(u64::from(letter.attempts));
    writer.bytes(&letter.payload);
    writer.seal()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<DeadLetter, EnvelopeError> {
    let mut reader = Reader::open(Kind::DeadLetter, bytes)?;
    let letter = DeadLetter {
        id: reader.uuid()?,
        tenant: reader.name()?.to_owned(),
        at_ms: reader.number()?,
        kind: reader.name()?.to_owned(),
        stream: reader.option(|reader| Ok((reader.stream()?, reader.number()?)))?,
        reason: reader.text()?.to_owned(),
        attempts: reader.small()?,
        payload: reader.bytes()?.to_vec(),
    };
    reader.end()?;
    Ok(letter)
}
