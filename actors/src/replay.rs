//! Replay and compare: an entity read from its journal alone, held against everything else that is kept of it.
//!
//! The journal is the truth. A snapshot, what an actor holds in memory, the timers that a record says are armed and the
//! index by which they fire are all derived from it, and each may differ only through a mistake of ours or damage to the
//! store. A difference says where it is; it is never mended here.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use throughline_storage::{
    append::{StreamId, TimerKey},
    codec,
    envelope::Armed,
    journal::Journal,
};
use throughline_workflows::{ids::TenantId, time::Timestamp, workflow::Workflow};
use uuid::Uuid;

use crate::{
    engine::Engine,
    introspect::difference::differences,
    operate::OperateError,
    order::{Along, CommandMeta, EntityRef, Receipt},
    rehydrate::{self, Live},
};

/// Entities compared at once.
const AT_ONCE: usize = 2;
/// Entities listed in one go.
const PAGE: usize = 1024;
/// Differences that are kept of a run; more are only counted.
const KEPT_MAX: usize = 200;
/// How often an entity that takes turns meanwhile is looked at anew.
const LOOKS_MAX: u32 = 5;

/// What an entity's actor holds in memory.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) version: u64,
    pub(crate) head: [u8; 32],
    pub(crate) armed: Vec<Armed>,
    pub(crate) state: Value,
}

/// One thing in which something kept differs from the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs: `snapshot`, `memory`, `timers` (what a record says is armed), `index` (by which timers fire) or
    /// `journal` (it does not fit together itself).
    pub against: &'static str,
    /// The version at which it was compared.
    pub version: u64,
    /// The path of the field, a timer's name, or `record`.
    pub path: String,
    /// What the journal says.
    pub journal: Value,
    /// What was found.
    pub found: Value,
}

/// An entity, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Its kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The version that the journal leads to.
    pub version: u64,
    /// How many events that took.
    pub events: u64,
    /// The version of the snapshot that was compared, where there is one of the present form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_version: Option<u64>,
    /// The version in memory that was compared, where the entity is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_version: Option<u64>,
    /// Timers compared.
    pub timers: usize,
    /// What differs; nothing, unless there is a mistake of ours or damage to the store.
    pub differences: Vec<Difference>,
    /// Of which timers one must stand in the index: those that are due first.
    #[serde(skip)]
    pub(crate) first_timers: Vec<TimerKey>,
}

/// A comparison of all entities, as far as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayRun {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Entities to compare.
    pub entities: u64,
    /// Entities compared.
    pub compared: u64,
    /// Events read for that.
    pub events: u64,
    /// Entities in which something differs.
    pub differing: u64,
    /// The first of what differs.
    pub differences: Vec<Found>,
    /// Why it ended before its end, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A difference and whose it is.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The entity's kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// The comparison of all entities that there was last.
#[derive(Default)]
pub(crate) struct Run(Mutex<Option<ReplayRun>>);

impl Run {
    fn change(&self, change: impl FnOnce(&mut ReplayRun)) {
        if let Some(run) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(run);
        }
    }
}

