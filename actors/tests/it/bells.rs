//! An entity with many timers: one key for all of them, and none is ever forgotten.

use std::{collections::BTreeMap, fmt, str::FromStr};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use throughline_actors::{
    engine::Engine,
    performer::NoPerformer,
    testing::{World, meta},
};
use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, Workflow},
};

/// A tower of bells, each of which rings at its moment.
struct Tower;

/// What a bell does when it is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Manner {
    /// Rings and is still.
    Once,
    /// Rings and wants to be rung again at once: its timer is stuck.
    Stubborn,
    /// Breaks whoever rings it.
    Cracked,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    bells: BTreeMap<u8, (Timestamp, Manner)>,
    rung: Vec<(u8, Timestamp)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Command {
    Hang(u8, Span, Manner),
    Ring(u8),
    Look,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Hung(u8, Timestamp, Manner),
    Rung(u8, Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bell(u8);

impl fmt::Display for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bell{}", self.0)
    }
}

impl FromStr for Bell {
    type Err = fmt::Error;

    fn from_str(text: &str) -> Result<Self, fmt::Error> {
        text.strip_prefix("bell").and_then(|number| number.parse().ok()).map(Self).ok_or(fmt::Error)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("never")
    }
}

impl std::error::Error for Never {}

impl Workflow for Tower {
    const KIND: &'static str = "tower";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Never;
    type Activity = ();
    type Deadline = Bell;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Never> {
        Ok(match command {
            Command::Hang(bell, wait, manner) => Decision::event(Event::Hung(bell, cx.now + wait, manner)),
            Command::Ring(bell) => match state.bells.get(&bell) {
                Some((_, Manner::Cracked)) => panic!("the bell is cracked"),
                Some((due, _)) if *due <= cx.now => Decision::event(Event::Rung(bell, cx.now)),
                _ => Decision::nothing(),
            },
            Command::Look => Decision::nothing(),
        })
    }

    fn evolve(state: &mut State, event: &Event) {
        match event {
            Event::Hung(bell, due, manner) => {
                state.bells.insert(*bell, (*due, *manner));
            }
            Event::Rung(bell, at) => {
                state.rung.push((*bell, *at));
                if state.bells.get(bell).is_some_and(|(_, manner)| *manner == Manner::Once) {
                    state.bells.remove(bell);
                }
            }
        }
    }

    fn deadlines(state: &State) -> Deadlines<Bell> {
        let mut deadlines = Deadlines::new();
        state.bells.iter().for_each(|(bell, (due, _))| deadlines.arm(Bell(*bell), *due));
        deadlines
    }

    fn deadline_passed(Bell(bell): Bell) -> Command {
        Command::Ring(bell)
    }

    fn activity_failed((): &(), _: &ActivityError) -> Option<Command> {
        None
    }

    fn event_type(event: &Event) -> EventType {
        let name = match event {
            Event::Hung(..) => "hung",
            Event::Rung(..) => "rung",
        };
        EventType { name, version: 1 }
    }
}

async fn start(world: &World) -> Engine {
    world.start(|builder| builder.workflow::<Tower>(NoPerformer)).await
}

async fn hang(engine: &Engine, id: uuid::Uuid, bell: u8, wait: Span, manner: Manner) {
    let hang = Command::Hang(bell, wait, manner);
    engine.send::<Tower>(&World::tenant(), id, hang, meta(engine)).await.unwrap();
}

async fn state(engine: &Engine, id: uuid::Uuid) -> State {
    engine.state::<Tower>(&World::tenant(), id).await.unwrap().unwrap().0
}

/// Timers in the order of due moments, and those of them that are stuck.
fn timers(engine: &Engine) -> (u64, u64) {
    let counted = engine.outstanding().unwrap().timers_of(None);
    (counted.armed, counted.stuck)
}

#[tokio::test]
async fn an_entity_with_many_timers_costs_one_key_and_all_of_them_are_listed() {
    let world = World::new();
    let engine = start(&world).await;
    let id = engine.mint();
    for bell in 1..=9 {
        hang(&engine, id, bell, Span::from_mins(10 - u64::from(bell)), Manner::Once).await;
    }
    assert_eq!(timers(&engine), (1, 0));
    let listed = engine.timers(None, 100).unwrap();
    assert_eq!(
        listed.iter().map(|row| row.name.clone()).collect::<Vec<_>>(),
        [9, 8, 7, 6, 5, 4, 3, 2, 1].map(|bell| format!("bell{bell}"))
    );
    assert!(listed.iter().all(|row| row.fire_at == row.due_at));
    assert_eq!(engine.timers(None, 3).unwrap(), listed[..3]);
    assert_eq!(engine.timers(Some(engine.now() + Span::from_mins(4)), 100).unwrap(), listed[..4]);

    let begun = engine.now();
    engine.advance(Span::from_mins(30)).await.unwrap();
    let rung: Vec<_> = (1..=9).map(|bell| (10 - bell, begun + Span::from_mins(u64::from(bell)))).collect();
    assert_eq!(state(&engine, id).await.rung, rung, "each at its own moment");
    assert_eq!(timers(&engine), (0, 0));
}

