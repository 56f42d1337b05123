//! Pure folds of events into rows: what lists show.
//!
//! A row is never the truth: it can be deleted and folded again from the journal. The runtime stores rows, keeps
//! them in order and remembers how far it has read.
//!
//! Rows are stored in a form that cannot leave a field out, so a row is a plain struct and its JSON, where what is
//! unknown is absent, is made by its `to_json`.

pub mod agents;
pub mod breaches;
pub mod credentials;
pub mod customers;
pub mod endpoints;
pub mod events;
pub mod inbox;
pub mod resolutions;
pub mod silence;
pub mod teams;
pub mod timeline;

mod outside;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    time::Timestamp,
    workflow::{By, Cause, Workflow},
};

/// One row an entity, folded from that entity's events.
pub trait View: Send + Sync + 'static {
    /// The view's name in keys: lower-case letters.
    const NAME: &'static str;
    /// Raised when rows change their shape or meaning: the view is then folded anew from the first event.
    const REVISION: u16;

    /// The workflow whose events are folded.
    type Source: Workflow;
    /// What a list shows of one entity.
    type Row: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// The row after `event`; none while the entity has nothing to show.
    fn fold(
        row: Option<Self::Row>,
        event: &<Self::Source as Workflow>::Event,
        meta: &EventMeta<'_>,
    ) -> Option<Self::Row>;

    /// Whether `event` may change the row: rows of which no event of a turn does are neither read nor written.
    fn concerns(_event: &<Self::Source as Workflow>::Event) -> bool {
        true
    }

    /// The row's place in the list: the greatest comes first.
    fn order(row: &Self::Row) -> u64;

    /// Whose the row is, where rows are looked up by that.
    fn owner(_row: &Self::Row) -> Option<Uuid> {
        None
    }

    /// Whether the row is shown at all. Those that are not come last in the order, and are kept only to be folded on:
    /// whoever reads the list stops at the first of them, however many there are.
    fn is_listed(_row: &Self::Row) -> bool {
        true
    }
}

/// Where and why an event happened.
#[derive(Clone, Copy, Debug)]
pub struct EventMeta<'a> {
    /// The entity.
    pub entity: Uuid,
    /// The version of the entity that the event's turn made.
    pub version: u64,
    /// The event's place in its turn, from 0.
    pub index: u32,
    /// The event's place in the whole store.
    pub seq: u64,
    /// When the turn was taken.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: &'a By,
    /// What caused it.
    pub cause: &'a Cause,
}
