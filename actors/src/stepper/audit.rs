//! What must hold of a journal at every moment: looked up in what is stored, not asked of those who stored it.

use std::collections::{BTreeMap, BTreeSet};

use throughline_storage::{
    append::{StreamId, Timer},
    codec,
    envelope::Armed,
    journal::Journal,
};
use throughline_workflows::{ids::TenantId, time::Timestamp, workflow::Workflow};
use uuid::Uuid;

use crate::{
    engine::Engine,
    intake::InboxItem,
    order::EntityRef,
    rehydrate::{self, Live},
};

/// From this version on only one in sixteen is looked at at once.
pub(crate) const LONG: u64 = 40;

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
        let looked_at =
            records.iter().filter(|record| record.version < LONG || record.version.is_multiple_of(16));
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
        let mut timers: BTreeMap<StreamId, Vec<Timer>> = BTreeMap::new();
        for timer in journal.timers(None, u64::MAX, usize::MAX).map_err(|error| error.to_string())? {
            timers.entry(timer.key.stream.clone()).or_default().push(timer);
        }
        let mut found = Vec::new();
        for stream in streams {
            let Some(entity) = self.shared.entity_of(stream) else {
                found.push(format!("a record of a workflow {} that there is not", stream.kind));
                continue;
            };
            let Some(kind) = self.shared.kinds.get(entity.kind) else { continue };
            let timers = timers.get(stream).map(Vec::as_slice).unwrap_or_default();
            found.extend(kind.inspector.contradictions(journal, &entity, timers));
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

    /// An entity's state as the journal has it.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn read_state<W: Workflow>(&self, tenant: &TenantId, id: Uuid) -> Result<W::State, String> {
        let entity = EntityRef::of::<W>(tenant, id);
        Ok(rehydrate::load::<W>(&self.shared.host.journal, &entity, None)?.state)
    }

    /// The providers' ids of the messages that wait in the inbox.
    ///
    /// # Errors
    /// What the store says if it cannot be read, or an entry cannot.
    pub fn inbox(&self) -> Result<Vec<String>, String> {
        let entries = self.shared.host.journal.inbox(0, usize::MAX).map_err(|error| error.to_string())?;
        let read = |bytes: Vec<u8>| codec::decode::<InboxItem>(&bytes).map_err(|error| error.to_string());
        entries.into_iter().map(|entry| Ok(read(entry.bytes)?.inbound.provider_message_id)).collect()
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
    pub fn passivate<W: Workflow>(&self, tenant: &TenantId, id: Uuid) -> bool {
        self.shared.registry.passivate(&EntityRef::of::<W>(tenant, id))
    }
}

/// What one entity keeps that contradicts itself.
pub(crate) fn entity<W: Workflow>(journal: &Journal, entity: &EntityRef, timers: &[Timer]) -> Vec<String> {
    let (first, read) = match (
        rehydrate::from_first::<W>(journal, entity, None),
        rehydrate::load::<W>(journal, entity, None),
    ) {
        (Ok(first), Ok(read)) => (first, read),
        (Err(error), _) | (_, Err(error)) => return vec![format!("{entity}: {error}")],
    };
    let mut found = Vec::new();
    if (first.version, first.head, &first.armed) != (read.version, read.head, &read.armed)
        || first.state != read.state
    {
        found.push(format!("{entity}: its snapshot is not what its records say"));
    }
    if let Err(damages) = journal.verify_stream(&entity.stream()) {
        found.extend(damages.iter().map(|damage| format!("{entity}: {damage}")));
    }
    found.extend(armed_as_it_should_be(entity, &first, timers));
    found
}

/// What an entity waits for is what its last record armed, and what is armed stands in due order.
fn armed_as_it_should_be<W: Workflow>(entity: &EntityRef, live: &Live<W>, timers: &[Timer]) -> Vec<String> {
    let mut wanted: Vec<Armed> = W::deadlines(&live.state)
        .iter()
        .map(|(deadline, due)| Armed { name: deadline.to_string(), due_ms: due.as_millis() })
        .collect();
    let mut found = Vec::new();
    if live.version == 0 {
        wanted.clear();
    }
    if wanted != live.armed {
        found.push(format!("{entity}: it waits for {wanted:?}, and armed are {:?}", live.armed));
    }
    let name = |armed: &Armed| (armed.name.clone(), armed.due_ms);
    let keyed: BTreeSet<_> = timers.iter().map(|timer| (timer.key.name.clone(), timer.due_ms)).collect();
    for armed in must_be_keyed(&live.armed) {
        if !keyed.contains(&name(armed)) {
            found.push(format!("{entity}: nothing will wake it for {armed:?}"));
        }
    }
    for timer in timers {
        let armed = live.armed.iter().any(|armed| name(armed) == (timer.key.name.clone(), timer.due_ms));
        // One that fired without effect stands elsewhere, and means nothing once its deadline is another.
        if !armed && timer.stuck == 0 {
            found.push(format!("{entity}: it will be woken for {timer:?}, which it does not wait for"));
        }
    }
    found
}

/// Those of an entity's armed timers that stand in due order by a key of their own.
fn must_be_keyed(armed: &[Armed]) -> impl Iterator<Item = &Armed> {
    armed.iter()
}
