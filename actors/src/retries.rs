//! What an operator does about one pending activity: has it tried at once, or gives it up.
//!
//! Neither touches an activity of which a try is under way: its outcome would find nothing to settle, and the world
//! would be asked a second time.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use throughline_storage::{
    append::{ActivityKey, Append, LaneHold, LaneKey, PendingActivity, PendingKey},
    journal::ReadError,
};
use throughline_workflows::{ids::TenantId, workflow::ActivityError};
use uuid::Uuid;

use crate::{
    activities::{self, Try, lane_of, same_activity},
    engine::Engine,
    operate::{Act, OperateError},
    order::{Along, CommandMeta, Receipt},
    performer::activity_id,
    reports,
};

/// Activities of which a try is under way, or that an operator is changing: each is one or the other.
#[derive(Default)]
pub(crate) struct Trying(Mutex<HashSet<ActivityKey>>);

impl Trying {
    /// Takes an activity; false where somebody has it.
    pub(crate) fn begin(&self, key: &ActivityKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone())
    }

    /// Lets go of it.
    pub(crate) fn end(&self, key: &ActivityKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// An activity that an operator has taken, until this is dropped.
struct Held<'a> {
    engine: &'a Engine,
    key: ActivityKey,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.engine.shared.trying.end(&self.key);
        // Whoever performs passed it over meanwhile.
        self.engine.shared.host.pauses.look_again();
    }
}

impl Engine {
    /// Has a pending activity tried at once, whatever it was to wait for; what waits behind it in its lane follows it.
    /// It keeps its count of tries.
    ///
    /// # Errors
    /// [`OperateError`]; nothing has changed then.
    pub async fn retry_now(
        &self,
        tenant: Option<&TenantId>,
        id: &str,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        let pending = self.find_pending(tenant, id).await?;
        let _held = self.hold(&pending)?;
        if self.shared.host.pauses.has(&pending.key.stream) {
            let why = format!("the {} is paused; resume it first", pending.key.stream.kind);
            return Err(OperateError::NotNow(why));
        }
        let lane = (!pending.lane.is_empty()).then(|| lane_of(&pending));
        let holds_its_lane = match &lane {
            Some(lane) => self.waits_behind_nobody(lane, &pending)?,
            None => false,
        };
        let now_ms = self.now().as_millis();
        let moved = |activity: &PendingActivity| PendingActivity {
            key: ActivityKey { ready_at_ms: now_ms, ..activity.key.clone() },
            ..activity.clone()
        };
        let mut along = Along { activities: vec![moved(&pending)], ..Along::default() };
        let mut consume = vec![PendingKey::Activity(pending.key.clone())];
        for follower in self.followers(&pending).await? {
            along.activities.push(moved(&follower));
            consume.push(PendingKey::Activity(follower.key));
        }
        if let Some(key) = lane.filter(|_| holds_its_lane) {
            along.hold.push(LaneHold { key, held_by: along.activities[0].key.clone() });
        }
        let tenant = tenant_of(&pending)?;
        if let Some((_, performer)) = self.shared.performer(&pending.key.stream)
            && let Ok((_, payload)) = activities::read(&self.shared, &pending)
        {
            performer.mended(&payload, &tenant);
        }
        let target = format!("activity/{id}");
        let act = Act { tenant: &tenant, action: "activity.retry_now", target, reason, meta };
        self.operate(act, along, consume).await
    }

