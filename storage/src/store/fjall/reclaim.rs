//! Frees what the engine has done with, where nobody waits for it.
//!
//! The engine frees a memory table that is written, and removes the files of tables that are merged, while it holds the
//! lock that every read and every commit needs, each for tens of milliseconds; a commit that seals a memory table does
//! it by itself (`SuperVersions::maintenance` of 3.1.10). What it gives up there are references. So others are kept
//! here: whoever gives up the last one does the work.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at what the engine has. A table that came and went between them the engine removes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Each view is kept for so many looks, some seconds: the engine, while it is written to, has forgotten it by then.
const LOOKS_KEPT: usize = 150;

/// The same once nothing has been sealed for as many looks. Little is merged then; a memory table may still be about.
const LOOK_WHEN_QUIET: Duration = Duration::from_secs(1);

/// A memory table; the engine's type of it has no name outside of the engine.
pub(super) type MemoryTable = Arc<dyn Any + Send + Sync>;

/// Does so for one keyspace, until it is dropped.
pub(super) struct Reclaimer {
    /// Dropped to end the thread.
    sealed: Option<Sender<MemoryTable>>,
    thread: Option<JoinHandle<()>>,
}

impl Reclaimer {
    /// `view` tells which tables there are now, and what it tells keeps them.
    pub(super) fn new<V: 'static>(view: impl Fn() -> V + Send + 'static) -> std::io::Result<Self> {
        let (sealed, tables) = mpsc::channel();
        let thread = thread::Builder::new().name("reclaim".to_owned()).spawn(move || run(&view, &tables))?;
        Ok(Self { sealed: Some(sealed), thread: Some(thread) })
    }

    /// This memory table is about to be sealed and written, and tables may be merged after that.
    pub(super) fn sealing(&self, table: MemoryTable) {
        if let Some(sealed) = &self.sealed {
            let _ = sealed.send(table); // Without the thread the engine does the work by itself.
        }
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.sealed = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // Where it panicked, it holds nothing any more.
        }
    }
}

fn run<V>(view: &impl Fn() -> V, sealed: &Receiver<MemoryTable>) {
    let (mut tables, mut views) = (Vec::new(), VecDeque::new());
    let mut looks_left = 0;
    loop {
        match sealed.recv_timeout(if looks_left == 0 { LOOK_WHEN_QUIET } else { LOOK_AGAIN }) {
            Ok(table) => {
                tables.push(table);
                looks_left = LOOKS_KEPT;
            }
            Err(RecvTimeoutError::Timeout) => looks_left = looks_left.saturating_sub(1),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        tables.retain(|table| Arc::strong_count(table) > 1);
        if looks_left == 0 {
            views.clear();
        } else {
            views.push_back(view());
            if views.len() > LOOKS_KEPT {
                views.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Tells which thread freed it.
    struct Told(&'static str, Sender<(&'static str, Option<String>)>);

    impl Drop for Told {
        fn drop(&mut self) {
            let thread = thread::current().name().map(str::to_owned);
            self.1.send((self.0, thread)).unwrap();
        }
    }

    fn by_the_reclaimer(what: &'static str) -> Result<(&'static str, Option<String>), RecvTimeoutError> {
        Ok((what, Some("reclaim".to_owned())))
    }

    #[test]
    fn a_memory_table_is_freed_once_the_engine_has_given_it_up() {
        let (tell, told) = mpsc::channel();
        let reclaimer = Reclaimer::new(|| ()).unwrap();
        let tables = ["first", "second"].map(|name| Arc::new(Told(name, tell.clone())));
        tables.iter().for_each(|table| reclaimer.sealing(table.clone()));
        let [first, second] = tables;
        drop(second);
        assert_eq!(told.recv_timeout(PATIENCE), by_the_reclaimer("second"));
        assert!(told.try_recv().is_err(), "the engine still has the first");
        drop(first);
        assert_eq!(told.recv_timeout(PATIENCE), by_the_reclaimer("first"));
    }

    #[test]
    fn merged_tables_are_removed_a_while_after_the_engine_has_given_them_up() {
        let (tell, told) = mpsc::channel();
        let now = Arc::new(Mutex::new(Arc::new(Told("merged", tell.clone()))));
        let (look, looked) = mpsc::channel();
        let seen = now.clone();
        let reclaimer = Reclaimer::new(move || {
            look.send(()).unwrap();
            seen.lock().unwrap().clone()
        });
        let reclaimer = reclaimer.unwrap();
        reclaimer.sealing(Arc::new(()));
        looked.recv_timeout(PATIENCE).unwrap();
        *now.lock().unwrap() = Arc::new(Told("new", tell));
        assert_eq!(told.recv_timeout(PATIENCE), by_the_reclaimer("merged"));
        drop(reclaimer);
        assert!(told.try_recv().is_err(), "the new ones are there to stay");
    }

    #[test]
    fn once_it_is_dropped_nothing_is_kept() {
        let reclaimer = Reclaimer::new(|| ()).unwrap();
        let table = Arc::new(());
        reclaimer.sealing(table.clone());
        drop(reclaimer);
        assert_eq!(Arc::strong_count(&table), 1);
    }
}
