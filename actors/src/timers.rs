//! Fires what falls due.
//!
//! One task reads due timers from storage in due order, a window at a time, and delivers each to its entity; the
//! entity's commit consumes it. However many are armed, memory holds one window. After downtime everything
//! overdue fires at once, in due order.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use throughline_storage::{
    append::{Append, PendingKey, StreamId, Timer, TimerKey},
    envelope::Armed,
};
use throughline_workflows::{
    time::Timestamp,
    workflow::{By, Cause, CauseKind},
};
use tracing::Instrument;

use crate::{
    armed, backoff,
    order::{Along, CommandMeta, Order, Refusal, Rejected},
    runner::Tasks,
    shared::Shared,
    turn,
};

/// What else is due is searched for once one in so many firings has ended, and not for each that does.
const ROOM: usize = 8;

/// Runs until the engine drains; then waits for what it has fired.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut progress = shared.host.journal.progress();
    let mut pauses = shared.host.pauses.changes();
    let mut firing = shared.host.runner.tasks("timers: a firing");
    let mut in_flight = InFlight::default();
    loop {
        progress.mark_unchanged();
        pauses.mark_unchanged();
        let armed = progress.borrow().timers_armed;
        let now = shared.host.clock.now();
        let most = shared.gauges.door.leaves(shared.host.options.turns_in_flight, shared.host.runner.now());
        match fire_due(&shared, now, most, &mut firing, &mut in_flight) {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "due timers could not be read"),
        }
        shared.gauges.timers_in_flight(in_flight.keys.len());
        let full = in_flight.is_full(most);
        let next = if full { None } else { next_due(&shared, &in_flight) };
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => break,
            Some(done) = firing.join_next() => {
                if let Ok(key) = done { in_flight.done(&key); }
            }
            () = sleep_until(&shared, next) => {}
            _ = pauses.changed(), if !full => {}
            // Another timer may have been armed for an earlier moment.
            _ = progress.wait_for(|progress| progress.timers_armed != armed), if !full => {}
        }
        while let Some(done) = firing.try_join_next() {
            if let Ok(key) = done {
                in_flight.done(&key);
            }
        }
    }
    while firing.join_next().await.is_some() {}
}

