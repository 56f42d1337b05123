//! The layout shared by all that is kept: a format byte, what it is, the content, and a checksum over all of it.
//!
//! Numbers take as many bytes as they need and a name that comes again is written once, since these headers are
//! a large part of what a small turn costs on disk. There is exactly one encoding of a value, so what was read
//! and is written again has the same bytes and the same hash.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::append::StreamId;
use crate::envelope::EnvelopeError;

/// The only format so far. A new one gets a new number, and this one is read for ever.
const FORMAT: u8 = 1;

const CHECKSUM_BYTES: usize = 4;

/// For so many items of a list room is made before they are read.
const LIST_AHEAD: usize = 1024;

/// What a sealed value is: the second byte, so that a value found in the wrong place is not misread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Record = b'R',
    Snapshot = b'S',
    FeedGroup = b'F',
    InboxEntry = b'I',
    Claim = b'C',
    Timer = b'T',
    Activity = b'A',
    LaneHold = b'H',
    DeadLetter = b'D',
    Number = b'N',
    BegunActivity = b'B',
    ArchiveHeader = b'h',
    ArchivePairs = b'p',
    ArchiveChanges = b'c',
    ArchiveFile = b'f',
    ArchiveAbsent = b'm',
    ArchiveEnd = b'e',
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A single sealed number: marks, checkpoints.
pub(crate) fn seal_number(number: u64) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Number);
    writer.number(number);
    writer.seal()
}

/// Reads what [`seal_number`] wrote.
pub(crate) fn open_number(bytes: &[u8]) -> Result<u64, EnvelopeError> {
    let mut reader = Reader::open(Kind::Number, bytes)?;
    let number = reader.number()?;
    reader.end()?;
    Ok(number)
}

/// Builds a sealed value.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    names: Vec<String>,
}

impl Writer {
    pub(crate) fn new(kind: Kind) -> Writer {
        Writer { bytes: vec![FORMAT, kind as u8], names: Vec::new() }
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A text that is likely to come again within this value: written once, then referred to.
    pub(crate) fn name(&mut self, name: &str) {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            self.number(index as u64);
        } else {
            self.number(self.names.len() as u64);
            self.bytes(name.as_bytes());
            self.names.push(name.to_owned());
        }
    }

    pub(crate) fn stream(&mut self, stream: &StreamId) {
        self.name(&stream.tenant);
        self.name(&stream.kind);
        self.raw(stream.entity.as_bytes());
    }

    /// A byte that says whether a value follows.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        match value {
            None => self.bytes.push(0),
            Some(value) => {
                self.bytes.push(1);
                write(self, value);
            }
        }
    }

    pub(crate) fn seal(mut self) -> Vec<u8> {
        let checksum = crc32fast::hash(&self.bytes);
        self.raw(&checksum.to_le_bytes());
        self.bytes
    }
}

