//! Teams, as records.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use throughline_workflows::{
    agent::Agent,
    ids::{AgentId, TeamId},
    role::Action,
    team::{Command, Team, TeamPatch, TeamProfile},
    views::teams::{Filter, TeamRow, Teams},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed, Made},
        extract::{Asked, Id, Listed, Paging, PagingParams},
        problem::Problem,
    },
    present, shown,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, change))
}

/// A new team.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTeam {
    /// Its name, for example `engineering`.
    name: String,
    /// The team it is part of.
    parent_id: Option<Uuid>,
    /// Its agents.
    #[serde(default)]
    members: Vec<Uuid>,
    /// What its agents can do.
    #[serde(default)]
    skills: Vec<String>,
}

/// Changes to a team. What is absent stays; a list is replaced whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TeamChange {
    /// Its name.
    name: Option<String>,
    /// The team it becomes part of; `null` for none.
    #[serde(default, deserialize_with = "present_or_null")]
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<Option<Uuid>>,
    /// Its agents.
    members: Option<Vec<Uuid>>,
    /// What its agents can do.
    skills: Option<Vec<String>>,
}

/// Tells `null` from absent.
fn present_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Which teams are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Holds this text in name or skills.
    q: Option<String>,
}

/// Adds a team.
#[utoipa::path(
    post, path = "/api/v1/teams", tag = "teams", request_body = NewTeam,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Made>, headers(("Location" = String))), Problem)
)]
async fn create(State(edge): State<Arc<Edge>>, change: Change<NewTeam>) -> Result<Response, Problem> {
    change.caller.must(Action::EditStaff)?;
    let body = &change.body;
    let profile = TeamProfile {
        name: body.name.clone(),
        parent_id: parent(&edge, &change.caller, body.parent_id).await?,
        members: members(&edge, &change.caller, &body.members).await?,
        skills: body.skills.clone(),
    };
    let made = Made { id: edge.engine.mint() };
    let command = Command::Create { team_id: TeamId(made.id), profile };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Team>(&change.caller.tenant, made.id, command, meta).await?;
    Ok(Changed::new(made, receipt).created(|made| format!("/api/v1/teams/{}", made.id)))
}

/// Teams, the youngest record first.
#[utoipa::path(
    get, path = "/api/v1/teams", tag = "teams", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::Team>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Wanted { q }): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.may(Action::Read)?;
    let filter = Filter { q };
    let keep = move |row: &TeamRow| filter.matches(row);
    let page = edge.engine.views().page::<Teams>(&caller.tenant, paging.skip(), paging.take(), keep).await?;
    Ok(Json(paging.listed(page.items.iter().map(TeamRow::to_json).collect(), page.total)))
}

/// One team.
#[utoipa::path(
    get, path = "/api/v1/teams/{id}", tag = "teams", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::Team), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read)?;
    let row = present::<Teams>(&edge, &caller.tenant, id).await?;
    row.map(|row| Json(row.to_json())).ok_or_else(|| Problem::unknown("team"))
}

/// Changes a team.
#[utoipa::path(
    patch, path = "/api/v1/teams/{id}", tag = "teams", request_body = TeamChange,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn change(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<TeamChange>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::EditStaff)?;
    let body = &change.body;
    let members = match &body.members {
        Some(ids) => Some(members(&edge, &change.caller, ids).await?),
        None => None,
    };
    let patch = TeamPatch {
        name: body.name.clone(),
        parent_id: parent(&edge, &change.caller, body.parent_id.flatten()).await?,
        clear_parent: body.parent_id == Some(None),
        members,
        skills: body.skills.clone(),
    };
    let made = Made { id };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Team>(&change.caller.tenant, id, Command::Update(patch), meta).await?;
    Ok(Changed::new(made, receipt))
}

async fn parent(edge: &Edge, caller: &Caller, id: Option<Uuid>) -> Result<Option<TeamId>, Problem> {
    let Some(id) = id else { return Ok(None) };
    match edge.engine.state::<Team>(&caller.tenant, id).await.map_err(Problem::unreadable)? {
        Some(_) => Ok(Some(TeamId(id))),
        None => Err(Problem::invalid("parent_id", "There is no such team.")),
    }
}

async fn members(edge: &Edge, caller: &Caller, ids: &[Uuid]) -> Result<Vec<AgentId>, Problem> {
    let mut known = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let state = edge.engine.state::<Agent>(&caller.tenant, *id).await.map_err(Problem::unreadable)?;
        if state.is_none() {
            return Err(Problem::invalid(format!("members[{at}]"), "There is no such agent."));
        }
        if !known.contains(&AgentId(*id)) {
            known.push(AgentId(*id));
        }
    }
    Ok(known)
}
