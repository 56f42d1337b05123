//! One request of a provider: read, verified, made durable, answered.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use throughline_actors::{
    clock::Stopwatch,
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
use crate::{
    channels::{Answer, Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest, draft::truncate},
    telemetry,
};

/// Between two tries to make a message durable.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// A body up to this many bytes is read at once; a larger one must not hold up other requests.
const READ_AT_ONCE_MAX: usize = 64 * 1024;
/// The longest address that a dead letter keeps, in bytes.
const LETTER_URL_MAX: usize = 4 * 1024;
/// The most headers that a dead letter keeps.
const LETTER_HEADERS_MAX: usize = 64;
/// The longest value of a header that a dead letter keeps, in bytes.
const LETTER_VALUE_MAX: usize = 512;
/// What all headers of a dead letter may take, in bytes: the letter is one record, its body stands in it too.
const LETTER_HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Takes one request of a provider.
pub(super) async fn take(
    edge: &Arc<Edge>,
    tenant: &str,
    path: &str,
    request: Request,
) -> Result<Response, Problem> {
    let unknown = || Problem::with(Kind::NotFound, "There is no such tenant, or it has no such channel.");
    let tenant: TenantId = tenant.parse().map_err(|_| unknown())?;
    let door = edge.door(&tenant, path).ok_or_else(unknown)?;
    let watch = Stopwatch::start();
    let trace = request.extensions().get::<Trace>().map_or_else(|| edge.engine.mint(), |trace| trace.0);
    let span = tracing::info_span!(
        "http.webhook", "tenant.id" = %tenant, channel = %door.channel,
        traceparent = telemetry::caller(request.headers()), "trace.id" = %trace
    );
    async {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        let admitted = edge.admission.read(&parts.headers, body, edge.settings.body_max).await?;
        let call = Call {
            unsigned_allowed: unsigned_allowed(edge, peer, &parts.uri, &parts.headers),
            url: with_query(&door.url, parts.uri.query()),
            door,
            tenant,
            path: path.to_owned(),
            headers: parts.headers,
            body: admitted.bytes.clone(),
            now: edge.engine.now(),
            patience: admitted.patience,
        };
        let answer = call.handle(edge, trace).await?;
        if answer.status().is_success() {
            edge.webhook_latency.record(watch.elapsed());
        }
        Ok(answer)
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
fn unsigned_allowed(edge: &Edge, peer: Option<SocketAddr>, uri: &Uri, headers: &HeaderMap) -> bool {
    let loopback = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    loopback && edge.settings.public_url_is_loopback && is_direct(uri, headers)
}

/// Whether a request was made to this machine by name, through no proxy and by no web page: somebody on this machine
/// may be looking at a page of anybody's.
pub(in crate::http) fn is_direct(uri: &Uri, headers: &HeaderMap) -> bool {
    let passed_on = headers.keys().map(header::HeaderName::as_str).any(|name| {
        ["forwarded", "origin", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded-")
    });
    let sites = headers.get_all("sec-fetch-site");
    let from_elsewhere = sites.iter().any(|site| site != "none" && site != "same-origin");
    let named =
        headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let mut hosts = named.chain(uri.authority().cloned().map(Some));
    !passed_on && !from_elsewhere && hosts.all(|host| host.is_some_and(|host| is_this_machine(host.host())))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let number = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host == "localhost"
        || host.ends_with(".localhost")
        || number.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
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
type Reading = Result<(Verified, Result<Receipt, Unread>), Refusal>;

/// Why nothing came of a request that may come in.
enum Unread {
    /// It is not what the door takes.
    Unreadable(Unreadable),
    /// The adapter panicked.
    Panicked,
}

/// Why a message is not durable.
enum Unkept {
    /// It never will be.
    TooLarge(String),
    /// It may be when it comes again.
    Refused(Problem),
}

impl From<Problem> for Unkept {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Unkept> for Problem {
    fn from(unkept: Unkept) -> Self {
        match unkept {
            Unkept::TooLarge(detail) => SendError::<Infallible>::TooLarge(detail).into(),
            Unkept::Refused(problem) => problem,
        }
    }
}

impl Call {
    async fn handle(self, edge: &Arc<Edge>, trace: Uuid) -> Result<Response, Problem> {
        let (call, reading) = self.read(edge).await?;
        let (verified, read) = reading.map_err(|refusal| {
            edge.refused_webhooks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(reason = refusal.reason, "a webhook is refused");
            Problem::with(Kind::SignatureRefused, format!("The webhook was refused: {}.", refusal.reason))
        })?;
        within_patience(call.patience, call.keep(edge, verified, read, trace)).await
    }

    /// Makes durable what the request held, or the request itself where its provider cannot mend it.
    async fn keep(
        &self,
        edge: &Edge,
        verified: Verified,
        read: Result<Receipt, Unread>,
        trace: Uuid,
    ) -> Result<Response, Problem> {
        let signed = verified == Verified::Signed;
        match read {
            Ok(receipt) => match keep(edge, &self.tenant, &receipt, trace).await {
                Ok(accepted) => {
                    tracing::info!(
                        new = accepted.iter().filter(|one| **one == Accepted::New).count(),
                        duplicates = accepted.iter().filter(|one| **one == Accepted::Duplicate).count(),
                        ignored = receipt.ignored,
                        "a webhook is durable"
                    );
                    let Answer { content_type, body } = receipt.response;
                    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response())
                }
                Err(Unkept::TooLarge(detail)) if signed => self.bury(edge, &detail).await,
                Err(unkept) => Err(unkept.into()),
            },
            Err(Unread::Unreadable(unreadable)) if signed && self.is_kept_unread() => {
                self.bury(edge, &unreadable.to_string()).await
            }
            Err(Unread::Unreadable(Unreadable { field, problem })) => {
                tracing::info!(field, "a webhook cannot be read");
                let refused = Problem::with(Kind::Malformed, format!("{problem}."));
                Err(match field {
                    Some(field) => refused.field(field),
                    None => refused,
                })
            }
            Err(Unread::Panicked) if signed => self.bury(edge, "its adapter panicked").await,
            Err(Unread::Panicked) => {
                Err(Problem::with(Kind::Internal, "The webhook could not be read.").reference(trace))
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
            tracing::error!(%error, "an adapter panicked over a signature");
            Problem::with(Kind::Internal, "The webhook could not be read.")
        })
    }

    fn read_now(&self, mint: &mut dyn FnMut() -> Uuid) -> Reading {
        let request = self.request();
        let verified = self.door.adapter.verify(&request)?;
        // An adapter keeps nothing between two requests, so none is left half-done in it.
        let read = catch_unwind(AssertUnwindSafe(|| self.door.adapter.receive(&request, mint)));
        Ok((verified, read.map_or(Err(Unread::Panicked), |read| read.map_err(Unread::Unreadable))))
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

    /// Keeps the request as a dead letter, and tells its provider that all is well.
    async fn bury(&self, edge: &Edge, why: &str) -> Result<Response, Problem> {
        let id = edge.engine.mint();
        loop {
            let letter = WebhookLetter {
                path: self.path.clone(),
                url: truncate(&self.url, LETTER_URL_MAX).to_owned(),
                headers: letter_headers(&self.headers),
                body: self.body.to_vec(),
            };
            match edge.engine.keep_webhook(&self.tenant, id, letter, why.to_owned()).await {
                Ok(_) => break,
                Err(error) => pause_or_give_up(error).await.map_err(|unkept| match unkept {
                    // It is not for the provider to send less.
                    Unkept::TooLarge(_) => Problem::with(Kind::Overloaded, "The webhook could not be kept."),
                    Unkept::Refused(problem) => problem,
                })?,
            }
        }
        tracing::error!(dead_letter = %id, why, "a signed webhook cannot be taken and is kept as a dead letter");
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// What a dead letter keeps of the headers.
pub(in crate::http) fn letter_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut left = LETTER_HEADERS_BYTES_MAX;
    let kept = headers.iter().take(LETTER_HEADERS_MAX).map_while(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = truncate(&value, LETTER_VALUE_MAX);
        left = left.checked_sub(name.as_str().len() + value.len())?;
        Some((name.to_string(), value.to_owned()))
    });
    kept.collect()
}

/// Makes every message and every report durable, in the order the provider gave them.
async fn keep(
    edge: &Edge,
    tenant: &TenantId,
    receipt: &Receipt,
    trace: Uuid,
) -> Result<Vec<Accepted>, Unkept> {
    let mut accepted = Vec::with_capacity(receipt.messages.len() + receipt.reports.len());
    for Parsed { inbound, parts } in &receipt.messages {
        let kept = loop {
            let blobs = parts.iter().map(|part| (part.key.clone(), part.bytes.clone())).collect();
            match edge.engine.receive(tenant, inbound.clone(), blobs, trace).await {
                Ok(kept) => break kept,
                Err(error) => pause_or_give_up(error).await?,
            }
        };
        accepted.push(kept);
    }
    for report in &receipt.reports {
        let kept = loop {
            match edge.engine.report(tenant, report, trace).await {
                Ok(kept) => break kept,
                Err(error) => pause_or_give_up(error).await?,
            }
        };
        accepted.push(kept);
    }
    Ok(accepted)
}

/// Waits a moment where there is only too much to do; anything else will not pass by waiting.
async fn pause_or_give_up(error: SendError<Infallible>) -> Result<(), Unkept> {
    if matches!(error, SendError::Busy) {
        tokio::time::sleep(TRY_AGAIN).await;
        return Ok(());
    }
    tracing::warn!(%error, "a webhook could not be made durable");
    match error {
        SendError::TooLarge(detail) => Err(Unkept::TooLarge(detail)),
        error @ SendError::NoSpace(_) => Err(Unkept::Refused(error.into())),
        _ => {
            let told = "The message could not be kept; send it again.";
            Err(Unkept::Refused(Problem::with(Kind::Overloaded, told)))
        }
    }
}

/// Gives up in time for the provider to hear of it. What was under way meanwhile is a duplicate when it comes again.
async fn within_patience<T, E: From<Problem>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        tracing::warn!("a webhook waited too long to be made durable");
        Err(Problem::with(Kind::Overloaded, "Too much is waiting to be written; send it again.").into())
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
    let door = edge.door(&tenant, &letter.path).ok_or_else(gone)?;
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
    within_patience(call.patience, keep(edge, &call.tenant, &receipt, trace)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_what_names_this_machine_and_comes_from_no_page_is_direct() {
        let path = Uri::from_static("/api/webhooks/generic/web");
        for host in
            ["localhost:8080", "LOCALHOST.", "desk.localhost", "127.0.0.1", "127.9.9.9:1", "[::1]:8080"]
        {
            assert!(is_direct(&path, &headers(&[("host", host)])), "{host}");
        }
        let others = [
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "10.0.0.1",
            "0.0.0.0",
            "",
            "a b",
            "notlocalhost",
        ];
        for host in others {
            assert!(!is_direct(&path, &headers(&[("host", host)])), "{host}");
        }
        assert!(is_direct(&path, &HeaderMap::new()));
        let elsewhere = Uri::from_static("http://evil.example/api/webhooks/generic/web");
        assert!(!is_direct(&elsewhere, &headers(&[("host", "localhost")])));
        let here = ("host", "localhost");
        for site in ["none", "same-origin"] {
            assert!(is_direct(&path, &headers(&[here, ("sec-fetch-site", site)])), "{site}");
        }
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "null"),
            ("origin", "http://localhost"),
            ("via", "1.1 proxy"),
            ("x-forwarded-proto", "https"),
        ] {
            assert!(!is_direct(&path, &headers(&[here, (name, value)])), "{name}: {value}");
        }
    }

    #[test]
    fn a_letter_keeps_so_much_of_the_headers_and_no_more() {
        let mut many = HeaderMap::new();
        for index in 0..200 {
            let name: header::HeaderName = format!("x-{index}").parse().unwrap();
            many.insert(name, header::HeaderValue::from_static("v"));
        }
        assert_eq!(letter_headers(&many).len(), LETTER_HEADERS_MAX);
        for value in many.values_mut() {
            *value = header::HeaderValue::from_bytes(&[0xff; 2000]).unwrap();
        }
        let kept = letter_headers(&many);
        let bytes: usize = kept.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(kept.iter().all(|(_, value)| (500..=LETTER_VALUE_MAX).contains(&value.len())));
        assert!((LETTER_HEADERS_BYTES_MAX - 600..=LETTER_HEADERS_BYTES_MAX).contains(&bytes), "{bytes}");
    }
}
