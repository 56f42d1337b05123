//! The list of credentials, which is also where a caller's hash is looked up.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    credential::{Credential, Event, Facts, State},
    time::Timestamp,
    workflow::Workflow,
};

/// The view of credentials as a list.
#[derive(Clone, Copy, Debug)]
pub struct Credentials;

/// What a list shows of one credential. [`CredentialRow::to_json`] is its outside form, without the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRow {
    /// The record as its workflow knows it. A change of its shape is a change of this view's revision.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// The version that the row shows.
    pub version: u64,
}

impl View for Credentials {
    const NAME: &'static str = "credentials";
    const REVISION: u16 = 2;

    type Source = Credential;
    type Row = CredentialRow;

    fn fold(row: Option<CredentialRow>, event: &Event, meta: &EventMeta<'_>) -> Option<CredentialRow> {
        let mut row = match (event, row) {
            (_, Some(row)) => row,
            (Event::Created { at, .. }, None) => {
                CredentialRow { state: State::default(), created_at: *at, version: 0 }
            }
            (Event::Revoked { .. }, None) => return None,
        };
        Credential::evolve(&mut row.state, event);
        row.version = meta.version;
        Some(row)
    }

    fn order(row: &CredentialRow) -> u64 {
        row.created_at.as_millis()
    }
}

impl CredentialRow {
    /// The row in its outside form: what is unknown absent, and never the hash.
    pub fn to_json(&self) -> Value {
        let shown = |facts: &Facts| {
            json!({
                "id": facts.id,
                "role": facts.role,
                "kind": facts.kind,
                "name": facts.name,
                "agent_id": facts.agent_id,
                "expires_at": facts.expires_at,
                "revoked_at": self.state.revoked_at(),
                "created_at": self.created_at,
                "version": self.version,
            })
        };
        outside::compact(&self.state.facts().map(shown))
    }

    /// What it says of its bearer, if it opens anything at `now`.
    pub fn valid_at(&self, now: Timestamp) -> Option<&Facts> {
        self.state.valid_at(now)
    }
}
