//! What can have happened to an endpoint. The encoding is a file format: variants are only appended.

use serde::{Deserialize, Serialize};

use super::{
    secret::SecretText,
    state::{Disabled, Settings},
};
use crate::{
    ids::EndpointId,
    time::Timestamp,
    topic::Topic,
    workflow::{ActivityError, EventType},
};

/// A fact about one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was registered.
    Registered {
        /// When.
        at: Timestamp,
        /// Its id.
        id: EndpointId,
        /// What it is sent, and where.
        settings: Box<Settings>,
        /// The secret that signs; none for mail.
        secret: Option<SecretText>,
        /// Whether the configuration made it.
        configured: bool,
    },
    /// What it is sent, or where, is another now.
    Changed {
        /// When.
        at: Timestamp,
        /// All of it as it is now.
        settings: Box<Settings>,
    },
    /// A new secret signs; the ones before sign along for a day.
    Rotated {
        /// When.
        at: Timestamp,
        /// The new secret.
        secret: SecretText,
    },
    /// Nothing is sent any more.
    Disabled {
        /// When.
        at: Timestamp,
        /// Why.
        why: Disabled,
    },
    /// It is sent events again.
    Enabled {
        /// When.
        at: Timestamp,
    },
    /// It was taken out for good.
    Removed {
        /// When.
        at: Timestamp,
    },
    /// Events that it wants were handed to its queue.
    Notified {
        /// When.
        at: Timestamp,
        /// Which, in the order in which they happened.
        notices: Vec<Noticed>,
    },
    /// A test was handed to its queue.
    Tested {
        /// When.
        at: Timestamp,
        /// The message's id.
        id: String,
    },
    /// It accepted a message.
    Delivered {
        /// When.
        at: Timestamp,
        /// The message's id.
        id: String,
        /// Tries that were made.
        attempts: u32,
    },
    /// A message was given up.
    DeliveryFailed {
        /// When.
        at: Timestamp,
        /// The message's id.
        id: String,
        /// What the last try said.
        error: ActivityError,
    },
    /// A message was not sent, because the endpoint was switched off meanwhile.
    DeliveryDropped {
        /// When.
        at: Timestamp,
        /// The message's id.
        id: String,
    },
}

/// An event that an endpoint is told of. Its words stand in the activity beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// The message's id, the same on every try.
    pub id: String,
    /// The event's place in the whole store.
    pub seq: u64,
    /// The event's topic.
    pub topic: Topic,
}

impl Event {
    /// The name and the version of the shape, as stored beside the event.
    pub(super) fn event_type(&self) -> EventType {
        let name = match self {
            Self::Registered { .. } => "registered",
            Self::Changed { .. } => "changed",
            Self::Rotated { .. } => "rotated",
            Self::Disabled { .. } => "disabled",
            Self::Enabled { .. } => "enabled",
            Self::Removed { .. } => "removed",
            Self::Notified { .. } => "notified",
            Self::Tested { .. } => "tested",
            Self::Delivered { .. } => "delivered",
            Self::DeliveryFailed { .. } => "delivery_failed",
            Self::DeliveryDropped { .. } => "delivery_dropped",
        };
        EventType { name, version: 1 }
    }
}
