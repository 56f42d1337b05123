//! Puts an engine together and brings it up, its tasks under watch.

use std::{
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use throughline_storage::{blobs::Blobs, journal::Journal};
use throughline_workflows::{
    ids::TenantId, policy::Policy, policy_book::PolicyFile, views::View, workflow::Workflow,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::{
    activities,
    clock::{Clock, Minter},
    entity::{TurnSource, TurnsOf},
    host::{EngineOptions, Host},
    intake,
    introspect::inspector::InspectorOf,
    offline::Offline,
    order::{AnyCommand, panic_text},
    pauses::Pauses,
    performer::{Performer, PerformerOf},
    projector::{self, AnyView, ViewOf, Views},
    relay, replay,
    retries::Trying,
    runner::Runner,
    shared::{Kind, Shared, TaskGauges},
    supervisor::Registry,
    sweep,
    tenants::{Tenant, Tenants},
    timers, upkeep,
};

/// Puts an engine together.
pub struct EngineBuilder {
    journal: Journal,
    blobs: Arc<Blobs>,
    clock: Clock,
    minter: Option<Minter>,
    options: EngineOptions,
    tenants: BTreeMap<TenantId, Tenant>,
    turns: HashMap<&'static str, Arc<dyn TurnSource>>,
    kinds: BTreeMap<&'static str, Kind>,
    views: Vec<Box<dyn AnyView>>,
}

impl EngineBuilder {
    /// An engine over `journal` and `blobs`, in the time of `clock`.
    pub fn new(journal: Journal, blobs: Arc<Blobs>, clock: Clock) -> Self {
        Self {
            journal,
            blobs,
            clock,
            minter: None,
            options: EngineOptions::default(),
            tenants: BTreeMap::new(),
            turns: HashMap::new(),
            kinds: BTreeMap::new(),
            views: Vec::new(),
        }
    }

    /// The engine's limits.
    #[must_use]
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// The tenants and their settings, as a configuration says them that insists on nothing.
    #[must_use]
    pub fn policies(mut self, policies: impl IntoIterator<Item = (TenantId, Policy)>) -> Self {
        self.tenants =
            policies.into_iter().map(|(tenant, policy)| (tenant, Tenant::of_policy(policy))).collect();
        self
    }

    /// The tenants, and what the configuration says of their settings.
    #[must_use]
    pub fn policy_files(mut self, files: impl IntoIterator<Item = (TenantId, PolicyFile)>) -> Self {
        // What is in force is read from the policy streams before anything is done.
        let tenant = |file| Tenant::of_file(file, Policy::default());
        self.tenants = files.into_iter().map(|(name, file)| (name, tenant(file))).collect();
        self
    }

    /// Where ids come from; the operating system's chance unless said otherwise.
    #[must_use]
    pub fn minter(mut self, minter: Minter) -> Self {
        self.minter = Some(minter);
        self
    }

    /// Registers a workflow and who performs its activities.
    #[must_use]
    pub fn workflow<W: Workflow>(mut self, performer: impl Performer<W>) -> Self {
        self.turns.insert(W::KIND, Arc::new(TurnsOf::<W>(PhantomData)));
        let kind = Kind {
            performer: Arc::new(PerformerOf::<W, _> { performer, of: PhantomData }),
            inspector: Arc::new(InspectorOf::<W>(PhantomData)),
            deadlines_revision: W::DEADLINES_REVISION,
            policy_changed: W::policy_changed().map(|command| Arc::new(command) as AnyCommand),
        };
        self.kinds.insert(W::KIND, kind);
        self
    }

    /// Registers a view, to be fed from the journal.
    #[must_use]
    pub fn view<V: View>(mut self) -> Self {
        self.views.push(Box::new(ViewOf::<V>(PhantomData)));
        self
    }

    /// The journal with the registered workflows and views, and no engine: to look through and mend.
    pub fn offline(self) -> Offline {
        let kinds = self.kinds.into_iter();
        let kinds = kinds.map(|(name, kind)| (name, (kind.inspector, kind.deadlines_revision))).collect();
        Offline { journal: self.journal, kinds, views: self.views }
    }

    /// Brings the engine up.
    ///
    /// # Errors
    /// [`StartError`] if the supervision tree does not start, or the settings of a tenant cannot be adopted.
    pub async fn start(self) -> Result<Engine, StartError> {
        let minter = self.minter.unwrap_or_else(|| Minter::new(self.clock.clone()));
        let pauses = Pauses::read(&self.journal)
            .map_err(|error| StartError(format!("which entities are paused cannot be read: {error}")))?;
        let runner = Runner::new()
            .map_err(|error| StartError(format!("the threads that read cannot be made: {error}")))?;
        #[cfg(feature = "testing")]
        let runner = runner.stepped(self.options.stepper.clone());
        let host = Arc::new(Host {
            pauses,
            journal: self.journal,
            blobs: self.blobs,
            clock: self.clock,
            minter,
            tenants: Tenants::new(self.tenants),
            runner,
            options: self.options,
            draining: CancellationToken::new(),
        });
        let registry = Registry::start(host.clone(), self.turns)
            .await
            .map_err(|error| StartError(format!("the supervision tree did not start: {error}")))?;
        let gauges = TaskGauges::default();
        let (projected, reached) = watch::channel(0);
        let broken = watch::Sender::new(None);
        let shared = Arc::new(Shared {
            host: host.clone(),
            registry,
            kinds: self.kinds,
            views: self.views,
            lists: Views::new(host.journal.clone(), reached, host.runner.clone()),
            broken: broken.clone(),
            tasks: std::sync::Mutex::default(),
            gauges,
            trying: Trying::default(),
            replay: replay::Run::default(),
            reports_dropped: std::sync::atomic::AtomicU64::new(0),
            advancing: tokio::sync::Mutex::new(()),
            policy_change: tokio::sync::Mutex::new(()),
        });
        super::policy::adopt_all(&shared).await?;
        let watched = |name, task: BoxFuture<'static, ()>| {
            host.runner.spawn(name, watched(name, task, host.clone(), broken.clone()))
        };
        let tasks = vec![
            watched("intake", Box::pin(intake::run(shared.clone()))),
            watched("timers", Box::pin(timers::run(shared.clone()))),
            watched("activities", Box::pin(activities::run(shared.clone()))),
            watched("projector", Box::pin(projector::run(shared.clone(), projected))),
            watched("relay", Box::pin(relay::run(shared.clone()))),
            watched("upkeep", Box::pin(upkeep::run(shared.clone()))),
            watched("sweep", Box::pin(sweep::run(shared.clone()))),
            watched("supervision", Box::pin(shared.registry.clone().ended())),
            watched("store", Box::pin(failure_of_the_store(host.clone()))),
        ];
        *shared.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = tasks;
        Ok(Engine { shared })
    }
}

/// Why the engine did not start.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub(super) String);

/// Runs one of the engine's tasks. They end only when the engine drains: one that ends before, or panics, breaks the
/// engine, and all other work stops, since what is taken in would not be carried on.
async fn watched(
    name: &'static str,
    task: BoxFuture<'static, ()>,
    host: Arc<Host>,
    broken: watch::Sender<Option<String>>,
) {
    let ended = AssertUnwindSafe(task).catch_unwind().await;
    if host.draining.is_cancelled() && ended.is_ok() {
        return;
    }
    let reason = match ended {
        Ok(()) => host.journal.stats().failed.unwrap_or_else(|| format!("{name} ended by itself")),
        Err(panic) => format!("{name} panicked: {}", panic_text(&*panic)),
    };
    tracing::error!(task = name, %reason, "the engine is broken and stops");
    broken.send_if_modified(|first| {
        let news = first.is_none();
        first.get_or_insert(reason);
        news
    });
    host.draining.cancel();
}

/// Ends once the store has failed: what cannot be recorded must not be done.
async fn failure_of_the_store(host: Arc<Host>) {
    let mut progress = host.journal.progress();
    tokio::select! {
        biased;
        () = host.draining.cancelled() => {}
        _ = progress.wait_for(|progress| progress.failed.is_some()) => {}
    }
}
