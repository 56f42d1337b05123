//! Policies: adopted at the start, changed while the engine runs, and taken to every entity that keeps something of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};
use throughline_actors::{
    engine::{Engine, SendError},
    performer::NoPerformer,
    testing::{World, meta},
};
use throughline_workflows::{
    activity::NoActivity,
    policy::{Policy, settings::Settings},
    policy_book::{PolicyBook, PolicyFile, Rejection},
    time::Span,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};
use tokio::sync::Notify;
use uuid::Uuid;

/// A lamp that remembers under which version of the policy it burns. One that is out keeps nothing.
struct Lamp;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    burns_under: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Command {
    Light,
    PutOut,
    AdoptPolicy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Lit(u64),
    Out,
}

impl Workflow for Lamp {
    const KIND: &'static str = "lamp";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = std::fmt::Error;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, std::fmt::Error> {
        let version = cx.policy.version;
        Ok(match command {
            Command::AdoptPolicy if state.burns_under.is_none_or(|under| under == version) => {
                Decision::nothing()
            }
            Command::Light | Command::AdoptPolicy => Decision::event(Event::Lit(version)),
            Command::PutOut => Decision::event(Event::Out),
        })
    }

    fn evolve(state: &mut State, event: &Event) {
        state.burns_under = match event {
            Event::Lit(version) => Some(*version),
            Event::Out => None,
        };
    }

    fn deadlines(_: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &NoActivity, _: &ActivityError) -> Option<Command> {
        match *activity {}
    }

    fn event_type(event: &Event) -> EventType {
        let name = match event {
            Event::Lit(_) => "lit",
            Event::Out => "out",
        };
        EventType { name, version: 1 }
    }

    fn policy_changed() -> Option<Command> {
        Some(Command::AdoptPolicy)
    }
}

async fn start(world: &World) -> Engine {
    start_with(world, PolicyFile::open(&Settings::default())).await
}

async fn start_with(world: &World, file: PolicyFile) -> Engine {
    let files = [(World::tenant(), file)];
    world
        .start(|builder| {
            builder.workflow::<Lamp>(NoPerformer).workflow::<PolicyBook>(NoPerformer).policy_files(files)
        })
        .await
}

fn interval(hours: u64) -> PolicyFile {
    let mut settings = Settings::default();
    settings.updates.interval = Span::from_hours(hours);
    PolicyFile { owned: vec!["updates.interval".to_owned()], ..PolicyFile::open(&settings) }
}

async fn lit(engine: &Engine, count: usize) -> Vec<Uuid> {
    let ids: Vec<Uuid> = (0..count).map(|_| engine.mint()).collect();
    for id in &ids {
        engine.send::<Lamp>(&World::tenant(), *id, Command::Light, meta(engine)).await.unwrap();
    }
    ids
}

async fn lamp(engine: &Engine, id: Uuid) -> (State, u64) {
    engine.state::<Lamp>(&World::tenant(), id).await.unwrap().unwrap()
}

fn in_force(engine: &Engine) -> Arc<Policy> {
    engine.policies(&World::tenant()).unwrap().in_force().clone()
}

async fn change(engine: &Engine, patch: &str) -> Result<u64, SendError<Rejection>> {
    let changed = engine.change_policy(&World::tenant(), patch.to_owned(), meta(engine)).await;
    changed.map(|receipt| receipt.version)
}

