//! What the adapters' tests share: requests as a provider would send them.
//!
//! Signatures are made here from the providers' documents, by other means than the adapters use. For the way out there
//! is a [`StandIn`] for a provider, which keeps what it is asked.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures::future::BoxFuture;
use hmac::{Hmac, Mac};
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, MessageId, TenantId},
    message::{Address, Channel, Inbound, Outbound},
    time::Timestamp,
};

use crate::channels::sending::{SendOutcome, Sender, Sending};
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

/// What a stand-in was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What a stand-in answers: a status, headers and a body.
pub(crate) type Answering = (u16, &'static [(&'static str, &'static str)], &'static str);

/// A provider's interface on a free port of this machine.
pub(crate) struct StandIn {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// One that gives these answers in turn, and the last of them from then on.
    pub(crate) async fn answering(answers: &[Answering]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<Answering> = answers.to_vec();
        let kept = asked.clone();
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (kept, answers) = (kept.clone(), answers.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(Asked {
                        method: parts.method.to_string(),
                        path: parts.uri.to_string(),
                        headers: parts.headers,
                        body,
                    });
                    kept.len() - 1
                };
                let (status, headers, body) = answers[number.min(answers.len() - 1)];
                let mut answer = axum::http::Response::builder().status(status);
                for (name, value) in headers {
                    answer = answer.header(*name, *value);
                }
                answer.body(axum::body::Body::from(body)).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A message to a customer.
pub(crate) fn outbound(channel: Channel, to: Address, text: &str) -> Outbound {
    Outbound {
        message_id: MessageId(Uuid::from_u128(2)),
        conversation_id: conversation(),
        channel,
        to,
        to_name: Some("Ada".to_owned()),
        from: None,
        from_name: None,
        subject: None,
        text: text.to_owned(),
        attachments: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: false,
    }
}

/// Sends a message once; the only file there is holds `file`.
pub(crate) async fn send(sender: &dyn Sender, message: &Outbound) -> SendOutcome {
    let read = |_: String| -> BoxFuture<'static, std::io::Result<Bytes>> {
        Box::pin(async { Ok(Bytes::from_static(b"file")) })
    };
    let sending = Sending {
        activity_id: "0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d.3.0",
        message,
        asked_at: at("2026-11-21T09:29:00Z"),
        now: at(NOW),
        read: &read,
    };
    sender.send(sending).await
}

/// An address of this machine where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
