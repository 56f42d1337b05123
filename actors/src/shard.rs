//! A shard supervisor: the one place that starts entity actors, so that an entity has at most one.
//!
//! Spawned by the root supervisor, one for each part of the entities. It routes orders, restarts what crashed with
//! backoff, and passivates what is idle or too much. When an entity dies, its orders that had not begun are asked
//! again by whoever sent them; when a shard dies, the root starts it anew and its entities are replayed on demand.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    backoff,
    entity::{EntityActor, EntityArguments, EntityMessage, Gauges, TurnSource},
    host::Host,
    order::EntityRef,
    replay::Held,
};

/// A restart this long after the last one counts as the first again.
const FORGIVEN_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

/// What may be asked of a shard.
pub(crate) enum ShardMessage {
    /// Brings a message to an entity, starting it if need be.
    Deliver { entity: EntityRef, message: EntityMessage },
    /// Passivates what is idle.
    Sweep,
    /// The backoff of a crashed entity has passed.
    Restart { entity: EntityRef },
    /// Passivates one entity; answers when it has left.
    Passivate { entity: EntityRef, reply: oneshot::Sender<()> },
    /// Asks an entity that is in memory what it holds there; it is not started for that.
    Show { entity: EntityRef, reply: oneshot::Sender<Option<Held>> },
    /// Lists what is resident.
    List { reply: oneshot::Sender<Vec<Resident>> },
    /// Passivates everything and stops.
    Drain,
}

/// One resident entity, for operators.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    /// Which entity.
    pub entity: EntityRef,
    /// Orders sent and not yet answered.
    pub mailbox_depth: usize,
    /// Version after the last turn; 0 before the first.
    pub version: u64,
    /// Engine time of the last order, in milliseconds; 0 before the first.
    pub last_order_ms: u64,
    /// The name of the last order's command; empty before the first.
    pub last_command: String,
    /// Times it crashed and was started again since it became resident.
    pub restarts: u32,
    /// What the last crash said.
    pub last_failure: Option<String>,
}

pub(crate) struct ShardActor;

pub(crate) struct ShardArguments {
    pub(crate) host: Arc<Host>,
    pub(crate) kinds: Arc<HashMap<&'static str, Arc<dyn TurnSource>>>,
    pub(crate) resident_max: usize,
    /// Entities resident in this shard.
    pub(crate) resident: Arc<AtomicUsize>,
    /// Restarts over all shards since the start.
    pub(crate) restarts: Arc<AtomicU64>,
}

pub(crate) struct ShardState {
    shared: ShardArguments,
    slots: HashMap<EntityRef, Slot>,
    by_actor: HashMap<ActorId, EntityRef>,
    draining: bool,
}

/// What the shard knows of one entity.
struct Slot {
    stage: Stage,
    gauges: Arc<Gauges>,
    last_used: Instant,
    crashes: u32,
    last_crash: Option<Instant>,
    last_failure: Option<String>,
    /// Who is told when it has left.
    leave_takers: Vec<oneshot::Sender<()>>,
}

