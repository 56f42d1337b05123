//! What the engine's tasks share: the registered workflows, the way to any entity, and what is done for all of them.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use throughline_storage::append::{
    Append, AppendClass, ClaimKey, ClaimLifetime, CommitError, DeadLetter, StreamId, Timer,
};
use throughline_workflows::ids::TenantId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    door::Door,
    host::Host,
    introspect::inspector::AnyInspector,
    order::{AnyCommand, EntityRef, Order, Refusal},
    performer::AnyPerformer,
    projector::{AnyView, Views},
    replay,
    retries::Trying,
    runner::Begun,
    supervisor::Registry,
};

/// What the engine's tasks share.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) registry: Registry,
    pub(crate) kinds: BTreeMap<&'static str, Kind>,
    pub(crate) views: Vec<Box<dyn AnyView>>,
    /// The views as they are read.
    pub(crate) lists: Views,
    /// Why the engine is broken, once it is.
    pub(crate) broken: watch::Sender<Option<String>>,
    /// The engine's tasks, until it drains.
    pub(crate) tasks: Mutex<Vec<Begun<()>>>,
    pub(crate) gauges: TaskGauges,
    /// Activities of which a try is under way, or that an operator is changing.
    pub(crate) trying: Trying,
    /// The comparison of all entities that there was last.
    pub(crate) replay: replay::Run,
    /// Reports of providers that found no message of ours.
    pub(crate) reports_dropped: AtomicU64,
    /// Held while the manual clock is being moved.
    pub(crate) advancing: tokio::sync::Mutex<()>,
    /// Held while a tenant's policy is being changed.
    pub(crate) policy_change: tokio::sync::Mutex<()>,
}

/// One registered workflow.
pub(crate) struct Kind {
    pub(crate) performer: Arc<dyn AnyPerformer>,
    pub(crate) inspector: Arc<dyn AnyInspector>,
    pub(crate) deadlines_revision: u32,
    /// Tells an entity of a changed policy, where the workflow wants to know.
    pub(crate) policy_changed: Option<AnyCommand>,
}

/// What the engine's tasks are busy with.
#[derive(Default)]
pub(crate) struct TaskGauges {
    intake: AtomicUsize,
    timers: AtomicUsize,
    activities: AtomicUsize,
    relayed: AtomicU64,
    pub(crate) door: Door,
    rest: Mutex<Option<Rest>>,
}

/// All that is in the inbox up to `reached` waits for paused entities, as of the `change` of pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) reached: u64,
    pub(crate) change: u64,
}

impl TaskGauges {
    pub(crate) fn intake_waiting(&self, count: usize) {
        self.intake.store(count, Ordering::Relaxed);
    }

    pub(crate) fn intake_rests(&self, rest: Option<Rest>) {
        *self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = rest;
    }

    /// Up to where the inbox holds nothing but what waits for paused entities.
    pub(crate) fn rest(&self) -> Option<Rest> {
        *self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn timers_in_flight(&self, count: usize) {
        self.timers.store(count, Ordering::Relaxed);
    }

    pub(crate) fn activities_in_flight(&self, count: usize) {
        self.activities.store(count, Ordering::Relaxed);
    }

    pub(crate) fn relayed_up_to(&self, seq: u64) {
        self.relayed.store(seq, Ordering::Relaxed);
    }

    /// Up to which `seq` endpoints have been told of events.
    pub(crate) fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// Messages read from the inbox, timers being fired, activities being performed.
    pub(crate) fn read(&self) -> (usize, usize, usize) {
        let read = |gauge: &AtomicUsize| gauge.load(Ordering::Relaxed);
        (read(&self.intake), read(&self.timers), read(&self.activities))
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

    /// Commits what must not be lost: it waits for room where too much is waiting. Work that was done before is done.
    pub(crate) async fn commit_essential(&self, append: Append) -> Result<(), CommitError> {
        debug_assert_eq!(append.class, AppendClass::Essential, "new inbound may be refused");
        match self.host.journal.commit(append).await {
            Ok(_) | Err(CommitError::AlreadyDone) => Ok(()),
            Err(error) => Err(error),
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
        match self.commit_essential(append).await {
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
        match self.commit_essential(append).await {
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
