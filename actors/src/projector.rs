//! Feeds views from the journal.
//!
//! One task reads the feed up to the durable end, folds the events of each batch into the rows of the views that
//! want them, and commits the changed rows with its checkpoint. Rows can therefore be deleted and folded again,
//! and a reader who has just written can wait for its own `seq`.

mod reader;
mod view;

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use throughline_storage::{
    append::{Append, RowChange},
    codec,
    envelope::Record,
    journal::{Journal, StoredRecord},
    projections,
};
use throughline_workflows::{ids::TenantId, time::Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::reader::{Page, ViewError, Views};
use self::view::Told;
pub(crate) use self::view::{AnyRow, AnyView, ViewOf};
use crate::{order::EntityRef, rehydrate::RecordMeta, shared::Shared};

/// A view that no event touches has its checkpoint written only so often: after a restart it passes over at most so
/// many batches again.
const CHECKPOINT_EVERY: u64 = 64;

/// The largest row, in bytes, a little below what the store takes in one piece.
const ROW_BYTES_MAX: usize = throughline_storage::store::VALUE_BYTES_MAX - 256;

/// Feed groups folded into one commit at most.
const GROUPS_MAX: usize = 256;

/// Rows kept as they are stored, at most: the three of each of some ten thousand conversations.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(32 * 1024).expect("more than none");

/// Before views that could not be fed are fed again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

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
        if !shared.host.hold_off(RETRY_PAUSE).await {
            return;
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
                if !shared.host.hold_off(RETRY_PAUSE).await {
                    return;
                }
                continue;
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
    /// Rows as they are stored, of the entities touched last: who writes now will often write again soon.
    known: Rows,
}

/// Which row: its view's place in the list of views, and whose it is.
pub(crate) type RowKey = (usize, TenantId, Uuid);

/// Rows by whose they are, each with the order it stands at in the store; none where there is none.
pub(crate) type Rows = LruCache<RowKey, Option<(u64, AnyRow)>>;

/// Room for the rows of those touched last.
pub(crate) fn no_rows() -> Rows {
    Rows::new(KNOWN_MAX)
}

/// A row touched by a batch.
struct Change {
    former: Option<Place>,
    row: Option<AnyRow>,
}

/// Where a row stands.
struct Place {
    order: u64,
    owner: Option<Uuid>,
}

/// Rows touched by a batch.
type Touched = HashMap<RowKey, Change>;

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
        Ok(Self { checkpoints, batches: 0, damaged: HashSet::new(), known: no_rows() })
    }

    fn lowest(&self) -> u64 {
        self.checkpoints.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Folds one batch; returns whether there was anything to fold.
    async fn advance(&mut self, shared: &Arc<Shared>) -> Result<bool, String> {
        let (after, checkpoints, shared_too) = (self.lowest(), self.checkpoints.clone(), shared.clone());
        self.batches += 1;
        let all = self.batches.is_multiple_of(CHECKPOINT_EVERY);
        // Given back once the rows are stored as they are known here.
        let mut known = std::mem::replace(&mut self.known, Rows::new(NonZeroUsize::MIN));
        let fold = move || {
            let views: Vec<&dyn AnyView> = shared_too.views.iter().map(|view| &**view).collect();
            let journal = &shared_too.host.journal;
            let folded = fold_batch(journal, &views, after, &checkpoints, all, &mut known)?;
            Ok::<_, String>((folded, known))
        };
        let (folded, known) = shared.host.runner.read(fold).await??;
        let Some(folded) = folded else {
            self.known = known;
            return Ok(false);
        };
        for (kind, entity, error) in folded.damaged {
            if self.damaged.insert((kind.clone(), entity)) {
                tracing::error!("entity.kind" = %kind, "entity.id" = %entity, %error, "a record could not be folded into a view");
            }
        }
        if !folded.rows.is_empty() {
            let append = Append { rows: folded.rows, ..Append::default() };
            shared.commit_essential(append).await.map_err(|error| error.to_string())?;
        }
        self.known = known;
        for checkpoint in &mut self.checkpoints {
            *checkpoint = (*checkpoint).max(folded.last_seq);
        }
        Ok(true)
    }
}

/// What a stretch of the feed changes.
pub(crate) struct Folded {
    pub(crate) rows: Vec<RowChange>,
    /// How many rows are written of each view that was touched, by the view's place.
    pub(crate) changed: BTreeMap<usize, u64>,
    pub(crate) last_seq: u64,
    /// Records that could not be folded: kind, entity, and why.
    pub(crate) damaged: Vec<(String, Uuid, String)>,
}

