//! Copies taken while commits go on: what they hold, what adds to them, and what is refused.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use throughline_storage::append::{Append, RowChange, StreamId};
use throughline_storage::archive::{Archive, ArchiveError, Base, End, Frame, read_end};
use throughline_storage::backup::{BackupError, BackupOptions};
use throughline_storage::blobs::Blobs;
use throughline_storage::journal::Journal;
use throughline_storage::keys;
use throughline_storage::restore::take_in;
use throughline_storage::store::memory::{Failure, MemoryStore};
use throughline_storage::store::{Engine, Store, StoreOptions};

use crate::engines::on_every_engine;
use crate::everything::everything;
use crate::world::*;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn content(store: &dyn Store) -> Content {
    store.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).collect()
}

fn blobs() -> (tempfile::TempDir, Arc<Blobs>) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Arc::new(Blobs::open(folder.path()).unwrap());
    (folder, blobs)
}

fn options(blobs: &Arc<Blobs>, base: Option<Base>) -> BackupOptions {
    BackupOptions {
        blobs: blobs.clone(),
        files: vec![("secrets/key".into(), b"secret".to_vec())],
        base,
        program: "1".into(),
    }
}

/// A whole backup, and what its end says.
async fn archive(journal: &Journal, blobs: &Arc<Blobs>, base: Option<Base>) -> (Vec<u8>, End) {
    let mut backup = journal.backup(options(blobs, base)).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        bytes.extend(piece);
    }
    (bytes, backup.end().unwrap().clone())
}

fn base_of(bytes: &[u8]) -> Base {
    let archive = Archive::open(bytes).unwrap();
    let header = archive.header().clone();
    header.as_base(&archive.end().unwrap())
}

/// What archives that follow each other make of an empty store, and the files in them.
fn restored(archives: &[&[u8]]) -> (MemoryStore, BTreeMap<String, Vec<u8>>) {
    let store = MemoryStore::new();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (at, bytes) in archives.iter().enumerate() {
        let is_last = at + 1 == archives.len();
        let mut take = |part: &throughline_storage::archive::FilePart| {
            let file = files.entry(part.name.clone()).or_default();
            file.truncate(part.offset as usize);
            file.extend(&part.bytes);
            Ok(())
        };
        take_in(Archive::open(*bytes).unwrap(), is_last, &store, &mut take, &mut |_| {}).unwrap();
    }
    (store, files)
}

