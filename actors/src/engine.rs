//! The engine: the one handle through which the edge gives orders.
//!
//! [`EngineBuilder`] learns of the workflows by registration, then [`EngineBuilder::start`] brings up the supervision
//! tree, the intake, the timers, the activities and the projector, in that order. [`Engine::drain`] takes them
//! down again without losing anything.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use throughline_storage::{
    append::{
        Append, AppendClass, ClaimChange, ClaimKey, ClaimLifetime, ClaimRequest, CommitError, DeadLetter,
        NewInboxEntry, StreamId, Timer,
    },
    blobs::{BlobError, Blobs},
    codec,
    journal::Journal,
};
use throughline_workflows::{
    ids::TenantId, message::Inbound, policy::Policy, time::Timestamp, views::View, workflow::Workflow,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    activities,
    clock::{Clock, Minter},
    entity::{TurnSource, TurnsOf},
    host::{EngineOptions, Host},
    intake::{self, InboxItem},
    introspect::{AnyInspector, InspectorOf},
    order::{Along, AnyCommand, CommandMeta, EntityRef, Order, Receipt, Refusal, Rejected},
    performer::{AnyPerformer, Performer, PerformerOf},
    projector::{self, AnyView, ViewOf, Views, ViewsByKind},
    supervisor::Registry,
    timers,
};

/// Space of the claims by which a provider's message is taken once.
const INBOUND_SPACE: &str = "inbound";

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    views: Views,
    tasks: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

/// What the engine's tasks share.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) registry: Registry,
    pub(crate) kinds: HashMap<&'static str, Kind>,
    pub(crate) views: Vec<Box<dyn AnyView>>,
    pub(crate) gauges: TaskGauges,
    /// Held while the manual clock is being moved.
    pub(crate) advancing: tokio::sync::Mutex<()>,
}

/// One registered workflow.
pub(crate) struct Kind {
    pub(crate) performer: Arc<dyn AnyPerformer>,
    pub(crate) inspector: Arc<dyn AnyInspector>,
    deadlines_revision: u32,
}

/// What the engine's tasks are busy with.
#[derive(Default)]
pub(crate) struct TaskGauges {
    intake: AtomicUsize,
    timers: AtomicUsize,
    activities: AtomicUsize,
}

impl TaskGauges {
    pub(crate) fn intake_waiting(&self, count: usize) {
        self.intake.store(count, Ordering::Relaxed);
    }

    pub(crate) fn timers_in_flight(&self, count: usize) {
        self.timers.store(count, Ordering::Relaxed);
    }

    pub(crate) fn activities_in_flight(&self, count: usize) {
        self.activities.store(count, Ordering::Relaxed);
    }

    /// Messages read from the inbox, timers being fired, activities being performed.
    pub(crate) fn read(&self) -> (usize, usize, usize) {
        let read = |gauge: &AtomicUsize| gauge.load(Ordering::Relaxed);
        (read(&self.intake), read(&self.timers), read(&self.activities))
    }
}

/// Puts an engine together.
pub struct EngineBuilder {
    journal: Journal,
    blobs: Arc<Blobs>,
    clock: Clock,
    minter: Option<Minter>,
    options: EngineOptions,
    policies: BTreeMap<TenantId, Arc<Policy>>,
    turns: HashMap<&'static str, Arc<dyn TurnSource>>,
    kinds: HashMap<&'static str, Kind>,
    views: Vec<Box<dyn AnyView>>,
}

impl EngineBuilder {
    /// An engine over `journal` and `blobs`, in the time of `clock`.
    pub fn new(journal: Journal, blobs: Arc<Blobs>, clock: Clock) -> Self {
        Self {
            journal,
            blobs,
            clock,
            minter: None,
            options: EngineOptions::default(),
            policies: BTreeMap::new(),
            turns: HashMap::new(),
            kinds: HashMap::new(),
            views: Vec::new(),
        }
    }

    /// The engine's limits.
    #[must_use]
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// The tenants and their settings.
    #[must_use]
    pub fn policies(mut self, policies: impl IntoIterator<Item = (TenantId, Policy)>) -> Self {
        self.policies = policies.into_iter().map(|(tenant, policy)| (tenant, Arc::new(policy))).collect();
        self
    }

    /// Where ids come from; the operating system's chance unless said otherwise.
    #[must_use]
    pub fn minter(mut self, minter: Minter) -> Self {
        self.minter = Some(minter);
        self
    }

    /// Registers a workflow and who performs its activities.
    #[must_use]
    pub fn workflow<W: Workflow>(mut self, performer: impl Performer<W>) -> Self {
        self.turns.insert(W::KIND, Arc::new(TurnsOf::<W>(PhantomData)));
        let kind = Kind {
            performer: Arc::new(PerformerOf::<W, _> { performer, of: PhantomData }),
            inspector: Arc::new(InspectorOf::<W>(PhantomData)),
            deadlines_revision: W::DEADLINES_REVISION,
        };
        self.kinds.insert(W::KIND, kind);
        self
    }

