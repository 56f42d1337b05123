//! The format from its first day, as files: what was once written is read for ever, and written the same.
//!
//! A file that is missing is made with `UPDATE_GOLDEN=1`. One that is there is never changed: a new shape gets a
//! new format, a new fixture beside the old, and code that reads both.

use std::path::PathBuf;

use uuid::Uuid;

use crate::append::*;
use crate::envelope::{ActivityBytes, Armed, EventBytes, Record, Snapshot};
use crate::feed::{FeedEntry, FeedGroup};
use crate::keys;
use crate::{activities, claims, dead_letters, inbox, streams, timers, wire};

/// What the file holds; it must be what is written today.
fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("bin");
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|update| update == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    let kept = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 makes it", path.display()));
    assert_eq!(
        written.escape_ascii().to_string(),
        kept.escape_ascii().to_string(),
        "{name} is written otherwise than on its first day: give the new shape a new format"
    );
    kept
}

fn stream() -> StreamId {
    let entity = Uuid::from_u128(0x0192_f00d_cafe_7000_8000_0000_0000_0001);
    StreamId { tenant: "default".into(), kind: "conversation".into(), entity }
}

fn armed() -> Vec<Armed> {
    vec![
        Armed { name: "silence".into(), due_ms: 1_767_268_800_000 },
        Armed { name: "triage".into(), due_ms: 1_767_225_620_000 },
    ]
}

fn activity_key() -> ActivityKey {
    ActivityKey { ready_at_ms: 1_767_225_600_000, stream: stream(), version: 300, index: 2 }
}

#[test]
fn a_record_is_written_as_on_its_first_day() {
    let record = Record {
        stream: stream(),
        version: 300,
        at_ms: 1_767_225_600_000,
        correlation: Uuid::from_u128(7),
        metadata: b"who and why".to_vec(),
        key_id: Some(Uuid::from_u128(9)),
        previous: [0xab; 32],
        events: vec![
            EventBytes { name: "MessageReceived".into(), version: 1, bytes: b"hello".to_vec() },
            EventBytes { name: "MessageReceived".into(), version: 2, bytes: vec![] },
            EventBytes { name: "Queued".into(), version: 1, bytes: vec![0, 0xff] },
        ],
        activities: vec![
            ActivityBytes { lane: String::new(), bytes: b"triage".to_vec() },
            ActivityBytes { lane: "email".into(), bytes: b"send".to_vec() },
        ],
        armed: armed(),
    };
    let encoded = record.encode();
    let kept = golden("record", &encoded.bytes);
    let read = Record::decode(&kept).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.encode(), encoded);
    golden("record-hash", &encoded.hash);

    let mut value = vec![0; streams::PLACE_BYTES];
    value.extend_from_slice(&encoded.bytes);
    streams::place(&mut value, &keys::record(&stream(), 300), 4711);
    golden("record-value", &value);
}

#[test]
fn a_snapshot_is_written_as_on_its_first_day() {
    let snapshot = Snapshot {
        stream: stream(),
        state_revision: 3,
        version: 300,
        seq: 4711,
        head: [0xcd; 32],
        armed: armed(),
        state: b"state".to_vec(),
    };
    let kept = golden("snapshot", &snapshot.encode().bytes);
    let read = Snapshot::decode(&kept).unwrap();
    assert_eq!(read, snapshot);
    assert_eq!(read.encode().bytes, kept);
}

#[test]
fn a_feed_group_is_written_as_on_its_first_day() {
    let entry = |version, events| FeedEntry { stream: stream(), version, events, hash: [version as u8; 32] };
    let mut group = FeedGroup {
        first_seq: 4711,
        last_seq: 4713,
        at_ms: 1_767_225_600_000,
        previous: [0xef; 32],
        entries: vec![entry(300, 2), entry(301, 0), entry(302, 1)],
        hash: [0; 32],
    };
    let kept = golden("feed-group", &group.encode());
    let mut read = FeedGroup::decode(&kept).unwrap();
    assert_eq!(read, group);
    assert_eq!(read.encode(), kept);
}

#[test]
fn an_inbox_entry_is_written_as_on_its_first_day() {
    let entry = NewInboxEntry { tenant: "default".into(), bytes: b"a message".to_vec() };
    let kept = golden("inbox-entry", &inbox::encode(&entry));
    let read = inbox::decode(5, &kept).unwrap();
    assert_eq!(inbox::encode(&NewInboxEntry { tenant: read.tenant, bytes: read.bytes }), kept);
}

#[test]
fn a_claim_is_written_as_on_its_first_day() {
    let kept = golden("claim", &claims::encode(b"an owner"));
    assert_eq!(claims::encode(&claims::decode(&kept).unwrap()), kept);
}

#[test]
fn a_timer_is_written_as_on_its_first_day() {
    let key = TimerKey { fire_at_ms: 1_767_225_601_000, stream: stream(), name: "silence".into() };
    let timer = Timer { key: key.clone(), due_ms: 1_767_225_600_000, stuck: 3 };
    let kept = golden("timer", &timers::encode(&timer));
    let read = timers::decode(key, &kept).unwrap();
    assert_eq!(read, timer);
    assert_eq!(timers::encode(&read), kept);
}

