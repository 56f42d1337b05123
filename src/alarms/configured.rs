//! The endpoints that the configuration asks for: one mailbox an address, under an id that follows from it.
//!
//! Brought in line at every start: a new address is registered, one whose topics changed is told, one that is gone
//! is switched off and keeps its history.

use anyhow::{Context as _, anyhow};
use throughline_actors::{engine::Engine, order::CommandMeta};
use throughline_workflows::{
    endpoint::{Command, Endpoint, EndpointPatch, Settings, Target},
    ids::{EndpointId, TenantId},
    views::endpoints::Endpoints,
    workflow::{By, Cause, CauseKind},
};
use uuid::Uuid;

use crate::{
    config::{Alarms, Config},
    derived_id,
};

/// How long the list of endpoints may take to show everything.
const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(60);

/// Brings every tenant's mailboxes in line with `config`.
///
/// # Errors
/// The store cannot be read or written.
pub async fn bring_in_line(engine: &Engine, config: &Config) -> anyhow::Result<()> {
    engine.views().wait_for(engine.last_seq(), CATCH_UP).await.context("the list of endpoints is behind")?;
    for tenant in config.tenant_ids() {
        let Some(settings) = config.tenant(&tenant) else { continue };
        of_tenant(engine, &tenant, &settings.alarms).await?;
    }
    Ok(())
}

async fn of_tenant(engine: &Engine, tenant: &TenantId, alarms: &Alarms) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for address in &alarms.mail_to {
        let id = id_of(tenant, address);
        wanted.push(id);
        let mut topics = alarms.topics.clone();
        topics.sort_unstable();
        topics.dedup();
        let state = engine.state::<Endpoint>(tenant, id).await.map_err(|error| anyhow!(error))?;
        let facts = state.as_ref().and_then(|(state, _)| state.facts());
        let Some(facts) = facts else {
            let settings = Settings {
                target: Target::Mail(address.clone()),
                topics,
                description: Some("alarms.mail_to of the configuration".to_owned()),
            };
            let settings = Box::new(settings);
            let endpoint_id = EndpointId(id);
            order(
                engine,
                tenant,
                id,
                Command::Register { endpoint_id, settings, secret: None, configured: true },
            )
            .await?;
            continue;
        };
        if facts.settings.topics != topics {
            let patch = EndpointPatch { topics: Some(topics), ..EndpointPatch::default() };
            order(engine, tenant, id, Command::Update(Box::new(patch))).await?;
        }
        if !facts.is_active() {
            order(engine, tenant, id, Command::Enable).await?;
        }
    }
    let gone = move |facts: &throughline_workflows::endpoint::Facts| {
        facts.configured && facts.is_active() && !wanted.contains(&facts.id.0)
    };
    let keep =
        move |row: &throughline_workflows::views::endpoints::EndpointRow| row.facts().is_some_and(&gone);
    let page = engine.views().page::<Endpoints>(tenant, 0, usize::MAX, keep).await?;
    for facts in page.items.iter().filter_map(|row| row.facts()) {
        order(engine, tenant, facts.id.0, Command::Disable).await?;
    }
    Ok(())
}

async fn order(engine: &Engine, tenant: &TenantId, id: Uuid, command: Command) -> anyhow::Result<()> {
    let meta = CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Command, id: "config/alarms.mail_to".to_owned() },
        correlation: engine.mint(),
        idempotency: None,
    };
    engine.send::<Endpoint>(tenant, id, command, meta).await.context("alarms.mail_to")?;
    Ok(())
}

/// The id of an address's endpoint, the same at every start.
fn id_of(tenant: &TenantId, address: &str) -> Uuid {
    derived_id(&format!("alarms/mail/{tenant}/{address}"))
}
