//! What operators do to the running system: one entity paused, taken out of memory or compared with its journal, one
//! activity tried at once or given up.
//!
//! Each act demands a reason and is recorded with it, under the entity's tenant.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use throughline_actors::{
    introspect::ActorState,
    order::CommandMeta,
    replay::{ReplayRun, Replayed},
};
use throughline_workflows::{ids::TenantId, time::Timestamp};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed},
        extract::{Asked, At},
        problem::Problem,
    },
    dead_letters::{Why, check_reason},
    shown,
    system::Whose,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(passivate))
        .routes(routes!(replay))
        .routes(routes!(replay_all, replay_run))
        .routes(routes!(retry_now))
        .routes(routes!(skip))
}

/// The entity that was acted upon, and what of it waits for a moment or for the world.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ActedOn {
    /// Its kind.
    kind: String,
    /// Which one.
    id: Uuid,
    /// The timers that are armed. While it is paused none of them fires: a promise among them is not kept.
    timers: Vec<Waiting>,
    /// How much it asked of the world that is not done.
    pending_activities: usize,
}

/// A timer that is armed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Waiting {
    /// Its name.
    name: String,
    /// When it is due.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    /// Which rule asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

impl From<ActorState> for ActedOn {
    fn from(state: ActorState) -> Self {
        let waiting = |timer: throughline_actors::introspect::ArmedTimer| Waiting {
            name: timer.name,
            due_at: timer.due_at,
            rule: timer.rule,
        };
        let mut timers: Vec<_> = state.timers.into_iter().map(waiting).collect();
        timers.sort_by_key(|timer| timer.due_at);
        Self { kind: state.kind, id: state.id, timers, pending_activities: state.pending_activities.len() }
    }
}

/// The activity that was acted upon.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Activity {
    /// Its id, `ENTITY.VERSION.INDEX`.
    id: String,
}

/// Which entities are compared.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Compared {
    /// Of this kind only, for example `conversation`.
    kind: Option<String>,
    /// Of this tenant only.
    tenant: Option<String>,
}

/// Pauses an entity. Until it is resumed no timer fires on it, nothing that it asked for is begun, and messages for it
/// wait in the inbox; what people and programs ask of it is done. Its clocks run on: what is promised meanwhile is late.
#[utoipa::path(
    post, path = "/api/v1/system/actors/{kind}/{id}/pause", tag = "system", request_body = Why,
    params(("kind" = String, Path), ("id" = Uuid, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<ActedOn>), Problem)
)]
async fn pause(
    State(edge): State<Arc<Edge>>,
    At((kind, id)): At<(String, Uuid)>,
    Asked(whose): Asked<Whose>,
    change: Change<Why>,
) -> Result<Changed<ActedOn>, Problem> {
    let target = Target::of(&edge, &change, &whose, &kind, id)?;
    let (answer, reason, meta) = target.act(&edge, &change).await?;
    Ok(Changed::new(answer, edge.engine.pause(&target.tenant, target.kind, id, reason, meta).await?))
}

/// Lets a paused entity go on. What fell due meanwhile happens at once, in the order in which it was due.
#[utoipa::path(
    post, path = "/api/v1/system/actors/{kind}/{id}/resume", tag = "system", request_body = Why,
    params(("kind" = String, Path), ("id" = Uuid, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<ActedOn>), Problem)
)]
async fn resume(
    State(edge): State<Arc<Edge>>,
    At((kind, id)): At<(String, Uuid)>,
    Asked(whose): Asked<Whose>,
    change: Change<Why>,
) -> Result<Changed<ActedOn>, Problem> {
    let target = Target::of(&edge, &change, &whose, &kind, id)?;
    let (answer, reason, meta) = target.act(&edge, &change).await?;
    Ok(Changed::new(answer, edge.engine.resume(&target.tenant, target.kind, id, reason, meta).await?))
}

/// Takes an entity out of memory once it has finished what it does. It is read back from its journal at the next
/// command, so nothing is lost.
#[utoipa::path(
    post, path = "/api/v1/system/actors/{kind}/{id}/passivate", tag = "system", request_body = Why,
    params(("kind" = String, Path), ("id" = Uuid, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<ActedOn>), Problem)
)]
async fn passivate(
    State(edge): State<Arc<Edge>>,
    At((kind, id)): At<(String, Uuid)>,
    Asked(whose): Asked<Whose>,
    change: Change<Why>,
) -> Result<Changed<ActedOn>, Problem> {
    let target = Target::of(&edge, &change, &whose, &kind, id)?;
    let (answer, reason, meta) = target.act(&edge, &change).await?;
    Ok(Changed::new(answer, edge.engine.passivate(&target.tenant, target.kind, id, reason, meta).await?))
}

