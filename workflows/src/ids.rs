//! Identifiers: each a type of its own, so that one cannot stand in for another.
//!
//! All are UUIDv7, minted outside (`throughline-actors`, `clock`) and sorting by the time they were made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

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

    /// The id of the engine's `nth` message to a conversation, written at `at`.
    ///
    /// Derived for the same reason as [`MessageId::of_answer`]: the time is that of the writing, the rest comes from
    /// the conversation's random bits and the number.
    #[must_use]
    pub fn of_engine(conversation: ConversationId, nth: u64, at: Timestamp) -> Self {
        let [_, _, _, _, _, _, _, _, random @ ..] = *conversation.0.as_bytes();
        // A bijection of 64 bits (the finalizer of MurmurHash3), so that different numbers never collide.
        let mut mixed = u64::from_be_bytes(random) ^ nth.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        mixed ^= mixed >> 33;
        let bits = (u128::from(at.as_millis()) << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(mixed >> 2);
        Self(Uuid::from_u128(bits))
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

/// The spoken name of a long-running case: `TL-7K3M-9QX`.
///
/// Seven characters of Crockford's base32, which has no I, L, O and U; what sounds or looks alike is read alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaseId(String);

/// Crockford's base32 (<https://www.crockford.com/base32.html>).
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Why a text is not a case id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a case id such as TL-7K3M-9QX")]
pub struct CaseIdError(String);

impl CaseId {
    /// The case id of a resolution: 35 of its random bits.
    pub fn of(resolution: ResolutionId) -> Self {
        let [.., a, b, c, d, e] = *resolution.0.as_bytes();
        let mut bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        let mut letters = [0_u8; 7];
        for letter in letters.iter_mut().rev() {
            *letter = CROCKFORD[(bits & 31) as usize];
            bits >>= 5;
        }
        let text: String = letters.iter().map(|letter| char::from(*letter)).collect();
        let (first, last) = text.split_at(4);
        Self(format!("TL-{first}-{last}"))
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CaseId {
    type Err = CaseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || CaseIdError(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("TL").ok_or_else(wrong)?;
        let letters: Option<String> = bare
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .map(|c| match c {
                'O' => Some('0'),
                'I' | 'L' => Some('1'),
                other => (other.is_ascii() && CROCKFORD.contains(&(other as u8))).then_some(other),
            })
            .collect();
        let letters = letters.filter(|letters| letters.len() == 7).ok_or_else(wrong)?;
        let (first, last) = letters.split_at(4);
        Ok(Self(format!("TL-{first}-{last}")))
    }
}

impl TryFrom<String> for CaseId {
    type Error = CaseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CaseId> for String {
    fn from(case: CaseId) -> Self {
        case.0
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
