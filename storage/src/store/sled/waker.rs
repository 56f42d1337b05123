//! Wakes a flush that would wait for ever.
//!
//! Where a write fails that the last of its authors handed to the engine's own threads, the engine notes the failure
//! and wakes nobody (`Log::exit_reservation` of 0.34.7). Whoever begins another flush finds the note, and wakes all
//! who wait. So while one flush lasts, others are begun beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at the flush that is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Looks after the flushes of one store, until it is dropped.
pub(super) struct Waker {
    /// Odd while a flush is under way.
    flushes: Arc<AtomicU64>,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    /// `flush` begins another flush and panics never.
    pub(super) fn new(flush: impl Fn() + Clone + Send + 'static) -> std::io::Result<Self> {
        let (end, ended) = mpsc::channel::<()>();
        let flushes = Arc::new(AtomicU64::new(0));
        let seen = flushes.clone();
        let look = move || {
            let (mut last, mut beside) = (0, Vec::new());
            while ended.recv_timeout(LOOK_AGAIN) == Err(RecvTimeoutError::Timeout) {
                let now = seen.load(Ordering::SeqCst);
                if now % 2 == 1 && now == last {
                    // In a thread of its own: it may have to be woken itself.
                    beside.extend(thread::Builder::new().name("flush".to_owned()).spawn(flush.clone()));
                }
                beside.retain(|flush: &JoinHandle<()>| !flush.is_finished());
                last = now;
            }
            for flush in beside {
                let _ = flush.join(); // It panics never.
            }
        };
        let thread = thread::Builder::new().name("flush waker".to_owned()).spawn(look)?;
        Ok(Self { flushes, end: Some(end), thread: Some(thread) })
    }

    /// Has an eye on `flush` while it lasts.
    pub(super) fn watch<T>(&self, flush: impl FnOnce() -> T) -> T {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        let _over = Over(&self.flushes);
        flush()
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // It has no way to panic.
        }
    }
}

/// A flush is over when this is dropped, by a panic too.
struct Over<'a>(&'a AtomicU64);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_that_waits_for_another_gets_one() {
        let (begin, begun) = mpsc::channel();
        let waker = Waker::new(move || begin.send(()).unwrap_or(())).unwrap();
        assert_eq!(waker.watch(|| begun.recv_timeout(Duration::from_secs(60))), Ok(()));
    }

    #[test]
    fn where_nobody_flushes_none_is_begun() {
        let (begin, begun) = mpsc::channel::<()>();
        let waker = Waker::new(move || begin.send(()).unwrap_or(())).unwrap();
        waker.watch(|| ());
        assert_eq!(begun.recv_timeout(LOOK_AGAIN * 4), Err(RecvTimeoutError::Timeout));
    }
}
