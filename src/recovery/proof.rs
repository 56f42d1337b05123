//! Whether a chain of archives is what was written, all of it: read from its first byte to its last.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, ensure};
use throughline_storage::{
    archive::{Archive, End, Frame, Header},
    backup::{BLOBS, named_blob},
};

use super::{bars, shelf::Kept};

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// What a chain has been found to hold.
#[derive(Debug, Default)]
pub(crate) struct Proved {
    /// Blobs that the last archive names and that are in no archive of the chain. Only a chain whose last archive adds
    /// to another can lack some: it takes those as known that are older than the one before.
    pub(crate) missing: BTreeSet<String>,
    /// Blobs that were named and not there when the last archive was made.
    pub(crate) absent: BTreeSet<String>,
}

/// Reads a file as an archive.
///
/// # Errors
/// If it cannot be opened or is none.
pub(crate) fn open(path: &Path) -> anyhow::Result<Archive<BufReader<File>>> {
    let shown = || format!("{}", path.display());
    let file = File::open(path).with_context(shown)?;
    Archive::open(BufReader::with_capacity(BUFFER, file)).with_context(shown)
}

/// Reads a whole chain, the full archive first.
///
/// # Errors
/// The first thing in it that is not what was written, with the archive it is in.
pub(crate) fn prove(chain: &[Kept]) -> anyhow::Result<Proved> {
    let bar = bars::bytes("checking", chain.iter().map(|kept| kept.bytes).sum());
    let mut stored = BTreeSet::new();
    let mut proved = Proved::default();
    let mut read = 0;
    for (at, kept) in chain.iter().enumerate() {
        let is_last = at + 1 == chain.len();
        let mut named = BTreeSet::new();
        let (header, end) = walk(&kept.path, &mut |frame, bytes| {
            bar.set_position(read + bytes);
            match frame {
                Frame::File(part) if part.offset == 0 => {
                    stored.insert(part.name);
                }
                Frame::Absent(name) if is_last => {
                    proved.absent.insert(name);
                }
                Frame::Pairs(pairs) if is_last => {
                    named.extend(pairs.iter().filter_map(|(key, _)| blob_of(key)));
                }
                Frame::Changes(changes) if is_last => {
                    for (key, value) in changes {
                        let Some(name) = blob_of(&key) else { continue };
                        if value.is_some() {
                            named.insert(name)
                        } else {
                            named.remove(&name)
                        };
                    }
                }
                Frame::File(_) | Frame::Absent(_) | Frame::Pairs(_) | Frame::Changes(_) => {}
            }
        })?;
        ensure!(
            header == kept.header && end == kept.end,
            "{} has changed while it was read",
            kept.path.display()
        );
        read += kept.bytes;
        let known = |name: &String| stored.contains(name) || proved.absent.contains(name);
        proved.missing = named.into_iter().filter(|name| !known(name)).collect();
    }
    bar.finish_and_clear();
    Ok(proved)
}

fn blob_of(key: &[u8]) -> Option<String> {
    named_blob(key).map(|name| format!("{BLOBS}{name}"))
}

/// Reads one archive to its end; `each` is given its pieces, and how many bytes have been read.
fn walk(path: &Path, each: &mut dyn FnMut(Frame, u64)) -> anyhow::Result<(Header, End)> {
    let shown = || format!("{}", path.display());
    let mut archive = open(path)?;
    while let Some(frame) = archive.next_frame().with_context(shown)? {
        each(frame, archive.bytes_read());
    }
    let header = archive.header().clone();
    Ok((header, archive.end().with_context(shown)?))
}
