//! The actor around an entity's turns.
//!
//! Spawned by a shard supervisor, which alone may do so; owns one [`Turn`](crate::turn) and nothing else. It reads its
//! history at its first message. When a turn crashes it answers whoever asked, then dies: being replayed from the
//! journal is the repair. Dying loses nothing, since nothing counts before its commit.

use std::{
    fmt::{self, Write as _},
    marker::PhantomData,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use throughline_workflows::{time::Timestamp, workflow::Workflow};
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::{
    host::Host,
    order::{EntityRef, Order, Receipt, Refusal},
    replay::Held,
    turn::Turn,
};

/// The turns of an entity, of whichever workflow.
pub(crate) trait AnyTurn: Send {
    fn take<'a>(&'a mut self, order: &'a Order) -> BoxFuture<'a, Result<Receipt, Refusal>>;
    fn rearm(&mut self) -> BoxFuture<'_, Result<(), Refusal>>;
    fn version(&self) -> u64;
    /// What it holds in memory, where it has read itself.
    fn held(&self) -> Option<Held>;
    /// What contradicts itself of what is kept of it, in memory and beside its journal.
    #[cfg(feature = "testing")]
    fn contradiction(&self) -> Option<String>;
    /// The name of the order's command.
    fn command_name(&self, order: &Order) -> String;
    /// The span of the order's turn, inside the one `around` its delivery.
    fn span(&self, order: &Order, around: &tracing::Span) -> tracing::Span;
}

impl<W: Workflow> AnyTurn for Turn<W> {
    fn take<'a>(&'a mut self, order: &'a Order) -> BoxFuture<'a, Result<Receipt, Refusal>> {
        Box::pin(Turn::take(self, order))
    }

    fn rearm(&mut self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(Turn::rearm(self))
    }

    fn version(&self) -> u64 {
        Turn::version(self)
    }

    fn held(&self) -> Option<Held> {
        Turn::held(self)
    }

    #[cfg(feature = "testing")]
    fn contradiction(&self) -> Option<String> {
        Turn::contradiction(self)
    }

    fn command_name(&self, order: &Order) -> String {
        let mut name = FirstWord(String::new());
        if let Some(command) = order.command.downcast_ref::<W::Command>() {
            let _ = write!(name, "{command:?}"); // It ends with an error as soon as the word does.
        }
        name.0
    }

    fn span(&self, order: &Order, around: &tracing::Span) -> tracing::Span {
        let entity = self.entity();
        tracing::debug_span!(
            parent: around, "turn", "tenant.id" = %entity.tenant, "entity.kind" = entity.kind,
            "entity.id" = %entity.id, "entity.version" = tracing::field::Empty,
            command = %self.command_name(order), "trace.id" = %order.meta.correlation
        )
    }
}

/// Keeps the first word of what is written, and refuses the rest: a command's name without its content.
struct FirstWord(String);

impl fmt::Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric());
        self.0.push_str(&text[..end.unwrap_or(text.len())]);
        end.map_or(Ok(()), |_| Err(fmt::Error))
    }
}

/// Makes the turns of one workflow's entities.
pub(crate) trait TurnSource: Send + Sync {
    fn turns(&self, entity: EntityRef, host: Arc<Host>) -> Box<dyn AnyTurn>;
}

/// The source for `W`.
pub(crate) struct TurnsOf<W>(pub(crate) PhantomData<fn() -> W>);

impl<W: Workflow> TurnSource for TurnsOf<W> {
    fn turns(&self, entity: EntityRef, host: Arc<Host>) -> Box<dyn AnyTurn> {
        Box::new(Turn::<W>::new(entity, host))
    }
}

/// What an operator may see of a live entity without asking it.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Orders sent and not yet answered.
    pub(crate) depth: AtomicUsize,
    /// Version after the last turn.
    pub(crate) version: AtomicU64,
    /// Engine time of the last order, in milliseconds.
    pub(crate) last_order_ms: AtomicU64,
    /// What the last order was, by the name of its command.
    pub(crate) last_command: Mutex<String>,
}

