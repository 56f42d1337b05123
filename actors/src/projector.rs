//! Feeds views from the journal.
//!
//! One task reads the feed up to the durable end, folds the events of each batch into the rows of the views that
//! want them, and commits the changed rows with its checkpoint. Rows can therefore be deleted and folded again,
//! and a reader who has just written can wait for its own `seq`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use throughline_storage::{
    append::{Append, RowChange},
    codec,
    envelope::Record,
    journal::{Journal, StoredRecord},
    projections,
};
use throughline_workflows::{
    ids::TenantId,
    time::Timestamp,
    views::{EventMeta, View},
    workflow::Workflow,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    order::EntityRef,
    rehydrate::{self, RecordMeta},
    runner::Runner,
    shared::Shared,
};

/// A view that no event touches has its checkpoint written only so often: after a restart it passes over at most so
/// many batches again.
const CHECKPOINT_EVERY: u64 = 64;

/// The largest row, in bytes, a little below what the store takes in one piece.
const ROW_BYTES_MAX: usize = throughline_storage::store::VALUE_BYTES_MAX - 256;

/// Feed groups folded into one commit at most.
const GROUPS_MAX: usize = 256;

/// Before views that could not be fed are fed again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A view, of whichever rows.
pub(crate) trait AnyView: Send + Sync {
    fn name(&self) -> &'static str;
    fn revision(&self) -> u16;
    fn kind(&self) -> &'static str;
    /// The encoded row after the record's events, and its order.
    fn fold(
        &self,
        row: Option<&[u8]>,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, String>;
}

pub(crate) struct ViewOf<V>(pub(crate) PhantomData<fn() -> V>);

impl<V: View> AnyView for ViewOf<V> {
    fn name(&self) -> &'static str {
        V::NAME
    }

    fn revision(&self) -> u16 {
        V::REVISION
    }

    fn kind(&self) -> &'static str {
        V::Source::KIND
    }

    fn fold(
        &self,
        row: Option<&[u8]>,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, String> {
        let mut row =
            row.map(codec::decode::<V::Row>).transpose().map_err(|error| format!("{}: {error}", V::NAME))?;
        let meta: RecordMeta = codec::decode(&record.metadata).map_err(|error| error.to_string())?;
        for (index, stored) in (0u32..).zip(&record.events) {
            let event = rehydrate::event::<V::Source>(stored, entity, record.version)?;
            let meta = EventMeta {
                entity: entity.id,
                version: record.version,
                index,
                seq: first_seq + u64::from(index),
                at: Timestamp::from_millis(record.at_ms),
                by: &meta.by,
                cause: &meta.cause,
            };
            row = V::fold(row, &event, &meta);
        }
        Ok(row.map(|row| (V::order(&row), codec::encode(&row))))
    }
}

/// Runs until the engine drains.
pub(crate) async fn run(shared: Arc<Shared>, projected: watch::Sender<u64>) {
    let mut progress = shared.host.journal.progress();
    let mut projector = loop {
        match Projector::new(&shared).await {
            Ok(projector) => break projector,
            Err(error) => {
                tracing::error!(%error, "views cannot be fed yet; lists that must be fresh answer 503")
            }
        }
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => return,
            () = shared.host.runner.sleep(RETRY_PAUSE) => {}
        }
    };
    projected.send_replace(projector.lowest());
    loop {
        match projector.advance(&shared).await {
            Ok(true) => {
                projected.send_replace(projector.lowest());
                if shared.host.draining.is_cancelled() {
                    return;
                }
                continue;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "views could not be fed and are fed again");
                tokio::select! {
                    biased;
                    () = shared.host.draining.cancelled() => return,
                    () = shared.host.runner.sleep(RETRY_PAUSE) => continue,
                }
            }
        }
        let reached = projector.lowest();
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => return,
            _ = progress.wait_for(|progress| progress.seq > reached) => {}
        }
    }
}

/// How far each view has read.
struct Projector {
    checkpoints: Vec<u64>,
    batches: u64,
    damaged: HashSet<(String, Uuid)>,
}

/// Rows touched by a batch: order before, and row after.
type Touched = BTreeMap<(usize, TenantId, Uuid), Change>;

struct Change {
    former_order: Option<u64>,
    row: Option<(u64, Vec<u8>)>,
}

