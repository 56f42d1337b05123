//! Inside the running system: entities, timers, activities, figures, the clock.
//!
//! An operator sees every tenant; others, whose role may read the system, their own. What is inside an entity is seen
//! only by those who may also read it elsewhere.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use throughline_actors::{
    clock::ClockMode,
    introspect::{ActivityRow, ActorRow, ActorState, TimerRow, Wanted},
    settle::AdvanceError,
};
use throughline_workflows::{
    access::Reads,
    conversation::Conversation,
    credential::Credential,
    customer::Customer,
    endpoint::Endpoint,
    ids::{OperationId, TenantId},
    operation::{self, Operation},
    role::Action,
    time::{Span, Timestamp},
    workflow::Workflow,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::Change,
        extract::{Asked, At, Listed, Paging, PagingParams, word},
        problem::{Kind, Problem},
    },
    shown,
    work::check_own,
};

/// So many timers are looked through for a list over all tenants, where its page asks for no more: each entity's last
/// record is read for them, and whoever watches asks every few seconds.
const TIMERS_LOOKED_AT: usize = 1_000;

/// So many are looked through for those of one tenant.
const TIMERS_MAX: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(actors))
        .routes(routes!(actor))
        .routes(routes!(timers))
        .routes(routes!(activities))
        .routes(routes!(advance))
}

/// Which entities are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedActors {
    /// Of this kind, for example `conversation`.
    kind: Option<String>,
    /// `hot` for those in memory, `passive` for the others.
    residency: Option<String>,
    /// `true` for those only that an operator has paused.
    paused: Option<bool>,
    /// Of this tenant; operators see all where it is absent.
    tenant: Option<String>,
}

/// Whose entity.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// The tenant; the caller's where it is absent.
    pub(super) tenant: Option<String>,
}

/// Which state.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedState {
    /// At this version instead of now.
    version: Option<u64>,
    /// The tenant; the caller's where it is absent.
    tenant: Option<String>,
}

/// Which timers are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedTimers {
    /// Only those that fire up to this time.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// `true` for those only that fired without effect and are armed again, however far ahead; not with `before`.
    stuck: Option<bool>,
    /// Of this tenant; operators see all where it is absent.
    tenant: Option<String>,
}

/// Which activities are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedActivities {
    /// `true` for those only that were tried in vain, or refused a try, and wait for another.
    failing: Option<bool>,
    /// In this lane: the channel of what conversations send, for example `sms`.
    lane: Option<String>,
    /// Of this tenant; operators see all where it is absent.
    tenant: Option<String>,
}

/// Entities, those in memory and busiest first.
#[utoipa::path(
    get, path = "/api/v1/system/actors", tag = "system", params(WantedActors, PagingParams),
    responses((status = 200, body = Listed<shown::Actor>), Problem)
)]
async fn actors(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<WantedActors>,
    paging: Paging,
) -> Result<Json<Listed<ActorRow>>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = tenant_or_all(&edge, &caller, wanted.tenant.as_deref())?;
    let residency = wanted.residency.as_deref();
    if residency.is_some_and(|residency| !["hot", "passive"].contains(&residency)) {
        return Err(Problem::invalid("residency", "residency is hot or passive."));
    }
    if only("paused", wanted.paused)? {
        let mut rows = edge.engine.paused_actors(tenant.as_ref(), wanted.kind.as_deref()).await?;
        rows.retain(|row| residency.is_none_or(|residency| residency == row.residency));
        return Ok(Json(paging.cut(rows)));
    }
    let (rows, total) = edge
        .engine
        .actors(tenant.as_ref(), wanted.kind.as_deref(), residency, paging.skip(), paging.take())
        .await?;
    Ok(Json(paging.listed(rows, total)))
}

