//! Moving the manual clock: stop at every due moment on the way and let everything there come to rest.
//!
//! The clock's time is written before the work of a moment begins, so that a crash goes on from there.

use std::time::Duration;

use throughline_storage::{
    append::{Append, RowChange},
    codec, keys,
};
use throughline_workflows::time::{Span, Timestamp};

use crate::{clock::ClockMode, engine::Engine, relay};

/// Between two looks at whether everything has come to rest.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Why the clock was not moved to the end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The folder runs on the system clock.
    #[error("the clock runs by itself; only clock.mode = \"manual\" can be advanced")]
    NotManual,
    /// Something did not come to rest in time.
    #[error("at {at} these did not settle within {patience:?}: {unsettled}")]
    Unsettled {
        /// Where the clock stands.
        at: Timestamp,
        /// How long was waited, in real time.
        patience: Duration,
        /// What is still under way.
        unsettled: String,
    },
    /// The store cannot be read or written.
    #[error("{0}")]
    Store(String),
}

/// The key under which the manual clock's time is kept.
pub fn clock_key() -> Vec<u8> {
    keys::setting("clock")
}

/// The clock as it is kept: its mode and, for a manual one, its time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeptClock {
    /// `system` or `manual`.
    pub mode: String,
    /// Where a manual clock stands, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Engine {
    /// Moves the manual clock forward by `by`, stopping at every due moment on the way.
    ///
    /// # Errors
    /// [`AdvanceError`]; the clock then stands where it got to.
    pub async fn advance(&self, by: Span) -> Result<Timestamp, AdvanceError> {
        if self.clock().mode() != ClockMode::Manual {
            return Err(AdvanceError::NotManual);
        }
        let _one_at_a_time = self.shared.advancing.lock().await;
        let end = self.now() + by;
        self.settle().await?;
        while let Some(next) = self.next_moment(end)? {
            self.move_clock(next).await?;
            self.settle().await?;
        }
        self.move_clock(end).await?;
        self.settle().await?;
        Ok(self.now())
    }

    /// Returns once nothing is due, nothing is under way and the lists show everything.
    ///
    /// # Errors
    /// [`AdvanceError::Unsettled`] if that takes too long.
    pub async fn settle(&self) -> Result<(), AdvanceError> {
        let patience = self.shared.host.options.settle_timeout;
        let settled = async {
            loop {
                // What looks done may not be durable yet: only what still looks done after the barrier is.
                if self.unsettled()?.is_none() {
                    self.barrier().await.map_err(AdvanceError::Store)?;
                    if self.unsettled()?.is_none() {
                        return Ok(());
                    }
                }
                self.shared.host.runner.sleep(LOOK_AGAIN).await;
            }
        };
        match self.shared.host.runner.timeout(patience, settled).await {
            Ok(settled) => settled,
            Err(_) => Err(AdvanceError::Unsettled {
                at: self.now(),
                patience,
                unsettled: self.unsettled()?.unwrap_or_default(),
            }),
        }
    }

    /// The next moment at which something is due, up to `end`.
    fn next_moment(&self, end: Timestamp) -> Result<Option<Timestamp>, AdvanceError> {
        let (journal, pauses) = (&self.shared.host.journal, &self.shared.host.pauses);
        let timers = pauses.timers(journal, end.as_millis(), 1).map_err(store)?;
        let activities = pauses.activities(journal, end.as_millis(), 1).map_err(store)?;
        let timer = timers.first().map(|timer| timer.key.fire_at_ms);
        let activity = activities.first().map(|activity| activity.key.ready_at_ms);
        Ok(timer.into_iter().chain(activity).min().map(Timestamp::from_millis))
    }

    /// Up to which number the inbox holds nothing but what waits for paused entities.
    fn rests_up_to(&self) -> u64 {
        let (waiting, _, _) = self.shared.gauges.read();
        let rest = self.shared.gauges.rest().filter(|_| waiting == 0);
        let change = self.shared.host.pauses.change();
        rest.filter(|rest| rest.change == change).map_or(0, |rest| rest.reached)
    }

    async fn move_clock(&self, to: Timestamp) -> Result<(), AdvanceError> {
        let to = to.max(self.now());
        let kept = KeptClock { mode: ClockMode::Manual.as_str().to_owned(), at_ms: to.as_millis() };
        let rows = vec![RowChange { key: clock_key(), value: Some(codec::encode(&kept)) }];
        self.shared.host.journal.commit(Append { rows, ..Append::default() }).await.map_err(store)?;
        self.clock().move_to(to);
        Ok(())
    }

    /// What is still under way or due; none when all is at rest.
    fn unsettled(&self) -> Result<Option<String>, AdvanceError> {
        let (journal, pauses) = (&self.shared.host.journal, &self.shared.host.pauses);
        let now = self.now().as_millis();
        let mut busy = Vec::new();
        if !journal.inbox(self.rests_up_to(), 1).map_err(store)?.is_empty() {
            busy.push("messages in the inbox");
        }
        if !pauses.timers(journal, now, 1).map_err(store)?.is_empty() {
            busy.push("due timers");
        }
        if !pauses.activities(journal, now, 1).map_err(store)?.is_empty() {
            busy.push("ready activities");
        }
        if !self.shared.host.tenants.to_sweep().is_empty() {
            busy.push("a changed policy on its way to the entities");
        }
        if !self.shared.views.is_empty() && self.views().reached() < journal.head().seq {
            busy.push("lists behind the journal");
        }
        if relay::is_registered(&self.shared) && self.shared.gauges.relayed() < journal.head().seq {
            busy.push("events that endpoints have not been told of");
        }
        Ok((!busy.is_empty()).then(|| busy.join(", ")))
    }
}

fn store(error: impl std::fmt::Display) -> AdvanceError {
    AdvanceError::Store(error.to_string())
}
