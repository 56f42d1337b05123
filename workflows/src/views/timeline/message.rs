//! A message as the outside sees it: the common fields of every channel, what became of it, and what belongs to its
//! channel only.

use serde_json::{Map, Value, json};

use super::{extend, outside};
use crate::{
    conversation::{DeliveryStatus, Event, Purpose, WhyChannel},
    ids::{ConversationId, MessageId},
    message::{Attachment, AttachmentAt, Channel, Details, EmailDetails, Inbound, Outbound},
    time::Timestamp,
    views::inbox::Direction,
    workflow::{ActivityError, By},
};

/// One message of a conversation and what became of it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The conversation it belongs to.
    pub conversation_id: ConversationId,
    /// The channel it went by.
    pub channel: Channel,
    /// Which way it went.
    pub direction: Direction,
    /// Who wrote it.
    pub by: By,
    /// What it says.
    pub content: String,
    /// Whether a machine wrote it: an answering machine of the customer's, or the engine.
    pub automatic: bool,
    /// Inbound: when the customer wrote, by the provider's clock. Outbound: when the channel took it.
    pub sent_at: Option<Timestamp>,
    /// Where it stands; none for an inbound one.
    pub delivery: Option<DeliveryStatus>,
    attachments: Vec<Attachment>,
    provider_message_id: Option<String>,
    in_reply_to: Option<String>,
    metadata: Option<Value>,
    received_at: Option<Timestamp>,
    queued_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    error: Option<ActivityError>,
    why: Option<WhyChannel>,
    purpose: Option<Purpose>,
    details: Option<Value>,
}

impl Message {
    /// A message from the customer.
    pub(super) fn received(conversation_id: ConversationId, message: &Inbound, by: &By) -> Self {
        Self {
            in_reply_to: email(&message.details).and_then(|mail| mail.in_reply_to.clone()),
            provider_message_id: Some(message.provider_message_id.clone()),
            metadata: outside::parsed_object(&message.metadata),
            sent_at: message.sent_at,
            received_at: Some(message.received_at),
            details: received_details(message),
            attachments: message.attachments.clone(),
            automatic: message.automatic,
            ..Self::new(message.id, conversation_id, &message.channel, Direction::Inbound, by, &message.text)
        }
    }

    /// A message to the customer.
    pub(super) fn queued(
        message: &Outbound,
        by: &By,
        at: Timestamp,
        why: WhyChannel,
        purpose: Purpose,
    ) -> Self {
        let (id, conversation_id) = (message.message_id, message.conversation_id);
        Self {
            in_reply_to: message.in_reply_to.clone(),
            queued_at: Some(at),
            delivery: Some(DeliveryStatus::Queued),
            why: Some(why),
            purpose: Some(purpose),
            details: queued_details(message),
            attachments: message.attachments.clone(),
            automatic: message.automatic,
            ..Self::new(id, conversation_id, &message.channel, Direction::Outbound, by, &message.text)
        }
    }

    fn new(
        id: MessageId,
        conversation_id: ConversationId,
        channel: &Channel,
        direction: Direction,
        by: &By,
        content: &str,
    ) -> Self {
        Self {
            id,
            conversation_id,
            channel: channel.clone(),
            direction,
            by: by.clone(),
            content: content.to_owned(),
            automatic: false,
            sent_at: None,
            delivery: None,
            attachments: Vec::new(),
            provider_message_id: None,
            in_reply_to: None,
            metadata: None,
            received_at: None,
            queued_at: None,
            delivered_at: None,
            read_at: None,
            failed_at: None,
            error: None,
            why: None,
            purpose: None,
            details: None,
        }
    }

    /// Takes a change of its delivery; other events mean nothing to it.
    pub(super) fn record_delivery(&mut self, event: &Event) {
        if let Event::DeliveryChanged { at, status, provider_message_id, error, .. } = event {
            let stamp = match status {
                DeliveryStatus::Sent => Some(&mut self.sent_at),
                DeliveryStatus::Delivered => Some(&mut self.delivered_at),
                DeliveryStatus::Read => Some(&mut self.read_at),
                DeliveryStatus::Failed => Some(&mut self.failed_at),
                DeliveryStatus::Held
                | DeliveryStatus::Queued
                | DeliveryStatus::Uncertain
                | DeliveryStatus::Superseded => None,
            };
            if let Some(stamp) = stamp {
                *stamp = Some(*at);
            }
            self.delivery = Some(*status);
            self.error.clone_from(error);
            if provider_message_id.is_some() {
                self.provider_message_id.clone_from(provider_message_id);
            }
        }
    }

