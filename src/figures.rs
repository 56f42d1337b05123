//! What the rows of a tenant's conversations add up to, for metrics and reports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use throughline_actors::engine::Engine;
use throughline_workflows::{
    ids::TenantId,
    time::Timestamp,
    views::{
        inbox::{Inbox, InboxRow},
        silence::{Waiting, WaitingRow},
    },
};

/// What the rows of a tenant's conversations add up to.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many have each status.
    pub(crate) by_status: BTreeMap<&'static str, u64>,
    /// How many of their customers wait for us, or cannot be reached.
    pub(crate) listed: u64,
    /// How many of their customers wait for us.
    pub(crate) waiting: u64,
    /// How many of those will be written to in time.
    pub(crate) in_time: u64,
    /// How many of those should have been written to by now, and still have to hear from us in time.
    pub(crate) at_risk: u64,
    /// How many of those have heard nothing for longer than they may.
    pub(crate) overdue: u64,
    /// How many of their customers cannot be reached.
    pub(crate) unreachable: u64,
    /// Since when the customer who has waited longest has heard nothing; none while nobody waits.
    pub(crate) silent_since: Option<Timestamp>,
}

/// Looks at every row of the list. None is kept: there may be very many.
///
/// # Errors
/// What the store says if it cannot be read.
pub(crate) async fn of_conversations(engine: &Engine, tenant: &TenantId) -> Result<Seen, String> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let look = seen.clone();
    let weigh = move |row: &InboxRow| {
        look.lock().unwrap_or_else(PoisonError::into_inner).see(row);
        false
    };
    let read = engine.views().page::<Inbox>(tenant, 0, 0, weigh).await;
    read.map_err(|error| error.to_string())?;
    let (look, now) = (seen.clone(), engine.now());
    let weigh = move |row: &WaitingRow| {
        look.lock().unwrap_or_else(PoisonError::into_inner).hear(row, now);
        false
    };
    let read = engine.views().page::<Waiting>(tenant, 0, 0, weigh).await;
    read.map_err(|error| error.to_string())?;
    Ok(std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl Seen {
    fn see(&mut self, row: &InboxRow) {
        *self.by_status.entry(row.status.as_str()).or_default() += 1;
    }

    fn hear(&mut self, row: &WaitingRow, now: Timestamp) {
        self.listed += 1;
        if let Some(since) = row.since() {
            self.waiting += 1;
            self.silent_since = Some(self.silent_since.map_or(since, |earliest| earliest.min(since)));
        }
        // Whoever cannot be reached is counted as that.
        if let Some((write_at, due_at)) = row.next_update().filter(|_| !row.is_unreachable()) {
            self.in_time += u64::from(now <= write_at);
            self.at_risk += u64::from(write_at < now && now <= due_at);
            self.overdue += u64::from(due_at < now);
        }
        self.unreachable += u64::from(row.is_unreachable());
    }
}
