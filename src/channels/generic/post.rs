//! Posts a message to the receiver of a channel of one's own, in JSON, signed as Standard Webhooks are.
//!
//! `webhook-id` is the activity's id and the same on every try: a receiver that remembers it takes a message once, so
//! a try whose answer was lost is simply made again. Files of ours come along in base64, those of a provider by their
//! address, the way they are taken in.

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::BoxFuture;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use throughline_workflows::message::AttachmentAt;

use crate::channels::{
    draft::is_breaking,
    sending::{
        SendOutcome, Sender, Sending, failure, file_of,
        http::{NoAnswer, ask, is_temporary},
        read_files,
    },
    signature::WebhookSecret,
};

/// The longest id that a receiver may give, in bytes.
const ID_MAX: usize = 200;

/// Where and how to post.
pub struct PostSettings {
    /// `channels.generic.NAME`, for the log.
    pub name: String,
    /// Where messages are posted.
    pub url: String,
    /// Signs them.
    pub secret: WebhookSecret,
    /// The tenant's name, shown where no person writes.
    pub tenant_name: String,
}

/// Posts the messages of one channel.
pub struct Post {
    settings: PostSettings,
    client: Client,
}

impl Post {
    /// A transport with these settings.
    pub fn new(settings: PostSettings, client: Client) -> Self {
        Self { settings, client }
    }

    async fn post(&self, sending: Sending<'_>) -> SendOutcome {
        let body = match self.body(&sending).await {
            Ok(body) => body.to_string(),
            Err(outcome) => return outcome,
        };
        let seconds = i64::try_from(sending.now.as_seconds()).unwrap_or(i64::MAX);
        let request = self
            .client
            .post(&self.settings.url)
            .header("content-type", "application/json")
            .header("webhook-id", sending.activity_id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                self.settings.secret.sign(sending.activity_id, seconds, body.as_bytes()),
            )
            .body(body);
        let answer = match ask(request, sending.now).await {
            Ok(answer) => answer,
            Err(NoAnswer::NotAsked(error) | NoAnswer::Lost(error)) => return SendOutcome::down(error),
        };
        let told = || format!("the receiver answered {}: {}", answer.status.as_u16(), answer.text());
        match answer.status {
            status if status.is_success() => {
                SendOutcome::Accepted { provider_message_id: given_id(&answer.body) }
            }
            StatusCode::GONE => {
                tracing::error!(
                    channel = self.settings.name,
                    "the receiver is gone for good: see channels.generic"
                );
                SendOutcome::Refused(failure(answer.code(), told()))
            }
            status if status.is_client_error() && !is_temporary(status) => {
                SendOutcome::Refused(failure(answer.code(), told()))
            }
            _ => answer.retry(told()),
        }
    }

    async fn body(&self, sending: &Sending<'_>) -> Result<Value, SendOutcome> {
        let files = read_files(sending).await?;
        let mut attachments = Vec::new();
        for attachment in &sending.message.attachments {
            let (place, content) = match &attachment.at {
                AttachmentAt::Url(url) => ("url", url.clone()),
                AttachmentAt::Blob(key) => {
                    let bytes = file_of(&files, key)
                        .map_err(|error| SendOutcome::later(failure("file_unreadable", error.to_string())))?;
                    ("content_base64", STANDARD.encode(bytes))
                }
            };
            attachments.push(json!({
                "name": attachment.name, "media_type": attachment.media_type, place: content,
            }));
        }
        let message = sending.message;
        Ok(json!({
            "id": sending.activity_id,
            "message_id": message.message_id,
            "conversation_id": message.conversation_id,
            "to": { "kind": message.to.kind, "value": message.to.value, "name": message.to_name },
            "from_name": message.from_name.as_deref().unwrap_or(&self.settings.tenant_name),
            "subject": message.subject,
            "text": message.text,
            "attachments": attachments,
            "automatic": message.automatic,
            "at": sending.asked_at,
        }))
    }
}

impl Sender for Post {
    fn is_keyed(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(sending))
    }
}

/// The id that a receiver gave the message, where its answer is `{"id": …}`.
pub(in crate::channels) fn given_id(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let id = answer.get("id")?.as_str()?.trim();
    // By it reports find the message: it is kept as it is, or not at all.
    (!id.is_empty() && id.len() <= ID_MAX && !id.contains(is_breaking)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests;