/// One entity: its state now or at a version, its timers, what it waits for.
#[utoipa::path(
    get, path = "/api/v1/system/actors/{kind}/{id}", tag = "system",
    params(("kind" = String, Path), ("id" = Uuid, Path), WantedState),
    responses((status = 200, body = shown::ActorState), Problem)
)]
async fn actor(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    At((kind, id)): At<(String, Uuid)>,
    Asked(wanted): Asked<WantedState>,
) -> Result<Json<ActorState>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = caller.tenant_named(&edge, wanted.tenant.as_deref())?;
    let kind = edge.engine.kind(&kind)?;
    check_readable(&edge, &caller, kind, id).await?;
    if wanted.version == Some(0) {
        return Err(Problem::invalid("version", "version is from 1; nothing is there before it."));
    }
    let found = edge.engine.actor(&tenant, kind, id, wanted.version).await?;
    found.map(Json).ok_or_else(|| Problem::unknown(kind))
}

/// That the caller may see what is inside: who reads only their own conversations does not read the others here.
pub(super) async fn check_readable(
    edge: &Edge,
    caller: &Caller,
    kind: &str,
    id: Uuid,
) -> Result<(), Problem> {
    match kind {
        Conversation::KIND => check_own(edge, caller, Action::Read, id).await,
        Customer::KIND => caller.must(Action::Read),
        Credential::KIND => caller.must(Action::ManageTokens),
        Reads::KIND | Operation::KIND => caller.must(Action::ReadAudit),
        Endpoint::KIND => caller.must(Action::ManageEndpoints),
        _ => Ok(()),
    }
}

/// Armed timers in the order in which they fire. Where there are more than are looked through for a page, `total` is no
/// more than what is known of them.
#[utoipa::path(
    get, path = "/api/v1/system/timers", tag = "system", params(WantedTimers, PagingParams),
    responses((status = 200, body = Listed<shown::Timer>), Problem)
)]
async fn timers(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<WantedTimers>,
    paging: Paging,
) -> Result<Json<Listed<TimerRow>>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = tenant_or_all(&edge, &caller, wanted.tenant.as_deref())?;
    if only("stuck", wanted.stuck)? {
        if wanted.before.is_some() {
            return Err(Problem::invalid("before", "before is not for stuck timers: all of them are told."));
        }
        return stuck_timers(&edge, tenant, paging).await;
    }
    let engine = edge.engine.clone();
    let looked_at = if tenant.is_some() { TIMERS_MAX } else { TIMERS_LOOKED_AT };
    let limit = paging.skip().saturating_add(paging.take()).max(looked_at);
    let rows = read(move || engine.timers(wanted.before, limit)).await?;
    let all = rows.len() < limit;
    let rows: Vec<_> = rows.into_iter().filter(|row| is_of(tenant.as_ref(), &row.tenant)).collect();
    let mut total = rows.len();
    if !all && wanted.before.is_none() {
        // Every entity that waits for one has one at least.
        let armed = edge.outstanding().await?.timers_of(tenant.as_ref()).armed;
        total = total.max(usize::try_from(armed).unwrap_or(usize::MAX));
    }
    let page = rows.into_iter().skip(paging.skip()).take(paging.take()).collect();
    Ok(Json(paging.listed(page, total)))
}

async fn stuck_timers(
    edge: &Arc<Edge>,
    tenant: Option<TenantId>,
    paging: Paging,
) -> Result<Json<Listed<TimerRow>>, Problem> {
    let (engine, of) = (edge.engine.clone(), tenant.clone());
    let page = move || engine.stuck_timers_page(of.as_ref(), paging.skip(), paging.take());
    let (rows, total) = read(page).await?;
    let total = match total {
        Some(total) => total,
        None => at_least(edge.outstanding().await?.timers_of(tenant.as_ref()).stuck, &paging, rows.len()),
    };
    Ok(Json(paging.listed(rows, total)))
}

/// A count that may be of a moment ago, and yet is no less than what was seen.
fn at_least(counted: u64, paging: &Paging, rows: usize) -> usize {
    usize::try_from(counted).unwrap_or(usize::MAX).max(paging.skip() + rows)
}

