//! What every part of the runtime shares: the journal, the clock, the tenants' policies and the limits.

use std::{sync::Arc, time::Duration};

use throughline_storage::{blobs::Blobs, journal::Journal};
use throughline_workflows::{ids::TenantId, policy::Policies};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Minter},
    pauses::Pauses,
    runner::Runner,
    tenants::Tenants,
};

/// Shared by the engine's parts; made once at start.
pub(crate) struct Host {
    pub(crate) journal: Journal,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) clock: Clock,
    pub(crate) minter: Minter,
    pub(crate) tenants: Tenants,
    pub(crate) pauses: Pauses,
    pub(crate) options: EngineOptions,
    /// Where work is begun.
    pub(crate) runner: Runner,
    /// Cancelled when the engine begins to drain: no new intake, timers or attempts.
    pub(crate) draining: CancellationToken,
}

impl Host {
    /// The settings of `tenant`, as they are and were.
    pub(crate) fn policies(&self, tenant: &TenantId) -> Arc<Policies> {
        self.tenants.policies(tenant)
    }

    /// Waits before something is tried again, in the machine's time, and answers whether it is to be: the wait ends at
    /// once when the engine drains, and then nothing is begun any more.
    pub(crate) async fn hold_off(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.draining.cancelled() => false,
            () = self.runner.sleep(pause) => true,
        }
    }
}

/// A fault that a test may put into the engine: a turn for which it answers true panics.
#[cfg(feature = "testing")]
pub type TurnFault = Arc<dyn Fn(&crate::order::EntityRef, &str) -> bool + Send + Sync>;

/// The engine's limits. All are the machine's own, none depends on engine time.
#[derive(Clone)]
pub struct EngineOptions {
    /// Shard supervisors; entities are spread over them by id.
    pub shards: usize,
    /// Entity actors resident at once, over all shards.
    pub max_resident: usize,
    /// An entity actor that was asked nothing for so long is passivated.
    pub idle_after: Duration,
    /// Turns between two snapshots of an entity.
    pub snapshot_every: u64,
    /// Inbox entries and timers being handled at once, each.
    pub turns_in_flight: usize,
    /// Activities being performed at once.
    pub activities_in_flight: usize,
    /// Crashes of one item of work before it becomes a dead letter.
    pub crashes_max: u32,
    /// Tries of one activity before it becomes a dead letter.
    pub attempts_max: u32,
    /// How long a caller waits for a turn before the answer is "unknown".
    pub turn_timeout: Duration,
    /// Between two looks for a policy that is durable and not in force: after a change whose outcome was not known.
    pub policy_look: Duration,
    /// How long a drain waits for what is under way.
    pub drain_timeout: Duration,
    /// How long `advance` waits for everything to settle, in real time.
    pub settle_timeout: Duration,
    /// The fault that a test has put in.
    #[cfg(feature = "testing")]
    pub fault: Option<TurnFault>,
    /// What a simulation puts in the runtime's place.
    #[cfg(feature = "testing")]
    pub stepper: Option<crate::stepper::Stepper>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            shards: 16,
            max_resident: 20_000,
            idle_after: Duration::from_secs(300),
            snapshot_every: 64,
            turns_in_flight: 256,
            activities_in_flight: 64,
            crashes_max: 5,
            attempts_max: 12,
            turn_timeout: Duration::from_secs(30),
            policy_look: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(60),
            #[cfg(feature = "testing")]
            fault: None,
            #[cfg(feature = "testing")]
            stepper: None,
        }
    }
}
