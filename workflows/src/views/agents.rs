//! The list of agents.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    agent::{Agent, AgentProfile, AgentStatus, Event},
    ids::{AgentId, TeamId},
    time::Timestamp,
};

/// The view of agents as a list.
#[derive(Clone, Copy, Debug)]
pub struct Agents;

/// What a list shows of one agent. [`AgentRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// The agent.
    pub id: AgentId,
    /// All that is said of them.
    pub profile: AgentProfile,
    /// When the agent joined.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// The version that the row shows.
    pub version: u64,
}

/// Which agents are wanted. What is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Belongs to this team.
    pub team_id: Option<TeamId>,
    /// Has this status.
    pub status: Option<AgentStatus>,
    /// Works with us, or does not.
    pub active: Option<bool>,
    /// Holds this text, in any case, in name, mail address or skills.
    pub q: Option<String>,
}

impl View for Agents {
    const NAME: &'static str = "agents";
    const REVISION: u16 = 2;

    type Source = Agent;
    type Row = AgentRow;

    fn fold(row: Option<AgentRow>, event: &Event, meta: &EventMeta<'_>) -> Option<AgentRow> {
        match event {
            Event::Created { at, id, profile } => Some(AgentRow {
                id: *id,
                profile: (**profile).clone(),
                created_at: *at,
                updated_at: *at,
                version: meta.version,
            }),
            Event::Changed { at, profile } => row.map(|row| AgentRow {
                profile: (**profile).clone(),
                updated_at: *at,
                version: meta.version,
                ..row
            }),
        }
    }

    fn order(row: &AgentRow) -> u64 {
        row.created_at.as_millis()
    }
}

impl AgentRow {
    /// The row in its outside form: the names of the model, what is unknown absent.
    pub fn to_json(&self) -> Value {
        let mut agent = outside::object(&self.profile);
        agent.insert("id".to_owned(), json!(self.id));
        agent.insert("created_at".to_owned(), json!(self.created_at));
        agent.insert("updated_at".to_owned(), json!(self.updated_at));
        agent.insert("version".to_owned(), json!(self.version));
        Value::Object(agent)
    }
}

impl Filter {
    /// Whether the row is wanted.
    pub fn matches(&self, row: &AgentRow) -> bool {
        let profile = &row.profile;
        self.team_id.is_none_or(|team| profile.team_ids.contains(&team))
            && self.status.is_none_or(|status| profile.status == status)
            && self.active.is_none_or(|active| profile.active == active)
            && self.q.as_ref().is_none_or(|q| {
                let skills = profile.skills.iter().map(|skill| skill.name.as_str());
                let texts = [Some(profile.name.as_str()), profile.email.as_deref()];
                outside::found(&q.to_lowercase(), texts.into_iter().flatten().chain(skills))
            })
    }
}
