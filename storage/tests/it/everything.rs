//! An append with one of everything, and how much of it is there.

use throughline_storage::append::*;
use throughline_storage::envelope::Snapshot;
use throughline_storage::journal::Journal;
use throughline_storage::keys;
use uuid::Uuid;

use crate::world::*;

/// An append with one of everything.
pub(crate) fn everything(store_at: u64) -> Append {
    let stream = stream(store_at.into());
    let lane = LaneKey { stream: stream.clone(), lane: "email".into() };
    let snapshot = Snapshot {
        stream: stream.clone(),
        state_revision: 1,
        version: 1,
        seq: 0,
        head: [1; 32],
        armed: vec![],
        state: b"state".to_vec(),
    };
    let id = store_at.into();
    Append {
        record: Some(record_after([0; 32], &stream, 0, 2)),
        consume: vec![],
        claims: take(permanent(&format!("key {store_at}")), "me").claims,
        disarm: vec![timer(id, 1).key],
        arm: vec![timer(id, 50)],
        activities: vec![activity(id, 60, 0)],
        hold: vec![LaneHold { key: lane, held_by: activity(id, 60, 0).key }],
        unhold: vec![],
        snapshot: Some(SnapshotBytes { stream, bytes: snapshot.encode().bytes }),
        inbox: inbound("hello").inbox,
        dead_letters: vec![letter(id)],
        blobs: vec![format!("acme/{store_at}/1")],
        rows: vec![RowChange {
            key: keys::setting(&format!("row {store_at}")),
            value: Some(b"row".to_vec()),
        }],
        class: AppendClass::Essential,
    }
}

pub(crate) fn letter(id: u128) -> DeadLetter {
    DeadLetter {
        id: Uuid::from_u128(id),
        tenant: "acme".into(),
        at_ms: 5,
        kind: "command".into(),
        stream: None,
        reason: "it panicked".into(),
        attempts: 5,
        payload: b"bytes".to_vec(),
    }
}

/// How many of the parts of [`everything`] are there: all or none.
pub(crate) fn parts(journal: &Journal, number: u64) -> usize {
    let (id, name) = (u128::from(number), stream(number.into()));
    let lane = LaneKey { stream: name.clone(), lane: "email".into() };
    [
        journal.version(&name).unwrap() == 1,
        journal.claim(&permanent(&format!("key {number}"))).unwrap() == Some(b"me".to_vec()),
        journal.timer(&timer(id, 50).key).unwrap() == Some(timer(id, 50)),
        journal.activity(&activity(id, 60, 0).key).unwrap() == Some(activity(id, 60, 0)),
        journal.hold(&lane).unwrap().is_some_and(|hold| hold.held_by == activity(id, 60, 0).key),
        journal.snapshot(&name).unwrap().is_some_and(|snapshot| snapshot.state == b"state"),
        journal.inbox(0, 100).unwrap().iter().any(|entry| entry.number == number),
        journal.dead_letter(Uuid::from_u128(id)).unwrap() == Some(letter(id)),
        journal.names_blob(&format!("acme/{number}/1")).unwrap(),
        journal.row(&keys::setting(&format!("row {number}"))).unwrap() == Some(b"row".to_vec()),
        journal
            .feed(0, 100)
            .unwrap()
            .iter()
            .flat_map(|group| &group.entries)
            .any(|entry| entry.stream == name),
    ]
    .into_iter()
    .filter(|part| *part)
    .count()
}

pub(crate) const ALL_PARTS: usize = 11;
