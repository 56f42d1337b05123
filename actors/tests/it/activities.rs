//! Activities: at least once, under one id, in the order of their lane, with retries that end.

use throughline_actors::{
    introspect::Wanted,
    performer::Outcome,
    testing::{World, meta},
};
use throughline_storage::store::Store;
use throughline_workflows::{ids::TenantId, operation::Operation, time::Span, workflow::ActivityError};

use crate::parcel::{Announcer, Command, Parcel, Say, start};

fn announce(what: &str, lane: bool) -> Command {
    Command::Announce { what: what.to_owned(), lane }
}

fn busy() -> Outcome<Command> {
    Outcome::Retry { after: None, error: ActivityError { code: None, message: "busy".to_owned() } }
}

#[tokio::test]
async fn an_outcome_comes_back_as_a_command_and_leaves_nothing_pending() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("hello", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.announced, ["hello"]);
    assert!(engine.activities(10).unwrap().is_empty());
    assert_eq!(announcer.heard().len(), 1);
}

#[tokio::test]
async fn a_lane_keeps_its_order_through_failures_and_other_work_goes_on() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.answers([busy(), busy()]);
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("first", true), meta(&engine)).await.unwrap();
    announcer.until_heard(1).await;
    engine.settle().await.unwrap();
    engine.send::<Parcel>(&tenant, id, announce("second", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let pending = engine.activities(10).unwrap();
    assert_eq!(pending.len(), 2, "the second waits behind the first: {pending:?}");
    assert_eq!(pending[0].last_error.as_deref(), Some("busy"));
    engine.advance(Span::from_mins(1)).await.unwrap();
    let state = engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0;
    assert_eq!(state.announced, ["first", "second"]);
    let heard: Vec<_> = announcer.heard().into_iter().map(|(what, attempt, _)| (what, attempt)).collect();
    let expected = [("first", 1), ("first", 2), ("first", 3), ("second", 1)];
    assert_eq!(heard, expected.map(|(what, attempt)| (what.to_owned(), attempt)));
}

#[tokio::test]
async fn what_the_world_says_about_waiting_is_respected() {
    let world = World::new();
    let announcer = Announcer::default();
    let error = ActivityError { code: Some("429".to_owned()), message: "slow down".to_owned() };
    announcer.answers([Outcome::Retry { after: Some(Span::from_mins(5)), error }]);
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("patience", false), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    engine.advance(Span::from_mins(10)).await.unwrap();
    let heard = announcer.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1].2.since(heard[0].2), Span::from_mins(5));
}

#[tokio::test]
async fn after_the_last_try_it_is_a_dead_letter_that_can_be_edited_and_retried() {
    let mut world = World::new();
    world.options.attempts_max = 3;
    let announcer = Announcer::default();
    announcer.answers([busy(), busy(), busy()]);
    let engine = {
        let announcer = announcer.clone();
        world
            .start(|builder| {
                builder
                    .workflow::<Parcel>(announcer)
                    .workflow::<Operation>(throughline_actors::performer::NoPerformer)
            })
            .await
    };
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("wrong", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    engine.advance(Span::from_mins(5)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.failed, ["wrong"]);
    let letters = engine.dead_letters(Some(&tenant)).unwrap();
    assert_eq!((letters.len(), letters[0].kind.as_str(), letters[0].attempts), (1, "activity", 3));
    assert!(letters[0].retryable && letters[0].reason.contains("busy"), "{:?}", letters[0]);

    // The lane goes on without it.
    engine.send::<Parcel>(&tenant, id, announce("next", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.announced, ["next"]);

    let edited = serde_json::to_value(Say { what: "right".to_owned(), lane: true }).unwrap();
    let reason = "a wrong word".to_owned();
    engine
        .retry_dead_letter(Some(&tenant), letters[0].id, Some(edited), reason.clone(), meta(&engine))
        .await
        .unwrap();
    engine.settle().await.unwrap();
    let state = engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0;
    assert_eq!(state.announced, ["next", "right"]);
    assert!(engine.dead_letters(None).unwrap().is_empty());
    let again = engine.retry_dead_letter(None, letters[0].id, None, reason, meta(&engine)).await;
    assert!(again.is_err());
    let audit = engine.history(&tenant, "operation", uuid::Uuid::nil()).await.unwrap();
    assert_eq!(audit.len(), 1, "who did it and why is on record");
}

#[tokio::test]
async fn a_performer_that_panics_has_failed_one_try() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("panic", false), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    engine.advance(Span::from_secs(2)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.announced, ["panic"]);
}

#[tokio::test]
async fn what_was_asked_before_a_power_cut_is_done_after_it() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.answers([busy()]);
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("kept", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let world = world.after_power_cut();
    world.clock.move_to(world.clock.now() + Span::from_hours(1));
    let engine = start(&world, &announcer).await;
    engine.settle().await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.announced, ["kept"]);
    let ids: Vec<_> = announcer.heard().into_iter().map(|(_, attempt, _)| attempt).collect();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test]
