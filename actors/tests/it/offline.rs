//! A journal without its engine: what was tampered with is found by replaying, and lists are made anew.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use throughline_actors::{
    offline::{Offline, Rebuilt},
    performer::NoPerformer,
    testing::{World, meta},
};
use throughline_storage::{
    append::{Append, NewRecord, StreamId},
    codec,
    envelope::{Armed, Snapshot},
    journal::{Journal, JournalOptions},
    store::{Batch, Store},
    verify::{Wanted, verify},
};
use throughline_workflows::{policy_book::PolicyBook, time::Span};
use uuid::Uuid;

use crate::parcel::{Announcer, Command, Counts, Parcel, State, start};

/// Parcels on their way and parcels that were late, and the engine gone.
async fn world() -> (World, Vec<Uuid>) {
    let mut world = World::new();
    world.options.snapshot_every = 2;
    let engine = start(&world, &Announcer::default()).await;
    let tenant = World::tenant();
    let mut ids = Vec::new();
    for hours in 1..=4 {
        let id = engine.mint();
        let due_in = Span::from_hours(hours);
        for _ in 0..3 {
            let send = Command::Send { due_in, stubborn: false };
            engine.send::<Parcel>(&tenant, id, send, meta(&engine)).await.unwrap();
        }
        ids.push(id);
    }
    engine.advance(Span::from_mins(90)).await.unwrap();
    engine.drain().await.unwrap();
    (world.after_power_cut(), ids)
}

fn offline(world: &World) -> Offline {
    world.builder().workflow::<Parcel>(Announcer::default()).view::<Counts>().offline()
}

fn rows(world: &World) -> BTreeMap<Vec<u8>, Vec<u8>> {
    world.store.range(Bound::Included(b"p"), Bound::Excluded(b"q")).map(Result::unwrap).collect()
}

fn change(world: &World, key: Vec<u8>, value: Option<Vec<u8>>) {
    world.store.commit(Batch { changes: vec![(key, value)] }).unwrap();
}

fn snapshots(world: &World) -> Vec<(Vec<u8>, Snapshot)> {
    let pairs = world.store.range(Bound::Included(b"s"), Bound::Excluded(b"t"));
    pairs
        .map(Result::unwrap)
        .map(|(key, value)| (key, Snapshot::decode(&value).unwrap()))
        .filter(|(_, snapshot)| snapshot.stream.kind == "parcel")
        .collect()
}

#[tokio::test]
async fn what_follows_from_its_history_shows_no_difference() {
    let (world, _) = world().await;
    let mut told = 0;
    let replayed = offline(&world).replay(&mut |entities| told = entities).unwrap();
    assert_eq!(replayed.differences, []);
    assert_eq!((replayed.entities, told), (4, 4));
    // And what the store can tell by itself agrees: snapshots, timers that fired, lists.
    let found = verify(&world.store, &Wanted::default(), &mut |_| {});
    assert_eq!(found.damages, []);
    assert!(found.parts["snapshots"].keys > 0 && found.parts["timers"].keys > 0, "{:?}", found.parts);
    assert_eq!((replayed.unknown.len(), replayed.not_rearmed.len()), (0, 0));
    // A program that knows other workflows says what it could not look at.
    let other = world.builder().workflow::<PolicyBook>(NoPerformer).offline();
    let replayed = other.replay(&mut |_| {}).unwrap();
    assert_eq!(replayed.unknown, BTreeMap::from([("parcel".to_owned(), 4)]));
    assert_eq!(replayed.not_rearmed, ["policy"], "no engine has compared its timers");
}

#[tokio::test]
async fn a_snapshot_of_another_state_is_a_difference() {
    let (world, _) = world().await;
    let (key, mut snapshot) = snapshots(&world).remove(0);
    let mut state: State = codec::decode(&snapshot.state).unwrap();
    state.sent += 1;
    snapshot.state = codec::encode(&state);
    change(&world, key, Some(snapshot.encode().bytes));
    let replayed = offline(&world).replay(&mut |_| {}).unwrap();
    assert_eq!(replayed.different, 1);
    assert_eq!(replayed.differences[0].stream, snapshot.stream);
    assert!(replayed.differences[0].what.contains("holds another sent"), "{replayed:?}");
}

#[tokio::test]
async fn timers_that_are_not_the_deadlines_of_the_state_are_a_difference() {
    let (world, ids) = world().await;
    // A turn that forgot what its state asks for.
    let journal = Journal::open(Arc::new(world.store.clone()), JournalOptions::default()).unwrap();
    let (_, snapshot) = snapshots(&world).remove(0);
    let stream = StreamId { entity: ids[3], ..snapshot.stream };
    let version = journal.version(&stream).unwrap();
    let last = journal.record(&stream, version).unwrap().unwrap();
    let mut record = last.decode().unwrap();
    record.version += 1;
    record.previous = last.hash;
    record.events.clear();
    record.armed = vec![Armed { name: "departure".into(), due_ms: 5 }];
    let encoded = record.encode();
    let record = NewRecord {
        stream,
        expected_version: version,
        read_after: None,
        events: 0,
        bytes: encoded.bytes,
        hash: encoded.hash,
    };
    let append = Append { record: Some(record), ..Default::default() };
    journal.commit(append).await.unwrap();
    let replayed = offline(&world).replay(&mut |_| {}).unwrap();
    let what: Vec<_> = replayed.differences.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(replayed.different, 3, "{what:?}");
    assert!(what[0].contains("timer arrival is armed for nothing"), "{what:?}");
    assert!(
        what[1].contains("timer departure is armed for 1970-") && what[1].ends_with("nothing"),
        "{what:?}"
    );
    assert!(what[2].starts_with("nothing will wake it for timer departure"), "{what:?}");
}

#[tokio::test]
async fn lists_are_made_anew_as_they_were() {
    let (world, _) = world().await;
    let before = rows(&world);
    assert_eq!(before.len(), 8, "a row and a pointer for each");
    // One row is gone, and one that is nobody's is there.
    let row = before.keys().next().unwrap().clone();
    let mut stray = row.clone();
    stray.push(7);
    change(&world, row, None);
    change(&world, stray, Some(b"stray".to_vec()));
    let mut reached = 0;
    let (rebuilt, damaged) = offline(&world).rebuild(&[], &mut |seq| reached = seq).await.unwrap();
    assert_eq!(rows(&world), before);
    assert_eq!(rebuilt, [Rebuilt { view: "counts", removed: 8, written: 4 }]);
    assert_eq!((damaged.len(), reached > 0), (0, true));
    let (rebuilt, _) = offline(&world).rebuild(&["nothing".to_owned()], &mut |_| {}).await.unwrap();
    assert_eq!(rebuilt, []);
    // And the engine goes on with them.
    let engine = start(&world, &Announcer::default()).await;
    let seq = engine.last_seq();
    engine.views().wait_for(seq, std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(rows(&world), before);
}
