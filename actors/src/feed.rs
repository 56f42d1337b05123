//! The feed as operators read it, and a copy of everything while the engine runs.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use throughline_storage::{
    archive::Base,
    backup::{Backup, BackupError, BackupOptions},
    journal::{FeedEntry, Head},
};
use throughline_workflows::ids::TenantId;
use uuid::Uuid;

use crate::{engine::Engine, introspect::HistoryEntry, outside::entries, shared::Shared};

/// Feed groups looked at in one go.
const GROUPS_MAX: usize = 256;

/// One event of the feed, with whose it is.
#[derive(Clone, Debug, Serialize)]
pub struct FeedEvent {
    /// The tenant.
    pub tenant: String,
    /// The entity's kind.
    pub kind: String,
    /// The entity.
    pub id: Uuid,
    /// The event and what caused it.
    #[serde(flatten)]
    pub event: HistoryEntry,
}

/// A stretch of the feed, as operators read it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FeedWindow {
    /// The events in it that were wanted, in order.
    pub events: Vec<FeedEvent>,
    /// Up to where it was read: go on after this `seq`.
    pub reached: u64,
    /// Records in it that could not be read: tenant, kind, entity, version, and why.
    pub unreadable: Vec<String>,
}

impl FeedWindow {
    fn has_something(&self) -> bool {
        !self.events.is_empty() || !self.unreadable.is_empty()
    }
}

impl Engine {
    /// The durable events after `after`, at most about `most` of them, of one tenant or of all. Where there are none it
    /// waits for some, as long as `patience`.
    ///
    /// # Errors
    /// What the store says if the feed cannot be read.
    pub async fn feed(
        &self,
        tenant: Option<TenantId>,
        after: u64,
        most: usize,
        patience: Duration,
    ) -> Result<FeedWindow, String> {
        let first = self.read_feed(tenant.clone(), after, most).await?;
        if first.has_something() || patience.is_zero() {
            return Ok(first);
        }
        let mut reached = first.reached;
        let waiting = async {
            // What others wrote is passed over, and is not read again.
            while self.wait_beyond(reached).await {
                let found = self.read_feed(tenant.clone(), reached, most).await?;
                reached = found.reached;
                if found.has_something() {
                    return Ok(found);
                }
            }
            Ok(FeedWindow { reached, ..FeedWindow::default() })
        };
        match self.shared.host.runner.timeout(patience, waiting).await {
            Ok(found) => found,
            Err(_) => Ok(FeedWindow { reached, ..FeedWindow::default() }),
        }
    }

    async fn read_feed(
        &self,
        tenant: Option<TenantId>,
        after: u64,
        most: usize,
    ) -> Result<FeedWindow, String> {
        let shared = self.shared.clone();
        let read = move || window(&shared, tenant.as_ref(), after, most);
        self.shared.host.runner.read(read).await?
    }

    /// The end of the durable feed, whose hash stands for everything.
    pub fn feed_head(&self) -> Head {
        self.shared.host.journal.head()
    }

    /// Begins a copy of everything, with `files` of the data folder, to be read piece by piece while the engine goes on.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn backup(
        &self,
        files: Vec<(String, Vec<u8>)>,
        base: Option<Base>,
        program: &str,
    ) -> Result<Backup, BackupError> {
        let host = &self.shared.host;
        let (blobs, program) = (host.blobs.clone(), program.to_owned());
        host.journal.backup(BackupOptions { blobs, files, base, program }).await
    }
}

fn window(
    shared: &Arc<Shared>,
    tenant: Option<&TenantId>,
    after: u64,
    most: usize,
) -> Result<FeedWindow, String> {
    let mut window = FeedWindow { reached: after, ..FeedWindow::default() };
    for group in shared.host.journal.feed(after, GROUPS_MAX).map_err(|error| error.to_string())? {
        for (first_seq, entry) in entries(&group) {
            let last_seq = first_seq + u64::from(entry.events) - 1;
            if last_seq <= after {
                continue;
            }
            if tenant.is_none_or(|tenant| tenant.as_str() == entry.stream.tenant) {
                match events_of(shared, entry, first_seq) {
                    Ok(events) => {
                        window.events.extend(events.into_iter().filter(|event| event.event.seq > after));
                    }
                    Err(error) => {
                        let (stream, version) = (&entry.stream, entry.version);
                        let (tenant, kind, id) = (&stream.tenant, &stream.kind, stream.entity);
                        window.unreadable.push(format!("{tenant} {kind} {id} version {version}: {error}"));
                    }
                }
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

fn events_of(shared: &Shared, entry: &FeedEntry, first_seq: u64) -> Result<Vec<FeedEvent>, String> {
    let entity = shared.entity_of(&entry.stream).ok_or("no workflow of this program has this kind")?;
    let kind = shared.kinds.get(entity.kind).ok_or("no workflow of this program has this kind")?;
    let stored = shared.host.journal.record(&entry.stream, entry.version);
    let stored = stored.map_err(|error| error.to_string())?.ok_or("it is missing")?;
    let record = stored.decode().map_err(|error| error.to_string())?;
    let events = kind.inspector.record(&entity, &record, first_seq)?;
    let named = |event| FeedEvent {
        tenant: entity.tenant.to_string(),
        kind: entity.kind.to_owned(),
        id: entity.id,
        event,
    };
    Ok(events.into_iter().map(named).collect())
}
