//! What runs by itself: performs the reports and sweeps of schedules, and brings schedules in line with the
//! configuration at every start.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use throughline_actors::{
    engine::Engine,
    order::CommandMeta,
    performer::{Attempt, Outcome, Performer},
};
use throughline_workflows::{
    ids::{ScheduleId, TenantId},
    schedule::{Command, Perform, Plan, Schedule, Work},
    time::{Span, Timestamp},
    views::{
        breaches::{Breaches, BreachesRow},
        endpoints::Endpoints,
    },
    workflow::{ActivityError, By, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use crate::{config::Config, derived_id, figures};

/// Does what schedules ask for.
#[derive(Clone, Copy, Debug)]
pub struct Schedules;

impl Performer<Schedule> for Schedules {
    async fn perform(&self, Perform { work, due }: Perform, attempt: Attempt) -> Outcome<Command> {
        let (engine, tenant) = (&attempt.engine, &attempt.tenant);
        let done = match work {
            Work::ReportSilence => silence(engine, tenant).await,
            Work::ReportSummary => summary(engine, tenant).await,
            Work::ReportBreaches => breaches(engine, tenant, due).await,
            Work::SweepBlobs => engine.sweep_blobs().await.map(removed),
            Work::SweepClaims => engine.sweep_claims().await.map(removed),
        };
        match done {
            Ok(figures) => Outcome::Done(Some(Command::Finish { due, figures })),
            Err(message) => Outcome::Retry { after: None, error: ActivityError { code: None, message } },
        }
    }
}

fn removed(count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([("removed".to_owned(), count)])
}

/// Whose customers wait for us, and for how long the longest has heard nothing, where that is known.
async fn silence(engine: &Engine, tenant: &TenantId) -> Result<BTreeMap<String, u64>, String> {
    let seen = figures::of_conversations(engine, tenant).await?;
    let mut told =
        BTreeMap::from([("waiting".to_owned(), seen.waiting), ("unreachable".to_owned(), seen.unreachable)]);
    if let Some(since) = seen.silent_since {
        told.insert("longest_silence_seconds".to_owned(), engine.now().since(since).as_secs());
    }
    Ok(told)
}

/// How many promises were not kept in time in the day before `due`, by clock.
async fn breaches(
    engine: &Engine,
    tenant: &TenantId,
    due: Timestamp,
) -> Result<BTreeMap<String, u64>, String> {
    let (from, to) = (due - Span::from_hours(24), due);
    let all = |row: &BreachesRow| row.between(None, None).next().is_some();
    let page = engine.views().page::<Breaches>(tenant, 0, usize::MAX, all).await;
    let page = page.map_err(|error| error.to_string())?;
    let mut told = BTreeMap::from([("breaches".to_owned(), 0)]);
    for breach in page.items.iter().flat_map(|row| row.between(Some(from), Some(to))) {
        *told.entry("breaches".to_owned()).or_default() += 1;
        *told.entry(format!("breaches_{}", breach.clock)).or_default() += 1;
    }
    Ok(told)
}

/// How many conversations stand how, and what waits for a person.
async fn summary(engine: &Engine, tenant: &TenantId) -> Result<BTreeMap<String, u64>, String> {
    let seen = figures::of_conversations(engine, tenant).await?;
    let mut told: BTreeMap<_, _> = seen
        .by_status
        .into_iter()
        .map(|(status, count)| (format!("conversations_{status}"), count))
        .collect();
    let (reader, of) = (engine.clone(), tenant.clone());
    let letters = tokio::task::spawn_blocking(move || reader.dead_letters(Some(&of))).await;
    let letters = letters.map_err(|error| error.to_string())??;
    told.insert("dead_letters".to_owned(), letters.len() as u64);
    let failing = engine.views().page::<Endpoints>(tenant, 0, 0, |row| row.is_failing()).await;
    told.insert("endpoints_failing".to_owned(), failing.map_err(|error| error.to_string())?.total as u64);
    Ok(told)
}

/// Brings every tenant's schedules in line with `config`: a new one is planned, a changed one planned anew, one that is
/// gone stopped.
///
/// # Errors
/// The store cannot be read or written.
pub async fn bring_in_line(engine: &Engine, config: &Config) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<(TenantId, Uuid), Plan> = BTreeMap::new();
    for (name, schedule) in &config.schedules {
        // What cannot be planned was refused when the configuration was read.
        let Some(work) = schedule.work() else { continue };
        let id = derived_id(&format!("schedules/{}/{name}", schedule.tenant));
        let (cron, timezone) = (schedule.cron.clone(), schedule.timezone.clone());
        let plan = Plan { name: name.clone(), cron, timezone, work };
        wanted.insert((schedule.tenant.clone(), id), plan);
    }
    for tenant in config.tenant_ids() {
        let (known, _) = engine.actors(Some(&tenant), Some(Schedule::KIND), None, 0, usize::MAX).await?;
        for id in known.into_iter().map(|row| row.id) {
            if !wanted.contains_key(&(tenant.clone(), id)) {
                order(engine, &tenant, id, Command::Stop).await?;
            }
        }
    }
    for ((tenant, id), plan) in wanted {
        let plan = Box::new(plan);
        order(engine, &tenant, id, Command::Configure { schedule_id: ScheduleId(id), plan }).await?;
    }
    Ok(())
}

async fn order(engine: &Engine, tenant: &TenantId, id: Uuid, command: Command) -> anyhow::Result<()> {
    let meta = CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: "config/schedules".to_owned() },
        correlation: engine.mint(),
        idempotency: None,
    };
    let sent = engine.send::<Schedule>(tenant, id, command, meta).await;
    sent.map(drop).map_err(|error| anyhow!(error.to_string())).context("schedules")
}
