//! What a provider says later of a message that it took: delivered, read, failed.
//!
//! It comes by a door of its own, late, twice and out of order. The conversation is found by the claim that its send
//! took with the provider's id, or, where the report names our own message, at once.

use serde::{Deserialize, Serialize};

use super::{Command, delivery::DeliveryStatus};
use crate::{
    ids::{ConversationId, MessageId},
    message::Channel,
    time::Timestamp,
    workflow::ActivityError,
};

/// The claim of a conversation on a message that a provider took from it; the key is made by [`sent_key`].
pub const SENT: &str = "sent";

/// The key of a provider's id of a message of ours.
pub fn sent_key(channel: &Channel, provider_message_id: &str) -> String {
    format!("{channel}:{provider_message_id}")
}

/// What a provider says of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// The channel it went by.
    pub channel: Channel,
    /// The provider's id of it; for mail, its `Message-ID` without angle brackets.
    pub provider_message_id: String,
    /// Its conversation, where the report names that in a way that only we can have written.
    pub conversation: Option<ConversationId>,
    /// Our own id of it, where the report names that likewise.
    pub message_id: Option<MessageId>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Why, where it failed.
    pub error: Option<ActivityError>,
    /// The engine's time at which we heard.
    pub at: Timestamp,
}

impl DeliveryReport {
    /// The order that tells its conversation.
    pub fn command(self) -> Command {
        let Self { channel, provider_message_id, message_id, status, error, at, .. } = self;
        Command::Report { channel, provider_message_id, message_id, status, error, at }
    }
}
