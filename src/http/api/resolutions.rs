//! Long-running cases: asking for one, working on it, telling the customer, and its end.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_actors::{engine::SendError, order::CommandMeta};
use throughline_workflows::{
    conversation::{
        self, Conversation, NewMessage,
        case::{Case, EscalationRequest},
        escalation::CASE,
    },
    ids::{CaseId, MessageId, NoteId, ResolutionId, TenantId},
    resolution::{Command, Resolution},
    role::{Action, Permission, may},
    time::Timestamp,
    views::resolutions::{CaseFile, Filter, ResolutionRow, Resolutions},
    words::{CaseStatus, IssueType, Severity},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::Caller,
        change::{Change, Changed, Made},
        extract::{Asked, At, Id, Listed, Paging, PagingParams, optional_word, word},
        problem::Problem,
    },
    check_length, shown,
    work::check_own,
    writing::speaker,
};

/// How often an escalation is tried with another case id, should one be taken.
const RACES_MAX: usize = 5;
/// How long an escalation is not answered because its case has still to be opened.
const OPENED_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(escalate))
        .routes(routes!(hand_back))
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(set_status))
        .routes(routes!(note))
        .routes(routes!(update))
        .routes(routes!(window))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(resolve))
}

/// What a case is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Escalation {
    /// `technical`, `billing`, `ops` or `compliance`.
    issue_type: String,
    /// The team that works on it, for example `engineering`.
    owning_team: String,
    /// How urgent it is, `P0` to `P3`; what the conversation has where it is absent.
    severity: Option<String>,
    /// When it is expected to be solved; what policy says for its type and severity where it is absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expected_by: Option<Timestamp>,
    /// The matter in a few sentences, for whoever works on it.
    summary: Option<String>,
}

/// The case of an escalation: a new one, or the one that was open.
#[derive(Serialize, Deserialize, ToSchema)]
struct Escalated {
    /// The conversation.
    id: Uuid,
    /// The resolution.
    resolution_id: Uuid,
    /// Its spoken name.
    case_id: String,
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// How far a case is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// `investigating`, `awaiting_fix`, `fix_in_progress`, `awaiting_deploy` or `monitoring`.
    status: String,
    /// A note to go with it.
    note: Option<String>,
}

/// An internal note, or words to the customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Text {
    /// What it says.
    text: String,
    /// The agent whose words these are, where a program writes for one.
    on_behalf_of: Option<Uuid>,
}

/// When a case is expected to be solved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWindow {
    /// Not before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    expected_from: Option<Timestamp>,
    /// By this.
    #[schema(value_type = String, format = DateTime)]
    expected_by: Timestamp,
}

/// How a case ended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Solution {
    /// What caused it.
    root_cause: String,
    /// What was done.
    fix_description: String,
    /// What the customer reads; the engine's own words where it is absent.
    customer_summary: Option<String>,
    /// The agent whose words these are, where a program writes for one.
    on_behalf_of: Option<Uuid>,
}

/// Which cases are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `investigating`, `awaiting_fix`, `fix_in_progress`, `awaiting_deploy`, `monitoring` or `resolved`.
    status: Option<String>,
    /// This team's.
    owning_team: Option<String>,
}

/// Asks for a long-running case; joins the one that is open.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/escalate", tag = "resolutions", request_body = Escalation,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Escalated>), Problem)
)]
async fn escalate(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Escalation>,
) -> Result<Changed<Escalated>, Problem> {
    check_own(&edge, &change.caller, Action::Escalate, id).await?;
    let body = &change.body;
    check_length("summary", body.summary.as_deref().unwrap_or_default())?;
    let issue_type: IssueType = word("issue_type", &body.issue_type)?;
    let severity: Option<Severity> = optional_word("severity", body.severity.as_deref())?;
    let tenant = &change.caller.tenant;
    let mut races = 0;
    let (answer, receipt) = loop {
        let resolution_id = ResolutionId(edge.engine.mint());
        let case_id = CaseId::of(resolution_id);
        // Where a case is open the escalation joins it, and that is the answer.
        let (of_resolution, named) =
            match case_of(&edge, tenant, id).await?.filter(|case| case.facts.is_open()) {
                Some(open) => (open.resolution_id, open.case_id),
                None => (resolution_id, case_id.clone()),
            };
        let answer = Escalated { id, resolution_id: of_resolution.0, case_id: named.to_string() };
        let request = EscalationRequest {
            resolution_id,
            case_id,
            issue_type,
            owning_team: body.owning_team.clone(),
            severity,
            expected_by: body.expected_by,
            summary: body.summary.clone(),
        };
        let command = conversation::Command::Escalate { request: Box::new(request) };
        let meta = change.meta(&answer)?;
        match edge.engine.send::<Conversation>(tenant, id, command, meta).await {
            // Another case has that spoken name: the next id has another.
            Err(SendError::Claimed { .. }) if races < RACES_MAX => races += 1,
            sent => break (answer, sent?),
        }
    };
    if receipt.repeated.is_some() {
        return Ok(Changed::new(answer, receipt));
    }
    // Somebody may have opened one, or ended it, between the look and the order.
    let case = case_of(&edge, tenant, id).await?.ok_or_else(|| Problem::unknown("conversation"))?;
    let answer = Escalated { id, resolution_id: case.resolution_id.0, case_id: case.case_id.to_string() };
    opened(&edge, tenant, case.resolution_id.0).await?;
    Ok(Changed::new(answer, receipt))
}

