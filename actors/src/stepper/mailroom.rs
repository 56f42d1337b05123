//! What stands in for the shards in a simulation: brings orders to entities, one live entity for each.
//!
//! It follows the same rules as a shard: an entity is started by its first order, finishes what it has before it leaves
//! memory, what comes meanwhile waits for its successor, and one that crashed is started again after a pause.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::Stepper;
use crate::{
    backoff,
    entity::{EntityArguments, EntityMessage, Gauges, TurnSource},
    host::Host,
    order::EntityRef,
    replay::Held,
    shard::{Resident, ShardMessage, tell},
};

/// The way to entities that are tasks of a stepper.
#[derive(Clone)]
pub(crate) struct Mailroom(Arc<Inner>);

struct Inner {
    stepper: Stepper,
    host: Arc<Host>,
    kinds: HashMap<&'static str, Arc<dyn TurnSource>>,
    restarts: Arc<AtomicU64>,
    slots: Mutex<BTreeMap<EntityRef, Slot>>,
}

/// What is known of one entity.
struct Slot {
    stage: Stage,
    gauges: Arc<Gauges>,
    crashes: u32,
    /// How many of it live; more than one is a bug.
    living: usize,
    /// Who is told when it has left.
    leave_takers: Vec<oneshot::Sender<()>>,
}

enum Stage {
    Live(UnboundedSender<EntityMessage>),
    Leaving(Vec<EntityMessage>),
    BackingOff(Vec<EntityMessage>),
}

impl Mailroom {
    pub(crate) fn new(
        stepper: Stepper,
        host: Arc<Host>,
        kinds: HashMap<&'static str, Arc<dyn TurnSource>>,
        restarts: Arc<AtomicU64>,
    ) -> Self {
        Self(Arc::new(Inner { stepper, host, kinds, restarts, slots: Mutex::default() }))
    }

    /// Does what a shard would be asked.
    pub(crate) fn take(&self, message: ShardMessage) {
        match message {
            ShardMessage::Deliver { entity, message } => self.send(entity, message),
            ShardMessage::Passivate { entity, reply } => drop(self.passivate(&entity, Some(reply))),
            ShardMessage::Show { entity, reply } => self.show(&entity, reply),
            ShardMessage::List { reply } => {
                let _ = reply.send(self.residents()); // The operator may have gone.
            }
            // What shards say to themselves, and the end of a process, which is the simulation's to choose.
            ShardMessage::Sweep | ShardMessage::Restart { .. } | ShardMessage::Drain => {}
        }
    }

    /// Brings a message to an entity, starting it if need be.
    fn send(&self, entity: EntityRef, message: EntityMessage) {
        let mut slots = self.lock();
        match slots.get_mut(&entity) {
            Some(Slot { stage: Stage::Leaving(waiting) | Stage::BackingOff(waiting), .. }) => {
                waiting.push(message);
            }
            Some(Slot { stage: Stage::Live(mailbox), gauges, .. }) => {
                gauges.depth.fetch_add(1, Ordering::Relaxed);
                drop(mailbox.send(message)); // Its reply port closes with it.
            }
            None => self.start(&mut slots, entity, 0, vec![message]),
        }
    }

    /// Lets an entity finish what it has and leave memory, and tells `leave_taker` when it has. One that is not in
    /// memory, or waits to be started after a crash, has left already. Returns whether it was live.
    pub(crate) fn passivate(&self, entity: &EntityRef, leave_taker: Option<oneshot::Sender<()>>) -> bool {
        let mut slots = self.lock();
        match slots.get_mut(entity) {
            Some(slot) if !matches!(slot.stage, Stage::BackingOff(_)) => {
                slot.leave_takers.extend(leave_taker);
                let is_live = matches!(slot.stage, Stage::Live(_));
                if is_live {
                    slot.stage = Stage::Leaving(Vec::new());
                }
                is_live
            }
            Some(_) | None => {
                tell(leave_taker);
                false
            }
        }
    }

    /// Asks an entity that is in memory what it holds there; it is not started for that.
    fn show(&self, entity: &EntityRef, reply: oneshot::Sender<Option<Held>>) {
        match self.lock().get(entity) {
            Some(Slot { stage: Stage::Live(mailbox), gauges, .. }) => {
                gauges.depth.fetch_add(1, Ordering::Relaxed);
                drop(mailbox.send(EntityMessage::Show { reply })); // Its reply port closes with it.
            }
            Some(_) | None => {
                let _ = reply.send(None); // Whoever asked may have gone.
            }
        }
    }

