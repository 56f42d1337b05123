//! Turns: what is durable, what a crash costs, and what comes back after a restart.

use std::{ops::Bound, time::Duration};

use throughline_actors::{
    engine::SendError,
    order::{CommandMeta, Idempotency},
    testing::{World, meta},
};
use throughline_storage::store::{Batch, Store, memory::Failure};
use throughline_workflows::time::Span;

use crate::parcel::{Announcer, Command, Counts, Parcel, start};

fn send() -> Command {
    Command::Send { due_in: Span::from_hours(1), stubborn: false }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_power_cut() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    for version in 1..=100 {
        let receipt = engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
        assert_eq!((receipt.version, receipt.seq), (version, version));
    }
    let world = world.after_power_cut();
    let engine = start(&world, &announcer).await;
    let (state, version) = engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap();
    assert_eq!((state.sent, version), (100, 100), "from a snapshot and the records after it");
    let receipt = engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    assert_eq!((receipt.version, receipt.seq), (101, 101));
}

#[tokio::test]
async fn a_panic_costs_one_command_and_the_entity_goes_on() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id, other) = (World::tenant(), engine.mint(), engine.mint());
    engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    let commands = [Command::Explode, send(), Command::Explode, send()];
    let asked = commands.map(|command| engine.send::<Parcel>(&tenant, id, command, meta(&engine)));
    let others = engine.send::<Parcel>(&tenant, other, send(), meta(&engine));
    let (answers, others) = tokio::join!(futures::future::join_all(asked), others);
    others.unwrap();
    let crashed = |answer: &Result<_, _>| matches!(answer, Err(SendError::Crashed(_)));
    assert_eq!(answers.iter().map(crashed).collect::<Vec<_>>(), [true, false, true, false], "{answers:?}");
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.sent, 3);

    let letters = engine.dead_letters(Some(&tenant)).unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|letter| letter.reason.contains("explodes") && !letter.retryable));
    assert_eq!(engine.status().restarts, 2);
}

#[tokio::test]
async fn a_refusal_records_nothing_and_is_told_as_it_is() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let refused = engine.send::<Parcel>(&tenant, id, Command::Refuse, meta(&engine)).await;
    assert!(matches!(refused, Err(SendError::Rejected(_))), "{refused:?}");
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap(), None);
}

#[tokio::test]
async fn a_unique_key_has_one_owner_however_many_ask_at_once() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let tenant = World::tenant();
    let ids: Vec<_> = (0..16).map(|_| engine.mint()).collect();
    let asked = ids
        .iter()
        .map(|id| engine.send::<Parcel>(&tenant, *id, Command::Label("one".to_owned()), meta(&engine)));
    let answers = futures::future::join_all(asked).await;
    let owner = engine.owner(&tenant, "label", "one").await.unwrap().unwrap();
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(_) => assert_eq!(*id, owner),
            Err(SendError::Claimed { owner: told, .. }) => assert_eq!(told, owner),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_has_one_effect_also_across_entities_and_restarts() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let tenant = World::tenant();
    let keyed = |fingerprint: u8| CommandMeta {
        idempotency: Some(Idempotency {
            tenant: World::tenant(),
            key: "token /parcels key".to_owned(),
            fingerprint: [fingerprint; 32],
            answer: "{\"id\":\"first\"}".to_owned(),
        }),
        ..meta(&engine)
    };
    let (a, b) = (engine.mint(), engine.mint());
    let (first, second) = tokio::join!(
        engine.send::<Parcel>(&tenant, a, send(), keyed(1)),
        engine.send::<Parcel>(&tenant, b, send(), keyed(1)),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.version, first.seq), (second.version, second.seq));
    assert!(first.repeated.is_some() != second.repeated.is_some(), "one took effect, the other repeats it");
    let other_body = engine.send::<Parcel>(&tenant, a, send(), keyed(2)).await;
    assert!(matches!(other_body, Err(SendError::KeyReused)), "{other_body:?}");

    let world = world.after_power_cut();
    let engine = start(&world, &announcer).await;
    let again = engine.send::<Parcel>(&tenant, engine.mint(), send(), keyed(1)).await.unwrap();
    assert_eq!(again.repeated.as_deref(), Some("{\"id\":\"first\"}"));
    assert_eq!(engine.status().seq, 1);
}

#[tokio::test]
async fn passivation_loses_no_command_and_keeps_residents_within_bounds() {
    let mut world = World::new();
    world.options.max_resident = 8;
    world.options.idle_after = Duration::from_millis(1);
    let engine = start(&world, &Announcer::default()).await;
    let tenant = World::tenant();
    let ids: Vec<_> = (0..64).map(|_| engine.mint()).collect();
    for round in 1..=5 {
        let asked = ids.iter().map(|id| engine.send::<Parcel>(&tenant, *id, send(), meta(&engine)));
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer.unwrap().version, round);
        }
    }
    for id in &ids {
        assert_eq!(engine.state::<Parcel>(&tenant, *id).await.unwrap().unwrap().0.sent, 5);
    }
    let emptied = async {
        while engine.status().resident > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), emptied).await.expect("idle entities are passivated");
}

