//! Every figure under its name. Names follow the conventions of Prometheus: base units, `_total` for what only grows.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use throughline_workflows::{ids::TenantId, time::Span, views::endpoints::Endpoints};

use super::super::{Edge, api::status::channel_of, problem::Problem, recount::Walked};
use crate::figures::{self, Seen};

type Labels = Vec<(&'static str, String)>;
type Float = Gauge<f64, std::sync::atomic::AtomicU64>;
type FloatCounter = Counter<f64, std::sync::atomic::AtomicU64>;

/// Reads every figure.
///
/// # Errors
/// 500 if the store cannot be read.
pub(super) async fn gather(edge: &Edge) -> Result<Registry, Problem> {
    let mut registry = Registry::with_prefix("throughline");
    of_the_engine(edge, &mut registry);
    of_pending_work(edge, &mut registry).await?;
    of_lists(edge, &mut registry).await?;
    of_the_feed(edge, &mut registry).await?;
    Ok(registry)
}

fn of_the_engine(edge: &Edge, registry: &mut Registry) {
    let status = edge.engine.status();
    let commits = &status.commits;
    gauge(registry, "resident_actors", "Entities in memory", status.resident as u64);
    gauge(
        registry,
        "inbox_depth",
        "Messages accepted that no conversation has taken yet",
        commits.inbox_pending,
    );
    gauge(registry, "timers_in_flight", "Timers being fired", status.timers_in_flight as u64);
    gauge(registry, "activities_in_flight", "Activities being performed", status.activities_in_flight as u64);
    gauge(registry, "commit_queue", "Appends that wait to be written", commits.queue_entries);
    gauge(
        registry,
        "views_behind",
        "Events that lists do not show yet",
        status.seq.saturating_sub(status.projected),
    );
    gauge(
        registry,
        "relay_behind",
        "Events that endpoints have not been told of yet",
        status.seq.saturating_sub(edge.engine.relayed_seq()),
    );
    seconds(registry, "timer_lag", "How late the latest timer is", span(status.timer_lag));
    seconds(
        registry,
        "clock_behind",
        "How far the machine's clock is behind engine time",
        span(status.wall_behind),
    );
    seconds(
        registry,
        "commit_waiting",
        "How long the oldest append has waited",
        commits.oldest_waiting_ms as f64 / 1e3,
    );
    quantiles(
        registry,
        "commit_latency",
        "How long a group of commits took to become durable, since the start",
        [commits.p50_micros, commits.p99_micros, commits.max_micros],
    );
    counter(registry, "commits", "Appends made durable", commits.appends);
    counter(registry, "commit_groups", "Groups made durable, each by one sync", commits.groups);
    let spent = FloatCounter::default();
    spent.inc_by(commits.mean_micros as f64 * commits.groups as f64 / 1e6);
    registry.register_with_unit("commit_spent", "Time spent making groups durable", Unit::Seconds, spent);
    counter(registry, "actor_restarts", "Restarts of entity actors", status.restarts);
    counter(
        registry,
        "webhooks_refused",
        "Webhooks refused for their signature",
        edge.refused_webhooks.load(Ordering::Relaxed),
    );
    counter(registry, "journal_seq", "Events recorded since the folder was made", status.seq);
    gauge(registry, "paused_actors", "Entities that an operator has paused", status.paused as u64);
    let webhooks = edge.webhook_latency.percentiles();
    counter(registry, "webhooks_taken", "Webhooks answered with a 2xx", webhooks.count);
    quantiles(
        registry,
        "webhook_latency",
        "How long webhooks took that were answered with a 2xx, since the start",
        [webhooks.p50, webhooks.p99, webhooks.max],
    );
    let up = u64::from(commits.failed.is_none());
    if let Some((free, min_free)) = status.disk_room {
        bytes(registry, "disk_free", "Room left on the disk of the data folder", free);
        bytes(registry, "disk_min_free", "Room below which webhooks are refused", min_free);
    }
    gauge(registry, "store_up", "1 while the store takes writes, 0 once it has failed", up);
}

async fn of_pending_work(edge: &Edge, registry: &mut Registry) -> Result<(), Problem> {
    let outstanding = edge.outstanding().await?;
    let (mut pending, mut failing_by_channel) = (BTreeMap::new(), BTreeMap::new());
    for (towards, owed) in &outstanding.activities {
        let mut add = |state: &str, count: u64| {
            let labels = vec![("kind", towards.kind.clone()), ("state", state.to_owned())];
            *pending.entry(labels).or_insert(0) += count;
        };
        add("waiting", owed.pending - owed.tried);
        add("failing", owed.tried);
        *failing_by_channel.entry(channel_of(towards).to_owned()).or_insert(0) += owed.failing;
    }
    let mut letters = BTreeMap::new();
    for ((_, kind), count) in &outstanding.dead_letters {
        *letters.entry(kind.clone()).or_insert(0) += count;
    }
    let timers = outstanding.timers_of(None);
    gauge(
        registry,
        "timers_armed",
        "Entities that wait for a timer: the next timer of each counts, and every one that is overdue",
        timers.armed,
    );
    gauge(registry, "timers_stuck", "Timers that fired without effect and are armed again", timers.stuck);
    let pending = pending.into_iter().filter(|(_, count)| *count > 0);
    gauges(registry, "activities_pending", "What the world is still owed", pending);
    let failing = failing_by_channel.into_iter().filter(|(_, count)| *count > 0);
    let failing = failing.map(|(channel, count)| (vec![("channel", channel)], count));
    gauges(registry, "activities_failing", "What was tried in vain and waits for another try", failing);
    let letters = letters.into_iter().map(|(kind, count)| (vec![("kind", kind)], count));
    gauges(registry, "dead_letters", "What was given up and waits for a person", letters);
    Ok(())
}

/// What the conversations of each tenant add up to.
pub(in crate::http) type OfTenants = Vec<(TenantId, Seen)>;

/// What the conversations of all tenants add up to, as it is now or, where they are many, as it was a moment ago.
pub(in crate::http) async fn of_conversations(edge: &Edge) -> Result<Arc<OfTenants>, Problem> {
    let engine = edge.engine.clone();
    let walk = async move {
        let mut all = Vec::new();
        for tenant in engine.tenants() {
            let seen = figures::of_conversations(&engine, &tenant).await?;
            all.push((tenant, seen));
        }
        let items = all.iter().flat_map(|(_, seen)| seen.by_status.values()).sum();
        Ok::<_, String>(Walked { figures: all, items })
    };
    edge.conversations.figures(walk).await.map_err(Problem::unreadable)
}

async fn of_lists(edge: &Edge, registry: &mut Registry) -> Result<(), Problem> {
    let (views, now) = (edge.engine.views(), edge.engine.now());
    let (mut open, mut waiting, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
    let silences = Family::<Labels, Float>::default();
    let mut any_silence = false;
    for (tenant, seen) in of_conversations(edge).await?.iter() {
        open.extend(seen.by_status.iter().map(|(status, count)| {
            (vec![("tenant", tenant.to_string()), ("status", (*status).to_owned())], *count)
        }));
        let of = |state: &str| vec![("tenant", tenant.to_string()), ("state", state.to_owned())];
        waiting.extend([
            (of("in_time"), seen.in_time),
            (of("at_risk"), seen.at_risk),
            (of("overdue"), seen.overdue),
            (of("unreachable"), seen.unreachable),
        ]);
        if let Some(since) = seen.silent_since {
            any_silence = true;
            let labels = vec![("tenant", tenant.to_string())];
            silences.get_or_create(&labels).set(span(now.since(since)));
        }
        let all = views.page::<Endpoints>(tenant, 0, usize::MAX, |_| true).await?;
        let mut states = BTreeMap::new();
        for row in &all.items {
            let active = row.facts().is_some_and(|facts| facts.is_active());
            let state = if !active {
                "disabled"
            } else if row.is_failing() {
                "failing"
            } else {
                "active"
            };
            *states.entry(state).or_insert(0) += 1;
        }
        endpoints.extend(states.into_iter().map(|(state, count)| {
            (vec![("tenant", tenant.to_string()), ("state", state.to_owned())], count)
        }));
    }
    gauges(registry, "conversations", "Conversations by status", open.into_iter());
    gauges(
        registry,
        "waiting_customers",
        "Customers who wait for us, by whether they hear in time, and those whom nothing reaches",
        waiting.into_iter(),
    );
    gauges(registry, "endpoints", "Endpoints that events are sent to, by state", endpoints.into_iter());
    if any_silence {
        registry.register_with_unit(
            "longest_silence",
            "How long the customer who has waited longest has heard nothing",
            Unit::Seconds,
            silences,
        );
    }
    Ok(())
}

async fn of_the_feed(edge: &Edge, registry: &mut Registry) -> Result<(), Problem> {
    let counted = edge.tally.counted(&edge.engine).await.map_err(Problem::unreadable)?;
    let events = counted.events.iter().map(|(topic, count)| (vec![("topic", (*topic).to_owned())], *count));
    counters(registry, "events", "Events by topic, since the start", events);
    let inbound = counted.inbound.into_iter().map(|(channel, count)| (vec![("channel", channel)], count));
    counters(registry, "messages_received", "Messages taken by conversations, since the start", inbound);
    let breaches = counted.breaches.into_iter().map(|(clock, count)| (vec![("clock", clock)], count));
    counters(registry, "sla_breaches", "Promised times that passed unmet, since the start", breaches);
    let sends = edge.tally.sends.counts().into_iter().map(|((channel, outcome), count)| {
        (vec![("channel", channel), ("outcome", outcome.to_owned())], count)
    });
    counters(registry, "sends", "Tries to send a message, by how they ended, since the start", sends);
    Ok(())
}

fn span(span: Span) -> f64 {
    span.as_millis() as f64 / 1e3
}

fn bytes(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Float::default();
    gauge.set(value as f64);
    registry.register_with_unit(name, help, Unit::Bytes, gauge);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Float::default();
    gauge.set(value);
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

/// The half, 99 of 100 and the longest, each given in microseconds.
fn quantiles(registry: &mut Registry, name: &str, help: &str, micros: [u64; 3]) {
    let latency = Family::<Labels, Float>::default();
    for (quantile, micros) in ["0.5", "0.99", "1"].into_iter().zip(micros) {
        latency.get_or_create(&vec![("quantile", quantile.to_owned())]).set(micros as f64 / 1e6);
    }
    registry.register_with_unit(name, help, Unit::Seconds, latency);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn gauges(registry: &mut Registry, name: &str, help: &str, values: impl Iterator<Item = (Labels, u64)>) {
    let family = Family::<Labels, Gauge>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    register_family(registry, name, help, family);
}

fn counters(registry: &mut Registry, name: &str, help: &str, values: impl Iterator<Item = (Labels, u64)>) {
    let family = Family::<Labels, Counter>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).inc_by(value);
    }
    register_family(registry, name, help, family);
}

fn register_family<M>(registry: &mut Registry, name: &str, help: &str, family: Family<Labels, M>)
where
    Family<Labels, M>: EncodeMetric + std::fmt::Debug + Send + Sync + 'static,
{
    registry.register(name, help, family);
}