/// A turn of a stream that also writes a large row, or removes it.
async fn change(journal: &Journal, number: u8, bytes: Option<usize>) {
    let stream = stream(u128::from(number));
    let version = journal.version(&stream).unwrap();
    let last = journal.record(&stream, version).unwrap();
    let record = record_after(last.map_or([0; 32], |last| last.hash), &stream, version, 1);
    let key = [keys::row("acme", "list", 1), vec![number]].concat();
    let value = bytes.map(|bytes| vec![version as u8; bytes]);
    let append = Append { record: Some(record), rows: vec![RowChange { key, value }], ..Append::default() };
    journal.commit(append).await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Which streams change, and how large their rows become, before the next piece of the backup is read.
fn acts() -> impl Strategy<Value = Vec<Vec<(u8, Option<usize>)>>> {
    let act = (0..40_u8, prop::option::of(1..60_000_usize));
    prop::collection::vec(prop::collection::vec(act, 0..4), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_backup_under_change_is_the_store_at_one_moment(before in acts(), during in acts()) {
        runtime().block_on(async {
            let store = MemoryStore::new();
            let journal = open(&store);
            let (_folder, blobs) = blobs();
            // Every commit moves the head, so the head says which moment it was.
            let mut moments = BTreeMap::new();
            for number in 0..40 {
                change(&journal, number, Some(30_000)).await;
            }
            for (number, bytes) in before.into_iter().flatten() {
                change(&journal, number, bytes).await;
            }
            moments.insert(journal.head().seq, content(&store));
            let begun_at = journal.head().seq;
            let mut backup = journal.backup(options(&blobs, None)).await.unwrap();
            let mut during = during.into_iter();
            let mut bytes = Vec::new();
            while let Some(piece) = backup.next().await.unwrap() {
                bytes.extend(piece);
                for (number, bytes) in during.next().into_iter().flatten() {
                    change(&journal, number, bytes).await;
                    moments.insert(journal.head().seq, content(&store));
                }
            }
            let end = backup.end().unwrap();
            assert!(end.head.seq >= begun_at, "everything acknowledged before it began is in it");
            let (copy, _) = restored(&[&bytes]);
            assert_eq!(content(&copy), moments[&end.head.seq]);
            let copied = open(&copy);
            assert_eq!(copied.head(), end.head);
            copied.verify_feed().unwrap();
        });
    }

    #[test]
    fn what_adds_to_a_backup_makes_the_store_of_a_later_moment(
        first in acts(), second in acts(), third in acts(),
    ) {
        runtime().block_on(async {
            let store = MemoryStore::new();
            let journal = open(&store);
            let (_folder, blobs) = blobs();
            let mut archives: Vec<Vec<u8>> = Vec::new();
            change(&journal, 0, Some(1)).await;
            for acts in [first, second, third] {
                for (number, bytes) in acts.into_iter().flatten() {
                    change(&journal, number, bytes).await;
                }
                // Records without events have no place of their own in the feed.
                let version = journal.version(&stream(99)).unwrap();
                journal.commit(turn(&stream(99), version, 0)).await.unwrap();
                let base = archives.last().map(|bytes| base_of(bytes));
                archives.push(archive(&journal, &blobs, base).await.0);
            }
            let slices: Vec<&[u8]> = archives.iter().map(Vec::as_slice).collect();
            let (copy, files) = restored(&slices);
            assert_eq!(content(&copy), content(&store));
            assert_eq!(files["secrets/key"], b"secret");
        });
    }

    #[test]
    fn any_flipped_bit_and_any_cut_of_an_archive_is_refused(at in any::<prop::sample::Index>()) {
        let bytes = runtime().block_on(async {
            let journal = open(&MemoryStore::new());
            let (_folder, blobs) = blobs();
            journal.commit(everything(1)).await.unwrap();
            archive(&journal, &blobs, None).await.0
        });
        let read = |bytes: &[u8]| Archive::open(bytes).and_then(Archive::end);
        assert!(read(&bytes).is_ok());
        let bit = at.index(bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(&flipped).is_err());
        prop_assert!(read(&bytes[..bit / 8]).is_err());
        let longer = matches!(read(&[&bytes[..], b"x"].concat()), Err(ArchiveError::Damaged { .. }));
        prop_assert!(longer);
    }
}

/// The archive's frames, as the stretches of bytes that they are.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut frames = Vec::new();
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        frames.push(at..at + 4 + length);
        at += 4 + length;
    }
    frames
}