/// Reads the entity from its journal and compares what is kept beside it.
pub(crate) fn compare<W: Workflow>(
    journal: &Journal,
    entity: &EntityRef,
    held: Option<&Held>,
) -> Result<Replayed, String> {
    let stream = entity.stream();
    // Read before the records: what is newer than this is not compared.
    let snapshot = journal.snapshot(&stream).map_err(|error| error.to_string())?;
    let snapshot = snapshot.filter(|snapshot| snapshot.state_revision == W::STATE_REVISION);
    let mut live: Live<W> = rehydrate::unborn();
    // An entity that takes turns all the time is compared as far as it was.
    let version = journal.version(&stream).map_err(|error| error.to_string())?;
    let mut replayed = Replayed {
        kind: entity.kind.to_owned(),
        id: entity.id,
        tenant: entity.tenant.to_string(),
        version: 0,
        events: 0,
        snapshot_version: snapshot.as_ref().map(|snapshot| snapshot.version),
        memory_version: held.map(|held| held.version),
        timers: 0,
        differences: Vec::new(),
        first_timers: Vec::new(),
    };
    for stored in journal.records(&stream, 1..=version) {
        let stored = stored.map_err(|error| error.to_string())?;
        let record = stored.decode().map_err(|error| error.to_string())?;
        if record.previous != live.head || record.version != live.version + 1 {
            let journal = json!({ "version": live.version + 1, "previous": hex(&live.head) });
            let found = json!({ "version": record.version, "previous": hex(&record.previous) });
            replayed.differ("journal", record.version, "record", journal, found);
        }
        for bytes in &record.events {
            W::evolve(&mut live.state, &rehydrate::event::<W>(bytes, entity, record.version)?);
        }
        replayed.events += record.events.len() as u64;
        live.version = record.version;
        live.head = stored.hash;
        live.armed = record.armed;
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| snapshot.version == live.version) {
            let state = codec::decode::<W::State>(&snapshot.state)
                .map_err(|error| error.to_string())
                .and_then(|state| serde_json::to_value(&state).map_err(|error| error.to_string()));
            match state {
                Ok(state) => {
                    replayed.hold_against("snapshot", &live, &state, snapshot.head, &snapshot.armed)?
                }
                Err(error) => {
                    replayed.differ("snapshot", live.version, "state", json!("readable"), json!(error))
                }
            }
        }
        if let Some(held) = held.filter(|held| held.version == live.version) {
            replayed.hold_against("memory", &live, &held.state, held.head, &held.armed)?;
        }
    }
    replayed.version = live.version;
    for (against, version) in [("snapshot", replayed.snapshot_version), ("memory", replayed.memory_version)] {
        if let Some(beyond) = version.filter(|version| *version > live.version) {
            replayed.differ(against, beyond, "version", json!(live.version), json!(beyond));
        }
    }
    let wanted: Vec<Armed> = W::deadlines(&live.state)
        .iter()
        .map(|(deadline, due)| Armed { name: deadline.to_string(), due_ms: due.as_millis() })
        .collect();
    replayed.timers = wanted.len();
    replayed.hold_timers("timers", live.version, &wanted, &live.armed);
    let first = live.armed.iter().map(|armed| armed.due_ms).min();
    let first = live.armed.iter().filter(|armed| Some(armed.due_ms) == first);
    replayed.first_timers = first
        .map(|armed| TimerKey { fire_at_ms: armed.due_ms, stream: stream.clone(), name: armed.name.clone() })
        .collect();
    Ok(replayed)
}

impl Replayed {
    fn differ(
        &mut self,
        against: &'static str,
        version: u64,
        path: impl Into<String>,
        journal: Value,
        found: Value,
    ) {
        self.differences.push(Difference { against, version, path: path.into(), journal, found });
    }

    fn hold_against<W: Workflow>(
        &mut self,
        against: &'static str,
        live: &Live<W>,
        state: &Value,
        head: [u8; 32],
        armed: &[Armed],
    ) -> Result<(), String> {
        let replayed = serde_json::to_value(&live.state).map_err(|error| error.to_string())?;
        for changed in differences(&replayed, state) {
            let (journal, found) = (changed.before.unwrap_or_default(), changed.after.unwrap_or_default());
            self.differ(against, live.version, changed.path, journal, found);
        }
        if head != live.head {
            self.differ(against, live.version, "record", json!(hex(&live.head)), json!(hex(&head)));
        }
        self.hold_timers(against, live.version, &live.armed, armed);
        Ok(())
    }

