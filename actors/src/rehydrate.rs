//! An entity read back from what is stored: its newest usable snapshot and the records after it.

use serde::{Deserialize, Serialize};
use throughline_storage::{
    codec,
    envelope::{Armed, EventBytes},
    journal::Journal,
};
use throughline_workflows::workflow::{By, Cause, Workflow};

use crate::order::EntityRef;

/// What is known of an entity between two turns.
pub(crate) struct Live<W: Workflow> {
    pub(crate) state: W::State,
    pub(crate) version: u64,
    pub(crate) seq: u64,
    pub(crate) head: [u8; 32],
    pub(crate) armed: Vec<Armed>,
    pub(crate) snapshot_version: u64,
}

/// Who and why, as it stands in a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RecordMeta {
    pub(crate) by: By,
    pub(crate) cause: Cause,
}

/// Reads an entity: its newest usable snapshot and the records after it, up to `version` where given.
pub(crate) fn load<W: Workflow>(
    journal: &Journal,
    entity: &EntityRef,
    version: Option<u64>,
) -> Result<Live<W>, String> {
    let stream = entity.stream();
    let snapshot = journal.snapshot(&stream).map_err(|error| error.to_string())?.filter(|snapshot| {
        snapshot.state_revision == W::STATE_REVISION
            && version.is_none_or(|version| snapshot.version <= version)
    });
    let mut live = Live::<W>::new();
    if let Some(snapshot) = snapshot {
        match codec::decode::<W::State>(&snapshot.state) {
            Ok(state) => {
                live = Live {
                    state,
                    version: snapshot.version,
                    seq: snapshot.seq,
                    head: snapshot.head,
                    armed: snapshot.armed,
                    snapshot_version: snapshot.version,
                };
            }
            Err(error) => tracing::warn!(
                "entity.kind" = W::KIND, "entity.id" = %entity.id, %error,
                "a snapshot could not be read; the entity is replayed from its journal"
            ),
        }
    }
    replay(&mut live, journal, entity, version)?;
    Ok(live)
}

/// Reads an entity from its first record on, whatever snapshot there is.
#[cfg(feature = "testing")]
pub(crate) fn from_first<W: Workflow>(
    journal: &Journal,
    entity: &EntityRef,
    version: Option<u64>,
) -> Result<Live<W>, String> {
    let mut live = Live::<W>::new();
    replay(&mut live, journal, entity, version)?;
    Ok(live)
}

impl<W: Workflow> Live<W> {
    /// An entity of which there is no record.
    fn new() -> Self {
        Self {
            state: W::State::default(),
            version: 0,
            seq: 0,
            head: [0; 32],
            armed: Vec::new(),
            snapshot_version: 0,
        }
    }
}

/// Moves on what is known by the records after it, up to `version` where given.
fn replay<W: Workflow>(
    live: &mut Live<W>,
    journal: &Journal,
    entity: &EntityRef,
    version: Option<u64>,
) -> Result<(), String> {
    let stream = entity.stream();
    for stored in journal.records(&stream, live.version + 1..=version.unwrap_or(u64::MAX)) {
        let stored = stored.map_err(|error| error.to_string())?;
        let record = stored.decode().map_err(|error| error.to_string())?;
        for bytes in &record.events {
            W::evolve(&mut live.state, &event::<W>(bytes, entity, record.version)?);
        }
        live.version = record.version;
        live.seq = (stored.first_seq + record.events.len() as u64).saturating_sub(1);
        live.head = stored.hash;
        live.armed = record.armed;
    }
    Ok(())
}

/// Reads one stored event.
pub(crate) fn event<W: Workflow>(
    stored: &EventBytes,
    entity: &EntityRef,
    version: u64,
) -> Result<W::Event, String> {
    codec::decode_with(&stored.bytes, |reader| W::decode_event(&stored.name, stored.version, reader)).map_err(
        |error| format!("{entity} version {version}: event {} v{}: {error}", stored.name, stored.version),
    )
}
