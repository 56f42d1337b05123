//! A tenant's policy by the engine: adopted from the configuration at start, changed while it runs.
//!
//! A change is durable first, then every decision is made under it, then the sweep takes it to the entities whose
//! clocks run (`actors/src/sweep.rs`).

use std::sync::Arc;

use throughline_workflows::{
    ids::TenantId,
    policy::Policies,
    policy_book::{self, Command, Event, PolicyBook, PolicyFile, Rejection, policy_of},
    workflow::{By, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use super::{Engine, SendError, StartError};
use crate::{
    host::Host,
    order::{Along, CommandMeta, EntityRef, Order, Receipt, Refusal, Rejected},
    rehydrate,
    shared::Shared,
    supervisor::Registry,
    tenants::Tenant,
};

impl Engine {
    /// The tenants there are, by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.shared.host.tenants.names()
    }

    /// A tenant's settings as they are and were; none where there is no such tenant.
    pub fn policies(&self, tenant: &TenantId) -> Option<Arc<Policies>> {
        Some(self.shared.host.tenants.get(tenant)?.policies)
    }

    /// What the configuration says of a tenant's settings; none where there is no such tenant.
    pub fn policy_file(&self, tenant: &TenantId) -> Option<Arc<PolicyFile>> {
        Some(self.shared.host.tenants.get(tenant)?.file)
    }

    /// Changes a tenant's settings by a JSON merge patch. When this answers, the change is durable and in force; it
    /// reaches the clocks that run one after the other.
    ///
    /// # Errors
    /// [`SendError`]; with [`SendError::Unknown`] only, the change may have happened.
    pub async fn change_policy(
        &self,
        tenant: &TenantId,
        patch: String,
        meta: CommandMeta,
    ) -> Result<Receipt, SendError<Rejection>> {
        let (engine, tenant) = (self.clone(), tenant.clone());
        // On a task of its own: a caller who stops waiting leaves no version that is durable and not in force.
        let changed = self.shared.host.runner.spawn("a change of policy", async move {
            let _one_at_a_time = engine.shared.policy_change.lock().await;
            let Some(known) = engine.shared.host.tenants.get(&tenant) else {
                return Err(SendError::Damaged(format!("there is no tenant {tenant}")));
            };
            let command = Command::Edit { patch, file: (*known.file).clone() };
            let receipt = engine.send::<PolicyBook>(&tenant, Uuid::nil(), command, meta).await;
            // Whatever was answered: a change whose outcome is not known may be durable.
            let host = &engine.shared.host;
            let policies = versions(host, &tenant).await.map_err(SendError::Damaged)?;
            if policies.in_force().version != known.policies.in_force().version {
                let version = policies.in_force().version;
                tracing::info!(%tenant, version, "another version of the policy is in force");
                host.tenants.put(tenant, Tenant { policies: Arc::new(policies), ..known });
            }
            receipt
        });
        changed.await.unwrap_or(Err(SendError::Unknown))
    }

    /// Takes in a tenant while the engine runs. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`StartError`] if its policy cannot be adopted.
    pub async fn add_tenant(&self, tenant: TenantId, file: PolicyFile) -> Result<(), StartError> {
        let _one_at_a_time = self.shared.policy_change.lock().await;
        if self.shared.host.tenants.get(&tenant).is_some() {
            return Ok(());
        }
        adopt(&self.shared.host, &self.shared.registry, &tenant, file).await
    }
}

/// Lays the configuration before the policy stream of every tenant, and reads what is in force.
pub(super) async fn adopt_all(shared: &Shared) -> Result<(), StartError> {
    if !shared.kinds.contains_key(PolicyBook::KIND) {
        return Ok(()); // The policies that were given hold as they are.
    }
    for name in shared.host.tenants.names() {
        let Some(tenant) = shared.host.tenants.get(&name) else { continue };
        adopt(&shared.host, &shared.registry, &name, (*tenant.file).clone()).await?;
    }
    Ok(())
}

/// Takes in versions that are durable and not in force: those of a change whose caller was told that its outcome is
/// not known.
pub(crate) async fn catch_up(shared: &Shared) -> Result<(), String> {
    if !shared.kinds.contains_key(PolicyBook::KIND) {
        return Ok(());
    }
    let host = &shared.host;
    for name in host.tenants.names() {
        let _one_at_a_time = shared.policy_change.lock().await;
        let Some(known) = host.tenants.get(&name) else { continue };
        let stream = EntityRef::of::<PolicyBook>(&name, Uuid::nil()).stream();
        // One version of the stream is one version of the policy.
        let durable = host.journal.version(&stream).map_err(|error| error.to_string())?;
        if durable > known.policies.in_force().version {
            let policies = Arc::new(versions(host, &name).await?);
            host.tenants.put(name, Tenant { policies, ..known });
        }
    }
    Ok(())
}

async fn adopt(
    host: &Host,
    registry: &Registry,
    tenant: &TenantId,
    file: PolicyFile,
) -> Result<(), StartError> {
    let order = Order {
        command: Arc::new(Command::Adopt { file: file.clone() }),
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Command, id: "configuration".to_owned() },
            correlation: host.minter.mint(),
            idempotency: None,
        },
        consume: Vec::new(),
        along: Along::default(),
        firing: None,
        rejected: Rejected::Keeps,
        yields: false,
    };
    let entity = EntityRef::of::<PolicyBook>(tenant, Uuid::nil());
    let failed = |what: String| StartError(format!("the policy of tenant {tenant}: {what}"));
    registry.deliver(&entity, &order).await.map_err(|refusal| match &refusal {
        Refusal::Rejected(rejection) => match rejection.downcast_ref::<policy_book::Rejection>() {
            Some(rejection) => failed(rejection.to_string()),
            None => failed("refused".to_owned()),
        },
        other => failed(format!("{other:?}")),
    })?;
    let policies = versions(host, tenant).await.map_err(failed)?;
    let policies = Arc::new(policies);
    host.tenants.put(tenant.clone(), Tenant { policies, file: Arc::new(file), swept: 0 });
    Ok(())
}

