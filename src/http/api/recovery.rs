//! For whoever must be able to begin again: a copy of everything, and the feed as it grows. Operators only.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::header,
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use futures::stream;
use serde::{Deserialize, Serialize};
use throughline_actors::feed::FeedEvent;
use throughline_storage::{
    archive::Base,
    backup::{Backup, BackupError},
};
use throughline_workflows::{
    ids::OperationId,
    operation::{self, Operation},
    time::Span,
};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        extract::{Asked, Trace, word},
        problem::{Kind, Problem},
    },
    shown,
    system::tenant_or_all,
};
use crate::recovery::{folder, read_hash};

/// Events in one answer.
const EVENTS: usize = 200;
/// The longest that somebody waits for news: below what proxies and clients bear.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(backup)).routes(routes!(journal))
}

/// What the backup adds to: the three as the backup to add to says them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AddsTo {
    /// The `seq` of its last event.
    after: Option<u64>,
    /// The hash of its feed's head, in hexadecimal digits.
    head: Option<String>,
    /// When it was begun, by the server's machine, in milliseconds since the Unix epoch.
    begun_at_ms: Option<u64>,
}

/// A copy of everything as it is at one moment, while the server goes on: an archive of the journal, of the attachments
/// and of the data folder's secrets. It holds every message that was acknowledged before it began. Whoever has it has
/// everything, so keep it as you keep the data folder. `throughline backup` checks it and files it; `throughline restore`
/// makes a data folder of it. An archive without its end is none.
#[utoipa::path(
    get, path = "/api/v1/system/backup", tag = "system", params(AddsTo),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream", description = "An archive"),
        Problem
    )
)]
async fn backup(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    Asked(adds_to): Asked<AddsTo>,
) -> Result<Response, Problem> {
    caller.must_operate()?;
    let base = base_of(adds_to)?;
    // On record before the first byte leaves.
    let command = operation::Command::Record {
        operation_id: OperationId(edge.engine.mint()),
        action: "backup".to_owned(),
        target: base.as_ref().map_or("everything".to_owned(), |base| format!("after seq {}", base.seq)),
        reason: String::new(),
    };
    edge.engine.send::<Operation>(&caller.tenant, Uuid::nil(), command, caller.meta(trace.0)).await?;
    let files = match edge.data_folder.clone() {
        None => Vec::new(),
        Some(folder) => {
            let read = tokio::task::spawn_blocking(move || folder::secrets(&folder)).await;
            read.map_err(Problem::unreadable)?.map_err(Problem::unreadable)?
        }
    };
    let backup = edge.engine.backup(files, base, env!("CARGO_PKG_VERSION")).await.map_err(refused)?;
    let pieces = Pieces { backup, closing: edge.closing.clone() };
    let body = Body::from_stream(stream::try_unfold(pieces, Pieces::next));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"throughline.archive\""),
    ];
    Ok((headers, body).into_response())
}

/// A backup on its way out.
struct Pieces {
    backup: Backup,
    closing: CancellationToken,
}

impl Pieces {
    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, String> {
        let piece = tokio::select! {
            piece = self.backup.next() => piece.map_err(|error| error.to_string()),
            // What is cut off lacks its end, so nobody takes it for whole.
            () = self.closing.cancelled() => Err("the server stops".to_owned()),
        };
        match piece {
            Ok(piece) => Ok(piece.map(|piece| (piece, self))),
            Err(error) => {
                tracing::error!(%error, "a backup was broken off");
                Err(error)
            }
        }
    }
}

fn base_of(AddsTo { after, head, begun_at_ms }: AddsTo) -> Result<Option<Base>, Problem> {
    let Some(seq) = after.filter(|seq| *seq > 0) else { return Ok(None) };
    let needed =
        |field| Problem::invalid(field, format!("{field} goes with after: the backup to add to says both."));
    let head = head.ok_or_else(|| needed("head"))?;
    let begun_at_ms = begun_at_ms.ok_or_else(|| needed("begun_at_ms"))?;
    let hash =
        read_hash(&head).ok_or_else(|| Problem::invalid("head", "head is a hash: 64 hexadecimal digits."))?;
    Ok(Some(Base { seq, hash, begun_at_ms }))
}

fn refused(error: BackupError) -> Problem {
    match error {
        BackupError::Busy | BackupError::UnknownBase(_) => Problem::with(Kind::Conflict, format!("{error}.")),
        error => Problem::unreadable(error.to_string()),
    }
}

/// Which stretch of the feed is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Stretch {
    /// Events after this `seq`; from the first where it is absent.
    after: Option<u64>,
    /// Of this tenant; all where it is absent.
    tenant: Option<String>,
    /// Where there are none, wait for them so long, for example `10s`; at most 20 s.
    wait: Option<String>,
}

/// A stretch of the feed.
#[derive(Serialize, ToSchema)]
struct Feed {
    /// Events in their order, at most some hundred.
    #[schema(value_type = Vec<shown::FeedEvent>)]
    items: Vec<FeedEvent>,
    /// Go on after this `seq`.
    reached: u64,
    /// The `seq` of the last durable event.
    seq: u64,
    /// The hash of the feed's head, which stands for everything; keep one elsewhere for `journal verify --expect`.
    head: String,
    /// What in this stretch could not be read.
    unreadable: Vec<String>,
}

/// The feed: every event of every entity in the order in which they became durable, each with what caused it.
#[utoipa::path(
    get, path = "/api/v1/system/journal", tag = "system", params(Stretch),
    responses((status = 200, body = Feed), Problem)
)]
async fn journal(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Stretch>,
) -> Result<Json<Feed>, Problem> {
    caller.must_operate()?;
    let tenant = tenant_or_all(&edge, &caller, wanted.tenant.as_deref())?;
    let wait = match wanted.wait.as_deref() {
        None => Duration::ZERO,
        Some(wait) => word::<Span>("wait", wait)?.to_std().min(WAIT_MAX),
    };
    let after = wanted.after.unwrap_or(0);
    let reading = edge.engine.feed(tenant, after, EVENTS, wait);
    let window = tokio::select! {
        window = reading => window.map_err(Problem::unreadable)?,
        () = edge.closing.cancelled() => return Err(Problem::with(Kind::Unavailable, "The server stops.")),
    };
    let head = edge.engine.feed_head();
    Ok(Json(Feed {
        items: window.events,
        reached: window.reached,
        seq: head.seq,
        head: HEXLOWER.encode(&head.hash),
        unreadable: window.unreadable,
    }))
}
