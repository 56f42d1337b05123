//! One turn of one entity: rehydrate → decide → evolve → deadlines → commit → answer.
//!
//! Plain code, free of ractor, so that a simulator can drive the very same turns. The state is owned by whoever
//! owns the [`Turn`]; nobody sees it changed before the commit is durable, and if the commit fails it is thrown
//! away and read again.

mod lay_out;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use throughline_storage::append::{Append, CommitError, PendingKey, Timer, TimerKey};
use throughline_workflows::{
    time::Timestamp,
    workflow::{By, Cause, Context, Decision, Workflow},
};
use uuid::Uuid;

use self::lay_out::Layout;
use crate::{
    backoff,
    host::Host,
    idempotency,
    order::{EntityRef, Idempotency, Order, Receipt, Refusal, Rejected, panic_text, refusal_of},
    rehydrate::{self, Live, RecordMeta},
    replay::Held,
};

/// How often a turn decides again after losing to another writer of its stream or of a claim.
const CONFLICTS_MAX: u32 = 5;

/// One entity's turns, one after the other.
pub(crate) struct Turn<W: Workflow> {
    entity: EntityRef,
    host: Arc<Host>,
    live: Option<Live<W>>,
}

impl<W: Workflow> Turn<W> {
    pub(crate) fn new(entity: EntityRef, host: Arc<Host>) -> Self {
        Self { entity, host, live: None }
    }

    /// Whose turns they are.
    pub(crate) fn entity(&self) -> &EntityRef {
        &self.entity
    }

