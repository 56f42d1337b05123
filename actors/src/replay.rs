//! Replay and compare: an entity read from its journal alone, held against everything else that is kept of it.
//!
//! The journal is the truth. A snapshot, what an actor holds in memory, the timers that a record says are armed and the
//! index by which they fire are all derived from it, and each may differ only through a mistake of ours or damage to the
//! store. A difference says where it is; it is never mended here.

mod all;

pub(crate) use all::Run;
pub use all::{Found, ReplayRun};

use std::collections::HashMap;

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
