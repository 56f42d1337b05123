//! One try of one activity, to a durable end.
//!
//! Before it begins the activity is read from the turn that asked for it, and the entity may be asked whether it still
//! wants it. Whatever the world answers, the commit that follows settles the activity, or moves it to its next try.

use std::sync::Arc;

use throughline_storage::{
    append::{ActivityKey, Append, CommitError, DeadLetter, PendingActivity, PendingKey},
    codec,
    envelope::Record,
};
use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::{ActivityError, By, Cause, CauseKind},
};
use tracing::Instrument;

use super::{lane_of, put_off, wait};
use crate::{
    backoff,
    dead_letters::{ActivityLetter, reason},
    engine::Engine,
    order::{Along, AnyCommand, CommandMeta, EntityRef, Order, Refusal, Rejected},
    pauses,
    performer::{Admission, AnyPerformer, Attempt, Outcome, PANICKED, activity_id},
    rehydrate::RecordMeta,
    reports,
    shared::Shared,
};

/// An activity asked for less than this ago is performed without asking whether it is still wanted.
const CHANGE_OF_MIND: Span = Span::from_secs(1);

/// One try of one activity, to a durable end.
pub(super) async fn attempt(shared: &Arc<Shared>, pending: &PendingActivity) {
    // The store shows a turn shortly before it is durable: the world must not hear of one that a power cut undoes.
    if shared.host.journal.barrier().await.is_err() {
        return;
    }
    if pending.key.stream.kind == reports::KIND {
        return reports::attempt(shared, pending).await;
    }
    let Some((entity, performer)) = shared.performer(&pending.key.stream) else {
        tracing::error!("entity.kind" = %pending.key.stream.kind, "an activity of an unknown workflow is pending");
        put_off(shared, pending, &unknown_workflow(), None).await;
        return;
    };
    let (record, payload) = match read(shared, pending) {
        Ok(found) => found,
        Err(message) => {
            tracing::error!("entity.kind" = entity.kind, "entity.id" = %entity.id, error = %message, "an activity could not be read");
            put_off(shared, pending, &ActivityError { code: None, message }, None).await;
            return;
        }
    };
    if must_ask(shared, pending) {
        match performer.still_wanted(&shared.host.journal, &entity, &payload) {
            Ok(true) => {}
            Ok(false) => return drop_unwanted(shared, pending, &entity).await,
            Err(message) => {
                tracing::error!("entity.kind" = entity.kind, "entity.id" = %entity.id, error = %message, "whether an activity is still wanted cannot be told");
                put_off(shared, pending, &ActivityError { code: None, message }, None).await;
                return;
            }
        }
    }
    let id = activity_id(&entity, pending.key.version, pending.key.index, pending.edited.is_some());
    let span = tracing::info_span!(
        "activity", "tenant.id" = %entity.tenant, "entity.kind" = entity.kind, "entity.id" = %entity.id,
        "activity.id" = %id, attempt = pending.attempts + 1, "turn.version" = pending.key.version,
        "trace.id" = %record.correlation
    );
    let (entity, performer, record) = (&entity, &*performer, &record);
    Try { shared, pending, entity, performer, record, payload: &payload, id: &id }
        .make()
        .instrument(span)
        .await;
}

/// A try of an activity: what was asked for, by whom, and who performs it.
#[derive(Clone, Copy)]
pub(crate) struct Try<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    /// The activity as it waits for its outcome.
    pub(crate) pending: &'a PendingActivity,
    /// Who asked for it.
    pub(crate) entity: &'a EntityRef,
    pub(crate) performer: &'a dyn AnyPerformer,
    /// What the turn that asked for it left in the journal.
    pub(crate) record: &'a Record,
    /// The activity, encoded.
    pub(crate) payload: &'a [u8],
    /// The activity's id.
    pub(crate) id: &'a str,
}

