//! An entity between two of its versions, and how far away what it waits for is.

use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
};
use uuid::Uuid;

use super::{
    difference::differences,
    rows::{ArmedTimer, InspectError, VersionDiff},
};
use crate::{backoff, engine::Engine, order::EntityRef};

impl Engine {
    /// What changed in an entity between two versions, version 0 being before the first; none for one that does not
    /// exist.
    ///
    /// # Errors
    /// [`InspectError`] if a version is not there, they do not follow one another, or the store cannot be read.
    pub async fn diff(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        from: u64,
        to: u64,
    ) -> Result<Option<VersionDiff>, InspectError> {
        if from >= to {
            return Err(InspectError::NotBefore { from, to });
        }
        let Some(after) = self.actor(tenant, kind, id, Some(to)).await? else { return Ok(None) };
        let before = match from {
            0 => None,
            from => self.actor(tenant, kind, id, Some(from)).await?,
        };
        let armed = |timers: &[ArmedTimer]| -> serde_json::Value {
            timers.iter().map(|timer| (timer.name.clone(), serde_json::json!(timer.due_at))).collect()
        };
        let (state, timers) = match &before {
            Some(before) => (before.state.clone(), armed(&before.timers)),
            None => (serde_json::Value::Null, armed(&[])),
        };
        let mut events = self.history(tenant, kind, id).await?;
        events.retain(|event| (from + 1..=to).contains(&event.version));
        Ok(Some(VersionDiff {
            kind: kind.to_owned(),
            id,
            tenant: tenant.to_string(),
            from,
            to,
            changes: differences(&state, &after.state),
            timers: differences(&timers, &armed(&after.timers)),
            events,
        }))
    }

    /// The registered kind of which this tenant has an entity with this id.
    pub fn kind_of(&self, tenant: &TenantId, id: Uuid) -> Option<&'static str> {
        self.kinds().into_iter().find(|kind| {
            let stream = EntityRef { tenant: tenant.clone(), kind, id }.stream();
            self.shared.host.journal.version(&stream).is_ok_and(|version| version > 0)
        })
    }

    /// Says how far away timers are, and which of those that are due fired without effect.
    pub(super) fn count_down(&self, entity: &EntityRef, timers: &mut [ArmedTimer]) -> Result<(), String> {
        let now = self.now();
        let seconds = |span: Span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        for timer in timers.iter_mut() {
            timer.remaining_seconds =
                Some(seconds(timer.due_at.since(now)) - seconds(now.since(timer.due_at)));
        }
        if timers.iter().all(|timer| timer.due_at > now) {
            return Ok(());
        }
        // A stuck one is armed for a moment that is not far: all that stands before it is looked through.
        let up_to = (now + backoff::STUCK_MAX).as_millis();
        let (stream, mut after) = (entity.stream(), None);
        loop {
            let page = self.shared.host.journal.timers(after.as_ref(), up_to, 4096);
            let page = page.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for found in page.into_iter().filter(|found| found.key.stream == stream && found.stuck > 0) {
                if let Some(timer) = timers.iter_mut().find(|timer| timer.name == found.key.name) {
                    timer.fire_at = Some(Timestamp::from_millis(found.key.fire_at_ms));
                    timer.stuck = Some(found.stuck);
                }
            }
        }
    }
}
