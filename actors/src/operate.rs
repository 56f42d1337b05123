//! What an operator does to the running system: recorded with who and why, in the commit of its effect where it has
//! one.

use std::sync::Arc;

use throughline_storage::append::PendingKey;
use throughline_workflows::{
    ids::{OperationId, TenantId},
    operation::{self, Operation},
};
use uuid::Uuid;

use crate::{
    engine::{Engine, SendError},
    idempotency,
    order::{Along, CommandMeta, EntityRef, Order, Receipt, Refusal, Rejected},
};

/// Why an operator's act had no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperateError {
    /// There is no such thing of this tenant.
    #[error("there is no such {0}")]
    Unknown(String),
    /// It is not possible as things are.
    #[error("{0}")]
    NotNow(String),
    /// What is stored cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The engine could not.
    #[error(transparent)]
    Send(#[from] SendError<operation::Rejection>),
}

/// What an operator did, as it is recorded.
pub(crate) struct Act<'a> {
    /// In whose audit it stands.
    pub(crate) tenant: &'a TenantId,
    /// For example `actor.pause`.
    pub(crate) action: &'a str,
    /// For example `conversation/ID`.
    pub(crate) target: String,
    /// Why, in the operator's words.
    pub(crate) reason: String,
    /// Who, and what it answers.
    pub(crate) meta: CommandMeta,
}

impl<'a> Act<'a> {
    /// An act upon one entity.
    pub(crate) fn upon(entity: &'a EntityRef, action: &'a str, reason: String, meta: CommandMeta) -> Self {
        let target = format!("{}/{}", entity.kind, entity.id);
        Self { tenant: &entity.tenant, action, target, reason, meta }
    }
}

impl Engine {
    /// Records that an operator acted, together with what the act changes and settles.
    pub(crate) async fn operate(
        &self,
        act: Act<'_>,
        along: Along,
        consume: Vec<PendingKey>,
    ) -> Result<Receipt, OperateError> {
        let Act { tenant, action, target, reason, meta } = act;
        let command = operation::Command::Record {
            operation_id: OperationId(self.mint()),
            action: action.to_owned(),
            target,
            reason,
        };
        let entity = EntityRef::of::<Operation>(tenant, Uuid::nil());
        let order = Order {
            command: Arc::new(command),
            meta,
            consume,
            along,
            firing: None,
            rejected: Rejected::Keeps,
            yields: false,
        };
        match self.shared.registry.deliver(&entity, &order).await {
            Ok(receipt) => Ok(receipt),
            Err(Refusal::AlreadyDone) => Err(OperateError::NotNow("it has been done meanwhile".to_owned())),
            Err(refusal) => Err(OperateError::Send(SendError::from_refusal(refusal))),
        }
    }

    /// The answer that the same request was given before: what it was about may be gone since.
    pub(crate) async fn kept_operation(&self, meta: &CommandMeta) -> Result<Option<Receipt>, OperateError> {
        let Some(idempotency) = &meta.idempotency else { return Ok(None) };
        let key = idempotency::claim(&idempotency.tenant, &idempotency.key, self.now().as_millis());
        let kept = idempotency::kept_answer(&self.shared.host.journal, &key, idempotency).await;
        kept.map_err(|refusal| OperateError::Send(SendError::from_refusal(refusal)))
    }

    /// The entity to act upon, which is there.
    pub(crate) fn existing(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
    ) -> Result<EntityRef, OperateError> {
        let entity = EntityRef { tenant: tenant.clone(), kind, id };
        let version = self.shared.host.journal.version(&entity.stream());
        match version.map_err(|error| OperateError::Unreadable(error.to_string()))? {
            0 => Err(OperateError::Unknown(kind.to_owned())),
            _ => Ok(entity),
        }
    }

    /// Takes an entity's actor out of memory. It has finished what was in its mailbox when this answers, and is read
    /// back from the journal at the next command.
    ///
    /// # Errors
    /// [`OperateError`]; nothing has changed then.
    pub async fn passivate(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        let entity = self.existing(tenant, kind, id)?;
        if !self.shared.registry.residents().await.iter().any(|resident| resident.entity == entity) {
            return Err(OperateError::NotNow(format!("the {kind} is not in memory")));
        }
        let act = Act::upon(&entity, "actor.passivate", reason, meta);
        let receipt = self.operate(act, Along::default(), Vec::new()).await?;
        self.shared.registry.passivate(&entity).await;
        Ok(receipt)
    }
}
