//! Entities that an operator has paused: none of them is given work by the engine until it is resumed.
//!
//! A pause is a setting in the store, written in the commit that records who paused and why, and kept in memory beside
//! it. A timer of a paused entity stays armed, an activity stays pending, a message stays in the inbox; whoever fires,
//! performs or takes in passes them over, and the entity's actor refuses what was already on its way. What people and
//! programs ask of it by the API is done: they decide for themselves. Clocks are not stopped: what falls due meanwhile
//! is due, and happens at once when the entity is resumed.

use std::{
    collections::HashMap,
    ops::Bound,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use throughline_storage::{
    append::{ActivityKey, PendingActivity, RowChange, StreamId, Timer, TimerKey},
    codec,
    journal::{Journal, ReadError},
    keys,
};
use throughline_workflows::{
    ids::TenantId,
    time::{Span, Timestamp},
    workflow::By,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    engine::Engine,
    operate::{Act, OperateError},
    order::{Along, CommandMeta, EntityRef, Receipt},
    shared::Shared,
};

/// After this an activity that hands work to a paused entity is tried again.
pub(crate) const ASK_AGAIN: Span = Span::from_mins(1);

/// What all keys of pauses begin with, after the store's own byte for settings.
const PREFIX: &str = "paused/";

/// Since when an entity is paused, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Who paused it.
    pub by: By,
    /// Why, in their words.
    pub reason: String,
}

/// A paused entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Its kind.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// Since when, by whom and why.
    #[serde(flatten)]
    pub pause: Pause,
}

/// The pauses in force.
pub(crate) struct Pauses {
    paused: RwLock<HashMap<StreamId, Pause>>,
    /// How many there are, so that in a store without any nobody waits for the lock.
    count: AtomicUsize,
    /// Grows with every change.
    changes: watch::Sender<u64>,
    /// Held while a pause begins or ends.
    changing: tokio::sync::Mutex<()>,
}

impl Pauses {
    /// The pauses that the store holds.
    pub(crate) fn read(journal: &Journal) -> Result<Self, ReadError> {
        let pauses = Self {
            paused: RwLock::default(),
            count: AtomicUsize::new(0),
            changes: watch::Sender::new(0),
            changing: tokio::sync::Mutex::new(()),
        };
        pauses.refresh(journal)?;
        Ok(pauses)
    }

    /// Whether an entity is paused, by its stream.
    pub(crate) fn has(&self, stream: &StreamId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.read_lock().contains_key(stream)
    }

