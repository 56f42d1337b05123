//! Timers: at their moment, once, in due order, after downtime too, and never given up.

use throughline_actors::testing::{World, meta};
use throughline_workflows::time::Span;

use crate::parcel::{Announcer, Command, Parcel, start};

fn due_in(span: Span) -> Command {
    Command::Send { due_in: span, stubborn: false }
}

#[tokio::test]
async fn a_timer_fires_at_its_moment_and_not_before() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let begun = engine.now();
    engine.send::<Parcel>(&tenant, id, due_in(Span::from_hours(12)), meta(&engine)).await.unwrap();
    engine.advance(Span::from_mins(12 * 60 - 1)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.late, 0);
    engine.advance(Span::from_hours(1)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.late, 1);
    let history = engine.history(&tenant, "parcel", id).await.unwrap();
    let late = history.last().unwrap();
    assert_eq!((late.event_type.as_str(), late.timestamp), ("late", begun + Span::from_hours(12)));
    assert!(engine.timers(None, 10).unwrap().is_empty());
}

#[tokio::test]
async fn a_timer_that_was_moved_fires_only_at_its_new_moment() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, due_in(Span::from_hours(1)), meta(&engine)).await.unwrap();
    engine.send::<Parcel>(&tenant, id, due_in(Span::from_hours(5)), meta(&engine)).await.unwrap();
    assert_eq!(engine.timers(None, 10).unwrap().len(), 1);
    engine.advance(Span::from_hours(4)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.late, 0);
    engine.advance(Span::from_hours(2)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.late, 1);
}

#[tokio::test]
async fn what_fell_due_during_downtime_fires_at_the_start_in_due_order() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let tenant = World::tenant();
    let mut ids = Vec::new();
    for minutes in [30, 10, 20] {
        let id = engine.mint();
        engine.send::<Parcel>(&tenant, id, due_in(Span::from_mins(minutes)), meta(&engine)).await.unwrap();
        ids.push((minutes, id));
    }
    engine.drain().await.unwrap();
    let mut world = world.after_power_cut();
    world.clock.move_to(world.clock.now() + Span::from_hours(3));
    // One at a time, so that the order of the firings is the order of their turns.
    world.options.turns_in_flight = 1;
    let engine = start(&world, &announcer).await;
    engine.settle().await.unwrap();
    let mut fired = Vec::new();
    for (minutes, id) in ids {
        let history = engine.history(&tenant, "parcel", id).await.unwrap();
        assert_eq!(history.iter().filter(|entry| entry.event_type == "late").count(), 1);
        fired.push((history.last().unwrap().seq, minutes));
    }
    fired.sort();
    assert_eq!(fired.iter().map(|(_, minutes)| *minutes).collect::<Vec<_>>(), [10, 20, 30]);
}

#[tokio::test]
async fn a_timer_that_has_no_effect_is_tried_again_more_and_more_slowly() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let stubborn = Command::Send { due_in: Span::from_secs(10), stubborn: true };
    engine.send::<Parcel>(&tenant, id, stubborn, meta(&engine)).await.unwrap();
    engine.advance(Span::from_secs(10)).await.unwrap();
    let timers = engine.timers(None, 10).unwrap();
    assert_eq!((timers[0].stuck, timers[0].fire_at.since(timers[0].due_at)), (1, Span::from_secs(1)));
    engine.advance(Span::from_secs(7)).await.unwrap();
    let timers = engine.timers(None, 10).unwrap();
    assert_eq!(timers.len(), 1);
    assert_eq!(timers[0].stuck, 4, "after 1, 2 and 4 seconds more");

    // It is found however many others fire before it.
    for _ in 0..5 {
        engine
            .send::<Parcel>(&tenant, engine.mint(), due_in(Span::from_secs(2)), meta(&engine))
            .await
            .unwrap();
    }
    assert!(engine.timers(None, 5).unwrap().iter().all(|timer| timer.stuck == 0));
    let (stuck, total) = engine.stuck_timers_page(Some(&tenant), 0, 10).unwrap();
    assert_eq!((stuck.len(), stuck[0].id, stuck[0].stuck, total), (1, id, 4, Some(1)), "{stuck:?}");
    let (none, total) = engine.stuck_timers_page(Some(&"stranger".parse().unwrap()), 0, 10).unwrap();
    assert_eq!((none.len(), total), (0, Some(0)));
}

#[tokio::test]
async fn ten_thousand_timers_are_armed_and_a_window_is_held() {
    let mut world = World::new();
    world.options.turns_in_flight = 64;
    world.options.max_resident = 200;
    let engine = start(&world, &Announcer::default()).await;
    let tenant = World::tenant();
    let ids: Vec<_> = (0..10_000).map(|_| engine.mint()).collect();
    for chunk in ids.chunks(500) {
        let asked = chunk
            .iter()
            .map(|id| engine.send::<Parcel>(&tenant, *id, due_in(Span::from_hours(1)), meta(&engine)));
        for answer in futures::future::join_all(asked).await {
            answer.unwrap();
        }
    }
    let watching = tokio::spawn({
        let engine = engine.clone();
        async move {
            let mut most = 0;
            while !engine.timers(None, 1).unwrap().is_empty() {
                most = most.max(engine.status().timers_in_flight);
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            most
        }
    });
    engine.advance(Span::from_hours(1)).await.unwrap();
    let most = watching.await.unwrap();
    assert!((1..=64).contains(&most), "{most} timers were held at once");
    for id in ids.iter().step_by(997) {
        assert_eq!(engine.state::<Parcel>(&tenant, *id).await.unwrap().unwrap().0.late, 1);
    }
}

#[tokio::test]
async fn a_timer_that_crashes_its_entity_is_put_off_and_the_others_fire() {
    let mut world = World::new();
    world.options.crashes_max = 2;
    world.options.turns_in_flight = 1;
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, charged, well) = (World::tenant(), engine.mint(), engine.mint());
    engine.send::<Parcel>(&tenant, charged, due_in(Span::from_secs(10)), meta(&engine)).await.unwrap();
    engine.send::<Parcel>(&tenant, charged, Command::Charge, meta(&engine)).await.unwrap();
    engine.send::<Parcel>(&tenant, well, due_in(Span::from_secs(10)), meta(&engine)).await.unwrap();
    engine.advance(Span::from_secs(10)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, well).await.unwrap().unwrap().0.late, 1);
    let timers = engine.timers(None, 10).unwrap();
    assert_eq!((timers.len(), timers[0].id, timers[0].stuck), (1, charged, 1), "{timers:?}");
    assert!(timers[0].fire_at > engine.now());
}
