//! What an operator may see: entities, their states now and at a version, their histories, and all that is owed.
//!
//! Everything is read from the journal; nothing here changes anything.

pub mod difference;
pub(crate) mod inspector;
mod listing;
mod outstanding;
mod rows;
mod versions;

pub use outstanding::{Outstanding, Owed, Towards, Waiting, Wanted};
pub use rows::{
    ActivityRow, ActorRow, ActorState, ArmedTimer, HistoryEntry, InspectError, Recorded, Status, TimerRow,
    VersionDiff,
};

use throughline_storage::{
    append::{ActivityKey, PendingActivity, StreamId, Timer, TimerKey},
    codec,
};
use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
    workflow::Workflow,
};
use uuid::Uuid;

use crate::{
    armed,
    engine::Engine,
    order::EntityRef,
    pauses::Pauses,
    performer::activity_id,
    rehydrate::{self, RecordMeta},
};

impl Engine {
    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.shared.kinds.keys().copied().collect();
        kinds.sort_unstable();
        kinds
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// [`InspectError::UnknownKind`], naming those there are.
    pub fn kind(&self, name: &str) -> Result<&'static str, InspectError> {
        self.shared
            .kinds
            .get_key_value(name)
            .map(|(kind, _)| *kind)
            .ok_or_else(|| InspectError::UnknownKind(name.to_owned(), self.kinds().join(", ")))
    }

    /// Every event of an entity within `versions`, oldest first, once what is read is durable.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn events<W: Workflow>(
        &self,
        tenant: &TenantId,
        id: Uuid,
    ) -> Result<Vec<Recorded<W::Event>>, String> {
        let entity = EntityRef::of::<W>(tenant, id);
        let journal = self.shared.host.journal.clone();
        let read = move || {
            let mut events = Vec::new();
            for stored in journal.records(&entity.stream(), 1..) {
                let stored = stored.map_err(|error| error.to_string())?;
                let record = stored.decode().map_err(|error| error.to_string())?;
                let meta: RecordMeta = codec::decode(&record.metadata).map_err(|error| error.to_string())?;
                for (index, bytes) in (0u32..).zip(&record.events) {
                    events.push(Recorded {
                        event: rehydrate::event::<W>(bytes, &entity, record.version)?,
                        version: record.version,
                        index,
                        seq: stored.first_seq + u64::from(index),
                        at: Timestamp::from_millis(record.at_ms),
                        by: meta.by.clone(),
                        cause: meta.cause.clone(),
                    });
                }
            }
            Ok(events)
        };
        let events = self.shared.host.runner.read(read).await?;
        self.barrier().await?;
        events
    }

    /// An entity's typed state and version, once durable; none for one that does not exist.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn state<W: Workflow>(
        &self,
        tenant: &TenantId,
        id: Uuid,
    ) -> Result<Option<(W::State, u64)>, String> {
        let entity = EntityRef::of::<W>(tenant, id);
        let journal = self.shared.host.journal.clone();
        let read = move || rehydrate::load::<W>(&journal, &entity, None);
        let live = self.shared.host.runner.read(read).await??;
        self.barrier().await?;
        Ok((live.version > 0).then_some((live.state, live.version)))
    }

    /// An entity's state now, or at `version`; none for one that does not exist.
    ///
    /// # Errors
    /// [`InspectError`] if the version is not there or the store cannot be read.
    pub async fn actor(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<ActorState>, InspectError> {
        let entity = EntityRef { tenant: tenant.clone(), kind, id };
        let Some(registered) = self.shared.kinds.get(kind) else {
            return Err(InspectError::UnknownKind(kind.to_owned(), self.kinds().join(", ")));
        };
        let (inspector, journal) = (registered.inspector.clone(), self.shared.host.journal.clone());
        let asked = entity.clone();
        let read = move || inspector.state(&journal, &asked, version);
        let read = self.shared.host.runner.read(read).await;
        let found = read.and_then(|found| found).map_err(InspectError::Unreadable)?;
        self.barrier().await.map_err(InspectError::Unreadable)?;
        let Some((at, state, mut timers)) = found else { return Ok(None) };
        if let Some(wanted) = version
            && wanted != at
        {
            return Err(InspectError::NoSuchVersion { at, wanted });
        }
        let pending_activities = match version {
            Some(_) => Vec::new(),
            None => self.activities_of(&entity).map_err(InspectError::Unreadable)?,
        };
        if version.is_none() {
            self.count_down(&entity, &mut timers).map_err(InspectError::Unreadable)?;
        }
        let resident =
            self.shared.registry.residents().await.into_iter().find(|resident| resident.entity == entity);
        Ok(Some(ActorState {
            kind: kind.to_owned(),
            id,
            tenant: tenant.to_string(),
            version: at,
            state,
            timers,
            pending_activities,
            residency: if resident.is_some() { "hot" } else { "passive" },
            mailbox_depth: resident.as_ref().map_or(0, |resident| resident.mailbox_depth),
            restarts: resident.as_ref().map_or(0, |resident| resident.restarts),
            last_failure: resident.and_then(|resident| resident.last_failure),
            paused: self.shared.host.pauses.of(&entity.stream()),
        }))
    }

    /// An entity's history, oldest first.
    ///
    /// # Errors
    /// [`InspectError`] if the store cannot be read.
    pub async fn history(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
    ) -> Result<Vec<HistoryEntry>, InspectError> {
        let Some(registered) = self.shared.kinds.get(kind) else {
            return Err(InspectError::UnknownKind(kind.to_owned(), self.kinds().join(", ")));
        };
        let entity = EntityRef { tenant: tenant.clone(), kind, id };
        let (inspector, journal) = (registered.inspector.clone(), self.shared.host.journal.clone());
        let read = move || inspector.history(&journal, &entity);
        let history = self.shared.host.runner.read(read).await.map_err(InspectError::Unreadable)?;
        self.barrier().await.map_err(InspectError::Unreadable)?;
        history.map_err(InspectError::Unreadable)
    }

    /// Armed timers that fire up to `before`, in the order in which they fire, at most `limit`.
    ///
    /// The store finds an entity by its earliest timer; the others are read from its last record.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn timers(&self, before: Option<Timestamp>, limit: usize) -> Result<Vec<TimerRow>, String> {
        let rows =
            armed::listed(&self.shared.host.journal, before.map_or(u64::MAX, Timestamp::as_millis), limit);
        Ok(rows
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|timer| timer_row(timer, &self.shared.host.pauses))
            .collect())
    }

    /// Pending activities in due order, at most `limit`.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn activities(&self, limit: usize) -> Result<Vec<ActivityRow>, String> {
        let pending =
            self.shared.host.journal.activities(None, u64::MAX, limit).map_err(|error| error.to_string())?;
        Ok(pending.into_iter().map(|pending| self.activity_row(pending)).collect())
    }

    /// The engine's figures.
    pub fn status(&self) -> Status {
        let host = &self.shared.host;
        let now = host.clock.now();
        // What is paused is late on purpose.
        let overdue = host.pauses.timers(&host.journal, now.as_millis(), 1).unwrap_or_default();
        let timer_lag = overdue
            .first()
            .map_or(Span::ZERO, |timer| now.since(Timestamp::from_millis(timer.key.fire_at_ms)));
        let (intake_waiting, timers_in_flight, activities_in_flight) = self.shared.gauges.read();
        Status {
            commits: host.journal.stats(),
            disk_room: host.journal.disk_room(),
            seq: host.journal.head().seq,
            projected: self.views().reached(),
            resident: self.shared.registry.resident_count(),
            restarts: self.shared.registry.restarts(),
            timer_lag,
            clock_mode: host.clock.mode(),
            now,
            wall_behind: host.clock.wall_behind(),
            intake_waiting,
            timers_in_flight,
            activities_in_flight,
            paused: host.pauses.len(),
        }
    }

    pub(crate) async fn barrier(&self) -> Result<(), String> {
        self.shared.host.journal.barrier().await.map_err(|error| error.to_string())
    }

    /// An entity's pending activities. Read by walking what is pending: few, unless a provider is down.
    fn activities_of(&self, entity: &EntityRef) -> Result<Vec<ActivityRow>, String> {
        let pending = self.pending_of(&entity.stream())?;
        Ok(pending.into_iter().map(|pending| self.activity_row(pending)).collect())
    }

    fn pending_of(&self, stream: &StreamId) -> Result<Vec<PendingActivity>, String> {
        let mut found = Vec::new();
        let mut after: Option<ActivityKey> = None;
        loop {
            let page = self
                .shared
                .host
                .journal
                .activities(after.as_ref(), u64::MAX, 1024)
                .map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.key.clone());
            found.extend(page.into_iter().filter(|pending| pending.key.stream == *stream));
        }
    }

    /// What an entity of workflow `W` asked of the world and is not done, each with its content.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn pending<W: Workflow>(
        &self,
        tenant: &TenantId,
        id: Uuid,
    ) -> Result<Vec<(ActivityRow, W::Activity)>, String> {
        let (engine, stream) = (self.clone(), EntityRef::of::<W>(tenant, id).stream());
        let read = move || {
            let journal = &engine.shared.host.journal;
            let mut found = Vec::new();
            for pending in engine.pending_of(&stream)? {
                let payload = match &pending.edited {
                    Some(edited) => Some(edited.clone()),
                    None => {
                        let stored = journal.record(&stream, pending.key.version);
                        let stored = stored.map_err(|error| error.to_string())?;
                        let record = stored.map(|stored| stored.decode()).transpose();
                        let record = record.map_err(|error| error.to_string())?;
                        let index = pending.key.index as usize;
                        record.and_then(|record| Some(record.activities.get(index)?.bytes.clone()))
                    }
                };
                // Without its content it is still listed among all activities.
                if let Some(activity) = payload.and_then(|payload| codec::decode(&payload).ok()) {
                    found.push((engine.activity_row(pending), activity));
                }
            }
            Ok(found)
        };
        self.shared.host.runner.read(read).await?
    }

    fn activity_row(&self, pending: PendingActivity) -> ActivityRow {
        let ActivityKey { ready_at_ms, stream, version, index } = pending.key;
        let id = match self.shared.entity_of(&stream) {
            Some(entity) => activity_id(&entity, version, index, pending.edited.is_some()),
            None => format!("{}.{version}.{index}", stream.entity),
        };
        ActivityRow {
            paused: self.shared.host.pauses.has(&stream),
            id,
            kind: stream.kind,
            entity: stream.entity,
            tenant: stream.tenant,
            lane: pending.lane,
            attempts: pending.attempts,
            last_error: pending.last_error,
            next_try_at: Timestamp::from_millis(ready_at_ms),
            asked_at: Timestamp::from_millis(pending.asked_at_ms),
            begun_at: pending.begun_at_ms.map(Timestamp::from_millis),
        }
    }
}

fn timer_row(timer: Timer, pauses: &Pauses) -> TimerRow {
    let TimerKey { fire_at_ms, stream, name } = timer.key;
    TimerRow {
        paused: pauses.has(&stream),
        kind: stream.kind,
        id: stream.entity,
        tenant: stream.tenant,
        name,
        due_at: Timestamp::from_millis(timer.due_ms),
        fire_at: Timestamp::from_millis(fire_at_ms),
        stuck: timer.stuck,
    }
}
