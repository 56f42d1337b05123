//! The door for the fuzzer: hostile bytes before every reader of what is stored, and the laws that must hold.
//!
//! A checksum stands at the end of every stored value, and no fuzzer guesses one. So it is put there for it: what is
//! tried is what a disk could only hold if somebody had written it on purpose, and even that must be read whole and
//! written again the same, or refused.

use std::io::Cursor;

use uuid::Uuid;

use crate::append::{ActivityKey, LaneKey, NewInboxEntry, StreamId, TimerKey};
use crate::archive::{Archive, ArchiveError, Composer, FORMAT, read_end};
use crate::envelope::{Record, Snapshot};
use crate::feed::FeedGroup;
use crate::journal::Head;
use crate::{activities, claims, codec, dead_letters, inbox, keys, streams, timers, wire};

/// Something with a length, texts, options and lists: what a stored type is made of.
type Anything = (u64, String, Vec<(Option<u8>, String)>, Option<Vec<u8>>, [u8; 4]);

/// Reads `content`, a value without its checksum, as everything that is stored.
///
/// # Panics
/// If a reader takes what it would not have written.
pub fn sealed(content: &[u8]) {
    let checksum = crc32fast::hash(content).to_le_bytes();
    let sealed = [content, &checksum].concat();
    let mut takers = 0;
    let mut same = |written: Option<Vec<u8>>| {
        if let Some(written) = written {
            takers += 1;
            assert_eq!(
                written.escape_ascii().to_string(),
                sealed.escape_ascii().to_string(),
                "what is read and written again has the same bytes"
            );
        }
    };
    same(Record::decode(&sealed).ok().map(|record| record.encode().bytes));
    same(Snapshot::decode(&sealed).ok().map(|snapshot| snapshot.encode().bytes));
    same(FeedGroup::decode(&sealed).ok().map(|mut group| {
        let hash = group.hash;
        let written = group.encode();
        assert_eq!(group.hash, hash, "a group's hash is that of its bytes");
        written
    }));
    same(
        inbox::decode(1, &sealed)
            .ok()
            .map(|entry| inbox::encode(&NewInboxEntry { tenant: entry.tenant, bytes: entry.bytes })),
    );
    same(claims::decode(&sealed).ok().map(|owner| claims::encode(&owner)));
    same(dead_letters::decode(&sealed).ok().map(|letter| dead_letters::encode(&letter)));
    same(timers::decode(timer_key(), &sealed).ok().map(|timer| timers::encode(&timer)));
    same(activities::decode(activity_key(), &sealed).ok().map(|activity| activities::encode(&activity)));
    let lane = LaneKey { stream: stream(), lane: String::new() };
    same(activities::decode_hold(lane, &sealed).ok().map(|hold| activities::encode_hold(&hold)));
    same(wire::open_number(&sealed).ok().map(wire::seal_number));
    assert!(takers <= 1, "no bytes are two kinds of thing");

    placed(content);
    if !content.is_empty() {
        let mut flipped = sealed;
        flipped[content.len() / 2] ^= 1;
        assert!(Record::decode(&flipped).is_err() && Snapshot::decode(&flipped).is_err());
    }
}

/// A record's value as it stands in the store: its place in the feed is read back, and belongs to its key only.
fn placed(content: &[u8]) {
    let (stream, other) = (stream(), keys::record(&stream(), 2));
    let key = keys::record(&stream, 1);
    let mut value = vec![0; streams::PLACE_BYTES];
    value.extend_from_slice(content);
    streams::place(&mut value, &key, 7);
    let read = streams::stored(&stream, (key.clone(), value.clone())).expect("what was placed is read");
    assert_eq!((read.first_seq, read.bytes.as_slice()), (7, content));
    assert!(streams::stored(&stream, (other, value)).is_err(), "a record in another's place is noticed");
    let _ = streams::stored(&stream, (key, content.to_vec()));
}

/// Reads `key` as every key that is read back.
///
/// # Panics
/// If a key is read that would not have been made.
pub fn key(key: &[u8]) {
    let tenant = keys::tenant(key);
    if let Some(read) = keys::read_timer(key) {
        assert_eq!(keys::timer(&read), key);
    }
    if let Some(read) = keys::read_activity(key) {
        assert_eq!(keys::activity(&read), key);
    }
    if let Some(read) = keys::read_feed(key) {
        assert_eq!(keys::feed(read), key);
    }
    if let Some(read) = keys::read_inbox(key) {
        assert_eq!(keys::inbox(read), key);
    }
    if let Some(tenant) = tenant {
        let first = [&key[..1], tenant.as_bytes(), &[0]].concat();
        assert!(key.starts_with(&first), "a tenant stands first in its keys");
    }
    if let (Some(version), [keys::RECORDS, ..]) = (keys::record_version(key), key) {
        assert!(key.ends_with(&version.to_be_bytes()));
    }
    if key.first().is_some_and(|first| *first < u8::MAX) {
        let (from, to) = keys::within(key);
        assert!(from.as_slice() <= key && key < to.as_slice(), "a key is within its own prefix");
    }
}

