//! The engine's figures in one answer: what it does, how fast, and what is in need of somebody.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use axum::{Json, extract::State};
use serde::Serialize;
use throughline_actors::{backoff, engine::Engine, introspect::ActivityRow};
use throughline_workflows::{
    conversation::{Conversation, silence},
    ids::TenantId,
    role::Action,
    time::Timestamp,
    views::silence::Waiting,
    workflow::Workflow,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{Edge, auth::Caller, problem::Problem},
    system::{LOOKED_THROUGH_MAX, read, tenant_or_all},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The engine's figures.
#[derive(Serialize, ToSchema)]
struct Figures {
    /// Engine time.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    /// `system` or `manual`.
    clock_mode: &'static str,
    /// How far the machine's clock is behind engine time, in milliseconds.
    wall_behind_ms: u64,
    /// For how long the server has run, in milliseconds of the machine's time: what counts since the start, by two
    /// answers, gives rates.
    uptime_ms: u64,
    /// The `seq` of the last durable event.
    seq: u64,
    /// How far the lists are.
    projected_seq: u64,
    /// Entities in memory.
    resident_actors: usize,
    /// Restarts of entity actors since the start.
    restarts: u64,
    /// Entities that an operator has paused.
    paused_actors: usize,
    /// How late the latest timer is, in milliseconds.
    timer_lag_ms: u64,
    /// Timers that fired without effect and are armed again.
    timers_stuck: usize,
    /// Messages read from the inbox and not placed yet.
    intake_waiting: usize,
    /// Timers being fired.
    timers_in_flight: usize,
    /// Activities being performed.
    activities_in_flight: usize,
    /// What the world is still owed, by channel or by what else it goes to; those that fail first.
    activities: Vec<Owed>,
    /// What was given up and waits for a person.
    dead_letters: usize,
    /// The customer who has waited longest and heard nothing; absent while nobody waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_silence: Option<LongestSilence>,
    /// Webhooks taken since the start, and how long the answers took.
    webhooks: Answers,
    /// Webhooks refused for their signature since the start.
    webhooks_refused: u64,
    /// Delivery reports since the start that were about no message of ours.
    reports_dropped: u64,
    /// What commits cost since the start.
    commits: Commits,
}

/// What commits cost.
#[derive(Serialize, ToSchema)]
struct Commits {
    /// Groups made durable, each by one sync.
    groups: u64,
    /// Appends in them.
    appends: u64,
    /// Half of the groups took at most this, in microseconds.
    p50_micros: u64,
    /// 99 of 100 groups took at most this, in microseconds.
    p99_micros: u64,
    /// The longest, in microseconds.
    max_micros: u64,
    /// Appends that wait.
    queue_entries: u64,
    /// How long the oldest of them has waited, in milliseconds.
    oldest_waiting_ms: u64,
    /// Messages accepted that no conversation has taken yet.
    inbox_pending: u64,
}

/// What was answered, and how fast.
#[derive(Serialize, ToSchema)]
struct Answers {
    /// How many with a 2xx.
    taken: u64,
    /// Half of them took at most this, in microseconds.
    p50_micros: u64,
    /// 99 of 100 took at most this, in microseconds.
    p99_micros: u64,
    /// The longest, in microseconds.
    max_micros: u64,
}

/// What is owed to one channel, or to what else activities go to.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Owed {
    /// The channel of what conversations send, otherwise the kind of the entity that asked.
    channel: String,
    /// Pending activities.
    pending: usize,
    /// Those of them that were tried, or refused a try, and wait for another.
    failing: usize,
    /// Since when the oldest failing one is owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// What was said at the last try of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// A customer who waits.
#[derive(Serialize, ToSchema)]
struct LongestSilence {
    /// Whose.
    tenant: String,
    /// The conversation.
    conversation_id: Uuid,
    /// The spoken name of its open case.
    #[serde(skip_serializing_if = "Option::is_none")]
    case_id: Option<String>,
    /// Since when they have heard nothing.
    #[schema(value_type = String, format = DateTime)]
    waiting_since: Timestamp,
    /// For how long that is.
    silent_seconds: u64,
    /// By when they must hear again.
    #[schema(value_type = String, format = DateTime)]
    next_update_due_at: Timestamp,
    /// Whether a channel is left by which they can be reached.
    reachable: bool,
    /// Whether an operator has paused it: nothing will be sent.
    paused: bool,
}

/// Totals, commit cost, timer lag, what is under way, what fails, who waits longest.
#[utoipa::path(
    get, path = "/api/v1/system/status", tag = "system", responses((status = 200, body = Figures), Problem)
)]
async fn status(State(edge): State<Arc<Edge>>, caller: Caller) -> Result<Json<Figures>, Problem> {
    caller.must(Action::ReadSystem)?;
    let tenant = tenant_or_all(&edge, &caller, None)?;
    let (engine, of) = (edge.engine.clone(), tenant.clone());
    let now = engine.now();
    let (timers_stuck, activities, dead_letters, longest_silence) = read(move || {
        let of = of.as_ref();
        let is_of = |name: &str| of.is_none_or(|tenant| tenant.as_str() == name);
        let due = engine.timers(Some(now + backoff::STUCK_MAX), LOOKED_THROUGH_MAX)?;
        let stuck = due.iter().filter(|timer| timer.stuck > 0 && is_of(&timer.tenant)).count();
        let pending = engine.activities(LOOKED_THROUGH_MAX)?;
        let owed = owed(pending.into_iter().filter(|row| is_of(&row.tenant)));
        Ok((stuck, owed, engine.dead_letters(of)?.len(), longest_silence(&engine, of, now)?))
    })
    .await?;
    let status = edge.engine.status();
    let (commits, webhooks) = (status.commits, edge.webhook_latency.percentiles());
    Ok(Json(Figures {
        now: status.now,
        clock_mode: status.clock_mode.as_str(),
        wall_behind_ms: status.wall_behind.as_millis(),
        uptime_ms: u64::try_from(edge.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        seq: status.seq,
        projected_seq: status.projected,
        resident_actors: status.resident,
        restarts: status.restarts,
        paused_actors: edge.engine.paused(tenant.as_ref()).len(),
        timer_lag_ms: status.timer_lag.as_millis(),
        timers_stuck,
        intake_waiting: status.intake_waiting,
        timers_in_flight: status.timers_in_flight,
        activities_in_flight: status.activities_in_flight,
        activities,
        dead_letters,
        longest_silence,
        webhooks: Answers {
            taken: webhooks.count,
            p50_micros: webhooks.p50,
            p99_micros: webhooks.p99,
            max_micros: webhooks.max,
        },
        webhooks_refused: edge.refused_webhooks.load(Ordering::Relaxed),
        reports_dropped: edge.engine.reports_dropped(),
        commits: Commits {
            groups: commits.groups,
            appends: commits.appends,
            p50_micros: commits.p50_micros,
            p99_micros: commits.p99_micros,
            max_micros: commits.max_micros,
            queue_entries: commits.queue_entries,
            oldest_waiting_ms: commits.oldest_waiting_ms,
            inbox_pending: commits.inbox_pending,
        },
    }))
}

/// Where an activity goes: the channel of what a conversation sends, otherwise who asked.
pub(in crate::http) fn channel_of(row: &ActivityRow) -> &str {
    if row.kind == Conversation::KIND && !row.lane.is_empty() { &row.lane } else { &row.kind }
}

fn owed(pending: impl Iterator<Item = ActivityRow>) -> Vec<Owed> {
    let mut by_channel: BTreeMap<String, Owed> = BTreeMap::new();
    for row in pending {
        let channel = channel_of(&row).to_owned();
        let owed = by_channel.entry(channel.clone()).or_insert(Owed {
            channel,
            pending: 0,
            failing: 0,
            failing_since: None,
            last_error: None,
        });
        owed.pending += 1;
        if row.last_error.is_some() {
            owed.failing += 1;
            if owed.failing_since.is_none_or(|since| row.asked_at < since) {
                owed.failing_since = Some(row.asked_at);
                owed.last_error = row.last_error;
            }
        }
    }
    let mut owed: Vec<Owed> = by_channel.into_values().collect();
    owed.sort_by_key(|owed| std::cmp::Reverse((owed.failing, owed.pending)));
    owed
}

/// The row of each tenant's list that is first is that of who waits longest.
fn longest_silence(
    engine: &Engine,
    tenant: Option<&TenantId>,
    now: Timestamp,
) -> Result<Option<LongestSilence>, String> {
    let tenants = tenant.map_or_else(|| engine.tenants(), |tenant| vec![tenant.clone()]);
    let mut longest: Option<LongestSilence> = None;
    for tenant in tenants {
        let row = engine.views().first::<Waiting>(&tenant).map_err(|error| error.to_string())?;
        let Some(facts) = row.as_ref().and_then(|row| row.facts()) else { continue };
        let Some(clock) = silence::clock(facts) else { continue };
        if longest.as_ref().is_none_or(|longest| clock.since < longest.waiting_since) {
            longest = Some(LongestSilence {
                tenant: tenant.to_string(),
                conversation_id: facts.id.0,
                case_id: facts.open_case().map(|case| case.case_id.to_string()),
                waiting_since: clock.since,
                silent_seconds: now.since(clock.since).as_secs(),
                next_update_due_at: clock.due_at,
                reachable: facts.silence.is_reachable(),
                paused: engine.pause_of(&tenant, Conversation::KIND, facts.id.0).is_some(),
            });
        }
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, lane: &str, asked_at: u64, last_error: Option<&str>) -> ActivityRow {
        ActivityRow {
            id: format!("{}.1.0", Uuid::nil()),
            kind: kind.to_owned(),
            entity: Uuid::nil(),
            tenant: "default".to_owned(),
            lane: lane.to_owned(),
            attempts: u32::from(last_error.is_some()),
            last_error: last_error.map(str::to_owned),
            next_try_at: Timestamp::from_millis(asked_at),
            asked_at: Timestamp::from_millis(asked_at),
            begun_at: None,
            paused: false,
        }
    }

    #[test]
    fn what_is_owed_is_told_by_channel_the_failing_ones_first_with_the_oldest_error() {
        let rows = [
            row("conversation", "email", 1, None),
            row("conversation", "sms", 5, Some("later")),
            row("conversation", "sms", 3, Some("earlier")),
            row("endpoint", "7", 2, None),
        ];
        let owed = owed(rows.into_iter());
        let told: Vec<_> =
            owed.iter().map(|owed| (owed.channel.as_str(), owed.pending, owed.failing)).collect();
        assert_eq!(told, [("sms", 2, 2), ("email", 1, 0), ("endpoint", 1, 0)]);
        assert_eq!(owed[0].last_error.as_deref(), Some("earlier"));
        assert_eq!(owed[0].failing_since, Some(Timestamp::from_millis(3)));
    }
}