impl Try<'_> {
    /// Asks the performer, and settles what came of it.
    async fn make(self) {
        let Self { shared, pending, entity, performer, record, payload, id } = self;
        let number = pending.attempts + 1;
        let attempt = Attempt {
            tenant: entity.tenant.clone(),
            entity: entity.id,
            id: id.to_owned(),
            number,
            asked_at: Timestamp::from_millis(pending.asked_at_ms),
            now: shared.host.clock.now(),
            correlation: record.correlation,
            engine: Engine { shared: shared.clone() },
        };
        if pending.begun_at_ms.is_some() {
            // A try of a former process, or one that never came back in this one.
            self.uncertain(lost("the process ended before the answer was known")).await;
            return;
        }
        // It may have been paused since this try was begun, and again while its mark was on its way to the disk.
        if is_paused(shared, pending) {
            return;
        }
        let marked = match performer.admit(payload, &attempt) {
            Admission::Keyed => None,
            Admission::Unkeyed => match mark(shared, pending).await {
                Some(marked) => Some(marked),
                None => return,
            },
            Admission::NotNow { after, why } => {
                tracing::debug!(why, retry_in_ms = after.as_millis(), "an activity may not be tried yet");
                wait(shared, pending, &why, after).await;
                return;
            }
        };
        if let Some(marked) = marked.as_ref().filter(|_| is_paused(shared, pending)) {
            return unmark(shared, marked).await;
        }
        let pending = marked.as_ref().unwrap_or(pending);
        let begun = Try { pending, ..self };
        match performer.perform(payload.to_vec(), attempt).await {
            Outcome::Done(command) => begun.settle(entity, command, None, By::engine()).await,
            Outcome::HandOver(hand_over) => {
                let (receiver, command) = hand_over.unpack(&entity.tenant);
                // Who gave the order is who asks the other entity.
                let by = codec::decode::<RecordMeta>(&record.metadata)
                    .map_or_else(|_| By::engine(), |meta| meta.by);
                begun.settle(&receiver, Some(command), None, by).await;
            }
            Outcome::Uncertain(error) => begun.uncertain(error).await,
            Outcome::Retry { error, .. } if marked.is_some() && error.code.as_deref() == Some(PANICKED) => {
                begun.uncertain(lost(&format!("the performer panicked: {}", error.message))).await;
            }
            Outcome::Retry { after, error } if number < shared.host.options.attempts_max => {
                let wait = after.unwrap_or_else(|| backoff::activity(id, number));
                tracing::warn!(error = %error.message, retry_in_ms = wait.as_millis(), "an activity failed and is tried again");
                put_off(shared, pending, &error, Some(wait)).await;
            }
            Outcome::Retry { error, .. } | Outcome::Refused(error) => {
                tracing::error!(error = %error.message, "an activity is given up");
                begun.give_up(error).await;
            }
        }
    }

    /// Tells the entity that nobody knows; a workflow that has no word for that hears that it was given up.
    async fn uncertain(self, error: ActivityError) {
        tracing::error!(error = %error.message, "whether an activity was done is not known");
        match self.performer.uncertain(self.payload, &error) {
            Some(command) => self.settle(self.entity, Some(command), None, By::engine()).await,
            None => self.give_up(error).await,
        }
    }

    /// Keeps a given-up activity as a dead letter and tells its entity, in one commit.
    pub(crate) async fn give_up(self, error: ActivityError) {
        let Self { shared, pending, entity, performer, payload, .. } = self;
        let command = performer.given_up(payload, &error);
        let letter = DeadLetter {
            id: shared.host.minter.mint(),
            tenant: entity.tenant.to_string(),
            at_ms: shared.host.clock.now().as_millis(),
            kind: "activity".to_owned(),
            stream: Some((pending.key.stream.clone(), pending.key.version)),
            reason: reason(error.message),
            attempts: pending.attempts + 1,
            payload: codec::encode(&ActivityLetter {
                index: pending.key.index,
                lane: pending.lane.clone(),
                asked_at_ms: pending.asked_at_ms,
                payload: payload.to_vec(),
            }),
        };
        self.settle(entity, command, Some(letter), By::engine()).await;
    }

    /// Hands an outcome to `receiver`, the entity that asked or another; the commit consumes the activity and lets the
    /// lane go on.
    async fn settle(
        self,
        receiver: &EntityRef,
        command: Option<AnyCommand>,
        letter: Option<DeadLetter>,
        by: By,
    ) {
        let Self { shared, pending, .. } = self;
        // A lane is held only by an activity that was put off before.
        let put_off = pending.attempts > 0 || pending.last_error.is_some();
        let unhold: Vec<_> =
            (put_off && !pending.lane.is_empty()).then(|| lane_of(pending)).into_iter().collect();
        let consume = vec![PendingKey::Activity(pending.key.clone())];
        let Some(command) = command else {
            let append =
                Append { consume, unhold, dead_letters: letter.into_iter().collect(), ..Append::default() };
            if let Err(error) = shared.commit_essential(append).await {
                tracing::warn!(%error, "an activity's outcome could not be recorded; it is tried again");
                shared.host.runner.sleep(backoff::hand_over(pending.attempts + 1)).await;
            }
            return;
        };
        let order = Order {
            command,
            meta: CommandMeta {
                by,
                cause: Cause { kind: CauseKind::Activity, id: self.id.to_owned() },
                correlation: self.record.correlation,
                idempotency: None,
            },
            consume,
            along: Along { dead_letters: letter.into_iter().collect(), unhold, ..Along::default() },
            firing: None,
            rejected: Rejected::Settles,
            // The entity's own outcome is told to it even while it is paused: nobody else would know of it.
            yields: receiver.stream() != pending.key.stream,
        };
        hand_over(shared, pending, receiver, &order).await;
    }
}

