//! The engine's journals, looked through before the engine reads them.
//!
//! The engine takes whatever it cannot read in a journal for the torn end of it, and cuts it off with all that comes
//! after: a single flipped bit would take back everything acknowledged since. In one case it errs the other way, and
//! refuses a folder whose last batch lacks a block in the middle of a value, as a power cut leaves it. So the two are
//! told apart here. Only the batch written last can be torn, because each is synced before the next is begun, and a
//! torn batch lacks its end or whole sectors, which read as zeros since journals are laid out before they are written.
//! All else is damage.
//!
//! A journal is a row of batches: a start (`1`, items as u32, seqno as u64), the items (`2`, kind, compression,
//! keyspace as u64, lengths of key, value and stored value as u16, u32 and u32, key, stored value) or clearings (`4`,
//! keyspace as u64), and an end (`3`, XXH3 of the items as u64, `FJL` and a 3). Numbers are little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::store::StoreError;
use crate::store::folder::{damaged, failed};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

const START_BYTES: usize = 1 + 4 + 8;
const ITEM_BYTES: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;
const END_BYTES: usize = 1 + 8 + 4;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// What a disk writes whole or not at all, at the least.
const SECTOR_BYTES: usize = 512;

/// To compare with, as much as is read at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The journals in `folder`, which belongs to the store at `path`, as names below `path`.
///
/// # Errors
/// As [`look_through`].
pub(super) fn names(path: &Path, folder: &Path) -> Result<Vec<String>, StoreError> {
    let journals = journals(path, folder)?;
    Ok(journals.into_iter().map(|(_, journal)| name_below(path, &journal)).collect())
}

/// Looks through the journals in `folder`, which belongs to the store at `path`, and cuts off a torn end.
///
/// # Errors
/// [`StoreError::Damaged`] if a journal is missing or damaged, [`StoreError::Io`] if the operating system refuses.
pub(super) fn look_through(path: &Path, folder: &Path) -> Result<(), StoreError> {
    let journals = journals(path, folder)?;
    if journals.is_empty() {
        return Err(damaged(path, "there is no journal"));
    }
    for pair in journals.windows(2) {
        if pair[1].0 != pair[0].0 + 1 {
            return Err(damaged(path, &format!("the journal {}.jnl is missing", pair[0].0 + 1)));
        }
    }
    let damaged_at = |journal: &Path, at: u64| {
        damaged(path, &format!("the journal {} is damaged behind byte {at}", name_below(path, journal)))
    };
    let mut torn: Option<(PathBuf, u64)> = None;
    let mut seqno = 0;
    for (_, journal) in journals {
        let read = read_batches(&journal, seqno).and_then(|end| Ok((end, rest(&journal, end.at)?)));
        let (end, rest) = read.map_err(|error| failed(&journal, &error))?;
        if let Some((journal, at)) = &torn
            && (end.at > 0 || !rest.is_empty())
        {
            // Something was written behind it, so it had been synced whole.
            return Err(damaged_at(journal, *at));
        }
        seqno = end.seqno;
        if !rest.is_empty() {
            if !is_torn(&rest, end) {
                return Err(damaged_at(&journal, end.at));
            }
            torn = Some((journal, end.at));
        }
    }
    let Some((journal, at)) = torn else { return Ok(()) };
    let cut = OpenOptions::new().write(true).open(&journal).and_then(|file| {
        file.set_len(at)?;
        file.sync_all()
    });
    cut.map_err(|error| failed(&journal, &error))
}

fn name_below(path: &Path, file: &Path) -> String {
    file.strip_prefix(path).unwrap_or(file).display().to_string()
}

/// The journals by their numbers, oldest first.
fn journals(path: &Path, folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let file = entry.map_err(|error| failed(folder, &error))?.path();
        if file.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        let number = file.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        match number {
            Some(number) if file.is_file() => journals.push((number, file)),
            _ => return Err(damaged(path, &format!("{} is no journal", name_below(path, &file)))),
        }
    }
    journals.sort();
    Ok(journals)
}

/// Where the batches of a journal end that are whole.
#[derive(Clone, Copy)]
struct End {
    at: u64,
    /// The number of the last of them, or of the last in the journal before; 0 if there is none.
    seqno: u64,
}

fn read_batches(path: &Path, seqno: u64) -> std::io::Result<End> {
    let mut journal = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut end = End { at: 0, seqno };
    while let Some(batch) = read_batch(&mut journal)? {
        end = End { at: end.at + batch.bytes, seqno: batch.seqno };
    }
    Ok(end)
}