/// Reads `bytes` as values of a kind that says nothing of itself.
///
/// # Panics
/// If a value is read that would not have been written so.
pub fn value(bytes: &[u8]) {
    if let Ok(read) = codec::decode::<Anything>(bytes) {
        assert_eq!(codec::encode(&read), bytes);
    }
    if let Ok(row) = codec::decode_row::<Anything>(bytes) {
        let written = codec::encode_row(&row);
        let again = codec::decode_row::<Anything>(&written).expect("what was written can be read");
        assert_eq!(codec::encode_row(&again), written);
    }
    if let Ok(read) = codec::decode::<Vec<String>>(bytes) {
        assert_eq!(codec::encode(&read), bytes);
    }
    if let Ok(read) = codec::decode::<(bool, char, f64, Option<Box<[u16]>>)>(bytes) {
        let written = codec::encode(&read);
        assert_eq!(written, bytes);
    }
}

fn stream() -> StreamId {
    StreamId { tenant: "default".into(), kind: "conversation".into(), entity: Uuid::nil() }
}

fn timer_key() -> TimerKey {
    TimerKey { fire_at_ms: 1, stream: stream(), name: "silence".into() }
}

fn activity_key() -> ActivityKey {
    ActivityKey { ready_at_ms: 1, stream: stream(), version: 1, index: 0 }
}

/// Reads `content` as an archive: as it is, and as the frames of one. Each frame stands behind its length of two bytes,
/// little-endian, without its checksum; what no fuzzer guesses is put there for it, the end included.
///
/// # Panics
/// If what is not whole is taken, or what is whole is read otherwise than it was written.
pub fn archive(content: &[u8]) {
    let _ = judged(content);
    let mut bytes = format!("throughline archive {FORMAT}\n").into_bytes();
    let mut rest = content;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (frame, more) = more.split_at(usize::from(u16::from_le_bytes(*length)).min(more.len()));
        let length = frame.len() as u32 + 4;
        bytes.extend(length.to_le_bytes());
        bytes.extend(frame);
        bytes.extend(crc32fast::hash(frame).to_le_bytes());
        rest = more;
    }
    let _ = judged(&bytes);

    // Where only the end is missing, it is written behind what was read.
    let Ok(mut archive) = Archive::open(&bytes[..]) else { return };
    let (mut composer, mut written) = Composer::begin(archive.header());
    loop {
        match archive.next_frame() {
            Ok(Some(frame)) => written.extend(composer.add(&frame)),
            Err(ArchiveError::CutShort(at)) if at == bytes.len() as u64 => break,
            // A seed may bring its own end.
            Ok(None) | Err(_) => return,
        }
    }
    assert_eq!(written, bytes, "what is read and written again has the same bytes");
    let head = Head { seq: 7, hash: [7; 32], at_ms: 7 };
    let (last, end) = composer.finish(head);
    written.extend(last);
    match Archive::open(&written[..]).and_then(Archive::end) {
        Ok(read) => assert_eq!(read, end, "the end is read as it was written"),
        // A file whose last part did not come.
        Err(error) => return assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}"),
    }
    assert_eq!(read_end(Cursor::new(&written)).ok(), Some(end), "and found from behind");
    let place = content.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let place = place % (written.len() * 8);
    assert!(judged(&written[..place / 8]).is_err(), "cut, it is no archive");
    written[place / 8] ^= 1 << (place % 8);
    assert!(judged(&written).is_err(), "with a flipped bit, it is no archive");
}

/// Reads an archive to its end. What is refused is refused with a place that is in it.
fn judged(bytes: &[u8]) -> Result<(), ArchiveError> {
    let judged = Archive::open(bytes).and_then(Archive::end).map(drop);
    if let Err(ArchiveError::CutShort(at) | ArchiveError::Damaged { at, .. }) = &judged {
        assert!(*at <= bytes.len() as u64, "the damage is at a place that there is");
    }
    let _ = read_end(Cursor::new(bytes));
    judged
}
