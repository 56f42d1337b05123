//! Fires what falls due.
//!
//! One task reads due timers from storage in due order, a window at a time, and delivers each to its entity; the
//! entity's commit consumes it. However many are armed, memory holds one window. After downtime everything
//! overdue fires at once, in due order.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use throughline_storage::append::{Append, PendingKey, Timer, TimerKey};
use throughline_workflows::{
    time::Timestamp,
    workflow::{By, Cause, CauseKind},
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    backoff,
    order::{Along, CommandMeta, Order, Refusal, Rejected},
    shared::Shared,
    turn,
};

/// Runs until the engine drains; then waits for what it has fired.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut progress = shared.host.journal.progress();
    let mut firing = JoinSet::new();
    let mut in_flight: HashSet<TimerKey> = HashSet::new();
    loop {
        progress.mark_unchanged();
        let armed = progress.borrow().timers_armed;
        let now = shared.host.clock.now();
        match fire_due(&shared, now, &mut firing, &mut in_flight) {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "due timers could not be read"),
        }
        shared.gauges.timers_in_flight(in_flight.len());
        let full = in_flight.len() >= shared.host.options.turns_in_flight;
        let next = if full { None } else { next_due(&shared, &in_flight) };
        tokio::select! {
            () = shared.host.draining.cancelled() => break,
            Some(done) = firing.join_next() => {
                if let Ok(key) = done { in_flight.remove(&key); }
            }
            () = sleep_until(&shared, next) => {}
            // Another timer may have been armed for an earlier moment.
            _ = progress.wait_for(|progress| progress.timers_armed != armed), if !full => {}
        }
        while let Some(done) = firing.try_join_next() {
            if let Ok(key) = done {
                in_flight.remove(&key);
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
    firing: &mut JoinSet<TimerKey>,
    in_flight: &mut HashSet<TimerKey>,
) -> Result<(), String> {
    let most = shared.host.options.turns_in_flight;
    if in_flight.len() >= most {
        return Ok(());
    }
    let due = shared
        .host
        .journal
        .timers(None, now.as_millis(), most + in_flight.len())
        .map_err(|error| error.to_string())?;
    for timer in due {
        if in_flight.len() >= most {
            break;
        }
        if in_flight.insert(timer.key.clone()) {
            let shared = shared.clone();
            firing.spawn(async move {
                let key = timer.key.clone();
                // The key must come back whatever happens, or the timer would count as being fired for ever.
                if AssertUnwindSafe(fire(&shared, timer)).catch_unwind().await.is_err() {
                    tracing::error!(timer = %key.name, "the firing of a timer panicked and is repeated");
                    tokio::time::sleep(backoff::hand_over(1)).await;
                }
                key
            });
        }
    }
    Ok(())
}

/// The earliest armed timer that is not being fired.
fn next_due(shared: &Shared, in_flight: &HashSet<TimerKey>) -> Option<Timestamp> {
    let window = shared.host.journal.timers(None, u64::MAX, in_flight.len() + 1).unwrap_or_default();
    let next = window.iter().find(|timer| !in_flight.contains(&timer.key))?;
    Some(Timestamp::from_millis(next.key.fire_at_ms))
}

/// Delivers one firing until it has had its effect. A timer is never given up.
async fn fire(shared: &Shared, timer: Timer) {
    let Some((entity, command)) = shared.timer_command(&timer) else {
        put_off(shared, timer).await;
        return;
    };
    let span = tracing::info_span!(
        "timer", "tenant.id" = %entity.tenant, "entity.kind" = entity.kind, "entity.id" = %entity.id,
        timer = %timer.key.name
    );
    let order = Order {
        command,
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Timer, id: timer.key.name.clone() },
            correlation: shared.host.minter.mint(),
            idempotency: None,
        },
        consume: vec![PendingKey::Timer(timer.key.clone())],
        along: Along::default(),
        firing: Some(timer),
        rejected: Rejected::Settles,
    };
    async {
        let mut tries = 0;
        loop {
            match shared.registry.deliver(&entity, &order).await {
                Ok(_)
                | Err(Refusal::Rejected(_) | Refusal::AlreadyDone | Refusal::Draining | Refusal::Failed(_)) =>
                {
                    return;
                }
                Err(refusal) => {
                    tries += 1;
                    tracing::warn!(?refusal, tries, "a timer could not be delivered and is delivered again");
                    tokio::select! {
                        () = tokio::time::sleep(backoff::hand_over(tries)) => {}
                        () = shared.host.draining.cancelled() => return,
                    }
                }
            }
        }
    }
    .instrument(span)
    .await;
}

/// Puts off a timer whose workflow or deadline is not part of this build: it stays armed for one that knows it.
async fn put_off(shared: &Shared, timer: Timer) {
    tracing::error!(
        "entity.kind" = %timer.key.stream.kind, timer = %timer.key.name,
        "a timer of an unknown workflow or name fell due and is put off"
    );
    let append = Append {
        consume: vec![PendingKey::Timer(timer.key.clone())],
        arm: vec![turn::stuck_again(&timer, shared.host.clock.now())],
        ..Append::default()
    };
    if let Err(error) = shared.commit_patiently(append).await {
        tracing::warn!(%error, "a timer could not be put off");
    }
}