/// A batch that is whole.
struct Batch {
    bytes: u64,
    seqno: u64,
}

/// Reads a batch, or none where none begins that is whole.
fn read_batch(from: &mut impl Read) -> std::io::Result<Option<Batch>> {
    match read_parts(from) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        read => read,
    }
}

fn read_parts(from: &mut impl Read) -> std::io::Result<Option<Batch>> {
    let mut start = [0; START_BYTES];
    from.read_exact(&mut start[..1])?;
    if start[0] != START {
        return Ok(None);
    }
    from.read_exact(&mut start[1..])?;
    let items = u32::from_le_bytes([start[1], start[2], start[3], start[4]]);
    let mut seqno = [0; 8];
    seqno.copy_from_slice(&start[5..]);
    let mut bytes = START_BYTES as u64;
    let mut checksum = Xxh3::default();
    let mut part = Vec::new();
    for _ in 0..items {
        read_into(from, &mut part, 0, 1)?;
        match part[0] {
            ITEM => {
                read_into(from, &mut part, 1, ITEM_BYTES)?;
                let (kind, compression) = (part[1], part[2]);
                if kind > 4 || compression > 1 {
                    return Ok(None);
                }
                let key_bytes = usize::from(u16::from_le_bytes([part[11], part[12]]));
                let value_bytes = u32::from_le_bytes([part[17], part[18], part[19], part[20]]) as usize;
                read_into(from, &mut part, ITEM_BYTES, ITEM_BYTES + key_bytes + value_bytes)?;
            }
            CLEAR => read_into(from, &mut part, 1, 1 + 8)?,
            _ => return Ok(None),
        }
        checksum.update(&part);
        bytes += part.len() as u64;
    }
    let mut end = [0; END_BYTES];
    from.read_exact(&mut end)?;
    let whole = end[0] == END && end[1..9] == checksum.digest().to_le_bytes() && end[9..] == TRAILER;
    Ok(whole.then(|| Batch { bytes: bytes + END_BYTES as u64, seqno: u64::from_le_bytes(seqno) }))
}

/// Reads so that `part` holds `to` bytes, of which it has `from`. A length that was read wrongly may be any: no more
/// memory is taken than there are bytes.
fn read_into(source: &mut impl Read, part: &mut Vec<u8>, from: usize, to: usize) -> std::io::Result<()> {
    part.truncate(from);
    source.take((to - from) as u64).read_to_end(part)?;
    if part.len() == to { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// What stands behind the whole batches, up to the last byte that is not zero.
fn rest(path: &Path, at: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut used = at;
    let mut chunk = vec![0; ZEROS.len()];
    let mut from = at;
    // Most of what was laid out and never written is a hole, which need not be read.
    while let Some(data) = next_data(&file, from)? {
        file.seek(SeekFrom::Start(data))?;
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        if chunk[..read] != ZEROS[..read] {
            let last = chunk[..read].iter().rposition(|byte| *byte != 0).unwrap_or_default();
            used = data + last as u64 + 1;
        }
        from = data + read as u64;
    }
    file.seek(SeekFrom::Start(at))?;
    let mut rest = Vec::new();
    file.take(used - at).read_to_end(&mut rest)?;
    Ok(rest)
}

/// Where the file goes on behind a hole, or none where only holes follow.
fn next_data(file: &File, from: u64) -> std::io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system that knows no holes.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}

/// Whether what stands behind the whole batches is one batch that was cut off while it was written.
fn is_torn(rest: &[u8], end: End) -> bool {
    let ends = rest.len() >= END_BYTES
        && rest[rest.len() - END_BYTES] == END
        && rest[rest.len() - TRAILER.len()..] == TRAILER;
    (!ends || lacks_sector(rest, end.at)) && !has_batch(rest, end.seqno)
}

fn lacks_sector(rest: &[u8], at: u64) -> bool {
    let is_zero = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    let first = (SECTOR_BYTES - at as usize % SECTOR_BYTES).min(rest.len());
    is_zero(&rest[..first]) || rest[first..].chunks_exact(SECTOR_BYTES).any(is_zero)
}

/// Whether a later batch stands anywhere in there, whole.
fn has_batch(rest: &[u8], last: u64) -> bool {
    // No batch is shorter than this, so there are no more of them.
    let most = (rest.len() / (START_BYTES + END_BYTES)) as u64 + 2;
    (1..rest.len()).filter(|at| rest[*at] == START).any(|at| {
        let batch = read_batch(&mut &rest[at..]).ok().flatten();
        batch.is_some_and(|batch| batch.seqno > last && (last == 0 || batch.seqno - last <= most))
    })
}
