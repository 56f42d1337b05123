//! Takes a changed policy to every entity that keeps something of it.
//!
//! Each kind whose workflow answers [`Workflow::policy_changed`] is walked entity by entity, a few at once, so that
//! webhooks are answered meanwhile. How far it is, is remembered page by page, so a restart goes on from there; a newer
//! change begins it anew. The workflow decides whether there is anything to change: where there is not, nothing is
//! recorded.
//!
//! [`Workflow::policy_changed`]: throughline_workflows::workflow::Workflow::policy_changed

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use throughline_storage::{
    append::{Append, RowChange},
    codec, keys,
};
use throughline_workflows::{
    ids::TenantId,
    workflow::{By, Cause, CauseKind},
};
use uuid::Uuid;

use crate::{
    backoff,
    clock::Stopwatch,
    engine::policy,
    order::{Along, AnyCommand, CommandMeta, EntityRef, Order, Refusal, Rejected},
    pauses,
    shared::Shared,
};

/// Entities that are given the change at once.
const AT_ONCE: usize = 8;

/// Entities between two notes of how far the sweep is.
const PAGE: usize = 256;

/// Tries to give the change to one entity before it is passed over.
const TRIES_MAX: u32 = 8;

/// Before a sweep that could not go on goes on, in machine time.
const PAUSE: Duration = Duration::from_secs(3);

/// How far a sweep is, as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Swept {
    /// Of the policy.
    version: u64,
    /// The last entity reached; none before the first.
    after: Option<(String, Uuid)>,
    /// Whether all have been reached.
    done: bool,
}

/// What a sweep did.
#[derive(Default)]
struct Figures {
    reached: AtomicU64,
    changed: AtomicU64,
    passed_over: AtomicU64,
}

/// Runs until the engine drains.
pub(crate) async fn run(shared: Arc<Shared>) {
    tokio::select! {
        biased;
        () = shared.host.draining.cancelled() => {}
        () = forever(&shared) => {}
    }
}

async fn forever(shared: &Shared) {
    let mut changes = shared.host.tenants.changes();
    loop {
        changes.borrow_and_update();
        loop {
            let late = shared.host.tenants.to_sweep();
            if late.is_empty() {
                break;
            }
            let mut failed = false;
            for (tenant, version) in late {
                if let Err(error) = sweep(shared, &tenant, version).await {
                    tracing::error!(%tenant, version, %error, "a changed policy has not reached every entity yet; the sweep goes on shortly");
                    failed = true;
                }
            }
            if failed {
                shared.host.runner.sleep(PAUSE).await;
            }
        }
        tokio::select! {
            biased;
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            () = shared.host.runner.sleep(shared.host.options.policy_look) => {
                pauses::catch_up(shared);
                if let Err(error) = policy::catch_up(shared).await {
                    tracing::error!(%error, "whether every policy is in force could not be told");
                }
            }
        }
    }
}