    /// Registers a view, to be fed from the journal.
    #[must_use]
    pub fn view<V: View>(mut self) -> Self {
        self.views.push(Box::new(ViewOf::<V>(PhantomData)));
        self
    }

    /// Brings the engine up.
    ///
    /// # Errors
    /// [`StartError`] if the supervision tree does not start.
    pub async fn start(self) -> Result<Engine, StartError> {
        let minter = self.minter.unwrap_or_else(|| Minter::new(self.clock.clone()));
        let host = Arc::new(Host {
            journal: self.journal,
            blobs: self.blobs,
            clock: self.clock,
            minter,
            policies: self.policies,
            no_policy: Arc::new(Policy::default()),
            options: self.options,
            draining: CancellationToken::new(),
        });
        let registry =
            Registry::start(host.clone(), self.turns).await.map_err(|error| StartError(error.to_string()))?;
        let gauges = TaskGauges::default();
        let shared = Arc::new(Shared {
            host: host.clone(),
            registry,
            kinds: self.kinds,
            views: self.views,
            gauges,
            advancing: tokio::sync::Mutex::new(()),
        });
        let (projected, reached) = watch::channel(0);
        let tasks = vec![
            tokio::spawn(intake::run(shared.clone())),
            tokio::spawn(timers::run(shared.clone())),
            tokio::spawn(activities::run(shared.clone())),
            tokio::spawn(projector::run(shared.clone(), projected)),
            tokio::spawn(crate::upkeep::run(shared.clone())),
            tokio::spawn(stop_when_failed(host.clone())),
        ];
        let views = Views::new(host.journal.clone(), reached);
        Ok(Engine { shared, views, tasks: Arc::new(std::sync::Mutex::new(tasks)) })
    }
}