    /// Compares armed timers by name.
    fn hold_timers(&mut self, against: &'static str, version: u64, wanted: &[Armed], found: &[Armed]) {
        let by_name = |armed: &[Armed]| -> HashMap<String, u64> {
            armed.iter().map(|armed| (armed.name.clone(), armed.due_ms)).collect()
        };
        let (wanted, found) = (by_name(wanted), by_name(found));
        let mut names: Vec<&String> = wanted.keys().chain(found.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let time = |due: Option<&u64>| json!(due.map(|due| Timestamp::from_millis(*due)));
        for name in names.into_iter().filter(|name| wanted.get(*name) != found.get(*name)) {
            let (journal, found) = (time(wanted.get(name)), time(found.get(name)));
            self.differ(against, version, format!("timer {name}"), journal, found);
        }
    }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Engine {
    /// Rebuilds one entity from its journal and compares what is kept beside it.
    ///
    /// # Errors
    /// [`OperateError`]; nothing is changed in any case, save that it is recorded that this was asked.
    pub async fn replay(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<(Receipt, Replayed), OperateError> {
        let entity = EntityRef { tenant: tenant.clone(), kind, id };
        self.must_exist(&entity)?;
        let target = format!("{kind}/{id}");
        let receipt = match self.kept_operation(&meta).await? {
            Some(kept) => kept,
            None => {
                self.operate(tenant, "actor.replay", target, reason, meta, Along::default(), Vec::new())
                    .await?
            }
        };
        Ok((receipt, self.replay_one(&entity).await.map_err(OperateError::Unreadable)?))
    }

    async fn replay_one(&self, entity: &EntityRef) -> Result<Replayed, String> {
        let Some(kind) = self.shared.kinds.get(entity.kind) else {
            return Err(format!("no workflow of kind {} is registered", entity.kind));
        };
        let mut looks = 0;
        loop {
            let held = self.shared.registry.held(entity).await;
            let (inspector, journal) = (kind.inspector.clone(), self.shared.host.journal.clone());
            let of = entity.clone();
            let read = move || {
                let mut replayed = inspector.replay(&journal, &of, held.as_ref())?;
                compare_index(&journal, &mut replayed)?;
                let version = journal.version(&of.stream()).map_err(|error| error.to_string())?;
                Ok::<_, String>((replayed, version))
            };
            let (replayed, version) =
                tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())??;
            looks += 1;
            // A turn that was taken meanwhile may have moved its timers.
            if replayed.differences.is_empty() || replayed.version == version || looks == LOOKS_MAX {
                return Ok(replayed);
            }
        }
    }

    /// Begins to compare every entity, or those of one kind or tenant. [`Engine::replay_run`] says how far it is.
    ///
    /// # Errors
    /// [`OperateError`], among others if another comparison goes on.
    pub async fn replay_all(
        &self,
        tenant: Option<&TenantId>,
        kind: Option<&'static str>,
        reason: String,
        audited: &TenantId,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        {
            let mut run = self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner);
            if run.as_ref().is_some_and(|run| run.finished_at.is_none()) {
                return Err(OperateError::NotNow("a comparison of all entities goes on already".to_owned()));
            }
            *run = Some(ReplayRun { started_at: self.now(), ..ReplayRun::default() });
        }
        let target = match (tenant, kind) {
            (None, None) => "all".to_owned(),
            (tenant, kind) => {
                format!("{}/{}", tenant.map_or("all", TenantId::as_str), kind.unwrap_or("all"))
            }
        };
        let recorded = self
            .operate(audited, "actor.replay_all", target, reason, meta, Along::default(), Vec::new())
            .await;
        let receipt = match recorded {
            Ok(receipt) => receipt,
            Err(error) => {
                *self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error);
            }
        };
        let tenants = tenant.map_or_else(|| self.shared.host.tenants.names(), |tenant| vec![tenant.clone()]);
        let kinds = kind.map_or_else(|| self.kinds(), |kind| vec![kind]);
        let engine = self.clone();
        tokio::spawn(async move {
            let draining = engine.shared.host.draining.clone();
            let ended = tokio::select! {
                ended = engine.compare_all(&tenants, &kinds) => ended,
                () = draining.cancelled() => Err("the server is stopping".to_owned()),
            };
            let now = engine.now();
            engine.shared.replay.change(|run| {
                run.finished_at = Some(now);
                run.failed = ended.err();
            });
        });
        Ok(receipt)
    }