    /// Whether an entity is paused.
    pub(crate) fn holds(&self, entity: &EntityRef) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.has(&entity.stream())
    }

    pub(crate) fn of(&self, stream: &StreamId) -> Option<Pause> {
        self.read_lock().get(stream).cloned()
    }

    fn all(&self) -> Vec<(StreamId, Pause)> {
        self.read_lock().iter().map(|(stream, pause)| (stream.clone(), pause.clone())).collect()
    }

    /// How many entities are paused.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Changes whenever an entity is paused or resumed, or when work that an operator touched is to be looked at.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many changes there were.
    pub(crate) fn change(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Makes everybody who passes over paused entities look again.
    pub(crate) fn look_again(&self) {
        self.changes.send_modify(|change| *change += 1);
    }

    /// Takes from the store which entities are paused: where the outcome of a change was not known, memory may differ.
    pub(crate) fn refresh(&self, journal: &Journal) -> Result<(), ReadError> {
        let from = prefix();
        let mut until = from.clone();
        // The prefix ends with a slash: what follows it ends before the character after the slash.
        if let Some(last) = until.last_mut() {
            *last += 1;
        }
        let mut stored = HashMap::new();
        for pair in journal.rows(Bound::Included(&from), Bound::Excluded(&until)) {
            let (key, value) = pair?;
            match (stream_of(&key), codec::decode::<Pause>(&value)) {
                (Some(stream), Ok(pause)) => {
                    stored.insert(stream, pause);
                }
                // Unreadable is not "may go on": nobody knows what it was about, so it is told and nothing is guessed.
                _ => tracing::error!("a stored pause cannot be read and is not in force"),
            }
        }
        let mut paused = self.paused.write().unwrap_or_else(PoisonError::into_inner);
        if *paused != stored {
            self.count.store(stored.len(), Ordering::Release);
            *paused = stored;
            drop(paused);
            self.look_again();
        }
        Ok(())
    }

    /// Armed timers that fire up to `up_to_ms`, of entities that are not paused, in due order, at most `limit`.
    pub(crate) fn timers(
        &self,
        journal: &Journal,
        up_to_ms: u64,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let read = |after: Option<&TimerKey>| journal.timers(after, up_to_ms, limit);
        self.passing_over(limit, read, |timer| (&timer.key, &timer.key.stream))
    }

    /// Pending activities that are ready up to `up_to_ms`, of entities that are not paused, in due order, at most
    /// `limit`.
    pub(crate) fn activities(
        &self,
        journal: &Journal,
        up_to_ms: u64,
        limit: usize,
    ) -> Result<Vec<PendingActivity>, ReadError> {
        let read = |after: Option<&ActivityKey>| journal.activities(after, up_to_ms, limit);
        self.passing_over(limit, read, |activity| (&activity.key, &activity.key.stream))
    }

    fn passing_over<T, K: Clone>(
        &self,
        limit: usize,
        read: impl Fn(Option<&K>) -> Result<Vec<T>, ReadError>,
        place: impl Fn(&T) -> (&K, &StreamId),
    ) -> Result<Vec<T>, ReadError> {
        let mut found = Vec::new();
        let mut after: Option<K> = None;
        loop {
            let mut window = read(after.as_ref())?;
            let more = window.len() == limit;
            after = window.last().map(|last| place(last).0.clone());
            window.retain(|item| !self.has(place(item).1));
            found.append(&mut window);
            if !more || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    fn read_lock(&self) -> std::sync::RwLockReadGuard<'_, HashMap<StreamId, Pause>> {
        self.paused.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefix() -> Vec<u8> {
    let mut key = keys::setting(PREFIX);
    key.pop(); // The byte that ends a text.
    key
}

fn key_of(stream: &StreamId) -> Vec<u8> {
    keys::setting(&format!("{PREFIX}{}/{}/{}", stream.tenant, stream.kind, stream.entity))
}

fn stream_of(key: &[u8]) -> Option<StreamId> {
    let named = key.strip_prefix(prefix().as_slice())?.strip_suffix(&[0])?;
    let mut parts = std::str::from_utf8(named).ok()?.split('/');
    let (tenant, kind, entity) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    Some(StreamId { tenant: tenant.to_owned(), kind: kind.to_owned(), entity })
}

impl Engine {
    /// Pauses an entity: until it is resumed no timer fires on it, nothing it asked for is begun and no message is
    /// handed to it. When this answers, no turn of that kind is under way; a provider that had been asked before may
    /// still answer, and that is recorded.
    ///
    /// # Errors
    /// [`OperateError`]; nothing has changed then.
    pub async fn pause(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        let entity = self.existing(tenant, kind, id)?;
        let pauses = &self.shared.host.pauses;
        let _one_at_a_time = pauses.changing.lock().await;
        if let Some(kept) = self.kept_operation(&meta).await? {
            // Who asked first may have been told that nobody knows, before it was in force.
            self.take_effect()?;
            self.shared.registry.passivate(&entity).await;
            return Ok(kept);
        }
        let stream = entity.stream();
        if let Some(pause) = pauses.of(&stream) {
            let Pause { since, reason, .. } = pause;
            let why = format!("the {kind} has been paused since {since} ({reason})");
            return Err(OperateError::NotNow(why));
        }
        let pause = Pause { since: self.now(), by: meta.by.clone(), reason: reason.clone() };
        let value = Some(codec::encode(&pause));
        let along = Along { rows: vec![RowChange { key: key_of(&stream), value }], ..Along::default() };
        let receipt = self.change_pauses(Act::upon(&entity, "actor.pause", reason, meta), along).await?;
        // A turn that began before ends before this answers.
        self.shared.registry.passivate(&entity).await;
        Ok(receipt)
    }

    /// Lets a paused entity go on: what fell due meanwhile happens at once, in the order in which it was due.
    ///
    /// # Errors
    /// [`OperateError`]; nothing has changed then.
    pub async fn resume(
        &self,
        tenant: &TenantId,
        kind: &'static str,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, OperateError> {
        let entity = self.existing(tenant, kind, id)?;
        let _one_at_a_time = self.shared.host.pauses.changing.lock().await;
        if let Some(kept) = self.kept_operation(&meta).await? {
            self.take_effect()?;
            return Ok(kept);
        }
        let stream = entity.stream();
        if !self.shared.host.pauses.has(&stream) {
            return Err(OperateError::NotNow(format!("the {kind} is not paused")));
        }
        let rows = vec![RowChange { key: key_of(&stream), value: None }];
        let act = Act::upon(&entity, "actor.resume", reason, meta);
        self.change_pauses(act, Along { rows, ..Along::default() }).await
    }

    async fn change_pauses(&self, act: Act<'_>, along: Along) -> Result<Receipt, OperateError> {
        let done = self.operate(act, along, Vec::new()).await;
        self.take_effect()?;
        done
    }

    /// What is durable is in force, whatever was answered.
    fn take_effect(&self) -> Result<(), OperateError> {
        let host = &self.shared.host;
        host.pauses.refresh(&host.journal).map_err(|error| OperateError::Unreadable(error.to_string()))
    }

    /// Since when an entity is paused, by whom and why; none where it is not.
    pub fn pause_of(&self, tenant: &TenantId, kind: &str, id: Uuid) -> Option<Pause> {
        let stream = StreamId { tenant: tenant.to_string(), kind: kind.to_owned(), entity: id };
        self.shared.host.pauses.of(&stream)
    }

    /// The paused entities of a tenant (or of all), the longest paused first.
    pub fn paused(&self, tenant: Option<&TenantId>) -> Vec<Paused> {
        let all = self.shared.host.pauses.all().into_iter();
        let mut paused: Vec<_> = all
            .filter(|(stream, _)| tenant.is_none_or(|tenant| tenant.as_str() == stream.tenant))
            .map(|(stream, pause)| Paused {
                kind: stream.kind,
                id: stream.entity,
                tenant: stream.tenant,
                pause,
            })
            .collect();
        paused.sort_by_key(|paused| (paused.pause.since, paused.id));
        paused
    }
}

/// Sees to it that what is durable is in force: the outcome of a change may not have been known.
pub(crate) fn catch_up(shared: &Shared) {
    // A change that is under way sees to it itself, and must not be undone by what was read before it.
    let Ok(_alone) = shared.host.pauses.changing.try_lock() else { return };
    if let Err(error) = shared.host.pauses.refresh(&shared.host.journal) {
        tracing::error!(%error, "which entities are paused could not be read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_entity() {
        let stream = StreamId {
            tenant: "acme".to_owned(),
            kind: "conversation".to_owned(),
            entity: Uuid::from_u128(7),
        };
        assert_eq!(stream_of(&key_of(&stream)), Some(stream));
        assert_eq!(stream_of(&keys::setting("clock")), None);
        assert_eq!(stream_of(&keys::setting("paused/acme/conversation/nobody")), None);
    }
}
