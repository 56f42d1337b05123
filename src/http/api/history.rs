//! An entity's past: each event with what caused it and where to look further, and what changed between two versions.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use throughline_actors::{
    introspect::{HistoryEntry, VersionDiff},
    retries,
};
use throughline_workflows::{
    conversation::Conversation,
    ids::TenantId,
    role::Action,
    workflow::{By, ByKind, CauseKind, Workflow},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        extract::{Asked, At, Listed, Paging, PagingParams},
        problem::Problem,
    },
    shown,
    system::{Whose, check_readable},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(history)).routes(routes!(diff))
}

/// Which versions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Between {
    /// The earlier version, 0 being before the first; the one before `to` where it is absent.
    from: Option<u64>,
    /// The later version; the present one where it is absent.
    to: Option<u64>,
    /// The tenant; the caller's where it is absent.
    tenant: Option<String>,
}

/// An event, why it came about, and where to look further.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    entry: HistoryEntry,
    because: String,
    links: BTreeMap<&'static str, String>,
}

/// What changed between two versions, with the events told as in the history.
#[derive(Serialize)]
struct Difference {
    #[serde(flatten)]
    diff: VersionDiff,
    events: Vec<Told>,
}

/// An entity's history, oldest first, each event with what caused it.
#[utoipa::path(
    get, path = "/api/v1/system/actors/{kind}/{id}/history", tag = "system",
    params(("kind" = String, Path), ("id" = Uuid, Path), Whose, PagingParams),
    responses((status = 200, body = Listed<shown::HistoryEntry>), Problem)
)]
async fn history(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    At((kind, id)): At<(String, Uuid)>,
    Asked(Whose { tenant }): Asked<Whose>,
    paging: Paging,
) -> Result<Json<Listed<Told>>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let kind = edge.engine.kind(&kind)?;
    check_readable(&edge, &caller, kind, id).await?;
    let history = edge.engine.history(&tenant, kind, id).await?;
    if history.is_empty() {
        return Err(Problem::unknown(kind));
    }
    let total = history.len();
    let page = history.into_iter().skip(paging.skip()).take(paging.take());
    let mut teller = Teller { edge: &edge, tenant, kind, id, kinds: BTreeMap::new() };
    Ok(Json(paging.listed(page.map(|entry| teller.tell(entry)).collect(), total)))
}

/// What changed in an entity between two versions: fields of its state by path, timers, and the events between.
#[utoipa::path(
    get, path = "/api/v1/system/actors/{kind}/{id}/diff", tag = "system",
    params(("kind" = String, Path), ("id" = Uuid, Path), Between),
    responses((status = 200, body = shown::VersionDiff), Problem)
)]
async fn diff(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    At((kind, id)): At<(String, Uuid)>,
    Asked(Between { from, to, tenant }): Asked<Between>,
) -> Result<Json<Difference>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = caller.tenant_named(&edge, tenant.as_deref())?;
    let kind = edge.engine.kind(&kind)?;
    check_readable(&edge, &caller, kind, id).await?;
    let to = match to {
        Some(to) => to,
        None => {
            let present = edge.engine.actor(&tenant, kind, id, None).await?;
            present.ok_or_else(|| Problem::unknown(kind))?.version
        }
    };
    let from = from.unwrap_or_else(|| to.saturating_sub(1));
    let found = edge.engine.diff(&tenant, kind, id, from, to).await?;
    let mut diff = found.ok_or_else(|| Problem::unknown(kind))?;
    let mut teller = Teller { edge: &edge, tenant, kind, id, kinds: BTreeMap::new() };
    let events = std::mem::take(&mut diff.events).into_iter().map(|entry| teller.tell(entry)).collect();
    Ok(Json(Difference { diff, events }))
}

/// Tells the events of one entity.
struct Teller<'a> {
    edge: &'a Edge,
    tenant: TenantId,
    kind: &'static str,
    id: Uuid,
    /// Of which kind other entities are that handed something over.
    kinds: BTreeMap<Uuid, Option<&'static str>>,
}

impl Teller<'_> {
    fn tell(&mut self, entry: HistoryEntry) -> Told {
        let here = format!("/api/v1/system/actors/{}/{}", self.kind, self.id);
        let version = entry.version;
        let mut links = BTreeMap::from([
            ("state", format!("{here}?version={version}")),
            ("change", format!("{here}/diff?from={}&to={version}", version - 1)),
        ]);
        let cause = &entry.cause;
        let because = match cause.kind {
            CauseKind::Webhook => {
                if self.kind == Conversation::KIND {
                    links.insert("cause", format!("/api/v1/conversations/{}/messages", self.id));
                }
                match cause.id.parse::<Uuid>() {
                    Ok(message) => format!("webhook: message {message}{}", by_way_of(&entry.by)),
                    Err(_) => format!("webhook: the provider's report on its message {}", cause.id),
                }
            }
            CauseKind::Command => {
                if let Some(token) = cause.id.strip_prefix("token/") {
                    links.insert("cause", format!("/api/v1/audit?by={token}"));
                }
                match entry.by.kind {
                    ByKind::Engine => format!("engine: {}", cause.id),
                    ByKind::Person => format!("person: {} ({})", name_of(&entry.by), cause.id),
                    ByKind::Customer => format!("customer: {} ({})", name_of(&entry.by), cause.id),
                    ByKind::Service | ByKind::Ai => format!("program: {} ({})", name_of(&entry.by), cause.id),
                }
            }
            CauseKind::Timer => {
                // The state that armed it is the one before, where there was one.
                if version > 1 {
                    links.insert("cause", format!("{here}?version={}", version - 1));
                }
                format!("timer: {} fell due", cause.id)
            }
            CauseKind::Activity => match retries::parts(&cause.id) {
                Some((entity, at, _)) => {
                    let kind = self.kind_of(entity);
                    if let Some(kind) = kind {
                        links.insert("cause", format!("/api/v1/system/actors/{kind}/{entity}?version={at}"));
                    }
                    match kind {
                        Some(kind) if entity != self.id => {
                            format!("activity: {} of {kind} {entity}{}", cause.id, by_person(&entry.by))
                        }
                        _ => format!("activity: the outcome of {}", cause.id),
                    }
                }
                None => format!("activity: {}", cause.id),
            },
            CauseKind::Automation => format!("automation: {}", cause.id),
        };
        Told { entry, because, links }
    }

    fn kind_of(&mut self, entity: Uuid) -> Option<&'static str> {
        if entity == self.id {
            return Some(self.kind);
        }
        *self.kinds.entry(entity).or_insert_with(|| self.edge.engine.kind_of(&self.tenant, entity))
    }
}

fn name_of(by: &By) -> String {
    by.name.clone().or_else(|| by.id.map(|id| id.to_string())).unwrap_or_else(|| "unnamed".to_owned())
}

fn by_way_of(by: &By) -> String {
    by.via.as_ref().map(|via| format!(" by {via}")).unwrap_or_default()
}

fn by_person(by: &By) -> String {
    if by.kind == ByKind::Person { format!(", asked for by {}", name_of(by)) } else { String::new() }
}
