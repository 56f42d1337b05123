//! The engine: the one handle through which the edge gives orders.
//!
//! [`EngineBuilder`] learns of the workflows by registration, then [`EngineBuilder::start`] brings up the supervision
//! tree, the intake, the timers, the activities and the projector, in that order. [`Engine::drain`] takes them
//! down again without losing anything.

mod builder;
pub(crate) mod policy;

pub use builder::{EngineBuilder, StartError};
pub use policy::added_tenants;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use throughline_storage::{
    append::{
        Append, AppendClass, ClaimChange, ClaimKey, ClaimLifetime, ClaimRequest, CommitError, NewInboxEntry,
    },
    blobs::BlobError,
    codec,
};
use throughline_workflows::{ids::TenantId, message::Inbound, time::Timestamp, workflow::Workflow};
use tokio::sync::watch;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    clock::{Clock, Stopwatch},
    intake::InboxItem,
    order::{Along, CommandMeta, EntityRef, Order, Receipt, Refusal, Rejected},
    projector::Views,
    shared::Shared,
};

/// Space of the claims by which a provider's message is taken once.
pub(crate) const INBOUND_SPACE: &str = "inbound";

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What the door is told when a message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is kept, and will be handled.
    New,
    /// The same provider's message was taken before; nothing has changed.
    Duplicate,
}

/// Why a message was not taken, or an order had no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError<R: std::error::Error> {
    /// The workflow refuses.
    #[error("{0}")]
    Rejected(R),
    /// A unique key belongs to another entity.
    #[error("the {space} belongs to {owner} already")]
    Claimed {
        /// What kind of key.
        space: String,
        /// Its owner.
        owner: Uuid,
    },
    /// The idempotency key was used before with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// The turn crashed; the command is kept as this dead letter.
    #[error("the command crashed its entity and is kept as dead letter {0}")]
    Crashed(Uuid),
    /// Too much is waiting; try again shortly.
    #[error("too much is waiting")]
    Busy,
    /// The disk is nearly full; nothing new is taken in.
    #[error("{0}")]
    NoSpace(String),
    /// What would be written is larger than the store takes in one piece.
    #[error("{0}")]
    TooLarge(String),
    /// The store has failed and the process is about to end.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// The entity's history cannot be read.
    #[error("damaged: {0}")]
    Damaged(String),
    /// An operator has paused the entity.
    #[error("it is paused")]
    Paused,
    /// The engine is stopping.
    #[error("the server is stopping")]
    Draining,
    /// It may or may not have had its effect: ask again with the same idempotency key.
    #[error("the outcome is unknown; repeat the request with the same Idempotency-Key")]
    Unknown,
}

impl<R: std::error::Error + Clone + 'static> SendError<R> {
    pub(crate) fn from_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => match rejection.downcast_ref::<R>() {
                Some(rejection) => Self::Rejected(rejection.clone()),
                None => Self::Unknown,
            },
            Refusal::Claimed { space, owner } => Self::Claimed { space, owner },
            Refusal::KeyReused => Self::KeyReused,
            Refusal::Busy => Self::Busy,
            Refusal::NoSpace(detail) => Self::NoSpace(detail),
            Refusal::TooLarge(detail) => Self::TooLarge(detail),
            Refusal::Failed(detail) => Self::Failed(detail),
            Refusal::Damaged(detail) => Self::Damaged(detail),
            Refusal::Paused => Self::Paused,
            Refusal::Draining => Self::Draining,
            Refusal::AlreadyDone | Refusal::Crashed { .. } | Refusal::Unknown => Self::Unknown,
        }
    }
}

