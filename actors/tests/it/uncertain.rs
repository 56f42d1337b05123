//! What must not be done twice: its beginning is durable, a lost answer is told, and waiting for a turn is no try.

use throughline_actors::{
    engine::Engine,
    performer::{Admission, Outcome},
    testing::{World, meta},
};
use throughline_workflows::{time::Span, workflow::ActivityError};
use uuid::Uuid;

use crate::parcel::{Announcer, Command, Parcel, State, start};

async fn announce(engine: &Engine, id: Uuid, what: &str) {
    let command = Command::Announce { what: what.to_owned(), lane: true };
    engine.send::<Parcel>(&World::tenant(), id, command, meta(engine)).await.unwrap();
}

async fn state(engine: &Engine, id: Uuid) -> State {
    engine.state::<Parcel>(&World::tenant(), id).await.unwrap().unwrap().0
}

fn error(message: &str) -> ActivityError {
    ActivityError { code: None, message: message.to_owned() }
}

#[tokio::test]
async fn a_try_cut_off_by_a_power_cut_is_uncertain_and_not_made_again() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "once, then silence").await;
    announcer.until_heard(1).await;
    assert_eq!(engine.activities(10).unwrap()[0].begun_at, Some(engine.now()));

    let world = world.after_power_cut();
    announcer.break_silence();
    let engine = start(&world, &announcer).await;
    announce(&engine, id, "next").await;
    engine.settle().await.unwrap();
    let state = state(&engine, id).await;
    assert_eq!(
        (state.uncertain, state.announced),
        (vec!["once, then silence".to_owned()], vec!["next".to_owned()])
    );
    assert_eq!(announcer.heard().len(), 2, "{:?}", announcer.heard());
    assert!(engine.activities(10).unwrap().is_empty() && engine.dead_letters(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_try_whose_repetition_is_recognised_is_simply_made_again() {
    let world = World::new();
    let announcer = Announcer::default();
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "silence").await;
    announcer.until_heard(1).await;

    let world = world.after_power_cut();
    announcer.break_silence();
    let engine = start(&world, &announcer).await;
    engine.settle().await.unwrap();
    assert_eq!(state(&engine, id).await.announced, ["silence"]);
    let attempts: Vec<_> = announcer.heard().into_iter().map(|(_, attempt, _)| attempt).collect();
    assert_eq!(attempts, [1, 1], "a try without an end is not counted");
}

#[tokio::test]
async fn an_uncertain_outcome_is_told_and_the_lane_goes_on() {
    let world = World::new();
    let announcer = Announcer::default();
    let busy = Outcome::Retry { after: None, error: error("busy") };
    announcer.answers([busy, Outcome::Uncertain(error("the line went dead"))]);
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "once").await;
    engine.settle().await.unwrap();
    announce(&engine, id, "next").await;
    engine.advance(Span::from_mins(1)).await.unwrap();
    let state = state(&engine, id).await;
    assert_eq!((state.uncertain, state.announced), (vec!["once".to_owned()], vec!["next".to_owned()]));
    assert!(engine.activities(10).unwrap().is_empty() && engine.dead_letters(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_workflow_without_a_word_for_it_hears_that_it_was_given_up() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.answers([Outcome::Uncertain(error("the line went dead"))]);
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "once, unspeakable").await;
    engine.settle().await.unwrap();
    assert_eq!(state(&engine, id).await.failed, ["once, unspeakable"]);
    let letters = engine.dead_letters(None).unwrap();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "the line went dead"));
}

#[tokio::test]
async fn a_try_that_was_answered_leaves_no_mark_behind() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.answers([Outcome::Retry { after: None, error: error("busy") }]);
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "once").await;
    engine.settle().await.unwrap();
    let world = world.after_power_cut();
    world.clock.move_to(world.clock.now() + Span::from_mins(1));
    let engine = start(&world, &announcer).await;
    engine.settle().await.unwrap();
    let state = state(&engine, id).await;
    assert_eq!((state.announced, state.uncertain), (vec!["once".to_owned()], Vec::new()));
}

#[tokio::test]
async fn a_panic_in_the_middle_of_it_is_uncertain_too() {
    let world = World::new();
    let announcer = Announcer::default();
    announcer.admits([Admission::Unkeyed]);
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "panic").await;
    engine.settle().await.unwrap();
    assert_eq!(state(&engine, id).await.uncertain, ["panic"]);
    assert_eq!(announcer.heard().len(), 1);
}

#[tokio::test]
async fn waiting_for_ones_turn_uses_up_no_try_and_keeps_the_order_of_the_lane() {
    let mut world = World::new();
    world.options.attempts_max = 2;
    let announcer = Announcer::default();
    let not_now = Admission::NotNow { after: Span::from_secs(10), why: "10 a minute".to_owned() };
    announcer.admits(vec![not_now; 20]);
    let engine = start(&world, &announcer).await;
    let id = engine.mint();
    announce(&engine, id, "first").await;
    engine.settle().await.unwrap();
    announce(&engine, id, "second").await;
    engine.settle().await.unwrap();
    let waiting = engine.activities(10).unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!((waiting[0].attempts, waiting[0].last_error.as_deref()), (0, Some("10 a minute")));
    engine.advance(Span::from_mins(10)).await.unwrap();
    assert_eq!(state(&engine, id).await.announced, ["first", "second"]);
    let attempts: Vec<_> = announcer.heard().into_iter().map(|(_, attempt, _)| attempt).collect();
    assert_eq!(attempts, [1, 1]);
    assert!(engine.activities(10).unwrap().is_empty());
}
