//! Requests that change something: who asks, what with, and under which idempotency key.
//!
//! A [`Change`] reads the whole request; a handler adds the ids it minted as the answer and sends its command with
//! [`Change::meta`]. Whether the answer is new or repeated is decided by the command's own commit.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use throughline_actors::order::{CommandMeta, Idempotency, Receipt};
use throughline_workflows::workflow::By;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Edge,
    auth::Caller,
    extract::Trace,
    limits::Admitted,
    problem::{Kind, Problem},
};

/// The header that makes a repeated request one request.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key.
const KEY_MAX: usize = 255;
/// The largest body, in bytes: read as JSON it takes many times its length.
const BODY_MAX: usize = 2 * 1024 * 1024;

/// A request that changes something.
pub(crate) struct Change<T> {
    /// Who asks.
    pub(crate) caller: Caller,
    /// What they sent.
    pub(crate) body: T,
    /// Joins what it leads to.
    pub(crate) trace: Uuid,
    key: Option<Key>,
    _room: Admitted,
}

struct Key {
    scope: String,
    fingerprint: [u8; 32],
}

impl<T: DeserializeOwned> FromRequest<Arc<Edge>> for Change<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, edge).await?;
        let trace = parts.extensions.get::<Trace>().map_or_else(|| edge.engine.mint(), |trace| trace.0);
        let key = idempotency_key(&parts.headers)?;
        let admitted =
            edge.admission.read(&parts.headers, body, edge.settings.body_max.min(BODY_MAX)).await?;
        if !admitted.bytes.is_empty() && !is_json(&parts.headers) {
            return Err(Problem::new(Kind::UnsupportedMediaType));
        }
        let value = parse(&admitted.bytes)?;
        let key = key.map(|key| Key {
            scope: format!("{} {} {} {key}", caller.token_id, parts.method, parts.uri.path()),
            fingerprint: fingerprint(&admitted.bytes, parts.uri.query()),
        });
        Ok(Self { caller, body: value, trace, key, _room: admitted })
    }
}

/// What must be the same for a request to be the same: the body, and the query, which may name another tenant.
pub(super) fn fingerprint(body: &[u8], query: Option<&str>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(body);
    if let Some(query) = query {
        hash.update(b"\0?");
        hash.update(query);
    }
    hash.finalize().into()
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let fits = |key: &&str| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    key.to_str().ok().filter(fits).map(Some).ok_or_else(|| {
        let detail = format!("An Idempotency-Key is 1 to {KEY_MAX} visible ASCII characters.");
        Problem::with(Kind::Malformed, detail).field("Idempotency-Key")
    })
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads a JSON body; an empty one reads like `{}`.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if !cause.is_data() {
            return Problem::with(Kind::Malformed, format!("The body is not JSON: {cause}."));
        }
        let problem = Problem::with(Kind::Invalid, format!("{cause}."));
        if path == "." { problem } else { problem.field(path) }
    })?;
    json.end().map_err(|error| {
        Problem::with(Kind::Malformed, format!("Something follows the JSON value: {error}."))
    })?;
    Ok(value)
}

impl<T> Change<T> {
    /// The envelope of the command; `answer` is what is answered beside version and seq.
    ///
    /// # Errors
    /// 500 if the answer cannot be written as JSON.
    pub(crate) fn meta<A: Serialize>(&self, answer: &A) -> Result<CommandMeta, Problem> {
        self.meta_by(self.caller.by(), answer)
    }

    /// The same, in somebody else's name.
    ///
    /// # Errors
    /// 500 if the answer cannot be written as JSON.
    pub(crate) fn meta_by<A: Serialize>(&self, by: By, answer: &A) -> Result<CommandMeta, Problem> {
        let answer = serde_json::to_string(answer)
            .map_err(|error| Problem::with(Kind::Internal, error.to_string()))?;
        let idempotency = self.key.as_ref().map(|key| Idempotency {
            tenant: self.caller.tenant.clone(),
            key: key.scope.clone(),
            fingerprint: key.fingerprint,
            answer,
        });
        Ok(CommandMeta { idempotency, by, ..self.caller.meta(self.trace) })
    }
}

/// What a change answers: what the handler says, and where the change stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed<A> {
    /// What it is about.
    #[serde(flatten)]
    pub(crate) answer: A,
    /// The entity's version after the change.
    version: u64,
    /// Pass it as `min_seq` to a list that must show the change.
    seq: u64,
}

/// The answer of most changes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Made {
    /// The id of what was changed or made.
    pub(crate) id: Uuid,
}

impl<A: DeserializeOwned> Changed<A> {
    /// The answer to a change, or the one that was given when it was asked for first.
    pub(crate) fn new(answer: A, receipt: Receipt) -> Self {
        let Receipt { version, seq, repeated } = receipt;
        let answer = repeated.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or(answer);
        Self { answer, version, seq }
    }
}

impl<A: Serialize> Changed<A> {
    /// 201, with where the new thing is found.
    pub(crate) fn created(self, location: impl FnOnce(&A) -> String) -> Response {
        let location = location(&self.answer);
        (StatusCode::CREATED, [(header::LOCATION, location)], Json(self)).into_response()
    }
}

impl<A: Serialize> IntoResponse for Changed<A> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "read by serde only")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read by serde only")]
        text: String,
    }

    fn told(body: &str) -> serde_json::Value {
        let problem = parse::<Outer>(body.as_bytes()).unwrap_err();
        problem.as_json()
    }

    #[test]
    fn malformed_json_is_told_with_its_line() {
        let told = told("{\"inner\":\n{");
        assert_eq!(told["status"], 400);
        assert!(told["detail"].as_str().unwrap().contains("line 2"), "{told}");
    }

    #[test]
    fn an_unknown_field_is_named_with_what_is_allowed() {
        let told = told(r#"{"inner": {"txt": "hello"}}"#);
        assert_eq!(told["status"], 422);
        assert!(told["field"].as_str().unwrap().starts_with("inner"), "{told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("`txt`") && detail.contains("`text`"), "{told}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_by_its_path() {
        let told = told(r#"{"inner": {"text": 7}}"#);
        assert_eq!((told["status"].as_u64(), told["field"].as_str()), (Some(422), Some("inner.text")));
    }
}
