//! Tenants: those that the configuration names, and those that were added while the server ran.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use throughline_workflows::{
    directory::{Command, Directory},
    ids::{OperationId, TenantId},
    role::Action,
    time::Timestamp,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::super::{
    Edge,
    auth::Caller,
    change::{Change, Changed},
    extract::{Listed, Paging, PagingParams, word},
    problem::{Kind, Problem},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(create, list))
}

/// A new tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// Its name in paths, tokens and keys: 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit.
    name: String,
    /// The name customers know it by; that of the tenant where it is absent.
    title: Option<String>,
}

/// A tenant that was added.
#[derive(Serialize, Deserialize, ToSchema)]
struct TenantMade {
    /// Its name.
    name: String,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
struct Tenant {
    /// Its name in paths, tokens and keys.
    name: String,
    /// The name customers know it by.
    title: String,
    /// `configuration`, or `api` for one that was added while the server ran.
    source: &'static str,
    /// When it was added.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    added_at: Option<Timestamp>,
    /// The version of its policy.
    policy_version: u64,
}

/// Adds a tenant. It works at once, with the common settings and channels; its webhooks are under
/// `/t/NAME/api/webhooks`. One that exists is answered 409.
#[utoipa::path(
    post, path = "/api/v1/tenants", tag = "tenants", request_body = NewTenant,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<TenantMade>, headers(("Location" = String))), Problem)
)]
async fn create(State(edge): State<Arc<Edge>>, change: Change<NewTenant>) -> Result<Response, Problem> {
    let caller = &change.caller;
    caller.must(Action::ManageTenants)?;
    caller.must_operate()?;
    let NewTenant { name, title } = &change.body;
    let tenant: TenantId = word("name", name)?;
    let listed = in_directory(&edge).await?;
    if edge.has_tenant(&tenant) && !listed.iter().any(|(name, ..)| *name == tenant) {
        return Err(
            Problem::with(Kind::Conflict, format!("The configuration has a tenant {tenant}.")).field("name")
        );
    }
    let command = Command::Add {
        operation_id: OperationId(edge.engine.mint()),
        tenant: tenant.clone(),
        title: title.clone(),
    };
    let made = TenantMade { name: tenant.to_string() };
    let meta = change.meta(&made)?;
    let home = TenantId::default_tenant();
    let receipt = edge.engine.send::<Directory>(&home, Uuid::nil(), command, meta).await?;
    // On a task of its own: a caller who stops waiting does not leave a tenant half taken in until the next start.
    let taken_in = tokio::spawn({
        let (edge, title) = (edge.clone(), title.clone());
        async move { edge.take_in(&tenant, title.as_deref()).await }
    });
    taken_in.await.map_err(Problem::unreadable)?.map_err(Problem::unreadable)?;
    Ok(Changed::new(made, receipt).created(|_| "/api/v1/tenants".to_owned()))
}

/// All tenants, by name.
#[utoipa::path(
    get, path = "/api/v1/tenants", tag = "tenants", params(PagingParams),
    responses((status = 200, body = Listed<Tenant>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<Listed<Tenant>>, Problem> {
    caller.must(Action::ManageTenants)?;
    caller.must_operate()?;
    let listed = in_directory(&edge).await?;
    let tenants = edge.engine.tenants().into_iter().filter_map(|name| {
        let policies = edge.engine.policies(&name)?;
        let added_at = listed.iter().find(|(listed, _)| *listed == name).map(|(_, at)| *at);
        Some(Tenant {
            name: name.to_string(),
            title: policies.in_force().name.clone(),
            source: if added_at.is_some() { "api" } else { "configuration" },
            added_at,
            policy_version: policies.in_force().version,
        })
    });
    Ok(Json(paging.cut(tenants.collect())))
}

/// The tenants that were added while a server ran, and when.
async fn in_directory(edge: &Edge) -> Result<Vec<(TenantId, Timestamp)>, Problem> {
    let home = TenantId::default_tenant();
    let state = edge.engine.state::<Directory>(&home, Uuid::nil()).await.map_err(Problem::unreadable)?;
    let (state, _) = state.unwrap_or_default();
    Ok(state.tenants().map(|(name, listed)| (name.clone(), listed.added_at)).collect())
}