#[tokio::test]
async fn a_stuck_timer_holds_up_no_other_of_its_entity() {
    let world = World::new();
    let engine = start(&world).await;
    let (id, begun) = (engine.mint(), engine.now());
    hang(&engine, id, 1, Span::from_secs(10), Manner::Stubborn).await;
    hang(&engine, id, 2, Span::from_secs(60), Manner::Once).await;
    hang(&engine, id, 3, Span::from_secs(61), Manner::Once).await;
    engine.advance(Span::from_secs(61)).await.unwrap();
    let rung = state(&engine, id).await.rung;
    assert!(rung.contains(&(2, begun + Span::from_secs(60))), "{rung:?}");
    assert!(rung.contains(&(3, begun + Span::from_secs(61))), "{rung:?}");
    let stubborn = rung.iter().filter(|(bell, _)| *bell == 1).count();
    assert_eq!(stubborn, 6, "after 0, 1, 2, 4, 8 and 16 seconds: {rung:?}");
    let listed = engine.timers(None, 10).unwrap();
    assert_eq!(listed.iter().map(|row| (row.name.as_str(), row.stuck)).collect::<Vec<_>>(), [("bell1", 6)]);
    assert_eq!(timers(&engine), (1, 1));
}

#[tokio::test]
async fn a_timer_that_crashes_its_entity_holds_up_no_other_of_it() {
    let mut world = World::new();
    world.options.crashes_max = 1;
    let engine = start(&world).await;
    let (id, begun) = (engine.mint(), engine.now());
    hang(&engine, id, 1, Span::from_secs(10), Manner::Cracked).await;
    hang(&engine, id, 2, Span::from_secs(11), Manner::Cracked).await;
    hang(&engine, id, 3, Span::from_secs(14), Manner::Once).await;
    engine.advance(Span::from_secs(14)).await.unwrap();
    assert_eq!(state(&engine, id).await.rung, [(3, begun + Span::from_secs(14))]);
    let stuck: Vec<_> =
        engine.timers(None, 10).unwrap().into_iter().map(|row| (row.name, row.stuck > 1)).collect();
    assert_eq!(stuck.len(), 2, "{stuck:?}");
    assert!(stuck.iter().all(|(_, again)| *again), "{stuck:?}");
}

/// What happens to a tower.
#[derive(Clone, Debug)]
enum Step {
    Hang(u8, u64, Manner),
    Look,
    Wait(u64),
    /// The engine stops; so much later it is started again on what is durable.
    Cut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let manner = prop_oneof![5 => Just(Manner::Once), 1 => Just(Manner::Stubborn)];
    let step = prop_oneof![
        5 => (0..6u8, 1..90u64, manner).prop_map(|(bell, secs, manner)| Step::Hang(bell, secs, manner)),
        2 => Just(Step::Look),
        3 => (1..60u64).prop_map(Step::Wait),
        1 => (0..120u64).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Against a plain list of bells: each rings at its moment, or when the engine is there again.
    #[test]
    fn whatever_happens_every_bell_rings_when_it_is_due(steps in steps(), snapshot_every in 1..4u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (rung, expected) = runtime.block_on(async {
            let mut world = World::new();
            world.options.snapshot_every = snapshot_every;
            let mut engine = start(&world).await;
            let id = engine.mint();
            let mut hanging: BTreeMap<u8, (Timestamp, Manner)> = BTreeMap::new();
            let mut expected = Vec::new();
            let mut ring_up_to = |hanging: &mut BTreeMap<u8, (Timestamp, Manner)>, to: Timestamp, earliest: Timestamp| {
                let due: Vec<_> = hanging.iter().filter(|(_, (due, manner))| *due <= to && *manner == Manner::Once).map(|(bell, (due, _))| (*bell, *due)).collect();
                for (bell, due) in due {
                    hanging.remove(&bell);
                    expected.push((bell, due.max(earliest)));
                }
            };
            // There is an entity from the start.
            hang(&engine, id, 250, Span::from_hours(900), Manner::Once).await;
            for step in steps {
                match step {
                    Step::Hang(bell, secs, manner) => {
                        hang(&engine, id, bell, Span::from_secs(secs), manner).await;
                        hanging.insert(bell, (engine.now() + Span::from_secs(secs), manner));
                    }
                    Step::Look => {
                        engine.send::<Tower>(&World::tenant(), id, Command::Look, meta(&engine)).await.unwrap();
                    }
                    Step::Wait(secs) => {
                        let to = engine.now() + Span::from_secs(secs);
                        engine.advance(Span::from_secs(secs)).await.unwrap();
                        ring_up_to(&mut hanging, to, Timestamp::default());
                    }
                    Step::Cut(secs) => {
                        engine.drain().await.unwrap();
                        world = world.after_power_cut();
                        let now = world.clock.now() + Span::from_secs(secs);
                        world.clock.move_to(now);
                        engine = start(&world).await;
                        engine.settle().await.unwrap();
                        ring_up_to(&mut hanging, now, now);
                    }
                }
            }
            let rung: Vec<_> = state(&engine, id).await.rung;
            engine.drain().await.unwrap();
            (rung, expected)
        });
        // A stubborn bell that is hung anew as a plain one rings as such; what it rang before is its own affair.
        for rings in &expected {
            prop_assert!(rung.contains(rings), "{rings:?} is missing in {rung:?}");
        }
    }
}
