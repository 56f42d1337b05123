//! Moving a conversation along: who has it, when it is looked at again, how it ends.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throughline_workflows::{
    agent::Agent,
    conversation::{Command, Conversation, Facts},
    ids::{AgentId, TeamId},
    role::Action,
    team::Team,
    time::Timestamp,
    words::{Outcome, Severity},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::{Caller, Reach},
        change::{Change, Changed, Made},
        extract::{Id, optional_word, word},
        problem::Problem,
    },
    check_length,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(assign))
        .routes(routes!(unassign))
        .routes(routes!(hand_off))
        .routes(routes!(snooze))
        .routes(routes!(tags))
        .routes(routes!(resolve))
        .routes(routes!(reopen))
        .routes(routes!(triage))
}

/// To whom; at least one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assignee {
    /// The agent.
    agent_id: Option<Uuid>,
    /// The team; alone, it takes the conversation from whoever had it.
    team_id: Option<Uuid>,
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Why a person is needed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// In a sentence or two.
    reason: Option<String>,
}

/// Until when.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Until {
    /// When it comes back into sight.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

/// Tags that come and go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TagChange {
    /// Tags to add.
    #[serde(default)]
    add: Vec<String>,
    /// Tags to take away.
    #[serde(default)]
    remove: Vec<String>,
}

/// How it ended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ending {
    /// What became of it, for example `answered` or `refund`.
    outcome: Option<String>,
    /// What was done, for colleagues.
    summary: Option<String>,
}

/// A person's correction.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Correction {
    /// How urgent it is, `P0` to `P3`.
    severity: String,
}

/// Gives it to an agent, a team, or an agent within a team. The status stays.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/assign", tag = "conversations", request_body = Assignee,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn assign(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Assignee>,
) -> Result<Changed<Made>, Problem> {
    let Assignee { agent_id, team_id } = change.body;
    let caller = &change.caller;
    if caller.may(Action::Assign)? == Reach::Own {
        // An agent gives away what is theirs, and takes what is nobody's.
        let facts = facts(&edge, caller, id).await?;
        let free = facts.assigned_agent.is_none() && facts.assigned_team.is_none();
        let takes = free && agent_id.is_some() && agent_id == caller.agent_id.map(|agent| agent.0);
        caller.must_with(
            Action::Assign,
            takes || caller.owns_conversation(facts.id, facts.assigned_agent, facts.assigned_team),
        )?;
    }
    if let Some(agent) = agent_id {
        let state = edge.engine.state::<Agent>(&caller.tenant, agent).await.map_err(Problem::unreadable)?;
        let active = state.is_some_and(|(state, _)| state.facts().is_some_and(|facts| facts.profile.active));
        if !active {
            return Err(Problem::invalid("agent_id", "There is no such active agent."));
        }
    }
    if let Some(team) = team_id
        && edge.engine.state::<Team>(&caller.tenant, team).await.map_err(Problem::unreadable)?.is_none()
    {
        return Err(Problem::invalid("team_id", "There is no such team."));
    }
    let command = Command::Assign { agent: agent_id.map(AgentId), team: team_id.map(TeamId) };
    send(&edge, &change, id, command).await
}

/// Takes it from whoever has it.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/unassign", tag = "conversations", request_body = Nothing,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn unassign(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Nothing>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::Assign, id).await?;
    send(&edge, &change, id, Command::Unassign).await
}

/// Calls for a person.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/hand-off", tag = "conversations", request_body = Reason,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn hand_off(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Reason>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::WorkConversation, id).await?;
    let reason = change.body.reason.clone();
    check_length("reason", reason.as_deref().unwrap_or_default())?;
    send(&edge, &change, id, Command::HandOff { reason }).await
}

/// Puts it out of sight until a given time, or until the customer writes.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/snooze", tag = "conversations", request_body = Until,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn snooze(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Until>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::WorkConversation, id).await?;
    send(&edge, &change, id, Command::Snooze { until: change.body.until }).await
}

/// Adds and takes away tags.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/tags", tag = "conversations", request_body = TagChange,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn tags(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<TagChange>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::WorkConversation, id).await?;
    let command = Command::Tag { add: change.body.add.clone(), remove: change.body.remove.clone() };
    send(&edge, &change, id, command).await
}

/// It is done.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/resolve", tag = "conversations", request_body = Ending,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn resolve(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Ending>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::WorkConversation, id).await?;
    let outcome: Option<Outcome> = optional_word("outcome", change.body.outcome.as_deref())?;
    let summary = change.body.summary.clone();
    check_length("summary", summary.as_deref().unwrap_or_default())?;
    send(&edge, &change, id, Command::Resolve { outcome, summary }).await
}

/// Opens a resolved conversation again.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/reopen", tag = "conversations", request_body = Nothing,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn reopen(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Nothing>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::WorkConversation, id).await?;
    send(&edge, &change, id, Command::Reopen).await
}

/// Says how urgent it is.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/triage", tag = "conversations", request_body = Correction,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn triage(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Correction>,
) -> Result<Changed<Made>, Problem> {
    check_own(&edge, &change.caller, Action::Override, id).await?;
    let severity: Severity = word("severity", &change.body.severity)?;
    send(&edge, &change, id, Command::SetPriority { severity }).await
}

async fn send<T>(
    edge: &Edge,
    change: &Change<T>,
    id: Uuid,
    command: Command,
) -> Result<Changed<Made>, Problem> {
    let made = Made { id };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Conversation>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// That the caller may do `action` with this conversation.
///
/// # Errors
/// 403 where they may not, 404 where the answer depends on a conversation that does not exist.
pub(super) async fn check_own(edge: &Edge, caller: &Caller, action: Action, id: Uuid) -> Result<(), Problem> {
    match caller.may(action)? {
        Reach::All => Ok(()),
        Reach::Team | Reach::Own => {
            let facts = facts(edge, caller, id).await?;
            let theirs = caller.owns_conversation(facts.id, facts.assigned_agent, facts.assigned_team);
            caller.must_with(action, theirs)
        }
    }
}

async fn facts(edge: &Edge, caller: &Caller, id: Uuid) -> Result<Facts, Problem> {
    let state = edge.engine.state::<Conversation>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let facts = state.as_ref().and_then(|(state, _)| state.facts()).cloned();
    facts.ok_or_else(|| Problem::unknown("conversation"))
}