#[test]
fn an_activity_and_a_hold_are_written_as_on_their_first_day() {
    let plain = PendingActivity {
        key: activity_key(),
        lane: "email".into(),
        attempts: 0,
        asked_at_ms: 1_767_225_600_000,
        last_error: None,
        edited: None,
        begun_at_ms: None,
    };
    let tried = PendingActivity {
        attempts: 2,
        last_error: Some("timeout".into()),
        edited: Some(b"better".to_vec()),
        ..plain.clone()
    };
    let begun = PendingActivity { begun_at_ms: Some(1_767_225_600_250), ..tried.clone() };
    for (name, activity) in [("activity", plain), ("activity-tried", tried), ("activity-begun", begun)] {
        let kept = golden(name, &activities::encode(&activity));
        let read = activities::decode(activity_key(), &kept).unwrap();
        assert_eq!(read, activity);
        assert_eq!(activities::encode(&read), kept);
    }
    let lane = LaneKey { stream: stream(), lane: "email".into() };
    let hold = LaneHold { key: lane.clone(), held_by: activity_key() };
    let kept = golden("lane-hold", &activities::encode_hold(&hold));
    let read = activities::decode_hold(lane, &kept).unwrap();
    assert_eq!(read, hold);
    assert_eq!(activities::encode_hold(&read), kept);
}

#[test]
fn a_dead_letter_is_written_as_on_its_first_day() {
    let known = DeadLetter {
        id: Uuid::from_u128(11),
        tenant: "default".into(),
        at_ms: 1_767_225_600_000,
        kind: "activity".into(),
        stream: Some((stream(), 300)),
        reason: "panicked".into(),
        attempts: 5,
        payload: b"what it was".to_vec(),
    };
    let unknown = DeadLetter { stream: None, kind: "webhook".into(), ..known.clone() };
    for (name, letter) in [("dead-letter", known), ("dead-letter-unknown", unknown)] {
        let kept = golden(name, &dead_letters::encode(&letter));
        let read = dead_letters::decode(&kept).unwrap();
        assert_eq!(read, letter);
        assert_eq!(dead_letters::encode(&read), kept);
    }
}

#[test]
fn a_mark_is_written_as_on_its_first_day() {
    let kept = golden("mark", &wire::seal_number(4096));
    assert_eq!(wire::seal_number(wire::open_number(&kept).unwrap()), kept);
}

/// Keys are never decoded and written again, so they stand here by length, one after the other.
#[test]
fn keys_are_made_as_on_their_first_day() {
    let claim = |lifetime| {
        let key =
            ClaimKey { tenant: "default".into(), space: "address".into(), key: b"a@b.c".to_vec(), lifetime };
        keys::claim(&key)
    };
    let (permanent, _) = claim(ClaimLifetime::Permanent);
    let (periodic, former) = claim(ClaimLifetime::Periodic { at_ms: 1_767_225_600_000 });
    let timer = TimerKey { fire_at_ms: 1_767_225_601_000, stream: stream(), name: "silence".into() };
    let all = [
        keys::record(&stream(), 300),
        keys::snapshot(&stream()),
        permanent,
        periodic,
        former.concat(),
        keys::hold(&LaneKey { stream: stream(), lane: "email".into() }),
        keys::blob("default/inbound/1"),
        keys::row("default", "inbox", 1),
        keys::setting("clock"),
        keys::feed(4711),
        keys::timer(&timer),
        keys::activity(&activity_key()),
        keys::inbox(5),
        keys::dead_letter(Uuid::from_u128(11)),
        keys::mark("inbox"),
    ];
    let together: Vec<u8> = all.iter().flat_map(|key| [&[key.len() as u8][..], key].concat()).collect();
    golden("keys", &together);
    assert_eq!(keys::read_timer(&all[10]), Some(timer));
    assert_eq!(keys::read_activity(&all[11]), Some(activity_key()));
    assert_eq!(keys::read_inbox(&all[12]), Some(5));
}

#[test]
fn an_archive_is_written_as_on_its_first_day() {
    use crate::archive::{Archive, Base, Composer, FilePart, Frame, Header};

    let header = Header {
        engine: "sled".into(),
        program: "0.1.0".into(),
        begun_at_ms: 1_767_225_600_000,
        bytes_expected: 300,
        base: Some(Base { seq: 4711, hash: [0xab; 32], begun_at_ms: 1_767_225_500_000 }),
    };
    let file = |offset, bytes: &[u8]| {
        let name = "blobs/default/1/1".into();
        Frame::File(FilePart { name, offset, length: 4, bytes: bytes.to_vec() })
    };
    let frames = [
        Frame::Pairs(vec![(b"key".to_vec(), b"value".to_vec()), (b"other".to_vec(), vec![])]),
        Frame::Changes(vec![(b"key".to_vec(), None), (b"other".to_vec(), Some(b"new".to_vec()))]),
        file(0, b"ab"),
        file(2, b"cd"),
        Frame::Absent("blobs/default/1/2".into()),
    ];
    let (mut composer, mut written) = Composer::begin(&header);
    for frame in &frames {
        written.extend(composer.add(frame));
    }
    let head = crate::journal::Head { seq: 4712, hash: [0xcd; 32], at_ms: 1_767_225_600_001 };
    let (bytes, end) = composer.finish(head);
    written.extend(bytes);

    let kept = golden("archive", &written);
    let mut archive = Archive::open(&kept[..]).unwrap();
    assert_eq!(*archive.header(), header);
    let mut read = Vec::new();
    while let Some(frame) = archive.next_frame().unwrap() {
        read.push(frame);
    }
    assert_eq!(read, frames);
    assert_eq!(archive.end().unwrap(), end);
}
