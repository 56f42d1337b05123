//! The list of teams.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    ids::TeamId,
    team::{Event, Team, TeamProfile},
    time::Timestamp,
};

/// The view of teams as a list.
#[derive(Clone, Copy, Debug)]
pub struct Teams;

/// What a list shows of one team. [`TeamRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRow {
    /// The team.
    pub id: TeamId,
    /// All that is said of it.
    pub profile: TeamProfile,
    /// When the team was formed.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// The version that the row shows.
    pub version: u64,
}

/// Which teams are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Holds this text, in any case, in name or skills.
    pub q: Option<String>,
}

impl View for Teams {
    const NAME: &'static str = "teams";
    const REVISION: u16 = 2;

    type Source = Team;
    type Row = TeamRow;

    fn fold(row: Option<TeamRow>, event: &Event, meta: &EventMeta<'_>) -> Option<TeamRow> {
        match event {
            Event::Created { at, id, profile } => Some(TeamRow {
                id: *id,
                profile: profile.clone(),
                created_at: *at,
                updated_at: *at,
                version: meta.version,
            }),
            Event::Changed { at, profile } => row.map(|row| TeamRow {
                profile: profile.clone(),
                updated_at: *at,
                version: meta.version,
                ..row
            }),
        }
    }

    fn order(row: &TeamRow) -> u64 {
        row.created_at.as_millis()
    }
}

impl TeamRow {
    /// The row in its outside form: the names of the model, what is unknown absent.
    pub fn to_json(&self) -> Value {
        let mut team = outside::object(&self.profile);
        team.insert("id".to_owned(), json!(self.id));
        team.insert("created_at".to_owned(), json!(self.created_at));
        team.insert("updated_at".to_owned(), json!(self.updated_at));
        team.insert("version".to_owned(), json!(self.version));
        Value::Object(team)
    }
}

impl Filter {
    /// Whether the row is wanted.
    pub fn matches(&self, row: &TeamRow) -> bool {
        let skills = row.profile.skills.iter().map(String::as_str);
        let mut texts = std::iter::once(row.profile.name.as_str()).chain(skills);
        self.q.as_ref().is_none_or(|q| outside::found(&q.to_lowercase(), texts.by_ref()))
    }
}
