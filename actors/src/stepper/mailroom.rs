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

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Stepper;
use crate::{
    backoff,
    entity::{EntityArguments, EntityMessage, Gauges, TurnSource},
    host::Host,
    order::EntityRef,
    shard::Resident,
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

    /// Brings a message to an entity, starting it if need be.
    pub(crate) fn send(&self, entity: EntityRef, message: EntityMessage) {
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

    /// Lets an entity finish what it has and leave memory. Returns whether it was live.
    pub(crate) fn passivate(&self, entity: &EntityRef) -> bool {
        let mut slots = self.lock();
        match slots.get_mut(entity) {
            Some(slot) if matches!(slot.stage, Stage::Live(_)) => {
                slot.stage = Stage::Leaving(Vec::new());
                true
            }
            _ => false,
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
            turns: kind.turns(entity.clone(), self.0.host.clone()),
            host: self.0.host.clone(),
            gauges: gauges.clone(),
        };
        slots.insert(entity.clone(), Slot { stage: Stage::Live(mailbox), gauges, crashes, living: 0 });
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
