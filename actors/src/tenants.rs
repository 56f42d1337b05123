//! The tenants there are, each with its policy as it is and was, and how far a change has reached its entities.
//!
//! Every turn reads it; a change replaces one tenant's entry. What stands here is read from the policy streams: it is
//! never ahead of what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use throughline_workflows::{
    ids::TenantId,
    policy::{Policies, Policy, settings::Settings},
    policy_book::PolicyFile,
};
use tokio::sync::watch;

/// All tenants.
pub(crate) struct Tenants {
    known: RwLock<BTreeMap<TenantId, Tenant>>,
    /// For a tenant that nobody named.
    nobody: Arc<Policies>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
}

/// One tenant.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) policies: Arc<Policies>,
    /// What the configuration says of its policy.
    pub(crate) file: Arc<PolicyFile>,
    /// The version that every entity has taken up; 0 where that is not known.
    pub(crate) swept: u64,
}

impl Tenant {
    /// A tenant whose policy is what the configuration says.
    pub(crate) fn of_file(file: PolicyFile, policy: Policy) -> Self {
        Self { policies: Arc::new(Policies::only(policy)), file: Arc::new(file), swept: 0 }
    }

    /// A tenant with this policy, of which the configuration sets nothing.
    pub(crate) fn of_policy(policy: Policy) -> Self {
        Self::of_file(PolicyFile::open(&Settings::from(&policy)), policy)
    }
}

impl Tenants {
    pub(crate) fn new(known: BTreeMap<TenantId, Tenant>) -> Self {
        Self { known: RwLock::new(known), nobody: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// The settings of `tenant`, as they are and were.
    pub(crate) fn policies(&self, tenant: &TenantId) -> Arc<Policies> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).map_or(&self.nobody, |tenant| &tenant.policies).clone()
    }

    /// One tenant, if it is one.
    pub(crate) fn get(&self, tenant: &TenantId) -> Option<Tenant> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<TenantId> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Puts a tenant, or a new version of its policy, in its place.
    pub(crate) fn put(&self, name: TenantId, tenant: Tenant) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name, tenant);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Notes that every entity has taken up `version`.
    pub(crate) fn swept(&self, name: &TenantId, version: u64) {
        if let Some(tenant) = self.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            tenant.swept = version;
        }
    }

    /// The tenants whose entities have not all taken up their policy, and the version they are to take up.
    pub(crate) fn to_sweep(&self) -> Vec<(TenantId, u64)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let late = known.iter().filter_map(|(name, tenant)| {
            let version = tenant.policies.in_force().version;
            (tenant.swept != version).then(|| (name.clone(), version))
        });
        late.collect()
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