#[tokio::test]
async fn a_change_is_in_force_at_once_and_reaches_whoever_keeps_something_of_it() {
    let world = World::new();
    let engine = start(&world).await;
    let ids = lit(&engine, 3).await;
    engine.send::<Lamp>(&World::tenant(), ids[2], Command::PutOut, meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();

    assert_eq!(change(&engine, r#"{"updates": {"interval": "6h"}}"#).await.unwrap(), 2);
    assert_eq!(in_force(&engine).updates.interval, Span::from_hours(6));
    let later = lit(&engine, 1).await;
    assert_eq!(lamp(&engine, later[0]).await.0.burns_under, Some(2), "a new lamp burns under it at once");
    engine.settle().await.unwrap();
    for id in &ids[..2] {
        assert_eq!(lamp(&engine, *id).await, (State { burns_under: Some(2) }, 2));
    }
    assert_eq!(lamp(&engine, ids[2]).await.1, 2, "nothing is recorded where there is nothing to change");
    assert_eq!(
        engine.policies(&World::tenant()).unwrap().version(1).unwrap().updates.interval,
        Span::from_hours(12)
    );
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let world = World::new();
    let engine = start_with(&world, interval(8)).await;
    let owned = change(&engine, r#"{"updates": {"interval": "6h"}}"#).await.unwrap_err();
    assert!(matches!(owned, SendError::Rejected(Rejection::Owned(_))), "{owned}");
    let invalid = change(&engine, r#"{"updates": {"margin": "11h"}, "colour": 1}"#).await.unwrap_err();
    assert!(matches!(invalid, SendError::Rejected(Rejection::Invalid(_))), "{invalid}");
    assert_eq!(in_force(&engine).version, 1);
}

#[tokio::test]
async fn a_restart_keeps_what_was_set_and_a_changed_configuration_is_a_new_version() {
    let world = World::new();
    let engine = start(&world).await;
    let ids = lit(&engine, 2).await;
    change(&engine, r#"{"customers": {"language": "de"}}"#).await.unwrap();
    engine.settle().await.unwrap();
    engine.drain().await.unwrap();

    let world = world.after_power_cut();
    let engine = start(&world).await;
    assert_eq!((in_force(&engine).version, in_force(&engine).language.as_str()), (2, "de"));
    engine.settle().await.unwrap();
    assert_eq!(lamp(&engine, ids[0]).await.1, 2, "the same version is not taken to anybody twice");
    engine.drain().await.unwrap();

    let world = world.after_power_cut();
    let engine = start_with(&world, interval(6)).await;
    let policy = in_force(&engine);
    assert_eq!(
        (policy.version, policy.language.as_str(), policy.updates.interval),
        (3, "de", Span::from_hours(6))
    );
    engine.settle().await.unwrap();
    assert_eq!(lamp(&engine, ids[1]).await.0.burns_under, Some(3));
}

/// Counts how often the change is given to an entity.
fn counted(world: &mut World) -> Arc<(AtomicUsize, Notify)> {
    let count = Arc::new((AtomicUsize::new(0), Notify::new()));
    let told = count.clone();
    world.options.fault = Some(Arc::new(move |_, command| {
        if command == "AdoptPolicy" {
            told.0.fetch_add(1, Ordering::Relaxed);
            told.1.notify_one();
        }
        false
    }));
    count
}

#[tokio::test]
async fn a_sweep_that_a_power_cut_interrupts_goes_on_where_it_was() {
    const LAMPS: usize = 700;
    let mut world = World::new();
    let first = counted(&mut world);
    let engine = start(&world).await;
    let ids = lit(&engine, LAMPS).await;
    engine.settle().await.unwrap();
    let before = first.0.load(Ordering::Relaxed);
    change(&engine, r#"{"updates": {"interval": "6h"}}"#).await.unwrap();
    while first.0.load(Ordering::Relaxed) - before < LAMPS / 2 {
        first.1.notified().await;
    }
    let mut world = world.after_power_cut();
    let second = counted(&mut world);
    let engine = start(&world).await;
    engine.settle().await.unwrap();
    for id in ids {
        assert_eq!(lamp(&engine, id).await, (State { burns_under: Some(2) }, 2), "once each");
    }
    let again = second.0.load(Ordering::Relaxed);
    assert!((1..LAMPS).contains(&again), "{again} of {LAMPS} were reached after the cut");
}

#[tokio::test]
async fn a_newer_change_begins_the_sweep_anew_and_everybody_ends_under_it() {
    let world = World::new();
    let engine = start(&world).await;
    let ids = lit(&engine, 300).await;
    engine.settle().await.unwrap();
    change(&engine, r#"{"updates": {"interval": "6h"}}"#).await.unwrap();
    change(&engine, r#"{"updates": {"interval": "5h"}}"#).await.unwrap();
    engine.settle().await.unwrap();
    for id in ids {
        assert_eq!(lamp(&engine, id).await.0.burns_under, Some(3));
    }
}

#[tokio::test]
async fn a_tenant_that_comes_while_the_engine_runs_has_its_policy_at_once() {
    let world = World::new();
    let engine = start(&world).await;
    let acme: throughline_workflows::ids::TenantId = "acme".parse().unwrap();
    assert!(engine.policies(&acme).is_none());
    engine.add_tenant(acme.clone(), interval(6)).await.unwrap();
    assert_eq!(engine.policies(&acme).unwrap().in_force().updates.interval, Span::from_hours(6));
    assert_eq!(engine.tenants(), [acme, World::tenant()]);
}

#[tokio::test]
async fn a_version_that_nobody_put_in_force_is_found() {
    let mut world = World::new();
    let told = counted(&mut world);
    world.options.policy_look = std::time::Duration::from_millis(5);
    let engine = start(&world).await;
    let ids = lit(&engine, 1).await;
    engine.settle().await.unwrap();
    let before = told.0.load(Ordering::Relaxed);
    // As after a change whose outcome was not known: durable, and nobody was told.
    let edit = throughline_workflows::policy_book::Command::Edit {
        patch: r#"{"updates": {"interval": "6h"}}"#.to_owned(),
        file: PolicyFile::open(&Settings::default()),
    };
    engine.send::<PolicyBook>(&World::tenant(), Uuid::nil(), edit, meta(&engine)).await.unwrap();
    while told.0.load(Ordering::Relaxed) == before {
        told.1.notified().await;
    }
    engine.settle().await.unwrap();
    assert_eq!(in_force(&engine).version, 2);
    assert_eq!(lamp(&engine, ids[0]).await.0.burns_under, Some(2));
}

#[tokio::test]
async fn an_entity_that_crashes_once_over_a_change_takes_it_up_all_the_same() {
    let mut world = World::new();
    let crashes = Arc::new(AtomicUsize::new(0));
    let left = crashes.clone();
    world.options.fault = Some(Arc::new(move |_, command| {
        let one_less = |left: usize| left.checked_sub(1);
        command.contains("AdoptPolicy")
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }));
    let engine = start(&world).await;
    let id = lit(&engine, 1).await[0];
    crashes.store(1, Ordering::SeqCst);
    change(&engine, r#"{"updates":{"interval":"6h"}}"#).await.unwrap();
    engine.settle().await.unwrap();
    assert_eq!(crashes.load(Ordering::SeqCst), 0, "it crashed");
    assert_eq!(lamp(&engine, id).await.0.burns_under, Some(2));
}
