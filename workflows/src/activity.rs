//! What the workflows ask of the world.
//!
//! An activity is data in a decision. It is recorded with the events, performed later, at least once, under an id
//! that stays the same on every try; its outcome comes back as a command.

use serde::{Deserialize, Serialize};

use crate::{
    conversation::{
        case::{CaseOrder, CaseReport},
        standing::Standing,
    },
    ids::{ConversationId, MessageId, ResolutionId},
    message::Outbound,
};

/// What a conversation asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationActivity {
    /// Send a message to the customer. The outcome comes back as `RecordDelivery`.
    Send(Box<Outbound>),
    /// Look up the words of a message, which the state does not keep. They come back as `Resend`.
    Recall {
        /// The message.
        message_id: MessageId,
    },
    /// Tell the resolution of the conversation's case something.
    TellCase {
        /// The resolution.
        resolution_id: ResolutionId,
        /// What it is told.
        order: CaseOrder,
    },
}

/// What a workflow asks that never asks for anything: there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoActivity {}

/// What the resolution of a case asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolutionActivity {
    /// Tell the conversation of the case something.
    TellConversation {
        /// The conversation.
        conversation_id: ConversationId,
        /// What it is told.
        report: Box<CaseReport>,
    },
}

/// What a customer's record asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerActivity {
    /// Tell the customer's conversations how to treat them from now on.
    TellConversations {
        /// How.
        standing: Box<Standing>,
    },
}
