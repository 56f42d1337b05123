//! Who waits for us, for operators: over all tenants, and without a word about who they are.
//!
//! An agent reads `/api/v1/silence`, which names customers and is recorded as a reading of personal data. Whoever keeps
//! the server alive needs to know only that a promise is about to be broken, and where.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use throughline_actors::engine::Engine;
use throughline_workflows::{
    conversation::{Conversation, silence},
    ids::TenantId,
    role::Action,
    time::Timestamp,
    views::silence::{Waiting, WaitingRow},
    workflow::Workflow,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        extract::{Asked, Listed, Paging, PagingParams},
        metrics,
        problem::Problem,
    },
    system::{read, tenant_or_all},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(silences))
}

/// Whose customers.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedSilences {
    /// Of this tenant; operators see all where it is absent.
    tenant: Option<String>,
}

/// A customer who waits, or whom nothing reaches.
#[derive(Deserialize, Serialize, ToSchema)]
pub(in crate::http) struct SilentCustomer {
    /// Whose.
    tenant: String,
    /// The conversation.
    conversation_id: Uuid,
    /// Its status.
    status: String,
    /// The spoken name of its open case.
    #[serde(skip_serializing_if = "Option::is_none")]
    case_id: Option<String>,
    /// Since when they have heard nothing; absent while they do not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    waiting_since: Option<Timestamp>,
    /// For how long that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_seconds: Option<u64>,
    /// By when they must hear again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_update_due_at: Option<Timestamp>,
    /// Whether a channel is left by which they can be reached.
    reachable: bool,
    /// Whether an operator has paused it: nothing will be sent.
    paused: bool,
}

/// Who waits for us, the longest first, over all tenants that the caller may see; and who cannot be reached.
///
/// Only what stands on the page is read. The total is as it was last counted, which is now unless there are thousands
/// of conversations, and then a minute ago at most.
#[utoipa::path(
    get, path = "/api/v1/system/silences", tag = "system", params(WantedSilences, PagingParams),
    responses((status = 200, body = Listed<SilentCustomer>), Problem)
)]
async fn silences(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<WantedSilences>,
    paging: Paging,
) -> Result<Json<Listed<SilentCustomer>>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = tenant_or_all(&edge, &caller, wanted.tenant.as_deref())?;
    let tenants = tenant.map_or_else(|| edge.engine.tenants(), |tenant| vec![tenant]);
    let counted = metrics::of_conversations(&edge).await?;
    let total = counted.iter().filter(|(tenant, _)| tenants.contains(tenant)).map(|(_, seen)| seen.listed);
    let total = usize::try_from(total.sum::<u64>()).unwrap_or(usize::MAX);
    let (engine, now) = (edge.engine.clone(), edge.engine.now());
    let up_to = paging.skip().saturating_add(paging.take());
    let first = read(move || first_of(&engine, &tenants, up_to, now)).await?;
    // More may have come since they were counted.
    let total = total.max(first.len());
    let rows = first.into_iter().skip(paging.skip()).take(paging.take()).collect();
    Ok(Json(paging.listed(rows, total)))
}

/// The customer who has waited longest, of a tenant or of all; none while nobody waits.
pub(super) fn longest(
    engine: &Engine,
    tenant: Option<&TenantId>,
    now: Timestamp,
) -> Result<Option<SilentCustomer>, String> {
    let tenants = tenant.map_or_else(|| engine.tenants(), |tenant| vec![tenant.clone()]);
    let first = first_of(engine, &tenants, 1, now)?.into_iter().next();
    Ok(first.filter(|silence| silence.waiting_since.is_some()))
}

/// At most `most` of those who are listed, over these tenants: who waits longest first, and last whom nothing reaches.
fn first_of(
    engine: &Engine,
    tenants: &[TenantId],
    most: usize,
    now: Timestamp,
) -> Result<Vec<SilentCustomer>, String> {
    let mut first = Vec::new();
    for tenant in tenants {
        // Each tenant's rows come in this order, so the first of all are among the first of each.
        let rows = engine.views().first::<Waiting>(tenant, most).map_err(|error| error.to_string())?;
        first.extend(rows.iter().filter_map(|row| silence_of(engine, tenant, row, now)));
    }
    first.sort_by_key(|silence| silence.waiting_since.unwrap_or(Timestamp::from_millis(u64::MAX)));
    first.truncate(most);
    Ok(first)
}

fn silence_of(
    engine: &Engine,
    tenant: &TenantId,
    row: &WaitingRow,
    now: Timestamp,
) -> Option<SilentCustomer> {
    let facts = row.facts()?;
    let clock = silence::clock(facts);
    Some(SilentCustomer {
        tenant: tenant.to_string(),
        conversation_id: facts.id.0,
        status: facts.status.as_str().to_owned(),
        case_id: facts.open_case().map(|case| case.case_id.to_string()),
        waiting_since: clock.map(|clock| clock.since),
        silent_seconds: clock.map(|clock| now.since(clock.since).as_secs()),
        next_update_due_at: clock.map(|clock| clock.due_at),
        reachable: !row.is_unreachable(),
        paused: engine.pause_of(tenant, Conversation::KIND, facts.id.0).is_some(),
    })
}