    /// The version the entity is known to be at; 0 before it was read.
    pub(crate) fn version(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.version)
    }

    /// What is held in memory between two turns.
    pub(crate) fn held(&self) -> Option<Held> {
        let live = self.live.as_ref()?;
        let state = serde_json::to_value(&live.state).ok()?;
        Some(Held { version: live.version, head: live.head, armed: live.armed.clone(), state })
    }

    /// What contradicts itself of what is kept of the entity, in memory and beside its journal. A long history is not
    /// read every time.
    #[cfg(feature = "testing")]
    pub(crate) fn contradiction(&self) -> Option<String> {
        use crate::stepper::audit;
        let held = audit::is_looked_at(self.version()).then(|| self.held()).flatten()?;
        audit::memory::<W>(&self.host.journal, &self.entity, &held)
    }

    /// Takes one turn. When it answers, the effect is durable or there is none.
    pub(crate) async fn take(&mut self, order: &Order) -> Result<Receipt, Refusal> {
        let Some(command) = order.command.downcast_ref::<W::Command>() else {
            return Err(Refusal::Damaged(format!("a command of another workflow reached a {}", W::KIND)));
        };
        let mut conflicts = 0;
        loop {
            let now = self.host.clock.now();
            let mut live = self.hydrate().await?;
            if let Some(idempotency) = &order.meta.idempotency
                && let Some(kept) = self.kept_answer(idempotency, now).await?
            {
                self.live = Some(live);
                return Ok(kept);
            }
            // Not only the decision may panic: what evolves, derives deadlines or encodes is the workflow's code too.
            let version = live.version;
            let planned = catch_unwind(AssertUnwindSafe(|| self.plan(&mut live, command, order, now)));
            let plan = match planned
                .unwrap_or_else(|panic| Err(Refusal::Crashed { panic: panic_text(&*panic), version }))
            {
                Ok(plan) => plan,
                Err(refusal) => {
                    // A rejection leaves the state as it was; after a panic nothing is trusted.
                    if matches!(refusal, Refusal::Rejected(_)) {
                        self.live = Some(live);
                        self.barrier().await?;
                    }
                    return Err(refusal);
                }
            };
            let Some(plan) = plan else {
                let receipt = Receipt { version: live.version, seq: live.seq, repeated: None };
                self.live = Some(live);
                self.barrier().await?;
                return Ok(receipt);
            };
            match self.host.journal.commit(plan.append).await {
                Ok(committed) => {
                    live.armed_at_ms = now.as_millis();
                    if plan.recorded {
                        live.version = committed.version;
                        live.seq = committed.seq;
                        // What this turn asked for will be done in the name of this version.
                        tracing::Span::current().record("entity.version", committed.version);
                    }
                    let receipt = Receipt { version: live.version, seq: live.seq, repeated: None };
                    self.live = Some(live);
                    return match plan.refusal {
                        Some(refusal) => Err(refusal),
                        None => Ok(receipt),
                    };
                }
                Err(CommitError::Conflict { .. }) if conflicts < CONFLICTS_MAX => conflicts += 1,
                Err(CommitError::ClaimTaken { index, owner }) => {
                    let taken = &plan.claims[index];
                    // The same request may have been faster, and have taken any of these claims: its answer is the
                    // answer.
                    if let Some(idempotency) = &order.meta.idempotency
                        && let Some(kept) = self.kept_answer(idempotency, now).await?
                    {
                        return Ok(kept);
                    }
                    let owner = Uuid::from_slice(&owner).unwrap_or(Uuid::nil());
                    return Err(Refusal::Claimed { space: taken.clone(), owner });
                }
                Err(error) => return Err(refusal_of(error)),
            }
        }
    }

    /// Arms what an upgrade of the workflow's deadlines adds, without a command.
    pub(crate) async fn rearm(&mut self) -> Result<(), Refusal> {
        for _ in 0..=CONFLICTS_MAX {
            let now = self.host.clock.now();
            let mut live = self.hydrate().await?;
            if live.version == 0 {
                return Ok(());
            }
            let meta = RecordMeta {
                by: By::engine(),
                cause: Cause {
                    kind: throughline_workflows::workflow::CauseKind::Command,
                    id: format!("deadlines revision {}", W::DEADLINES_REVISION),
                },
            };
            let version = live.version;
            let mut layout = self.layout(&mut live, now, Vec::new());
            let changed = catch_unwind(AssertUnwindSafe(|| layout.change_timers()));
            if !changed.map_err(|panic| Refusal::Crashed { panic: panic_text(&*panic), version })? {
                self.live = Some(live);
                return Ok(());
            }
            layout.add_record(self.host.minter.mint(), &meta, &[], &[]);
            match self.host.journal.commit(layout.append).await {
                Ok(committed) => {
                    live.armed_at_ms = now.as_millis();
                    live.version = committed.version;
                    self.live = Some(live);
                    return Ok(());
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(refusal_of(error)),
            }
        }
        Err(Refusal::Busy)
    }

    async fn hydrate(&mut self) -> Result<Live<W>, Refusal> {
        if let Some(live) = self.live.take() {
            return Ok(live);
        }
        let (journal, entity) = (self.host.journal.clone(), self.entity.clone());
        let read = move || rehydrate::load::<W>(&journal, &entity, None);
        self.host.runner.rehydrate(read).await.and_then(|live| live).map_err(Refusal::Damaged)
    }

    async fn barrier(&self) -> Result<(), Refusal> {
        self.host.journal.barrier().await.map_err(refusal_of)
    }

    /// The answer that an earlier request with the same idempotency key was given.
    async fn kept_answer(
        &self,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Refusal> {
        let key = idempotency::claim(&idempotency.tenant, &idempotency.key, now.as_millis());
        idempotency::kept_answer(&self.host.journal, &key, idempotency).await
    }

    /// Decides, evolves `live` and lays out what must be committed; none where nothing changes.
    fn plan(
        &self,
        live: &mut Live<W>,
        command: &W::Command,
        order: &Order,
        now: Timestamp,
    ) -> Result<Option<Plan>, Refusal> {
        let fired = order.firing.as_ref().map(|timer| (timer, deadline_of::<W>(timer)));
        if let Some((timer, deadline)) = &fired {
            let due = Timestamp::from_millis(timer.due_ms);
            let held = deadline.is_some_and(|deadline| W::deadlines(&live.state).holds(deadline, due));
            if !held {
                // The clock has moved on since it was armed: the firing means nothing any more. Unless an upgrade
                // took the deadline away: then the record goes on to say what is armed now.
                let append = self.lay_out(live, Decision::nothing(), order, now);
                let recorded = append.record.is_some();
                return Ok(Some(Plan { append, claims: Vec::new(), recorded, refusal: None }));
            }
        }
        let mut refusal = None;
        let decision = match self.decide(live, command, order, now) {
            Ok(decision) => decision,
            Err(rejected @ Refusal::Rejected(_)) => {
                if order.firing.is_none() && order.rejected == Rejected::Keeps {
                    return Err(rejected);
                }
                refusal = Some(rejected);
                Decision::nothing()
            }
            Err(other) => return Err(other),
        };
        let mut append = self.lay_out(live, decision, order, now);
        let recorded = append.record.is_some();
        let is_armed = |timer: &Timer| {
            live.armed.iter().any(|armed| armed.name == timer.key.name && armed.due_ms == timer.due_ms)
        };
        if let Some((timer, _)) = &fired
            && timer.due_ms <= now.as_millis()
            && is_armed(timer)
        {
            append.arm.push(stuck_again(timer, now));
            tracing::warn!(
                "entity.kind" = W::KIND, "entity.id" = %self.entity.id, timer = %timer.key.name,
                stuck = timer.stuck + 1, "a timer fired without effect and is armed again"
            );
        }
        let nothing = !recorded
            && append.consume.is_empty()
            && append.claims.is_empty()
            && append.dead_letters.is_empty()
            && append.inbox.is_empty()
            && append.rows.is_empty();
        if nothing {
            return Ok(None);
        }
        let claims = append.claims.iter().map(|claim| claim.key.space.clone()).collect();
        Ok(Some(Plan { append, claims, recorded, refusal }))
    }

    /// The workflow's decision.
    fn decide(
        &self,
        live: &Live<W>,
        command: &W::Command,
        order: &Order,
        now: Timestamp,
    ) -> Result<Decision<W>, Refusal> {
        let policies = self.host.policies(&self.entity.tenant);
        let cx = Context::new(now, &policies, &order.meta.by);
        #[cfg(feature = "testing")]
        if let Some(fault) = &self.host.options.fault {
            assert!(!fault(&self.entity, &format!("{command:?}")), "a fault was put into this turn");
        }
        W::decide(&live.state, command.clone(), &cx)
            .map_err(|rejection| Refusal::Rejected(Arc::new(rejection)))
    }

    /// What a decision commits; `live` moves on.
    fn lay_out(&self, live: &mut Live<W>, decision: Decision<W>, order: &Order, now: Timestamp) -> Append {
        let mut layout = self.layout(live, now, order.consume.clone());
        layout.add_decision(decision, order);
        layout.append
    }

    fn layout<'a>(
        &'a self,
        live: &'a mut Live<W>,
        now: Timestamp,
        consume: Vec<PendingKey>,
    ) -> Layout<'a, W> {
        let snapshot_every = self.host.options.snapshot_every;
        let append = Append { consume, ..Append::default() };
        Layout { entity: &self.entity, live, now, snapshot_every, append }
    }
}

/// What a turn is about to commit.
struct Plan {
    append: Append,
    /// The spaces of the claims, in order, to name the one that is lost.
    claims: Vec<String>,
    recorded: bool,
    /// The rejection to answer although the work it settles is done.
    refusal: Option<Refusal>,
}

fn deadline_of<W: Workflow>(timer: &Timer) -> Option<W::Deadline> {
    timer.key.name.parse().ok()
}

/// The same timer, armed again after one more firing without effect.
pub(crate) fn stuck_again(timer: &Timer, now: Timestamp) -> Timer {
    let wait = backoff::stuck_timer(timer.stuck);
    Timer {
        key: TimerKey { fire_at_ms: (now + wait).as_millis(), ..timer.key.clone() },
        due_ms: timer.due_ms,
        stuck: timer.stuck + 1,
    }
}