/// Rebuilds an entity from its journal alone and compares what is kept beside it: its snapshot, what is in memory, its
/// timers. A difference is a mistake of the software or damage to the store, and says where it is.
#[utoipa::path(
    post, path = "/api/v1/system/actors/{kind}/{id}/replay", tag = "system", request_body = Why,
    params(("kind" = String, Path), ("id" = Uuid, Path), Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = shown::Replayed), Problem)
)]
async fn replay(
    State(edge): State<Arc<Edge>>,
    At((kind, id)): At<(String, Uuid)>,
    Asked(whose): Asked<Whose>,
    change: Change<Why>,
) -> Result<Json<Replayed>, Problem> {
    let target = Target::of(&edge, &change, &whose, &kind, id)?;
    let (meta, reason) = (change.meta(&id)?, change.body.reason.clone());
    let (_, replayed) = edge.engine.replay(&target.tenant, target.kind, id, reason, meta).await?;
    Ok(Json(replayed))
}

/// Begins to compare every entity with its journal, as for one. `GET` says how far it is.
#[utoipa::path(
    post, path = "/api/v1/system/replay", tag = "system", request_body = Why,
    params(Compared, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = shown::ReplayRun), Problem)
)]
async fn replay_all(
    State(edge): State<Arc<Edge>>,
    Asked(Compared { kind, tenant }): Asked<Compared>,
    change: Change<Why>,
) -> Result<Json<ReplayRun>, Problem> {
    change.caller.must_operate()?;
    check_reason(&change.body.reason)?;
    let kind = kind.map(|kind| edge.engine.kind(&kind)).transpose()?;
    let tenant = tenant.map(|tenant| change.caller.tenant_named(&edge, Some(&tenant))).transpose()?;
    let (meta, reason) = (change.meta(&())?, change.body.reason.clone());
    edge.engine.replay_all(tenant.as_ref(), kind, reason, &change.caller.tenant, meta).await?;
    Ok(Json(edge.engine.replay_run().unwrap_or_default()))
}

/// The comparison of all entities that was begun last since the start, as far as it is.
#[utoipa::path(
    get, path = "/api/v1/system/replay", tag = "system",
    responses((status = 200, body = shown::ReplayRun), Problem)
)]
async fn replay_run(State(edge): State<Arc<Edge>>, caller: Caller) -> Result<Json<ReplayRun>, Problem> {
    caller.must_operate()?;
    edge.engine.replay_run().map(Json).ok_or_else(|| Problem::unknown("comparison since the start"))
}

/// Has a pending activity tried at once, whatever it was to wait for. Its count of tries stays.
#[utoipa::path(
    post, path = "/api/v1/system/activities/{id}/retry-now", tag = "system", request_body = Why,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Activity>), Problem)
)]
async fn retry_now(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Why>,
) -> Result<Changed<Activity>, Problem> {
    let (answer, reason, meta) = act_on_activity(id, &change)?;
    let receipt = edge.engine.retry_now(None, &answer.id, reason, meta).await?;
    Ok(Changed::new(answer, receipt))
}

/// Gives a pending activity up now: its entity hears that it failed, what waits behind it goes on, and what it would
/// have asked of the world is kept as a dead letter.
#[utoipa::path(
    post, path = "/api/v1/system/activities/{id}/skip", tag = "system", request_body = Why,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Activity>), Problem)
)]
async fn skip(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Why>,
) -> Result<Changed<Activity>, Problem> {
    let (answer, reason, meta) = act_on_activity(id, &change)?;
    let receipt = edge.engine.skip(None, &answer.id, reason, meta).await?;
    Ok(Changed::new(answer, receipt))
}

/// The entity that an operator names.
struct Target {
    tenant: TenantId,
    kind: &'static str,
    id: Uuid,
}

impl Target {
    /// The entity, where the caller may act upon it and says why.
    fn of(edge: &Edge, change: &Change<Why>, whose: &Whose, kind: &str, id: Uuid) -> Result<Self, Problem> {
        change.caller.must_operate()?;
        check_reason(&change.body.reason)?;
        let tenant = change.caller.tenant_named(edge, whose.tenant.as_deref())?;
        Ok(Self { tenant, kind: edge.engine.kind(kind)?, id })
    }

    /// What an act upon the entity answers, why it is done, and what is recorded beside it.
    async fn act(
        &self,
        edge: &Edge,
        change: &Change<Why>,
    ) -> Result<(ActedOn, String, CommandMeta), Problem> {
        let found = edge.engine.actor(&self.tenant, self.kind, self.id, None).await?;
        let answer = found.map(ActedOn::from).ok_or_else(|| Problem::unknown(self.kind))?;
        let meta = change.meta(&answer)?;
        Ok((answer, change.body.reason.clone(), meta))
    }
}

/// The same of an act upon an activity, where the caller may act upon it and says why.
fn act_on_activity(id: String, change: &Change<Why>) -> Result<(Activity, String, CommandMeta), Problem> {
    change.caller.must_operate()?;
    check_reason(&change.body.reason)?;
    let answer = Activity { id };
    let meta = change.meta(&answer)?;
    Ok((answer, change.body.reason.clone(), meta))
}
