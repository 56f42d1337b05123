//! Reading conversations: the list, all of one, its messages page by page.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;
use throughline_workflows::{
    conversation::Conversation,
    ids::{ConversationId, CustomerId, TenantId},
    role::Action,
    views::{
        inbox::{Filter, Inbox, InboxRow, Sort},
        timeline::{Timeline, sla_json},
    },
    workflow::Workflow as _,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::{Caller, Reach},
        extract::{Asked, Id, Listed, Paging, PagingParams, optional_word},
        problem::Problem,
    },
    attachments,
    shown::{ConversationRow, Message, WholeConversation, pause_json},
};

/// The newest messages that a whole conversation shows; the rest is read page by page.
const MESSAGES_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(messages))
        .routes(routes!(list_communications))
        .routes(routes!(show_communication))
}

/// Which conversations are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Used this channel, in either direction: `email`, `sms`, `generic:NAME`.
    channel: Option<String>,
    /// Has this status.
    status: Option<String>,
    /// With this customer.
    customer_id: Option<Uuid>,
    /// Given to this agent or team.
    assigned_to: Option<Uuid>,
    /// This urgent, `P0` to `P3`.
    severity: Option<String>,
    /// Holds this text in subject, last message, customer's name or tags.
    q: Option<String>,
    /// `-last_activity_at` (unless said otherwise), `last_activity_at`, `-created_at`, `created_at` or `priority`.
    sort: Option<String>,
}

/// Conversations, the newest activity first unless sorted otherwise.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<ConversationRow>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    listed(&edge, &caller, wanted, paging).await
}

/// The same list as `/api/v1/conversations`.
#[utoipa::path(
    get, path = "/api/admin/communications", tag = "conversations", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<ConversationRow>), Problem)
)]
async fn list_communications(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    listed(&edge, &caller, wanted, paging).await
}

/// All of one conversation: its newest 500 messages, its events, notes and state.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", tag = "conversations", params(("id" = Uuid, Path)),
    responses((status = 200, body = WholeConversation), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    whole(&edge, &caller, id).await
}

/// The same as `/api/v1/conversations/{id}`.
#[utoipa::path(
    get, path = "/api/admin/communications/{id}", tag = "conversations", params(("id" = Uuid, Path)),
    responses((status = 200, body = WholeConversation), Problem)
)]
async fn show_communication(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    whole(&edge, &caller, id).await
}

/// A conversation's messages, oldest first.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = Uuid, Path), PagingParams),
    responses((status = 200, body = Listed<Message>), Problem)
)]
async fn messages(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Id(id): Id,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    let timeline = readable(&edge, &caller, id).await?;
    let all = timeline.messages();
    let page = all.iter().skip(paging.skip()).take(paging.take());
    let items = page.map(|message| attachments::linked(message.to_json())).collect();
    Ok(Json(paging.listed(items, all.len())))
}

async fn listed(
    edge: &Edge,
    caller: &Caller,
    wanted: Wanted,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    let reach = caller.may(Action::Read)?;
    let filter = Filter {
        channel: optional_word("channel", wanted.channel.as_deref())?,
        status: optional_word("status", wanted.status.as_deref())?,
        customer_id: wanted.customer_id.map(CustomerId),
        assigned_to: wanted.assigned_to,
        severity: optional_word("severity", wanted.severity.as_deref())?,
        q: wanted.q,
    };
    let sort = optional_word("sort", wanted.sort.as_deref())?.unwrap_or(Sort::NewestActivity);
    Ok(Json(rows(edge, caller, reach, filter, sort, paging).await?))
}

/// One page of the conversations that `filter` keeps and the caller may see.
pub(super) async fn rows(
    edge: &Edge,
    caller: &Caller,
    reach: Reach,
    filter: Filter,
    sort: Sort,
    paging: Paging,
) -> Result<Listed<Value>, Problem> {
    let (viewer, customer) = (caller.clone(), filter.customer_id);
    let wanted = move |row: &InboxRow| {
        let visible = reach == Reach::All
            || viewer.owns_conversation(row.id, row.assigned_agent_id, row.assigned_team_id);
        visible && filter.matches(row)
    };
    let views = edge.engine.views();
    if customer.is_none() && sort == Sort::NewestActivity {
        let page = views.page::<Inbox>(&caller.tenant, paging.skip(), paging.take(), wanted).await?;
        return Ok(paging.listed(page.items.iter().map(InboxRow::to_json).collect(), page.total));
    }
    let mut all = match customer {
        Some(customer) => {
            let theirs = views.owned::<Inbox>(&caller.tenant, customer.0).await?;
            theirs.into_iter().filter(wanted).collect()
        }
        None => views.page::<Inbox>(&caller.tenant, 0, usize::MAX, wanted).await?.items,
    };
    all.sort_by(|a, b| sort.compare(a, b));
    let page = all.iter().skip(paging.skip()).take(paging.take());
    Ok(paging.listed(page.map(InboxRow::to_json).collect(), all.len()))
}

async fn whole(edge: &Edge, caller: &Caller, id: Uuid) -> Result<Json<Value>, Problem> {
    let timeline = readable(edge, caller, id).await?;
    let mut shown = timeline.to_json(MESSAGES_MAX).ok_or_else(|| Problem::unknown("conversation"))?;
    if let Some(messages) = shown.get_mut("messages").and_then(Value::as_array_mut) {
        for message in messages {
            *message = attachments::linked(message.take());
        }
    }
    let policies = edge.engine.policies(&caller.tenant).unwrap_or_default();
    if let (Some(fields), Some(facts)) = (shown.as_object_mut(), timeline.facts()) {
        let sla = sla_json(&facts.clocks, &policies, edge.engine.now());
        fields.insert("sla".to_owned(), sla);
    }
    if let Some(pause) = edge.engine.pause_of(&caller.tenant, Conversation::KIND, id)
        && let Some(fields) = shown.as_object_mut()
    {
        fields.insert("paused".to_owned(), pause_json(&pause));
    }
    Ok(Json(shown))
}

/// A conversation as it unfolded, if the caller may read it.
pub(super) async fn readable(edge: &Edge, caller: &Caller, id: Uuid) -> Result<Timeline, Problem> {
    let reach = caller.may(Action::Read)?;
    let timeline = unfolded(edge, &caller.tenant, id).await?;
    let theirs = timeline
        .head()
        .is_some_and(|row| caller.owns_conversation(row.id, row.assigned_agent_id, row.assigned_team_id));
    if reach == Reach::Own {
        caller.must_with(Action::Read, theirs)?;
    }
    Ok(timeline)
}

async fn unfolded(edge: &Edge, tenant: &TenantId, id: Uuid) -> Result<Timeline, Problem> {
    let events = edge.engine.events::<Conversation>(tenant, id).await.map_err(Problem::unreadable)?;
    let mut timeline = Timeline::default();
    for recorded in &events {
        timeline.apply(&recorded.event, &recorded.meta(id));
    }
    match timeline.head() {
        Some(head) if head.id == ConversationId(id) => Ok(timeline),
        Some(_) | None => Err(Problem::unknown("conversation")),
    }
}
