//! Tokens: made with a secret that is shown once, listed without it, revoked at once.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_workflows::{
    agent::Agent,
    credential::{Command, Credential, CredentialKind},
    ids::{AgentId, TenantId, TokenId},
    role::{Action, Role},
    time::Timestamp,
    views::credentials::Credentials,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::{Caller, hash, new_token},
        change::{Change, Changed, Made},
        extract::{Asked, Id, Listed, Paging, PagingParams, word},
        problem::{Kind, Problem},
    },
    shown,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What its bearer may do: `admin`, `supervisor`, `agent`, `engineer` or `api`.
    role: String,
    /// Whose data it opens; the caller's tenant where it is absent. Another is for operators to name.
    tenant: Option<String>,
    /// What to call it in lists.
    name: Option<String>,
    /// The agent who bears it.
    agent_id: Option<Uuid>,
    /// From when on it opens nothing; never where it is absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token that was made.
#[derive(Serialize, Deserialize, ToSchema)]
struct TokenMade {
    /// Its id.
    id: Uuid,
    /// Whose data it opens.
    tenant: String,
    /// What its bearer may do.
    role: String,
    /// The token itself. It is not kept: an answer that is repeated for an `Idempotency-Key` comes without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Which tokens are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of this tenant; operators see those of all tenants where it is absent.
    tenant: Option<String>,
}

/// Makes a token. Its secret is shown in this answer and never again.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<TokenMade>, headers(("Location" = String))), Problem)
)]
async fn create(State(edge): State<Arc<Edge>>, change: Change<NewToken>) -> Result<Response, Problem> {
    let caller = &change.caller;
    caller.must(Action::ManageTokens)?;
    let NewToken { role, tenant, name, agent_id, expires_at } = &change.body;
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let role: Role = word("role", role)?;
    if let Some(agent) = agent_id {
        let state = edge.engine.state::<Agent>(&tenant, *agent).await.map_err(Problem::unreadable)?;
        if state.is_none() {
            return Err(Problem::invalid("agent_id", "There is no such agent."));
        }
    }
    let token = new_token(&edge.engine, &tenant);
    let is_operator = role == Role::Admin && tenant == TenantId::default_tenant();
    let mut made = TokenMade {
        id: edge.engine.mint(),
        tenant: tenant.to_string(),
        role: role.to_string(),
        secret: None,
    };
    let command = Command::Create {
        token_id: TokenId(made.id),
        role,
        kind: if is_operator { CredentialKind::Operator } else { CredentialKind::Token },
        name: name.clone().unwrap_or_else(|| format!("{role} token")),
        agent_id: agent_id.map(AgentId),
        expires_at: *expires_at,
        secret_hash: hash(&token),
    };
    // What is kept for a repetition is without the secret: only its hash is ever stored.
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Credential>(&tenant, made.id, command, meta).await?;
    made.secret = Some(token);
    Ok(Changed::new(made, receipt).created(|made| format!("/api/v1/tokens/{}", made.id)))
}

/// Tokens, the youngest first, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::Token>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Wanted { tenant }): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::ManageTokens)?;
    let tenants = match tenant {
        None if caller.operator => edge.engine.tenants(),
        named => vec![caller.tenant_named(&edge, named.as_deref())?],
    };
    let mut tokens = Vec::new();
    for tenant in tenants {
        let page = edge.engine.views().page::<Credentials>(&tenant, 0, usize::MAX, |_| true).await?;
        tokens.extend(page.items.iter().map(|row| {
            let mut token = row.to_json();
            if let Value::Object(fields) = &mut token {
                fields.insert("tenant".to_owned(), Value::String(tenant.to_string()));
            }
            token
        }));
    }
    Ok(Json(paging.cut(tokens)))
}

/// Takes a token away at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn revoke(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<NoFields>,
) -> Result<Changed<Made>, Problem> {
    let caller = &change.caller;
    caller.must(Action::ManageTokens)?;
    if caller.operator && caller.token_id == TokenId(id) {
        let detail =
            "An operator's token does not revoke itself, so that nobody is locked out; use another one.";
        return Err(Problem::with(Kind::Conflict, detail));
    }
    let tenant = tenant_of(&edge, caller, id).await?;
    let made = Made { id };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Credential>(&tenant, id, Command::Revoke, meta).await?;
    edge.remembered.clear();
    Ok(Changed::new(made, receipt))
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoFields {}

/// The tenant whose token this is; operators reach all.
async fn tenant_of(edge: &Edge, caller: &Caller, id: Uuid) -> Result<TenantId, Problem> {
    let tenants = edge.engine.tenants();
    for tenant in tenants.into_iter().filter(|tenant| caller.operator || *tenant == caller.tenant) {
        let state = edge.engine.state::<Credential>(&tenant, id).await.map_err(Problem::unreadable)?;
        if state.is_some() {
            return Ok(tenant);
        }
    }
    Err(Problem::unknown("token"))
}
