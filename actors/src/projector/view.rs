//! A view without the types of its rows and events, so that views of all kinds stand in one list.

use std::{any::Any, marker::PhantomData};

use throughline_storage::{codec, envelope::Record};
use throughline_workflows::{
    time::Timestamp,
    views::{EventMeta, View},
    workflow::Workflow,
};
use uuid::Uuid;

use crate::{
    order::EntityRef,
    rehydrate::{self, RecordMeta},
};

/// A view, of whichever rows.
pub(crate) trait AnyView: Send + Sync {
    fn name(&self) -> &'static str;
    fn revision(&self) -> u16;
    fn kind(&self) -> &'static str;
    /// The events of a record, read once for all views of their kind.
    fn events(&self, entity: &EntityRef, record: &Record) -> Result<Box<dyn Any>, String>;
    /// Whether any of these events may change a row.
    fn concerns(&self, events: &dyn Any) -> bool;
    /// A stored row.
    fn decode(&self, row: &[u8]) -> Result<AnyRow, String>;
    /// The row after the record's events.
    fn fold(&self, row: Option<AnyRow>, events: &dyn Any, told: &Told<'_>) -> Result<Option<AnyRow>, String>;
    /// Whose a row is.
    fn owner(&self, row: &AnyRow) -> Option<Uuid>;
    /// A row's order, and the row as it is stored.
    fn encode(&self, row: &AnyRow) -> Option<(u64, Vec<u8>)>;
}

/// A row of whichever view.
pub(crate) type AnyRow = Box<dyn Any + Send>;

/// What the events of one record have in common.
pub(crate) struct Told<'a> {
    pub(super) entity: Uuid,
    pub(super) version: u64,
    pub(super) first_seq: u64,
    pub(super) at: Timestamp,
    pub(super) meta: &'a RecordMeta,
}

/// The view `V`, where it stands among views of other rows.
pub(crate) struct ViewOf<V>(pub(crate) PhantomData<fn() -> V>);

type EventOf<V> = <<V as View>::Source as Workflow>::Event;

impl<V: View> AnyView for ViewOf<V> {
    fn name(&self) -> &'static str {
        V::NAME
    }

    fn revision(&self) -> u16 {
        V::REVISION
    }

    fn kind(&self) -> &'static str {
        V::Source::KIND
    }

    fn events(&self, entity: &EntityRef, record: &Record) -> Result<Box<dyn Any>, String> {
        let events =
            record.events.iter().map(|stored| rehydrate::event::<V::Source>(stored, entity, record.version));
        Ok(Box::new(events.collect::<Result<Vec<EventOf<V>>, _>>()?))
    }

    fn concerns(&self, events: &dyn Any) -> bool {
        events.downcast_ref::<Vec<EventOf<V>>>().is_none_or(|events| events.iter().any(V::concerns))
    }

    fn decode(&self, row: &[u8]) -> Result<AnyRow, String> {
        Ok(Box::new(codec::decode_row::<V::Row>(row).map_err(|error| format!("{}: {error}", V::NAME))?))
    }

    fn fold(&self, row: Option<AnyRow>, events: &dyn Any, told: &Told<'_>) -> Result<Option<AnyRow>, String> {
        let another = || format!("{}: a row or event of another view", V::NAME);
        let events = events.downcast_ref::<Vec<EventOf<V>>>().ok_or_else(another)?;
        let mut row = match row {
            Some(row) => Some(*row.downcast::<V::Row>().map_err(|_| another())?),
            None => None,
        };
        for (index, event) in (0u32..).zip(events) {
            let meta = EventMeta {
                entity: told.entity,
                version: told.version,
                index,
                seq: told.first_seq + u64::from(index),
                at: told.at,
                by: &told.meta.by,
                cause: &told.meta.cause,
            };
            row = V::fold(row, event, &meta);
        }
        Ok(row.map(|row| Box::new(row) as AnyRow))
    }

    fn owner(&self, row: &AnyRow) -> Option<Uuid> {
        row.downcast_ref::<V::Row>().and_then(V::owner)
    }

    fn encode(&self, row: &AnyRow) -> Option<(u64, Vec<u8>)> {
        row.downcast_ref::<V::Row>().map(|row| (V::order(row), codec::encode_row(row)))
    }
}
