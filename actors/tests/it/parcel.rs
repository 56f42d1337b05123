//! A workflow for tests: a parcel that is sent, may be late, and is announced on the way.

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use throughline_actors::{
    engine::{Engine, EngineBuilder},
    performer::{Admission, Attempt, Outcome, Performer},
    testing::World,
};
use throughline_workflows::{
    ids::MessageId,
    message::{Address, Channel, Details, Inbound},
    time::{Span, Timestamp},
    views::{EventMeta, View},
    workflow::{ActivityError, Claim, Context, Deadlines, Decision, EventType, Workflow},
};
use tokio::sync::Notify;

/// The workflow.
pub(crate) struct Parcel;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) sent: u32,
    pub(crate) announced: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) uncertain: Vec<String>,
    pub(crate) due: Option<Timestamp>,
    pub(crate) late: u32,
    pub(crate) stubborn: bool,
    pub(crate) explosive: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Sends it, due after the span.
    Send { due_in: Span, stubborn: bool },
    /// Announces something, by one lane or by none.
    Announce { what: String, lane: bool },
    /// Takes the label, of which there is one.
    Label(String),
    /// Something was announced.
    Announced(String),
    /// Something could not be announced.
    NotAnnounced(String),
    /// Whether something was announced nobody knows.
    Wondered(String),
    /// It is due.
    Due,
    /// Makes it panic when it falls due.
    Charge,
    /// Panics.
    Explode,
    /// Panics when its event is recorded.
    ExplodeLater,
    /// Is refused.
    Refuse,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    Sent { due: Timestamp, stubborn: bool },
    Asked(String),
    Labelled(String),
    Announced(String),
    NotAnnounced(String),
    Wondered(String),
    Late,
    Exploded,
    Charged,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Say {
    pub(crate) what: String,
    pub(crate) lane: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Arrival;

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arrival")
    }
}

impl FromStr for Arrival {
    type Err = fmt::Error;

