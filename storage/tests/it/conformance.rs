//! Every engine passes the same suite.

use std::sync::{Arc, Mutex};

use throughline_storage::conformance::{self, Place};
use throughline_storage::store::memory::{Failure, MemoryStore};
use throughline_storage::store::{Engine, Store, StoreOptions};

#[test]
fn memory_passes_the_suite() {
    conformance::run(|| Box::new(Memory::default()));
}

#[test]
fn memory_behaves_like_a_map() {
    conformance::run_model(256, || Box::new(Memory::default()));
}

#[test]
fn sled_passes_the_suite() {
    conformance::run(|| Box::new(Folder::new(Engine::Sled)));
}

#[test]
fn sled_behaves_like_a_map() {
    conformance::run_model(40, || Box::new(Folder::new(Engine::Sled)));
}

#[test]
fn fjall_passes_the_suite() {
    conformance::run(|| Box::new(Folder::new(Engine::Fjall)));
}

#[test]
fn fjall_behaves_like_a_map() {
    conformance::run_model(40, || Box::new(Folder::new(Engine::Fjall)));
}

/// Memory that is reopened by cutting the power: only what was durable comes back.
#[derive(Default)]
struct Memory(Mutex<MemoryStore>);

impl Place for Memory {
    fn open(&self) -> Arc<dyn Store> {
        let mut store = self.0.lock().unwrap();
        *store = store.reopen();
        Arc::new(store.clone())
    }

    fn fail_next_sync(&self) -> bool {
        self.0.lock().unwrap().faults().fail_next(Failure::AfterWriting);
        true
    }
}

struct Folder(Engine, tempfile::TempDir);

impl Folder {
    fn new(engine: Engine) -> Self {
        Self(engine, tempfile::tempdir().unwrap())
    }
}

impl Place for Folder {
    fn open(&self) -> Arc<dyn Store> {
        self.0.open(self.1.path().join("store"), StoreOptions::default()).unwrap()
    }
}