/// Why the engine did not start.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the supervision tree did not start: {0}")]
pub struct StartError(String);

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
    /// The store has failed and the process is about to end.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// The entity's history cannot be read.
    #[error("damaged: {0}")]
    Damaged(String),
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
            Refusal::Failed(detail) => Self::Failed(detail),
            Refusal::Damaged(detail) => Self::Damaged(detail),
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

    /// The lists.
    pub fn views(&self) -> &Views {
        &self.views
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
        let names = blobs.iter().map(|(key, _)| key.clone()).collect();
        for (key, content) in blobs {
            host.blobs.put(&key, content).await.map_err(|error| SendError::NoSpace(error.to_string()))?;
        }
        let claim = ClaimRequest {
            key: ClaimKey {
                tenant: tenant.to_string(),
                space: INBOUND_SPACE.to_owned(),
                key: short_key(&format!("{}:{}", inbound.channel, inbound.provider_message_id)),
                lifetime: ClaimLifetime::Periodic { at_ms: host.clock.now().as_millis() },
            },
            change: ClaimChange::TakeOnce { owner: inbound.id.0.as_bytes().to_vec() },
        };
        let item = InboxItem { correlation, retried: false, inbound };
        let append = Append {
            claims: vec![claim],
            inbox: vec![NewInboxEntry { tenant: tenant.to_string(), bytes: codec::encode(&item) }],
            blobs: names,
            class: AppendClass::Inbound,
            ..Append::default()
        };
        match host.journal.commit(append).await {
            Ok(_) => Ok(Accepted::New),
            Err(CommitError::ClaimTaken { .. }) => Ok(Accepted::Duplicate),
            Err(error) => Err(SendError::from_refusal(crate::turn::refusal_of(error))),
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
        let entity = entity_ref::<W>(tenant, id);
        let order = Order {
            command: Arc::new(command),
            meta,
            consume: Vec::new(),
            along: Along::default(),
            firing: None,
            rejected: Rejected::Keeps,
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

    /// Keeps a blob.
    ///
    /// # Errors
    /// What the blob store says.
    pub async fn blob(&self, key: &str) -> Result<Option<Bytes>, String> {
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
        host.draining.cancel();
        let tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let all = futures::future::join_all(tasks);
        if tokio::time::timeout(host.options.drain_timeout, all).await.is_err() {
            tracing::warn!("some work did not finish in time; it is pending and goes on at the next start");
        }
        self.shared.registry.drain().await;
        host.journal.close().await.map_err(|error| error.to_string())
    }
}

impl Shared {
    /// The command that a timer delivers, and to whom; none where its workflow or name is not part of this build.
    pub(crate) fn timer_command(&self, timer: &Timer) -> Option<(EntityRef, AnyCommand)> {
        let entity = self.entity_of(&timer.key.stream)?;
        let command = self.kinds.get(entity.kind)?.inspector.deadline_command(&timer.key.name)?;
        Some((entity, command))
    }

    /// Who performs for an entity.
    pub(crate) fn performer(&self, stream: &StreamId) -> Option<(EntityRef, Arc<dyn AnyPerformer>)> {
        let entity = self.entity_of(stream)?;
        let performer = self.kinds.get(entity.kind)?.performer.clone();
        Some((entity, performer))
    }

    /// The entity of a stream, where its workflow is registered.
    pub(crate) fn entity_of(&self, stream: &StreamId) -> Option<EntityRef> {
        let (kind, _) = self.kinds.get_key_value(stream.kind.as_str())?;
        Some(EntityRef { tenant: stream.tenant.parse().ok()?, kind, id: stream.entity })
    }

    /// What a rejection says.
    pub(crate) fn rejection_text(&self, kind: &str, rejection: &Arc<dyn Any + Send + Sync>) -> String {
        self.kinds
            .get(kind)
            .and_then(|kind| kind.inspector.rejection_text(&**rejection))
            .unwrap_or_else(|| "rejected".to_owned())
    }

    /// The owner of a permanent claim.
    pub(crate) fn claim_owner(
        &self,
        tenant: &TenantId,
        space: &str,
        key: &str,
    ) -> Result<Option<Uuid>, Refusal> {
        let key = ClaimKey {
            tenant: tenant.to_string(),
            space: space.to_owned(),
            key: key.as_bytes().to_vec(),
            lifetime: ClaimLifetime::Permanent,
        };
        let owner = self.host.journal.claim(&key).map_err(|error| Refusal::Damaged(error.to_string()))?;
        Ok(owner.and_then(|owner| Uuid::from_slice(&owner).ok()))
    }

    /// The places of the views of each kind.
    pub(crate) fn views_by_kind(&self) -> ViewsByKind {
        let mut by_kind = ViewsByKind::new();
        for (place, view) in self.views.iter().enumerate() {
            by_kind.entry(view.kind()).or_insert_with(|| (view.kind(), Vec::new())).1.push(place);
        }
        by_kind
    }

    /// Commits what must not be lost: while too much is waiting it is handed over again. Work that was done before
    /// is done.
    pub(crate) async fn commit_patiently(&self, append: Append) -> Result<(), CommitError> {
        let mut tries = 0;
        loop {
            match self.host.journal.commit(append.clone()).await {
                Ok(_) | Err(CommitError::AlreadyDone) => return Ok(()),
                Err(CommitError::Busy) => {
                    tries += 1;
                    tokio::time::sleep(crate::backoff::hand_over(tries)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps a command that crashed its entity, for reading. None if even that fails.
    pub(crate) async fn bury_command(
        &self,
        entity: &EntityRef,
        version: u64,
        order: &Order,
        panic: String,
    ) -> Option<Uuid> {
        let letter = self.command_letter(entity, version, order, panic, 1);
        let id = letter.id;
        let append = Append { dead_letters: vec![letter], ..Append::default() };
        match self.commit_patiently(append).await {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::error!(%error, "a crashed command could not be kept as a dead letter");
                None
            }
        }
    }

    /// Keeps an outcome that crashes its entity again and again, and lets go of the work it settles.
    pub(crate) async fn bury_outcome(
        &self,
        entity: &EntityRef,
        version: u64,
        order: &Order,
        panic: String,
        attempts: u32,
    ) {
        let letter = self.command_letter(entity, version, order, panic, attempts);
        let append = Append {
            consume: order.consume.clone(),
            dead_letters: vec![letter],
            unhold: order.along.unhold.clone(),
            ..Append::default()
        };
        match self.commit_patiently(append).await {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "a crashing outcome could not be kept as a dead letter"),
        }
    }

    fn command_letter(
        &self,
        entity: &EntityRef,
        version: u64,
        order: &Order,
        panic: String,
        attempts: u32,
    ) -> DeadLetter {
        let shown = self
            .kinds
            .get(entity.kind)
            .and_then(|kind| kind.inspector.command_json(&*order.command))
            .unwrap_or(serde_json::Value::Null);
        DeadLetter {
            id: self.host.minter.mint(),
            tenant: entity.tenant.to_string(),
            at_ms: self.host.clock.now().as_millis(),
            kind: "command".to_owned(),
            stream: Some((entity.stream(), version)),
            reason: crate::dead_letters::reason(panic),
            attempts,
            payload: shown.to_string().into_bytes(),
        }
    }
}

/// Stops all work once the store has failed: what cannot be recorded must not be done.
async fn stop_when_failed(host: Arc<Host>) {
    let mut progress = host.journal.progress();
    tokio::select! {
        () = host.draining.cancelled() => {}
        _ = progress.wait_for(|progress| progress.failed.is_some()) => host.draining.cancel(),
    }
}

/// The entity of workflow `W` with this id.
pub(crate) fn entity_ref<W: Workflow>(tenant: &TenantId, id: Uuid) -> EntityRef {
    EntityRef { tenant: tenant.clone(), kind: W::KIND, id }
}

/// A claim's key: the text itself while it is short, its hash when a provider makes it long.
fn short_key(text: &str) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    if text.len() <= 200 { text.as_bytes().to_vec() } else { Sha256::digest(text.as_bytes()).to_vec() }
}

impl Kind {
    pub(crate) fn deadlines_revision(&self) -> u32 {
        self.deadlines_revision
    }
}
