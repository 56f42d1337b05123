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
    /// When the timers were last laid out in the store's order of due moments.
    pub(crate) armed_at_ms: u64,
    pub(crate) snapshot_version: u64,
    /// The groups that were durable before it was read; none for one that was not read to its end.
    pub(crate) read_after: Option<u64>,
}

/// Who and why, as it stands in a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RecordMeta {
    pub(crate) by: By,
    pub(crate) cause: Cause,
}

/// An entity before its first turn.
pub(crate) fn unborn<W: Workflow>() -> Live<W> {
    Live {
        state: W::State::default(),
        version: 0,
        seq: 0,
        head: [0; 32],
        armed: Vec::new(),
        armed_at_ms: 0,
        snapshot_version: 0,
        read_after: None,
    }
}

/// Reads an entity: its newest usable snapshot and the records after it, up to `version` where given.
pub(crate) fn load<W: Workflow>(
    journal: &Journal,
    entity: &EntityRef,
    version: Option<u64>,
) -> Result<Live<W>, String> {
    let stream = entity.stream();
    let read_after = version.is_none().then(|| journal.durable_groups());
    let snapshot = journal.snapshot(&stream).map_err(|error| error.to_string())?.filter(|snapshot| {
        snapshot.state_revision == W::STATE_REVISION
            && version.is_none_or(|version| snapshot.version <= version)
    });
    let mut live = unborn();
    if let Some(snapshot) = snapshot {
        match codec::decode::<W::State>(&snapshot.state) {
            Ok(state) => {
                live = Live {
                    state,
                    version: snapshot.version,
                    seq: snapshot.seq,
                    head: snapshot.head,
                    armed: snapshot.armed,
                    armed_at_ms: 0,
                    snapshot_version: snapshot.version,
                    read_after: None,
                };
            }
            Err(error) => tracing::warn!(
                "entity.kind" = W::KIND, "entity.id" = %entity.id, %error,
                "a snapshot could not be read; the entity is replayed from its journal"
            ),
        }
    }
    // From the snapshot's own record on: it knows the time, which the snapshot does not hold.
    for stored in journal.records(&stream, live.version..=version.unwrap_or(u64::MAX)) {
        let stored = stored.map_err(|error| error.to_string())?;
        let record = stored.decode().map_err(|error| error.to_string())?;
        live.armed_at_ms = record.at_ms;
        if record.version == live.version {
            continue;
        }
        for bytes in &record.events {
            W::evolve(&mut live.state, &event::<W>(bytes, entity, record.version)?);
        }
        live.version = record.version;
        live.seq = (stored.first_seq + record.events.len() as u64).saturating_sub(1);
        live.head = stored.hash;
        live.armed = record.armed;
    }
    live.read_after = read_after;
    Ok(live)
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