    fn from_str(text: &str) -> Result<Self, fmt::Error> {
        if text == "arrival" { Ok(Self) } else { Err(fmt::Error) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Workflow for Parcel {
    const KIND: &'static str = "parcel";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Activity = Say;
    type Deadline = Arrival;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Refused> {
        Ok(match command {
            Command::Send { due_in, stubborn } => {
                Decision::event(Event::Sent { due: cx.now + due_in, stubborn })
            }
            Command::Announce { what, lane } => {
                Decision::event(Event::Asked(what.clone())).activity(Say { what, lane })
            }
            Command::Label(label) => {
                Decision::event(Event::Labelled(label.clone())).claim(Claim::take("label", label))
            }
            Command::Announced(what) => Decision::event(Event::Announced(what)),
            Command::NotAnnounced(what) => Decision::event(Event::NotAnnounced(what)),
            Command::Wondered(what) => Decision::event(Event::Wondered(what)),
            Command::Due if state.explosive => panic!("the parcel explodes when it is due"),
            Command::Due => Decision::event(Event::Late),
            Command::Charge => Decision::event(Event::Charged),
            Command::Explode => panic!("the parcel explodes"),
            Command::ExplodeLater => Decision::event(Event::Exploded),
            Command::Refuse => return Err(Refused),
        })
    }

    fn evolve(state: &mut State, event: &Event) {
        match event {
            Event::Sent { due, stubborn } => {
                state.sent += 1;
                state.due = Some(*due);
                state.stubborn = *stubborn;
            }
            Event::Announced(what) => state.announced.push(what.clone()),
            Event::NotAnnounced(what) => state.failed.push(what.clone()),
            Event::Wondered(what) => state.uncertain.push(what.clone()),
            Event::Late => {
                state.late += 1;
                if !state.stubborn {
                    state.due = None;
                }
            }
            Event::Charged => state.explosive = true,
            Event::Exploded => panic!("the parcel explodes on the way"),
            Event::Asked(_) | Event::Labelled(_) => {}
        }
    }

    fn deadlines(state: &State) -> Deadlines<Arrival> {
        let mut deadlines = Deadlines::new();
        if let Some(due) = state.due {
            deadlines.arm(Arrival, due);
        }
        deadlines
    }

    fn deadline_passed(Arrival: Arrival) -> Command {
        Command::Due
    }

    fn activity_failed(activity: &Say, _: &ActivityError) -> Option<Command> {
        Some(Command::NotAnnounced(activity.what.clone()))
    }

    fn activity_uncertain(activity: &Say, _: &ActivityError) -> Option<Command> {
        (!activity.what.contains("unspeakable")).then(|| Command::Wondered(activity.what.clone()))
    }

    fn event_type(event: &Event) -> EventType {
        let name = match event {
            Event::Sent { .. } => "sent",
            Event::Asked(_) => "asked",
            Event::Labelled(_) => "labelled",
            Event::Announced(_) => "announced",
            Event::NotAnnounced(_) => "not_announced",
            Event::Wondered(_) => "wondered",
            Event::Late => "late",
            Event::Exploded => "exploded",
            Event::Charged => "charged",
        };
        EventType { name, version: 1 }
    }

    fn lane(activity: &Say) -> Option<String> {
        activity.lane.then(|| "voice".to_owned())
    }
}

/// Counts the events of each parcel.
pub(crate) struct Counts;

impl View for Counts {
    const NAME: &'static str = "counts";
    const REVISION: u16 = 1;
    type Source = Parcel;
    type Row = u64;

    fn fold(row: Option<u64>, _: &Event, _: &EventMeta<'_>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }

    fn order(row: &u64) -> u64 {
        *row
    }
}

/// What the announcer is asked, and how it answers.
#[derive(Clone, Default)]
pub(crate) struct Announcer(Arc<Script>);

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Outcome<Command>>>,
    admissions: Mutex<VecDeque<Admission>>,
    heard: Mutex<Vec<(String, u32, Timestamp)>>,
    told: Notify,
    talks: AtomicBool,
}

impl Announcer {
    /// The next answers; when they run out everything is done.
    pub(crate) fn answers(&self, answers: impl IntoIterator<Item = Outcome<Command>>) {
        self.0.answers.lock().unwrap().extend(answers);
    }

    /// The next answers to whether a try may begin; when they run out each may, and what begins with "once" must not be
    /// made twice.
    pub(crate) fn admits(&self, admissions: impl IntoIterator<Item = Admission>) {
        self.0.admissions.lock().unwrap().extend(admissions);
    }

    /// From now on a silence is announced like anything else; until then it never comes back.
    pub(crate) fn break_silence(&self) {
        self.0.talks.store(true, Ordering::Relaxed);
    }

    /// What was announced, on which try, and when.
    pub(crate) fn heard(&self) -> Vec<(String, u32, Timestamp)> {
        self.0.heard.lock().unwrap().clone()
    }

    /// Returns once so much has been heard.
    pub(crate) async fn until_heard(&self, count: usize) {
        loop {
            let told = self.0.told.notified();
            if self.heard().len() >= count {
                return;
            }
            told.await;
        }
    }
}

impl Performer<Parcel> for Announcer {
    async fn perform(&self, activity: Say, attempt: Attempt) -> Outcome<Command> {
        self.0.heard.lock().unwrap().push((activity.what.clone(), attempt.number, attempt.now));
        self.0.told.notify_waiters();
        if activity.what.contains("silence") && attempt.number == 1 && !self.0.talks.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let answer = self.0.answers.lock().unwrap().pop_front();
        assert!(activity.what != "panic" || attempt.number > 1, "the announcer loses its voice");
        answer.unwrap_or(Outcome::Done(Some(Command::Announced(activity.what))))
    }

    fn admit(&self, activity: &Say, _: &Attempt) -> Admission {
        let next = self.0.admissions.lock().unwrap().pop_front();
        let once = activity.what.starts_with("once");
        next.unwrap_or(if once { Admission::Unkeyed } else { Admission::Keyed })
    }
}

/// An engine that knows parcels.
pub(crate) async fn start(world: &World, announcer: &Announcer) -> Engine {
    let announcer = announcer.clone();
    world.start(|builder: EngineBuilder| builder.workflow::<Parcel>(announcer).view::<Counts>()).await
}

/// A customer's message, for the door.
pub(crate) fn message(engine: &Engine) -> Inbound {
    Inbound {
        id: MessageId(engine.mint()),
        channel: Channel::Generic("web".to_owned()),
        provider_message_id: engine.mint().to_string(),
        from: vec![Address::email("ada@example.com")],
        name: None,
        to: None,
        text: "Where is it?".to_owned(),
        subject: None,
        attachments: Vec::new(),
        thread: None,
        vouched: false,
        automatic: false,
        details: Details::None,
        metadata: String::new(),
        sent_at: None,
        received_at: engine.now(),
    }
}