/// Every version of a tenant's policy, as its stream holds them.
async fn versions(host: &Host, tenant: &TenantId) -> Result<Policies, String> {
    let entity = EntityRef::of::<PolicyBook>(tenant, Uuid::nil());
    let journal = host.journal.clone();
    let read = move || {
        let mut policies: Option<Policies> = None;
        for stored in journal.records(&entity.stream(), 1..) {
            let record = stored.and_then(|stored| stored.decode()).map_err(|error| error.to_string())?;
            for bytes in &record.events {
                let Event::PolicyChanged { at, version, settings, .. } =
                    rehydrate::event::<PolicyBook>(bytes, &entity, record.version)?;
                let policy = policy_of(&settings, version, at)
                    .map_err(|error| format!("version {version} cannot be read: {error}"))?;
                policies = Some(match policies {
                    Some(policies) => policies.changed(policy),
                    None => Policies::only(policy),
                });
            }
        }
        policies.ok_or_else(|| "there is no version".to_owned())
    };
    let policies = host.runner.read(read).await??;
    // What was read may be on its way to the disk; nobody decides under it before it is there.
    host.journal.barrier().await.map_err(|error| error.to_string())?;
    Ok(policies)
}

/// The tenants that were added while a server ran, with the names customers know them by.
///
/// # Errors
/// What the store says if it cannot be read.
pub fn added_tenants(
    journal: &throughline_storage::journal::Journal,
) -> Result<Vec<(TenantId, Option<String>)>, String> {
    use throughline_workflows::directory::Directory;
    let entity = EntityRef::of::<Directory>(&TenantId::default_tenant(), Uuid::nil());
    let live = rehydrate::load::<Directory>(journal, &entity, None)?;
    Ok(live.state.tenants().map(|(name, listed)| (name.clone(), listed.title.clone())).collect())
}
