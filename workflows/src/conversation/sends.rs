//! The messages on their way to the customer, and what they have done for the customer's waiting.
//!
//! What is open is kept however much it is; of the settled only the newest, in case a late failure comes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{delivery::DeliveryStatus, event::Purpose, state::RECENT_MAX};
use crate::{ids::MessageId, message::Channel, time::Timestamp};

/// A message to the customer, without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The message.
    pub id: MessageId,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// The channel it goes by.
    pub channel: Channel,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether these are the machine's words.
    pub automatic: bool,
    /// When it was handed to its channel's queue.
    pub queued_at: Timestamp,
    /// When the channel took it; none once it failed after that.
    pub accepted_at: Option<Timestamp>,
    /// The provider's id of it.
    pub provider_message_id: Option<String>,
    /// By when it says that the customer hears again.
    pub promises: Option<Timestamp>,
    /// When the next channel gets it.
    pub fallback_at: Option<Timestamp>,
    /// Since when it is uncertain whether the channel took it.
    pub uncertain_since: Option<Timestamp>,
    /// The customer's first message after it was written: what it does not answer.
    pub asked_since: Option<Timestamp>,
    /// Since when the customer had waited for an answer, once it was one.
    pub answered: Option<Timestamp>,
    /// Since when its words are being looked up to go out again.
    pub recalled_at: Option<Timestamp>,
    /// Its words went out again as another message.
    pub replaced: bool,
}

impl SentMessage {
    /// Whether the channel may still take it.
    pub fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// Whether it is under way with the next channel at hand, should this one not take it.
    pub(super) fn is_hurried(&self) -> bool {
        self.recalled_at.is_some() || (self.is_open() && self.fallback_at.is_some())
    }

    /// Whether it is a person's, did not get through, and goes out again as nothing else.
    pub(super) fn is_undelivered(&self) -> bool {
        !self.automatic && !self.replaced && self.status == DeliveryStatus::Failed
    }
}

/// The messages on their way out, and the newest of those that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sends {
    kept: VecDeque<SentMessage>,
    /// The newest acceptance among those that are forgotten.
    heard_before: Option<Timestamp>,
    /// How many messages there were. The engine numbers its own by this; what it sends again in a person's words has
    /// such a number too.
    pub(super) count: u64,
}

impl Sends {
    /// Those that are remembered, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &SentMessage> {
        self.kept.iter()
    }

    /// Those that the channels may still take, oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &SentMessage> {
        self.kept.iter().filter(|send| send.is_open())
    }

    /// Whether there never was one.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// One of them; none if it never was, or is settled and forgotten.
    pub fn get(&self, id: MessageId) -> Option<&SentMessage> {
        self.kept.iter().find(|send| send.id == id)
    }

    /// The one that a provider knows by this id.
    pub fn known_as(&self, channel: &Channel, provider_message_id: &str) -> Option<&SentMessage> {
        self.kept.iter().find(|send| {
            send.channel == *channel && send.provider_message_id.as_deref() == Some(provider_message_id)
        })
    }

    /// The last that the customer heard: a channel took it and it did not fail.
    pub fn last_heard(&self) -> Option<&SentMessage> {
        self.kept.iter().filter(|send| send.accepted_at.is_some()).max_by_key(|send| send.accepted_at)
    }

    /// When the customer last heard from us.
    pub fn heard_at(&self) -> Option<Timestamp> {
        self.last_heard().and_then(|send| send.accepted_at).max(self.heard_before)
    }

    pub(super) fn push(&mut self, send: SentMessage) {
        self.count += 1;
        self.kept.push_back(send);
        self.forget();
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut SentMessage> {
        self.kept.iter_mut().find(|send| send.id == id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SentMessage> {
        self.kept.iter_mut()
    }

    /// Forgets the oldest of too many settled ones. What a person wrote and nobody got is never forgotten.
    pub(super) fn forget(&mut self) {
        let settled = |send: &SentMessage| !send.is_open() && !send.is_undelivered();
        let mut surplus = self.kept.iter().filter(|send| settled(send)).count().saturating_sub(RECENT_MAX);
        let mut heard_before = self.heard_before;
        self.kept.retain(|send| {
            let dropped = surplus > 0 && settled(send);
            surplus -= usize::from(dropped);
            if dropped {
                heard_before = heard_before.max(send.accepted_at);
            }
            !dropped
        });
        self.heard_before = heard_before;
    }
}
