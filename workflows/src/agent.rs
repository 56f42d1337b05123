//! An agent: a person of ours who answers customers, as a record. Presence and offers come with the desk.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Create` | none | `Created` |
//! | | the same agent | nothing |
//! | | another | refused: exists |
//! | `Update` | differs | `Changed` |
//! | | none | refused: unknown |

use serde::{Deserialize, Serialize};

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::{AgentId, TeamId},
    record::checked_name,
    role::Role,
    text::non_empty,
    time::Timestamp,
    words::words,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// How many conversations an agent takes at once where nobody said otherwise.
pub const CAPACITY_DEFAULT: u32 = 5;
/// The most conversations an agent can be set to take at once.
const CAPACITY_MAX: u32 = 1_000;
/// The highest level of a skill.
const LEVEL_MAX: u8 = 5;

/// The workflow of one agent's record.
#[derive(Clone, Copy, Debug)]
pub struct Agent;

words! {
    /// Whether an agent takes work.
    AgentStatus, "an agent's status" {
        /// Takes work.
        Available = "available",
        /// Is at work, and takes no more.
        Busy = "busy",
        /// Will be back.
        Away = "away",
        /// Is not here.
        Offline = "offline",
    }
}

/// Something an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its name, for example `billing`.
    pub name: String,
    /// How well, from 1 to 5.
    pub level: u8,
}

/// All that is said of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// The name that customers see.
    pub name: String,
    /// Where the agent gets mail, where known.
    pub email: Option<String>,
    /// What the agent may do.
    pub role: Role,
    /// What the agent can do.
    pub skills: Vec<Skill>,
    /// The teams the agent belongs to.
    pub team_ids: Vec<TeamId>,
    /// Whether the agent takes work.
    pub status: AgentStatus,
    /// The most conversations at once, up to 1,000.
    pub capacity: u32,
    /// Whether the agent works with us; one who left stays on record.
    pub active: bool,
}

/// Changes to an agent. What is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPatch {
    /// The name that customers see.
    pub name: Option<String>,
    /// Where the agent gets mail; an empty text takes it away.
    pub email: Option<String>,
    /// What the agent may do.
    pub role: Option<Role>,
    /// What the agent can do: the whole list.
    pub skills: Option<Vec<Skill>>,
    /// The teams the agent belongs to: the whole list.
    pub team_ids: Option<Vec<TeamId>>,
    /// Whether the agent takes work.
    pub status: Option<AgentStatus>,
    /// The most conversations at once.
    pub capacity: Option<u32>,
    /// Whether the agent works with us.
    pub active: Option<bool>,
}

/// An order to one agent's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new agent.
    Create {
        /// The agent.
        agent_id: AgentId,
        /// All that is said of them.
        profile: Box<AgentProfile>,
    },
    /// Changes to an agent.
    Update(Box<AgentPatch>),
}

/// A fact about one agent's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The agent joined.
    Created {
        /// When.
        at: Timestamp,
        /// The agent.
        id: AgentId,
        /// All that is said of them.
        profile: Box<AgentProfile>,
    },
    /// What is said of the agent changed.
    Changed {
        /// When.
        at: Timestamp,
        /// All that is said of them now.
        profile: Box<AgentProfile>,
    },
}

/// An agent's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Option<Box<Facts>>);

/// What is known of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The agent.
    pub id: AgentId,
    /// All that is said of them.
    pub profile: AgentProfile,
}

impl State {
    /// What is known; none before the first event.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_deref()
    }
}

impl AgentProfile {
    /// An agent of whom nothing but the name is said: offline, with the ordinary capacity.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            email: None,
            role: Role::Agent,
            skills: Vec::new(),
            team_ids: Vec::new(),
            status: AgentStatus::Offline,
            capacity: CAPACITY_DEFAULT,
            active: true,
        }
    }

    fn checked(mut self) -> Result<Self, Rejection> {
        self.name = checked_name("name", &self.name)?;
        self.email = self.email.as_deref().and_then(non_empty);
        if self
            .email
            .as_deref()
            .is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace))
        {
            return Err(Rejection::invalid("email", "a mail address"));
        }
        for skill in &mut self.skills {
            skill.name = checked_name("skills.name", &skill.name)?;
            if !(1..=LEVEL_MAX).contains(&skill.level) {
                return Err(Rejection::invalid("skills.level", format!("from 1 to {LEVEL_MAX}")));
            }
        }
        if self.capacity > CAPACITY_MAX {
            return Err(Rejection::invalid("capacity", format!("at most {CAPACITY_MAX}")));
        }
        Ok(self)
    }

    fn with(&self, patch: AgentPatch) -> Self {
        Self {
            name: patch.name.unwrap_or_else(|| self.name.clone()),
            email: patch.email.or_else(|| self.email.clone()),
            role: patch.role.unwrap_or(self.role),
            skills: patch.skills.unwrap_or_else(|| self.skills.clone()),
            team_ids: patch.team_ids.unwrap_or_else(|| self.team_ids.clone()),
            status: patch.status.unwrap_or(self.status),
            capacity: patch.capacity.unwrap_or(self.capacity),
            active: patch.active.unwrap_or(self.active),
        }
    }
}

impl Workflow for Agent {
    const KIND: &'static str = "agent";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        match (state.facts(), command) {
            (None, Command::Create { agent_id, profile }) => {
                let profile = Box::new(profile.checked()?);
                Ok(Decision::event(Event::Created { at: cx.now, id: agent_id, profile }))
            }
            (Some(facts), Command::Create { agent_id, profile }) => {
                if facts.id == agent_id && profile.checked()? == facts.profile {
                    return Ok(Decision::nothing());
                }
                Err(Rejection::Exists { kind: Self::KIND })
            }
            (Some(facts), Command::Update(patch)) => {
                let profile = facts.profile.with(*patch).checked()?;
                if profile == facts.profile {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(Event::Changed { at: cx.now, profile: Box::new(profile) }))
            }
            (None, Command::Update(_)) => Err(Rejection::Unknown { kind: Self::KIND }),
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        match (event, &mut state.0) {
            (Event::Created { id, profile, .. }, state) => {
                *state = Some(Box::new(Facts { id: *id, profile: (**profile).clone() }));
            }
            (Event::Changed { profile, .. }, Some(facts)) => facts.profile.clone_from(profile),
            (Event::Changed { .. }, None) => {}
        }
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &NoActivity, _error: &ActivityError) -> Option<Command> {
        match *activity {}
    }

    fn event_type(event: &Event) -> EventType {
        let name = match event {
            Event::Created { .. } => "created",
            Event::Changed { .. } => "changed",
        };
        EventType { name, version: 1 }
    }
}
