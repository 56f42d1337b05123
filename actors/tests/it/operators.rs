//! What an operator does to activities and actors, and what they compare.

use std::sync::Arc;

use throughline_actors::{
    engine::Engine,
    order::{CommandMeta, Idempotency},
    performer::{NoPerformer, Outcome},
    testing::{World, meta},
};
use throughline_storage::{
    append::{Append, SnapshotBytes, StreamId, TimerKey},
    codec,
    journal::{Journal, JournalOptions},
};
use throughline_workflows::{
    ids::OperationId,
    operation::{self, Operation},
    time::Span,
    workflow::ActivityError,
};
use uuid::Uuid;

use crate::parcel::{Announcer, Command, Parcel, State};

async fn start(world: &World, announcer: &Announcer) -> Engine {
    let announcer = announcer.clone();
    world.start(|builder| builder.workflow::<Parcel>(announcer).workflow::<Operation>(NoPerformer)).await
}

fn announce(what: &str) -> Command {
    Command::Announce { what: what.to_owned(), lane: true }
}

fn down() -> Outcome<Command> {
    let error = ActivityError { code: None, message: "the number is wrong".to_owned() };
    Outcome::Retry { after: Some(Span::from_hours(2)), error }
}

fn why() -> String {
    "the number is mended".to_owned()
}

async fn parcel(engine: &Engine, id: Uuid) -> State {
    engine.state::<Parcel>(&World::tenant(), id).await.unwrap().unwrap().0
}

/// A parcel whose first announcement failed and whose second waits behind it: their ids.
async fn stuck(engine: &Engine, announcer: &Announcer) -> (Uuid, String, String) {
    let (tenant, id) = (World::tenant(), engine.mint());
    announcer.answers([down()]);
    engine.send::<Parcel>(&tenant, id, announce("first"), meta(engine)).await.unwrap();
    engine.settle().await.unwrap();
    engine.send::<Parcel>(&tenant, id, announce("second"), meta(engine)).await.unwrap();
    engine.settle().await.unwrap();
    let pending = engine.activities(10).unwrap();
    assert_eq!(pending.len(), 2, "{pending:?}");
    (id, format!("{id}.1.0"), format!("{id}.2.0"))
}

#[tokio::test]
async fn what_waits_for_another_try_is_tried_at_once_and_its_lane_follows_in_order() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (id, first, second) = stuck(&engine, &announcer).await;
    let overtaking = engine.retry_now(None, &second, why(), meta(&engine)).await.unwrap_err();
    assert!(overtaking.to_string().contains(&first), "{overtaking}");
    let before = engine.now();
    engine.retry_now(Some(&World::tenant()), &first, why(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    assert_eq!(engine.now(), before, "no time has passed");
    assert_eq!(parcel(&engine, id).await.announced, ["first", "second"]);
    let heard: Vec<_> = announcer.heard().into_iter().map(|(what, number, _)| (what, number)).collect();
    assert_eq!(heard, [("first".to_owned(), 1), ("first".to_owned(), 2), ("second".to_owned(), 1)]);
    let gone = engine.retry_now(None, &first, why(), meta(&engine)).await.unwrap_err();
    assert_eq!(gone.to_string(), "there is no such pending activity");
    assert!(engine.retry_now(None, "nonsense", why(), meta(&engine)).await.is_err());
    let audit = engine.history(&World::tenant(), "operation", Uuid::nil()).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].details["acted"]["target"], format!("activity/{first}"));
}