/// The conversation's case, the last one where there were several.
async fn case_of(edge: &Edge, tenant: &TenantId, id: Uuid) -> Result<Option<Case>, Problem> {
    let state = edge.engine.state::<Conversation>(tenant, id).await.map_err(Problem::unreadable)?;
    Ok(state.as_ref().and_then(|(state, _)| state.facts()).and_then(|facts| facts.case.clone()))
}

/// Returns once the resolution has taken its case, which it is told right after the conversation; a busy server takes
/// longer than anybody should wait for an answer.
async fn opened(edge: &Edge, tenant: &TenantId, id: Uuid) -> Result<(), Problem> {
    let open = async {
        loop {
            let seen = edge.engine.last_seq();
            let state = edge.engine.state::<Resolution>(tenant, id).await.map_err(Problem::unreadable)?;
            let is_open = state.is_some_and(|(state, _)| state.facts().is_some());
            if is_open || !edge.engine.wait_beyond(seen).await {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(OPENED_WITHIN, open).await.unwrap_or(Ok(()))
}

/// Gives an escalated conversation back to the agents; its case stays open.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/hand-back", tag = "resolutions", request_body = Nothing,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn hand_back(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Nothing>,
) -> Result<Changed<Made>, Problem> {
    let Nothing {} = change.body;
    let case =
        edge.engine.state::<Conversation>(&change.caller.tenant, id).await.map_err(Problem::unreadable)?;
    let case = case.as_ref().and_then(|(state, _)| state.facts()).and_then(|facts| facts.case.clone());
    match case {
        // Whoever works on the case may give it back.
        Some(case) => check_case(&edge, &change.caller, case.resolution_id.0).await?,
        None => check_own(&edge, &change.caller, Action::Escalate, id).await?,
    }
    let made = Made { id };
    let meta = change.meta(&made)?;
    let command = conversation::Command::HandBack;
    let receipt = edge.engine.send::<Conversation>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// Cases, the youngest first.
#[utoipa::path(
    get, path = "/api/v1/resolutions", tag = "resolutions", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::Resolution>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(wanted): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::WorkResolution)?;
    let status: Option<CaseStatus> = optional_word("status", wanted.status.as_deref())?;
    let filter = Filter { status, owning_team: wanted.owning_team };
    let keep = move |row: &ResolutionRow| filter.matches(row);
    let views = edge.engine.views();
    let page = views.page::<Resolutions>(&caller.tenant, paging.skip(), paging.take(), keep).await?;
    let now = edge.engine.now();
    Ok(Json(paging.listed(page.items.iter().map(|row| row.to_json(now)).collect(), page.total)))
}

/// All of one case. Its id is the resolution's, or its spoken name.
#[utoipa::path(
    get, path = "/api/v1/resolutions/{id}", tag = "resolutions", params(("id" = String, Path)),
    responses((status = 200, body = shown::WholeResolution), Problem)
)]
async fn show(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Json<Value>, Problem> {
    let id = resolved(&edge, &caller, &id).await?;
    check_case(&edge, &caller, id).await?;
    let recorded = edge.engine.events::<Resolution>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let mut file = CaseFile::default();
    for recorded in &recorded {
        file.apply(&recorded.event, &recorded.meta(id));
    }
    file.to_json(edge.engine.now()).map(Json).ok_or_else(|| Problem::unknown("resolution"))
}

/// Says how far a case is.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/status", tag = "resolutions", request_body = NewStatus,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn set_status(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<NewStatus>,
) -> Result<Changed<Made>, Problem> {
    let status: CaseStatus = word("status", &change.body.status)?;
    let note = change.body.note.clone();
    check_length("note", note.as_deref().unwrap_or_default())?;
    let note = note.map(|text| (NoteId(edge.engine.mint()), text));
    send(&edge, &change, &id, Command::SetStatus { status, note }).await
}

/// Writes an internal note on a case; the customer never sees it.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/notes", tag = "resolutions", request_body = Text,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn note(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Text>,
) -> Result<Changed<Made>, Problem> {
    check_length("text", &change.body.text)?;
    let by = speaker(&edge, &change, change.body.on_behalf_of).await?.by;
    let command = Command::AddNote { note_id: NoteId(edge.engine.mint()), text: change.body.text.clone() };
    send_by(&edge, &change, &id, command, |change, made| change.meta_by(by, made)).await
}

/// Writes to the customer about a case. Engineers do not write to customers.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/updates", tag = "resolutions", request_body = Text,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn update(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Text>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::WriteToCustomer)?;
    check_length("text", &change.body.text)?;
    let speaker = speaker(&edge, &change, change.body.on_behalf_of).await?;
    let message = words(&edge, change.body.text.clone(), speaker.agent_name);
    let by = speaker.by;
    send_by(&edge, &change, &id, Command::Write { message }, |change, made| change.meta_by(by, made)).await
}

