//! Whether the server lives and whether it is ready for work. Both answer without a token.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use throughline_workflows::time::{Span, Timestamp};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Edge;

/// A commit that takes longer than this says that the disk does not keep up, in milliseconds.
const COMMIT_AGE_MAX_MS: u64 = 1_000;
/// Timers later than this are worth a remark; after a downtime they catch up while the server works.
const TIMER_LAG_MAX: Span = Span::from_secs(5);
/// A clock that runs at its own pace is a little behind at times; only more than this is worth a remark.
const WALL_BEHIND_MAX: Span = Span::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready))
}

/// The server lives.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Always `ok`.
    status: &'static str,
    /// Engine time.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Whether the server is ready.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Why it is not.
    reasons: Vec<String>,
    /// What does not keep it from its work and is worth knowing.
    remarks: Vec<String>,
    /// Engine time.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Answers as long as the process serves.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()), responses((status = 200, body = Alive)))]
async fn alive(State(edge): State<Arc<Edge>>) -> Json<Alive> {
    Json(Alive { status: "ok", now: edge.engine.now() })
}

/// Answers 200 when the store takes writes in time and the engine runs, else 503 with what is wrong.
#[utoipa::path(
    get, path = "/readyz", tag = "server", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready, description = "Not ready, and why"))
)]
async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let status = edge.engine.status();
    let mut reasons = Vec::new();
    if let Some(failure) = &status.commits.failed {
        tracing::error!(%failure, "not ready: the store has failed");
        reasons.push("the store has failed".to_owned());
    }
    if status.commits.oldest_waiting_ms > COMMIT_AGE_MAX_MS {
        reasons.push(format!("a commit has waited for {} ms", status.commits.oldest_waiting_ms));
    }
    let mut remarks = Vec::new();
    // Persons can answer and what was accepted is worked on, so this alone is no reason to be taken out of service.
    if status.commits.failed.is_none()
        && let Some(why) = (edge.refuses_inbound)()
    {
        remarks.push(format!("new messages are refused: {why}"));
    }
    if status.timer_lag > TIMER_LAG_MAX {
        remarks.push(format!("timers are {} late", status.timer_lag));
    }
    if status.projected < status.seq {
        remarks.push(format!("lists are at {} of {}", status.projected, status.seq));
    }
    if status.wall_behind > WALL_BEHIND_MAX {
        remarks.push(format!("the machine's clock is {} behind engine time", status.wall_behind));
    }
    let (code, word) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, Json(Ready { status: word, reasons, remarks, now: status.now })).into_response()
}
