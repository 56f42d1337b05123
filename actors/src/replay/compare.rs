//! One entity read from its journal alone and compared with what is kept beside it.

use std::{collections::HashMap, fmt};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use throughline_storage::{
    append::{StreamId, TimerKey},
    codec,
    envelope::{Armed, Snapshot},
    journal::{Journal, ReadError},
};
use throughline_workflows::{time::Timestamp, workflow::Workflow};
use uuid::Uuid;

use crate::{
    armed,
    introspect::difference::differences,
    order::EntityRef,
    rehydrate::{self, Live},
};

/// Timers read in one go.
const PAGE: usize = 4096;
/// What the journal expects of something that cannot be read.
pub(super) const READABLE: &str = "readable";

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

impl fmt::Display for Difference {
    /// What differs, without what the fields hold: that may be long, and about people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { against, version, path, journal, found } = self;
        let or_nothing = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
        match *against {
            "index" => write!(f, "nothing will wake it for {path}, which version {version} armed"),
            "timers" => write!(
                f,
                "at version {version} {path} is armed for {}, and its state asks for {}",
                or_nothing(found),
                or_nothing(journal)
            ),
            _ if *journal == READABLE => {
                write!(f, "the {against} at version {version} cannot be read: {}", or_nothing(found))
            }
            "journal" => write!(f, "the {path} of version {version} does not follow the one before it"),
            _ => write!(f, "the {against} at version {version} holds another {path} than its events make"),
        }
    }
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
    };
    for stored in journal.records(&stream, 1..=version) {
        let stored = stored.map_err(|error| error.to_string())?;
        let record = stored.decode().map_err(|error| error.to_string())?;
        if record.previous != live.head || record.version != live.version + 1 {
            let journal = json!({ "version": live.version + 1, "previous": HEXLOWER.encode(&live.head) });
            let found = json!({ "version": record.version, "previous": HEXLOWER.encode(&record.previous) });
            replayed.differ("journal", record.version, "record", journal, found);
        }
        for bytes in &record.events {
            W::evolve(&mut live.state, &rehydrate::event::<W>(bytes, entity, record.version)?);
        }
        replayed.events += record.events.len() as u64;
        live.version = record.version;
        live.head = stored.hash;
        live.armed = record.armed;
        live.armed_at_ms = record.at_ms;
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| snapshot.version == live.version) {
            replayed.hold_snapshot(&live, snapshot)?;
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
    if live.version > 0 {
        let wanted = armed::wanted::<W>(&live.state);
        replayed.timers = wanted.len();
        replayed.hold_timers("timers", live.version, &wanted, &live.armed);
        replayed.hold_index(journal, &stream, &live);
    }
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
            self.differ(
                against,
                live.version,
                "record",
                json!(HEXLOWER.encode(&live.head)),
                json!(HEXLOWER.encode(&head)),
            );
        }
        self.hold_timers(against, live.version, &live.armed, armed);
        Ok(())
    }

    fn hold_snapshot<W: Workflow>(&mut self, live: &Live<W>, snapshot: &Snapshot) -> Result<(), String> {
        let kept = match codec::decode::<W::State>(&snapshot.state) {
            Ok(kept) => kept,
            Err(error) => {
                let (journal, found) = (json!(READABLE), json!(error.to_string()));
                self.differ("snapshot", live.version, "state", journal, found);
                return Ok(());
            }
        };
        let state = serde_json::to_value(&kept).map_err(|error| error.to_string())?;
        let known = self.differences.len();
        self.hold_against("snapshot", live, &state, snapshot.head, &snapshot.armed)?;
        if kept != live.state && self.differences.len() == known {
            // What differs is not shown as JSON.
            self.differ("snapshot", live.version, "state", Value::Null, Value::Null);
        }
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

    /// Sees to it that every timer that must be found by its moment can fire. What stands there beside them costs no
    /// more than a firing that is dropped.
    fn hold_index<W: Workflow>(&mut self, journal: &Journal, stream: &StreamId, live: &Live<W>) {
        for timer in armed::indexed(&live.armed, live.armed_at_ms) {
            let found = match is_indexed(journal, armed::key(stream, timer)) {
                Ok(true) => continue,
                Ok(false) => Value::Null,
                Err(error) => json!(error.to_string()),
            };
            let due = json!(Timestamp::from_millis(timer.due_ms));
            self.differ("index", live.version, format!("timer {}", timer.name), due, found);
        }
    }
}

/// Whether the order of due moments holds a timer: at its place, or further on where it is stuck. All that is further on
/// is read: only where the likely place is empty.
fn is_indexed(journal: &Journal, key: TimerKey) -> Result<bool, ReadError> {
    if journal.timer(&key)?.is_some() {
        return Ok(true);
    }
    let TimerKey { stream, name, fire_at_ms: due_ms } = key.clone();
    let mut after = key;
    loop {
        let page = journal.timers(Some(&after), u64::MAX, PAGE)?;
        let Some(last) = page.last() else { return Ok(false) };
        after = last.key.clone();
        if page.iter().any(|it| it.due_ms == due_ms && it.key.stream == stream && it.key.name == name) {
            return Ok(true);
        }
    }
}
