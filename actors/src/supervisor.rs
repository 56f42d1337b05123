//! The root of the supervision tree, and the way to any entity.
//!
//! The root starts the shard supervisors and starts one anew when it dies. [`Registry`] knows which shard an entity
//! belongs to and sees an order through to an answer: an order whose entity died before beginning it is sent
//! again; one that had begun is sent again only where a second delivery cannot have a second effect.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

#[cfg(feature = "testing")]
use crate::stepper::mailroom::Mailroom;
use crate::{
    backoff,
    entity::{Delivery, EntityMessage, TurnSource},
    host::Host,
    order::{EntityRef, Order, Receipt, Refusal},
    replay::Held,
    runner::Elapsed,
    shard::{Resident, ShardActor, ShardArguments, ShardMessage},
};

/// Every shard's present actor, by its number.
type Shards = Arc<RwLock<Vec<ActorRef<ShardMessage>>>>;

/// The way to any entity.
#[derive(Clone)]
pub(crate) struct Registry {
    host: Arc<Host>,
    shards: Shards,
    resident: Arc<Vec<Arc<AtomicUsize>>>,
    restarts: Arc<AtomicU64>,
    closed: Arc<AtomicBool>,
    /// None in a simulation, which has no supervision tree.
    root: Option<ActorRef<RootMessage>>,
    #[cfg(feature = "testing")]
    mailroom: Option<Mailroom>,
}

impl Registry {
    /// Starts the supervision tree.
    pub(crate) async fn start(
        host: Arc<Host>,
        kinds: HashMap<&'static str, Arc<dyn TurnSource>>,
    ) -> Result<Self, ractor::SpawnErr> {
        #[cfg(feature = "testing")]
        if let Some(stepper) = host.runner.stepper.clone() {
            return Ok(Self::stepped(stepper, host, kinds));
        }
        let shards: Shards = Arc::default();
        let count = host.options.shards.max(1);
        let resident = Arc::new((0..count).map(|_| Arc::default()).collect::<Vec<_>>());
        let restarts = Arc::new(AtomicU64::new(0));
        let root = Root {
            host: host.clone(),
            kinds: Arc::new(kinds),
            shards: shards.clone(),
            resident: resident.clone(),
            restarts: restarts.clone(),
        };
        let (root, _) = Actor::spawn(None, root, ()).await?;
        Ok(Self {
            host,
            shards,
            resident,
            restarts,
            closed: Arc::default(),
            root: Some(root),
            #[cfg(feature = "testing")]
            mailroom: None,
        })
    }

    /// Without a supervision tree: entities are tasks of the stepper.
    #[cfg(feature = "testing")]
    fn stepped(
        stepper: crate::stepper::Stepper,
        host: Arc<Host>,
        kinds: HashMap<&'static str, Arc<dyn TurnSource>>,
    ) -> Self {
        let restarts = Arc::new(AtomicU64::new(0));
        let mailroom = Mailroom::new(stepper, host.clone(), kinds, restarts.clone());
        Self {
            host,
            shards: Arc::default(),
            resident: Arc::default(),
            restarts,
            closed: Arc::default(),
            root: None,
            mailroom: Some(mailroom),
        }
    }

    /// Lets an entity leave memory once it has finished what it has; returns whether it was there.
    #[cfg(feature = "testing")]
    pub(crate) fn send_away(&self, entity: &EntityRef) -> bool {
        self.mailroom.as_ref().is_some_and(|mailroom| mailroom.passivate(entity, None))
    }

