//! What can have happened to a customer's record. The encoding is a file format: variants are only appended.

use serde::{Deserialize, Deserializer, Serialize};

mod before;

use super::profile::CustomerPatch;
use crate::{ids::CustomerId, message::Address, time::Timestamp, workflow::EventType};

/// A fact about one customer's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The customer became known.
    Registered {
        /// When.
        at: Timestamp,
        /// Their id.
        id: CustomerId,
        /// Their addresses.
        addresses: Vec<Address>,
        /// Their name, where known.
        name: Option<String>,
        /// By what way.
        via: String,
        /// Whether the addresses are proven to be theirs.
        verified: bool,
    },
    /// One more address of theirs became known.
    IdentityAdded {
        /// When.
        at: Timestamp,
        /// The address.
        address: Address,
        /// By what way.
        via: String,
        /// Whether it is proven to be theirs.
        verified: bool,
    },
    /// An address was proven to be theirs.
    IdentityVerified {
        /// When.
        at: Timestamp,
        /// The address.
        address: Address,
    },
    /// The profile changed.
    ProfileChanged {
        /// When.
        at: Timestamp,
        /// What is different now; nothing else.
        change: Box<CustomerPatch>,
    },
}

impl Event {
    /// The name and the version of the shape, as stored beside the event.
    pub(super) fn event_type(&self) -> EventType {
        let name = match self {
            Self::Registered { .. } => "registered",
            Self::IdentityAdded { .. } => "identity_added",
            Self::IdentityVerified { .. } => "identity_verified",
            Self::ProfileChanged { .. } => "profile_changed",
        };
        let version = if matches!(self, Self::ProfileChanged { .. }) { 2 } else { 1 };
        EventType { name, version }
    }

    /// Reads an event as it was stored; one of an older shape becomes what it means today.
    pub(super) fn decode<'de, D: Deserializer<'de>>(
        name: &str,
        version: u16,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        match (name, version) {
            ("profile_changed", 1) => before::profile_changed(deserializer),
            (_, _) => Self::deserialize(deserializer),
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Registered { at, .. }
            | Self::IdentityAdded { at, .. }
            | Self::IdentityVerified { at, .. }
            | Self::ProfileChanged { at, .. } => *at,
        }
    }
}