impl Projector {
    async fn new(shared: &Shared) -> Result<Self, String> {
        let mut checkpoints = Vec::new();
        for view in &shared.views {
            let journal = &shared.host.journal;
            for revision in 1..view.revision() {
                let former = projections::View::new(view.name(), revision);
                if former.checkpoint(journal).map_err(|error| error.to_string())? > 0 {
                    tracing::info!(view = view.name(), revision, "removing a view's former revision");
                    former.erase(journal).await.map_err(|error| error.to_string())?;
                }
            }
            checkpoints.push(stored(&**view).checkpoint(journal).map_err(|error| error.to_string())?);
        }
        Ok(Self { checkpoints, batches: 0, damaged: HashSet::new() })
    }

    fn lowest(&self) -> u64 {
        self.checkpoints.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Folds one batch; returns whether there was anything to fold.
    async fn advance(&mut self, shared: &Arc<Shared>) -> Result<bool, String> {
        let (after, checkpoints, shared_too) = (self.lowest(), self.checkpoints.clone(), shared.clone());
        self.batches += 1;
        let all = self.batches.is_multiple_of(CHECKPOINT_EVERY);
        let fold = move || fold_batch(&shared_too, after, &checkpoints, all);
        let folded = shared.host.runner.read(fold).await??;
        let Some(folded) = folded else { return Ok(false) };
        for (kind, entity, error) in folded.damaged {
            if self.damaged.insert((kind.clone(), entity)) {
                tracing::error!("entity.kind" = %kind, "entity.id" = %entity, %error, "a record could not be folded into a view");
            }
        }
        if !folded.rows.is_empty() {
            let append = Append { rows: folded.rows, ..Append::default() };
            shared.commit_patiently(append).await.map_err(|error| error.to_string())?;
        }
        for checkpoint in &mut self.checkpoints {
            *checkpoint = (*checkpoint).max(folded.last_seq);
        }
        Ok(true)
    }
}

struct Folded {
    rows: Vec<RowChange>,
    last_seq: u64,
    damaged: Vec<(String, Uuid, String)>,
}

fn fold_batch(
    shared: &Shared,
    after: u64,
    checkpoints: &[u64],
    all_checkpoints: bool,
) -> Result<Option<Folded>, String> {
    let journal = &shared.host.journal;
    let groups = journal.feed(after, GROUPS_MAX).map_err(|error| error.to_string())?;
    let Some(last_seq) = groups.last().map(|group| group.last_seq) else { return Ok(None) };
    let by_kind = shared.views_by_kind();
    let mut touched = Touched::new();
    let mut damaged = Vec::new();
    for entry in groups.iter().flat_map(|group| &group.entries) {
        let Some((kind, views)) = by_kind.get(entry.stream.kind.as_str()) else { continue };
        let Ok(tenant) = entry.stream.tenant.parse::<TenantId>() else { continue };
        let entity = EntityRef { tenant, kind, id: entry.stream.entity };
        match read(journal, entry) {
            Ok((stored, record)) => {
                for view in views {
                    if stored.first_seq + record.events.len() as u64 <= checkpoints[*view] + 1 {
                        continue; // This view has folded it already.
                    }
                    if let Err(error) =
                        fold_record(shared, *view, &entity, &record, stored.first_seq, &mut touched)
                    {
                        damaged.push((entry.stream.kind.clone(), entity.id, error));
                    }
                }
            }
            Err(error) => damaged.push((entry.stream.kind.clone(), entity.id, error)),
        }
    }
    let mut rows = Vec::new();
    let changed: HashSet<usize> = touched.keys().map(|(view, ..)| *view).collect();
    for ((view, tenant, entity), change) in touched {
        let view = stored(&*shared.views[view]);
        match (change.row, change.former_order) {
            (Some((order, row)), former) => {
                rows.extend(view.put(tenant.as_str(), entity, former, order, row))
            }
            (None, Some(former)) => rows.extend(view.remove(tenant.as_str(), entity, former)),
            (None, None) => {}
        }
    }
    for (at, view) in shared.views.iter().enumerate() {
        if all_checkpoints || changed.contains(&at) {
            rows.push(stored(&**view).reached(last_seq));
        }
    }
    Ok(Some(Folded { rows, last_seq, damaged }))
}

fn read(
    journal: &Journal,
    entry: &throughline_storage::journal::FeedEntry,
) -> Result<(StoredRecord, Record), String> {
    let stored = journal
        .record(&entry.stream, entry.version)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("version {} is missing", entry.version))?;
    let record = stored.decode().map_err(|error| error.to_string())?;
    Ok((stored, record))
}

