//! What the workflows ask of the world.
//!
//! An activity is data in a decision. It is recorded with the events, performed later, at least once, under an id
//! that stays the same on every try; its outcome comes back as a command.

use serde::{Deserialize, Serialize};

use crate::message::Outbound;

/// What a conversation asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationActivity {
    /// Send a message to the customer. The outcome comes back as `RecordDelivery`.
    Send(Box<Outbound>),
}

/// What a workflow asks that never asks for anything: there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoActivity {}
