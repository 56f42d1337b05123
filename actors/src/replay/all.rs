//! The comparison of all entities, in the background: one at a time, looked at while it goes on.

use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use serde::Serialize;
use serde_json::json;
use throughline_workflows::{ids::TenantId, time::Timestamp};
use uuid::Uuid;

use super::{Difference, compare::READABLE};
use crate::{
    engine::Engine,
    operate::{Act, OperateError},
    order::{Along, CommandMeta, EntityRef, Receipt},
};

/// Entities compared at once.
const AT_ONCE: usize = 2;
/// Entities listed in one go.
const PAGE: usize = 1024;
/// Differences that are kept of a run; more are only counted.
const KEPT_MAX: usize = 200;

/// A comparison of all entities, as far as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayRun {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Entities to compare.
    pub entities: u64,
    /// Entities compared.
    pub compared: u64,
    /// Events read for that.
    pub events: u64,
    /// Entities in which something differs.
    pub differing: u64,
    /// The first of what differs.
    pub differences: Vec<Found>,
    /// Why it ended before its end, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A difference and whose it is.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The entity's kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// The comparison of all entities that there was last.
#[derive(Default)]
pub(crate) struct Run(Mutex<Option<ReplayRun>>);

impl Run {
    fn change(&self, change: impl FnOnce(&mut ReplayRun)) {
        if let Some(run) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(run);
        }
    }
}

impl Engine {
    /// Begins to compare every entity, or those of one kind or tenant. [`Engine::replay_run`] says how far it is.
    ///
    /// # Errors
    /// [`OperateError`], among others if another comparison goes on.
    pub async fn replay_all(
        &self,
        tenant: Option<&TenantId>,
        kind: Option<&'static str>,
        reason: String,
        audited: &TenantId,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        {
            let mut run = self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner);
            if run.as_ref().is_some_and(|run| run.finished_at.is_none()) {
                return Err(OperateError::NotNow("a comparison of all entities goes on already".to_owned()));
            }
            *run = Some(ReplayRun { started_at: self.now(), ..ReplayRun::default() });
        }
        let target = match (tenant, kind) {
            (None, None) => "all".to_owned(),
            (tenant, kind) => {
                format!("{}/{}", tenant.map_or("all", TenantId::as_str), kind.unwrap_or("all"))
            }
        };
        let act = Act { tenant: audited, action: "actor.replay_all", target, reason, meta };
        let receipt = match self.operate(act, Along::default(), Vec::new()).await {
            Ok(receipt) => receipt,
            Err(error) => {
                *self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error);
            }
        };
        let tenants = tenant.map_or_else(|| self.shared.host.tenants.names(), |tenant| vec![tenant.clone()]);
        let kinds = kind.map_or_else(|| self.kinds(), |kind| vec![kind]);
        let engine = self.clone();
        let work = async move {
            let draining = engine.shared.host.draining.clone();
            let ended = tokio::select! {
                biased;
                () = draining.cancelled() => Err("the server is stopping".to_owned()),
                ended = engine.compare_all(&tenants, &kinds) => ended,
            };
            let now = engine.now();
            engine.shared.replay.change(|run| {
                run.finished_at = Some(now);
                run.failed = ended.err();
            });
        };
        drop(self.shared.host.runner.spawn("replay: every entity", work)); // It goes on.
        Ok(receipt)
    }

    /// The comparison of all entities that was begun last, as far as it is; none since the start.
    pub fn replay_run(&self) -> Option<ReplayRun> {
        self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn compare_all(&self, tenants: &[TenantId], kinds: &[&'static str]) -> Result<(), String> {
        for compares in [false, true] {
            for tenant in tenants {
                for kind in kinds {
                    let mut after = None;
                    loop {
                        let journal = self.shared.host.journal.clone();
                        let (of, kind) = (tenant.clone(), *kind);
                        let list = move || journal.streams(of.as_str(), kind, after, PAGE);
                        let page = self.shared.host.runner.read(list).await?;
                        let page = page.map_err(|error| error.to_string())?;
                        let Some(last) = page.last().copied() else { break };
                        after = Some(last);
                        if compares {
                            futures::stream::iter(page)
                                .for_each_concurrent(AT_ONCE, |id| {
                                    self.compare_one(EntityRef { tenant: tenant.clone(), kind, id })
                                })
                                .await;
                        } else {
                            self.shared.replay.change(|run| run.entities += page.len() as u64);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn compare_one(&self, entity: EntityRef) {
        let (events, differences) = match self.replay_one(&entity).await {
            Ok(replayed) => (replayed.events, replayed.differences),
            Err(error) => {
                let path = "record".to_owned();
                let (journal, found) = (json!(READABLE), json!(error));
                (0, vec![Difference { against: "journal", version: 0, path, journal, found }])
            }
        };
        if let Some(first) = differences.first() {
            tracing::error!(
                "entity.kind" = entity.kind, "entity.id" = %entity.id, "tenant.id" = %entity.tenant,
                against = first.against, version = first.version, path = %first.path,
                "an entity replayed from its journal differs from what is kept beside it"
            );
        }
        self.shared.replay.change(|run| {
            // Those that were made since they were counted are compared too.
            run.compared += 1;
            run.entities = run.entities.max(run.compared);
            run.events += events;
            run.differing += u64::from(!differences.is_empty());
            let room = KEPT_MAX.saturating_sub(run.differences.len());
            run.differences.extend(differences.into_iter().take(room).map(|difference| Found {
                kind: entity.kind.to_owned(),
                id: entity.id,
                tenant: entity.tenant.to_string(),
                difference,
            }));
        });
    }
}
