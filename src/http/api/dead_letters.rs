//! What was given up: looked at, tried again, discarded.

use std::sync::Arc;

use axum::{Json, extract::State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_actors::{
    dead_letters::{Letter, LetterError},
    order::Receipt,
};
use throughline_workflows::role::Action;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed, Made},
        extract::{Asked, Id, Listed, Paging, PagingParams},
        problem::{Kind, Problem},
        webhooks,
    },
    check_length, shown,
    system::{read, tenant_or_all},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(discard))
}

/// Which dead letters are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of this tenant; operators see all where it is absent.
    tenant: Option<String>,
}

/// Why, and with what.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Again {
    /// Why; kept in the audit.
    reason: String,
    /// What to try instead: for a message or an activity the whole payload as it is shown, for a webhook its body as
    /// text.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
}

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// In the operator's words; kept in the audit.
    pub(super) reason: String,
}

/// Dead letters, the newest first.
#[utoipa::path(
    get, path = "/api/v1/system/dead-letters", tag = "system", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::DeadLetter>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Wanted { tenant }): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Letter>>, Problem> {
    caller.must(Action::HandleDeadLetters)?;
    let tenant = tenant_or_all(&edge, &caller, tenant.as_deref())?;
    let engine = edge.engine.clone();
    let letters = read(move || engine.dead_letters(tenant.as_ref())).await?;
    Ok(Json(paging.cut(letters)))
}

/// One dead letter with what it carries.
#[utoipa::path(
    get, path = "/api/v1/system/dead-letters/{id}", tag = "system", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::DeadLetter), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Letter>, Problem> {
    caller.must(Action::HandleDeadLetters)?;
    let tenant = tenant_or_all(&edge, &caller, None)?;
    let letter = edge.engine.dead_letter(tenant.as_ref(), id).map_err(Problem::unreadable)?;
    letter.map(Json).ok_or_else(|| Problem::unknown("dead letter"))
}

/// Puts the work back where it was, as it is or with a mended payload.
#[utoipa::path(
    post, path = "/api/v1/system/dead-letters/{id}/retry", tag = "system", request_body = Again,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn retry(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Again>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::HandleDeadLetters)?;
    let Again { reason, payload } = &change.body;
    check_reason(reason)?;
    let tenant = tenant_or_all(&edge, &change.caller, None)?;
    let made = Made { id };
    let meta = change.meta(&made)?;
    let webhook = edge.engine.webhook_letter(id).await.map_err(Problem::unreadable)?;
    let webhook = webhook.filter(|(of, _)| tenant.as_ref().is_none_or(|tenant| tenant == of));
    let retried = match webhook {
        // The edge reads it again; once its messages are durable the letter has served. Should we fall between the
        // two, the letter stays and its messages are duplicates the next time.
        Some((of, letter)) => {
            let body = payload.as_ref().map(body_of);
            webhooks::read_again(&edge, of, letter, body, change.trace).await?;
            edge.engine.retried_webhook(tenant.as_ref(), id, reason.clone(), meta).await
        }
        None => {
            edge.engine.retry_dead_letter(tenant.as_ref(), id, payload.clone(), reason.clone(), meta).await
        }
    };
    answer(made, retried)
}

/// Gives a dead letter up.
#[utoipa::path(
    post, path = "/api/v1/system/dead-letters/{id}/discard", tag = "system", request_body = Why,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn discard(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Why>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::HandleDeadLetters)?;
    let reason = &change.body.reason;
    check_reason(reason)?;
    let tenant = tenant_or_all(&edge, &change.caller, None)?;
    let made = Made { id };
    let meta = change.meta(&made)?;
    let discarded = edge.engine.discard_dead_letter(tenant.as_ref(), id, reason.clone(), meta).await;
    answer(made, discarded)
}

pub(super) fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("reason", "Say why, for the audit."));
    }
    check_length("reason", reason)
}

/// A webhook's new body: a text as it is, `{"body": TEXT}` as the letter shows it, anything else as JSON.
fn body_of(payload: &Value) -> Bytes {
    match (payload, payload.get("body")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => Bytes::from(text.clone()),
        (other, _) => Bytes::from(other.to_string()),
    }
}

fn answer(made: Made, done: Result<Receipt, LetterError>) -> Result<Changed<Made>, Problem> {
    match done {
        Ok(receipt) => Ok(Changed::new(made, receipt)),
        Err(LetterError::Unknown) => Err(Problem::unknown("dead letter")),
        Err(error @ LetterError::ReadOnly(_)) => Err(Problem::with(Kind::Conflict, format!("{error}."))),
        Err(error @ LetterError::Payload(_)) => Err(Problem::invalid("payload", format!("{error}."))),
        Err(LetterError::Send(error)) => Err(error.into()),
    }
}
