//! A paused entity is left alone by the engine, loses nothing, and goes on where it was.

use std::sync::Arc;

use throughline_actors::{
    engine::Engine,
    operate::OperateError,
    performer::{Attempt, NoPerformer, Outcome, Performer},
    testing::{World, meta},
};
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{self, Conversation},
    customer::Customer,
    ids::MessageId,
    message::{Address, Inbound},
    operation::Operation,
    time::Span,
    workflow::Workflow,
};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use crate::parcel::{Announcer, Command, Parcel, Say, message};

async fn with_operations(world: &World, announcer: &Announcer) -> Engine {
    let announcer = announcer.clone();
    world.start(|builder| builder.workflow::<Parcel>(announcer).workflow::<Operation>(NoPerformer)).await
}

async fn pause(engine: &Engine, kind: &'static str, id: Uuid) {
    let why = "to look at it".to_owned();
    engine.pause(&World::tenant(), kind, id, why, meta(engine)).await.unwrap();
}

async fn resume(engine: &Engine, kind: &'static str, id: Uuid) {
    let why = "looked at".to_owned();
    engine.resume(&World::tenant(), kind, id, why, meta(engine)).await.unwrap();
}

async fn parcel(engine: &Engine, id: Uuid) -> crate::parcel::State {
    engine.state::<Parcel>(&World::tenant(), id).await.unwrap().unwrap().0
}

