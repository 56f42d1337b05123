//! What must hold of a journal at every moment: looked up in what is stored, not asked of those who stored it.

use std::collections::BTreeSet;

use throughline_storage::{append::StreamId, codec, journal::Journal};
use throughline_workflows::{
    ids::TenantId,
    time::Timestamp,
    workflow::{Cause, Workflow},
};
use uuid::Uuid;

use crate::{
    engine::Engine,
    intake::InboxItem,
    order::EntityRef,
    rehydrate,
    replay::{self, Held},
};

/// From this version on only one in sixteen is looked at at once.
const LONG: u64 = 40;

/// Whether an entity is looked at when it has come to this version.
pub(crate) fn is_looked_at(version: u64) -> bool {
    version < LONG || version.is_multiple_of(16)
}

/// One record, as the feed tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Whose it is.
    pub stream: StreamId,
    /// Which one.
    pub version: u64,
}

impl Engine {
    /// The records after `seq`, in order, and the `seq` of the last; and everything about their entities that
    /// contradicts itself.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn audit(&self, seq: u64) -> Result<(u64, Vec<Recorded>, Vec<String>), String> {
        let journal = &self.shared.host.journal;
        let groups = journal.feed(seq, usize::MAX).map_err(|error| error.to_string())?;
        let reached = groups.last().map_or(seq, |group| group.last_seq);
        let entries = groups.into_iter().flat_map(|group| group.entries);
        let records: Vec<_> =
            entries.map(|entry| Recorded { stream: entry.stream, version: entry.version }).collect();
        // A long history is not read every time.
        let looked_at = records.iter().filter(|record| is_looked_at(record.version));
        let touched: BTreeSet<_> = looked_at.map(|record| &record.stream).collect();
        let contradictions = self.contradictions(touched)?;
        Ok((reached, records, contradictions))
    }

    /// Everything about these entities that contradicts itself.
    fn contradictions<'a>(
        &self,
        streams: impl IntoIterator<Item = &'a StreamId>,
    ) -> Result<Vec<String>, String> {
        let journal = &self.shared.host.journal;
        let mut found = Vec::new();
        for stream in streams {
            let Some(entity) = self.shared.entity_of(stream) else {
                found.push(format!("a record of a workflow {} that there is not", stream.kind));
                continue;
            };
            let Some(kind) = self.shared.kinds.get(entity.kind) else { continue };
            match kind.inspector.replay(journal, &entity, None) {
                Ok(replayed) => {
                    let differences = replayed.differences.iter();
                    found.extend(differences.map(|difference| format!("{entity}: {difference}")));
                }
                Err(error) => found.push(format!("{entity}: {error}")),
            }
            if let Err(damages) = journal.verify_stream(stream) {
                found.extend(damages.iter().map(|damage| format!("{entity}: {damage}")));
            }
        }
        Ok(found)
    }

    /// Everything about any entity that contradicts itself.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn audit_all(&self) -> Result<Vec<String>, String> {
        let journal = &self.shared.host.journal;
        let mut streams = Vec::new();
        for tenant in self.tenants() {
            for kind in self.shared.kinds.keys() {
                let ids = journal.streams(tenant.as_str(), kind, None, usize::MAX);
                let stream =
                    |entity| StreamId { tenant: tenant.to_string(), kind: (*kind).to_owned(), entity };
                streams.extend(ids.map_err(|error| error.to_string())?.into_iter().map(stream));
            }
        }
        self.contradictions(&streams)
    }

    /// The events of one record.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn recorded<W: Workflow>(&self, record: &Recorded) -> Result<Vec<W::Event>, String> {
        let journal = &self.shared.host.journal;
        let entity = self.shared.entity_of(&record.stream).ok_or("no such workflow")?;
        let stored = journal.record(&record.stream, record.version).map_err(|error| error.to_string())?;
        let stored = stored.ok_or_else(|| format!("{entity} has no version {}", record.version))?;
        let read = stored.decode().map_err(|error| error.to_string())?;
        read.events.iter().map(|bytes| rehydrate::event::<W>(bytes, &entity, record.version)).collect()
    }

    /// What caused a record.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn caused_by(&self, record: &Recorded) -> Result<Cause, String> {
        let stored = self.shared.host.journal.record(&record.stream, record.version);
        let stored = stored.map_err(|error| error.to_string())?;
        let stored = stored.ok_or_else(|| format!("there is no version {}", record.version))?;
        let read = stored.decode().map_err(|error| error.to_string())?;
        let meta: rehydrate::RecordMeta = codec::decode(&read.metadata).map_err(|error| error.to_string())?;
        Ok(meta.cause)
    }

    /// An entity's state as the journal has it.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn read_state<W: Workflow>(&self, tenant: &TenantId, id: Uuid) -> Result<W::State, String> {
        let entity = EntityRef::of::<W>(tenant, id);
        Ok(rehydrate::load::<W>(&self.shared.host.journal, &entity, None)?.state)
    }

    /// The tenants and the providers' ids of the messages that wait in the inbox.
    ///
    /// # Errors
    /// What the store says if it cannot be read, or an entry cannot.
    pub fn inbox(&self) -> Result<Vec<(String, String)>, String> {
        let entries = self.shared.host.journal.inbox(0, usize::MAX).map_err(|error| error.to_string())?;
        let read = |bytes: Vec<u8>| codec::decode::<InboxItem>(&bytes).map_err(|error| error.to_string());
        entries
            .into_iter()
            .map(|entry| Ok((entry.tenant, read(entry.bytes)?.inbound.provider_message_id)))
            .collect()
    }

    /// When a timer or an activity is due next; none where nothing is.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let (journal, now) = (&self.shared.host.journal, self.now());
        let timers = journal.timers(None, u64::MAX, usize::MAX).unwrap_or_default();
        let activities = journal.activities(None, u64::MAX, usize::MAX).unwrap_or_default();
        let timers = timers.iter().map(|timer| timer.key.fire_at_ms);
        let due = timers.chain(activities.iter().map(|activity| activity.key.ready_at_ms));
        due.map(Timestamp::from_millis).filter(|due| *due > now).min()
    }

    /// The hash that stands for everything that was ever recorded.
    #[must_use]
    pub fn head_hash(&self) -> [u8; 32] {
        self.shared.host.journal.head().hash
    }

    /// Lets an entity leave memory once it has finished what it has; returns whether it was there.
    #[must_use]
    pub fn send_away<W: Workflow>(&self, tenant: &TenantId, id: Uuid) -> bool {
        self.shared.registry.send_away(&EntityRef::of::<W>(tenant, id))
    }
}

/// What contradicts itself of what an entity holds in memory between two turns and of what is kept beside its journal.
pub(crate) fn memory<W: Workflow>(journal: &Journal, entity: &EntityRef, held: &Held) -> Option<String> {
    let replayed = match replay::compare::<W>(journal, entity, Some(held)) {
        Ok(replayed) => replayed,
        Err(error) => return Some(format!("{entity}: {error}")),
    };
    if held.version != replayed.version {
        let (held, replayed) = (held.version, replayed.version);
        return Some(format!("{entity}: version {held} in memory is not version {replayed} in the journal"));
    }
    replayed.differences.first().map(|first| format!("{entity}: {first}"))
}