/// Hands an outcome over until it has been taken, or is of no use.
async fn hand_over(shared: &Shared, pending: &PendingActivity, receiver: &EntityRef, order: &Order) {
    let (mut tries, mut crashes) = (0, 0);
    loop {
        let refusal = match shared.registry.deliver(receiver, order).await {
            Ok(_) | Err(Refusal::AlreadyDone | Refusal::Draining | Refusal::Failed(_)) => return,
            Err(Refusal::Paused) => {
                wait(shared, pending, &format!("{receiver} is paused"), pauses::ASK_AGAIN).await;
                return;
            }
            Err(Refusal::Rejected(rejection)) => {
                let rejection = shared.rejection_text(receiver.kind, &rejection);
                tracing::warn!(%rejection, "an outcome was of no use to its entity");
                return;
            }
            Err(refusal) => refusal,
        };
        tries += 1;
        if let Some((reason, version)) = refusal.poison() {
            crashes += 1;
            if crashes >= shared.host.options.crashes_max {
                shared.bury_outcome(receiver, version, order, reason, crashes).await;
                return;
            }
        }
        tracing::warn!(?refusal, tries, "an outcome could not be handed over and is handed over again");
        if !shared.host.hold_off(backoff::hand_over(tries)).await {
            return;
        }
    }
}

fn lost(message: &str) -> ActivityError {
    ActivityError { code: Some("uncertain".to_owned()), message: message.to_owned() }
}

/// Records that a try begins whose answer must not be lost; none where it must not begin.
async fn mark(shared: &Shared, pending: &PendingActivity) -> Option<PendingActivity> {
    let begun = PendingActivity { begun_at_ms: Some(shared.host.clock.now().as_millis()), ..pending.clone() };
    let append = Append {
        consume: vec![PendingKey::Activity(pending.key.clone())],
        activities: vec![begun.clone()],
        ..Append::default()
    };
    match shared.host.journal.commit(append).await {
        Ok(_) => Some(begun),
        // Somebody else settled it.
        Err(CommitError::AlreadyDone) => None,
        Err(error) => {
            tracing::warn!(%error, "the beginning of a try could not be recorded, so it does not begin");
            shared.host.runner.sleep(backoff::hand_over(pending.attempts + 1)).await;
            None
        }
    }
}

/// Takes the mark of a try away that did not begin.
async fn unmark(shared: &Shared, marked: &PendingActivity) {
    let append = Append {
        consume: vec![PendingKey::Activity(marked.key.clone())],
        activities: vec![PendingActivity { begun_at_ms: None, ..marked.clone() }],
        ..Append::default()
    };
    if let Err(error) = shared.commit_essential(append).await {
        tracing::warn!(%error, "that a try did not begin could not be recorded: what is known of it is that it may have");
    }
}

/// Whether the entity has been paused: it was not when the try was begun, and nothing may be asked of the world for it.
fn is_paused(shared: &Shared, pending: &PendingActivity) -> bool {
    shared.host.pauses.has(&pending.key.stream)
}

/// Whether the entity may have changed its mind since it asked. Nothing replaces an activity in the moment in which it
/// is asked for, and the first try of most is in that moment. What a person edited and sent again is wanted.
fn must_ask(shared: &Shared, pending: &PendingActivity) -> bool {
    let asked_at = Timestamp::from_millis(pending.asked_at_ms);
    pending.edited.is_none()
        // What has begun may have been done: its entity hears of that, wanted or not.
        && pending.begun_at_ms.is_none()
        && (pending.attempts > 0 || shared.host.clock.now().since(asked_at) >= CHANGE_OF_MIND)
}

/// Lets go of an activity that its entity no longer wants.
async fn drop_unwanted(shared: &Shared, pending: &PendingActivity, entity: &EntityRef) {
    tracing::info!("entity.kind" = entity.kind, "entity.id" = %entity.id, "an activity is no longer wanted and is dropped");
    let unhold: Vec<_> = (!pending.lane.is_empty()).then(|| lane_of(pending)).into_iter().collect();
    let consume = vec![PendingKey::Activity(pending.key.clone())];
    if let Err(error) = shared.commit_essential(Append { consume, unhold, ..Append::default() }).await {
        tracing::warn!(%error, "an unwanted activity could not be dropped; it is looked at again");
        shared.host.runner.sleep(backoff::hand_over(pending.attempts + 1)).await;
    }
}

fn unknown_workflow() -> ActivityError {
    ActivityError { code: None, message: "no workflow of this kind is registered".to_owned() }
}

/// What the turn that asked for an activity left in the journal, and the activity, encoded.
pub(crate) fn read(shared: &Shared, pending: &PendingActivity) -> Result<(Record, Vec<u8>), String> {
    let ActivityKey { stream, version, index, .. } = &pending.key;
    let record = shared
        .host
        .journal
        .record(stream, *version)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("version {version} is not in the journal"))?
        .decode()
        .map_err(|error| error.to_string())?;
    let payload = match &pending.edited {
        Some(edited) => edited.clone(),
        None => record
            .activities
            .get(*index as usize)
            .map(|activity| activity.bytes.clone())
            .ok_or_else(|| format!("version {version} holds no activity {index}"))?,
    };
    Ok((record, payload))
}
