//! Endpoints: where events are sent to, with their secrets shown once, their tests and their deliveries.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use throughline_actors::introspect::ActivityRow;
use throughline_workflows::{
    endpoint::{
        Command, Delivery, DeliveryStatus, Endpoint, EndpointActivity, EndpointPatch, Facts, SecretText,
        Settings, TEST_PREFIX, TEST_TOPIC, Target,
    },
    ids::EndpointId,
    role::Action,
    topic::Topic,
    views::endpoints::{EndpointRow, Endpoints},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed, Made},
        extract::{Id, Listed, Paging, PagingParams, word},
        problem::{Kind, Problem},
    },
    present, shown,
};
use crate::alarms::target;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(register, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
}

/// A new endpoint: one of `url` and `mail_to`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    /// Where events are posted to: `https://…`, or `http://…` on this machine.
    url: Option<String>,
    /// The mailbox that is told in words.
    mail_to: Option<String>,
    /// Which events; all of them where it is absent or empty.
    #[serde(default)]
    topics: Vec<String>,
    /// What it is for.
    description: Option<String>,
}

/// Changes to an endpoint. What is absent stays; a list is replaced whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EndpointChange {
    /// Another address to post to.
    url: Option<String>,
    /// Other topics; an empty list means all.
    topics: Option<Vec<String>>,
    /// What it is for; an empty text takes it away.
    description: Option<String>,
    /// Whether it is sent anything. What happens while it is not is never sent.
    active: Option<bool>,
}

/// An endpoint that was made, or has a new secret.
#[derive(Serialize, Deserialize, ToSchema)]
struct EndpointMade {
    /// Its id.
    id: Uuid,
    /// What verifies its messages. It is shown in this answer only: one that is repeated for an `Idempotency-Key`
    /// comes without it. Absent for mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A test that was sent.
#[derive(Serialize, Deserialize, ToSchema)]
struct TestMade {
    /// The endpoint.
    id: Uuid,
    /// The message's id, `webhook-id` of the request.
    delivery_id: String,
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoFields {}

/// Registers an endpoint. It is told of what happens from now on; the secret is shown in this answer and never again.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "webhooks out", request_body = NewEndpoint,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<EndpointMade>, headers(("Location" = String))), Problem)
)]
async fn register(State(edge): State<Arc<Edge>>, change: Change<NewEndpoint>) -> Result<Response, Problem> {
    change.caller.must(Action::ManageEndpoints)?;
    let body = &change.body;
    let target = match (&body.url, &body.mail_to) {
        (Some(url), None) => Target::Url(checked_url(&edge, url)?),
        (None, Some(to)) => Target::Mail(checked_mail(to)?),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("mail_to", "An endpoint has a url or a mail_to, not both."));
        }
        (None, None) => return Err(Problem::invalid("url", "An endpoint needs a url or a mail_to.")),
    };
    let secret = matches!(target, Target::Url(_)).then(|| new_secret(&edge));
    let settings =
        Settings { target, topics: checked_topics(&body.topics)?, description: body.description.clone() };
    let mut made = EndpointMade { id: edge.engine.mint(), secret: None };
    let command = Command::Register {
        endpoint_id: EndpointId(made.id),
        settings: Box::new(settings),
        secret: secret.as_deref().map(SecretText::new),
        configured: false,
    };
    // What is kept for a repetition is without the secret.
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Endpoint>(&change.caller.tenant, made.id, command, meta).await?;
    made.secret = secret.filter(|_| receipt.repeated.is_none());
    Ok(Changed::new(made, receipt).created(|made| format!("/api/v1/webhooks/{}", made.id)))
}

/// Endpoints, the youngest first, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks out", params(PagingParams),
    responses((status = 200, body = Listed<shown::Endpoint>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::ManageEndpoints)?;
    let views = edge.engine.views();
    let page = views.page::<Endpoints>(&caller.tenant, paging.skip(), paging.take(), |_| true).await?;
    Ok(Json(paging.listed(page.items.iter().map(EndpointRow::to_json).collect(), page.total)))
}

/// One endpoint.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", tag = "webhooks out", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::Endpoint), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    caller.must(Action::ManageEndpoints)?;
    let row = present::<Endpoints>(&edge, &caller.tenant, id).await?;
    row.map(|row| Json(row.to_json())).ok_or_else(unknown)
}

/// Changes an endpoint, switches it off or on.
#[utoipa::path(
    patch, path = "/api/v1/webhooks/{id}", tag = "webhooks out", request_body = EndpointChange,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn change(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<EndpointChange>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::ManageEndpoints)?;
    check_changeable(&edge, &change.caller, id).await?;
    let EndpointChange { url, topics, description, active } = &change.body;
    let patch = EndpointPatch {
        url: url.as_deref().map(|url| checked_url(&edge, url)).transpose()?,
        topics: topics.as_deref().map(checked_topics).transpose()?,
        description: description.clone(),
    };
    let made = Made { id };
    let tenant = &change.caller.tenant;
    let patched = (patch != EndpointPatch::default()).then(|| Command::Update(Box::new(patch)));
    let switched = active.map(|active| if active { Command::Enable } else { Command::Disable });
    // The request's key is kept with the last of the commands: until then a repetition does the same once more, which
    // changes nothing.
    let mut commands: Vec<_> = patched.into_iter().chain(switched).collect();
    let last = commands.pop().unwrap_or_else(|| Command::Update(Box::default()));
    for command in commands {
        edge.engine.send::<Endpoint>(tenant, id, command, change.caller.meta(change.trace)).await?;
    }
    let receipt = edge.engine.send::<Endpoint>(tenant, id, last, change.meta(&made)?).await?;
    Ok(Changed::new(made, receipt))
}

