//! A workflow of your own on the same engine: a reminder, with a timer and an activity, that survives a restart.
//!
//! `cargo run --example own_workflow`
//!
//! The workflow itself is the forty lines between the two rules. It is as durable as a conversation: the reminder
//! is set, the engine is stopped, and a new engine on the same folder keeps the promise.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use throughline_actors::{
    clock::Clock,
    engine::{Engine, EngineBuilder},
    order::CommandMeta,
    performer::{Attempt, Outcome, Performer},
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::sled::{SledOptions, SledStore},
};
use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
    workflow::{ActivityError, By, Cause, CauseKind, Context, Deadlines, Decision, EventType, Workflow},
};
use tokio::sync::mpsc;

// ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

struct Reminder;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Waiting(Option<(Timestamp, String)>);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Command {
    Remind { at: Timestamp, of: String },
    Due,
    Said,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Set { at: Timestamp, of: String },
    CameDue,
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Moment;

impl Workflow for Reminder {
    const KIND: &'static str = "reminder";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;
    type State = Waiting;
    type Command = Command;
    type Event = Event;
    type Rejection = fmt::Error;
    type Activity = String;
    type Deadline = Moment;

    fn decide(state: &Waiting, command: Command, _: &Context<'_>) -> Result<Decision<Self>, fmt::Error> {
        Ok(match (command, &state.0) {
            (Command::Remind { at, of }, None) => Decision::event(Event::Set { at, of }),
            (Command::Due, Some((_, of))) => Decision::event(Event::CameDue).activity(of.clone()),
            (Command::Said, _) => Decision::event(Event::Kept),
            (Command::Remind { .. }, Some(_)) | (Command::Due, None) => Decision::nothing(),
        })
    }
    fn evolve(state: &mut Waiting, event: &Event) {
        state.0 = match event {
            Event::Set { at, of } => Some((*at, of.clone())),
            Event::CameDue | Event::Kept => None,
        };
    }
    fn deadlines(state: &Waiting) -> Deadlines<Moment> {
        let mut due = Deadlines::new();
        if let Some((at, _)) = &state.0 {
            due.arm(Moment, *at)
        }
        due
    }
    fn deadline_passed(Moment: Moment) -> Command {
        Command::Due
    }
    fn activity_failed(_: &String, _: &ActivityError) -> Option<Command> {
        None
    }
    fn event_type(_: &Event) -> EventType {
        EventType { name: "reminder", version: 1 }
    }
}

// ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("moment")
    }
}

impl FromStr for Moment {
    type Err = fmt::Error;

    fn from_str(text: &str) -> Result<Self, fmt::Error> {
        if text == "moment" { Ok(Self) } else { Err(fmt::Error) }
    }
}

/// Says a reminder aloud.
struct Voice(mpsc::Sender<String>);

impl Performer<Reminder> for Voice {
    async fn perform(&self, of: String, attempt: Attempt) -> Outcome<Command> {
        let said = format!("{of} (activity {}, attempt {})", attempt.id, attempt.number);
        let _ = self.0.send(said).await; // Whoever listened may have gone.
        Outcome::Done(Some(Command::Said))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (voice, mut heard) = mpsc::channel(1);
    let tenant = TenantId::default_tenant();

    let engine = start(folder.path(), voice.clone()).await?;
    let id = engine.mint();
    let at = engine.now() + Span::from_secs(1);
    let remind = Command::Remind { at, of: "water the plants".to_owned() };
    let receipt = engine.send::<Reminder>(&tenant, id, remind, meta(&engine)).await?;
    say(&format!("set for {at}, version {}; stopping the engine", receipt.version));
    engine.drain().await.map_err(anyhow::Error::msg)?;

    let engine = start(folder.path(), voice).await?;
    say("a new engine on the same folder");
    let said = heard.recv().await.unwrap_or_default();
    say(&format!("heard: {said}"));
    engine.drain().await.map_err(anyhow::Error::msg)
}

async fn start(folder: &std::path::Path, voice: mpsc::Sender<String>) -> anyhow::Result<Engine> {
    let store = SledStore::open(folder.join("journal"), SledOptions::default())?;
    let clock = Clock::system(Timestamp::default());
    let now = clock.clone();
    let options =
        JournalOptions { now_ms: Arc::new(move || now.now().as_millis()), ..JournalOptions::default() };
    let journal = Journal::open(Arc::new(store), options)?;
    let blobs = Arc::new(Blobs::open(folder.join("blobs"))?);
    Ok(EngineBuilder::new(journal, blobs, clock).workflow::<Reminder>(Voice(voice)).start().await?)
}

fn meta(engine: &Engine) -> CommandMeta {
    CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: "example".to_owned() },
        correlation: engine.mint(),
        idempotency: None,
    }
}

#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
fn say(text: &str) {
    println!("{text}");
}