#[tokio::test]
async fn a_frame_that_is_missing_doubled_or_moved_is_noticed() {
    let journal = open(&MemoryStore::new());
    let (_folder, blobs) = blobs();
    for number in 0..30 {
        change(&journal, number, Some(30_000)).await;
    }
    let (bytes, _) = archive(&journal, &blobs, None).await;
    let frames = frames(&bytes);
    assert!(frames.len() > 5, "{frames:?}");
    let read = |bytes: &[u8]| Archive::open(bytes).and_then(Archive::end);
    for frame in &frames {
        let without = [&bytes[..frame.start], &bytes[frame.end..]].concat();
        assert!(read(&without).is_err(), "without {frame:?}");
        let doubled = [&bytes[..frame.end], &bytes[frame.start..]].concat();
        assert!(read(&doubled).is_err(), "twice {frame:?}");
        for cut in [frame.start, frame.start + 3, frame.end - 1] {
            let error = read(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, ArchiveError::CutShort(_)), "{error}");
        }
    }
    let (a, b) = (frames[2].clone(), frames[3].clone());
    let moved = [&bytes[..a.start], &bytes[b.clone()], &bytes[a], &bytes[b.end..]].concat();
    let error = read(&moved).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_archive_or_a_later_one_is_told_apart() {
    let read = |bytes: &[u8]| Archive::open(bytes).and_then(Archive::end);
    assert_eq!(read(b"\x7fELF and whatever follows, with a line\n"), Err(ArchiveError::Foreign));
    assert_eq!(read(b""), Err(ArchiveError::CutShort(0)));
    assert_eq!(read(&[b'x'; 500]), Err(ArchiveError::Foreign));
    assert_eq!(read(b"throughline archive 2\n and the future"), Err(ArchiveError::Newer(2)));
    assert_eq!(read(b"throughline archive zero\n"), Err(ArchiveError::Foreign));
    assert_eq!(
        read(b"throughline archive 1\n\xff\xff\xff\xff"),
        Err(ArchiveError::Damaged { at: 22, reason: "a piece of 4294967295 bytes".into() })
    );
    assert!(read_end(Cursor::new(b"short")).is_err());
}

#[tokio::test]
async fn the_end_is_found_without_reading_the_rest() {
    let journal = open(&MemoryStore::new());
    let (_folder, blobs) = blobs();
    journal.commit(everything(1)).await.unwrap();
    let (bytes, end) = archive(&journal, &blobs, None).await;
    assert_eq!(read_end(Cursor::new(&bytes)).unwrap(), end);
    assert_eq!(end.head, journal.head());
    assert_eq!((end.counts.files, end.counts.file_bytes, end.counts.absent), (1, 6, 1));
}

#[tokio::test]
async fn blobs_come_whole_once_and_those_that_are_gone_are_named() {
    let journal = open(&MemoryStore::new());
    let (folder, blobs) = blobs();
    let large: Vec<u8> = (0..700_000_u32).map(|number| number as u8).collect();
    for (name, bytes) in [("acme/1/1", &large[..]), ("acme/1/2", b"")] {
        blobs.put(name, bytes.to_vec().into()).await.unwrap();
    }
    let names = ["acme/1/1", "acme/1/2", "acme/1/3"].map(str::to_owned).to_vec();
    journal.commit(Append { blobs: names, ..turn(&stream(1), 0, 1) }).await.unwrap();
    let (bytes, end) = archive(&journal, &blobs, None).await;
    assert_eq!((end.counts.files, end.counts.absent), (3, 1));
    let (_, files) = restored(&[&bytes]);
    assert_eq!(files["blobs/acme/1/1"], large);
    assert_eq!(files["blobs/acme/1/2"], b"");
    let mut read = Archive::open(&bytes[..]).unwrap();
    let mut absent = Vec::new();
    while let Some(frame) = read.next_frame().unwrap() {
        if let Frame::Absent(name) = frame {
            absent.push(name);
        }
    }
    assert_eq!(absent, ["blobs/acme/1/3"]);

    // A blob that is older than the base by far has come with it, or with one before.
    let old = std::fs::File::open(folder.path().join("acme/1/1")).unwrap();
    let week = std::time::Duration::from_secs(7 * 24 * 3600);
    old.set_modified(old.metadata().unwrap().modified().unwrap() - week).unwrap();
    let (more, end) = archive(&journal, &blobs, Some(base_of(&bytes))).await;
    assert_eq!(end.counts.files, 2);
    let (_, files) = restored(&[&bytes, &more]);
    assert_eq!(files["blobs/acme/1/1"], large);
}