/// Says when a case is expected to be solved.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/window", tag = "resolutions", request_body = NewWindow,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn window(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<NewWindow>,
) -> Result<Changed<Made>, Problem> {
    let NewWindow { expected_from, expected_by } = change.body;
    send(&edge, &change, &id, Command::SetWindow { from: expected_from, by: expected_by }).await
}

/// Stops the clock of a case on which nothing can be done at present.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/pause", tag = "resolutions", request_body = Nothing,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn pause(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Nothing>,
) -> Result<Changed<Made>, Problem> {
    send(&edge, &change, &id, Command::Pause).await
}

/// Lets the clock of a case go on.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/resume", tag = "resolutions", request_body = Nothing,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn resume(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Nothing>,
) -> Result<Changed<Made>, Problem> {
    send(&edge, &change, &id, Command::Resume).await
}

/// Ends a case: the customer is told, and the conversation is resolved with it unless a message waits.
#[utoipa::path(
    post, path = "/api/v1/resolutions/{id}/resolve", tag = "resolutions", request_body = Solution,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn resolve(
    State(edge): State<Arc<Edge>>,
    At(id): At<String>,
    change: Change<Solution>,
) -> Result<Changed<Made>, Problem> {
    let body = &change.body;
    for (field, text) in [
        ("root_cause", Some(&body.root_cause)),
        ("fix_description", Some(&body.fix_description)),
        ("customer_summary", body.customer_summary.as_ref()),
    ] {
        check_length(field, text.map(String::as_str).unwrap_or_default())?;
    }
    if body.customer_summary.is_some()
        && may(change.caller.role, Action::WriteToCustomer) == Permission::Never
    {
        change.caller.must(Action::WriteToCustomer).map_err(|problem| problem.field("customer_summary"))?;
    }
    let speaker = speaker(&edge, &change, body.on_behalf_of).await?;
    let message = body.customer_summary.clone().map(|text| words(&edge, text, speaker.agent_name));
    let command = Command::Resolve {
        root_cause: body.root_cause.clone(),
        fix_description: body.fix_description.clone(),
        message,
    };
    let by = speaker.by;
    send_by(&edge, &change, &id, command, |change, made| change.meta_by(by, made)).await
}

/// A person's words to the customer, by whichever channel suits.
fn words(edge: &Edge, text: String, agent_name: Option<String>) -> NewMessage {
    let id = MessageId(edge.engine.mint());
    NewMessage { id, channel: None, text, attachments: Vec::new(), agent_name }
}

async fn send<T>(
    edge: &Edge,
    change: &Change<T>,
    id: &str,
    command: Command,
) -> Result<Changed<Made>, Problem> {
    send_by(edge, change, id, command, Change::meta).await
}

async fn send_by<T>(
    edge: &Edge,
    change: &Change<T>,
    id: &str,
    command: Command,
    meta: impl FnOnce(&Change<T>, &Made) -> Result<CommandMeta, Problem>,
) -> Result<Changed<Made>, Problem> {
    let id = resolved(edge, &change.caller, id).await?;
    check_case(edge, &change.caller, id).await?;
    let made = Made { id };
    let meta = meta(change, &made)?;
    let receipt = edge.engine.send::<Resolution>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// The resolution that a path names, by its id or its spoken name.
async fn resolved(edge: &Edge, caller: &Caller, text: &str) -> Result<Uuid, Problem> {
    if let Ok(id) = Uuid::parse_str(text) {
        return Ok(id);
    }
    let case_id: CaseId = text.parse().map_err(|_| {
        Problem::with(
            super::super::problem::Kind::NotFound,
            format!("{text:?} is no id of a resolution; they look like TL-7K3M-9QX or are UUIDs."),
        )
    })?;
    // The conversation that claimed the name knows its case at once; lists follow.
    let claimed =
        edge.engine.owner(&caller.tenant, CASE, case_id.as_str()).await.map_err(Problem::unreadable)?;
    if let Some(conversation) = claimed
        && let Some(case) = case_of(edge, &caller.tenant, conversation).await?
        && case.case_id == case_id
    {
        return Ok(case.resolution_id.0);
    }
    let wanted = move |row: &ResolutionRow| row.facts().is_some_and(|facts| facts.case_id == case_id);
    let page = edge.engine.views().page::<Resolutions>(&caller.tenant, 0, 1, wanted).await?;
    let found = page.items.first().and_then(ResolutionRow::facts).map(|facts| facts.id.0);
    found.ok_or_else(|| Problem::unknown("resolution"))
}

/// That the caller may work on cases, and that there is this one.
///
/// # Errors
/// 403 where they may not, 404 where there is no such case.
async fn check_case(edge: &Edge, caller: &Caller, id: Uuid) -> Result<(), Problem> {
    caller.must(Action::WorkResolution)?;
    let state = edge.engine.state::<Resolution>(&caller.tenant, id).await.map_err(Problem::unreadable)?;
    let known = state.as_ref().is_some_and(|(state, _)| state.facts().is_some());
    if known { Ok(()) } else { Err(Problem::unknown("resolution")) }
}
