//! What becomes of a message on its way out: one ladder for every provider.
//!
//! Providers report late, twice and out of order, so a report counts only if it climbs. `failed` is final, and comes
//! too late for what was delivered already.
//!
//! | standing \ report | uncertain | accepted | failed |
//! |---|---|---|---|
//! | queued, held | `DeliveryChanged(uncertain)` | `DeliveryChanged(sent)` | `DeliveryChanged(failed)` |
//! | uncertain | nothing | `DeliveryChanged(sent)` | `DeliveryChanged(failed)` |
//! | sent | nothing | nothing | `DeliveryChanged(failed)` |
//! | delivered, read | nothing | nothing | nothing |
//! | failed | nothing | nothing | nothing |
//! | no longer known | nothing | nothing | nothing |

use super::{Conversation, command::Delivery, event::Event, state::Facts};
use crate::{
    ids::MessageId,
    words::words,
    workflow::{Context, Decision},
};

words! {
    /// Where a message to the customer stands.
    DeliveryStatus, "a delivery status" {
        /// Kept back until a person decides.
        Held = "held",
        /// Waiting to be sent.
        Queued = "queued",
        /// The channel took it.
        Sent = "sent",
        /// It reached the customer's device or mailbox.
        Delivered = "delivered",
        /// The customer opened it.
        Read = "read",
        /// It was refused, or given up.
        Failed = "failed",
        /// Whether the channel took it is not known.
        Uncertain = "uncertain",
    }
}

impl DeliveryStatus {
    /// Whether a report of `next` changes anything here.
    pub fn yields_to(self, next: Self) -> bool {
        match (self, next) {
            (Self::Failed, _) => false,
            (Self::Delivered | Self::Read, Self::Failed) => false,
            (_, Self::Failed) => true,
            (_, _) => next.rung() > self.rung(),
        }
    }

    /// Whether no later report can matter to what is still owed.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Held | Self::Queued | Self::Uncertain => true,
            Self::Sent | Self::Delivered | Self::Read | Self::Failed => false,
        }
    }

    fn rung(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Queued => 1,
            Self::Uncertain => 2,
            Self::Sent => 3,
            Self::Delivered => 4,
            Self::Read => 5,
            Self::Failed => 6,
        }
    }
}

/// Takes a report about a send.
pub(super) fn record(
    facts: &Facts,
    message_id: MessageId,
    delivery: Delivery,
    cx: &Context<'_>,
) -> Decision<Conversation> {
    let (at, status, provider_message_id, error) = match delivery {
        Delivery::Accepted { at, provider_message_id } => {
            (at, DeliveryStatus::Sent, provider_message_id, None)
        }
        Delivery::Failed { error } => (cx.now, DeliveryStatus::Failed, None, Some(error)),
        Delivery::Uncertain { error } => (cx.now, DeliveryStatus::Uncertain, None, Some(error)),
    };
    match facts.send_status(message_id) {
        Some(standing) if standing.yields_to(status) => {
            Decision::event(Event::DeliveryChanged { at, message_id, status, provider_message_id, error })
        }
        // No climb, or a send so old that its end is settled and forgotten.
        Some(_) | None => Decision::nothing(),
    }
}
