//! The shape all channel adapters share: how a webhook is verified, read and answered.
//!
//! An [`Adapter`] turns a provider's request into [`Parsed`] messages. It is a pure function of the request, its
//! settings, engine time and the ids it is given: no I/O, no clock, no chance, no knowledge of HTTP routing.
//! Storing the parts as blobs, writing the messages durably and answering are the edge's work. Nothing in this
//! file knows a provider; those are the modules below it.

pub mod address;
pub(crate) mod draft;
pub mod email;
pub mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub mod generic;
pub mod reply_token;
pub mod sending;
pub mod signature;
#[cfg(test)]
pub(crate) mod testing;
pub mod twilio_signature;
pub mod twilio_sms;

use axum::http::HeaderMap;
use bytes::Bytes;
use uuid::Uuid;

use throughline_workflows::{ids::TenantId, message::Inbound, time::Timestamp};

pub use throughline_workflows::conversation::DeliveryReport;

/// A webhook as the edge received it, body still raw.
#[derive(Clone, Copy, Debug)]
pub struct WebhookRequest<'a> {
    /// The tenant whose path was called.
    pub tenant: &'a TenantId,
    /// The URL that the provider was given, with the query as it came: the configured `webhook_url`, else
    /// `public_url` and the path. Never made from the `Host` header. Kept as text because providers sign text,
    /// which parsing and printing would change.
    pub url: &'a str,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes, undecoded: signatures are over these.
    pub body: &'a Bytes,
    /// The engine's time of receipt; signature windows are measured against it.
    pub now: Timestamp,
    /// Whether a channel without a secret may take this request: the edge knows peer and headers and decides.
    pub unsigned_allowed: bool,
}

/// How a request earned its acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Its signature is right: it comes from the provider, and what it says must not be lost.
    Signed,
    /// The channel has no secret and the edge allowed that.
    Unsigned,
}

/// Why a request is refused with 403. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A stable word for the log and the metric, for example `bad_signature`.
    pub reason: &'static str,
}

impl Refusal {
    /// The provider's signature header is absent.
    pub const MISSING_SIGNATURE: Self = Self { reason: "missing_signature" };
    /// A signature is there and none of the channel's secrets made it.
    pub const BAD_SIGNATURE: Self = Self { reason: "bad_signature" };
    /// Signed too long ago, or in the future.
    pub const STALE_TIMESTAMP: Self = Self { reason: "stale_timestamp" };
    /// The body is not the one whose hash the signed URL holds.
    pub const BODY_HASH_MISMATCH: Self = Self { reason: "body_hash_mismatch" };
    /// The channel has no secret, and this request may not come without.
    pub const UNSIGNED: Self = Self { reason: "unsigned_not_allowed" };
}

/// Why a request that may come in cannot be read. A signed one becomes a dead letter, an unsigned one is answered 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", .field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct Unreadable {
    /// The field at fault, as its sender calls it; none when the whole body is.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Unreadable {
    /// The body as a whole is at fault.
    pub fn body(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    /// One field is at fault.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: Some(field.into()), problem: problem.into() }
    }
}

/// The body of a 200 answer. A duplicate gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: &'static str,
}

/// A body, a file or an original, to be stored as a blob before the message that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPart {
    /// `TENANT/INBOUND_ID/PART`.
    pub key: String,
    /// The content.
    pub bytes: Bytes,
}

/// One customer's message and the blobs that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The message, small enough for one record.
    pub inbound: Inbound,
    /// What is too big for a record, in the order of its part numbers.
    pub parts: Vec<BlobPart>,
}

/// What a request held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// New messages, in the order the provider gave them.
    pub messages: Vec<Parsed>,
    /// What became of messages of ours.
    pub reports: Vec<DeliveryReport>,
    /// Events that are valid and create nothing: unknown kinds, echoes.
    pub ignored: usize,
    /// What the provider wants to hear once all is durable.
    pub response: Answer,
}

impl Receipt {
    /// A request that held nothing, answered by `response`.
    pub fn nothing(response: Answer) -> Self {
        Self { messages: Vec::new(), reports: Vec::new(), ignored: 0, response }
    }
}

/// One door of one tenant.
pub trait Adapter: Send + Sync {
    /// Decides whether the request may come in, from its raw bytes alone.
    ///
    /// # Errors
    /// [`Refusal`] when the signature is absent, wrong or out of its time, or when there is no secret to check it by
    /// and the request may not come without.
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal>;

    /// Reads a verified request. `mint` makes one id for each message.
    ///
    /// # Errors
    /// [`Unreadable`] when the body is not what this door takes.
    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable>;
}

/// The key of a message's blob number `part`.
pub fn blob_key(tenant: &TenantId, inbound: Uuid, part: usize) -> String {
    format!("{tenant}/{inbound}/{part}")
}

/// What a door without a secret does: takes the request only where the edge allows it.
pub(crate) fn without_secret(request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
    if request.unsigned_allowed { Ok(Verified::Unsigned) } else { Err(Refusal::UNSIGNED) }
}
