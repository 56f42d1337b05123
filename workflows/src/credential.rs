//! A credential: what proves who calls. The secret is shown once by whoever made it; only its hash comes here.
//!
//! The claim `credential` leads from the hash to its record. A revoked credential keeps it, so that the same secret
//! can never be given out again.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Create` | none | `Created`; takes `credential` |
//! | | the same hash | nothing |
//! | | another | refused: exists |
//! | `Revoke` | valid | `Revoked` |
//! | | revoked | nothing |
//! | | none | refused: unknown |

use serde::{Deserialize, Serialize, Serializer};

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::{AgentId, TokenId},
    record::checked_name,
    role::Role,
    time::Timestamp,
    words::words,
    workflow::{ActivityError, Claim, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// The unique key: the hash of a secret leads to its credential.
pub const CREDENTIAL: &str = "credential";

/// What stands for a hash wherever people read.
const HIDDEN: &str = "hidden";

/// The workflow of one credential.
#[derive(Clone, Copy, Debug)]
pub struct Credential;

words! {
    /// What a credential opens beyond its role.
    CredentialKind, "a kind of credential" {
        /// The API of its tenant.
        Token = "token",
        /// Also the whole server: system, tenants, metrics.
        Operator = "operator",
    }
}

/// An order to one credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new credential.
    Create {
        /// Its id.
        token_id: TokenId,
        /// What its bearer may do.
        role: Role,
        /// What it opens beyond that.
        kind: CredentialKind,
        /// Its name, to tell it from others.
        name: String,
        /// The agent who bears it, if a person does.
        agent_id: Option<AgentId>,
        /// From when on it opens nothing.
        expires_at: Option<Timestamp>,
        /// The hash of the secret, as text.
        #[serde(serialize_with = "hidden_from_people")]
        secret_hash: String,
    },
    /// It opens nothing any more.
    Revoke,
}

/// A fact about one credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was made.
    Created {
        /// When.
        at: Timestamp,
        /// All of it.
        credential: Box<Facts>,
    },
    /// It was revoked.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

/// A credential's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    made: Option<Box<Facts>>,
    revoked_at: Option<Timestamp>,
}

/// What is known of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: TokenId,
    /// What its bearer may do.
    pub role: Role,
    /// What it opens beyond that.
    pub kind: CredentialKind,
    /// Its name.
    pub name: String,
    /// The agent who bears it, if a person does.
    pub agent_id: Option<AgentId>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// The hash of the secret.
    #[serde(serialize_with = "hidden_from_people")]
    pub secret_hash: String,
}

/// The hash as it is stored, and another word wherever people read.
fn hidden_from_people<S: Serializer>(hash: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = if serializer.is_human_readable() { HIDDEN } else { hash };
    serializer.serialize_str(shown)
}

impl State {
    /// What is known; none before the first event.
    pub fn facts(&self) -> Option<&Facts> {
        self.made.as_deref()
    }

    /// When it was revoked, if it was.
    pub fn revoked_at(&self) -> Option<Timestamp> {
        self.revoked_at
    }

    /// What it says of its bearer, if it opens anything at `now`.
    pub fn valid_at(&self, now: Timestamp) -> Option<&Facts> {
        self.facts().filter(|facts| {
            self.revoked_at.is_none() && facts.expires_at.is_none_or(|expires_at| now < expires_at)
        })
    }
}

impl Workflow for Credential {
    const KIND: &'static str = "credential";
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
            (None, Command::Create { token_id, role, kind, name, agent_id, expires_at, secret_hash }) => {
                let name = checked_name("name", &name)?;
                if expires_at.is_some_and(|at| at <= cx.now) {
                    return Err(Rejection::invalid("expires_at", format!("later than now, {}", cx.now)));
                }
                let claim = Claim::take(CREDENTIAL, secret_hash.clone());
                let credential =
                    Box::new(Facts { id: token_id, role, kind, name, agent_id, expires_at, secret_hash });
                Ok(Decision::event(Event::Created { at: cx.now, credential }).claim(claim))
            }
            (Some(facts), Command::Create { token_id, secret_hash, .. }) => {
                if (facts.id, &facts.secret_hash) == (token_id, &secret_hash) {
                    return Ok(Decision::nothing());
                }
                Err(Rejection::Exists { kind: Self::KIND })
            }
            (Some(_), Command::Revoke) if state.revoked_at.is_some() => Ok(Decision::nothing()),
            (Some(_), Command::Revoke) => Ok(Decision::event(Event::Revoked { at: cx.now })),
            (None, Command::Revoke) => Err(Rejection::Unknown { kind: Self::KIND }),
        }
    }

    fn evolve(state: &mut State, event: &Event) {
        match event {
            Event::Created { credential, .. } => state.made = Some(credential.clone()),
            Event::Revoked { at } => state.revoked_at = Some(*at),
        }
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        // Expiry needs no timer: whoever asks compares it with the time of asking.
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
            Event::Revoked { .. } => "revoked",
        };
        EventType { name, version: 1 }
    }
}
