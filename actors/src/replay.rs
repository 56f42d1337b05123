//! Replay and compare: an entity read from its journal alone, held against everything else that is kept of it.
//!
//! The journal is the truth. A snapshot, what an actor holds in memory, the timers that a record says are armed and the
//! index by which they fire are all derived from it, and each may differ only through a mistake of ours or damage to the
//! store. A difference says where it is; it is never mended here.

mod all;
mod compare;

pub(crate) use all::Run;
pub use all::{Found, ReplayRun};
pub use compare::{Difference, Replayed};
pub(crate) use compare::{Held, compare};

use throughline_workflows::ids::TenantId;
use uuid::Uuid;

use crate::{
    engine::Engine,
    operate::{Act, OperateError},
    order::{Along, CommandMeta, EntityRef, Receipt},
};

/// How often an entity that takes turns meanwhile is looked at anew.
const LOOKS_MAX: u32 = 5;

impl Engine {
    /// Rebuilds one entity from its journal and compares what is kept beside it.
    ///
    /// # Errors
    /// [`OperateError`]; nothing is changed in any case, save that it is recorded that this was asked.
    pub async fn replay(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<(Receipt, Replayed), OperateError> {
        let entity = self.existing(tenant, kind, id)?;
        let receipt = match self.kept_operation(&meta).await? {
            Some(kept) => kept,
            None => {
                let act = Act::upon(&entity, "actor.replay", reason, meta);
                self.operate(act, Along::default(), Vec::new()).await?
            }
        };
        Ok((receipt, self.replay_one(&entity).await.map_err(OperateError::Unreadable)?))
    }

    async fn replay_one(&self, entity: &EntityRef) -> Result<Replayed, String> {
        let Some(kind) = self.shared.kinds.get(entity.kind) else {
            return Err(format!("no workflow of kind {} is registered", entity.kind));
        };
        let mut looks = 0;
        loop {
            let held = self.shared.registry.held(entity).await;
            let (inspector, journal) = (kind.inspector.clone(), self.shared.host.journal.clone());
            let of = entity.clone();
            let read = move || {
                let replayed = inspector.replay(&journal, &of, held.as_ref())?;
                let version = journal.version(&of.stream()).map_err(|error| error.to_string())?;
                Ok::<_, String>((replayed, version))
            };
            let (replayed, version) = self.shared.host.runner.read(read).await??;
            looks += 1;
            // A turn that was taken meanwhile may have moved its timers.
            if replayed.differences.is_empty() || replayed.version == version || looks == LOOKS_MAX {
                return Ok(replayed);
            }
        }
    }
}
