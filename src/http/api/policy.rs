//! A tenant's settings: shown, changed by merge patch, and every version with who made it.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_workflows::{
    ids::TenantId,
    policy_book::{self, Event, PolicyBook},
    role::Action,
    time::Timestamp,
    workflow::By,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed},
        extract::{Asked, Listed, Paging, PagingParams},
        problem::Problem,
    },
    check_length, known_of, shown,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(show, change)).routes(routes!(versions))
}

/// Whose settings.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// The tenant; the caller's where it is absent. Another is for operators to name.
    pub(super) tenant: Option<String>,
}

/// The settings in force.
#[derive(Serialize, ToSchema)]
struct Policy {
    /// Which version, from 1.
    version: u64,
    /// Since when it is in force.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// All settings, under the keys of the configuration.
    #[schema(value_type = Object)]
    settings: Value,
    /// The keys that the configuration sets, with dots: they are changed there.
    owned: Vec<String>,
    /// What was set here. What the configuration has set since sleeps until it is taken out there.
    #[schema(value_type = Object)]
    edits: Value,
}

/// One version of the settings.
#[derive(Serialize, ToSchema)]
struct Version {
    /// Which one, from 1.
    version: u64,
    /// Since when it is in force.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who made it.
    #[schema(value_type = shown::By)]
    #[serde(serialize_with = "known_of")]
    by: By,
    /// `configuration` or `api`.
    source: &'static str,
    /// The keys whose values are others than before, with dots.
    changed: Vec<String>,
}

/// A change of the settings, as a JSON merge patch (RFC 7396) of `settings`.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object, example = json!({ "updates": { "interval": "6h", "margin": null } }))]
struct Patch(Value);

/// That it is done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PolicyChanged {}

/// The settings in force, which version they are, and which keys the configuration sets.
#[utoipa::path(
    get, path = "/api/v1/policy", tag = "policy", params(Whose), responses((status = 200, body = Policy), Problem)
)]
async fn show(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Whose { tenant }): Asked<Whose>,
) -> Result<Json<Policy>, Problem> {
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let (state, owned) = in_force(&edge, &tenant).await?;
    Ok(Json(Policy {
        version: state.version(),
        since: state.since(),
        settings: serde_json::from_str(state.settings()).map_err(Problem::unreadable)?,
        owned,
        edits: serde_json::from_str(state.edits()).map_err(Problem::unreadable)?,
    }))
}

/// Changes settings. `null` takes away what was set here, so that the configuration's or the built-in value holds again.
/// The change is in force at once, and reaches the clocks that run one after the other.
#[utoipa::path(
    patch, path = "/api/v1/policy", tag = "policy", request_body = Patch,
    params(Whose, ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<PolicyChanged>), Problem)
)]
async fn change(
    State(edge): State<Arc<Edge>>,
    Asked(Whose { tenant }): Asked<Whose>,
    change: Change<Patch>,
) -> Result<Changed<PolicyChanged>, Problem> {
    change.caller.must(Action::EditPolicy)?;
    let tenant = change.caller.tenant_named(&edge, tenant.as_deref())?;
    let patch = change.body.0.clone();
    apply(&edge, &tenant, &change, patch).await
}

/// Every version of the settings, the newest first.
#[utoipa::path(
    get, path = "/api/v1/policy/versions", tag = "policy", params(Whose, PagingParams),
    responses((status = 200, body = Listed<Version>), Problem)
)]
async fn versions(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Whose { tenant }): Asked<Whose>,
    paging: Paging,
) -> Result<Json<Listed<Version>>, Problem> {
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let events = edge.engine.events::<PolicyBook>(&tenant, Uuid::nil()).await.map_err(Problem::unreadable)?;
    let versions = events.into_iter().rev().map(|recorded| {
        let Event::PolicyChanged { at, version, changed, source, .. } = recorded.event;
        Version { version, at, by: recorded.by, source: source.as_str(), changed }
    });
    Ok(Json(paging.cut(versions.collect())))
}

/// The policy in force of a tenant, and the keys that its configuration sets.
pub(super) async fn in_force(
    edge: &Edge,
    tenant: &TenantId,
) -> Result<(policy_book::State, Vec<String>), Problem> {
    let state = edge.engine.state::<PolicyBook>(tenant, Uuid::nil()).await.map_err(Problem::unreadable)?;
    let (state, _) = state.ok_or_else(|| Problem::unknown("tenant"))?;
    let owned = edge.engine.policy_file(tenant).map(|file| file.owned.clone()).unwrap_or_default();
    Ok((state, owned))
}

/// Changes a tenant's settings by `patch`.
pub(super) async fn apply<T>(
    edge: &Edge,
    tenant: &TenantId,
    change: &Change<T>,
    patch: Value,
) -> Result<Changed<PolicyChanged>, Problem> {
    let patch = patch.to_string();
    check_length("body", &patch)?;
    let meta = change.meta(&PolicyChanged {})?;
    let receipt = edge.engine.change_policy(tenant, patch, meta).await?;
    Ok(Changed::new(PolicyChanged {}, receipt))
}
