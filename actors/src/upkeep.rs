//! Slow housekeeping: sweeps that an upgrade or the passing of time asks for.
//!
//! - When a workflow's `DEADLINES_REVISION` differs from the one last completed, every entity of that kind has its armed
//!   timers compared with its state. The sweep remembers how far it is, so a restart goes on from there.
//! - Periodic claims of past weeks, and blobs that no record names, are removed.

use std::{sync::Arc, time::Duration};

use throughline_storage::{
    append::{Append, RowChange},
    codec, keys,
};
use uuid::Uuid;

use crate::{backoff, engine::Engine, order::EntityRef, shared::Shared};

/// Between two rounds of removals, in machine time.
const PAUSE: Duration = Duration::from_secs(3600);

/// Tries to compare one entity before it is passed over.
const TRIES_MAX: u32 = 4;

/// Blobs younger than this are left alone: the commit that names them may be on its way.
const BLOB_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// Removes claims of past weeks, which only served to recognise repetitions; returns how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sweep_claims(&self) -> Result<u64, String> {
        let host = &self.shared.host;
        let removed = host.journal.sweep_claims(host.clock.now().as_millis()).await;
        removed.map_err(|error| error.to_string())
    }

    /// Removes blobs that no record names, save the youngest; returns how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sweep_blobs(&self) -> Result<u64, String> {
        let host = &self.shared.host;
        let removed = host.blobs.sweep(&host.journal, BLOB_AGE_MIN).await;
        removed.map_err(|error| error.to_string())
    }
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
    for (kind, registered) in &shared.kinds {
        if let Err(error) = rearm(shared, kind, registered.deadlines_revision).await {
            tracing::error!("entity.kind" = kind, %error, "timers could not be compared with their states; tried again at the next start");
        }
    }
    loop {
        shared.host.runner.sleep(PAUSE).await;
        let journal = &shared.host.journal;
        match journal.sweep_claims(shared.host.clock.now().as_millis()).await {
            Ok(0) => {}
            Ok(claims) => tracing::info!(claims, "removed claims of past weeks"),
            Err(error) => tracing::warn!(%error, "claims of past weeks could not be removed"),
        }
        match shared.host.blobs.sweep(journal, BLOB_AGE_MIN).await {
            Ok(0) => {}
            Ok(blobs) => tracing::info!(blobs, "removed blobs that nothing names"),
            Err(error) => tracing::warn!(%error, "blobs that nothing names could not be removed"),
        }
    }
}

/// How far the comparison of timers with states is, for one kind.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Rearmed {
    pub(crate) revision: u32,
    /// The last entity compared; none once all are.
    pub(crate) after: Option<(String, Uuid)>,
}

async fn rearm(shared: &Shared, kind: &'static str, revision: u32) -> Result<(), String> {
    let journal = &shared.host.journal;
    let key = keys::setting(&format!("deadlines/{kind}"));
    let stored = journal.row(&key).map_err(|error| error.to_string())?;
    let done =
        stored.map(|stored| codec::decode::<Rearmed>(&stored)).transpose().map_err(|e| e.to_string())?;
    let mut after = match done {
        Some(Rearmed { revision: done, after: None }) if done == revision => return Ok(()),
        Some(Rearmed { revision: begun, after }) if begun == revision => after,
        _ => None,
    };
    let mut compared = 0u64;
    for tenant in &shared.host.tenants.names() {
        let mut from = match &after {
            Some((at, _)) if at.as_str() > tenant.as_str() => continue,
            Some((at, entity)) if at == tenant.as_str() => Some(*entity),
            _ => None,
        };
        loop {
            let page =
                journal.streams(tenant.as_str(), kind, from, 256).map_err(|error| error.to_string())?;
            let Some(last) = page.last().copied() else { break };
            for id in page {
                let entity = EntityRef { tenant: tenant.clone(), kind, id };
                compare(shared, &entity).await;
                compared += 1;
            }
            from = Some(last);
            after = Some((tenant.to_string(), last));
            remember(shared, &key, revision, after.clone()).await?;
        }
    }
    remember(shared, &key, revision, None).await?;
    if compared > 0 {
        tracing::info!("entity.kind" = kind, revision, compared, "timers compared with their states");
    }
    Ok(())
}

/// Compares one entity; one that cannot be compared does not keep the others from it.
async fn compare(shared: &Shared, entity: &EntityRef) {
    for tries in 1..=TRIES_MAX {
        match shared.registry.rearm(entity).await {
            Ok(()) => return,
            Err(refusal) if tries == TRIES_MAX => tracing::error!(
                "entity.kind" = entity.kind, "entity.id" = %entity.id, ?refusal,
                "an entity's timers could not be compared with its state and are passed over"
            ),
            Err(_) => shared.host.runner.sleep(backoff::hand_over(tries)).await,
        }
    }
}

async fn remember(
    shared: &Shared,
    key: &[u8],
    revision: u32,
    after: Option<(String, Uuid)>,
) -> Result<(), String> {
    let value = codec::encode(&Rearmed { revision, after });
    let append =
        Append { rows: vec![RowChange { key: key.to_vec(), value: Some(value) }], ..Append::default() };
    shared.host.journal.commit(append).await.map(|_| ()).map_err(|error| error.to_string())
}
