//! Reading an archive: nothing is believed before its checksum, and nothing is whole before its end.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::{ArchiveError, Counts, End, FORMAT, FRAME_MAX, Frame, Header, NAME};
use crate::wire::Kind;

/// The longest first line that is looked at.
const LINE_MAX: usize = 64;

/// An archive that is being read.
pub struct Archive<R> {
    input: R,
    header: Header,
    sum: Sha256,
    counts: Counts,
    /// Bytes read so far.
    read: u64,
    /// The file whose parts are being read: its name, where its next part begins, and its length.
    file: Option<(String, u64, u64)>,
    end: Option<End>,
}

impl<R: Read> Archive<R> {
    /// Reads the beginning of an archive. Give a reader with a buffer.
    ///
    /// # Errors
    /// [`ArchiveError`] if it is not an archive, one of a later format, or its header is damaged.
    pub fn open(input: R) -> Result<Archive<R>, ArchiveError> {
        let header = Header {
            engine: String::new(),
            program: String::new(),
            begun_at_ms: 0,
            bytes_expected: 0,
            base: None,
        };
        let mut archive = Archive {
            input,
            header,
            sum: Sha256::new(),
            counts: Counts::default(),
            read: 0,
            file: None,
            end: None,
        };
        let line = archive.line()?;
        let version = line.strip_prefix(NAME).and_then(|version| version.parse().ok());
        match version.ok_or(ArchiveError::Foreign)? {
            FORMAT => {}
            newer if newer > FORMAT => return Err(ArchiveError::Newer(newer)),
            _ => return Err(ArchiveError::Foreign),
        }
        archive.sum.update(format!("{line}\n"));
        let at = archive.read;
        let frame = archive.frame()?;
        archive.header = Header::decode(&frame).map_err(|error| damaged(at, error))?;
        archive.summed(&frame);
        Ok(archive)
    }

    /// What the archive says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The next piece; none once the end has been read and everything before it found to be what was written. Then
    /// [`Archive::end`] says what the end says.
    ///
    /// # Errors
    /// [`ArchiveError`] if it is cut short or damaged. What was read before may not be whole.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ArchiveError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let at = self.read;
        let bytes = self.frame()?;
        if bytes.get(1) == Some(&(Kind::ArchiveEnd as u8)) {
            let end = End::decode(&bytes).map_err(|error| damaged(at, error))?;
            self.finish(at, end)?;
            return Ok(None);
        }
        let frame = Frame::decode(&bytes).map_err(|error| damaged(at, error))?;
        self.follow(at, &frame)?;
        self.summed(&bytes);
        self.counts.count(&frame);
        Ok(Some(frame))
    }

    /// Reads what is left, and answers what the end says.
    ///
    /// # Errors
    /// As [`Archive::next_frame`].
    pub fn end(mut self) -> Result<End, ArchiveError> {
        while self.next_frame()?.is_some() {}
        self.end.ok_or(ArchiveError::CutShort(self.read))
    }

    /// That the parts of a file follow each other and make it whole.
    fn follow(&mut self, at: u64, frame: &Frame) -> Result<(), ArchiveError> {
        let Frame::File(part) = frame else {
            return match &self.file {
                None => Ok(()),
                Some((name, ..)) => Err(damaged(at, format!("the file {name} is not whole"))),
            };
        };
        let expected = match &self.file {
            None => part.offset == 0,
            Some((name, next, length)) => {
                part.name == *name && part.offset == *next && part.length == *length
            }
        };
        let next = part.offset.checked_add(part.bytes.len() as u64).filter(|next| *next <= part.length);
        let Some(next) = next.filter(|_| expected) else {
            return Err(damaged(at, format!("a part of the file {} is out of place", part.name)));
        };
        if next > part.offset || part.length == 0 {
            self.file = (next < part.length).then(|| (part.name.clone(), next, part.length));
            return Ok(());
        }
        Err(damaged(at, format!("a part of the file {} is empty", part.name)))
    }

    fn finish(&mut self, at: u64, end: End) -> Result<(), ArchiveError> {
        if let Some((name, ..)) = &self.file {
            return Err(damaged(at, format!("the file {name} is not whole")));
        }
        let sum: [u8; 32] = self.sum.clone().finalize().into();
        if end.sha256 != sum {
            return Err(damaged(at, "the hash over everything before it does not match"));
        }
        if end.counts != self.counts {
            return Err(damaged(at, "it counts something else than what stands before it"));
        }
        if self.input.read(&mut [0]).map_err(unreadable)? > 0 {
            return Err(damaged(self.read, "something follows its end"));
        }
        self.end = Some(end);
        Ok(())
    }

    fn line(&mut self) -> Result<String, ArchiveError> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < LINE_MAX {
            // A foreign file may be as short as it likes.
            if self.input.read(&mut byte).map_err(unreadable)? == 0 {
                break;
            }
            self.read += 1;
            if byte == *b"\n" {
                return String::from_utf8(line).map_err(|_| ArchiveError::Foreign);
            }
            line.extend(byte);
        }
        Err(if NAME.as_bytes().starts_with(&line) {
            ArchiveError::CutShort(self.read)
        } else {
            ArchiveError::Foreign
        })
    }

    fn frame(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let at = self.read;
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_MAX {
            return Err(damaged(at, format!("a piece of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.fill(&mut frame)?;
        Ok(frame)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => ArchiveError::CutShort(self.read),
            _ => unreadable(error),
        })?;
        self.read += bytes.len() as u64;
        Ok(())
    }

    fn summed(&mut self, frame: &[u8]) {
        self.sum.update((frame.len() as u32).to_le_bytes());
        self.sum.update(frame);
    }
}

/// What the end of an archive says, without what is before it. It is not known whether that is whole.
///
/// # Errors
/// [`ArchiveError`] if there is no sound end.
pub fn read_end(mut input: impl Read + Seek) -> Result<End, ArchiveError> {
    let length = End::default().encode().len() + 4;
    let bytes = input.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let Some(at) = bytes.checked_sub(length as u64) else { return Err(ArchiveError::CutShort(bytes)) };
    input.seek(SeekFrom::Start(at)).map_err(unreadable)?;
    let mut frame = vec![0; length];
    input.read_exact(&mut frame).map_err(unreadable)?;
    End::decode(&frame[4..]).map_err(|_| ArchiveError::CutShort(bytes))
}

fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::Io(error.to_string())
}

fn damaged(at: u64, reason: impl ToString) -> ArchiveError {
    ArchiveError::Damaged { at, reason: reason.to_string() }
}
