//! What an endpoint may be told to do.

use serde::{Deserialize, Serialize};

use super::{secret::SecretText, state::Settings};
use crate::{ids::EndpointId, topic::Topic, workflow::ActivityError};

/// An order to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new endpoint.
    Register {
        /// Its id.
        endpoint_id: EndpointId,
        /// What it is sent, and where.
        settings: Box<Settings>,
        /// The secret that signs; none for mail.
        secret: Option<SecretText>,
        /// Whether the configuration makes it.
        configured: bool,
    },
    /// What it is sent, or where, changes. What is absent stays.
    Update(Box<EndpointPatch>),
    /// A new secret signs from now on; the ones before sign along for a day.
    Rotate {
        /// The new secret.
        secret: SecretText,
    },
    /// Nothing is sent any more.
    Disable,
    /// It is sent events again, those from now on.
    Enable,
    /// It is taken out for good.
    Remove,
    /// These events happened, in this order.
    Notify {
        /// The events.
        notices: Vec<Notice>,
    },
    /// Send a test.
    Test {
        /// The message's id.
        id: String,
    },
    /// This became of a message.
    RecordDelivery {
        /// The message's id.
        id: String,
        /// What became of it.
        report: Report,
    },
}

/// Changes to an endpoint. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPatch {
    /// Another address to post to.
    pub url: Option<String>,
    /// Other topics; an empty list means all.
    pub topics: Option<Vec<Topic>>,
    /// What it is for; an empty text takes it away.
    pub description: Option<String>,
}

/// An event that endpoints may want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The message's id, unique and the same whenever it is told again.
    pub id: String,
    /// The event's place in the whole store.
    pub seq: u64,
    /// The event's topic.
    pub topic: Topic,
    /// The event in its outside form, as JSON text.
    pub body: String,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It was accepted.
    Accepted {
        /// Tries that were made.
        attempts: u32,
    },
    /// It was given up.
    Failed {
        /// What the last try said.
        error: ActivityError,
    },
    /// The endpoint says that it is gone for good.
    Gone {
        /// In these words.
        error: ActivityError,
    },
    /// It was not sent, because the endpoint was switched off meanwhile.
    Dropped,
}

/// What an endpoint asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointActivity {
    /// Post a message, signed. To which address and with which secrets is looked up at each try, so that a try after
    /// a change goes where it should.
    Post {
        /// The message's id.
        id: String,
        /// The whole body.
        body: String,
    },
    /// Send a mail.
    Mail {
        /// The message's id.
        id: String,
        /// What it is about.
        subject: String,
        /// What it says.
        text: String,
        /// The path of our API under which more is to be seen.
        path: Option<String>,
    },
}

impl EndpointActivity {
    /// The message's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Post { id, .. } | Self::Mail { id, .. } => id,
        }
    }
}
