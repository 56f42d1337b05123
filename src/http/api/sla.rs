//! What was promised and how it stands: clocks explained, breaches, and who waits in silence.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_workflows::{
    conversation::{Conversation, clocks::explain},
    role::Action,
    time::Timestamp,
    views::{
        breaches::{Breach, Breaches},
        silence::{Waiting, WaitingRow},
        timeline::explanation_json,
    },
    workflow::Workflow as _,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Edge,
        auth::{Caller, Reach},
        extract::{Asked, Id, Listed, Paging, PagingParams},
        problem::Problem,
    },
    conversations::readable,
    shown,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(explained)).routes(routes!(breached)).routes(routes!(silent))
}

/// Which breaches are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Range {
    /// Dated then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Dated before then.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Of this clock: `first_response`, `next_response`, `resolution`, `escalation_unattended` or `silence`.
    clock: Option<String>,
}

/// Who is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Silent {
    /// `false` for those only who cannot be reached, `true` for those only who can.
    reachable: Option<bool>,
}

/// Why each clock is due when it is: the stretches in which it ran, and every interval that counts.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/sla/explain", tag = "sla", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::ExplainedClocks), Problem)
)]
async fn explained(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    readable(&edge, &caller, id).await?;
    let recorded =
        edge.engine.events::<Conversation>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let now = edge.engine.now();
    let policies = edge.engine.policies(&caller.tenant).unwrap_or_default();
    let clocks = explain(recorded.iter().map(|recorded| &recorded.event), &policies, now);
    let clocks: Vec<_> = clocks.iter().map(explanation_json).collect();
    Ok(Json(json!({ "conversation_id": id, "now": now, "clocks": clocks })))
}

/// What was not kept in time, the newest first.
#[utoipa::path(
    get, path = "/api/v1/sla/breaches", tag = "sla", params(Range, PagingParams),
    responses((status = 200, body = Listed<shown::Breach>), Problem)
)]
async fn breached(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(range): Asked<Range>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::Read)?;
    if let (Some(from), Some(to)) = (range.from, range.to)
        && from >= to
    {
        return Err(Problem::invalid("to", "to must be later than from."));
    }
    let clocks = ["first_response", "next_response", "resolution", "escalation_unattended", "silence"];
    if let Some(clock) = &range.clock
        && !clocks.contains(&clock.as_str())
    {
        return Err(Problem::invalid("clock", format!("clock must be one of {}.", clocks.join(", "))));
    }
    let (from, to) = (range.from, range.to);
    let page = edge
        .engine
        .views()
        .page::<Breaches>(&caller.tenant, 0, usize::MAX, move |row| row.between(from, to).next().is_some())
        .await?;
    let wanted = |breach: &&Breach| range.clock.as_ref().is_none_or(|clock| breach.clock == *clock);
    let mut all: Vec<&Breach> =
        page.items.iter().flat_map(|row| row.between(from, to)).filter(wanted).collect();
    all.sort_by_key(|breach| std::cmp::Reverse((breach.breached_at, breach.seq)));
    let shown = all.iter().skip(paging.skip()).take(paging.take()).map(|breach| breach.to_json());
    Ok(Json(paging.listed(shown.collect(), all.len())))
}

/// Who waits for us, the longest first, and who cannot be reached.
#[utoipa::path(
    get, path = "/api/v1/silence", tag = "sla", params(Silent, PagingParams),
    responses((status = 200, body = Listed<shown::WaitingCustomer>), Problem)
)]
async fn silent(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Silent { reachable }): Asked<Silent>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    let reach = caller.may(Action::Read)?;
    let (viewer, now) = (caller.clone(), edge.engine.now());
    let wanted = move |row: &WaitingRow| {
        let Some(facts) = row.facts() else { return false };
        reachable.is_none_or(|reachable| reachable != row.is_unreachable())
            && (reach == Reach::All
                || viewer.owns_conversation(facts.id, facts.assigned_agent, facts.assigned_team))
    };
    let views = edge.engine.views();
    let page = views.page::<Waiting>(&caller.tenant, paging.skip(), paging.take(), wanted).await?;
    let rows = page.items.iter().map(|row| {
        let mut shown = row.to_json(now);
        let pause = row
            .facts()
            .and_then(|facts| edge.engine.pause_of(&caller.tenant, Conversation::KIND, facts.id.0));
        if let (Some(pause), Some(fields)) = (pause, shown.as_object_mut()) {
            fields.insert("paused".to_owned(), shown::pause_json(&pause));
        }
        shown
    });
    Ok(Json(paging.listed(rows.collect(), page.total)))
}
