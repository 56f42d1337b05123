//! A decision laid out as one append: the state moves on, and with it everything that is to be durable at once.

use throughline_storage::{
    append::{
        ActivityKey, Append, ClaimChange, ClaimKey, ClaimLifetime, ClaimRequest, NewRecord, PendingActivity,
        PendingKey, SnapshotBytes, TimerKey,
    },
    codec,
    envelope::{ActivityBytes, EventBytes, Record, Snapshot},
};
use throughline_workflows::{
    time::Timestamp,
    workflow::{Claim, ClaimChange as Wanted, Decision, Workflow},
};
use uuid::Uuid;

use crate::{
    armed, idempotency,
    order::{EntityRef, Idempotency, Order},
    rehydrate::{Live, RecordMeta},
};

/// What one turn is about to commit, as it grows.
pub(super) struct Layout<'a, W: Workflow> {
    pub(super) entity: &'a EntityRef,
    pub(super) live: &'a mut Live<W>,
    pub(super) now: Timestamp,
    /// After so many turns of the entity its state is kept again.
    pub(super) snapshot_every: u64,
    pub(super) append: Append,
}

impl<W: Workflow> Layout<'_, W> {
    /// Takes up a decision and all that `order` carries along.
    pub(super) fn add_decision(&mut self, decision: Decision<W>, order: &Order) {
        for event in &decision.events {
            W::evolve(&mut self.live.state, event);
        }
        self.append.claims = decision.claims.into_iter().map(|claim| self.claim(claim)).collect();
        self.append.dead_letters.clone_from(&order.along.dead_letters);
        self.append.inbox.clone_from(&order.along.inbox);
        self.append.activities.clone_from(&order.along.activities);
        self.append.hold.clone_from(&order.along.hold);
        self.append.unhold.clone_from(&order.along.unhold);
        self.append.rows.clone_from(&order.along.rows);
        self.append.activities.extend(self.pending(&decision.activities));
        let timers_changed = self.change_timers();
        if !decision.events.is_empty() || !decision.activities.is_empty() || timers_changed {
            let meta = RecordMeta { by: order.meta.by.clone(), cause: order.meta.cause.clone() };
            self.add_record(order.meta.correlation, &meta, &decision.events, &decision.activities);
        }
        if let Some(idempotency) = &order.meta.idempotency {
            let kept = self.keep_answer(idempotency);
            self.append.claims.push(kept);
        }
    }

    /// A claim of the entity, as the store checks it.
    fn claim(&self, claim: Claim) -> ClaimRequest {
        let owner = self.entity.id.as_bytes().to_vec();
        ClaimRequest {
            key: ClaimKey {
                tenant: self.entity.tenant.to_string(),
                space: claim.space.to_owned(),
                key: claim.key.into_bytes(),
                lifetime: ClaimLifetime::Permanent,
            },
            change: match claim.change {
                Wanted::Take => ClaimChange::Take { owner },
                Wanted::TakeFrom(former) => {
                    ClaimChange::TakeFrom { owner, former: former.as_bytes().to_vec() }
                }
                Wanted::TakeIfFree => ClaimChange::TakeIfFree { owner },
                Wanted::Release => ClaimChange::Release { owner },
            },
        }
    }

    /// What the next record asks of the world, ready at once.
    fn pending(&self, activities: &[W::Activity]) -> Vec<PendingActivity> {
        let (stream, version, now_ms) = (self.entity.stream(), self.live.version + 1, self.now.as_millis());
        let pending = |(index, activity)| PendingActivity {
            key: ActivityKey { ready_at_ms: now_ms, stream: stream.clone(), version, index },
            lane: W::lane(activity).unwrap_or_default(),
            attempts: 0,
            asked_at_ms: now_ms,
            last_error: None,
            edited: None,
            begun_at_ms: None,
        };
        (0u32..).zip(activities).map(pending).collect()
    }

    /// The claim that keeps this turn's answer for whoever repeats the request.
    fn keep_answer(&self, idempotency: &Idempotency) -> ClaimRequest {
        let stream = (self.entity.tenant.to_string(), self.entity.kind.to_owned(), self.entity.id);
        let kept = idempotency::KeptAnswer {
            fingerprint: idempotency.fingerprint,
            stream,
            version: self.live.version + u64::from(self.append.record.is_some()),
            answer: idempotency.answer.clone(),
        };
        ClaimRequest {
            key: idempotency::claim(&idempotency.tenant, &idempotency.key, self.now.as_millis()),
            change: ClaimChange::TakeOnce { owner: codec::encode(&kept) },
        }
    }

    /// Brings the armed timers in line with the state; returns whether anything changed.
    ///
    /// The comparison is with what the last record armed, not with the deadlines of the old state: so a deadline
    /// that an upgrade adds is armed at the next turn.
    pub(super) fn change_timers(&mut self) -> bool {
        let wanted = armed::wanted::<W>(&self.live.state);
        let stream = self.entity.stream();
        let before: Vec<_> = armed::indexed(&self.live.armed, self.live.armed_at_ms).collect();
        let after: Vec<_> = armed::indexed(&wanted, self.now.as_millis()).collect();
        // The one that fired is consumed; where the state holds it still it is stuck, and armed again as such.
        let fired = |key: &TimerKey| self.append.consume.contains(&PendingKey::Timer(key.clone()));
        let gone = before.iter().filter(|old| !after.contains(old)).map(|old| armed::key(&stream, old));
        let gone: Vec<_> = gone.filter(|key| !fired(key)).collect();
        let new = after.iter().filter(|new| !before.contains(new)).map(|new| armed::timer(&stream, new));
        let new: Vec<_> = new.filter(|timer| !fired(&timer.key)).collect();
        self.append.disarm.extend(gone);
        self.append.arm.extend(new);
        if wanted == self.live.armed {
            return false;
        }
        self.live.armed = wanted;
        true
    }

    /// Adds the turn's record, and a snapshot where one is due. The record says what is armed after it: timers change
    /// before.
    pub(super) fn add_record(
        &mut self,
        correlation: Uuid,
        meta: &RecordMeta,
        events: &[W::Event],
        activities: &[W::Activity],
    ) {
        let stream = self.entity.stream();
        let version = self.live.version + 1;
        let record = Record {
            stream: stream.clone(),
            version,
            at_ms: self.now.as_millis(),
            correlation,
            metadata: codec::encode(meta),
            key_id: None,
            previous: self.live.head,
            events: events
                .iter()
                .map(|event| {
                    let kind = W::event_type(event);
                    EventBytes {
                        name: kind.name.to_owned(),
                        version: kind.version,
                        bytes: codec::encode(event),
                    }
                })
                .collect(),
            activities: activities
                .iter()
                .map(|activity| ActivityBytes {
                    lane: W::lane(activity).unwrap_or_default(),
                    bytes: codec::encode(activity),
                })
                .collect(),
            armed: self.live.armed.clone(),
        };
        let encoded = record.encode();
        self.live.head = encoded.hash;
        if version.saturating_sub(self.live.snapshot_version) >= self.snapshot_every {
            self.live.snapshot_version = version;
            let snapshot = Snapshot {
                stream: stream.clone(),
                state_revision: W::STATE_REVISION,
                version,
                seq: 0,
                head: self.live.head,
                armed: self.live.armed.clone(),
                state: codec::encode(&self.live.state),
            };
            self.append.snapshot =
                Some(SnapshotBytes { stream: stream.clone(), bytes: snapshot.encode().bytes });
        }
        self.append.record = Some(NewRecord {
            stream,
            expected_version: self.live.version,
            read_after: self.live.read_after,
            events: u32::try_from(events.len()).unwrap_or(u32::MAX),
            bytes: encoded.bytes,
            hash: encoded.hash,
        });
    }
}
