//! What messages to the customer make of the state: queued, taken by a channel, refused, failed later.

use super::{Contact, Facts};
use crate::{
    conversation::{
        delivery::DeliveryStatus,
        event::{Event, Purpose},
        sends::SentMessage,
        threading::MailThread,
    },
    ids::MessageId,
    message::Channel,
    time::Timestamp,
};

impl Facts {
    pub(super) fn record_queued(&mut self, event: &Event) {
        let Event::MessageQueued { at, message, purpose, replaces, promises, fallback_at, .. } = event else {
            return;
        };
        self.channels_used.insert(message.channel.clone());
        self.contacts
            .entry(message.channel.clone())
            .or_insert_with(|| Contact { theirs: message.to.clone(), ours: message.from.clone() });
        if let Some(replaced) = replaces.and_then(|id| self.sends.get_mut(id)) {
            replaced.replaced = true;
            replaced.recalled_at = None;
            replaced.fallback_at = None;
        }
        let asked_since = replaces.and_then(|id| self.sends.get(id)).and_then(|send| send.asked_since);
        // A person's words written again were written when they were first written.
        let written_at =
            replaces.and_then(|id| self.sends.get(id)).map_or(*at, |replaced| replaced.queued_at);
        if !message.automatic {
            self.handoff = None;
            if !self.silence.counts {
                // Until now there was nobody to be silent to.
                self.silence.began = Some(*at);
            }
            self.silence.counts = true;
            self.last_written_at = self.last_written_at.max(Some(written_at));
        }
        if fallback_at.is_some() {
            self.silence.tried.insert(message.channel.clone());
        }
        self.sends.push(SentMessage {
            id: message.message_id,
            status: DeliveryStatus::Queued,
            channel: message.channel.clone(),
            purpose: *purpose,
            automatic: message.automatic,
            queued_at: written_at,
            accepted_at: None,
            provider_message_id: None,
            promises: *promises,
            fallback_at: *fallback_at,
            uncertain_since: None,
            asked_since,
            answered: None,
            recalled_at: None,
            replaced: false,
        });
    }

    pub(super) fn record_delivery(&mut self, event: &Event) {
        let Event::DeliveryChanged { at, message_id, status, provider_message_id, .. } = event else {
            return;
        };
        let Some(send) = self.sends.get_mut(*message_id) else { return };
        let was_accepted = send.accepted_at.is_some();
        send.status = *status;
        send.uncertain_since = (*status == DeliveryStatus::Uncertain).then_some(*at);
        if provider_message_id.is_some() {
            send.provider_message_id.clone_from(provider_message_id);
        }
        if !status.is_open() {
            send.fallback_at = None;
            send.recalled_at = None;
        }
        if status.is_accepted() && !was_accepted {
            send.accepted_at = Some(*at);
            if send.channel == Channel::Email
                && self.mail.is_none()
                && let Some(ours) = provider_message_id
            {
                // As long as the customer has written no mail, ours hang on the first of ours.
                self.mail = MailThread::of_ours(ours);
            }
            self.record_heard(*message_id);
        } else if *status == DeliveryStatus::Failed {
            self.record_failed(*message_id, was_accepted, *at);
        }
        self.sends.forget();
    }

    /// A channel took a message: the customer has heard.
    fn record_heard(&mut self, message_id: MessageId) {
        let Some(send) = self.sends.get_mut(message_id) else { return };
        if !send.automatic && self.asked_since.is_some_and(|asked| asked <= send.queued_at) {
            send.answered = self.asked_since;
            self.asked_since = send.asked_since;
        }
        let (channel, purpose, automatic) = (send.channel.clone(), send.purpose, send.automatic);
        self.silence.heard(&channel);
        if !automatic {
            self.silence.person_acted();
        } else if matches!(purpose, Purpose::Update | Purpose::Waiting | Purpose::WindowMissed) {
            self.silence.updates += 1;
        }
        if purpose == Purpose::WindowMissed {
            self.silence.owed = None;
        }
    }

    /// A channel refused a message, or reports later that it never arrived.
    fn record_failed(&mut self, message_id: MessageId, was_accepted: bool, at: Timestamp) {
        let Some(send) = self.sends.get_mut(message_id) else { return };
        let accepted_at = send.accepted_at.take();
        let (channel, purpose) = (send.channel.clone(), send.purpose);
        if let Some(answered) = send.answered.take() {
            // What a person wrote later, and arrived, answers it too.
            let later = |other: &&mut SentMessage| {
                !other.automatic && other.accepted_at.is_some() && other.queued_at >= answered
            };
            if let Some(later) = self.sends.iter_mut().find(later) {
                later.answered = Some(later.answered.map_or(answered, |asked| asked.min(answered)));
            } else {
                self.asked_since = Some(self.asked_since.map_or(answered, |asked| asked.min(answered)));
            }
        }
        // What the channel took since then shows that it works.
        let newer = |other: &SentMessage| other.channel == channel && other.accepted_at >= accepted_at;
        if accepted_at.is_none() || !self.sends.iter().any(newer) {
            self.silence.failed.insert(channel);
        }
        // What was to be said of a missed time has still to be said.
        if purpose == Purpose::WindowMissed
            && self.open_case().is_some_and(|case| case.facts.missed.is_some())
        {
            self.silence.owed = Some(at);
        }
        if was_accepted {
            self.silence.binding_since = self.silence.binding_since.max(Some(at));
        }
    }
}