impl Engine {
    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        self.shared.host.clock.now()
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.host.clock
    }

    /// A new id.
    pub fn mint(&self) -> Uuid {
        self.shared.host.minter.mint()
    }

    /// Unguessable bytes, for secrets.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.shared.host.minter.fill(bytes);
    }

    /// Why the engine is broken, if it is: nothing new is carried on, and only a new start helps.
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.shared.broken.subscribe()
    }

    /// The lists.
    pub fn views(&self) -> &Views {
        &self.shared.lists
    }

    /// Keeps an inbound message. When this answers, the message is durable and will be handled.
    ///
    /// `blobs` are what the message names: they are made durable first.
    ///
    /// # Errors
    /// [`SendError`] if it could not be made durable; the provider must send it again.
    pub async fn receive(
        &self,
        tenant: &TenantId,
        inbound: Inbound,
        blobs: Vec<(String, Bytes)>,
        correlation: Uuid,
    ) -> Result<Accepted, SendError<std::convert::Infallible>> {
        let host = &self.shared.host;
        if host.draining.is_cancelled() {
            return Err(SendError::Draining);
        }
        let key = ClaimKey {
            tenant: tenant.to_string(),
            space: INBOUND_SPACE.to_owned(),
            key: short_key(&format!("{}:{}", inbound.channel, inbound.provider_message_id)),
            lifetime: ClaimLifetime::Periodic { at_ms: host.clock.now().as_millis() },
        };
        if !blobs.is_empty() {
            // The commit decides; but what it would refuse must not fill the disk with blobs first.
            let known = host.journal.claim(&key).map_err(|error| SendError::Damaged(error.to_string()))?;
            if known.is_some() {
                host.journal
                    .barrier()
                    .await
                    .map_err(crate::order::refusal_of)
                    .map_err(SendError::from_refusal)?;
                return Ok(Accepted::Duplicate);
            }
            host.journal
                .admits_inbound()
                .map_err(crate::order::refusal_of)
                .map_err(SendError::from_refusal)?;
        }
        let names = blobs.iter().map(|(key, _)| key.clone()).collect();
        for (key, content) in blobs {
            host.blobs.put(&key, content).await.map_err(|error| SendError::NoSpace(error.to_string()))?;
        }
        let claim =
            ClaimRequest { key, change: ClaimChange::TakeOnce { owner: inbound.id.0.as_bytes().to_vec() } };
        let item = InboxItem { correlation, retried: false, inbound };
        let append = Append {
            claims: vec![claim],
            inbox: vec![NewInboxEntry { tenant: tenant.to_string(), bytes: codec::encode(&item) }],
            blobs: names,
            class: AppendClass::Inbound,
            ..Append::default()
        };
        let span = tracing::debug_span!("inbox.commit", "tenant.id" = %tenant, "trace.id" = %correlation);
        let at_the_door = self.shared.gauges.door.enter(host.runner.now());
        let committed = host.journal.commit(append).instrument(span).await;
        drop(at_the_door);
        match committed {
            Ok(_) => Ok(Accepted::New),
            Err(CommitError::ClaimTaken { .. }) => Ok(Accepted::Duplicate),
            Err(error) => Err(SendError::from_refusal(crate::order::refusal_of(error))),
        }
    }

    /// Gives an entity a command. When this answers, the effect is durable or there is none.
    ///
    /// # Errors
    /// [`SendError`]; with [`SendError::Unknown`] only, the effect may have happened.
    pub async fn send<W: Workflow>(
        &self,
        tenant: &TenantId,
        id: Uuid,
        command: W::Command,
        meta: CommandMeta,
    ) -> Result<Receipt, SendError<W::Rejection>> {
        if self.shared.host.draining.is_cancelled() {
            return Err(SendError::Draining);
        }
        if !self.shared.kinds.contains_key(W::KIND) {
            return Err(SendError::Damaged(format!("no workflow of kind {} is registered", W::KIND)));
        }
        let entity = EntityRef::of::<W>(tenant, id);
        let order = Order {
            command: Arc::new(command),
            meta,
            consume: Vec::new(),
            along: Along::default(),
            firing: None,
            rejected: Rejected::Keeps,
            yields: false,
        };
        match self.shared.registry.deliver(&entity, &order).await {
            Ok(receipt) => Ok(receipt),
            Err(Refusal::Crashed { panic, version }) => {
                let letter = self.shared.bury_command(&entity, version, &order, panic).await;
                Err(letter.map_or(SendError::Unknown, SendError::Crashed))
            }
            Err(refusal) => Err(SendError::from_refusal(refusal)),
        }
    }

    /// A tenant's blob; none where there is no such blob of this tenant.
    ///
    /// # Errors
    /// What the blob store says.
    pub async fn blob(&self, tenant: &TenantId, key: &str) -> Result<Option<Bytes>, String> {
        if !is_of(tenant, key) {
            return Ok(None);
        }
        match self.shared.host.blobs.get(key).await {
            Ok(content) => Ok(Some(content)),
            Err(BlobError::Missing(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Who owns a unique key, once that is durable.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn owner(&self, tenant: &TenantId, space: &str, key: &str) -> Result<Option<Uuid>, String> {
        let owner = self.shared.claim_owner(tenant, space, key).map_err(|refusal| format!("{refusal:?}"))?;
        self.shared.host.journal.barrier().await.map_err(|error| error.to_string())?;
        Ok(owner)
    }

    /// Stops taking work, lets what has begun finish, and closes the journal. What was cut off is pending and goes
    /// on at the next start.
    ///
    /// # Errors
    /// What the store says if its last sync fails.
    pub async fn drain(&self) -> Result<(), String> {
        let host = &self.shared.host;
        let watch = Stopwatch::start();
        host.draining.cancel();
        let tasks =
            std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let all = futures::future::join_all(tasks);
        if host.runner.timeout(host.options.drain_timeout, all).await.is_err() {
            tracing::warn!("some work did not finish in time; it is pending and goes on at the next start");
        }
        let left = host.options.drain_timeout.saturating_sub(watch.elapsed());
        self.shared.registry.drain(left.max(Duration::from_secs(1))).await;
        host.journal.close().await.map_err(|error| error.to_string())
    }
}

/// Whether a blob's key is one of the tenant's: the keys of all tenants stand in one space.
pub fn is_of(tenant: &TenantId, blob: &str) -> bool {
    blob.strip_prefix(tenant.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// A claim's key: the text itself while it is short, its hash when a provider makes it long.
pub(crate) fn short_key(text: &str) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    if text.len() <= 200 { text.as_bytes().to_vec() } else { Sha256::digest(text.as_bytes()).to_vec() }
}