    /// The comparison of all entities that was begun last, as far as it is; none since the start.
    pub fn replay_run(&self) -> Option<ReplayRun> {
        self.shared.replay.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn compare_all(&self, tenants: &[TenantId], kinds: &[&'static str]) -> Result<(), String> {
        for compares in [false, true] {
            for tenant in tenants {
                for kind in kinds {
                    let mut after = None;
                    loop {
                        let journal = self.shared.host.journal.clone();
                        let (of, kind) = (tenant.clone(), *kind);
                        let list = move || journal.streams(of.as_str(), kind, after, PAGE);
                        let page = tokio::task::spawn_blocking(list)
                            .await
                            .map_err(|error| error.to_string())?
                            .map_err(|error| error.to_string())?;
                        let Some(last) = page.last().copied() else { break };
                        after = Some(last);
                        if compares {
                            futures::stream::iter(page)
                                .for_each_concurrent(AT_ONCE, |id| {
                                    self.compare_one(EntityRef { tenant: tenant.clone(), kind, id })
                                })
                                .await;
                        } else {
                            self.shared.replay.change(|run| run.entities += page.len() as u64);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn compare_one(&self, entity: EntityRef) {
        let (events, differences) = match self.replay_one(&entity).await {
            Ok(replayed) => (replayed.events, replayed.differences),
            Err(error) => {
                let path = "record".to_owned();
                let (journal, found) = (json!("readable"), json!(error));
                (0, vec![Difference { against: "journal", version: 0, path, journal, found }])
            }
        };
        if let Some(first) = differences.first() {
            tracing::error!(
                "entity.kind" = entity.kind, "entity.id" = %entity.id, "tenant.id" = %entity.tenant,
                against = first.against, version = first.version, path = %first.path,
                "an entity replayed from its journal differs from what is kept beside it"
            );
        }
        self.shared.replay.change(|run| {
            // Those that were made since they were counted are compared too.
            run.compared += 1;
            run.entities = run.entities.max(run.compared);
            run.events += events;
            run.differing += u64::from(!differences.is_empty());
            let room = KEPT_MAX.saturating_sub(run.differences.len());
            run.differences.extend(differences.into_iter().take(room).map(|difference| Found {
                kind: entity.kind.to_owned(),
                id: entity.id,
                tenant: entity.tenant.to_string(),
                difference,
            }));
        });
    }
}

/// Sees to it that the timer that is due first can fire: the index holds it, be it later because it is stuck.
fn compare_index(journal: &Journal, replayed: &mut Replayed) -> Result<(), String> {
    for key in &replayed.first_timers {
        if journal.timer(key).map_err(|error| error.to_string())?.is_some() {
            return Ok(());
        }
    }
    let Some(first) = replayed.first_timers.first().cloned() else { return Ok(()) };
    if !is_indexed(journal, &first.stream)? {
        let due = json!(Timestamp::from_millis(first.fire_at_ms));
        let version = replayed.version;
        replayed.differ("index", version, format!("timer {}", first.name), due, Value::Null);
    }
    Ok(())
}

/// Whether any timer of the stream is in the index. All of it is read: asked for only where the likely place is empty.
fn is_indexed(journal: &Journal, stream: &StreamId) -> Result<bool, String> {
    let mut after: Option<TimerKey> = None;
    loop {
        let page = journal.timers(after.as_ref(), u64::MAX, 4096).map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(last.key.clone());
        if page.iter().any(|timer| timer.key.stream == *stream) {
            return Ok(true);
        }
    }
}
