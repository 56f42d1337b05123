//! What the adapters' tests share: requests as a provider would send them.
//!
//! Signatures are made here from the providers' documents, by other means than the adapters use.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, TenantId},
    message::Inbound,
    time::Timestamp,
};

use crate::channels::{Adapter, Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest};

/// The engine's time in these tests.
pub(crate) const NOW: &str = "2026-11-21T09:30:00Z";

/// A request under construction.
pub(crate) struct Call {
    pub(crate) tenant: TenantId,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) unsigned_allowed: bool,
}

impl Call {
    pub(crate) fn to(url: &str, body: impl Into<Bytes>) -> Self {
        Self {
            tenant: TenantId::default_tenant(),
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: body.into(),
            unsigned_allowed: false,
        }
    }

    /// From the same machine, where no secret is needed.
    pub(crate) fn unsigned(body: impl Into<Bytes>) -> Self {
        Self { unsigned_allowed: true, ..Self::to("http://127.0.0.1:8080/hook", body) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    fn with<T>(&self, use_it: impl FnOnce(&WebhookRequest<'_>) -> T) -> T {
        use_it(&WebhookRequest {
            tenant: &self.tenant,
            url: &self.url,
            headers: &self.headers,
            body: &self.body,
            now: at(NOW),
            unsigned_allowed: self.unsigned_allowed,
        })
    }

    pub(crate) fn verify(&self, adapter: &dyn Adapter) -> Result<Verified, Refusal> {
        self.with(|request| adapter.verify(request))
    }

    pub(crate) fn receive(&self, adapter: &dyn Adapter) -> Result<Receipt, Unreadable> {
        let mut next = 0;
        let mut mint = || {
            next += 1;
            Uuid::from_u128(next)
        };
        self.with(|request| adapter.receive(request, &mut mint))
    }

    /// The one message of the request.
    pub(crate) fn parsed(&self, adapter: &dyn Adapter) -> Parsed {
        let mut receipt = self.receive(adapter).unwrap();
        assert_eq!(receipt.messages.len(), 1);
        receipt.messages.remove(0)
    }

    pub(crate) fn message(&self, adapter: &dyn Adapter) -> Inbound {
        self.parsed(adapter).inbound
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn conversation() -> ConversationId {
    "0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d".parse().unwrap()
}

/// HMAC-SHA256 of the parts, as one would do it by hand.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// The file of that name among the fixtures.
pub(crate) fn fixture(name: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/channels/{name}", env!("CARGO_MANIFEST_DIR"));
    Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}
