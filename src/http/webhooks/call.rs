//! One request of a provider: read, verified, made durable, answered.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use throughline_actors::{
    dead_letters::WebhookLetter,
    engine::{Accepted, SendError},
};
use throughline_workflows::{ids::TenantId, time::Timestamp};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    super::{
        Edge,
        extract::Trace,
        problem::{Kind, Problem},
    },
    Door,
};
use crate::channels::{Answer, Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest};

/// Between two tries to make a message durable.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// A body up to this many bytes is read at once; a larger one must not hold up other requests.
const READ_AT_ONCE_MAX: usize = 64 * 1024;

/// Takes one request of a provider.
pub(super) async fn take(
    edge: &Arc<Edge>,
    tenant: &str,
    path: &str,
    request: Request,
) -> Result<Response, Problem> {
    let unknown = || Problem::with(Kind::NotFound, "There is no such tenant, or it has no such channel.");
    let tenant: TenantId = tenant.parse().map_err(|_| unknown())?;
    let door = edge.doors.at(&tenant, path).ok_or_else(unknown)?.clone();
    let trace = request.extensions().get::<Trace>().map_or_else(|| edge.engine.mint(), |trace| trace.0);
    let span = tracing::info_span!(
        "http.webhook", "tenant.id" = %tenant, channel = %door.channel, "trace.id" = %trace
    );
    async {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        let admitted = edge.admission.read(&parts.headers, body).await?;
        let call = Call {
            unsigned_allowed: unsigned_allowed(edge, peer, &parts.headers),
            url: with_query(&door.url, parts.uri.query()),
            door,
            tenant,
            path: path.to_owned(),
            headers: parts.headers,
            body: admitted.bytes.clone(),
            now: edge.engine.now(),
            patience: admitted.patience,
        };
        call.handle(edge, trace).await
    }
    .instrument(span)
    .await
}

/// The configured address with the query that the request came with.
fn with_query(url: &str, query: Option<&str>) -> String {
    let base = url.split_once('?').map_or(url, |(base, _)| base);
    query.map_or_else(|| base.to_owned(), |query| format!("{base}?{query}"))
}

/// Whether a channel without a secret may take this request: only from this machine, and only while nothing stands
/// between it and us.
fn unsigned_allowed(edge: &Edge, peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let forwarded = headers
        .keys()
        .map(header::HeaderName::as_str)
        .any(|name| name == "forwarded" || name == "x-real-ip" || name.starts_with("x-forwarded-"));
    let loopback = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    loopback && edge.settings.public_url_is_loopback && !forwarded
}

/// A provider's request, read whole.
struct Call {
    door: Door,
    tenant: TenantId,
    path: String,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    now: Timestamp,
    unsigned_allowed: bool,
    /// How long may be waited for its messages to become durable.
    patience: Duration,
}

/// What the adapter made of it.
type Reading = Result<(Verified, Result<Receipt, Unreadable>), Refusal>;

impl Call {
    async fn handle(self, edge: &Arc<Edge>, trace: Uuid) -> Result<Response, Problem> {
        let (call, reading) = self.read(edge).await?;
        let (verified, receipt) = reading.map_err(|refusal| {
            edge.refused_webhooks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(reason = refusal.reason, "a webhook is refused");
            Problem::with(Kind::SignatureRefused, format!("The webhook was refused: {}.", refusal.reason))
        })?;
        match receipt {
            Ok(receipt) => {
                let accepted =
                    within_patience(call.patience, keep(edge, &call.tenant, &receipt.messages, trace))
                        .await?;
                tracing::info!(
                    new = accepted.iter().filter(|one| **one == Accepted::New).count(),
                    duplicates = accepted.iter().filter(|one| **one == Accepted::Duplicate).count(),
                    ignored = receipt.ignored,
                    "a webhook is durable"
                );
                let Answer { content_type, body } = receipt.response;
                Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response())
            }
            Err(unreadable) if verified == Verified::Signed && call.is_kept_unread() => {
                let letter = within_patience(call.patience, call.bury(edge, &unreadable)).await?;
                tracing::error!(dead_letter = %letter, "a signed webhook cannot be read and is kept as a dead letter");
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            Err(Unreadable { field, problem }) => {
                tracing::info!(field, "a webhook cannot be read");
                let refused = Problem::with(Kind::Malformed, format!("{problem}."));
                Err(match field {
                    Some(field) => refused.field(field),
                    None => refused,
                })
            }
        }
    }