/// Folds a stretch of the feed after `after`; none where there is nothing after it.
pub(crate) fn fold_batch(
    journal: &Journal,
    views: &[&dyn AnyView],
    after: u64,
    checkpoints: &[u64],
    all_checkpoints: bool,
    known: &mut Rows,
) -> Result<Option<Folded>, String> {
    let groups = journal.feed(after, GROUPS_MAX).map_err(|error| error.to_string())?;
    let Some(last_seq) = groups.last().map(|group| group.last_seq) else { return Ok(None) };
    let by_kind = views_by_kind(views);
    let mut touched = Touched::new();
    let mut damaged = Vec::new();
    for entry in groups.iter().flat_map(|group| &group.entries) {
        let Some((kind, places)) = by_kind.get(entry.stream.kind.as_str()) else { continue };
        let Ok(tenant) = entry.stream.tenant.parse::<TenantId>() else { continue };
        let entity = EntityRef { tenant, kind, id: entry.stream.entity };
        let read = read(journal, entry).and_then(|(stored, record)| {
            let meta = codec::decode::<RecordMeta>(&record.metadata).map_err(|error| error.to_string())?;
            let first = places.first().ok_or("no view")?;
            let events = views[*first].events(&entity, &record)?;
            Ok((stored.first_seq, record, meta, events))
        });
        match read {
            Ok((first_seq, record, meta, events)) => {
                let at = Timestamp::from_millis(record.at_ms);
                let told = Told { entity: entity.id, version: record.version, first_seq, at, meta: &meta };
                for place in places {
                    if first_seq + record.events.len() as u64 <= checkpoints[*place] + 1 {
                        continue; // This view has folded it already.
                    }
                    if !views[*place].concerns(&*events) {
                        continue;
                    }
                    let view = (*place, views[*place]);
                    if let Err(error) =
                        fold_record(journal, view, &entity, &*events, &told, known, &mut touched)
                    {
                        damaged.push((entry.stream.kind.clone(), entity.id, error));
                    }
                }
            }
            Err(error) => damaged.push((entry.stream.kind.clone(), entity.id, error)),
        }
    }
    let mut rows = Vec::new();
    let mut changed = BTreeMap::new();
    for (key, change) in touched {
        let (place, tenant, entity) = &key;
        let view = views[*place];
        *changed.entry(*place).or_default() += u64::from(change.row.is_some());
        let encoded = change.row.as_ref().and_then(|row| view.encode(row));
        let owner = change.row.as_ref().and_then(|row| view.owner(row));
        let former_owner = change.former.as_ref().and_then(|former| former.owner);
        let handed_over = handed_over(&stored(view), (tenant.as_str(), *entity), former_owner, owner);
        match (encoded, change.former.map(|former| former.order)) {
            (Some((_, row)), _) if row.len() > ROW_BYTES_MAX => {
                // One row that does not fit must not keep all lists from going on: it stays as it was.
                let error = format!("its row of {} bytes is larger than a row may be", row.len());
                damaged.push((view.kind().to_owned(), *entity, error));
            }
            (Some((order, row)), former) => {
                rows.extend(stored(view).put(tenant.as_str(), *entity, former, order, row));
                rows.extend(handed_over);
                known.put(key, change.row.map(|row| (order, row)));
            }
            (None, former) => {
                let removed = former.map(|former| stored(view).remove(tenant.as_str(), *entity, former));
                rows.extend(removed.into_iter().flatten());
                rows.extend(handed_over);
                known.put(key, None);
            }
        }
    }
    for (at, view) in views.iter().enumerate() {
        if all_checkpoints || changed.contains_key(&at) {
            rows.push(stored(*view).reached(last_seq));
        }
    }
    Ok(Some(Folded { rows, changed, last_seq, damaged }))
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
    journal: &Journal,
    (place, view): (usize, &dyn AnyView),
    entity: &EntityRef,
    events: &dyn Any,
    told: &Told<'_>,
    known: &mut Rows,
    touched: &mut Touched,
) -> Result<(), String> {
    let change = match touched.entry((place, entity.tenant.clone(), entity.id)) {
        Entry::Occupied(change) => change.into_mut(),
        Entry::Vacant(vacant) => {
            let row = match known.pop(vacant.key()) {
                Some(row) => row,
                None => stored(view)
                    .row(journal, entity.tenant.as_str(), entity.id)
                    .map_err(|error| error.to_string())?
                    .map(|row| view.decode(&row.bytes).map(|decoded| (row.order, decoded)))
                    .transpose()?,
            };
            let former = row.as_ref().map(|(order, row)| Place { order: *order, owner: view.owner(row) });
            vacant.insert(Change { former, row: row.map(|(_, row)| row) })
        }
    };
    change.row = view.fold(change.row.take(), events, told)?;
    Ok(())
}

/// What is written where a row is another's than it was.
fn handed_over(
    view: &projections::View,
    (tenant, entity): (&str, Uuid),
    former: Option<Uuid>,
    owner: Option<Uuid>,
) -> Vec<RowChange> {
    if former == owner {
        return Vec::new();
    }
    let taken = former.map(|former| view.disown(tenant, former, entity));
    taken.into_iter().chain(owner.map(|owner| view.own(tenant, owner, entity))).collect()
}

/// A view as it is stored.
fn stored(view: &dyn AnyView) -> projections::View {
    projections::View::new(view.name(), view.revision())
}

/// The places of the views of each kind.
fn views_by_kind(views: &[&dyn AnyView]) -> HashMap<&'static str, (&'static str, Vec<usize>)> {
    let mut by_kind = HashMap::new();
    for (place, view) in views.iter().enumerate() {
        by_kind.entry(view.kind()).or_insert_with(|| (view.kind(), Vec::new())).1.push(place);
    }
    by_kind
}
