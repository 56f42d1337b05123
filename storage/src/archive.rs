//! The file format of a copy of the store: backups, exports, whatever carries a folder from one engine to another.
//!
//! ```text
//! throughline archive 1\n        the first line names the format's version
//! length, frame                  a header
//! length, frame …                pairs, changes, files, in the order in which they count
//! length, frame                  the end: what was written, and a hash over all of the above
//! ```
//!
//! A length is four bytes, little-endian; a frame has the seal of everything that is kept (format, kind, checksum).
//! Applied in order, *pairs* and *changes* give the store as it was at one moment: a pair puts a key, a change puts
//! or removes one, and what comes later counts. An archive names no engine's files, so any engine takes it.
//!
//! An archive with a [`Base`] holds only what was added to the records and the feed since; everything else it holds
//! whole. A checksum finds what was changed in a frame, the hash what was removed or moved, and the missing end what
//! was cut off.

mod reading;

use sha2::{Digest, Sha256};

pub use self::reading::{Archive, read_end};

use crate::envelope::EnvelopeError;
use crate::journal::Head;
use crate::keys;
use crate::store::Pair;
use crate::wire::{Kind, Reader, Writer};

/// The version of the format that is written. Those before it are read for ever.
pub const FORMAT: u32 = 1;

/// What the first line says before the version.
const NAME: &str = "throughline archive ";

/// The longest frame that is believed in. What is written is much shorter.
const FRAME_MAX: usize = 8 << 20;

/// Bytes after which a frame of pairs or changes, or a part of a file, is full.
pub(crate) const FRAME_FULL: usize = 256 << 10;

/// A key with its new value, or none where it is removed.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The engine of the store it was read from.
    pub engine: String,
    /// The version of the program that wrote it.
    pub program: String,
    /// When it was begun, by the machine's clock, in milliseconds since the Unix epoch.
    pub begun_at_ms: u64,
    /// About how many bytes there were to read, for whoever shows how far it is; 0 where nobody could tell.
    pub bytes_expected: u64,
    /// What it adds to; none for one that stands by itself.
    pub base: Option<Base>,
}

/// An archive that another one adds to: where the feed ended in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The `seq` of its last event.
    pub seq: u64,
    /// The hash of its last group.
    pub hash: [u8; 32],
    /// When it was begun, by the machine's clock, in milliseconds since the Unix epoch.
    pub begun_at_ms: u64,
}

/// What the end of an archive says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Where the feed ends.
    pub head: Head,
    /// What there is before it.
    pub counts: Counts,
    /// SHA-256 over everything before the end: the archive's name for itself.
    pub sha256: [u8; 32],
}

/// How much is in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys copied.
    pub pairs: u64,
    /// Changes that came while it was copied.
    pub changes: u64,
    /// Files: blobs and what else belongs to the folder.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Files that are named and were not there.
    pub absent: u64,
}

/// One piece of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Keys with their values, in key order.
    Pairs(Vec<Pair>),
    /// Keys with their new values, or none where they were removed, in the order in which that happened.
    Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// The next part of a file.
    File(FilePart),
    /// A file that is named by what is in the store, and that was not there.
    Absent(String),
}

/// A part of a file. The parts of one file follow each other without anything between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// Its name below the data folder, with `/` between its parts.
    pub name: String,
    /// Where in the file this part stands.
    pub offset: u64,
    /// The length of the whole file.
    pub length: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why an archive cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
    /// It does not begin as an archive does.
    #[error("it is not an archive of Throughline")]
    Foreign,
    /// A later program wrote it.
    #[error(
        "it has format {0}, and this program reads up to {FORMAT}: use the program that wrote it, or a later one"
    )]
    Newer(u32),
    /// It ends before its end.
    #[error("it is cut short after {0} bytes: it was not finished, or a part of it was lost")]
    CutShort(u64),
    /// It is not what was written.
    #[error("it is damaged at byte {at}: {reason}")]
    Damaged {
        /// Where the damaged frame begins.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Header {
    /// What an archive that adds to this one, which ended with `end`, says of it.
    #[must_use]
    pub fn as_base(&self, end: &End) -> Base {
        Base { seq: end.head.seq, hash: end.head.hash, begun_at_ms: self.begun_at_ms }
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(Kind::ArchiveHeader);
        writer.bytes(self.engine.as_bytes());
        writer.bytes(self.program.as_bytes());
        writer.number(self.begun_at_ms);
        writer.number(self.bytes_expected);
        writer.option(self.base.as_ref(), |writer, base| {
            writer.number(base.seq);
            writer.raw(&base.hash);
            writer.number(base.begun_at_ms);
        });
        writer.seal()
    }

    fn decode(bytes: &[u8]) -> Result<Header, EnvelopeError> {
        let mut reader = Reader::open(Kind::ArchiveHeader, bytes)?;
        let header = Header {
            engine: reader.text()?.to_owned(),
            program: reader.text()?.to_owned(),
            begun_at_ms: reader.number()?,
            bytes_expected: reader.number()?,
            base: reader.option(|reader| {
                Ok(Base { seq: reader.number()?, hash: reader.array()?, begun_at_ms: reader.number()? })
            })?,
        };
        reader.end()?;
        Ok(header)
    }
}

