//! A workflow seen from outside, whichever it is: its states, events and commands as JSON.

use std::{any::Any, marker::PhantomData, sync::Arc};

use throughline_storage::{codec, envelope::Record, journal::Journal};
use throughline_workflows::{time::Timestamp, views::EventMeta, workflow::Workflow};

use super::rows::{ArmedTimer, HistoryEntry};
use crate::{
    order::{AnyCommand, EntityRef},
    outside::OutsideEvent,
    rehydrate::{self, RecordMeta},
    replay::{self, Held, Replayed},
};

/// A workflow seen from outside, of whichever workflow.
pub(crate) trait AnyInspector: Send + Sync {
    fn deadline_command(&self, name: &str) -> Option<AnyCommand>;
    fn rejection_text(&self, rejection: &(dyn Any + Send + Sync)) -> Option<String>;
    fn command_json(&self, command: &(dyn Any + Send + Sync)) -> Option<serde_json::Value>;
    fn state(
        &self,
        journal: &Journal,
        entity: &EntityRef,
        version: Option<u64>,
    ) -> Result<Option<(u64, serde_json::Value, Vec<ArmedTimer>)>, String>;
    fn history(&self, journal: &Journal, entity: &EntityRef) -> Result<Vec<HistoryEntry>, String>;
    /// The entity read from its journal alone, compared with its snapshot, its timers and what is held in memory.
    fn replay(&self, journal: &Journal, entity: &EntityRef, held: Option<&Held>) -> Result<Replayed, String>;
    /// The record's events from `from_seq` on whose topic is `wanted`, as the outside reads them.
    fn outside(
        &self,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
        from_seq: u64,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<OutsideEvent>, String>;
    /// The record's events, with what caused them.
    fn record(
        &self,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
    ) -> Result<Vec<HistoryEntry>, String>;
}

pub(crate) struct InspectorOf<W>(pub(crate) PhantomData<fn() -> W>);

impl<W: Workflow> AnyInspector for InspectorOf<W> {
    fn deadline_command(&self, name: &str) -> Option<AnyCommand> {
        let deadline = name.parse::<W::Deadline>().ok()?;
        Some(Arc::new(W::deadline_passed(deadline)))
    }

    fn rejection_text(&self, rejection: &(dyn Any + Send + Sync)) -> Option<String> {
        rejection.downcast_ref::<W::Rejection>().map(ToString::to_string)
    }

    fn command_json(&self, command: &(dyn Any + Send + Sync)) -> Option<serde_json::Value> {
        command.downcast_ref::<W::Command>().and_then(|command| serde_json::to_value(command).ok())
    }

    fn state(
        &self,
        journal: &Journal,
        entity: &EntityRef,
        version: Option<u64>,
    ) -> Result<Option<(u64, serde_json::Value, Vec<ArmedTimer>)>, String> {
        let live = rehydrate::load::<W>(journal, entity, version)?;
        if live.version == 0 {
            return Ok(None);
        }
        let timers = W::deadlines(&live.state)
            .iter()
            .map(|(deadline, due)| ArmedTimer {
                name: deadline.to_string(),
                due_at: due,
                remaining_seconds: None,
                rule: W::rule(&live.state, deadline),
                fire_at: None,
                stuck: None,
            })
            .collect();
        let state = serde_json::to_value(&live.state).map_err(|error| error.to_string())?;
        Ok(Some((live.version, state, timers)))
    }

    fn history(&self, journal: &Journal, entity: &EntityRef) -> Result<Vec<HistoryEntry>, String> {
        let mut entries = Vec::new();
        for stored in journal.records(&entity.stream(), 1..) {
            let stored = stored.map_err(|error| error.to_string())?;
            let record = stored.decode().map_err(|error| error.to_string())?;
            entries.extend(self.record(entity, &record, stored.first_seq)?);
        }
        Ok(entries)
    }

    fn record(
        &self,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
    ) -> Result<Vec<HistoryEntry>, String> {
        let mut entries = Vec::with_capacity(record.events.len());
        let meta: RecordMeta = codec::decode(&record.metadata).map_err(|error| error.to_string())?;
        for (index, bytes) in (0u64..).zip(&record.events) {
            let event = rehydrate::event::<W>(bytes, entity, record.version)?;
            entries.push(HistoryEntry {
                event_type: bytes.name.clone(),
                version: record.version,
                seq: first_seq + index,
                timestamp: Timestamp::from_millis(record.at_ms),
                by: meta.by.clone(),
                cause: meta.cause.clone(),
                trace_id: record.correlation,
                details: serde_json::to_value(&event).map_err(|error| error.to_string())?,
            });
        }
        Ok(entries)
    }

    fn replay(&self, journal: &Journal, entity: &EntityRef, held: Option<&Held>) -> Result<Replayed, String> {
        replay::compare::<W>(journal, entity, held)
    }

    fn outside(
        &self,
        entity: &EntityRef,
        record: &Record,
        first_seq: u64,
        from_seq: u64,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<OutsideEvent>, String> {
        let mut told = Vec::new();
        let mut meta: Option<RecordMeta> = None;
        for (index, stored) in (0u32..).zip(&record.events) {
            let seq = first_seq + u64::from(index);
            if seq < from_seq {
                continue;
            }
            let event = rehydrate::event::<W>(stored, entity, record.version)?;
            let Some(topic) = W::topic(&event).filter(|topic| wanted(topic)) else { continue };
            let meta = match &mut meta {
                Some(meta) => meta,
                none => none.insert(codec::decode(&record.metadata).map_err(|error| error.to_string())?),
            };
            let meta = EventMeta {
                entity: entity.id,
                version: record.version,
                index,
                seq,
                at: Timestamp::from_millis(record.at_ms),
                by: &meta.by,
                cause: &meta.cause,
            };
            let body = W::outside(&event, topic, &meta);
            told.push(OutsideEvent { tenant: entity.tenant.clone(), seq, index, topic, body });
        }
        Ok(told)
    }
}
