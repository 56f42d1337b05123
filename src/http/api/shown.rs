//! What answers look like, for the API document.
//!
//! Rows come from the views and the engine as JSON in their outside form; these types say which fields that form has,
//! and tests hold real answers against them. A field that is unknown is absent.

mod cases;
mod conversations;
mod records;
mod system;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub(in crate::http) use self::{
    cases::{Breach, ExplainedClocks, Resolution, Silence, Sla, WaitingCustomer, WholeResolution},
    conversations::{ConversationRow, Message, WholeConversation},
    records::{Agent, Customer, Endpoint, EndpointDelivery, Team, Token},
    system::{
        Activity, Actor, ActorState, DeadLetter, FeedEvent, HistoryEntry, ReplayRun, Replayed, Timer,
        VersionDiff, pause_json,
    },
};

/// A time: RFC 3339 in UTC.
#[expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]
#[derive(Debug, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
#[serde(transparent)]
pub(in crate::http) struct Time(String);

/// Who did something.
#[expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct By {
    /// `customer`, `person`, `service`, `engine` or `ai`.
    kind: String,
    /// Their id.
    id: Option<Uuid>,
    /// The name to show.
    name: Option<String>,
    /// By what way: a channel, `api`.
    via: Option<String>,
}

/// What made something happen.
#[expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Cause {
    /// `webhook`, `command`, `timer`, `activity` or `automation`.
    kind: String,
    /// Its id.
    id: String,
}
