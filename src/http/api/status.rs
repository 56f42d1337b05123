//! The engine's figures in one answer: what it does, how fast, and what is in need of somebody.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use axum::{Json, extract::State};
use serde::Serialize;
use throughline_actors::introspect::{self, Towards};
use throughline_workflows::{conversation::Conversation, role::Action, time::Timestamp, workflow::Workflow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{Edge, auth::Caller, problem::Problem},
    silences::{self, SilentCustomer},
    system::{read, tenant_or_all},
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
    /// Entities that wait for a timer: the next timer of each counts, and every one that is overdue.
    timers_armed: u64,
    /// Timers that fired without effect and are armed again.
    timers_stuck: u64,
    /// Messages read from the inbox and not placed yet.
    intake_waiting: usize,
    /// Timers being fired.
    timers_in_flight: usize,
    /// Activities being performed.
    activities_in_flight: usize,
    /// What the world is still owed, by channel or by what else it goes to; those that fail first.
    activities: Vec<Owed>,
    /// What was given up and waits for a person.
    dead_letters: u64,
    /// The customer who has waited longest and heard nothing; absent while nobody waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_silence: Option<SilentCustomer>,
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
    /// Appends a second at present: each counts for less the longer ago it was, to a third after ten seconds.
    appends_per_second: u64,
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
    pending: u64,
    /// Those of them that were tried, or refused a try, and wait for another.
    failing: u64,
    /// Since when the oldest failing one is owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// What was said at the last try of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
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
    let longest_silence = read(move || silences::longest(&engine, of.as_ref(), now)).await?;
    let outstanding = edge.outstanding().await?;
    let timers = outstanding.timers_of(tenant.as_ref());
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
        timers_armed: timers.armed,
        timers_stuck: timers.stuck,
        intake_waiting: status.intake_waiting,
        timers_in_flight: status.timers_in_flight,
        activities_in_flight: status.activities_in_flight,
        activities: owed(outstanding.activities_of(tenant.as_ref())),
        dead_letters: outstanding.dead_letters_of(tenant.as_ref()),
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
            appends_per_second: commits.appends_per_second,
            p50_micros: commits.p50_micros,
            p99_micros: commits.p99_micros,
            max_micros: commits.max_micros,
            queue_entries: commits.queue_entries,
            oldest_waiting_ms: commits.oldest_waiting_ms,
            inbox_pending: commits.inbox_pending,
        },
    }))
}

/// Where activities go: the channel of what conversations send, otherwise who asked.
pub(in crate::http) fn channel_of(towards: &Towards) -> &str {
    if towards.kind == Conversation::KIND && !towards.lane.is_empty() { &towards.lane } else { &towards.kind }
}

fn owed<'a>(outstanding: impl Iterator<Item = (&'a Towards, &'a introspect::Owed)>) -> Vec<Owed> {
    let mut by_channel: BTreeMap<&str, introspect::Owed> = BTreeMap::new();
    for (towards, owed) in outstanding {
        let sum = by_channel.entry(channel_of(towards)).or_default();
        sum.pending += owed.pending;
        sum.failing += owed.failing;
        if let Some((since, error)) = &owed.oldest_failing
            && sum.oldest_failing.as_ref().is_none_or(|(oldest, _)| since < oldest)
        {
            sum.oldest_failing = Some((*since, error.clone()));
        }
    }
    let mut owed: Vec<Owed> = by_channel
        .into_iter()
        .map(|(channel, sum)| {
            let (failing_since, last_error) = sum.oldest_failing.unzip();
            let (pending, failing) = (sum.pending, sum.failing);
            Owed { channel: channel.to_owned(), pending, failing, failing_since, last_error }
        })
        .collect();
    owed.sort_by_key(|owed| std::cmp::Reverse((owed.failing, owed.pending)));
    owed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(kind: &str, lane: &str, pending: u64, failing: &[(u64, &str)]) -> (Towards, introspect::Owed) {
        let oldest = failing.iter().min().map(|(at, said)| (Timestamp::from_millis(*at), (*said).to_owned()));
        let failing = failing.len() as u64;
        let towards = Towards { tenant: "default".into(), kind: kind.into(), lane: lane.into() };
        (towards, introspect::Owed { pending, tried: failing, failing, oldest_failing: oldest })
    }

    #[test]
    fn what_is_owed_is_told_by_channel_the_failing_ones_first_with_the_oldest_error() {
        let outstanding = [
            towards("conversation", "email", 1, &[]),
            towards("conversation", "sms", 2, &[(5, "later"), (3, "earlier")]),
            towards("endpoint", "7", 1, &[]),
            towards("endpoint", "8", 2, &[(9, "gone")]),
        ];
        let owed = owed(outstanding.iter().map(|(towards, owed)| (towards, owed)));
        let told: Vec<_> =
            owed.iter().map(|owed| (owed.channel.as_str(), owed.pending, owed.failing)).collect();
        assert_eq!(told, [("sms", 2, 2), ("endpoint", 3, 1), ("email", 1, 0)]);
        assert_eq!(owed[0].last_error.as_deref(), Some("earlier"));
        assert_eq!(owed[0].failing_since, Some(Timestamp::from_millis(3)));
        assert_eq!(owed[1].last_error.as_deref(), Some("gone"));
    }
}
