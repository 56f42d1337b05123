//! Events as the outside reads them, a window of the feed at a time.
//!
//! Whoever follows reads at their own pace from the journal; nothing waits for them. Only what is durable is told.

use std::sync::Arc;

use serde_json::Value;
use throughline_storage::{
    append::StreamId,
    journal::{FeedEntry, FeedGroup, Journal},
};
use throughline_workflows::ids::TenantId;

use crate::{engine::Engine, relay, shared::Shared};

/// Feed groups looked at in one go.
const GROUPS_MAX: usize = 256;

/// One event in its outside form.
#[derive(Clone, Debug, PartialEq)]
pub struct OutsideEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its place in the whole store.
    pub seq: u64,
    /// Its place in its turn.
    pub index: u32,
    /// Its topic: one of [`Topic`](throughline_workflows::topic::Topic).
    pub topic: &'static str,
    /// What is told.
    pub body: Value,
}

/// A stretch of the feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// The events in it that were wanted, in order.
    pub events: Vec<OutsideEvent>,
    /// Up to where it was read: go on after this `seq`. Where it was asked from, if there is nothing new.
    pub reached: u64,
}

impl Engine {
    /// The last durable `seq`.
    pub fn last_seq(&self) -> u64 {
        self.shared.host.journal.head().seq
    }

    /// Up to which `seq` endpoints have been told; the last one where there are no endpoints in this engine.
    pub fn relayed_seq(&self) -> u64 {
        if relay::is_registered(&self.shared) { self.shared.gauges.relayed() } else { self.last_seq() }
    }

    /// The durable events after `after` with a topic that `wanted` keeps, of one tenant or of all, at most about `most`
    /// of them and from a bounded stretch of the feed.
    ///
    /// # Errors
    /// What the store says if it cannot be read. An event that cannot be read is passed over, and the log says so.
    pub async fn outside(
        &self,
        tenant: Option<TenantId>,
        after: u64,
        most: usize,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Window, String> {
        let shared = self.shared.clone();
        let read = move || read_window(&shared, tenant.as_ref(), after, most, &wanted);
        self.shared.host.runner.read(read).await?
    }

    /// Waits for durable events after `seq`. Answers false when the engine drains or its store has failed: then there
    /// will be none.
    pub async fn wait_beyond(&self, seq: u64) -> bool {
        let mut progress = self.shared.host.journal.progress();
        let news = progress.wait_for(|progress| progress.seq > seq || progress.failed.is_some());
        tokio::select! {
            biased;
            () = self.shared.host.draining.cancelled() => false,
            news = news => news.is_ok_and(|progress| progress.failed.is_none()),
        }
    }
}

fn read_window(
    shared: &Arc<Shared>,
    tenant: Option<&TenantId>,
    after: u64,
    most: usize,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Window, String> {
    let mut window = Window { events: Vec::new(), reached: after };
    for group in shared.host.journal.feed(after, GROUPS_MAX).map_err(|error| error.to_string())? {
        for (first_seq, entry) in entries(&group) {
            let last_seq = first_seq + u64::from(entry.events) - 1;
            if last_seq <= after {
                continue;
            }
            if tenant.is_none_or(|tenant| tenant.as_str() == entry.stream.tenant) {
                window.events.extend(events_of(shared, entry, first_seq, after + 1, wanted));
            }
            window.reached = last_seq;
            if window.events.len() >= most {
                return Ok(window);
            }
        }
        window.reached = group.last_seq;
    }
    Ok(window)
}

/// The entries of a group that hold events, each with the `seq` of its first.
pub(crate) fn entries(group: &FeedGroup) -> impl Iterator<Item = (u64, &FeedEntry)> {
    let mut next = group.first_seq;
    group.entries.iter().filter(|entry| entry.events > 0).map(move |entry| {
        let first = next;
        next += u64::from(entry.events);
        (first, entry)
    })
}

/// The wanted events of one entry. What cannot be read must not keep everybody from what comes after it.
pub(crate) fn events_of(
    shared: &Shared,
    entry: &FeedEntry,
    first_seq: u64,
    from_seq: u64,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<OutsideEvent> {
    let Some(entity) = shared.entity_of(&entry.stream) else { return Vec::new() };
    let Some(kind) = shared.kinds.get(entity.kind) else { return Vec::new() };
    let read = || {
        let stored = shared.host.journal.record(&entry.stream, entry.version);
        let stored = stored.map_err(|error| error.to_string())?.ok_or("it is missing")?;
        let record = stored.decode().map_err(|error| error.to_string())?;
        kind.inspector.outside(&entity, &record, first_seq, from_seq, wanted)
    };
    read().unwrap_or_else(|error: String| {
        tracing::error!(
            "entity.kind" = entity.kind, "entity.id" = %entity.id, version = entry.version, %error,
            "a record could not be told to the outside and is passed over"
        );
        Vec::new()
    })
}

/// The `seq` of an entity's first event; none for one that does not exist.
pub(crate) fn born_at(journal: &Journal, stream: &StreamId) -> Result<Option<u64>, String> {
    let first = journal.record(stream, 1).map_err(|error| error.to_string())?;
    Ok(first.map(|first| first.first_seq))
}
