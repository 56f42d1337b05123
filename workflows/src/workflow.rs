//! The contract between a workflow and the engine that runs it.
//!
//! A workflow is a decider: [`Workflow::decide`] says which events shall be facts, [`Workflow::evolve`] records
//! them in a state, [`Workflow::deadlines`] derives from the state which timers must be armed. The engine adds
//! the rest: it commits events, activities, claims and the change of timers in one atomic step, performs the
//! activities and fires the timers. Conversation, customer, agent and team are instances; a user of the library
//! may write another, and the engine learns of it by registration only.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::{self, Debug, Display},
    hash::Hash,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    policy::{Policies, Policy},
    time::Timestamp,
    views::{EventMeta, events},
};

/// A durable workflow as a pure value type.
pub trait Workflow: Sized + Send + Sync + 'static {
    /// The kind's name in keys, paths and logs: lower-case letters.
    const KIND: &'static str;
    /// Raised whenever the encoded form of [`Workflow::State`] changes, so that older snapshots are ignored.
    const STATE_REVISION: u32;
    /// Raised whenever [`Workflow::deadlines`] gives another answer for an unchanged state, so that the engine
    /// arms anew what is stored.
    const DEADLINES_REVISION: u32;

    /// What decisions need to know, of the size of what is open and never of the history.
    /// The default is the state before the first event.
    type State: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// An order. Safe to receive twice: the second time changes nothing.
    type Command: Clone + Debug + Serialize + DeserializeOwned + Send + Sync;
    /// A fact. Its encoded form is a file format: variants are only appended.
    type Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// Why a command is refused. Nothing is recorded.
    type Rejection: Error + Clone + PartialEq + Send + Sync;
    /// What the outside world is asked to do.
    type Activity: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// The name of a timer; its text form is stored.
    type Deadline: Copy + Debug + Display + FromStr + Eq + Ord + Hash + Send + Sync;

    /// Which events shall be facts and what the world must do, or why not.
    ///
    /// # Errors
    /// The workflow's own rejection; nothing is recorded then.
    fn decide(
        state: &Self::State,
        command: Self::Command,
        cx: &Context<'_>,
    ) -> Result<Decision<Self>, Self::Rejection>;

    /// Records one event. Total: it also reads history written by older code.
    fn evolve(state: &mut Self::State, event: &Self::Event);

    /// The timers that must be armed in this state. Never looks at a clock.
    fn deadlines(state: &Self::State) -> Deadlines<Self::Deadline>;

    /// Which rule asks for a timer in this state, in one line for people: the setting, its value and what it is counted
    /// from. `None` where there is nothing to say beyond the timer's name.
    fn rule(_state: &Self::State, _deadline: Self::Deadline) -> Option<String> {
        None
    }

    /// The command that a timer delivers when it falls due.
    fn deadline_passed(deadline: Self::Deadline) -> Self::Command;

    /// The command that tells the workflow that an activity was given up: refused, or out of tries.
    /// `None` where the workflow does not care.
    fn activity_failed(activity: &Self::Activity, error: &ActivityError) -> Option<Self::Command>;

    /// The command that tells the workflow that nobody knows whether an activity was done: the world was asked, and
    /// its answer was lost. The activity is consumed with that command and is not performed again by itself. `None`:
    /// it is given up like one that failed.
    fn activity_uncertain(_activity: &Self::Activity, _error: &ActivityError) -> Option<Self::Command> {
        None
    }

    /// The event's name and schema version as they are stored beside it.
    fn event_type(event: &Self::Event) -> EventType;

    /// Reads an event as it was stored under `event_type`; the place where an old shape is brought up to date.
    ///
    /// # Errors
    /// What the deserializer says of damaged bytes.
    fn decode_event<'de, D: Deserializer<'de>>(
        _name: &str,
        _version: u16,
        deserializer: D,
    ) -> Result<Self::Event, D::Error> {
        Self::Event::deserialize(deserializer)
    }

    /// The command by which an entity takes up a new version of its tenant's policy. `None` where a policy changes
    /// nothing that the entity keeps.
    fn policy_changed() -> Option<Self::Command> {
        None
    }

    /// Whether an activity that was asked for some time ago is still to be performed. One that no longer is, is
    /// dropped without having been tried.
    fn still_wanted(_state: &Self::State, _activity: &Self::Activity) -> bool {
        true
    }

    /// Activities of one entity that share a lane are performed in the order they were asked for.
    /// `None`: in any order.
    fn lane(_activity: &Self::Activity) -> Option<String> {
        None
    }

    /// The topic under which the outside hears of the event: one of [`Topic`](crate::topic::Topic). `None`: it stays
    /// inside.
    fn topic(_event: &Self::Event) -> Option<&'static str> {
        None
    }

    /// The event as the outside reads it, `topic` being its topic. What a workflow does not say otherwise is the
    /// event's own content.
    fn outside(event: &Self::Event, topic: &'static str, meta: &EventMeta<'_>) -> serde_json::Value {
        events::plain::<Self>(event, topic, meta)
    }
}

/// An event's name and the version of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// For example `message_received`.
    pub name: &'static str,
    /// From 1; raised when the shape changes.
    pub version: u16,
}

/// Everything a decision may look at beyond the state.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The engine's time.
    pub now: Timestamp,
    /// The tenant's settings in force.
    pub policy: &'a Policy,
    /// The same and the versions before it, by which older clocks are counted.
    pub policies: &'a Policies,
    /// Who asks.
    pub by: &'a By,
}

