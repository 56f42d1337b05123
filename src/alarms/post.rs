//! One signed request to an endpoint, by the Standard Webhooks convention, and what its answer means.
//!
//! Source: the Standard Webhooks specification, <https://www.standardwebhooks.com>.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};
use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::ActivityError,
};

use super::target::{self, Guarded, Networks};

/// How long a whole request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait that an endpoint may ask for.
const WAIT_MAX: Span = Span::from_hours(1);

/// Posts to endpoints.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    http: reqwest::Client,
    networks: Networks,
}

/// One message, ready to go.
pub(super) struct Message<'a> {
    /// The same on every try.
    pub(super) id: &'a str,
    pub(super) url: &'a str,
    /// Those that sign, as `whsec_` and base64.
    pub(super) secrets: Vec<&'a str>,
    pub(super) body: String,
    pub(super) now: Timestamp,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was accepted.
    Accepted,
    /// The endpoint is gone for good.
    Gone(ActivityError),
    /// This message will never be accepted, whatever becomes of the others.
    Refused(ActivityError),
    /// It may be accepted later: after the span, where the endpoint says so.
    Later(Option<Span>, ActivityError),
}

impl Poster {
    pub(super) fn new(networks: Networks) -> reqwest::Result<Self> {
        Self::within(networks, TIMEOUT)
    }

    fn within(networks: Networks, timeout: Duration) -> reqwest::Result<Self> {
        let http = crate::tls::client()
            .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .redirect(Policy::none())
            // A proxy would ask for the name in our place, and answer from where it stands.
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(Guarded(networks)))
            .build()?;
        Ok(Self { http, networks })
    }

    pub(super) async fn post(&self, message: Message<'_>) -> Answer {
        let Message { id, url, secrets, body, now } = message;
        let url = match target::read(url, self.networks) {
            Ok(url) => url,
            Err(refused) => return Answer::Later(None, error("address", &refused)),
        };
        let seconds = i64::try_from(now.as_seconds()).unwrap_or(i64::MAX);
        let signature = match signature(&secrets, id, seconds, body.as_bytes()) {
            Ok(signature) => signature,
            Err(unusable) => return Answer::Later(None, error("secret", &unusable)),
        };
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, id)
            .header(HEADER_WEBHOOK_TIMESTAMP, seconds)
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(body);
        match request.send().await {
            Ok(response) => judge(&response, now),
            Err(failed) => Answer::Later(None, error("connection", &told(&failed))),
        }
    }
}