    /// Gives a pending activity up now: its entity hears that it failed, its lane goes on, and what it would have asked
    /// of the world is kept as a dead letter, to be edited and tried again or discarded.
    ///
    /// # Errors
    /// [`OperateError`]; nothing has changed then, save with [`OperateError::Unreadable`].
    pub async fn skip(
        &self,
        tenant: Option<&TenantId>,
        id: &str,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        // A process that ended after it was recorded and before it was given up left it as it was: who repeats the request
        // has it given up.
        let kept = self.kept_operation(&meta).await?;
        let shared = &self.shared;
        let pending = match (self.find_pending(tenant, id).await, &kept) {
            (Err(OperateError::Unknown(_)), Some(kept)) => return Ok(kept.clone()),
            (found, _) => found?,
        };
        let _held = match self.hold(&pending) {
            Err(OperateError::NotNow(why)) if kept.is_some() => {
                return Err(OperateError::Unreadable(format!(
                    "it is recorded that it is skipped, but {why}"
                )));
            }
            held => held?,
        };
        let stream = &pending.key.stream;
        let known = shared.performer(stream);
        let is_report = stream.kind == reports::KIND;
        if known.is_none() && !is_report {
            let why = format!("this build knows nothing of the kind {:?}", stream.kind);
            return Err(OperateError::NotNow(why));
        }
        let followers = self.followers(&pending).await?;
        let read = match &known {
            Some(_) => Some(activities::read(shared, &pending).map_err(OperateError::Unreadable)?),
            None => None,
        };
        let (tenant, target) = (tenant_of(&pending)?, format!("activity/{id}"));
        let message = format!("skipped by an operator: {reason}");
        let act = Act { tenant: &tenant, action: "activity.skip", target, reason, meta };
        let receipt = match kept {
            Some(kept) => kept,
            None => self.operate(act, Along::default(), Vec::new()).await?,
        };
        match (known, read) {
            (Some((entity, performer)), Some((record, payload))) => {
                let error = ActivityError { code: Some("skipped".to_owned()), message };
                let (pending, entity, performer) = (&pending, &entity, &*performer);
                let tried =
                    Try { shared, pending, entity, performer, record: &record, payload: &payload, id };
                tried.give_up(error).await;
            }
            _ => reports::bury(shared, &pending, message).await,
        }
        // A turn that crashed over it has put it off: it is there under another moment.
        let same = pending.key.clone();
        if !self.look_through(move |pending| same_activity(&pending.key, &same)).await?.is_empty() {
            let why = "it is recorded that it is skipped, and it is still there: skip it again".to_owned();
            return Err(OperateError::Unreadable(why));
        }
        self.bring_forward(followers).await;
        Ok(receipt)
    }

    /// The pending activity of this id.
    async fn find_pending(
        &self,
        tenant: Option<&TenantId>,
        id: &str,
    ) -> Result<PendingActivity, OperateError> {
        let unknown = || OperateError::Unknown("pending activity".to_owned());
        let (entity, version, index) = parts(id).ok_or_else(unknown)?;
        let wanted = move |pending: &PendingActivity| {
            let key = &pending.key;
            (key.stream.entity, key.version, key.index) == (entity, version, index)
        };
        let mut found = self.look_through(wanted).await?.into_iter();
        found
            .find(|pending| {
                let of = &pending.key.stream;
                let edited = pending.edited.is_some() && of.kind != reports::KIND;
                let is_named = edited == id.ends_with(".2") || id.split('.').count() == 3;
                is_named && tenant.is_none_or(|tenant| tenant.as_str() == of.tenant)
            })
            .ok_or_else(unknown)
    }

