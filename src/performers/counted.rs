//! What channels were given to send, counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use throughline_actors::performer::{Admission, Attempt, Outcome, Performer};
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{Command, Conversation},
    ids::TenantId,
};

/// What channels were given to send since the start, by channel and outcome.
#[derive(Clone, Debug, Default)]
pub struct Sends(Arc<Mutex<BTreeMap<(String, &'static str), u64>>>);

impl Sends {
    /// How often each channel ended in each outcome: `accepted`, `retried`, `refused` or `uncertain`.
    pub fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, channel: String, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((channel, outcome)).or_default() += 1;
    }
}

/// A performer whose sends are counted.
#[derive(Clone, Debug)]
pub struct Counted<P> {
    /// Who sends.
    pub performer: P,
    /// Where it is counted.
    pub sends: Sends,
}

impl<P: Performer<Conversation>> Performer<Conversation> for Counted<P> {
    async fn perform(&self, activity: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let channel = match &activity {
            ConversationActivity::Send(message) => Some(message.channel.to_string()),
            ConversationActivity::Recall { .. } | ConversationActivity::TellCase { .. } => None,
        };
        let outcome = self.performer.perform(activity, attempt).await;
        let word = match &outcome {
            Outcome::Done(_) => Some("accepted"),
            Outcome::Retry { .. } => Some("retried"),
            Outcome::Refused(_) => Some("refused"),
            Outcome::Uncertain(_) => Some("uncertain"),
            // It went to another entity, not to a channel.
            Outcome::HandOver(_) => None,
        };
        if let (Some(channel), Some(word)) = (channel, word) {
            self.sends.count(channel, word);
        }
        outcome
    }

    fn admit(&self, activity: &ConversationActivity, attempt: &Attempt) -> Admission {
        self.performer.admit(activity, attempt)
    }

    fn mended(&self, activity: &ConversationActivity, tenant: &TenantId) {
        self.performer.mended(activity, tenant);
    }
}