/// Every secret's signature, as the header holds them.
pub(super) fn signature(
    secrets: &[&str],
    id: &str,
    seconds: i64,
    body: &[u8],
) -> Result<String, WebhookError> {
    let sign = |secret: &&str| Webhook::new(secret)?.sign(id, seconds, body);
    Ok(secrets.iter().map(sign).collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn judge(response: &Response, now: Timestamp) -> Answer {
    let status = response.status();
    if status.is_success() {
        return Answer::Accepted;
    }
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| wait_of(value, now)).map(|wait| wait.min(WAIT_MAX));
    // What else it says is not kept: it may hold what must not be logged.
    let message = format!("answered {status}");
    let error = ActivityError { code: Some(status.as_u16().to_string()), message };
    match status {
        StatusCode::GONE => Answer::Gone(error),
        // They are about this message. Everything else may be about the endpoint, and pass.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused(error),
        _ => Answer::Later(wait, error),
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(crate) fn wait_of(value: &str, now: Timestamp) -> Option<Span> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Span::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(value.trim()).ok()?;
    Some(Timestamp::from_chrono(at.to_utc()).since(now))
}

/// The innermost reasons, without the address, which may hold what only the endpoint should know.
fn told(failed: &reqwest::Error) -> String {
    if failed.is_timeout() {
        return "did not answer in time".to_owned();
    }
    let mut reason: &dyn std::error::Error = failed;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

fn error(code: &str, what: &dyn std::fmt::Display) -> ActivityError {
    ActivityError { code: Some(code.to_owned()), message: what.to_string() }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, response::Redirect, routing::post};

    use super::*;

    const HERE: Networks = Networks { loopback: true, private: false };

    fn now() -> Timestamp {
        "1994-11-06T08:49:07Z".parse().unwrap()
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        base
    }

    async fn post_to(poster: &Poster, url: &str) -> Answer {
        let secrets = vec!["whsec_c2VjcmV0"];
        poster.post(Message { id: "evt_1", url, secrets, body: "{}".to_owned(), now: now() }).await
    }

    fn code(answer: &Answer) -> Option<&str> {
        match answer {
            Answer::Accepted => None,
            Answer::Gone(error) | Answer::Refused(error) | Answer::Later(_, error) => error.code.as_deref(),
        }
    }

    #[tokio::test]
    async fn every_answer_means_what_the_convention_says() {
        let busy = (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "120")], "slow\n down");
        let forever = (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "999999")]);
        let router = Router::new()
            .route("/ok", post(|_: HeaderMap| async { StatusCode::ACCEPTED }))
            .route("/gone", post(|| async { StatusCode::GONE }))
            .route("/never", post(|| async { StatusCode::UNPROCESSABLE_ENTITY }))
            .route("/busy", post(move || async move { busy }))
            .route("/forever", post(move || async move { forever }))
            .route("/moved", post(|| async { Redirect::temporary("/ok") }));
        let base = serve(router).await;
        let poster = Poster::new(HERE).unwrap();
        assert_eq!(post_to(&poster, &format!("{base}/ok")).await, Answer::Accepted);
        assert!(matches!(post_to(&poster, &format!("{base}/gone")).await, Answer::Gone(_)));
        assert!(matches!(post_to(&poster, &format!("{base}/never")).await, Answer::Refused(_)));
        let missing = post_to(&poster, &format!("{base}/missing")).await;
        assert!(matches!(missing, Answer::Later(None, _)), "it may be there again after a deployment");
        let answer = post_to(&poster, &format!("{base}/busy")).await;
        let Answer::Later(Some(wait), error) = answer else { panic!("{answer:?}") };
        assert_eq!(wait, Span::from_secs(120));
        assert_eq!(error.message, "answered 429 Too Many Requests");
        let answer = post_to(&poster, &format!("{base}/forever")).await;
        assert!(matches!(answer, Answer::Later(Some(WAIT_MAX), _)), "{answer:?}");
        let answer = post_to(&poster, &format!("{base}/moved")).await;
        assert_eq!(code(&answer), Some("307"), "a redirect is not followed: {answer:?}");
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_tried_again() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let poster = Poster::within(HERE, Duration::from_millis(50)).unwrap();
        let answer = post_to(&poster, &url).await;
        let Answer::Later(None, error) = answer else { panic!("{answer:?}") };
        assert_eq!(error.message, "did not answer in time");
        drop(silent);
        assert_eq!(code(&post_to(&poster, &url).await), Some("connection"));
    }

    #[tokio::test]
    async fn a_name_that_leads_behind_us_is_not_followed() {
        let poster = Poster::new(Networks::default()).unwrap();
        // The name is this machine's own, whatever the address looks like.
        let guarded =
            reqwest::dns::Resolve::resolve(&Guarded(Networks::default()), "localhost".parse().unwrap());
        assert!(guarded.await.is_err_and(|error| error.to_string().contains("not on the public internet")));
        let answer = post_to(&poster, "https://127.0.0.1:1/").await;
        assert_eq!(code(&answer), Some("address"), "{answer:?}");
    }

    #[test]
    fn an_endpoint_says_in_seconds_or_by_a_date_when_to_come_again() {
        assert_eq!(wait_of("120", now()), Some(Span::from_secs(120)));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:49:37 GMT", now()), Some(Span::from_secs(30)));
        assert_eq!(wait_of("soon", now()), None);
    }
}