    /// What the customer wrote; none if it is ours or a machine's.
    pub(super) fn customers_words(&self) -> Option<String> {
        let theirs = self.direction == Direction::Inbound && !self.automatic;
        theirs.then(|| self.content.clone())
    }

    /// The message in its outside form: the names of the model, what is unknown absent.
    pub fn to_json(&self) -> Value {
        let mut message = outside::object(&json!({
            "id": self.id,
            "conversation_id": self.conversation_id,
            "channel": self.channel,
            "direction": self.direction,
            "by": self.by,
            "content": self.content,
            "automatic": self.automatic,
            "purpose": self.purpose,
            "attachments": self.attachments.iter().map(attachment_json).collect::<Vec<_>>(),
            "provider_message_id": self.provider_message_id,
            "in_reply_to": self.in_reply_to,
            "sent_at": self.sent_at,
            "received_at": self.received_at,
            "queued_at": self.queued_at,
            "delivered_at": self.delivered_at,
            "read_at": self.read_at,
            "failed_at": self.failed_at,
            "delivery": self.delivery.map(|status| json!({
                "status": status,
                "error_code": self.error.as_ref().and_then(|error| error.code.as_ref()),
                "error": self.error.as_ref().map(|error| &error.message),
                "why_this_channel": self.why,
            })),
            "details": self.details,
        }));
        if let Some(metadata) = &self.metadata {
            message.insert("metadata".to_owned(), metadata.clone());
        }
        Value::Object(message)
    }
}

/// An attachment's content is at its provider's `url`, or in our own store under `blob`.
fn attachment_json(attachment: &Attachment) -> Value {
    let (url, blob) = match &attachment.at {
        AttachmentAt::Url(url) => (Some(url), None),
        AttachmentAt::Blob(key) => (None, Some(key)),
    };
    json!({
        "name": attachment.name,
        "media_type": attachment.media_type,
        "bytes": attachment.bytes,
        "url": url,
        "blob": blob,
    })
}

fn email(details: &Details) -> Option<&EmailDetails> {
    match details {
        Details::Email(mail) => Some(mail),
        Details::None | Details::Sms { .. } => None,
    }
}

fn received_details(message: &Inbound) -> Option<Value> {
    let from = message.from.first().map(|address| &address.value);
    match &message.details {
        Details::None => None,
        Details::Email(mail) => {
            let mut fields = Map::from_iter([("from".to_owned(), json!(from))]);
            extend(&mut fields, json!(mail));
            Some(Value::Object(fields))
        }
        Details::Sms { segments } => Some(json!({
            "from": from,
            "to": message.to,
            "provider_sid": message.provider_message_id,
            "segments": segments,
            "media_urls": media_urls(&message.attachments),
        })),
    }
}

fn queued_details(message: &Outbound) -> Option<Value> {
    match &message.channel {
        Channel::Email => Some(json!({
            "subject": message.subject,
            "to": [message.to.value],
            "in_reply_to": message.in_reply_to,
            "references": message.references,
        })),
        Channel::Sms => Some(json!({
            "from": message.from,
            "to": message.to.value,
            "media_urls": media_urls(&message.attachments),
        })),
        Channel::Chat
        | Channel::Whatsapp
        | Channel::Messenger
        | Channel::Instagram
        | Channel::X
        | Channel::Voice
        | Channel::Telegram
        | Channel::Generic(_) => None,
    }
}

fn media_urls(attachments: &[Attachment]) -> Vec<&str> {
    let urls = attachments.iter().filter_map(|attachment| match &attachment.at {
        AttachmentAt::Url(url) => Some(url.as_str()),
        AttachmentAt::Blob(_) => None,
    });
    urls.collect()
}