    /// Sees an order through to its answer.
    pub(crate) async fn deliver(&self, entity: &EntityRef, order: &Order) -> Result<Receipt, Refusal> {
        let mut lost = 0;
        loop {
            let (reply, answer) = oneshot::channel();
            let started = Arc::new(AtomicBool::new(false));
            let delivery = Delivery {
                order: order.clone(),
                started: started.clone(),
                reply,
                span: tracing::Span::current(),
            };
            self.send(entity, EntityMessage::Take(Box::new(delivery)));
            match self.host.runner.timeout(self.host.options.turn_timeout, answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_closed)) if self.closed.load(Ordering::Acquire) => return Err(Refusal::Draining),
                Ok(Err(_closed)) => {
                    let twice_is_once = !order.consume.is_empty() || order.meta.idempotency.is_some();
                    if started.load(Ordering::Acquire) && !twice_is_once {
                        return Err(Refusal::Unknown);
                    }
                    lost += 1;
                    self.host.runner.sleep(backoff::hand_over(lost)).await;
                }
                Err(Elapsed) => return Err(Refusal::Unknown),
            }
        }
    }

    /// Returns when the supervision tree has ended, or the engine begins to drain.
    pub(crate) async fn ended(self) {
        let root = async {
            match &self.root {
                Some(root) => drop(root.wait(None).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.host.draining.cancelled() => {}
            () = root => {}
        }
    }

    /// Compares one entity's armed timers with its state.
    pub(crate) async fn rearm(&self, entity: &EntityRef) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(entity, EntityMessage::Rearm { reply });
        answer.await.unwrap_or(Err(Refusal::Unknown))
    }

    /// Takes an entity out of memory; returns when it has left, or has not finished what it does within the time for a
    /// turn.
    pub(crate) async fn passivate(&self, entity: &EntityRef) {
        let (reply, left) = oneshot::channel();
        self.tell(entity, ShardMessage::Passivate { entity: entity.clone(), reply });
        let _ = self.host.runner.timeout(self.host.options.turn_timeout, left).await; // A closed port: the shard ended.
    }

    /// What an entity holds in memory; none where it is not there.
    pub(crate) async fn held(&self, entity: &EntityRef) -> Option<Held> {
        let (reply, answer) = oneshot::channel();
        self.tell(entity, ShardMessage::Show { entity: entity.clone(), reply });
        self.host.runner.timeout(self.host.options.turn_timeout, answer).await.ok()?.ok()?
    }

    /// What is resident, over all shards.
    pub(crate) async fn residents(&self) -> Vec<Resident> {
        #[cfg(feature = "testing")]
        if let Some(mailroom) = &self.mailroom {
            return mailroom.residents();
        }
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all = Vec::new();
        for shard in shards {
            let (reply, answer) = oneshot::channel();
            if shard.send_message(ShardMessage::List { reply }).is_ok() {
                all.extend(answer.await.unwrap_or_default());
            }
        }
        all
    }

    /// How many entity actors are resident.
    pub(crate) fn resident_count(&self) -> usize {
        self.resident.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }

    /// How many restarts there were since the start.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Lets every entity finish what it has, then stops the tree.
    pub(crate) async fn drain(&self, patience: std::time::Duration) {
        self.closed.store(true, Ordering::Release);
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner).clone();
        for shard in &shards {
            let _ = shard.send_message(ShardMessage::Drain); // It may have ended.
        }
        let waits = shards.iter().map(|shard| shard.wait(Some(patience)));
        let late = futures::future::join_all(waits).await.into_iter().filter(Result::is_err).count();
        if late > 0 {
            tracing::warn!(
                shards = late,
                "some shards did not finish in time; what they had begun is pending and goes on at the next start"
            );
        }
        if let Some(root) = &self.root {
            root.stop(None);
        }
    }

    fn send(&self, entity: &EntityRef, message: EntityMessage) {
        self.tell(entity, ShardMessage::Deliver { entity: entity.clone(), message });
    }

    fn tell(&self, entity: &EntityRef, message: ShardMessage) {
        #[cfg(feature = "testing")]
        if let Some(mailroom) = &self.mailroom {
            return mailroom.take(message);
        }
        let shard = {
            let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
            let mut hasher = std::hash::DefaultHasher::new();
            entity.id.hash(&mut hasher);
            let at = usize::try_from(hasher.finish() % shards.len() as u64).unwrap_or(0);
            shards[at].clone()
        };
        // A shard that has ended drops the message, and the closed reply port says that nothing began.
        let _ = shard.send_message(message);
    }
}

/// The root supervisor.
struct Root {
    host: Arc<Host>,
    kinds: Arc<HashMap<&'static str, Arc<dyn TurnSource>>>,
    shards: Shards,
    resident: Arc<Vec<Arc<AtomicUsize>>>,
    restarts: Arc<AtomicU64>,
}

/// The root is asked nothing: it only watches.
pub(crate) enum RootMessage {}

impl Root {
    async fn start_shard(
        &self,
        number: usize,
        myself: &ActorRef<RootMessage>,
    ) -> Result<ActorRef<ShardMessage>, ActorProcessingErr> {
        let options = &self.host.options;
        let arguments = ShardArguments {
            host: self.host.clone(),
            kinds: self.kinds.clone(),
            resident_max: options.max_resident.div_ceil(options.shards.max(1)),
            resident: self.resident[number].clone(),
            restarts: self.restarts.clone(),
        };
        let (shard, _) = Actor::spawn_linked(None, ShardActor, arguments, myself.get_cell()).await?;
        Ok(shard)
    }
}

impl Actor for Root {
    type Msg = RootMessage;
    type State = HashMap<ActorId, usize>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let mut numbers = HashMap::new();
        for number in 0..self.resident.len() {
            let shard = self.start_shard(number, &myself).await?;
            numbers.insert(shard.get_id(), number);
            self.shards.write().unwrap_or_else(PoisonError::into_inner).push(shard);
        }
        Ok(numbers)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        numbers: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, error) = event
            && let Some(number) = numbers.remove(&who.get_id())
        {
            tracing::error!(shard = number, %error, "a shard supervisor died and is started again");
            self.restarts.fetch_add(1, Ordering::Relaxed);
            let shard = self.start_shard(number, &myself).await?;
            numbers.insert(shard.get_id(), number);
            self.shards.write().unwrap_or_else(PoisonError::into_inner)[number] = shard;
        }
        Ok(())
    }
}
