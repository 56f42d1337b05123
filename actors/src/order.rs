//! What travels to an entity, and what comes back.
//!
//! An `Order` is a command in its envelope: who asks, what caused it, what pending work it settles, and what
//! else must be committed with its effect. The command itself is typed at both ends and opaque in between.

use std::{any::Any, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use throughline_storage::append::{
    CommitError, DeadLetter, LaneHold, LaneKey, NewInboxEntry, PendingActivity, PendingKey, RowChange,
    StreamId, Timer,
};
use throughline_workflows::{
    ids::TenantId,
    workflow::{By, Cause, Workflow},
};
use uuid::Uuid;

/// One entity of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    /// Whose it is.
    pub tenant: TenantId,
    /// The workflow's kind.
    pub kind: &'static str,
    /// Which one.
    pub id: Uuid,
}

impl EntityRef {
    /// The entity of workflow `W` with this id.
    pub(crate) fn of<W: Workflow>(tenant: &TenantId, id: Uuid) -> Self {
        Self { tenant: tenant.clone(), kind: W::KIND, id }
    }

    /// The entity's stream in the journal.
    pub fn stream(&self) -> StreamId {
        StreamId { tenant: self.tenant.to_string(), kind: self.kind.to_owned(), entity: self.id }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// A command of whichever workflow; shared, because an order may be delivered more than once.
pub(crate) type AnyCommand = Arc<dyn Any + Send + Sync>;

/// A command with everything that belongs to its effect.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) command: AnyCommand,
    pub(crate) meta: CommandMeta,
    /// Work that this order settles, in the same commit.
    pub(crate) consume: Vec<PendingKey>,
    /// What else is committed with the effect.
    pub(crate) along: Along,
    /// The timer that fired, where this is a firing.
    pub(crate) firing: Option<Timer>,
    /// What a rejection does to the work that this order settles.
    pub(crate) rejected: Rejected,
    /// Whether it waits while the entity is paused: the engine's own work does, what somebody asks for does not.
    pub(crate) yields: bool,
}

/// Who asks and why.
#[derive(Clone, Debug)]
pub struct CommandMeta {
    /// Who asks.
    pub by: By,
    /// What made them ask.
    pub cause: Cause,
    /// Joins everything that one message or request led to.
    pub correlation: Uuid,
    /// The caller's promise to repeat the same request under the same key.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key: the same key gives the same answer and one effect.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The caller's tenant, in which the key is kept: one key is one request, whichever tenant the request is about.
    pub tenant: TenantId,
    /// Credential, path and key, joined: unique among callers.
    pub key: String,
    /// A fingerprint of the request's body: the same key with another body is refused.
    pub fingerprint: [u8; 32],
    /// What the answer holds beside version and seq, as JSON text; repeated to whoever asks again.
    pub answer: String,
}

/// Changes that are committed together with a turn, or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Along {
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) inbox: Vec<NewInboxEntry>,
    pub(crate) activities: Vec<PendingActivity>,
    pub(crate) hold: Vec<LaneHold>,
    pub(crate) unhold: Vec<LaneKey>,
    pub(crate) rows: Vec<RowChange>,
}

/// What a rejection does to the work that an order settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The work stays: the caller decides anew.
    Keeps,
    /// The work is done: the entity has no use for it.
    Settles,
}

/// What a durable turn answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The entity's version after the turn.
    pub version: u64,
    /// The `seq` to wait for in order to see the turn in lists.
    pub seq: u64,
    /// The answer kept for the idempotency key, where this turn only repeats it.
    pub repeated: Option<String>,
}

/// Why an order had no effect.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The workflow refuses: its own rejection, boxed.
    Rejected(Arc<dyn Any + Send + Sync>),
    /// A claimed key belongs to someone else.
    Claimed { space: String, owner: Uuid },
    /// The work it settles has been done before.
    AlreadyDone,
    /// The same idempotency key came with another body.
    KeyReused,
    /// The turn panicked.
    Crashed { panic: String, version: u64 },
    /// Too much is waiting.
    Busy,
    /// The disk is nearly full.
    NoSpace(String),
    /// What would be written is larger than the store takes in one piece.
    TooLarge(String),
    /// The store can promise nothing any more.
    Failed(String),
    /// The entity's stored history cannot be read.
    Damaged(String),
    /// The entity is paused, and the work that the order settles waits.
    Paused,
    /// The engine is stopping.
    Draining,
    /// The order may or may not have had its effect.
    Unknown,
}

impl Refusal {
    /// Why another try of the same order will not help, and the version the entity was at; none where it may.
    pub(crate) fn poison(&self) -> Option<(String, u64)> {
        match self {
            Self::Crashed { panic, version } => Some((panic.clone(), *version)),
            Self::Damaged(reason) | Self::TooLarge(reason) => Some((reason.clone(), 0)),
            Self::Claimed { space, owner } => Some((format!("the {space} belongs to {owner}"), 0)),
            Self::Rejected(_)
            | Self::AlreadyDone
            | Self::KeyReused
            | Self::Busy
            | Self::NoSpace(_)
            | Self::Failed(_)
            | Self::Paused
            | Self::Draining
            | Self::Unknown => None,
        }
    }
}

/// What a failed commit means to whoever asked for the turn.
pub(crate) fn refusal_of(error: CommitError) -> Refusal {
    match error {
        CommitError::Conflict { .. } | CommitError::Busy => Refusal::Busy,
        CommitError::ClaimTaken { owner, .. } => {
            Refusal::Claimed { space: String::new(), owner: Uuid::from_slice(&owner).unwrap_or(Uuid::nil()) }
        }
        CommitError::AlreadyDone => Refusal::AlreadyDone,
        CommitError::NoSpace { .. } => Refusal::NoSpace(error.to_string()),
        CommitError::TooLarge { .. } => Refusal::TooLarge(error.to_string()),
        CommitError::Failed(reason) => Refusal::Failed(reason),
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
