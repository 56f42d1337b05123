//! Entities as rows: those in memory, those on disk only, those that are paused.

use std::collections::HashSet;

use throughline_storage::{append::StreamId, journal::Journal};
use throughline_workflows::{ids::TenantId, time::Timestamp};
use uuid::Uuid;

use super::rows::{ActorRow, InspectError};
use crate::{engine::Engine, order::EntityRef, pauses::Pause};

impl Engine {
    /// Entities of one kind (or all), those with resident actors first; and how many there are.
    ///
    /// # Errors
    /// [`InspectError`] if the kind is unknown or the store cannot be read.
    pub async fn actors(
        &self,
        tenant: Option<&TenantId>,
        kind: Option<&str>,
        residency: Option<&str>,
        skip: usize,
        take: usize,
    ) -> Result<(Vec<ActorRow>, usize), InspectError> {
        let kinds = match kind {
            Some(kind) => vec![self.kind(kind)?],
            None => self.kinds(),
        };
        let mut hot: Vec<_> = self
            .shared
            .registry
            .residents()
            .await
            .into_iter()
            .filter(|resident| kinds.contains(&resident.entity.kind))
            .filter(|resident| tenant.is_none_or(|tenant| *tenant == resident.entity.tenant))
            .collect();
        hot.sort_by(|a, b| {
            (b.mailbox_depth, b.restarts, b.last_order_ms).cmp(&(
                a.mailbox_depth,
                a.restarts,
                a.last_order_ms,
            ))
        });
        let known: HashSet<_> = hot.iter().map(|resident| resident.entity.clone()).collect();
        let mut rows: Vec<ActorRow> = Vec::new();
        let mut total = 0;
        if residency != Some("passive") {
            total += hot.len();
            rows.extend(hot.into_iter().skip(skip).take(take).map(|resident| ActorRow {
                kind: resident.entity.kind.to_owned(),
                id: resident.entity.id,
                tenant: resident.entity.tenant.to_string(),
                residency: "hot",
                mailbox_depth: resident.mailbox_depth,
                version: resident.version,
                last_command: (!resident.last_command.is_empty()).then_some(resident.last_command),
                last_command_at:
                    (resident.last_order_ms > 0).then(|| Timestamp::from_millis(resident.last_order_ms)),
                restarts: resident.restarts,
                last_failure: resident.last_failure,
                paused: self.shared.host.pauses.of(&resident.entity.stream()),
            }));
        }
        if residency != Some("hot") {
            let tenants: Vec<TenantId> = match tenant {
                Some(tenant) => vec![tenant.clone()],
                None => self.shared.host.tenants.names(),
            };
            let journal = self.shared.host.journal.clone();
            let missing = take - rows.len();
            let passed = skip.saturating_sub(total);
            let passive = move || passive(&journal, &tenants, &kinds, &known, passed, missing);
            let read = self.shared.host.runner.read(passive).await;
            let (mut found, count) = read.and_then(|found| found).map_err(InspectError::Unreadable)?;
            for row in &mut found {
                row.paused = self.pause_of_named(&row.tenant, &row.kind, row.id);
            }
            rows.extend(found);
            total += count;
        }
        Ok((rows, total))
    }

    /// The paused entities of a tenant (or of all) and of a kind (or of all), as rows.
    ///
    /// # Errors
    /// [`InspectError`] if the kind is unknown or the store cannot be read.
    pub async fn paused_actors(
        &self,
        tenant: Option<&TenantId>,
        kind: Option<&str>,
    ) -> Result<Vec<ActorRow>, InspectError> {
        let kind = kind.map(|kind| self.kind(kind)).transpose()?;
        let residents = self.shared.registry.residents().await;
        let mut rows = Vec::new();
        for paused in self.paused(tenant) {
            if kind.is_some_and(|kind| kind != paused.kind) {
                continue;
            }
            let stream = StreamId { tenant: paused.tenant, kind: paused.kind, entity: paused.id };
            let mut row =
                passive_row(&self.shared.host.journal, &stream).map_err(InspectError::Unreadable)?;
            if let Some(hot) = residents.iter().find(|resident| resident.entity.stream() == stream) {
                row.residency = "hot";
                row.mailbox_depth = hot.mailbox_depth;
                row.restarts = hot.restarts;
                row.last_failure.clone_from(&hot.last_failure);
            }
            row.paused = Some(paused.pause);
            rows.push(row);
        }
        Ok(rows)
    }

    fn pause_of_named(&self, tenant: &str, kind: &str, id: Uuid) -> Option<Pause> {
        let stream = StreamId { tenant: tenant.to_owned(), kind: kind.to_owned(), entity: id };
        self.shared.host.pauses.of(&stream)
    }
}

fn passive(
    journal: &Journal,
    tenants: &[TenantId],
    kinds: &[&'static str],
    hot: &HashSet<EntityRef>,
    skip: usize,
    take: usize,
) -> Result<(Vec<ActorRow>, usize), String> {
    let mut rows = Vec::new();
    let mut total = 0;
    for tenant in tenants {
        for kind in kinds {
            let mut after = None;
            loop {
                let page =
                    journal.streams(tenant.as_str(), kind, after, 1024).map_err(|error| error.to_string())?;
                let Some(last) = page.last().copied() else { break };
                after = Some(last);
                for id in page {
                    if hot.contains(&EntityRef { tenant: tenant.clone(), kind, id }) {
                        continue;
                    }
                    if total >= skip && rows.len() < take {
                        let stream =
                            StreamId { tenant: tenant.to_string(), kind: (*kind).to_owned(), entity: id };
                        rows.push(passive_row(journal, &stream)?);
                    }
                    total += 1;
                }
            }
        }
    }
    Ok((rows, total))
}

/// The row of an entity that is not in memory.
fn passive_row(journal: &Journal, stream: &StreamId) -> Result<ActorRow, String> {
    let version = journal.version(stream).map_err(|error| error.to_string())?;
    let last = journal.record(stream, version).map_err(|error| error.to_string())?;
    // A record that cannot be read is told by whoever asks for the entity itself.
    let last = last.and_then(|last| last.decode().ok());
    Ok(ActorRow {
        kind: stream.kind.clone(),
        id: stream.entity,
        tenant: stream.tenant.clone(),
        residency: "passive",
        mailbox_depth: 0,
        version,
        last_command: None,
        last_command_at: last.map(|record| Timestamp::from_millis(record.at_ms)),
        restarts: 0,
        last_failure: None,
        paused: None,
    })
}
