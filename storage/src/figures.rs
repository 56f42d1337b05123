//! How much there is of everything in a store, counted by its keys.

use std::collections::BTreeMap;
use std::ops::Bound;

pub use crate::verify::Figures;

use crate::append::StreamId;
use crate::damage::ReadError;
use crate::feed;
use crate::journal::Head;
use crate::keys;
use crate::store::Store;

/// What a store holds.
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// Each part of the keyspace.
    pub parts: BTreeMap<&'static str, Figures>,
    /// The streams of each tenant and kind.
    pub kinds: BTreeMap<(String, String), KindFigures>,
    /// Bytes that the engine takes on disk.
    pub bytes_on_disk: u64,
    /// When the first group of the feed was committed, in milliseconds since the Unix epoch of the engine's time.
    pub first_at_ms: Option<u64>,
    /// Where the feed ends.
    pub head: Head,
}

/// The streams of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindFigures {
    /// Streams.
    pub streams: u64,
    /// Their records.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Records of the longest of them.
    pub longest: u64,
}

/// Counts a whole store. `progress` is told how many keys have been seen.
///
/// # Errors
/// [`ReadError`] if the engine cannot read, or the first or last group of the feed is damaged.
pub fn count(store: &dyn Store, progress: &mut dyn FnMut(u64)) -> Result<StoreFigures, ReadError> {
    let mut figures = StoreFigures {
        bytes_on_disk: store.size_on_disk()?,
        parts: keys::PARTS.iter().map(|(_, name)| (*name, Figures::default())).collect(),
        ..StoreFigures::default()
    };
    let mut seen = 0;
    let mut present: Option<(StreamId, KindFigures)> = None;
    for pair in store.range(Bound::Unbounded, Bound::Unbounded) {
        let (key, value) = pair?;
        let bytes = (key.len() + value.len()) as u64;
        let part = figures.parts.entry(keys::part_name(&key).unwrap_or("unknown")).or_default();
        part.keys += 1;
        part.bytes += bytes;
        if let Some((stream, _)) = keys::read_record(&key) {
            if present.as_ref().is_none_or(|(of, _)| *of != stream) {
                figures.add(present.take());
                present = Some((stream, KindFigures { streams: 1, ..KindFigures::default() }));
            }
            if let Some((_, figures)) = &mut present {
                figures.records += 1;
                figures.bytes += bytes;
                figures.longest += 1;
            }
        }
        seen += 1;
        if seen % 1024 == 0 {
            progress(seen);
        }
    }
    figures.add(present);
    let (from, to) = keys::within(&[keys::FEED]);
    let (from, to) = keys::half_open(&from, &to);
    let first = store.range(from, to).next().map(feed::decode_pair).transpose()?;
    figures.first_at_ms = first.map(|group| group.at_ms);
    if let Some(last) = feed::last(store)? {
        figures.head = Head { seq: last.last_seq, hash: last.hash, at_ms: last.at_ms };
    }
    Ok(figures)
}

impl StoreFigures {
    fn add(&mut self, stream: Option<(StreamId, KindFigures)>) {
        let Some((StreamId { tenant, kind, .. }, one)) = stream else { return };
        let all = self.kinds.entry((tenant, kind)).or_default();
        all.streams += one.streams;
        all.records += one.records;
        all.bytes += one.bytes;
        all.longest = all.longest.max(one.longest);
    }
}