    pub(crate) fn residents(&self) -> Vec<Resident> {
        let slots = self.lock();
        let resident = |(entity, slot): (&EntityRef, &Slot)| Resident {
            entity: entity.clone(),
            mailbox_depth: slot.gauges.depth.load(Ordering::Relaxed),
            version: slot.gauges.version.load(Ordering::Relaxed),
            last_order_ms: slot.gauges.last_order_ms.load(Ordering::Relaxed),
            last_command: slot.gauges.last_command.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            restarts: slot.crashes,
            last_failure: None,
        };
        slots.iter().map(resident).collect()
    }

    fn start(
        &self,
        slots: &mut BTreeMap<EntityRef, Slot>,
        entity: EntityRef,
        crashes: u32,
        waiting: Vec<EntityMessage>,
    ) {
        let Some(kind) = self.0.kinds.get(entity.kind) else { return };
        let (mailbox, orders) = unbounded_channel();
        let gauges = Arc::new(Gauges::default());
        for message in waiting {
            gauges.depth.fetch_add(1, Ordering::Relaxed);
            drop(mailbox.send(message)); // The receiver is just below.
        }
        let arguments = EntityArguments {
            entity: entity.clone(),
            turns: kind.turns(entity.clone(), self.0.host.clone()),
            host: self.0.host.clone(),
            gauges: gauges.clone(),
        };
        let stage = Stage::Live(mailbox);
        let slot = Slot { stage, gauges, crashes, living: 0, leave_takers: Vec::new() };
        slots.insert(entity.clone(), slot);
        self.0.stepper.spawn(entity.kind, self.clone().live(entity, arguments, orders));
    }

    /// From its start to its end.
    async fn live(
        self,
        entity: EntityRef,
        mut arguments: EntityArguments,
        mut orders: UnboundedReceiver<EntityMessage>,
    ) {
        self.count(&entity, |living| living + 1);
        let mut crashed = false;
        while let Some(message) = orders.recv().await {
            if arguments.answer(message).await.is_err() {
                crashed = true;
                break;
            }
            if let Some(contradiction) = arguments.turns.contradiction() {
                self.0.stepper.contradict(contradiction);
            }
        }
        // What was in the mailbox of a crashed entity is asked again by whoever sent it.
        drop((orders, arguments));
        self.count(&entity, |living| living - 1);
        if crashed {
            let crashes = self.crash(&entity);
            self.0.host.runner.sleep(backoff::restart(crashes)).await;
        }
        self.succeed(entity);
    }

    fn crash(&self, entity: &EntityRef) -> u32 {
        let mut slots = self.lock();
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = slots.get_mut(entity) else { return 1 };
        slot.crashes += 1;
        tell(std::mem::take(&mut slot.leave_takers));
        let waiting = match std::mem::replace(&mut slot.stage, Stage::BackingOff(Vec::new())) {
            Stage::Leaving(waiting) | Stage::BackingOff(waiting) => waiting,
            Stage::Live(_) => Vec::new(),
        };
        slot.stage = Stage::BackingOff(waiting);
        slot.crashes
    }

    /// Starts the successor where somebody waits for one.
    fn succeed(&self, entity: EntityRef) {
        let mut slots = self.lock();
        let Some(slot) = slots.remove(&entity) else { return };
        assert_eq!(slot.living, 0, "{entity} lives twice");
        tell(slot.leave_takers);
        match slot.stage {
            Stage::Leaving(waiting) if waiting.is_empty() => {}
            Stage::Leaving(waiting) => self.start(&mut slots, entity, 0, waiting),
            Stage::BackingOff(waiting) => self.start(&mut slots, entity, slot.crashes, waiting),
            Stage::Live(_) => unreachable!("its mailbox is open"),
        }
    }

    fn count(&self, entity: &EntityRef, change: impl FnOnce(usize) -> usize) {
        if let Some(slot) = self.lock().get_mut(entity) {
            slot.living = change(slot.living);
            assert!(slot.living <= 1, "{entity} lives twice");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EntityRef, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