#[tokio::test]
async fn a_failed_sync_is_told_to_everyone_and_nothing_is_promised_after_it() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    world.store.faults().fail_next(Failure::AfterWriting);
    let failed = engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await;
    assert!(matches!(failed, Err(SendError::Failed(_))), "{failed:?}");
    let after = engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await;
    assert!(matches!(after, Err(SendError::Failed(_) | SendError::Draining)), "{after:?}");
    let world = world.after_power_cut();
    let engine = start(&world, &Announcer::default()).await;
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.sent, 1);
}

#[tokio::test]
async fn lists_show_what_was_written_and_can_be_waited_for() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let mut seq = 0;
    for _ in 0..7 {
        seq = engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap().seq;
    }
    engine.views().wait_for(seq, Duration::from_secs(30)).await.unwrap();
    assert_eq!(engine.views().row::<Counts>(&tenant, id).unwrap(), Some(7));
    let page = engine.views().page::<Counts>(&tenant, 0, 10, |_| true).await.unwrap();
    assert_eq!((page.items, page.total), (vec![7], 1));
}

#[tokio::test]
async fn a_drained_engine_has_finished_what_it_began() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let (engine, tenant) = (engine.clone(), tenant.clone());
            tokio::spawn(async move { engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    engine.drain().await.unwrap();
    let mut done = 0;
    for answer in futures::future::join_all(asked).await {
        match answer.unwrap() {
            Ok(_) => done += 1,
            Err(SendError::Draining) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let world = world.after_power_cut();
    let engine = start(&world, &announcer).await;
    let sent = engine.state::<Parcel>(&tenant, id).await.unwrap().map_or(0, |(state, _)| state.sent);
    assert_eq!(sent, done);
}

#[tokio::test]
async fn a_panic_anywhere_in_a_turn_is_answered_and_costs_that_command_only() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    let keyed = CommandMeta {
        idempotency: Some(Idempotency {
            tenant: tenant.clone(),
            key: "k".to_owned(),
            fingerprint: [0; 32],
            answer: String::new(),
        }),
        ..meta(&engine)
    };
    let crashed = engine.send::<Parcel>(&tenant, id, Command::ExplodeLater, keyed).await;
    assert!(matches!(crashed, Err(SendError::Crashed(_))), "{crashed:?}");
    engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    assert_eq!(engine.state::<Parcel>(&tenant, id).await.unwrap().unwrap().0.sent, 2);
}

#[tokio::test]
async fn an_engine_whose_store_fails_says_that_it_is_broken() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let mut broken = engine.broken();
    world.store.faults().fail_next(Failure::BeforeWriting);
    let id = engine.mint();
    engine.send::<Parcel>(&World::tenant(), id, send(), meta(&engine)).await.unwrap_err();
    let reason = broken.wait_for(Option::is_some).await.unwrap().clone();
    assert!(reason.is_some());
    let after = engine.receive(&World::tenant(), crate::parcel::message(&engine), Vec::new(), id).await;
    assert!(matches!(after, Err(SendError::Draining | SendError::Failed(_))), "{after:?}");
}

#[tokio::test]
async fn a_damaged_record_is_named_and_the_rest_is_still_served() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let (tenant, hurt, well) = (World::tenant(), engine.mint(), engine.mint());
    for id in [hurt, well] {
        engine.send::<Parcel>(&tenant, id, send(), meta(&engine)).await.unwrap();
    }
    engine.drain().await.unwrap();
    let world = world.after_power_cut();
    flip_a_bit_of(&world, hurt.as_bytes());

    let engine = start(&world, &Announcer::default()).await;
    let told = engine.state::<Parcel>(&tenant, hurt).await.unwrap_err();
    assert!(told.contains(&hurt.to_string()) && told.contains("record 1 of parcel"), "{told}");
    let refused = engine.send::<Parcel>(&tenant, hurt, send(), meta(&engine)).await;
    assert!(matches!(refused, Err(SendError::Damaged(_))), "nothing is built on damage: {refused:?}");
    assert_eq!(engine.send::<Parcel>(&tenant, well, send(), meta(&engine)).await.unwrap().version, 2);
}

/// Flips one bit in the one record of the entity, as a failing disk would.
fn flip_a_bit_of(world: &World, entity: &[u8]) {
    let record =
        world.store.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).find(|(key, _)| {
            key.windows(16).any(|part| part == entity) && key.ends_with(&1u64.to_be_bytes())
        });
    let (key, mut value) = record.unwrap();
    let middle = value.len() / 2;
    value[middle] ^= 4;
    let mut batch = Batch::default();
    batch.put(key, value);
    world.store.commit(batch).unwrap();
}

#[tokio::test]
async fn the_same_request_twice_at_once_has_one_answer_also_when_it_takes_unique_keys() {
    let world = World::new();
    let engine = start(&world, &Announcer::default()).await;
    let tenant = World::tenant();
    for round in 0..20 {
        let keyed = || CommandMeta {
            idempotency: Some(Idempotency {
                tenant: World::tenant(),
                key: format!("key {round}"),
                fingerprint: [7; 32],
                answer: "{}".to_owned(),
            }),
            ..meta(&engine)
        };
        let label = Command::Label(format!("label {round}"));
        let (first, second) = tokio::join!(
            engine.send::<Parcel>(&tenant, engine.mint(), label.clone(), keyed()),
            engine.send::<Parcel>(&tenant, engine.mint(), label, keyed()),
        );
        assert_eq!(first.unwrap().seq, second.unwrap().seq);
    }
}