async fn sleep_until(shared: &Shared, at: Option<Timestamp>) {
    match at {
        Some(at) => shared.host.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn fire_due(
    shared: &Arc<Shared>,
    now: Timestamp,
    most: usize,
    firing: &mut Tasks<TimerKey>,
    in_flight: &mut InFlight,
) -> Result<(), String> {
    if in_flight.is_full(most) {
        return Ok(());
    }
    let due = shared
        .host
        .pauses
        .timers(&shared.host.journal, now.as_millis(), most * 2 + in_flight.keys.len())
        .map_err(|error| error.to_string())?;
    for timer in due {
        if in_flight.keys.len() >= most {
            break;
        }
        if in_flight.begin(&timer.key) {
            let shared = shared.clone();
            firing.spawn(async move {
                let key = timer.key.clone();
                // The key must come back whatever happens, or the timer would count as being fired for ever.
                if AssertUnwindSafe(fire(&shared, timer)).catch_unwind().await.is_err() {
                    tracing::error!(timer = %key.name, "the firing of a timer panicked and is repeated");
                    shared.host.runner.sleep(backoff::hand_over(1)).await;
                }
                key
            });
        }
    }
    Ok(())
}

/// The earliest armed timer that waits for nothing but its time.
fn next_due(shared: &Shared, in_flight: &InFlight) -> Option<Timestamp> {
    // Where all of these are of entities that are being served, the end of one of them is waited for.
    let most = in_flight.keys.len() * 2 + 1;
    let host = &shared.host;
    let window = host.pauses.timers(&host.journal, u64::MAX, most).unwrap_or_else(|error| {
        tracing::error!(%error, "armed timers could not be read");
        Vec::new()
    });
    let next = window.iter().find(|timer| !in_flight.streams.contains(&timer.key.stream))?;
    Some(Timestamp::from_millis(next.key.fire_at_ms))
}

/// What is being fired: one timer an entity, so that an entity's timers keep their order.
#[derive(Default)]
struct InFlight {
    keys: HashSet<TimerKey>,
    streams: HashSet<StreamId>,
}

impl InFlight {
    /// Whether there is not enough room for a search of what else is due to be worth its while.
    fn is_full(&self, most: usize) -> bool {
        self.keys.len() + most.div_ceil(ROOM) > most
    }

    fn begin(&mut self, key: &TimerKey) -> bool {
        self.streams.insert(key.stream.clone()) && self.keys.insert(key.clone())
    }

    fn done(&mut self, key: &TimerKey) {
        self.keys.remove(key);
        self.streams.remove(&key.stream);
    }
}

/// Delivers one firing until it has had its effect. A timer is never given up.
async fn fire(shared: &Shared, timer: Timer) {
    let Some((entity, command)) = shared.timer_command(&timer) else {
        // It stays armed for a build that knows it.
        tracing::error!(
            "entity.kind" = %timer.key.stream.kind, timer = %timer.key.name,
            "a timer of an unknown workflow or name fell due and is put off"
        );
        put_off(shared, timer).await;
        return;
    };
    let correlation = shared.host.minter.mint();
    let span = tracing::info_span!(
        "timer", "tenant.id" = %entity.tenant, "entity.kind" = entity.kind, "entity.id" = %entity.id,
        timer = %timer.key.name, "trace.id" = %correlation
    );
    let order = Order {
        command,
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Timer, id: timer.key.name.clone() },
            correlation,
            idempotency: None,
        },
        consume: vec![PendingKey::Timer(timer.key.clone())],
        along: Along::default(),
        firing: Some(timer.clone()),
        rejected: Rejected::Settles,
        yields: true,
    };
    async {
        let (mut tries, mut crashes) = (0, 0);
        loop {
            let refusal = match shared.registry.deliver(&entity, &order).await {
                Ok(_)
                | Err(
                    Refusal::Rejected(_)
                    | Refusal::AlreadyDone
                    | Refusal::Paused
                    | Refusal::Draining
                    | Refusal::Failed(_),
                ) => {
                    return;
                }
                Err(refusal) => refusal,
            };
            tries += 1;
            crashes += u32::from(refusal.poison().is_some());
            if crashes >= shared.host.options.crashes_max {
                // Others must have its place; it is tried again, more and more slowly, and never given up.
                tracing::error!(?refusal, "a timer crashes its entity and is put off");
                put_off(shared, timer).await;
                return;
            }
            tracing::warn!(?refusal, tries, "a timer could not be delivered and is delivered again");
            if !shared.host.hold_off(backoff::hand_over(tries)).await {
                return;
            }
        }
    }
    .instrument(span)
    .await;
}

/// Arms a timer again, later, and with its first failure those after it, which its turn would have armed: one that
/// fires in vain must not hold up another that would not.
async fn put_off(shared: &Shared, timer: Timer) {
    let now = shared.host.clock.now();
    let stream = &timer.key.stream;
    let all = if timer.stuck == 0 { armed::of(&shared.host.journal, stream) } else { Ok(Vec::new()) };
    let all = all.unwrap_or_else(|error| {
        tracing::error!(%error, "the other timers of an entity could not be read");
        Vec::new()
    });
    let place = |armed: &Armed| (armed.due_ms, armed.name.clone());
    let later = (timer.due_ms, timer.key.name.clone());
    let others = armed::indexed(&all, now.as_millis()).filter(|other| place(other) > later);
    let append = Append {
        consume: vec![PendingKey::Timer(timer.key.clone())],
        arm: others
            .map(|other| armed::timer(stream, other))
            .chain([turn::stuck_again(&timer, now)])
            .collect(),
        ..Append::default()
    };
    if let Err(error) = shared.commit_essential(append).await {
        tracing::warn!(%error, "a timer could not be put off");
    }
}
