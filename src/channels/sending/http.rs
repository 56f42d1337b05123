//! Asking a provider over HTTP: one request, a bounded answer, and what its absence means.
//!
//! Redirects are not followed: they would carry a message and its credentials to where nobody configured. The one
//! thing to know of a request without an answer is whether it may have arrived.

use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder, StatusCode, header, redirect};

use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::ActivityError,
};

use super::{SendOutcome, TRY_MAX, failure, said};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// As much of an answer as is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// The longest `Retry-After` that is honoured; beyond it the provider is asked once a day.
const RETRY_AFTER_MAX: Span = Span::from_hours(24);

/// A client for providers.
///
/// # Errors
/// The machine has no certificates to trust.
pub fn client() -> reqwest::Result<Client> {
    crate::tls::use_ring();
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .timeout(TRY_MAX)
        // A kept connection may be closed by the other side in the very moment in which a request is written to it, and
        // then nobody knows whether that arrived. A handshake costs less than a message that a person has to look after.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// What a provider answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// How long it asks us to wait.
    pub retry_after: Option<Span>,
    /// Its beginning, at most 64 KiB.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The provider never heard of it.
    NotAsked(ActivityError),
    /// The request may have arrived.
    Lost(ActivityError),
}

/// Asks once.
///
/// # Errors
/// [`NoAnswer`].
pub async fn ask(request: RequestBuilder, now: Timestamp) -> Result<Answer, NoAnswer> {
    let mut response = request.send().await.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).and_then(|text| wait_of(text, now));
    let mut body = Vec::new();
    while body.len() < ANSWER_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_MAX - body.len())]),
            Ok(None) => break,
            // The status says whether it was taken. What it was called is lost; a caller that needs it finds nothing.
            Err(_) => break,
        }
    }
    Ok(Answer { status, retry_after, body })
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    // The address is left out: some hold a secret.
    let told = |code: &str, what: &str| failure(code, format!("{what}: {}", said(&causes(error))));
    if error.is_connect() {
        NoAnswer::NotAsked(told("connect", "the provider cannot be reached"))
    } else if error.is_builder() {
        NoAnswer::NotAsked(told("request", "the request cannot be made"))
    } else if error.is_timeout() {
        NoAnswer::Lost(told("timeout", "the provider did not answer in time"))
    } else {
        NoAnswer::Lost(told("connection_lost", "the connection ended before the answer"))
    }
}

/// The causes of an error, the outermost left out: it names the address.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        texts.push(one.to_string());
        cause = one.source();
    }
    if texts.is_empty() { "no cause is known".to_owned() } else { texts.join(": ") }
}

/// The span that a `Retry-After` means at `now`: seconds, or a date (RFC 9110, 10.2.3).
pub(in crate::channels) fn wait_of(text: &str, now: Timestamp) -> Option<Span> {
    let text = text.trim();
    let span = match text.parse::<u64>() {
        Ok(seconds) => Span::from_secs(seconds.min(RETRY_AFTER_MAX.as_secs())),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Timestamp::from_millis(u64::try_from(date.as_millis()).ok()?).since(now)
        }
    };
    Some(span.clamp(Span::from_secs(1), RETRY_AFTER_MAX))
}

/// Whether an answer of this status may be another one later, with the same request: RFC 9110 and common sense.
pub fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

impl Answer {
    /// A retry because the provider does not work or wants to be left alone.
    pub fn retry(&self, message: String) -> SendOutcome {
        SendOutcome::Retry { after: self.retry_after, error: failure(self.code(), message), down: true }
    }

    /// The status as a stable code.
    pub fn code(&self) -> String {
        format!("http_{}", self.status.as_u16())
    }

    /// The beginning of what it says, for people.
    pub fn text(&self) -> String {
        said(&String::from_utf8_lossy(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_in_the_engines_time() {
        let now = "2026-11-21T09:30:00Z".parse().unwrap();
        assert_eq!(wait_of("120", now), Some(Span::from_secs(120)));
        assert_eq!(wait_of(" 0 ", now), Some(Span::from_secs(1)));
        assert_eq!(wait_of("Sat, 21 Nov 2026 09:31:30 GMT", now), Some(Span::from_secs(90)));
        assert_eq!(wait_of("Sat, 21 Nov 2020 09:31:30 GMT", now), Some(Span::from_secs(1)), "past: soon");
        assert_eq!(wait_of("99999999999", now), Some(Span::from_hours(24)));
        assert_eq!(wait_of("soon", now), None);
    }
}
