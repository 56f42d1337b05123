//! The doors of the providers: a 2xx is given only for what is durable.
//!
//! The raw body is read within the bound on memory, the channel's adapter verifies and reads it, and the engine keeps
//! each message. A verified webhook is never refused for load with a 4xx: it waits, and is then answered 503, so that
//! the provider comes again. Neither bodies nor addresses are logged.

mod call;

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use throughline_workflows::ids::TenantId;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::call::take;
use super::{Edge, extract::At, problem::Problem};
use crate::channels::Adapter;

#[cfg(feature = "fuzzing")]
pub(super) use self::call::letter_headers;
pub(super) use self::call::{is_direct, read_again};

/// One tenant's door for one channel.
#[derive(Clone)]
pub struct Door {
    /// Verifies and reads what comes in.
    pub adapter: Arc<dyn Adapter>,
    /// The channel's name, as it reads everywhere in the log, for example `generic:web`.
    pub channel: String,
    /// The address that the provider was given.
    pub url: String,
}

/// The doors of all tenants.
#[derive(Default)]
pub struct Doors(HashMap<(TenantId, String), Door>);

impl Doors {
    /// No door at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a door at `path`, for example `twilio/sms`.
    pub fn open(&mut self, tenant: TenantId, path: impl Into<String>, door: Door) {
        self.0.insert((tenant, path.into()), door);
    }

    /// The tenant's door at `path`.
    pub fn at(&self, tenant: &TenantId, path: &str) -> Option<&Door> {
        self.0.get(&(tenant.clone(), path.to_owned()))
    }
}

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(twilio_sms))
        .routes(routes!(twilio_sms_status))
        .routes(routes!(raw_email))
        .routes(routes!(generic))
        .routes(routes!(tenant_twilio_sms))
        .routes(routes!(tenant_twilio_sms_status))
        .routes(routes!(tenant_raw_email))
        .routes(routes!(tenant_generic))
}

/// A message that Twilio received for one of our numbers.
#[utoipa::path(
    post, path = "/api/webhooks/twilio/sms", tag = "webhooks", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/xml", description = "Durable, or known already"), Problem)
)]
async fn twilio_sms(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    take(&edge, "default", "twilio/sms", request).await
}

/// What Twilio says became of a message of ours.
#[utoipa::path(
    post, path = "/api/webhooks/twilio/sms/status", tag = "webhooks", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/xml", description = "Durable, or known already"), Problem)
)]
async fn twilio_sms_status(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    take(&edge, "default", "twilio/sms/status", request).await
}

/// One mail as it came over the wire (RFC 5322).
#[utoipa::path(
    post, path = "/api/webhooks/raw/email", tag = "webhooks", security(()),
    request_body(content = String, content_type = "message/rfc822"),
    responses((status = 200, body = String, content_type = "application/json", description = "Durable, or known already"), Problem)
)]
async fn raw_email(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Problem> {
    take(&edge, "default", "raw/email", request).await
}

/// A message of a channel of one's own, signed by the Standard Webhooks convention.
#[utoipa::path(
    post, path = "/api/webhooks/generic/{name}", tag = "webhooks", security(()),
    params(("name" = String, Path, description = "The channel's name in the configuration")),
    request_body(content = GenericMessage),
    responses((status = 200, body = String, content_type = "application/json", description = "Durable, or known already"), Problem)
)]
async fn generic(
    State(edge): State<Arc<Edge>>,
    At(name): At<String>,
    request: Request,
) -> Result<Response, Problem> {
    take(&edge, "default", &format!("generic/{name}"), request).await
}

/// As `twilio/sms`, for a tenant of its own.
#[utoipa::path(
    post, path = "/t/{tenant}/api/webhooks/twilio/sms", tag = "webhooks", security(()),
    params(("tenant" = String, Path, description = "The tenant's name")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/xml", description = "Durable, or known already"), Problem)
)]
async fn tenant_twilio_sms(
    State(edge): State<Arc<Edge>>,
    At(tenant): At<String>,
    request: Request,
) -> Result<Response, Problem> {
    take(&edge, &tenant, "twilio/sms", request).await
}

/// As `twilio/sms/status`, for a tenant of its own.
#[utoipa::path(
    post, path = "/t/{tenant}/api/webhooks/twilio/sms/status", tag = "webhooks", security(()),
    params(("tenant" = String, Path, description = "The tenant's name")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/xml", description = "Durable, or known already"), Problem)
)]
async fn tenant_twilio_sms_status(
    State(edge): State<Arc<Edge>>,
    At(tenant): At<String>,
    request: Request,
) -> Result<Response, Problem> {
    take(&edge, &tenant, "twilio/sms/status", request).await
}

/// As `raw/email`, for a tenant of its own.
#[utoipa::path(
    post, path = "/t/{tenant}/api/webhooks/raw/email", tag = "webhooks", security(()),
    params(("tenant" = String, Path, description = "The tenant's name")),
    request_body(content = String, content_type = "message/rfc822"),
    responses((status = 200, body = String, content_type = "application/json", description = "Durable, or known already"), Problem)
)]
async fn tenant_raw_email(
    State(edge): State<Arc<Edge>>,
    At(tenant): At<String>,
    request: Request,
) -> Result<Response, Problem> {
    take(&edge, &tenant, "raw/email", request).await
}

/// As `generic/{name}`, for a tenant of its own.
#[utoipa::path(
    post, path = "/t/{tenant}/api/webhooks/generic/{name}", tag = "webhooks", security(()),
    params(
        ("tenant" = String, Path, description = "The tenant's name"),
        ("name" = String, Path, description = "The channel's name in the configuration")
    ),
    request_body(content = GenericMessage),
    responses((status = 200, body = String, content_type = "application/json", description = "Durable, or known already"), Problem)
)]
async fn tenant_generic(
    State(edge): State<Arc<Edge>>,
    At((tenant, name)): At<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    take(&edge, &tenant, &format!("generic/{name}"), request).await
}

/// The body of a generic webhook, as its adapter reads it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the adapter reads")]
struct GenericMessage {
    /// The message's id in the sender's system, unique: it is taken once.
    id: String,
    /// Who wrote it; at least one address.
    from: GenericSender,
    /// What was written.
    text: String,
    /// What it is about.
    subject: Option<String>,
    /// A reply token, or the conversation's id where the sender signs.
    thread: Option<String>,
    /// Files, each with its content or its address.
    attachments: Option<Vec<GenericFile>>,
    /// Whatever else the sender wants kept.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    metadata: Option<serde_json::Value>,
    /// When it was written.
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// Who wrote a generic message. Several addresses given by a signed sender are one person.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the adapter reads")]
struct GenericSender {
    /// A mail address.
    email: Option<String>,
    /// An international telephone number.
    phone: Option<String>,
    /// A name within this channel.
    handle: Option<String>,
    /// What the person is called.
    name: Option<String>,
}

/// A file of a generic message; exactly one of content and address.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the adapter reads")]
struct GenericFile {
    /// The file's name.
    name: String,
    /// Its media type.
    media_type: String,
    /// Its content in base64.
    content_base64: Option<String>,
    /// Where it is.
    url: Option<String>,
}