#[tokio::test]
async fn what_fails_again_keeps_its_place_and_its_count() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (id, first, _) = stuck(&engine, &announcer).await;
    announcer.answers([down()]);
    engine.retry_now(None, &first, why(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let pending = engine.activities(10).unwrap();
    assert_eq!((pending.len(), pending[0].attempts), (2, 2), "{pending:?}");
    engine.advance(Span::from_hours(2)).await.unwrap();
    assert_eq!(parcel(&engine, id).await.announced, ["first", "second"]);
}

#[tokio::test]
async fn what_is_being_tried_is_left_alone() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("silence"), meta(&engine)).await.unwrap();
    announcer.until_heard(1).await;
    let busy = engine.retry_now(None, &format!("{id}.1.0"), why(), meta(&engine)).await.unwrap_err();
    assert_eq!(busy.to_string(), "a try of it is under way");
    let busy = engine.skip(None, &format!("{id}.1.0"), why(), meta(&engine)).await.unwrap_err();
    assert_eq!(busy.to_string(), "a try of it is under way");
}

#[tokio::test]
async fn what_is_skipped_is_told_kept_and_no_longer_in_the_way() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (id, first, _) = stuck(&engine, &announcer).await;
    engine.skip(None, &first, "a wrong number".to_owned(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let state = parcel(&engine, id).await;
    assert_eq!((state.failed, state.announced), (vec!["first".to_owned()], vec!["second".to_owned()]));
    let letters = engine.dead_letters(None).unwrap();
    assert!(letters[0].retryable && letters[0].reason.contains("a wrong number"), "{letters:?}");
    engine.retry_dead_letter(None, letters[0].id, None, why(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    assert_eq!(parcel(&engine, id).await.announced, ["second", "first"]);
}

#[tokio::test]
async fn what_is_taken_out_of_memory_is_there_again_at_the_next_command() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let label = |label: &str| Command::Label(label.to_owned());
    engine.send::<Parcel>(&tenant, id, label("a"), meta(&engine)).await.unwrap();
    let hot = || async { engine.actors(None, Some("parcel"), Some("hot"), 0, 10).await.unwrap().1 };
    assert_eq!(hot().await, 1);
    engine.passivate(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap();
    assert_eq!(hot().await, 0);
    let again = engine.passivate(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap_err();
    assert_eq!(again.to_string(), "the parcel is not in memory");
    let receipt = engine.send::<Parcel>(&tenant, id, label("b"), meta(&engine)).await.unwrap();
    assert_eq!((receipt.version, hot().await), (2, 1));
}

#[tokio::test]
async fn the_difference_of_two_versions_names_fields_timers_and_events() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, Command::Label("a".to_owned()), meta(&engine)).await.unwrap();
    let send = Command::Send { due_in: Span::from_hours(1), stubborn: false };
    engine.send::<Parcel>(&tenant, id, send, meta(&engine)).await.unwrap();
    let diff = engine.diff(&tenant, "parcel", id, 1, 2).await.unwrap().unwrap();
    let paths: Vec<_> = diff.changes.iter().map(|changed| changed.path.as_str()).collect();
    assert_eq!(paths, ["due", "sent"]);
    assert_eq!((diff.timers.len(), diff.timers[0].path.as_str()), (1, "arrival"));
    assert_eq!((diff.events.len(), diff.events[0].event_type.as_str()), (1, "sent"));
    let whole = engine.diff(&tenant, "parcel", id, 0, 2).await.unwrap().unwrap();
    assert_eq!(whole.events.len(), 2);
    assert!(engine.diff(&tenant, "parcel", id, 2, 2).await.is_err());
    assert!(engine.diff(&tenant, "parcel", id, 1, 9).await.is_err());
    assert!(engine.diff(&tenant, "parcel", engine.mint(), 1, 2).await.unwrap().is_none());
}

#[tokio::test]
async fn an_entity_replayed_from_its_journal_is_what_is_kept_of_it() {
    let mut world = World::new();
    world.options.snapshot_every = 2;
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    for hours in 1..=5 {
        let send = Command::Send { due_in: Span::from_hours(hours), stubborn: false };
        engine.send::<Parcel>(&tenant, id, send, meta(&engine)).await.unwrap();
    }
    let (_, replayed) = engine.replay(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap();
    assert_eq!((replayed.version, replayed.events, replayed.timers), (5, 5, 1));
    assert_eq!((replayed.snapshot_version, replayed.memory_version), (Some(4), Some(5)));
    assert!(replayed.differences.is_empty(), "{replayed:?}");
    let all = engine.replay_all(None, None, why(), &tenant, meta(&engine)).await;
    all.unwrap();
    let run = loop {
        let run = engine.replay_run().unwrap();
        if run.finished_at.is_some() {
            break run;
        }
        tokio::task::yield_now().await;
    };
    assert!(run.compared >= 2 && run.differing == 0 && run.failed.is_none(), "{run:?}");
    assert_eq!(run.compared, run.entities);
}

#[tokio::test]
async fn what_differs_from_the_journal_is_found_and_named() {
    let mut world = World::new();
    world.options.snapshot_every = 2;
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    for hours in [1, 2] {
        let send = Command::Send { due_in: Span::from_hours(hours), stubborn: false };
        engine.send::<Parcel>(&tenant, id, send, meta(&engine)).await.unwrap();
    }
    let due = engine.timers(None, 1).unwrap()[0].due_at;
    engine.drain().await.unwrap();
    // Somebody edits the folder: another state in the snapshot, and no timer.
    let world = world.after_power_cut();
    let journal = Journal::open(Arc::new(world.store.clone()), JournalOptions::default()).unwrap();
    let stream = StreamId { tenant: tenant.to_string(), kind: "parcel".to_owned(), entity: id };
    let mut snapshot = journal.snapshot(&stream).unwrap().unwrap();
    let mut state: State = codec::decode(&snapshot.state).unwrap();
    state.sent = 7;
    snapshot.state = codec::encode(&state);
    let key = TimerKey { fire_at_ms: due.as_millis(), stream: stream.clone(), name: "arrival".to_owned() };
    let append = Append {
        snapshot: Some(SnapshotBytes { stream, bytes: snapshot.encode().bytes }),
        disarm: vec![key],
        ..Append::default()
    };
    journal.commit(append).await.unwrap();
    journal.close().await.unwrap();
    let world = world.after_power_cut();

    let engine = start(&world, &Announcer::default()).await;
    let (_, replayed) = engine.replay(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap();
    let told: Vec<_> = replayed.differences.iter().map(|it| (it.against, it.path.as_str())).collect();
    assert_eq!(told, [("snapshot", "sent"), ("index", "timer arrival")], "{replayed:?}");
    assert_eq!((&replayed.differences[0].journal, &replayed.differences[0].found), (&2.into(), &7.into()));
    assert!(engine.replay(&tenant, "parcel", engine.mint(), why(), meta(&engine)).await.is_err());
}

#[tokio::test]
async fn a_skip_that_was_recorded_and_cut_off_is_finished_by_whoever_asks_again() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (id, first, _) = stuck(&engine, &announcer).await;
    let tenant = World::tenant();
    let asked = || CommandMeta {
        idempotency: Some(Idempotency {
            tenant: World::tenant(),
            key: "skip it".to_owned(),
            fingerprint: [1; 32],
            answer: String::new(),
        }),
        ..meta(&engine)
    };
    // All that is left of the first request is its record, under its key.
    let record = operation::Command::Record {
        operation_id: OperationId(engine.mint()),
        action: "activity.skip".to_owned(),
        target: format!("activity/{first}"),
        reason: why(),
    };
    let recorded = engine.send::<Operation>(&tenant, Uuid::nil(), record, asked()).await.unwrap();
    let answered = engine.skip(None, &first, why(), asked()).await.unwrap();
    assert_eq!(answered.version, recorded.version, "it is recorded once");
    engine.settle().await.unwrap();
    assert_eq!(parcel(&engine, id).await.failed, ["first"]);
    assert_eq!(engine.dead_letters(None).unwrap().len(), 1);
    engine.skip(None, &first, why(), asked()).await.unwrap();
    assert_eq!(engine.dead_letters(None).unwrap().len(), 1, "a third time changes nothing");
}
