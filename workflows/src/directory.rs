//! The directory of tenants that were added while the server ran: one stream, in the tenant `default`.
//!
//! Tenants that the configuration names are not in it; the edge joins the two.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Add` | not in it | `TenantAdded` |
//! | | in it, by the same request | nothing |
//! | | in it | refused: exists |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::record::Rejection;
use crate::{
    activity::NoActivity,
    ids::{OperationId, TenantId},
    record::checked_name,
    time::Timestamp,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// The workflow of the directory.
#[derive(Clone, Copy, Debug)]
pub struct Directory;

/// An order to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// One more tenant.
    Add {
        /// The request's id; a repeated one is the same request.
        operation_id: OperationId,
        /// Its name in paths, tokens and keys.
        tenant: TenantId,
        /// The name customers know it by; that of the tenant where it is absent.
        title: Option<String>,
    },
}

/// A fact about the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A tenant was added.
    TenantAdded {
        /// When.
        at: Timestamp,
        /// The request's id.
        operation_id: OperationId,
        /// Its name.
        tenant: TenantId,
        /// The name customers know it by.
        title: Option<String>,
    },
}

/// The tenants that were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    tenants: BTreeMap<TenantId, Listed>,
}

/// What is known of a tenant that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// When.
    pub added_at: Timestamp,
    /// The name customers know it by.
    pub title: Option<String>,
    operation_id: OperationId,
}

impl State {
    /// The tenants, by name.
    pub fn tenants(&self) -> impl Iterator<Item = (&TenantId, &Listed)> {
        self.tenants.iter()
    }
}

impl Workflow for Directory {
    const KIND: &'static str = "directory";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Command::Add { operation_id, tenant, title } = command;
        match state.tenants.get(&tenant) {
            Some(listed) if listed.operation_id == operation_id => return Ok(Decision::nothing()),
            Some(_) => return Err(Rejection::Exists { kind: "tenant" }),
            None => {}
        }
        if tenant == TenantId::default_tenant() {
            return Err(Rejection::Exists { kind: "tenant" });
        }
        let title = title.map(|title| checked_name("title", &title)).transpose()?;
        Ok(Decision::event(Event::TenantAdded { at: cx.now, operation_id, tenant, title }))
    }

    fn evolve(state: &mut State, event: &Event) {
        let Event::TenantAdded { at, operation_id, tenant, title } = event;
        let listed = Listed { added_at: *at, title: title.clone(), operation_id: *operation_id };
        state.tenants.insert(tenant.clone(), listed);
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &NoActivity, _error: &ActivityError) -> Option<Command> {
        match *activity {}
    }

    fn event_type(event: &Event) -> EventType {
        match event {
            Event::TenantAdded { .. } => EventType { name: "tenant_added", version: 1 },
        }
    }
}