#[tokio::test]
async fn no_timer_fires_and_nothing_is_tried_until_it_is_resumed_even_over_a_restart() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = with_operations(&world, &announcer).await;
    let (tenant, id, other) = (World::tenant(), engine.mint(), engine.mint());
    for id in [id, other] {
        let send = Command::Send { due_in: Span::from_hours(1), stubborn: false };
        engine.send::<Parcel>(&tenant, id, send, meta(&engine)).await.unwrap();
    }
    pause(&engine, "parcel", id).await;
    // What somebody asks of it is done, and what follows from that waits.
    let announce = Command::Announce { what: "hello".to_owned(), lane: true };
    engine.send::<Parcel>(&tenant, id, announce, meta(&engine)).await.unwrap();
    engine.advance(Span::from_hours(3)).await.unwrap();
    assert_eq!((parcel(&engine, id).await.late, parcel(&engine, other).await.late), (0, 1));
    assert!(announcer.heard().is_empty());
    let timers = engine.timers(None, 10).unwrap();
    assert!(timers.len() == 1 && timers[0].paused, "{timers:?}");
    assert!(engine.activities(10).unwrap()[0].paused);
    assert_eq!(engine.status().timer_lag, Span::ZERO, "what is paused is late on purpose");

    engine.drain().await.unwrap();
    let world = world.after_power_cut();
    let engine = with_operations(&world, &announcer).await;
    engine.advance(Span::from_hours(1)).await.unwrap();
    assert_eq!(parcel(&engine, id).await.late, 0);
    let paused = engine.paused(Some(&tenant));
    assert_eq!((paused.len(), paused[0].id, paused[0].pause.reason.as_str()), (1, id, "to look at it"));
    let rows = engine.paused_actors(None, Some("parcel")).await.unwrap();
    assert_eq!(rows[0].paused.as_ref().unwrap().reason, "to look at it");
    let state = engine.actor(&tenant, "parcel", id, None).await.unwrap().unwrap();
    assert!(state.paused.is_some() && state.timers[0].remaining_seconds == Some(-3 * 3600), "{state:?}");

    resume(&engine, "parcel", id).await;
    engine.settle().await.unwrap();
    let now = parcel(&engine, id).await;
    assert_eq!((now.late, now.announced), (1, vec!["hello".to_owned()]));
    assert!(engine.paused(None).is_empty());
    let audit = engine.history(&tenant, "operation", Uuid::nil()).await.unwrap();
    let acts: Vec<_> = audit.iter().map(|act| act.details["acted"]["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["actor.pause", "actor.resume"]);
}

#[tokio::test]
async fn what_is_not_there_or_is_paused_already_is_told_and_changes_nothing() {
    let world = World::new();
    let engine = with_operations(&world, &Announcer::default()).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let why = || "why not".to_owned();
    let unknown = engine.pause(&tenant, "parcel", id, why(), meta(&engine)).await;
    assert!(matches!(unknown, Err(OperateError::Unknown(_))), "{unknown:?}");
    engine.send::<Parcel>(&tenant, id, Command::Label("a".to_owned()), meta(&engine)).await.unwrap();
    let early = engine.resume(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap_err();
    assert_eq!(early.to_string(), "the parcel is not paused");
    pause(&engine, "parcel", id).await;
    let twice = engine.pause(&tenant, "parcel", id, why(), meta(&engine)).await.unwrap_err();
    assert!(twice.to_string().contains("to look at it"), "{twice}");
    assert_eq!(engine.history(&tenant, "operation", Uuid::nil()).await.unwrap().len(), 1);
}

/// A provider who says that it was asked, and answers when it may.
#[derive(Clone)]
struct Slow {
    asked: Arc<Notify>,
    may: Arc<Semaphore>,
}

impl Performer<Parcel> for Slow {
    async fn perform(&self, activity: Say, _: Attempt) -> Outcome<Command> {
        self.asked.notify_one();
        self.may.acquire().await.unwrap().forget();
        Outcome::Done(Some(Command::Announced(activity.what)))
    }
}

#[tokio::test]
async fn the_outcome_of_a_try_that_was_under_way_is_recorded_all_the_same() {
    let world = World::new();
    let slow = Slow { asked: Arc::default(), may: Arc::new(Semaphore::new(0)) };
    let performer = slow.clone();
    let engine =
        world.start(|builder| builder.workflow::<Parcel>(performer).workflow::<Operation>(NoPerformer)).await;
    let (tenant, id) = (World::tenant(), engine.mint());
    let announce = |what: &str| Command::Announce { what: what.to_owned(), lane: true };
    engine.send::<Parcel>(&tenant, id, announce("first"), meta(&engine)).await.unwrap();
    slow.asked.notified().await;
    pause(&engine, "parcel", id).await;
    engine.send::<Parcel>(&tenant, id, announce("second"), meta(&engine)).await.unwrap();
    slow.may.add_permits(2);
    engine.settle().await.unwrap();
    while parcel(&engine, id).await.announced.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(parcel(&engine, id).await.announced, ["first"]);
    resume(&engine, "parcel", id).await;
    engine.settle().await.unwrap();
    assert_eq!(parcel(&engine, id).await.announced, ["first", "second"]);
}

async fn conversations(world: &World) -> Engine {
    world
        .start(|builder| {
            builder
                .workflow::<Conversation>(Takes)
                .workflow::<Customer>(NoPerformer)
                .workflow::<Operation>(NoPerformer)
        })
        .await
}

/// Takes every message.
struct Takes;

impl Performer<Conversation> for Takes {
    async fn perform(&self, asked: ConversationActivity, attempt: Attempt) -> Outcome<conversation::Command> {
        let ConversationActivity::Send(message) = asked else { panic!("only messages are sent here") };
        let delivery = conversation::Delivery::Accepted { at: attempt.now, provider_message_id: None };
        Outcome::Done(Some(conversation::Command::RecordDelivery {
            message_id: message.message_id,
            delivery,
        }))
    }
}

async fn writes(engine: &Engine, who: &str, text: &str) {
    let inbound = Inbound {
        id: MessageId(engine.mint()),
        from: vec![Address::email(who)],
        text: text.to_owned(),
        ..message(engine)
    };
    engine.receive(&World::tenant(), inbound, Vec::new(), engine.mint()).await.unwrap();
}

/// The texts that a conversation has taken, in order.
async fn taken(engine: &Engine, conversation: Uuid) -> Vec<String> {
    let history = engine.history(&World::tenant(), Conversation::KIND, conversation).await.unwrap();
    let received = history.iter().filter(|entry| entry.event_type == "message_received");
    received
        .map(|entry| {
            let text = entry.details.pointer("/message_received/message/text");
            text.unwrap_or_else(|| panic!("{}", entry.details)).as_str().unwrap().to_owned()
        })
        .collect()
}

async fn the_conversation_of(engine: &Engine, tenant_has: &[Uuid]) -> Uuid {
    let (rows, _) = engine.actors(None, Some("conversation"), None, 0, 100).await.unwrap();
    rows.iter().map(|row| row.id).find(|id| !tenant_has.contains(id)).unwrap()
}

#[tokio::test]
async fn messages_wait_in_the_inbox_in_their_order_and_other_customers_do_not_wait() {
    let world = World::new();
    let engine = conversations(&world).await;
    writes(&engine, "ada@example.com", "1").await;
    engine.settle().await.unwrap();
    let ada = the_conversation_of(&engine, &[]).await;
    writes(&engine, "bob@example.com", "1").await;
    engine.settle().await.unwrap();
    let bob = the_conversation_of(&engine, &[ada]).await;
    pause(&engine, "conversation", ada).await;
    for text in ["2", "3"] {
        writes(&engine, "ada@example.com", text).await;
        writes(&engine, "bob@example.com", text).await;
    }
    engine.settle().await.unwrap();
    assert_eq!((taken(&engine, ada).await.len(), taken(&engine, bob).await.len()), (1, 3));
    assert_eq!(engine.status().commits.inbox_pending, 2);
    // Somebody else's pause and its end change nothing for her.
    pause(&engine, "conversation", bob).await;
    writes(&engine, "ada@example.com", "4").await;
    writes(&engine, "bob@example.com", "4").await;
    resume(&engine, "conversation", bob).await;
    engine.settle().await.unwrap();
    assert_eq!((taken(&engine, ada).await.len(), taken(&engine, bob).await.len()), (1, 4));

    engine.drain().await.unwrap();
    let world = world.after_power_cut();
    let engine = conversations(&world).await;
    writes(&engine, "ada@example.com", "5").await;
    engine.settle().await.unwrap();
    assert_eq!(taken(&engine, ada).await.len(), 1);
    resume(&engine, "conversation", ada).await;
    writes(&engine, "ada@example.com", "6").await;
    engine.settle().await.unwrap();
    assert_eq!(taken(&engine, ada).await, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(engine.status().commits.inbox_pending, 0);
}

#[tokio::test]
async fn more_messages_than_are_held_in_memory_may_wait() {
    let mut world = World::new();
    world.options.turns_in_flight = 2;
    let engine = conversations(&world).await;
    writes(&engine, "ada@example.com", "0").await;
    engine.settle().await.unwrap();
    let ada = the_conversation_of(&engine, &[]).await;
    pause(&engine, "conversation", ada).await;
    for text in 1..40 {
        writes(&engine, "ada@example.com", &text.to_string()).await;
    }
    writes(&engine, "bob@example.com", "0").await;
    engine.settle().await.unwrap();
    assert_eq!(engine.status().commits.inbox_pending, 39, "Bob's message found its way past them");
    resume(&engine, "conversation", ada).await;
    engine.settle().await.unwrap();
    let all: Vec<_> = (0..40).map(|text| text.to_string()).collect();
    assert_eq!(taken(&engine, ada).await, all);
}
