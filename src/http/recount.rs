//! Figures that cost a walk: counted anew only as often as that stays cheap, and answered from memory in between.
//!
//! Whoever watches asks every few seconds, and there may be several of them. A small walk is simply taken again, so
//! that what is told is what is. A long one is taken for a small part of the time, and everybody is told what it found
//! until the next.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use throughline_actors::clock::Stopwatch;
use tokio::task::JoinError;

/// A walk over at most so many items is taken for everybody who asks.
const SMALL_MAX: u64 = 1_000;

/// A long walk is taken for at most one part of the time in so many.
const SHARE: u32 = 50;

/// What a long walk found is told for at least this, and for no more than the other, however long it took.
const AGES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a walk found.
pub(super) struct Walked<T> {
    pub(super) figures: T,
    /// What it looked at.
    pub(super) items: u64,
}

/// The last answer, and whether it still does.
pub(super) struct Recount<T> {
    last: Mutex<Option<Last<T>>>,
    /// Held by whoever counts, so that those who come meanwhile are answered by the same walk.
    counting: tokio::sync::Mutex<()>,
}

struct Last<T> {
    figures: Arc<T>,
    /// For how long it is told.
    good_for: Duration,
    since: Stopwatch,
}

impl<T> Default for Recount<T> {
    fn default() -> Self {
        Self { last: Mutex::default(), counting: tokio::sync::Mutex::default() }
    }
}

impl<T: Send + Sync + 'static> Recount<T> {
    /// What was counted a moment ago, or what `walk` counts. A walk that has begun is finished whoever still waits for
    /// it, so that the next to ask find it done.
    pub(super) async fn figures<E: Send + 'static>(
        self: &Arc<Self>,
        walk: impl Future<Output = Result<Walked<T>, E>> + Send + 'static,
    ) -> Result<Arc<T>, E> {
        if let Some(figures) = self.good() {
            return Ok(figures);
        }
        let recount = self.clone();
        let counted = tokio::spawn(async move {
            let _counting = recount.counting.lock().await;
            match recount.good() {
                Some(figures) => Ok(figures),
                None => recount.count(walk).await,
            }
        });
        match counted.await.map_err(JoinError::try_into_panic) {
            Ok(counted) => counted,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The process is ending, and with it whoever waits here.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    async fn count<E>(&self, walk: impl Future<Output = Result<Walked<T>, E>>) -> Result<Arc<T>, E> {
        let stopwatch = Stopwatch::start();
        let Walked { figures, items } = walk.await?;
        let figures = Arc::new(figures);
        let good_for = good_for(items, stopwatch.elapsed());
        let last = Last { figures: figures.clone(), good_for, since: Stopwatch::start() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(figures)
    }

    fn good(&self) -> Option<Arc<T>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|last| last.since.elapsed() < last.good_for).map(|last| last.figures.clone())
    }
}

/// For how long an answer is told that took a walk over so many items.
fn good_for(items: u64, took: Duration) -> Duration {
    if items <= SMALL_MAX { Duration::ZERO } else { took.saturating_mul(SHARE).clamp(AGES.0, AGES.1) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_small_walk_is_taken_again_and_a_long_one_for_a_small_part_of_the_time() {
        assert_eq!(good_for(SMALL_MAX, Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(good_for(100_000, Duration::from_millis(200)), Duration::from_secs(10));
        assert_eq!(good_for(2_000, Duration::from_millis(2)), AGES.0);
        assert_eq!(good_for(9_000_000, Duration::from_secs(20)), AGES.1);
    }

    #[tokio::test]
    async fn those_who_come_while_it_is_counted_are_answered_by_the_same_walk() {
        let (recount, walks) = (Arc::new(Recount::default()), Arc::new(AtomicU64::new(0)));
        let (begun, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let walk = |items: u64| {
            let (walks, begun, go_on) = (walks.clone(), begun.clone(), go_on.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                Ok::<_, String>(Walked { figures: walks.fetch_add(1, Ordering::SeqCst), items })
            }
        };
        let first = tokio::spawn({
            let (recount, walk) = (recount.clone(), walk(u64::MAX));
            async move { recount.figures(walk).await }
        });
        begun.notified().await;
        // It waits no more, and what it began is finished all the same.
        first.abort();
        let second = tokio::spawn({
            let (recount, walk) = (recount.clone(), walk(u64::MAX));
            async move { recount.figures(walk).await }
        });
        go_on.notify_one();
        assert_eq!(*second.await.unwrap().unwrap(), 0);
        assert_eq!(*recount.figures(walk(1)).await.unwrap(), 0);
        assert_eq!(walks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_small_is_always_counted_and_a_failure_is_not_kept() {
        let recount = Arc::new(Recount::default());
        let found = |number: u64| async move { Ok::<_, String>(Walked { figures: number, items: 1 }) };
        assert_eq!(*recount.figures(found(1)).await.unwrap(), 1);
        assert_eq!(*recount.figures(found(2)).await.unwrap(), 2);
        let failed = recount.figures(async { Err("unreadable".to_owned()) }).await;
        assert_eq!(failed.unwrap_err(), "unreadable");
        assert_eq!(*recount.figures(found(3)).await.unwrap(), 3);
    }
}