async fn the_world_hears_of_nothing_that_a_power_cut_could_undo() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    // The engine's own first commit must be out of the way.
    let first = throughline_storage::keys::setting("deadlines/parcel");
    while world.store.get(&first).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    engine.settle().await.unwrap();
    let gate = world.store.faults().hold();
    let asked = tokio::spawn({
        let (engine, tenant) = (engine.clone(), tenant.clone());
        async move {
            let asked = engine.send::<Parcel>(&tenant, id, announce("durable", true), meta(&engine)).await;
            asked.map(drop)
        }
    });
    let gate = tokio::task::spawn_blocking(move || {
        assert!(gate.wait_for_commit(std::time::Duration::from_secs(30)));
        gate
    });
    let gate = gate.await.unwrap();
    // Readers see the turn and its activity; they are not durable, so nobody acts on them.
    assert_eq!(engine.activities(10).unwrap().len(), 1);
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(announcer.heard().is_empty() && !asked.is_finished());
    gate.release();
    asked.await.unwrap().unwrap();
    announcer.until_heard(1).await;
}

#[tokio::test]
async fn an_edit_stays_in_force_when_its_retry_fails_too() {
    let mut world = World::new();
    world.options.attempts_max = 1;
    let announcer = Announcer::default();
    announcer.answers([busy(), busy()]);
    let engine = {
        let announcer = announcer.clone();
        let register = |builder: throughline_actors::engine::EngineBuilder| {
            builder
                .workflow::<Parcel>(announcer)
                .workflow::<Operation>(throughline_actors::performer::NoPerformer)
        };
        world.start(register).await
    };
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("wrong", true), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let letter = engine.dead_letters(None).unwrap().remove(0).id;
    let edited = serde_json::to_value(Say { what: "right".to_owned(), lane: true }).unwrap();
    engine.retry_dead_letter(None, letter, Some(edited), "mended".to_owned(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let letter = engine.dead_letters(None).unwrap().remove(0);
    assert_eq!(letter.payload["what"], "right");
    engine.retry_dead_letter(None, letter.id, None, "again".to_owned(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let heard: Vec<_> = announcer.heard().into_iter().map(|(what, ..)| what).collect();
    assert_eq!(heard, ["wrong", "right", "right"]);
}

#[tokio::test]
async fn what_is_pending_is_counted_and_paged_alike() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.answers([busy()]);
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, announce("first", true), meta(&engine)).await.unwrap();
    announcer.until_heard(1).await;
    engine.settle().await.unwrap();
    for what in ["second", "third"] {
        engine.send::<Parcel>(&tenant, id, announce(what, true), meta(&engine)).await.unwrap();
    }
    engine.settle().await.unwrap();
    let all = engine.activities(10).unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    let ids = |rows: &[throughline_actors::introspect::ActivityRow]| {
        rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>()
    };
    let page = |wanted: &Wanted, skip, take| {
        let (rows, total) = engine.activities_page(wanted, skip, take).unwrap();
        (ids(&rows), total)
    };
    let of = |tenant: &TenantId| Wanted { tenant: Some(tenant.clone()), ..Wanted::default() };
    assert_eq!(page(&Wanted::default(), 0, 10), (ids(&all), Some(3)));
    assert_eq!(page(&of(&tenant), 1, 1), (ids(&all[1..2]), None), "the last was not reached");
    assert_eq!(page(&of(&tenant), 2, 2), (ids(&all[2..]), Some(3)));
    let stranger: TenantId = "stranger".parse().unwrap();
    assert_eq!(page(&of(&stranger), 0, 10), (Vec::new(), Some(0)));

    let counted = engine.outstanding().unwrap();
    let [(towards, owed)] = &counted.activities_of(Some(&tenant)).collect::<Vec<_>>()[..] else {
        panic!("{counted:?}")
    };
    assert_eq!(towards.kind, "parcel");
    assert_eq!((owed.pending, owed.tried, owed.failing), (3, 1, 1));
    let failing = all.iter().find(|row| row.last_error.is_some()).unwrap();
    assert_eq!(owed.oldest_failing, Some((failing.asked_at, "busy".to_owned())));
    assert_eq!((counted.pending(&Wanted::default()), counted.pending(&of(&stranger))), (3, 0));

    // Those that fail are found however many others there are.
    let only_failing = Wanted { failing: true, ..of(&tenant) };
    assert_eq!(page(&only_failing, 0, 10), (vec![failing.id.clone()], Some(1)));
    let lane = |lane: &str| Wanted { lane: Some(lane.to_owned()), ..only_failing.clone() };
    assert_eq!(page(&lane(&failing.lane), 0, 10), (vec![failing.id.clone()], Some(1)));
    assert_eq!(page(&lane("elsewhere"), 0, 10), (Vec::new(), Some(0)));
    assert_eq!((counted.pending(&lane(&failing.lane)), counted.pending(&lane("elsewhere"))), (1, 0));
    assert_eq!((counted.items, counted.dead_letters_of(None)), (3 + counted.timers_of(None).armed, 0));
}