    fn hold(&self, pending: &PendingActivity) -> Result<Held<'_>, OperateError> {
        if !self.shared.trying.begin(&pending.key) {
            return Err(OperateError::NotNow("a try of it is under way".to_owned()));
        }
        let held = Held { engine: self, key: pending.key.clone() };
        match pending.begun_at_ms {
            Some(_) => Err(OperateError::NotNow(
                "a try of it began whose outcome is not known yet; it must not be made twice".to_owned(),
            )),
            // It was found before it was taken: a try may have ended in between.
            None if self.is_pending(pending)? => Ok(held),
            None => Err(OperateError::NotNow("it has just been tried; look again".to_owned())),
        }
    }

    fn is_pending(&self, pending: &PendingActivity) -> Result<bool, OperateError> {
        let found = self.shared.host.journal.activity(&pending.key);
        found.map(|found| found.is_some()).map_err(|error| OperateError::Unreadable(error.to_string()))
    }

    /// That it may be tried without overtaking another of its lane; whether it holds the lane itself.
    fn waits_behind_nobody(&self, lane: &LaneKey, pending: &PendingActivity) -> Result<bool, OperateError> {
        let journal = &self.shared.host.journal;
        let unreadable = |error: ReadError| OperateError::Unreadable(error.to_string());
        let Some(hold) = journal.hold(lane).map_err(unreadable)? else { return Ok(false) };
        if same_activity(&hold.held_by, &pending.key) {
            return Ok(true);
        }
        let Some(first) = journal.activity(&hold.held_by).map_err(unreadable)? else { return Ok(false) };
        let ActivityKey { stream, version, index, .. } = &first.key;
        let entity = self.shared.entity_of(stream);
        let edited = first.edited.is_some();
        let first = entity.map_or_else(
            || format!("{}.{version}.{index}", stream.entity),
            |entity| activity_id(&entity, *version, *index, edited),
        );
        let why = format!("it keeps its place behind {first}, which waits for another try: look at that one");
        Err(OperateError::NotNow(why))
    }

    /// What has not been tried and waits behind `first` in its lane.
    async fn followers(&self, first: &PendingActivity) -> Result<Vec<PendingActivity>, OperateError> {
        if first.lane.is_empty() {
            return Ok(Vec::new());
        }
        let (lane, key, now_ms) = (first.lane.clone(), first.key.clone(), self.now().as_millis());
        self.look_through(move |pending| {
            pending.key.stream == key.stream
                && pending.lane == lane
                && !same_activity(&pending.key, &key)
                && pending.key.ready_at_ms > now_ms
                && pending.attempts == 0
                && pending.last_error.is_none()
        })
        .await
    }

    /// Lets what waited for one that is gone go now.
    async fn bring_forward(&self, followers: Vec<PendingActivity>) {
        let ready_at_ms = self.now().as_millis();
        for follower in followers {
            let key = ActivityKey { ready_at_ms, ..follower.key.clone() };
            let append = Append {
                consume: vec![PendingKey::Activity(follower.key.clone())],
                activities: vec![PendingActivity { key, ..follower }],
                ..Append::default()
            };
            if let Err(error) = self.shared.commit_essential(append).await {
                tracing::warn!(%error, "an activity could not be brought forward; it goes at its time");
            }
        }
    }

    /// Pending activities for which `wanted` holds. All are looked at: few, unless a provider is down.
    async fn look_through(
        &self,
        wanted: impl Fn(&PendingActivity) -> bool + Send + 'static,
    ) -> Result<Vec<PendingActivity>, OperateError> {
        let journal = self.shared.host.journal.clone();
        let look = move || {
            let mut found = Vec::new();
            let mut after: Option<ActivityKey> = None;
            loop {
                let page = journal.activities(after.as_ref(), u64::MAX, 1024)?;
                let Some(last) = page.last() else { return Ok(found) };
                after = Some(last.key.clone());
                found.extend(page.into_iter().filter(&wanted));
            }
        };
        let looked = self.shared.host.runner.read(look).await;
        looked
            .map_err(OperateError::Unreadable)?
            .map_err(|error: ReadError| OperateError::Unreadable(error.to_string()))
    }
}

fn tenant_of(pending: &PendingActivity) -> Result<TenantId, OperateError> {
    let parsed = pending.key.stream.tenant.parse();
    parsed.map_err(|_| OperateError::Unknown("pending activity".to_owned()))
}

/// The entity, version and index that an activity's id names.
pub fn parts(id: &str) -> Option<(Uuid, u64, u32)> {
    let mut parts = id.split('.');
    let named = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    match (parts.next(), parts.next()) {
        (None | Some("2"), None) => Some(named),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_entity_version_and_index() {
        let id = Uuid::from_u128(9);
        assert_eq!(parts(&format!("{id}.3.0")), Some((id, 3, 0)));
        assert_eq!(parts(&format!("{id}.3.0.2")), Some((id, 3, 0)));
        for wrong in
            [format!("{id}.3"), format!("{id}.3.0.3"), "3.0".to_owned(), format!("{id}.x.0"), String::new()]
        {
            assert_eq!(parts(&wrong), None, "{wrong}");
        }
    }
}
