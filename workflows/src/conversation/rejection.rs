//! Why a conversation refuses a command.

use super::lifecycle::{Move, Status, legal_moves};
use crate::message::Channel;

/// Why a command is refused. Nothing is recorded then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The status does not allow it.
    #[error("`{wanted}` is not possible while the conversation is `{from}`; possible: {}", listed(legal))]
    IllegalMove {
        /// The status it has.
        from: Status,
        /// What was asked for.
        wanted: Move,
        /// What could be asked for instead.
        legal: Vec<Move>,
    },
    /// Resolved too long ago, and the message names no thread: it belongs in a new conversation that follows this
    /// one.
    #[error("the conversation was resolved too long ago to take a message that does not name it")]
    Closed,
    /// There is no such conversation.
    #[error("there is no such conversation")]
    Unknown,
    /// The message says what its sender is called, and neither the command nor the conversation has a name of that
    /// customer: perhaps the customer has none, and must hear of it before the message is taken.
    #[error("the customer's name is not known here")]
    Nameless,
    /// The id is in use already, by a conversation that began otherwise.
    #[error("this conversation exists already")]
    Exists,
    /// A value that cannot be.
    #[error("{field} must be {allowed}")]
    Invalid {
        /// The path of the field as the outside names it.
        field: &'static str,
        /// What is allowed, to stand after "must be".
        allowed: String,
    },
    /// No address of the customer is known for the channel.
    #[error("no address of this customer is known for {channel}")]
    NoAddress {
        /// The channel that was asked for.
        channel: Channel,
    },
}

impl Rejection {
    /// The refusal of `wanted` in the status `from`.
    pub(super) fn illegal(from: Status, wanted: Move) -> Self {
        Self::IllegalMove { from, wanted, legal: legal_moves(from) }
    }

    /// The refusal of a value.
    pub(super) fn invalid(field: &'static str, allowed: impl Into<String>) -> Self {
        Self::Invalid { field, allowed: allowed.into() }
    }
}

fn listed(moves: &[Move]) -> String {
    moves.iter().map(|legal| legal.as_str()).collect::<Vec<_>>().join(", ")
}
