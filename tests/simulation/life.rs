//! One life of the process: from its start on what is durable to its end, wherever that finds it.

use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use throughline::{config::Config, performers::Outside};
use throughline_actors::{
    clock::{Clock, Minter},
    engine::{Engine, EngineBuilder},
    host::EngineOptions,
    stepper::Stepper,
};
use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions, SteppedCommitter},
    store::{Store, memory::MemoryStore},
};
use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
};

use crate::providers::{StandIn, World};

/// What all processes have on their disk beside the journal: files, each under a name that its message alone has.
struct Beside {
    _folder: TempDir,
    blobs: Arc<Blobs>,
    outside: Outside,
}

static BESIDE: LazyLock<Beside> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.path = folder.path().to_owned();
    let blobs = Arc::new(Blobs::open(folder.path().join("blobs")).unwrap());
    // It hands over within the engine and sends nothing, so its own clock does not matter.
    let clock = Clock::manual(Timestamp::default());
    let outside = Outside::new(&config, blobs.clone(), clock).unwrap();
    Beside { _folder: folder, blobs, outside }
});

/// The tenant that there is in every world.
pub(crate) fn home() -> TenantId {
    TenantId::default_tenant()
}

/// The tenant that there is in some worlds beside it, with customers of the same names and addresses.
pub(crate) fn elsewhere() -> TenantId {
    "acme".parse().unwrap()
}

/// The process.
pub(crate) struct Life {
    pub(crate) number: usize,
    pub(crate) stepper: Stepper,
    pub(crate) committer: SteppedCommitter,
    pub(crate) clock: Clock,
    pub(crate) store: MemoryStore,
    /// The next so many turns crash.
    pub(crate) crashes: Arc<AtomicU32>,
    engine: Arc<Mutex<Option<Engine>>>,
    /// Whether the group that was begun is durable.
    pub(crate) synced: bool,
    /// Whether a group was answered that is not durable: only in a world with that twist.
    pub(crate) owes_sync: bool,
}

impl Life {
    /// `through` is what the journal writes through, and `store` what keeps it.
    pub(crate) fn begin(
        number: usize,
        seed: u64,
        world: &Arc<World>,
        store: MemoryStore,
        through: Arc<dyn Store>,
        at: Timestamp,
    ) -> Self {
        let stepper = Stepper::new();
        let clock = Clock::manual(at);
        store.faults().sync_by_hand();
        let ticking = clock.clone();
        let options = JournalOptions {
            now_ms: Arc::new(move || ticking.now().as_millis()),
            ..JournalOptions::default()
        };
        let (journal, committer) = Journal::open_stepped(through, options).unwrap();
        let crashes: Arc<AtomicU32> = Arc::default();
        let left = crashes.clone();
        let options = EngineOptions {
            snapshot_every: world.script.snapshot_every,
            // A change whose outcome nobody knew is rare, and every look is work.
            policy_look: Duration::from_secs(6 * 3_600),
            stepper: Some(stepper.clone()),
            fault: Some(Arc::new(move |_entity, _command| {
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
            })),
            ..EngineOptions::default()
        };
        let builder = EngineBuilder::new(journal, BESIDE.blobs.clone(), clock.clone())
            .minter(Minter::seeded(clock.clone(), seed.wrapping_mul(1_000).wrapping_add(number as u64)))
            .options(options)
            .policies(world.script.policies.clone());
        let stand_in = StandIn { outside: BESIDE.outside.clone(), world: world.clone() };
        let builder = throughline::app::workflows(builder, stand_in.clone(), stand_in.clone(), stand_in);
        let engine: Arc<Mutex<Option<Engine>>> = Arc::default();
        let started = engine.clone();
        stepper.spawn("start", async move {
            let engine = builder.start().await;
            // Without an engine the process ends, and the simulation sees that nothing goes on.
            *started.lock().unwrap() = engine.ok();
        });
        Self { number, stepper, committer, clock, store, crashes, engine, synced: false, owes_sync: false }
    }

    /// The engine, once it has started.
    pub(crate) fn engine(&self) -> Option<Engine> {
        self.engine.lock().unwrap().clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Both times pass: that of the engine and that of the machine.
    pub(crate) fn pass(&self, by: Span) {
        self.clock.move_to(self.clock.now() + by);
        self.stepper.pass(Duration::from_millis(by.as_millis()));
    }

    /// The clock on the wall is another at once: no time of the machine has passed.
    pub(crate) fn leap(&self, by: Span) {
        self.clock.move_to(self.clock.now() + by);
        self.stepper.pass(Duration::ZERO);
    }

    /// Whether nothing can go on but by what comes from outside.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = self.committer.waiting() == 0 && !self.committer.has_begun() && !self.owes_sync;
        idle && self.stepper.ready().is_empty()
    }

    /// The process ends as it stands; what was durable is left.
    pub(crate) fn end(&mut self) -> MemoryStore {
        self.stepper.end();
        self.engine.lock().unwrap().take();
        self.store.reopen()
    }
}
