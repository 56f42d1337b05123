//! A team: agents who answer for one subject, as a record.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Create` | none | `Created` |
//! | | the same team | nothing |
//! | | another | refused: exists |
//! | `Update` | differs | `Changed` |
//! | | none | refused: unknown |

use serde::{Deserialize, Serialize};

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::{AgentId, TeamId},
    record::checked_name,
    time::Timestamp,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// The workflow of one team's record.
#[derive(Clone, Copy, Debug)]
pub struct Team;

/// All that is said of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamProfile {
    /// Its name, for example `engineering`.
    pub name: String,
    /// The team it is part of.
    pub parent_id: Option<TeamId>,
    /// Its agents.
    pub members: Vec<AgentId>,
    /// What its agents can do.
    pub skills: Vec<String>,
}

/// Changes to a team. What is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamPatch {
    /// Its name.
    pub name: Option<String>,
    /// The team it becomes part of.
    pub parent_id: Option<TeamId>,
    /// Whether it is part of no team any more; `parent_id` wins.
    pub clear_parent: bool,
    /// Its agents: the whole list.
    pub members: Option<Vec<AgentId>>,
    /// What its agents can do: the whole list.
    pub skills: Option<Vec<String>>,
}

/// An order to one team's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new team.
    Create {
        /// The team.
        team_id: TeamId,
        /// All that is said of it.
        profile: TeamProfile,
    },
    /// Changes to a team.
    Update(TeamPatch),
}

/// A fact about one team's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The team was formed.
    Created {
        /// When.
        at: Timestamp,
        /// The team.
        id: TeamId,
        /// All that is said of it.
        profile: TeamProfile,
    },
    /// What is said of the team changed.
    Changed {
        /// When.
        at: Timestamp,
        /// All that is said of it now.
        profile: TeamProfile,
    },
}

/// A team's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Option<Facts>);

/// What is known of a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The team.
    pub id: TeamId,
    /// All that is said of it.
    pub profile: TeamProfile,
}

impl State {
    /// What is known; none before the first event.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_ref()
    }
}

impl TeamProfile {
    fn checked(mut self, id: TeamId) -> Result<Self, Rejection> {
        self.name = checked_name("name", &self.name)?;
        if self.parent_id == Some(id) {
            return Err(Rejection::invalid("parent_id", "another team"));
        }
        for skill in &mut self.skills {
            *skill = checked_name("skills", skill)?;
        }
        Ok(self)
    }

    fn with(&self, patch: TeamPatch) -> Self {
        let kept = self.parent_id.filter(|_| !patch.clear_parent);
        Self {
            name: patch.name.unwrap_or_else(|| self.name.clone()),
            parent_id: patch.parent_id.or(kept),
            members: patch.members.unwrap_or_else(|| self.members.clone()),
            skills: patch.skills.unwrap_or_else(|| self.skills.clone()),
        }
    }
}

impl Workflow for Team {
    const KIND: &'static str = "team";
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
            (None, Command::Create { team_id, profile }) => {
                let profile = profile.checked(team_id)?;
                Ok(Decision::event(Event::Created { at: cx.now, id: team_id, profile }))
            }
            (Some(facts), Command::Create { team_id, profile }) => {
                if facts.id == team_id && profile.checked(team_id)? == facts.profile {
                    return Ok(Decision::nothing());
                }
                Err(Rejection::Exists { kind: Self::KIND })
            }
            (Some(facts), Command::Update(patch)) => {
                let profile = facts.profile.with(patch).checked(facts.id)?;
                if profile == facts.profile {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(Event::Changed { at: cx.now, profile }))
            }
            (None, Command::Update(_)) => Err(Rejection::Unknown { kind: Self::KIND }),
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        match (event, &mut state.0) {
            (Event::Created { id, profile, .. }, state) => {
                *state = Some(Facts { id: *id, profile: profile.clone() });
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
