//! A journal that no engine runs on, with the workflows and views that belong to it: looked through, and its lists
//! made anew.
//!
//! What the store can tell by itself (checksums, chains, what belongs together) its own check tells. Here is what takes
//! the workflows: every event can be read, the state that follows from the events is the one that the snapshot holds,
//! and the timers armed are the deadlines of that state.

use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use throughline_storage::{
    append::{Append, StreamId},
    codec,
    journal::Journal,
    keys, projections,
};

use crate::{
    introspect::inspector::AnyInspector,
    order::{EntityRef, panic_text},
    projector::{self, AnyView},
    upkeep::Rearmed,
};

/// Streams looked up in one go.
const PAGE: usize = 1024;

/// Differences that are kept; more are only counted.
const KEPT_MAX: usize = 1000;

/// A journal without an engine, made by [`EngineBuilder::offline`](crate::engine::EngineBuilder::offline).
pub struct Offline {
    pub(crate) journal: Journal,
    pub(crate) kinds: HashMap<&'static str, (Arc<dyn AnyInspector>, u32)>,
    pub(crate) views: Vec<Box<dyn AnyView>>,
}

/// What a comparison of every entity with its history found.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Entities that were replayed.
    pub entities: u64,
    /// What is not as it follows from the history, the first thousand.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub different: u64,
    /// Kinds that this program does not know, with how many entities of them there are.
    pub unknown: BTreeMap<String, u64>,
    /// Kinds whose timers were not compared: another program's were armed last, and the next start brings them in line.
    pub not_rearmed: Vec<&'static str>,
}

/// Something that is not as it follows from the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The entity.
    pub stream: StreamId,
    /// What it is.
    pub what: String,
}

/// A list that was made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The view.
    pub view: &'static str,
    /// Keys of rows that were removed.
    pub removed: u64,
    /// Rows that were written; one that changed several times counts as often.
    pub written: u64,
}

impl Offline {
    /// The registered views.
    pub fn views(&self) -> Vec<&'static str> {
        self.views.iter().map(|view| view.name()).collect()
    }

    /// Replays every entity from its first record on and compares. `progress` is told how many have been replayed.
    ///
    /// # Errors
    /// What the store says if its streams cannot be listed.
    pub fn replay(&self, progress: &mut dyn FnMut(u64)) -> Result<Replayed, String> {
        let mut replayed = Replayed::default();
        let mut rearmed = HashMap::new();
        for (kind, (_, revision)) in &self.kinds {
            let done = self.is_rearmed(kind, *revision)?;
            rearmed.insert(*kind, done);
            if !done {
                replayed.not_rearmed.push(kind);
            }
        }
        replayed.not_rearmed.sort_unstable();
        let mut after: Option<StreamId> = None;
        loop {
            let page = self.journal.all_streams(after.as_ref(), PAGE).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for stream in page {
                self.compare(stream, &rearmed, &mut replayed);
                progress(replayed.entities);
            }
        }
        Ok(replayed)
    }

    fn compare(&self, stream: StreamId, rearmed: &HashMap<&'static str, bool>, replayed: &mut Replayed) {
        let Some((kind, (inspector, _))) = self.kinds.get_key_value(stream.kind.as_str()) else {
            *replayed.unknown.entry(stream.kind).or_default() += 1;
            return;
        };
        replayed.entities += 1;
        let mut differs = |what: String| {
            replayed.different += 1;
            if replayed.differences.len() < KEPT_MAX {
                replayed.differences.push(Difference { stream: stream.clone(), what });
            }
        };
        let Ok(tenant) = stream.tenant.parse() else {
            return differs(format!("{:?} is not a tenant's name", stream.tenant));
        };
        let entity = EntityRef { tenant, kind, id: stream.entity };
        let with_timers = rearmed.get(kind).copied().unwrap_or(false);
        let compared = catch_unwind(AssertUnwindSafe(|| inspector.replay(&self.journal, &entity, None)));
        match compared {
            Ok(Ok(compared)) => {
                let differences = compared.differences.into_iter();
                differences
                    .filter(|difference| with_timers || difference.against != "timers")
                    .for_each(|difference| differs(difference.to_string()));
            }
            Ok(Err(error)) => differs(format!("it cannot be replayed: {error}")),
            Err(panic) => differs(format!("replaying it panics: {}", panic_text(&*panic))),
        }
    }

    /// Whether the timers of a kind were last brought in line by a program that arms them as this one does.
    fn is_rearmed(&self, kind: &str, revision: u32) -> Result<bool, String> {
        let stored = self.journal.row(&keys::setting(&format!("deadlines/{kind}")));
        let Some(stored) = stored.map_err(|error| error.to_string())? else { return Ok(false) };
        // One that cannot be read is made anew by the next start.
        Ok(codec::decode::<Rearmed>(&stored)
            .is_ok_and(|done| done.revision == revision && done.after.is_none()))
    }

    /// Removes the rows of the views that `wanted` names, of all where it is empty, and folds them anew from the feed.
    /// `progress` is told up to which `seq` they are made. One that is cut short is gone on with by the next start of
    /// the server.
    ///
    /// # Errors
    /// What the store says, or which records could not be folded: the lists are then made without them.
    pub async fn rebuild(
        &self,
        wanted: &[String],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Vec<Rebuilt>, Vec<String>), String> {
        let views: Vec<&Box<dyn AnyView>> = self
            .views
            .iter()
            .filter(|view| wanted.is_empty() || wanted.iter().any(|wanted| wanted == view.name()))
            .collect();
        let views: Vec<&dyn AnyView> = views.into_iter().map(|view| &**view).collect();
        let mut rebuilt = Vec::new();
        for view in &views {
            let mut removed = 0;
            for revision in 1..=view.revision() {
                let erased = projections::View::new(view.name(), revision).erase(&self.journal).await;
                removed += erased.map_err(|error| error.to_string())?;
            }
            rebuilt.push(Rebuilt { view: view.name(), removed, written: 0 });
        }
        let mut checkpoints = vec![0; views.len()];
        let (mut damaged, mut known) = (Vec::new(), projector::no_rows());
        loop {
            let after = checkpoints.first().copied().unwrap_or(u64::MAX);
            let folded = projector::fold_batch(&self.journal, &views, after, &checkpoints, true, &mut known)?;
            let Some(folded) = folded else { break };
            for (view, count) in folded.changed {
                rebuilt[view].written += count;
            }
            damaged
                .extend(folded.damaged.into_iter().map(|(kind, id, error)| format!("{kind} {id}: {error}")));
            let append = Append { rows: folded.rows, ..Append::default() };
            self.journal.commit(append).await.map_err(|error| error.to_string())?;
            checkpoints.fill(folded.last_seq);
            progress(folded.last_seq);
        }
        Ok((rebuilt, damaged))
    }
}