/// Reads a sealed value, after its checksum has been found right.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    /// Checks the seal.
    ///
    /// The checksum comes before the format: a flipped bit in the format byte is damage, not an unknown format.
    pub(crate) fn open(kind: Kind, sealed: &'a [u8]) -> Result<Reader<'a>, EnvelopeError> {
        let content =
            sealed.len().checked_sub(CHECKSUM_BYTES).ok_or(EnvelopeError::Malformed("cut short"))?;
        let (content, checksum) = sealed.split_at(content);
        if crc32fast::hash(content).to_le_bytes() != checksum {
            return Err(EnvelopeError::Checksum);
        }
        match content {
            [FORMAT, found, rest @ ..] if *found == kind as u8 => Ok(Reader { rest, names: Vec::new() }),
            [FORMAT, _, ..] => Err(EnvelopeError::Malformed("something else was expected here")),
            [format, ..] if *format != FORMAT => Err(EnvelopeError::Format(*format)),
            _ => Err(EnvelopeError::Malformed("empty")),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, EnvelopeError> {
        let mut number = 0_u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && byte > 1 {
                return Err(EnvelopeError::Malformed("number too large"));
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                // A longer spelling of the same number would be read and not written again the same.
                return match (place, byte) {
                    (1.., 0) => Err(EnvelopeError::Malformed("number spelled too long")),
                    _ => Ok(number),
                };
            }
        }
        Err(EnvelopeError::Malformed("number too long"))
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, EnvelopeError> {
        T::try_from(self.number()?).map_err(|_| EnvelopeError::Malformed("number out of range"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(EnvelopeError::Malformed("cut short"))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], EnvelopeError> {
        let length = self.small::<usize>()?;
        let (bytes, rest) =
            self.rest.split_at_checked(length).ok_or(EnvelopeError::Malformed("length beyond the end"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, EnvelopeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| EnvelopeError::Malformed("not text"))
    }

    pub(crate) fn name(&mut self) -> Result<&'a str, EnvelopeError> {
        let index = self.small::<usize>()?;
        if index == self.names.len() {
            let name = self.text()?;
            // The writer would have referred to it: this is another spelling of the same value.
            if self.names.contains(&name) {
                return Err(EnvelopeError::Malformed("a name written again"));
            }
            self.names.push(name);
        }
        self.names.get(index).copied().ok_or(EnvelopeError::Malformed("unknown name"))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, EnvelopeError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    pub(crate) fn stream(&mut self) -> Result<StreamId, EnvelopeError> {
        let tenant = self.name()?.to_owned();
        let kind = self.name()?.to_owned();
        Ok(StreamId { tenant, kind, entity: self.uuid()? })
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, EnvelopeError>,
    ) -> Result<Option<T>, EnvelopeError> {
        match self.array()? {
            [0] => Ok(None),
            [1] => read(self).map(Some),
            _ => Err(EnvelopeError::Malformed("neither present nor absent")),
        }
    }

    /// As many values as the number that stands first says.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, EnvelopeError>,
    ) -> Result<Vec<T>, EnvelopeError> {
        let count = self.small::<usize>()?;
        // The count is not believed for the allocation: an item may take many times its bytes.
        let mut list = Vec::with_capacity(count.min(self.rest.len()).min(LIST_AHEAD));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// Nothing may be left over.
    pub(crate) fn end(self) -> Result<(), EnvelopeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(EnvelopeError::Malformed("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_what_they_need_and_have_one_spelling() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            assert_eq!(open_number(&seal_number(number)), Ok(number));
        }
        assert_eq!(seal_number(127).len(), 2 + 1 + 4);
        assert_eq!(seal_number(u64::MAX).len(), 2 + 10 + 4);

        let mut long = Writer::new(Kind::Number);
        long.raw(&[0x81, 0x00]);
        assert_eq!(open_number(&long.seal()), Err(EnvelopeError::Malformed("number spelled too long")));
        let mut large = Writer::new(Kind::Number);
        large.raw(&[0xff; 9]);
        large.raw(&[0x02]);
        assert_eq!(open_number(&large.seal()), Err(EnvelopeError::Malformed("number too large")));
    }

    #[test]
    fn a_value_of_another_kind_or_format_is_refused() {
        let sealed = Writer::new(Kind::Claim).seal();
        assert!(matches!(open_number(&sealed), Err(EnvelopeError::Malformed(_))));
        let mut newer = vec![2, Kind::Number as u8, 5];
        newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
        assert_eq!(open_number(&newer), Err(EnvelopeError::Format(2)));
        assert_eq!(open_number(&[]), Err(EnvelopeError::Malformed("cut short")));
    }

    #[test]
    fn a_name_has_one_spelling() {
        let mut twice = Writer::new(Kind::Number);
        for index in [0, 1] {
            twice.number(index);
            twice.bytes(b"email");
        }
        let sealed = twice.seal();
        let mut reader = Reader::open(Kind::Number, &sealed).unwrap();
        assert_eq!(reader.name(), Ok("email"));
        assert_eq!(reader.name(), Err(EnvelopeError::Malformed("a name written again")));
    }

    #[test]
    fn a_count_beyond_the_bytes_does_not_exhaust_memory() {
        let mut hostile = Writer::new(Kind::Number);
        hostile.number(u64::MAX >> 1);
        let sealed = hostile.seal();
        let mut reader = Reader::open(Kind::Number, &sealed).unwrap();
        assert_eq!(reader.list(Reader::number), Err(EnvelopeError::Malformed("cut short")));
    }
}