/// Takes an endpoint out for good.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", tag = "webhooks out", params(("id" = Uuid, Path)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn remove(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<NoFields>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::ManageEndpoints)?;
    check_changeable(&edge, &change.caller, id).await?;
    let made = Made { id };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Endpoint>(&change.caller.tenant, id, Command::Remove, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// Makes a new secret, shown in this answer only. The one before it signs along for a day, so that whoever verifies
/// has that long to change over.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/rotate", tag = "webhooks out",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<EndpointMade>), Problem)
)]
async fn rotate(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<NoFields>,
) -> Result<Changed<EndpointMade>, Problem> {
    change.caller.must(Action::ManageEndpoints)?;
    let secret = new_secret(&edge);
    let mut made = EndpointMade { id, secret: None };
    let meta = change.meta(&made)?;
    let command = Command::Rotate { secret: SecretText::new(&*secret) };
    let receipt = edge.engine.send::<Endpoint>(&change.caller.tenant, id, command, meta).await?;
    made.secret = Some(secret).filter(|_| receipt.repeated.is_none());
    Ok(Changed::new(made, receipt))
}

/// Sends a test: an event of the topic `endpoint.test`, signed and tried again as any other.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks out",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<TestMade>), Problem)
)]
async fn test(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<NoFields>,
) -> Result<Changed<TestMade>, Problem> {
    change.caller.must(Action::ManageEndpoints)?;
    let made = TestMade { id, delivery_id: format!("{TEST_PREFIX}{}", edge.engine.mint().simple()) };
    let meta = change.meta(&made)?;
    let command = Command::Test { id: made.delivery_id.clone() };
    let receipt = edge.engine.send::<Endpoint>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// Deliveries to an endpoint, newest first: all that are open, and the newest of the others; 100 together are remembered.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks out",
    params(("id" = Uuid, Path), PagingParams),
    responses((status = 200, body = Listed<shown::EndpointDelivery>), Problem)
)]
async fn deliveries(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Id(id): Id,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::ManageEndpoints)?;
    let state = edge.engine.state::<Endpoint>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let facts = state.as_ref().and_then(|(state, _)| state.facts()).ok_or_else(unknown)?;
    let pending = edge.engine.pending::<Endpoint>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let rows = facts.deliveries.iter().rev().map(|delivery| delivery_json(delivery, &pending)).collect();
    Ok(Json(paging.cut(rows)))
}

fn delivery_json(delivery: &Delivery, pending: &[(ActivityRow, EndpointActivity)]) -> Value {
    let open = (delivery.status == DeliveryStatus::Pending)
        .then(|| pending.iter().find(|(_, activity)| activity.id() == delivery.id))
        .flatten()
        .map(|(row, _)| row);
    let error = delivery.error.as_ref();
    let topic = delivery.topic.map_or(TEST_TOPIC, Topic::as_str);
    let mut shown = json!({
        "id": delivery.id,
        "topic": topic,
        "seq": delivery.seq,
        "status": delivery.status,
        "attempts": delivery.attempts.or(open.map(|row| row.attempts)),
        "error_code": error.and_then(|error| error.code.as_ref()),
        "last_error": error.map(|error| &error.message).or(open.and_then(|row| row.last_error.as_ref())),
        "next_try_at": open.map(|row| row.next_try_at),
        "at": delivery.at,
        "settled_at": delivery.settled_at,
    });
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}

fn unknown() -> Problem {
    Problem::unknown("endpoint")
}

/// That a person may change it: what the configuration made, it alone changes.
async fn check_changeable(edge: &Edge, caller: &Caller, id: Uuid) -> Result<(), Problem> {
    let state = edge.engine.state::<Endpoint>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let facts: Option<&Facts> = state.as_ref().and_then(|(state, _)| state.facts());
    if facts.is_some_and(|facts| facts.configured) {
        let detail = "This endpoint stands in the server's configuration, alarms.mail_to; change it there.";
        return Err(Problem::with(Kind::Conflict, detail));
    }
    Ok(())
}

fn checked_url(edge: &Edge, url: &str) -> Result<String, Problem> {
    let read = target::read(url.trim(), edge.networks);
    read.map(Into::into).map_err(|error| Problem::invalid("url", format!("{error}.")))
}

fn checked_mail(to: &str) -> Result<String, Problem> {
    crate::channels::address::email(to).ok_or_else(|| {
        Problem::invalid("mail_to", format!("{to:?} is not a mail address such as supervisor@example.com."))
    })
}

fn checked_topics(topics: &[String]) -> Result<Vec<Topic>, Problem> {
    topics.iter().enumerate().map(|(at, topic)| word(&format!("topics[{at}]"), topic)).collect()
}

/// `whsec_` and base64 of unguessable bytes.
fn new_secret(edge: &Edge) -> String {
    let mut bytes = [0; SECRET_BYTES];
    edge.engine.fill_random(&mut bytes);
    format!("whsec_{}", STANDARD.encode(bytes))
}
