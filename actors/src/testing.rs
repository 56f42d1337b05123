//! A world in a box: the real engine on a store in memory and a clock that stands until it is moved.

use std::sync::Arc;

use throughline_storage::{
    blobs::Blobs,
    journal::{Journal, JournalOptions},
    store::memory::MemoryStore,
};
use throughline_workflows::{
    ids::TenantId,
    policy::Policy,
    time::Timestamp,
    workflow::{By, Cause, CauseKind},
};
use uuid::Uuid;

use crate::{
    clock::Clock,
    engine::{Engine, EngineBuilder},
    host::EngineOptions,
    order::CommandMeta,
};

/// What survives an engine: its store, its blobs and its clock.
pub struct World {
    /// The store; its faults can be injected.
    pub store: MemoryStore,
    /// The clock, which stands until it is moved.
    pub clock: Clock,
    /// The engine's limits.
    pub options: EngineOptions,
    blobs: tempfile::TempDir,
}

impl World {
    /// An empty world at 2026-11-02 09:00 UTC, a Monday.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    #[expect(clippy::expect_used, reason = "a test's own set-up")]
    pub fn new() -> Self {
        let at = "2026-11-02T09:00:00Z".parse::<Timestamp>().expect("a time");
        Self {
            store: MemoryStore::new(),
            clock: Clock::manual(at),
            options: EngineOptions { shards: 2, ..EngineOptions::default() },
            blobs: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The tenant of every test.
    pub fn tenant() -> TenantId {
        TenantId::default_tenant()
    }

    /// Starts an engine on what is in the store; `register` adds workflows and views.
    ///
    /// # Panics
    /// If the store cannot be opened or the engine does not start.
    #[expect(clippy::expect_used, reason = "a test's own set-up")]
    pub async fn start(&self, register: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
        register(self.builder()).start().await.expect("the engine starts")
    }

    /// What an engine on what is in the store is made with.
    ///
    /// # Panics
    /// If the store cannot be opened.
    #[expect(clippy::expect_used, reason = "a test's own set-up")]
    pub fn builder(&self) -> EngineBuilder {
        let clock = self.clock.clone();
        let options =
            JournalOptions { now_ms: Arc::new(move || clock.now().as_millis()), ..JournalOptions::default() };
        let journal = Journal::open(Arc::new(self.store.clone()), options).expect("the store opens");
        let blobs = Arc::new(Blobs::open(self.blobs.path()).expect("the blob folder opens"));
        EngineBuilder::new(journal, blobs, self.clock.clone())
            .options(self.options.clone())
            .policies([(Self::tenant(), Policy::default())])
    }

    /// The world after a power cut: what was durable, and nothing else, on a clock of its own. An engine of before
    /// stands still on the former one.
    #[must_use]
    pub fn after_power_cut(self) -> Self {
        Self { store: self.store.reopen(), clock: Clock::manual(self.clock.now()), ..self }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Who asks in tests: the engine itself, under a correlation of its own.
pub fn meta(engine: &Engine) -> CommandMeta {
    CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: Uuid::nil().to_string() },
        correlation: engine.mint(),
        idempotency: None,
    }
}
