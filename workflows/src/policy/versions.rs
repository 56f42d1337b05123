//! Every version of a tenant's policy, so that a clock that ran under an older one can be counted by it.

use std::{collections::BTreeMap, sync::Arc};

use super::Policy;

/// The versions of one tenant's policy; at least one.
#[derive(Clone, Debug)]
pub struct Policies {
    in_force: Arc<Policy>,
    versions: BTreeMap<u64, Arc<Policy>>,
}

impl Policies {
    /// A tenant whose policy never changed.
    pub fn only(policy: Policy) -> Self {
        let policy = Arc::new(policy);
        Self { versions: BTreeMap::from([(policy.version, policy.clone())]), in_force: policy }
    }

    /// The same tenant after a change. The newest version is the one in force, whatever the order they come in.
    #[must_use]
    pub fn changed(mut self, policy: Policy) -> Self {
        let policy = Arc::new(policy);
        self.versions.insert(policy.version, policy.clone());
        if policy.version >= self.in_force.version {
            self.in_force = policy;
        }
        self
    }

    /// The version that decisions are made under.
    pub fn in_force(&self) -> &Arc<Policy> {
        &self.in_force
    }

    /// One version; none that never was.
    pub fn version(&self, version: u64) -> Option<&Arc<Policy>> {
        self.versions.get(&version)
    }

    /// The versions after `version`, oldest first.
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Arc<Policy>> {
        self.versions.range(version.saturating_add(1)..).map(|(_, policy)| policy)
    }

    /// All versions, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.versions.values()
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self::only(Policy::default())
    }
}