    /// Verifies and reads, where that takes long beside the other requests.
    async fn read(self, edge: &Arc<Edge>) -> Result<(Self, Reading), Problem> {
        if self.body.len() <= READ_AT_ONCE_MAX {
            let reading = self.read_now(&mut || edge.engine.mint());
            return Ok((self, reading));
        }
        let engine = edge.engine.clone();
        let reading = move || {
            let reading = self.read_now(&mut || engine.mint());
            (self, reading)
        };
        tokio::task::spawn_blocking(reading).await.map_err(|error| {
            tracing::error!(%error, "an adapter panicked");
            Problem::with(Kind::Internal, "The webhook could not be read.")
        })
    }

    fn read_now(&self, mint: &mut dyn FnMut() -> Uuid) -> Reading {
        let request = self.request();
        let verified = self.door.adapter.verify(&request)?;
        Ok((verified, self.door.adapter.receive(&request, mint)))
    }

    fn request(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            tenant: &self.tenant,
            url: &self.url,
            headers: &self.headers,
            body: &self.body,
            now: self.now,
            unsigned_allowed: self.unsigned_allowed,
        }
    }

    /// Whether what cannot be read is kept: a provider would not know what to do with a refusal, a program would.
    fn is_kept_unread(&self) -> bool {
        !self.path.starts_with("generic/") && !self.path.starts_with("raw/")
    }

    async fn bury(&self, edge: &Edge, unreadable: &Unreadable) -> Result<Uuid, Problem> {
        let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let letter = WebhookLetter {
            path: self.path.clone(),
            url: self.url.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: self.body.to_vec(),
        };
        loop {
            match edge.engine.keep_webhook(&self.tenant, letter.clone(), unreadable.to_string()).await {
                Ok(id) => return Ok(id),
                Err(error) => pause_or_give_up(error).await?,
            }
        }
    }
}

/// Makes every message durable, in the order the provider gave them.
async fn keep(
    edge: &Edge,
    tenant: &TenantId,
    messages: &[Parsed],
    trace: Uuid,
) -> Result<Vec<Accepted>, Problem> {
    let mut accepted = Vec::with_capacity(messages.len());
    for Parsed { inbound, parts } in messages {
        let kept = loop {
            let blobs = parts.iter().map(|part| (part.key.clone(), part.bytes.clone())).collect();
            match edge.engine.receive(tenant, inbound.clone(), blobs, trace).await {
                Ok(kept) => break kept,
                Err(error) => pause_or_give_up(error).await?,
            }
        };
        accepted.push(kept);
    }
    Ok(accepted)
}

/// Waits a moment where there is only too much to do; anything else will not pass by waiting.
async fn pause_or_give_up(error: SendError<std::convert::Infallible>) -> Result<(), Problem> {
    if matches!(error, SendError::Busy) {
        tokio::time::sleep(TRY_AGAIN).await;
        return Ok(());
    }
    tracing::warn!(%error, "a webhook could not be made durable");
    if matches!(error, SendError::NoSpace(_) | SendError::TooLarge(_)) {
        return Err(error.into()); // These say what is wrong with the disk, or with the message.
    }
    Err(Problem::with(Kind::Overloaded, "The message could not be kept; send it again."))
}

/// Gives up in time for the provider to hear of it. What was under way meanwhile is a duplicate when it comes again.
async fn within_patience<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        tracing::warn!("a webhook waited too long to be made durable");
        Err(Problem::with(Kind::Overloaded, "Too much is waiting to be written; send it again."))
    })
}

/// Reads a kept webhook again, verified as it was, and keeps its messages. `body` replaces what it held.
///
/// # Errors
/// 409 where its door is gone, 422 where it still cannot be read, 503 where its messages cannot be kept.
pub(in crate::http) async fn read_again(
    edge: &Arc<Edge>,
    tenant: TenantId,
    letter: WebhookLetter,
    body: Option<Bytes>,
    trace: Uuid,
) -> Result<(), Problem> {
    let gone = || Problem::with(Kind::Conflict, format!("There is no door {} any more.", letter.path));
    let door = edge.doors.at(&tenant, &letter.path).ok_or_else(gone)?.clone();
    let headers = letter.headers.iter().filter_map(|(name, value)| {
        Some((
            name.parse::<header::HeaderName>().ok()?,
            header::HeaderValue::from_bytes(value.as_bytes()).ok()?,
        ))
    });
    let call = Call {
        door,
        tenant,
        path: letter.path,
        url: letter.url,
        headers: headers.collect(),
        body: body.unwrap_or_else(|| Bytes::from(letter.body)),
        now: edge.engine.now(),
        unsigned_allowed: false,
        patience: edge.settings.webhook_patience,
    };
    let receipt = call
        .door
        .adapter
        .receive(&call.request(), &mut || edge.engine.mint())
        .map_err(|error| Problem::invalid("payload", format!("It still cannot be read: {error}.")))?;
    within_patience(call.patience, keep(edge, &call.tenant, &receipt.messages, trace)).await.map(|_| ())
}
