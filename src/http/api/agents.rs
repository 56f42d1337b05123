//! Agents, as records.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::Value;
use throughline_workflows::{
    agent::{Agent, AgentPatch, AgentProfile, AgentStatus, Command, Skill},
    ids::{AgentId, TeamId},
    role::Action,
    team::Team,
    views::agents::{AgentRow, Agents, Filter},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed, Made},
        extract::{Asked, Id, Listed, Paging, PagingParams, optional_word, word},
        problem::Problem,
    },
    present, shown,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change))
        .routes(routes!(set_status))
}

/// A new agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAgent {
    /// The name that customers see.
    name: String,
    /// Where the agent gets mail.
    email: Option<String>,
    /// `admin`, `supervisor`, `agent`, `engineer` or `api`; `agent` where it is absent.
    role: Option<String>,
    /// What the agent can do.
    #[serde(default)]
    skills: Vec<SkillGiven>,
    /// The teams the agent belongs to.
    #[serde(default)]
    team_ids: Vec<Uuid>,
    /// `available`, `busy`, `away` or `offline`; `offline` where it is absent.
    status: Option<String>,
    /// The most conversations at once; 5 where it is absent.
    capacity: Option<u32>,
    /// Whether the agent works with us; true where it is absent.
    active: Option<bool>,
}

/// Changes to an agent. What is absent stays; a list is replaced whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentChange {
    /// The name that customers see.
    name: Option<String>,
    /// Where the agent gets mail; an empty text takes it away.
    email: Option<String>,
    /// `admin`, `supervisor`, `agent`, `engineer` or `api`.
    role: Option<String>,
    /// What the agent can do.
    skills: Option<Vec<SkillGiven>>,
    /// The teams the agent belongs to.
    team_ids: Option<Vec<Uuid>>,
    /// `available`, `busy`, `away` or `offline`.
    status: Option<String>,
    /// The most conversations at once.
    capacity: Option<u32>,
    /// Whether the agent works with us.
    active: Option<bool>,
}

/// Something an agent can do.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SkillGiven {
    /// Its name, for example `billing`.
    name: String,
    /// How well, from 1 to 5.
    level: u8,
}

/// Whether an agent takes work.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Presence {
    /// `available`, `busy`, `away` or `offline`.
    status: String,
}

/// Which agents are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Belongs to this team.
    team_id: Option<Uuid>,
    /// Has this status.
    status: Option<String>,
    /// Works with us, or does not.
    active: Option<bool>,
    /// Holds this text in name, mail address or skills.
    q: Option<String>,
}

/// Adds an agent.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents", request_body = NewAgent,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Made>, headers(("Location" = String))), Problem)
)]
async fn create(State(edge): State<Arc<Edge>>, change: Change<NewAgent>) -> Result<Response, Problem> {
    change.caller.must(Action::EditStaff)?;
    let body = &change.body;
    let ordinary = AgentProfile::new(body.name.clone());
    let profile = AgentProfile {
        email: body.email.clone(),
        role: optional_word("role", body.role.as_deref())?.unwrap_or(ordinary.role),
        skills: skills(&body.skills),
        team_ids: teams(&edge, &change.caller, &body.team_ids).await?,
        status: optional_word("status", body.status.as_deref())?.unwrap_or(ordinary.status),
        capacity: body.capacity.unwrap_or(ordinary.capacity),
        active: body.active.unwrap_or(true),
        ..ordinary
    };
    let made = Made { id: edge.engine.mint() };
    let command = Command::Create { agent_id: AgentId(made.id), profile: Box::new(profile) };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Agent>(&change.caller.tenant, made.id, command, meta).await?;
    Ok(Changed::new(made, receipt).created(|made| format!("/api/v1/agents/{}", made.id)))
}

/// Agents, the youngest record first.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::Agent>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.may(Action::Read)?;
    let filter = Filter {
        team_id: wanted.team_id.map(TeamId),
        status: optional_word("status", wanted.status.as_deref())?,
        active: wanted.active,
        q: wanted.q,
    };
    let keep = move |row: &AgentRow| filter.matches(row);
    let page = edge.engine.views().page::<Agents>(&caller.tenant, paging.skip(), paging.take(), keep).await?;
    Ok(Json(paging.listed(page.items.iter().map(AgentRow::to_json).collect(), page.total)))
}

/// One agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::Agent), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read)?;
    let row = present::<Agents>(&edge, &caller.tenant, id).await?;
    row.map(|row| Json(row.to_json())).ok_or_else(|| Problem::unknown("agent"))
}

/// Changes an agent.
#[utoipa::path(
    patch, path = "/api/v1/agents/{id}", tag = "agents", request_body = AgentChange,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn change(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<AgentChange>,
) -> Result<Changed<Made>, Problem> {
    // Role, teams and capacity are not for an agent to set, not even their own.
    change.caller.must(Action::EditStaff)?;
    let body = &change.body;
    let team_ids = match &body.team_ids {
        Some(ids) => Some(teams(&edge, &change.caller, ids).await?),
        None => None,
    };
    let patch = AgentPatch {
        name: body.name.clone(),
        email: body.email.clone(),
        role: optional_word("role", body.role.as_deref())?,
        skills: body.skills.as_deref().map(skills),
        team_ids,
        status: optional_word("status", body.status.as_deref())?,
        capacity: body.capacity,
        active: body.active,
    };
    update(&edge, &change, id, patch).await
}

/// Says whether an agent takes work. An agent may say so of themselves.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/status", tag = "agents", request_body = Presence,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn set_status(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Presence>,
) -> Result<Changed<Made>, Problem> {
    let caller = &change.caller;
    caller.must_with(Action::EditStaff, caller.agent_id == Some(AgentId(id)))?;
    let status: AgentStatus = word("status", &change.body.status)?;
    update(&edge, &change, id, AgentPatch { status: Some(status), ..AgentPatch::default() }).await
}

async fn update<T>(
    edge: &Edge,
    change: &Change<T>,
    id: Uuid,
    patch: AgentPatch,
) -> Result<Changed<Made>, Problem> {
    let made = Made { id };
    let meta = change.meta(&made)?;
    let command = Command::Update(Box::new(patch));
    let receipt = edge.engine.send::<Agent>(&change.caller.tenant, id, command, meta).await?;
    // Tokens know their agent's name, teams and whether they still work here.
    edge.remembered.clear();
    Ok(Changed::new(made, receipt))
}

fn skills(given: &[SkillGiven]) -> Vec<Skill> {
    given.iter().map(|skill| Skill { name: skill.name.clone(), level: skill.level }).collect()
}

async fn teams(edge: &Edge, caller: &Caller, ids: &[Uuid]) -> Result<Vec<TeamId>, Problem> {
    let mut known = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let state = edge.engine.state::<Team>(&caller.tenant, *id).await.map_err(Problem::unreadable)?;
        if state.is_none() {
            return Err(Problem::invalid(format!("team_ids[{at}]"), "There is no such team."));
        }
        if !known.contains(&TeamId(*id)) {
            known.push(TeamId(*id));
        }
    }
    Ok(known)
}
