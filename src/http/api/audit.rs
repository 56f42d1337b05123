//! The audit: who did what to the system, and who read personal data.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use throughline_workflows::{
    access::{self, Reads, day_of},
    directory::{self, Directory},
    ids::{TeamId, TenantId},
    operation::{self, Operation},
    policy_book::{self, PolicyBook},
    role::Action,
    team::Team,
    time::{Span, Timestamp},
    workflow::{By, Cause},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::{Caller, Reach},
        extract::{Asked, Listed, Paging, PagingParams},
        problem::Problem,
    },
    known_of, shown,
};

/// What is looked back at where nothing is said.
const LOOK_BACK: Span = Span::from_hours(7 * 24);
/// What is looked through at once.
const RANGE_MAX: Span = Span::from_hours(31 * 24);

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which acts are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Not before this time; seven days before `to` where it is absent, and at most 31.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this time; until now where it is absent.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// By this agent or token.
    by: Option<Uuid>,
    /// About this: a conversation, a customer, a dead letter.
    subject: Option<String>,
    /// The tenant; the caller's where it is absent. Another is for operators to name.
    tenant: Option<String>,
}

/// One act.
#[derive(Serialize, ToSchema)]
struct Act {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `operation` for what somebody did, `access` for what somebody read.
    kind: &'static str,
    /// What was done, for example `dead_letter.retry`; of what was read `read` or `refused`.
    action: String,
    /// Who.
    #[schema(value_type = shown::By)]
    #[serde(serialize_with = "known_of")]
    by: By,
    /// With which token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Uuid>,
    /// In which role.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// The kind of thing that was read, for example `conversation`; of a list `conversations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    noun: Option<String>,
    /// What it was about: an id, or what was done it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The path that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Why, in the words of whoever did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whose acts a caller may see.
enum Theirs {
    All,
    Of(BTreeSet<Uuid>),
}

/// Who did and who read what, the newest first. The same reader of the same thing within a minute counts once.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<Act>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Act>>, Problem> {
    let theirs = theirs(&edge, &caller).await?;
    let tenant = caller.tenant_named(&edge, wanted.tenant.as_deref())?;
    let to = wanted.to.unwrap_or_else(|| edge.engine.now() + Span::from_millis(1));
    let from = wanted.from.unwrap_or(to - LOOK_BACK);
    if from >= to {
        return Err(Problem::invalid("from", "from is earlier than to."));
    }
    if to.since(from) > RANGE_MAX {
        return Err(Problem::invalid("from", "At most 31 days are looked through at once."));
    }
    let mut acts = changes(&edge, &tenant).await?;
    acts.extend(accesses(&edge, &tenant, from, to).await?);
    acts.extend(operations(&edge, &tenant).await?);
    let is_by = |act: &Act, id: Uuid| act.by.id == Some(id) || act.token_id == Some(id);
    acts.retain(|act| {
        let within = from <= act.at && act.at < to;
        let visible = match &theirs {
            Theirs::All => true,
            Theirs::Of(ids) => [act.by.id, act.token_id].iter().flatten().any(|id| ids.contains(id)),
        };
        let by = wanted.by.is_none_or(|id| is_by(act, id));
        within
            && visible
            && by
            && wanted.subject.as_ref().is_none_or(|subject| act.subject.as_ref() == Some(subject))
    });
    // Each list is in order; of one moment the later act comes first.
    acts.sort_by_key(|act| act.at);
    acts.reverse();
    Ok(Json(paging.cut(acts)))
}

/// Whose acts the caller may see: everybody's, those of their teams, or their own.
async fn theirs(edge: &Edge, caller: &Caller) -> Result<Theirs, Problem> {
    let own = caller.agent_id.map(|agent| agent.0).into_iter().chain([caller.token_id.0]);
    let mut ids: BTreeSet<Uuid> = own.collect();
    match caller.may(Action::ReadAudit)? {
        Reach::All => return Ok(Theirs::All),
        Reach::Own => {}
        Reach::Team => {
            for TeamId(team) in &caller.teams {
                let state =
                    edge.engine.state::<Team>(&caller.tenant, *team).await.map_err(Problem::unreadable)?;
                let facts = state.as_ref().and_then(|(state, _)| state.facts());
                ids.extend(facts.into_iter().flat_map(|facts| &facts.profile.members).map(|member| member.0));
            }
        }
    }
    Ok(Theirs::Of(ids))
}

/// Changes of the settings, and in the tenant `default` tenants that were added.
async fn changes(edge: &Edge, tenant: &TenantId) -> Result<Vec<Act>, Problem> {
    let read = Problem::unreadable;
    let policies = edge.engine.events::<PolicyBook>(tenant, Uuid::nil()).await.map_err(read)?;
    let mut acts: Vec<Act> = policies
        .into_iter()
        .map(|recorded| {
            let policy_book::Event::PolicyChanged { version, .. } = recorded.event;
            Act::done(
                "policy.change",
                format!("version {version}"),
                recorded.at,
                recorded.by,
                &recorded.cause,
            )
        })
        .collect();
    if *tenant == TenantId::default_tenant() {
        let tenants = edge.engine.events::<Directory>(tenant, Uuid::nil()).await.map_err(read)?;
        acts.extend(tenants.into_iter().map(|recorded| {
            let directory::Event::TenantAdded { tenant, .. } = recorded.event;
            Act::done("tenant.add", tenant.to_string(), recorded.at, recorded.by, &recorded.cause)
        }));
    }
    acts.sort_by_key(|act| act.at);
    Ok(acts)
}

impl Act {
    /// Something that was done to `target`.
    fn done(action: impl Into<String>, target: String, at: Timestamp, by: By, cause: &Cause) -> Self {
        Self {
            at,
            kind: "operation",
            action: action.into(),
            by,
            token_id: cause.id.strip_prefix("token/").and_then(|id| id.parse().ok()),
            role: None,
            noun: None,
            subject: Some(target),
            path: None,
            reason: None,
        }
    }
}

async fn operations(edge: &Edge, tenant: &TenantId) -> Result<Vec<Act>, Problem> {
    let events = edge.engine.events::<Operation>(tenant, Uuid::nil()).await.map_err(Problem::unreadable)?;
    let act = |recorded: throughline_actors::introspect::Recorded<operation::Event>| {
        let operation::Event::Acted { at, action, target, reason, .. } = recorded.event;
        Act { reason, ..Act::done(action, target, at, recorded.by, &recorded.cause) }
    };
    Ok(events.into_iter().map(act).collect())
}

async fn accesses(
    edge: &Edge,
    tenant: &TenantId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Act>, Problem> {
    let mut acts = Vec::new();
    // A batch stands in the stream of the day in which it was recorded, perhaps a moment after the read.
    let last = day_of(to + Span::from_mins(5)).as_u128();
    for day in day_of(from).as_u128()..=last {
        let events =
            edge.engine.events::<Reads>(tenant, Uuid::from_u128(day)).await.map_err(Problem::unreadable)?;
        for recorded in events {
            let access::Event::Accessed { accesses, .. } = recorded.event;
            acts.extend(accesses.into_iter().map(|access| Act {
                at: access.at,
                kind: "access",
                action: access.outcome.to_string(),
                by: access.by,
                token_id: Some(access.token_id.0),
                role: Some(access.role.as_str()),
                noun: Some(access.noun),
                subject: access.subject.map(|subject| subject.to_string()),
                path: Some(access.path),
                reason: None,
            }));
        }
    }
    Ok(acts)
}
