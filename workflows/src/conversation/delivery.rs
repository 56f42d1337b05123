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
//!
//! Acceptance with a provider's id also takes the claim by which later reports find the conversation. Such a report of
//! `delivered` or `read` climbs from everything below it but `failed`.

use super::{
    Conversation,
    command::Delivery,
    event::Event,
    report::{SENT, sent_key},
    state::{Facts, SentMessage},
};
use crate::{
    ids::MessageId,
    message::Channel,
    time::Timestamp,
    words::words,
    workflow::{ActivityError, Claim, Context, Decision},
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
    let Some(send) = facts.sends.iter().find(|send| send.id == message_id) else {
        return Decision::nothing(); // A send so old that its end is settled and forgotten.
    };
    let claim = provider_message_id.as_deref().and_then(|id| claim_on(send, id));
    let decision = if send.status.yields_to(status) {
        Decision::event(Event::DeliveryChanged { at, message_id, status, provider_message_id, error })
    } else {
        Decision::nothing()
    };
    with(decision, claim)
}

/// The claim by which reports find the conversation, where it has not been taken before.
fn claim_on(send: &SentMessage, provider_message_id: &str) -> Option<Claim> {
    let known = send.provider_message_id.as_deref() == Some(provider_message_id);
    // What a receiver of one's own calls a message need not be unique, and it reports nothing.
    let reports = !matches!(send.channel, Channel::Generic(_));
    (reports && !known).then(|| Claim::take(SENT, sent_key(&send.channel, provider_message_id)))
}

fn with(decision: Decision<Conversation>, claim: Option<Claim>) -> Decision<Conversation> {
    match claim {
        Some(claim) => decision.claim(claim),
        None => decision,
    }
}

/// Takes what a provider says later of a message that it took, found by our id of it or by the provider's.
pub(super) fn report(
    facts: &Facts,
    provider_message_id: &str,
    message_id: Option<MessageId>,
    status: DeliveryStatus,
    error: Option<ActivityError>,
    at: Timestamp,
) -> Decision<Conversation> {
    let named = |send: &&SentMessage| {
        Some(send.id) == message_id || send.provider_message_id.as_deref() == Some(provider_message_id)
    };
    match facts.sends.iter().find(named) {
        Some(send) if send.status.yields_to(status) => {
            let changed = Decision::event(Event::DeliveryChanged {
                at,
                message_id: send.id,
                status,
                provider_message_id: Some(provider_message_id.to_owned()),
                error,
            });
            with(changed, claim_on(send, provider_message_id))
        }
        Some(_) | None => Decision::nothing(),
    }
}
