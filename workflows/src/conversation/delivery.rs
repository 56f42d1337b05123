//! What becomes of a message on its way out: one ladder for every provider.
//!
//! Providers report late, twice and out of order, so a report counts only if it climbs. `failed` is final, and comes
//! too late for what was delivered already.
//!
//! | standing \ report | accepted | failed |
//! |---|---|---|
//! | queued, held, uncertain | `DeliveryChanged(sent)` | `DeliveryChanged(failed)`, and the next channel gets it |
//! | sent | nothing | `DeliveryChanged(failed)`, and the next channel gets it |
//! | delivered, read | nothing | nothing |
//! | failed | nothing | nothing |
//! | superseded | `DeliveryChanged(sent)`: the truth, and what took the machine's words' place is superseded | nothing |
//! | no longer known | nothing | nothing |

use super::{
    Conversation,
    command::Delivery,
    draft::Draft,
    event::Event,
    report::{SENT, sent_key},
    sends::SentMessage,
    silence,
    state::Facts,
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
        /// Not sent: another message took its place.
        Superseded = "superseded",
    }
}

impl DeliveryStatus {
    /// Whether a report of `next` changes anything here.
    pub fn yields_to(self, next: Self) -> bool {
        match (self, next) {
            // A channel that took it after all, or a report of that, is the truth.
            (Self::Superseded, next) => next.is_accepted(),
            (Self::Failed, _) => false,
            (Self::Uncertain, Self::Held) => true,
            (_, Self::Superseded) => self.is_open(),
            (Self::Delivered | Self::Read, Self::Failed) => false,
            (_, Self::Failed) => true,
            (_, _) => next.rung() > self.rung(),
        }
    }

    /// Whether no later report can matter to what is still owed.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Held | Self::Queued | Self::Uncertain => true,
            Self::Sent | Self::Delivered | Self::Read | Self::Failed | Self::Superseded => false,
        }
    }

    /// Whether a channel took it and it did not fail.
    pub fn is_accepted(self) -> bool {
        match self {
            Self::Sent | Self::Delivered | Self::Read => true,
            Self::Held | Self::Queued | Self::Uncertain | Self::Failed | Self::Superseded => false,
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
            Self::Superseded => 7,
        }
    }
}

/// The longest provider's id that is claimed, in bytes; none is longer.
const PROVIDER_ID_MAX: usize = 900;

/// Takes the outcome of a send.
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
    // A send so old that its end is settled and forgotten has nothing to learn.
    let Some(send) = facts.sends.get(message_id) else { return Decision::nothing() };
    change(facts, send, Change { at, status, provider_message_id, error }, cx)
}

/// Takes a provider's later word about a message, found by our id of it or by the provider's.
pub(super) fn report(
    facts: &Facts,
    channel: &Channel,
    message_id: Option<MessageId>,
    change_to: Change,
    cx: &Context<'_>,
) -> Decision<Conversation> {
    let by_ours = message_id.and_then(|id| facts.sends.get(id));
    let by_theirs = || facts.sends.known_as(channel, change_to.provider_message_id.as_deref()?);
    match by_ours.or_else(by_theirs) {
        Some(send) => change(facts, send, change_to, cx),
        None => Decision::nothing(),
    }
}

/// A change of a send's standing.
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) status: DeliveryStatus,
    pub(super) provider_message_id: Option<String>,
    pub(super) error: Option<ActivityError>,
}

fn change(facts: &Facts, send: &SentMessage, to: Change, cx: &Context<'_>) -> Decision<Conversation> {
    let Change { at, status, provider_message_id, error } = to;
    let claim = provider_message_id.as_deref().and_then(|id| claim_on(send, id));
    if !send.status.yields_to(status) {
        // Whatever came first: the report that follows must find its way.
        return with(Decision::nothing(), claim);
    }
    let message_id = send.id;
    let mut draft = Draft::new(facts, cx);
    draft.record(Event::DeliveryChanged { at, message_id, status, provider_message_id, error });
    if status == DeliveryStatus::Failed
        && let Some(failed) = draft.facts.sends.get(message_id).cloned()
    {
        // Refused at once or much later: another channel gets it now.
        silence::pass_on(&mut draft, &failed);
    }
    if status.is_accepted() && send.status == DeliveryStatus::Superseded && send.automatic {
        // It was taken after all: what went into its place has nothing to add.
        silence::supersede_updates(&mut draft);
    }
    with(draft.done(), claim)
}

/// The claim by which reports find the conversation, where it has not been taken before.
fn claim_on(send: &SentMessage, provider_message_id: &str) -> Option<Claim> {
    let known = send.provider_message_id.as_deref() == Some(provider_message_id);
    // What a receiver of one's own calls a message need not be unique, and it reports nothing.
    let reports = !matches!(send.channel, Channel::Generic(_));
    let fits = (1..=PROVIDER_ID_MAX).contains(&provider_message_id.len());
    // A provider that gives an id twice must not keep what it took from being known.
    (reports && fits && !known)
        .then(|| Claim::take_if_free(SENT, sent_key(&send.channel, provider_message_id)))
}

fn with(decision: Decision<Conversation>, claim: Option<Claim>) -> Decision<Conversation> {
    match claim {
        Some(claim) => decision.claim(claim),
        None => decision,
    }
}