impl<'a> Context<'a> {
    /// The context of a decision at `now`, under the newest of `policies`.
    pub fn new(now: Timestamp, policies: &'a Policies, by: &'a By) -> Self {
        Self { now, policy: policies.in_force(), policies, by }
    }
}

/// What a workflow wants to be true.
#[derive(Debug)]
pub struct Decision<W: Workflow> {
    /// Facts, in order.
    pub events: Vec<W::Event>,
    /// What the world is asked to do, in order.
    pub activities: Vec<W::Activity>,
    /// Unique keys to take, move or give up in the same commit.
    pub claims: Vec<Claim>,
}

impl<W: Workflow> Decision<W> {
    /// Nothing to record: the command has already had its effect.
    pub fn nothing() -> Self {
        Self { events: Vec::new(), activities: Vec::new(), claims: Vec::new() }
    }

    /// A decision that begins with `event`.
    pub fn event(event: W::Event) -> Self {
        Self::nothing().and(event)
    }

    /// Adds an event.
    #[must_use]
    pub fn and(mut self, event: W::Event) -> Self {
        self.events.push(event);
        self
    }

    /// Adds several events.
    #[must_use]
    pub fn and_all(mut self, events: impl IntoIterator<Item = W::Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// Adds an activity.
    #[must_use]
    pub fn activity(mut self, activity: W::Activity) -> Self {
        self.activities.push(activity);
        self
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }
}

/// A unique key with an owner. The owner is the deciding entity; the check is part of the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of key, for example `address`.
    pub space: &'static str,
    /// The key within tenant and space.
    pub key: String,
    /// What to do with it.
    pub change: ClaimChange,
}

/// What to do with a claimed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    /// Own it. Refused if another entity does; nothing happens if it is owned already.
    Take,
    /// Own it, whether it is free, already ours, or owned by this former owner. Refused if a third one has it.
    TakeFrom(Uuid),
    /// Own it if it is free; nothing happens if another entity owns it.
    TakeIfFree,
    /// Give it up. Nothing happens if another entity owns it.
    Release,
}

impl Claim {
    /// Own `key` in `space`.
    pub fn take(space: &'static str, key: impl Into<String>) -> Self {
        Self { space, key: key.into(), change: ClaimChange::Take }
    }

    /// Own `key` in `space`, also when `former` has it now.
    pub fn take_from(space: &'static str, key: impl Into<String>, former: Uuid) -> Self {
        Self { space, key: key.into(), change: ClaimChange::TakeFrom(former) }
    }

    /// Own `key` in `space` if nobody does.
    pub fn take_if_free(space: &'static str, key: impl Into<String>) -> Self {
        Self { space, key: key.into(), change: ClaimChange::TakeIfFree }
    }

    /// Give up `key` in `space`.
    pub fn release(space: &'static str, key: impl Into<String>) -> Self {
        Self { space, key: key.into(), change: ClaimChange::Release }
    }
}

/// The timers that must be armed, by name. A name is armed for one moment at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines<D: Ord>(BTreeMap<D, Timestamp>);

impl<D: Ord + Copy> Deadlines<D> {
    /// No timer.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Arms `deadline` for `due`.
    pub fn arm(&mut self, deadline: D, due: Timestamp) {
        self.0.insert(deadline, due);
    }

    /// The timers by name, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (D, Timestamp)> + '_ {
        self.0.iter().map(|(deadline, due)| (*deadline, *due))
    }

    /// Whether exactly this timer is armed.
    pub fn holds(&self, deadline: D, due: Timestamp) -> bool {
        self.0.get(&deadline) == Some(&due)
    }
}

impl<D: Ord + Copy> Default for Deadlines<D> {
    fn default() -> Self {
        Self::new()
    }
}

/// Why an activity was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityError {
    /// A stable code where the world gave one, for example `21610`.
    pub code: Option<String>,
    /// What went wrong, for a person.
    pub message: String,
}

/// What kind of actor did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByKind {
    /// The customer.
    Customer,
    /// A person of ours.
    Person,
    /// Another program, by its own credential.
    Service,
    /// The engine itself.
    Engine,
    /// A model.
    Ai,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// What kind of actor.
    pub kind: ByKind,
    /// The actor's id, where it has one.
    pub id: Option<Uuid>,
    /// The name to show.
    pub name: Option<String>,
    /// By what way: a channel, `api`, `console`, `cli`.
    pub via: Option<String>,
}

impl By {
    /// The engine itself.
    pub fn engine() -> Self {
        Self { kind: ByKind::Engine, id: None, name: None, via: None }
    }

    /// A customer, by a channel.
    pub fn customer(id: Option<Uuid>, name: Option<String>, via: impl Into<String>) -> Self {
        Self { kind: ByKind::Customer, id, name, via: Some(via.into()) }
    }
}

/// What made something happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of cause.
    pub kind: CauseKind,
    /// Its id: an inbound message, a request, a timer's name, an activity.
    pub id: String,
}

/// What kind of thing made something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A provider's request.
    Webhook,
    /// A person's or program's request.
    Command,
    /// A timer that fell due.
    Timer,
    /// An activity's outcome.
    Activity,
    /// An automation's rule.
    Automation,
}

/// The timers of a workflow that has none: there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoDeadline {}

impl Display for NoDeadline {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// The workflow has no timers, so no text names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this kind of entity has no timers")]
pub struct NoDeadlineError;

impl FromStr for NoDeadline {
    type Err = NoDeadlineError;

    fn from_str(_text: &str) -> Result<Self, Self::Err> {
        Err(NoDeadlineError)
    }
}