enum Stage {
    /// Its actor takes turns.
    Live(ActorRef<EntityMessage>),
    /// Its actor finishes what it has and stops; what comes meanwhile waits for the successor.
    Leaving(Vec<EntityMessage>),
    /// It crashed and is not started again yet.
    BackingOff(Vec<EntityMessage>),
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        shared: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let pause = (shared.host.options.idle_after / 4)
            .clamp(std::time::Duration::from_millis(50), std::time::Duration::from_secs(10));
        myself.send_interval(pause, || ShardMessage::Sweep);
        Ok(ShardState { shared, slots: HashMap::new(), by_actor: HashMap::new(), draining: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Deliver { entity, message } => state.deliver(&myself, entity, message).await,
            ShardMessage::Sweep => state.sweep(),
            ShardMessage::Restart { entity } => state.revive(&myself, &entity).await,
            ShardMessage::Passivate { entity, reply } => state.passivate(&entity, reply),
            ShardMessage::Show { entity, reply } => state.show(&entity, reply),
            ShardMessage::List { reply } => {
                let _ = reply.send(state.list()); // The operator may have gone.
            }
            ShardMessage::Drain => {
                state.draining = true;
                state.passivate_all();
                if state.slots.is_empty() {
                    myself.stop(None);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, ..) => state.gone(&myself, who.get_id()).await,
            SupervisionEvent::ActorFailed(who, error) => {
                state.crashed(&myself, who.get_id(), &error.to_string()).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        if state.draining && state.slots.is_empty() {
            myself.stop(None);
        }
        Ok(())
    }
}

impl ShardState {
    async fn deliver(&mut self, myself: &ActorRef<ShardMessage>, entity: EntityRef, message: EntityMessage) {
        if self.draining {
            return; // The closed reply port says that nothing began.
        }
        if !self.slots.contains_key(&entity) {
            self.make_room();
            if !self.start(myself, &entity, None).await {
                return;
            }
        }
        let Some(slot) = self.slots.get_mut(&entity) else { return };
        slot.last_used = Instant::now();
        let refused = match &mut slot.stage {
            Stage::Live(actor) => {
                slot.gauges.depth.fetch_add(1, Ordering::Relaxed);
                actor.send_message(message).err()
            }
            Stage::Leaving(waiting) | Stage::BackingOff(waiting) => {
                waiting.push(message);
                None
            }
        };
        // A refused send means that the actor is ending: its termination event comes next, and the successor
        // takes the message then.
        if let Some(ractor::MessagingErr::SendErr(message)) = refused {
            slot.stage = Stage::Leaving(vec![message]);
        }
    }

    /// Starts the entity's actor; `former` keeps the crash count of the one before.
    async fn start(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        entity: &EntityRef,
        former: Option<&Slot>,
    ) -> bool {
        let Some(kind) = self.shared.kinds.get(entity.kind) else {
            tracing::error!("entity.kind" = entity.kind, "no workflow of this kind is registered");
            return false;
        };
        let gauges = Arc::new(Gauges::default());
        let arguments = EntityArguments {
            entity: entity.clone(),
            turns: kind.turns(entity.clone(), self.shared.host.clone()),
            host: self.shared.host.clone(),
            gauges: gauges.clone(),
        };
        match Actor::spawn_linked(None, EntityActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.by_actor.insert(actor.get_id(), entity.clone());
                let slot = Slot {
                    stage: Stage::Live(actor),
                    gauges,
                    last_used: Instant::now(),
                    crashes: former.map_or(0, |slot| slot.crashes),
                    last_crash: former.and_then(|slot| slot.last_crash),
                    last_failure: former.and_then(|slot| slot.last_failure.clone()),
                    leave_takers: Vec::new(),
                };
                self.slots.insert(entity.clone(), slot);
                self.count_resident();
                true
            }
            Err(error) => {
                tracing::error!("entity.kind" = entity.kind, "entity.id" = %entity.id, %error, "an entity's actor could not be started");
                false
            }
        }
    }

    /// An actor ended as it should: its successor, if anyone waits for one, starts now.
    async fn gone(&mut self, myself: &ActorRef<ShardMessage>, actor: ActorId) {
        let Some(entity) = self.by_actor.remove(&actor) else { return };
        let Some(slot) = self.slots.remove(&entity) else { return };
        self.count_resident();
        tell(slot.leave_takers);
        let waiting = match slot.stage {
            Stage::Leaving(waiting) | Stage::BackingOff(waiting) => waiting,
            Stage::Live(_) => Vec::new(),
        };
        if !waiting.is_empty() && !self.draining && self.start(myself, &entity, None).await {
            self.hand_on(&entity, waiting);
        }
    }

    /// An actor crashed: it is started again after a pause that grows with its crashes.
    async fn crashed(&mut self, myself: &ActorRef<ShardMessage>, actor: ActorId, failure: &str) {
        let Some(entity) = self.by_actor.remove(&actor) else { return };
        if self.draining {
            self.slots.remove(&entity);
            return;
        }
        let Some(slot) = self.slots.get_mut(&entity) else { return };
        let recent = slot.last_crash.is_some_and(|crash| crash.elapsed() < FORGIVEN_AFTER);
        slot.crashes = if recent { slot.crashes + 1 } else { 1 };
        slot.last_crash = Some(Instant::now());
        slot.last_failure = Some(failure.to_owned());
        tell(std::mem::take(&mut slot.leave_takers));
        let pause = backoff::restart(slot.crashes);
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            "entity.kind" = entity.kind, "entity.id" = %entity.id, "tenant.id" = %entity.tenant,
            crashes = slot.crashes, restart_in_ms = pause.as_millis(), failure,
            "an entity crashed and will be replayed"
        );
        let waiting = match std::mem::replace(&mut slot.stage, Stage::BackingOff(Vec::new())) {
            Stage::Leaving(waiting) | Stage::BackingOff(waiting) => waiting,
            Stage::Live(_) => Vec::new(),
        };
        slot.stage = Stage::BackingOff(waiting);
        myself.send_after(pause, move || ShardMessage::Restart { entity });
    }

    async fn revive(&mut self, myself: &ActorRef<ShardMessage>, entity: &EntityRef) {
        let Some(slot) = self.slots.remove(entity) else { return };
        let Stage::BackingOff(_) = &slot.stage else {
            self.slots.insert(entity.clone(), slot);
            return;
        };
        if !self.draining && self.start(myself, entity, Some(&slot)).await {
            let Stage::BackingOff(waiting) = slot.stage else { return };
            self.hand_on(entity, waiting);
        }
        self.count_resident();
    }

    fn hand_on(&mut self, entity: &EntityRef, waiting: Vec<EntityMessage>) {
        if let Some(Slot { stage: Stage::Live(actor), gauges, .. }) = self.slots.get(entity) {
            for message in waiting {
                gauges.depth.fetch_add(1, Ordering::Relaxed);
                let _ = actor.send_message(message); // Just started; if it ended again, the sender asks again.
            }
        }
    }

    /// Lets an entity leave, whatever it has to do first. One that is not in memory, or waits to be started after a
    /// crash, has left already.
    fn passivate(&mut self, entity: &EntityRef, reply: oneshot::Sender<()>) {
        match self.slots.get_mut(entity) {
            Some(slot) if !matches!(slot.stage, Stage::BackingOff(_)) => {
                slot.leave();
                slot.leave_takers.push(reply);
            }
            Some(_) | None => tell([reply]),
        }
    }

    fn show(&self, entity: &EntityRef, reply: oneshot::Sender<Option<Held>>) {
        match self.slots.get(entity) {
            Some(Slot { stage: Stage::Live(actor), gauges, .. }) => {
                gauges.depth.fetch_add(1, Ordering::Relaxed);
                let _ = actor.send_message(EntityMessage::Show { reply }); // A closed port says that it ended.
            }
            Some(_) | None => {
                let _ = reply.send(None); // Whoever asked may have gone.
            }
        }
    }

    fn sweep(&mut self) {
        let idle_after = self.shared.host.options.idle_after;
        for slot in self.slots.values_mut() {
            if slot.last_used.elapsed() >= idle_after {
                slot.passivate();
            }
        }
    }

    /// Passivates the least recently used tenth when the shard is full.
    fn make_room(&mut self) {
        let most = self.shared.resident_max.max(1);
        if self.slots.len() < most {
            return;
        }
        let mut idle: Vec<_> = self.slots.values_mut().filter(|slot| slot.is_idle()).collect();
        idle.sort_by_key(|slot| slot.last_used);
        for slot in idle.into_iter().take(most / 10 + 1) {
            slot.passivate();
        }
    }

    fn passivate_all(&mut self) {
        self.slots.retain(|_, slot| !matches!(slot.stage, Stage::BackingOff(_)));
        for slot in self.slots.values_mut() {
            slot.leave();
        }
    }

    fn count_resident(&self) {
        self.shared.resident.store(self.slots.len(), Ordering::Relaxed);
    }

    fn list(&self) -> Vec<Resident> {
        self.slots
            .iter()
            .map(|(entity, slot)| Resident {
                entity: entity.clone(),
                mailbox_depth: slot.gauges.depth.load(Ordering::Relaxed),
                version: slot.gauges.version.load(Ordering::Relaxed),
                last_order_ms: slot.gauges.last_order_ms.load(Ordering::Relaxed),
                last_command: slot
                    .gauges
                    .last_command
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .clone(),
                restarts: slot.crashes,
                last_failure: slot.last_failure.clone(),
            })
            .collect()
    }
}

/// Tells those who wait for an entity to leave.
pub(crate) fn tell(leave_takers: impl IntoIterator<Item = oneshot::Sender<()>>) {
    for leave_taker in leave_takers {
        let _ = leave_taker.send(()); // They may have stopped waiting.
    }
}

impl Slot {
    fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Live(_)) && self.gauges.depth.load(Ordering::Relaxed) == 0
    }

    fn passivate(&mut self) {
        if self.is_idle() {
            self.leave();
        }
    }

    /// Lets the actor finish what is in its mailbox; `stop` would drop that.
    fn leave(&mut self) {
        if let Stage::Live(actor) = &self.stage {
            let _ = actor.drain(); // It may be ending already.
            self.stage = Stage::Leaving(Vec::new());
        }
    }
}