impl End {
    /// Of one length whatever it says, so that it is found from the file's end.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(Kind::ArchiveEnd);
        let Counts { pairs, changes, files, file_bytes, absent } = self.counts;
        for number in [self.head.seq, self.head.at_ms, pairs, changes, files, file_bytes, absent] {
            writer.raw(&number.to_be_bytes());
        }
        writer.raw(&self.head.hash);
        writer.raw(&self.sha256);
        writer.seal()
    }

    fn decode(bytes: &[u8]) -> Result<End, EnvelopeError> {
        let mut reader = Reader::open(Kind::ArchiveEnd, bytes)?;
        let mut number = || reader.array().map(u64::from_be_bytes);
        let (seq, at_ms) = (number()?, number()?);
        let counts = Counts {
            pairs: number()?,
            changes: number()?,
            files: number()?,
            file_bytes: number()?,
            absent: number()?,
        };
        let head = Head { seq, at_ms, hash: reader.array()? };
        let end = End { head, counts, sha256: reader.array()? };
        reader.end()?;
        Ok(end)
    }
}

impl Frame {
    fn encode(&self) -> Vec<u8> {
        match self {
            Frame::Pairs(pairs) => {
                let mut writer = Writer::new(Kind::ArchivePairs);
                writer.number(pairs.len() as u64);
                for (key, value) in pairs {
                    writer.bytes(key);
                    writer.bytes(value);
                }
                writer.seal()
            }
            Frame::Changes(changes) => encode_changes(changes),
            Frame::File(FilePart { name, offset, length, bytes }) => {
                let mut writer = Writer::new(Kind::ArchiveFile);
                writer.bytes(name.as_bytes());
                writer.number(*offset);
                writer.number(*length);
                writer.bytes(bytes);
                writer.seal()
            }
            Frame::Absent(name) => {
                let mut writer = Writer::new(Kind::ArchiveAbsent);
                writer.bytes(name.as_bytes());
                writer.seal()
            }
        }
    }

    /// Any frame but header and end.
    fn decode(bytes: &[u8]) -> Result<Frame, EnvelopeError> {
        // A flipped bit here is found by the checksum, whichever kind is tried.
        match bytes.get(1) {
            Some(kind) if *kind == Kind::ArchiveChanges as u8 => decode_changes(bytes).map(Frame::Changes),
            Some(kind) if *kind == Kind::ArchiveFile as u8 => {
                let mut reader = Reader::open(Kind::ArchiveFile, bytes)?;
                let part = FilePart {
                    name: reader.text()?.to_owned(),
                    offset: reader.number()?,
                    length: reader.number()?,
                    bytes: reader.bytes()?.to_vec(),
                };
                reader.end()?;
                Ok(Frame::File(part))
            }
            Some(kind) if *kind == Kind::ArchiveAbsent as u8 => {
                let mut reader = Reader::open(Kind::ArchiveAbsent, bytes)?;
                let name = reader.text()?.to_owned();
                reader.end()?;
                Ok(Frame::Absent(name))
            }
            _ => {
                let mut reader = Reader::open(Kind::ArchivePairs, bytes)?;
                let pairs = reader.list(|reader| Ok((reader.bytes()?.to_vec(), reader.bytes()?.to_vec())))?;
                reader.end()?;
                Ok(Frame::Pairs(pairs))
            }
        }
    }
}

/// Changes as they stand in a frame.
pub(crate) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::ArchiveChanges);
    writer.number(changes.len() as u64);
    for (key, value) in changes {
        writer.bytes(key);
        writer.option(value.as_deref(), Writer::bytes);
    }
    writer.seal()
}

pub(crate) fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, EnvelopeError> {
    let mut reader = Reader::open(Kind::ArchiveChanges, bytes)?;
    let changes = reader.list(|reader| {
        let key = reader.bytes()?.to_vec();
        Ok((key, reader.option(|reader| Ok(reader.bytes()?.to_vec()))?))
    })?;
    reader.end()?;
    Ok(changes)
}

/// Whether a key is in a part that is only ever added to: there, an archive with a base holds what is new.
pub(crate) fn is_added_to(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(keys::RECORDS | keys::FEED)))
}

/// Turns what belongs into an archive into its bytes, piece by piece.
pub(crate) struct Composer {
    sum: Sha256,
    counts: Counts,
}

impl Composer {
    /// A new archive, and its first bytes.
    pub(crate) fn begin(header: &Header) -> (Composer, Vec<u8>) {
        let mut composer = Composer { sum: Sha256::new(), counts: Counts::default() };
        let mut bytes = format!("{NAME}{FORMAT}\n").into_bytes();
        bytes.extend(framed(header.encode()));
        composer.sum.update(&bytes);
        (composer, bytes)
    }

    /// The bytes of the next frame.
    pub(crate) fn add(&mut self, frame: &Frame) -> Vec<u8> {
        self.counts.count(frame);
        let bytes = framed(frame.encode());
        self.sum.update(&bytes);
        bytes
    }

    /// The last bytes.
    pub(crate) fn finish(self, head: Head) -> (Vec<u8>, End) {
        let end = End { head, counts: self.counts, sha256: self.sum.finalize().into() };
        (framed(end.encode()), end)
    }
}

impl Counts {
    fn count(&mut self, frame: &Frame) {
        match frame {
            Frame::Pairs(pairs) => self.pairs += pairs.len() as u64,
            Frame::Changes(changes) => self.changes += changes.len() as u64,
            Frame::File(part) => {
                self.files += u64::from(part.offset == 0);
                self.file_bytes += part.bytes.len() as u64;
            }
            Frame::Absent(_) => self.absent += 1,
        }
    }
}

fn framed(frame: Vec<u8>) -> Vec<u8> {
    assert!(frame.len() <= FRAME_MAX, "a frame is far shorter than what is believed in");
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    bytes.extend(frame);
    bytes
}