fn fold_record(
    shared: &Shared,
    view: usize,
    entity: &EntityRef,
    record: &Record,
    first_seq: u64,
    touched: &mut Touched,
) -> Result<(), String> {
    let at = (view, entity.tenant.clone(), entity.id);
    if !touched.contains_key(&at) {
        let found = stored(&*shared.views[view])
            .row(&shared.host.journal, entity.tenant.as_str(), entity.id)
            .map_err(|error| error.to_string())?;
        let former_order = found.as_ref().map(|row| row.order);
        let row = found.map(|row| (row.order, row.bytes));
        touched.insert(at.clone(), Change { former_order, row });
    }
    if let Some(change) = touched.get_mut(&at) {
        let row = change.row.as_ref().map(|(_, row)| row.as_slice());
        let folded = shared.views[view].fold(row, entity, record, first_seq)?;
        if let Some((_, row)) = &folded
            && row.len() > ROW_BYTES_MAX
        {
            // One row that does not fit must not keep all lists from going on.
            return Err(format!("its row of {} bytes is larger than a row may be", row.len()));
        }
        change.row = folded;
    }
    Ok(())
}

/// Reads lists. The only way from the edge to a projection.
#[derive(Clone)]
pub struct Views {
    journal: Journal,
    projected: watch::Receiver<u64>,
    runner: Runner,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// The rows of the page, in order.
    pub items: Vec<R>,
    /// How many rows there are on all pages.
    pub total: usize,
}

/// Why a list cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ViewError {
    /// The list has not caught up with the asked `seq` in time.
    #[error("the list has reached {reached}, not yet {wanted}")]
    Behind {
        /// Where the list is.
        reached: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// The rows cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Views {
    pub(crate) fn new(journal: Journal, projected: watch::Receiver<u64>, runner: Runner) -> Self {
        Self { journal, projected, runner }
    }

    /// How far the lists are.
    pub fn reached(&self) -> u64 {
        *self.projected.borrow()
    }

    /// Returns once the lists show everything up to `seq`.
    ///
    /// # Errors
    /// [`ViewError::Behind`] if they do not within `patience`.
    pub async fn wait_for(&self, seq: u64, patience: Duration) -> Result<(), ViewError> {
        let mut projected = self.projected.clone();
        let waited = self.runner.timeout(patience, projected.wait_for(|reached| *reached >= seq)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ViewError::Behind { reached: self.reached(), wanted: seq }),
        }
    }

    /// Rows that `wanted` keeps, in the view's order, `skip` of them passed over and at most `take` returned.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub async fn page<V: View>(
        &self,
        tenant: &TenantId,
        skip: usize,
        take: usize,
        wanted: impl Fn(&V::Row) -> bool + Send + 'static,
    ) -> Result<Page<V::Row>, ViewError> {
        let (journal, tenant) = (self.journal.clone(), tenant.clone());
        let page = move || {
            let view = projections::View::new(V::NAME, V::REVISION);
            let mut page = Page { items: Vec::new(), total: 0 };
            let mut after = None;
            loop {
                let window = view.page(&journal, tenant.as_str(), after, 1024).map_err(unreadable)?;
                let Some(last) = window.last() else { return Ok(page) };
                after = Some((last.order, last.entity));
                for stored in window {
                    let row = codec::decode::<V::Row>(&stored.bytes).map_err(unreadable)?;
                    if wanted(&row) {
                        if page.total >= skip && page.items.len() < take {
                            page.items.push(row);
                        }
                        page.total += 1;
                    }
                }
            }
        };
        self.runner.read(page).await.map_err(ViewError::Unreadable)?
    }

    /// One entity's row.
    ///
    /// # Errors
    /// [`ViewError::Unreadable`] if the store cannot be read.
    pub fn row<V: View>(&self, tenant: &TenantId, entity: Uuid) -> Result<Option<V::Row>, ViewError> {
        projections::View::new(V::NAME, V::REVISION)
            .row(&self.journal, tenant.as_str(), entity)
            .map_err(unreadable)?
            .map(|row| codec::decode(&row.bytes).map_err(unreadable))
            .transpose()
    }
}

fn unreadable(error: impl std::fmt::Display) -> ViewError {
    ViewError::Unreadable(error.to_string())
}

/// A view as it is stored.
fn stored(view: &dyn AnyView) -> projections::View {
    projections::View::new(view.name(), view.revision())
}

/// The views of each kind, by their place in the list of views.
pub(crate) type ViewsByKind = HashMap<&'static str, (&'static str, Vec<usize>)>;