/// A filter that leaves out all others, or is not asked for.
fn only(name: &str, wanted: Option<bool>) -> Result<bool, Problem> {
    match wanted {
        Some(false) => Err(Problem::invalid(name, format!("{name} is true or absent."))),
        wanted => Ok(wanted.is_some()),
    }
}

/// Pending activities in the order in which they are tried.
#[utoipa::path(
    get, path = "/api/v1/system/activities", tag = "system", params(WantedActivities, PagingParams),
    responses((status = 200, body = Listed<shown::Activity>), Problem)
)]
async fn activities(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<WantedActivities>,
    paging: Paging,
) -> Result<Json<Listed<ActivityRow>>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = tenant_or_all(&edge, &caller, wanted.tenant.as_deref())?;
    let wanted = Wanted { tenant, lane: wanted.lane, failing: only("failing", wanted.failing)? };
    let (engine, of) = (edge.engine.clone(), wanted.clone());
    let page = move || engine.activities_page(&of, paging.skip(), paging.take());
    let (rows, total) = read(page).await?;
    let total = match total {
        Some(total) => total,
        None => at_least(edge.outstanding().await?.pending(&wanted), &paging, rows.len()),
    };
    Ok(Json(paging.listed(rows, total)))
}

/// How far to move the clock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClockAdvance)]
struct By {
    /// A duration such as `12h` or `90s`.
    by: String,
}

/// Where the clock stands.
#[derive(Serialize, Deserialize, ToSchema)]
struct Advanced {
    /// Engine time.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Moves a manual clock, stopping at every due moment on the way; answers when all has come to rest.
#[utoipa::path(
    post, path = "/api/v1/system/clock/advance", tag = "system", request_body = By,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Advanced), Problem)
)]
async fn advance(State(edge): State<Arc<Edge>>, change: Change<By>) -> Result<Json<Advanced>, Problem> {
    change.caller.must_operate()?;
    let by: Span = word("by", &change.body.by)?;
    let engine = edge.engine.clone();
    if engine.clock().mode() != ClockMode::Manual {
        return Err(Problem::with(Kind::Conflict, format!("{}.", AdvanceError::NotManual)));
    }
    // The act is recorded first, with where it leads: repeated under its key after an interruption, it goes on to the
    // same moment and no further.
    let to = Advanced { now: engine.now() + by };
    let command = operation::Command::Record {
        operation_id: OperationId(engine.mint()),
        action: "clock.advance".to_owned(),
        target: by.to_string(),
        reason: String::new(),
    };
    let meta = change.meta(&to)?;
    let receipt = engine.send::<Operation>(&change.caller.tenant, Uuid::nil(), command, meta).await?;
    let kept: Option<Advanced> = receipt.repeated.and_then(|kept| serde_json::from_str(&kept).ok());
    let left = kept.as_ref().map_or(by, |kept| kept.now.since(engine.now()));
    // On a task of its own: a caller who stops waiting does not leave the clock half-way.
    let advanced = tokio::spawn(async move { engine.advance(left).await }).await;
    let now = advanced.map_err(Problem::unreadable)?.map_err(|error| match error {
        AdvanceError::NotManual => Problem::with(Kind::Conflict, format!("{error}.")),
        AdvanceError::Unsettled { .. } => Problem::with(Kind::Unsettled, format!("{error}.")),
        AdvanceError::Store(detail) => Problem::unreadable(detail),
    })?;
    Ok(Json(kept.unwrap_or(Advanced { now })))
}

/// The tenant that is named, or none for all where an operator names none.
pub(super) fn tenant_or_all(
    edge: &Edge,
    caller: &Caller,
    named: Option<&str>,
) -> Result<Option<TenantId>, Problem> {
    match named {
        None if caller.operator => Ok(None),
        named => caller.tenant_named(edge, named).map(Some),
    }
}

fn is_of(tenant: Option<&TenantId>, name: &str) -> bool {
    tenant.is_none_or(|tenant| tenant.as_str() == name)
}

/// Reads the store where that holds up nobody.
pub(super) async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::unreadable)?.map_err(Problem::unreadable)
}
