//! Errors as `application/problem+json` (RFC 9457): one stable `type` a kind of mistake, words a person can act on.
//!
//! Every refusal of the edge becomes a [`Problem`]; handlers return it with `?`. The list of kinds is [`Kind::ALL`],
//! which the API document shows, so the two cannot differ.

pub(super) mod refusals;

use std::{collections::BTreeMap, fmt};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{self, Content, Ref, RefOr, ResponseBuilder},
};
use uuid::Uuid;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// A kind of mistake. Its `type` never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request cannot be read.
    Malformed,
    /// No token, or none that is good.
    Unauthenticated,
    /// The token's role does not allow it.
    Forbidden,
    /// A webhook's signature is absent or wrong.
    SignatureRefused,
    /// Nothing is there, or it is another tenant's.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The status does not allow the move.
    IllegalMove,
    /// It contradicts what is there.
    Conflict,
    /// It is larger than the server takes.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// A value that cannot be.
    Invalid,
    /// The idempotency key came before with another body.
    IdempotencyKeyReused,
    /// Too much is waiting, or there is no room.
    Overloaded,
    /// A list has not caught up with the asked `min_seq`.
    NotCaughtUp,
    /// Something did not come to rest in time.
    Unsettled,
    /// The server is stopping, or cannot promise anything.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// Every kind, in the order of the statuses.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::SignatureRefused,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::IllegalMove,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::IdempotencyKeyReused,
        Self::Internal,
        Self::Overloaded,
        Self::NotCaughtUp,
        Self::Unsettled,
        Self::Unavailable,
    ];

    /// The `type`, the status and the title.
    pub(crate) const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => (
                "/problems/malformed",
                StatusCode::BAD_REQUEST,
                "The request cannot be read; mend it as the detail says.",
            ),
            Self::Unauthenticated => (
                "/problems/unauthenticated",
                StatusCode::UNAUTHORIZED,
                "Send a valid token as `Authorization: Bearer TOKEN`.",
            ),
            Self::Forbidden => (
                "/problems/forbidden",
                StatusCode::FORBIDDEN,
                "This token's role does not allow it; use another token.",
            ),
            Self::SignatureRefused => (
                "/problems/signature-refused",
                StatusCode::FORBIDDEN,
                "Sign the webhook with the channel's configured secret.",
            ),
            Self::NotFound => (
                "/problems/not-found",
                StatusCode::NOT_FOUND,
                "There is nothing here; check the path and the id.",
            ),
            Self::MethodNotAllowed => (
                "/problems/method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Use a method that the `Allow` header names.",
            ),
            Self::IllegalMove => (
                "/problems/illegal-move",
                StatusCode::CONFLICT,
                "The present status does not allow this; choose one of the legal moves.",
            ),
            Self::Conflict => (
                "/problems/conflict",
                StatusCode::CONFLICT,
                "This contradicts what is there; look at it and decide anew.",
            ),
            Self::TooLarge => (
                "/problems/too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Send less at once, within the limit that the detail names.",
            ),
            Self::UnsupportedMediaType => (
                "/problems/unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Send JSON, with `Content-Type: application/json`.",
            ),
            Self::Invalid => (
                "/problems/invalid",
                StatusCode::UNPROCESSABLE_ENTITY,
                "A value is not allowed; change the field that is named.",
            ),
            Self::IdempotencyKeyReused => (
                "/problems/idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Use a new Idempotency-Key for a new request.",
            ),
            Self::Internal => (
                "/problems/internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server made a mistake; tell its operator the reference.",
            ),
            Self::Overloaded => (
                "/problems/overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Repeat the request after the time in `Retry-After`.",
            ),
            Self::NotCaughtUp => (
                "/problems/not-caught-up",
                StatusCode::SERVICE_UNAVAILABLE,
                "The list does not show that write yet; ask again shortly.",
            ),
            Self::Unsettled => (
                "/problems/unsettled",
                StatusCode::SERVICE_UNAVAILABLE,
                "Something is still under way; look at what is named and advance again.",
            ),
            Self::Unavailable => (
                "/problems/unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot do this now; repeat the request later.",
            ),
        }
    }
}

/// What went wrong, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The kind of problem, stable.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid")]
    kind: &'static str,
    /// What to do about it.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The path of the field at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "identity.emails[0]")]
    field: Option<String>,
    /// What can be asked for now, by the last part of its path, where a move was illegal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["messages", "resolve"]))]
    legal_moves: Option<Vec<String>>,
    /// Names this occurrence in the server's log, where it is a fault of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Uuid>,
}

/// A refusal on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    body: ProblemBody,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of this kind, without further words.
    pub(crate) fn new(kind: Kind) -> Self {
        let (slug, status, title) = kind.parts();
        let retry_after = match kind {
            Kind::Overloaded | Kind::Unavailable => Some(5),
            Kind::NotCaughtUp | Kind::Unsettled => Some(1),
            _ => None,
        };
        let body = ProblemBody {
            kind: slug,
            title,
            status: status.as_u16(),
            detail: None,
            field: None,
            legal_moves: None,
            reference: None,
        };
        Self(Box::new(Inner { body, retry_after }))
    }

    /// A problem of this kind and what happened.
    pub(crate) fn with(kind: Kind, detail: impl Into<String>) -> Self {
        Self::new(kind).detail(detail)
    }

    /// There is no such `what`, or it is another tenant's.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::with(Kind::NotFound, format!("There is no such {what}."))
    }

    /// The value of `field` cannot be.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::with(Kind::Invalid, detail).field(field)
    }

    /// The journal or a list cannot be read.
    pub(crate) fn unreadable(error: impl fmt::Display) -> Self {
        tracing::error!(%error, "the store could not be read for a request");
        Self::with(Kind::Unavailable, "What is stored could not be read; the server's log says why.")
    }

    /// Says what happened.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.body.detail = Some(detail.into());
        self
    }

    /// Names the field at fault.
    #[must_use]
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.0.body.field = Some(field.into());
        self
    }

    /// Says which moves are legal.
    fn legal_moves(mut self, moves: Vec<String>) -> Self {
        self.0.body.legal_moves = Some(moves);
        self
    }

    /// Names this occurrence.
    #[must_use]
    pub(crate) fn reference(mut self, reference: Uuid) -> Self {
        self.0.body.reference = Some(reference);
        self
    }

    /// The body as it is sent.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn as_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.0.body).expect("a problem is always JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { body, retry_after } = *self.0;
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"throughline\""));
        }
        response
    }
}

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let problem = ResponseBuilder::new()
            .description("What went wrong")
            .content(MEDIA_TYPE, Content::new(Some(Ref::from_schema_name("Problem"))))
            .build();
        BTreeMap::from([("default".to_owned(), problem.into())])
    }
}

/// The kinds of problems as a table for the API document.
pub(crate) fn documentation() -> String {
    let mut text = String::from("| `type` | status | what to do |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let (slug, status, title) = kind.parts();
        text.push_str(&format!("| `{slug}` | {} | {title} |\n", status.as_u16()));
    }
    text
}
