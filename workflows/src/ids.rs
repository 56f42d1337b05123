//! Identifiers: each a type of its own, so that one cannot stand in for another.
//!
//! All are UUIDv7, minted outside (`throughline-actors`, `clock`) and sorting by the time they were made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

id! {
    /// A person who writes to us, over whatever channels.
    CustomerId,
    /// A conversation. It never ends, so the id is valid for ever.
    ConversationId,
    /// A long-running case.
    ResolutionId,
    /// One message of a conversation, inbound or outbound.
    MessageId,
    /// A person who answers customers.
    AgentId,
    /// A group of agents.
    TeamId,
    /// An API credential; the secret itself is never an id.
    TokenId,
    /// An internal note.
    NoteId,
    /// One act of an operator, as recorded.
    OperationId,
    /// A registered target of events.
    EndpointId,
    /// A configured schedule.
    ScheduleId,
}

impl MessageId {
    /// The id of the engine's own answer to this message.
    ///
    /// A decision can mint nothing, so the id is derived: the same message always has the same answer, which makes
    /// the turn repeatable. Only random bits are changed; the id keeps its time and stays a UUIDv7.
    #[must_use]
    pub fn of_answer(self) -> Self {
        let mut bytes = *self.0.as_bytes();
        for byte in &mut bytes[12..] {
            *byte ^= 0xA5;
        }
        Self(Uuid::from_bytes(bytes))
    }
}

/// A tenant's name: 1 to 63 of `a-z`, `0-9` and `-`, beginning with a letter or digit.
///
/// It stands in every stored key, so it can hold no separator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// The tenant of every path that names none.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a tenant's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit, not {0:?}")]
pub struct TenantIdError(String);

impl FromStr for TenantId {
    type Err = TenantIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 63 || text.starts_with('-') || !text.chars().all(legal) {
            return Err(TenantIdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