/// Takes `version` to all entities of a tenant, unless a newer one comes meanwhile.
async fn sweep(shared: &Shared, tenant: &TenantId, version: u64) -> Result<(), String> {
    let kinds = kinds(shared);
    if kinds.is_empty() {
        shared.host.tenants.swept(tenant, version);
        return Ok(());
    }
    let journal = &shared.host.journal;
    let key = keys::setting(&format!("policy/{tenant}"));
    let stored = journal.row(&key).map_err(|error| error.to_string())?;
    let stored =
        stored.map(|stored| codec::decode::<Swept>(&stored)).transpose().map_err(|e| e.to_string())?;
    let mut after = match stored {
        Some(Swept { version: swept, done: true, .. }) if swept == version => {
            shared.host.tenants.swept(tenant, version);
            return Ok(());
        }
        Some(Swept { version: begun, after, .. }) if begun == version => after,
        _ => None,
    };
    // A turn that was decided under the former version may be on its way; its entity must be among those found.
    journal.barrier().await.map_err(|error| error.to_string())?;
    let (watch, figures) = (Stopwatch::start(), Figures::default());
    for (kind, command) in kinds {
        let mut from = match &after {
            Some((at, _)) if at.as_str() > kind => continue,
            Some((at, entity)) if at == kind => Some(*entity),
            _ => None,
        };
        let mut looked_again = false;
        loop {
            if shared.host.tenants.policies(tenant).in_force().version != version {
                return Ok(()); // A newer one is taken to all of them instead.
            }
            let page =
                journal.streams(tenant.as_str(), kind, from, PAGE).map_err(|error| error.to_string())?;
            let Some(last) = page.last().copied() else {
                if looked_again {
                    break;
                }
                // The first turn of a new entity may have been decided just before the change: one commit later it
                // is there.
                looked_again = true;
                remember(shared, &key, Swept { version, after: after.clone(), done: false }).await?;
                continue;
            };
            futures::stream::iter(page)
                .for_each_concurrent(AT_ONCE, |id| {
                    let entity = EntityRef { tenant: tenant.clone(), kind, id };
                    give(shared, entity, &command, version, &figures)
                })
                .await;
            from = Some(last);
            after = Some((kind.to_owned(), last));
            remember(shared, &key, Swept { version, after: after.clone(), done: false }).await?;
        }
    }
    remember(shared, &key, Swept { version, after: None, done: true }).await?;
    shared.host.tenants.swept(tenant, version);
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    tracing::info!(
        %tenant, version, reached = count(&figures.reached), changed = count(&figures.changed),
        passed_over = count(&figures.passed_over), took_ms = watch.elapsed().as_millis(),
        "a changed policy has reached every entity"
    );
    Ok(())
}

/// The kinds that keep something of a policy, by name, each with the command that tells of a change.
fn kinds(shared: &Shared) -> Vec<(&'static str, AnyCommand)> {
    let told = shared
        .kinds
        .iter()
        .filter_map(|(kind, registered)| Some((*kind, registered.policy_changed.clone()?)));
    let mut kinds: Vec<_> = told.collect();
    kinds.sort_by_key(|(kind, _)| *kind);
    kinds
}

/// Gives the change to one entity; one that does not take it does not keep the others from it.
async fn give(shared: &Shared, entity: EntityRef, command: &AnyCommand, version: u64, figures: &Figures) {
    let order = Order {
        command: command.clone(),
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Command, id: format!("policy version {version}") },
            correlation: shared.host.minter.mint(),
            idempotency: None,
        },
        consume: Vec::new(),
        along: Along::default(),
        firing: None,
        rejected: Rejected::Keeps,
        yields: false,
    };
    let before = shared.host.journal.version(&entity.stream()).unwrap_or_default();
    let count = |count: &AtomicU64| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let (mut tries, mut crashes) = (0, 0);
    loop {
        tries += 1;
        match shared.registry.deliver(&entity, &order).await {
            Ok(receipt) => {
                count(&figures.reached);
                if receipt.version > before {
                    count(&figures.changed);
                }
                return;
            }
            Err(Refusal::Rejected(_)) => return count(&figures.reached),
            Err(Refusal::Draining) => return,
            Err(refusal) => {
                // What crashes once may not crash again.
                crashes += u32::from(refusal.poison().is_some());
                if tries < TRIES_MAX && crashes < shared.host.options.crashes_max {
                    shared.host.runner.sleep(backoff::hand_over(tries)).await;
                    continue;
                }
                count(&figures.passed_over);
                tracing::error!(
                    "entity.kind" = entity.kind, "entity.id" = %entity.id, ?refusal,
                    "an entity could not take up a changed policy and is passed over: its due times stand as they are"
                );
                return;
            }
        }
    }
}

async fn remember(shared: &Shared, key: &[u8], swept: Swept) -> Result<(), String> {
    let value = Some(codec::encode(&swept));
    let append = Append { rows: vec![RowChange { key: key.to_vec(), value }], ..Append::default() };
    shared.commit_essential(append).await.map_err(|error| error.to_string())
}