/// What may be asked of an entity.
pub(crate) enum EntityMessage {
    /// Takes one turn; answers once it is durable.
    Take(Box<Delivery>),
    /// Compares the armed timers with the state.
    Rearm { reply: oneshot::Sender<Result<(), Refusal>> },
    /// Shows what it holds in memory.
    Show { reply: oneshot::Sender<Option<Held>> },
}

/// An order on its way to an entity.
pub(crate) struct Delivery {
    pub(crate) order: Order,
    /// Set when the turn begins: an order whose entity died before that had no effect.
    pub(crate) started: Arc<AtomicBool>,
    pub(crate) reply: oneshot::Sender<Result<Receipt, Refusal>>,
    pub(crate) span: tracing::Span,
}

/// The actor; its state is the entity's turns.
pub(crate) struct EntityActor;

pub(crate) struct EntityArguments {
    pub(crate) entity: EntityRef,
    pub(crate) turns: Box<dyn AnyTurn>,
    pub(crate) host: Arc<Host>,
    pub(crate) gauges: Arc<Gauges>,
}

impl Actor for EntityActor {
    type Msg = EntityMessage;
    type State = EntityArguments;
    type Arguments = EntityArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        // Reading the history waits for the first message: the shard awaits this, and must not.
        Ok(arguments)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.answer(message).await.map_err(Into::into)
    }
}

impl EntityArguments {
    /// Does what is asked, and answers it.
    ///
    /// # Errors
    /// What a crash said: the state is no longer trusted, and whoever owns this must end with it.
    pub(crate) async fn answer(&mut self, message: EntityMessage) -> Result<(), String> {
        match message {
            EntityMessage::Take(delivery)
                if delivery.order.yields && self.host.pauses.holds(&self.entity) =>
            {
                self.gauges.depth.fetch_sub(1, Ordering::Relaxed);
                let _ = delivery.reply.send(Err(Refusal::Paused)); // The caller may have stopped waiting.
                Ok(())
            }
            EntityMessage::Take(delivery) => {
                delivery.started.store(true, Ordering::Release);
                note(&self.gauges, self.host.clock.now(), self.turns.command_name(&delivery.order));
                let (order, around) = (&delivery.order, delivery.span);
                let turn = self.turns.span(order, &around);
                // Where nobody looks at turns, what is logged in one still stands in the span around it.
                let span = if turn.is_disabled() { around } else { turn };
                let answer = self.turns.take(order).instrument(span).await;
                self.gauges.depth.fetch_sub(1, Ordering::Relaxed);
                self.gauges.version.store(self.turns.version(), Ordering::Relaxed);
                let crashed = match &answer {
                    Err(Refusal::Crashed { panic, .. }) => Some(panic.clone()),
                    _ => None,
                };
                let _ = delivery.reply.send(answer); // The caller may have stopped waiting.
                crashed.map_or(Ok(()), Err)
            }
            EntityMessage::Rearm { reply } => {
                let answer = self.turns.rearm().await;
                self.gauges.depth.fetch_sub(1, Ordering::Relaxed);
                let crashed = matches!(answer, Err(Refusal::Crashed { .. }));
                let _ = reply.send(answer); // The sweep may have been stopped.
                if crashed { Err("its deadlines crashed".to_owned()) } else { Ok(()) }
            }
            EntityMessage::Show { reply } => {
                self.gauges.depth.fetch_sub(1, Ordering::Relaxed);
                let _ = reply.send(self.turns.held()); // Whoever asked may have gone.
                Ok(())
            }
        }
    }
}

fn note(gauges: &Gauges, now: Timestamp, command: String) {
    *gauges.last_command.lock().unwrap_or_else(PoisonError::into_inner) = command;
    gauges.last_order_ms.store(now.as_millis(), Ordering::Relaxed);
}