#[tokio::test]
async fn one_backup_at_a_time_and_a_dropped_one_leaves_room_for_the_next() {
    let journal = open(&MemoryStore::new());
    let (_folder, blobs) = blobs();
    change(&journal, 1, Some(1)).await;
    let mut first = journal.backup(options(&blobs, None)).await.unwrap();
    assert!(matches!(journal.backup(options(&blobs, None)).await, Err(BackupError::Busy)));
    first.next().await.unwrap();
    drop(first);
    let mut second = journal.backup(options(&blobs, None)).await.unwrap();
    while second.next().await.unwrap().is_some() {}
    // It has its end and is still held: that keeps nobody from the next.
    archive(&journal, &blobs, None).await;
    drop(second);
    archive(&journal, &blobs, None).await;
}

#[tokio::test]
async fn a_base_of_another_history_is_refused() {
    let journal = open(&MemoryStore::new());
    let (_folder, blobs) = blobs();
    change(&journal, 1, Some(1)).await;
    change(&journal, 1, Some(1)).await;
    let base = base_of(&archive(&journal, &blobs, None).await.0);
    let refused = |base: Base| {
        let (journal, blobs) = (journal.clone(), blobs.clone());
        async move {
            matches!(journal.backup(options(&blobs, Some(base))).await, Err(BackupError::UnknownBase(_)))
        }
    };
    assert!(refused(Base { hash: [7; 32], ..base.clone() }).await);
    assert!(refused(Base { seq: 1, ..base.clone() }).await);
    assert!(refused(Base { seq: 900, ..base.clone() }).await);
    assert!(!refused(base).await);
}

#[tokio::test]
async fn a_store_that_fails_meanwhile_gives_no_archive() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let (_folder, blobs) = blobs();
    change(&journal, 1, Some(1)).await;
    let mut backup = journal.backup(options(&blobs, None)).await.unwrap();
    store.faults().fail_next(Failure::AfterWriting);
    journal.commit(turn(&stream(5), 0, 1)).await.unwrap_err();
    let failed = loop {
        match backup.next().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(failed, "what a power cut may still take is in no backup");
    assert!(backup.end().is_none());
}

/// The name of a stream of the load below.
fn of(writer: u128) -> StreamId {
    stream(1_000 + writer)
}

on_every_engine!(a_backup_under_load_holds_what_was_acknowledged_before_it_began);

fn a_backup_under_load_holds_what_was_acknowledged_before_it_began(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(back_up_under_load(engine));
}

async fn back_up_under_load(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let store = engine.open(folder.path().join("journal"), StoreOptions::default()).unwrap();
    let journal = Journal::open(store, Default::default()).unwrap();
    let (_folder, blobs) = blobs();
    for number in 0..40 {
        change(&journal, number, Some(30_000)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (journal, stop) = (journal.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    turns(&journal, &of(writer), 1, 1).await;
                }
            })
        })
        .collect();
    let mut archives: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let seq = journal.head().seq;
        let mut progress = journal.progress();
        progress.wait_for(|progress| progress.seq > seq + 20).await.unwrap();
        let acknowledged: Vec<u64> = (0..4).map(|writer| journal.version(&of(writer)).unwrap()).collect();
        journal.barrier().await.unwrap();
        let base = archives.last().map(|bytes| base_of(bytes));
        let (bytes, end) = archive(&journal, &blobs, base).await;
        archives.push(bytes);
        let slices: Vec<&[u8]> = archives.iter().map(Vec::as_slice).collect();
        let (copy, _) = restored(&slices);
        let copied = open(&copy);
        assert_eq!(copied.head(), end.head);
        copied.verify_feed().unwrap();
        for (writer, version) in acknowledged.iter().enumerate() {
            let stream = of(writer as u128);
            assert!(copied.version(&stream).unwrap() >= *version);
            copied.verify_stream(&stream).unwrap();
        }
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    // And what adds is smaller than what stands by itself.
    let bytes = archive(&journal, &blobs, Some(base_of(&archives[2]))).await.0;
    assert!(bytes.len() < archives[0].len() + archives[1].len());
}
