//! The outbox: performs what turns asked for, with retries, in order where a lane asks for order.
//!
//! Pending activities are read in due order, a window at a time. An outcome is a command to the entity, and the
//! commit of that command consumes the activity. A failed try moves the activity to a later moment and holds its
//! lane until then; after the last try, or a refusal, it becomes a dead letter and the lane goes on.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures::FutureExt;
use throughline_storage::{
    append::{ActivityKey, Append, CommitError, DeadLetter, LaneHold, LaneKey, PendingActivity, PendingKey},
    codec,
    envelope::Record,
};
use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::{ActivityError, By, Cause, CauseKind},
};
use tracing::Instrument;

use crate::{
    backoff,
    dead_letters::{ActivityLetter, reason},
    engine::Engine,
    order::{Along, AnyCommand, CommandMeta, EntityRef, Order, Refusal, Rejected, panic_text},
    pauses,
    performer::{Admission, AnyPerformer, Attempt, Outcome, activity_id},
    rehydrate::RecordMeta,
    reports,
    runner::Tasks,
    shared::Shared,
};

/// How far one look reads past activities whose lane is busy.
const WINDOW: usize = 1024;

/// The code of an error that is a performer's panic.
pub(crate) const PANICKED: &str = "panic";

/// An activity asked for less than this ago is performed without asking whether it is still wanted.
const CHANGE_OF_MIND: Span = Span::from_secs(1);

/// What is under way.
#[derive(Default)]
struct UnderWay {
    keys: HashSet<ActivityKey>,
    lanes: HashMap<LaneKey, ActivityKey>,
}

/// Runs until the engine drains; then waits for the tries that have begun.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut progress = shared.host.journal.progress();
    let mut pauses = shared.host.pauses.changes();
    let mut tries = shared.host.runner.tasks("activities: a try");
    let mut under_way = UnderWay::default();
    loop {
        progress.mark_unchanged();
        pauses.mark_unchanged();
        let pending = progress.borrow().activities_pending;
        let next = match start_ready(&shared, &mut tries, &mut under_way).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "pending activities could not be read");
                None
            }
        };
        shared.gauges.activities_in_flight(under_way.keys.len());
        let full = under_way.keys.len() >= shared.host.options.activities_in_flight;
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => break,
            Some(done) = tries.join_next() => finish(&shared, done, &mut under_way),
            _ = pauses.changed(), if !full => {}
            () = sleep_until(&shared, next), if !full => {}
            _ = progress.wait_for(|progress| progress.activities_pending != pending), if !full => {}
        }
        while let Some(done) = tries.try_join_next() {
            finish(&shared, done, &mut under_way);
        }
    }
    while tries.join_next().await.is_some() {}
}

fn finish(shared: &Shared, done: Result<PendingActivity, String>, under_way: &mut UnderWay) {
    if let Ok(activity) = done {
        shared.trying.end(&activity.key);
        under_way.keys.remove(&activity.key);
        if !activity.lane.is_empty() {
            under_way.lanes.remove(&lane_of(&activity));
        }
    }
}

async fn sleep_until(shared: &Shared, at: Option<Timestamp>) {
    match at {
        Some(at) => shared.host.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Starts what is ready and free to go; returns when the next pending one is ready.
async fn start_ready(
    shared: &Arc<Shared>,
    tries: &mut Tasks<PendingActivity>,
    under_way: &mut UnderWay,
) -> Result<Option<Timestamp>, String> {
    let journal = &shared.host.journal;
    let now = shared.host.clock.now();
    let most = shared.host.options.activities_in_flight;
    let mut after: Option<ActivityKey> = None;
    let mut changing: HashSet<LaneKey> = HashSet::new();
    while under_way.keys.len() < most {
        let window =
            journal.activities(after.as_ref(), now.as_millis(), WINDOW).map_err(|error| error.to_string())?;
        let Some(last) = window.last() else { break };
        let mut behind = Vec::new();
        after = Some(last.key.clone());
        let more = window.len() == WINDOW;
        for activity in window {
            if under_way.keys.len() >= most {
                break;
            }
            if under_way.keys.contains(&activity.key) || shared.host.pauses.has(&activity.key.stream) {
                continue;
            }
            let lane = (!activity.lane.is_empty()).then(|| lane_of(&activity));
            if let Some(lane) = &lane {
                if under_way.lanes.contains_key(lane) || changing.contains(lane) {
                    continue;
                }
                if let Some(hold) = journal.hold(lane).map_err(|error| error.to_string())?
                    && !same_activity(&hold.held_by, &activity.key)
                    && journal.activity(&hold.held_by).map_err(|error| error.to_string())?.is_some()
                {
                    behind.push((activity, hold));
                    continue;
                }
            }
            if !shared.trying.begin(&activity.key) {
                // An operator is changing it; what comes after it in its lane must not overtake it.
                changing.extend(lane);
                continue;
            }
            if let Some(lane) = lane {
                under_way.lanes.insert(lane, activity.key.clone());
            }
            under_way.keys.insert(activity.key.clone());
            let shared = shared.clone();
            tries.spawn(async move {
                // The activity must come back whatever happens, or it would count as under way for ever.
                if let Err(panic) = AssertUnwindSafe(attempt(&shared, &activity)).catch_unwind().await {
                    let message = panic_text(&*panic);
                    tracing::error!(panic = %message, "a try of an activity panicked");
                    // A try that had begun and left its mark must not be made again: what comes next sees the mark.
                    let kept = shared.host.journal.activity(&activity.key);
                    if !matches!(kept, Ok(Some(PendingActivity { begun_at_ms: Some(_), .. }))) {
                        put_off(&shared, &activity, &ActivityError { code: None, message }, None).await;
                    }
                }
                activity
            });
        }
        wait_behind(shared, behind).await;
        if !more {
            break;
        }
    }
    let later =
        journal.activities(Some(&last_key_of(now)), u64::MAX, 1).map_err(|error| error.to_string())?;
    Ok(later.first().map(|activity| Timestamp::from_millis(activity.key.ready_at_ms)))
}

/// A key after every activity that is ready at `now`.
fn last_key_of(now: Timestamp) -> ActivityKey {
    ActivityKey {
        ready_at_ms: now.as_millis() + 1,
        stream: throughline_storage::append::StreamId {
            tenant: String::new(),
            kind: String::new(),
            entity: uuid::Uuid::nil(),
        },
        version: 0,
        index: 0,
    }
}

pub(crate) fn lane_of(activity: &PendingActivity) -> LaneKey {
    LaneKey { stream: activity.key.stream.clone(), lane: activity.lane.clone() }
}

pub(crate) fn same_activity(a: &ActivityKey, b: &ActivityKey) -> bool {
    (&a.stream, a.version, a.index) == (&b.stream, b.version, b.index)
}

/// Moves activities behind those that hold their lanes, in one commit: keys of one moment sort by version and index.
async fn wait_behind(shared: &Shared, behind: Vec<(PendingActivity, LaneHold)>) {
    let mut append = Append::default();
    for (activity, hold) in behind {
        let key = ActivityKey { ready_at_ms: hold.held_by.ready_at_ms, ..activity.key.clone() };
        if key != activity.key {
            append.consume.push(PendingKey::Activity(activity.key.clone()));
            append.activities.push(PendingActivity { key, ..activity });
        }
    }
    if append.activities.is_empty() {
        return;
    }
    if let Err(error) = shared.commit_essential(append).await {
        tracing::warn!(%error, "activities could not be put behind the first of their lanes");
    }
}

/// One try of one activity, to a durable end.
async fn attempt(shared: &Arc<Shared>, pending: &PendingActivity) {
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
    let number = pending.attempts + 1;
    let span = tracing::info_span!(
        "activity", "tenant.id" = %entity.tenant, "entity.kind" = entity.kind, "entity.id" = %entity.id,
        "activity.id" = %id, attempt = number, "turn.version" = pending.key.version,
        "trace.id" = %record.correlation
    );
    async {
        let attempt = Attempt {
            tenant: entity.tenant.clone(),
            entity: entity.id,
            id: id.clone(),
            number,
            asked_at: Timestamp::from_millis(pending.asked_at_ms),
            now: shared.host.clock.now(),
            correlation: record.correlation,
            engine: Engine { shared: shared.clone() },
        };
        if pending.begun_at_ms.is_some() {
            // A try of a former process, or one that never came back in this one.
            let error = lost("the process ended before the answer was known");
            uncertain(shared, pending, &entity, &*performer, payload, error, &record, &id).await;
            return;
        }
        // It may have been paused since this try was begun, and again while its mark was on its way to the disk.
        if is_paused(shared, pending) {
            return;
        }
        let marked = match performer.admit(&payload, &attempt) {
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
        match performer.perform(payload.clone(), attempt).await {
            Outcome::Done(command) => {
                settle(shared, pending, &entity, command, None, &record, &id, By::engine()).await;
            }
            Outcome::HandOver(hand_over) => {
                let (receiver, command) = hand_over.unpack(&entity.tenant);
                // Who gave the order is who asks the other entity.
                let by = codec::decode::<RecordMeta>(&record.metadata).map_or_else(|_| By::engine(), |meta| meta.by);
                settle(shared, pending, &receiver, Some(command), None, &record, &id, by).await;
            }
            Outcome::Uncertain(error) => {
                uncertain(shared, pending, &entity, &*performer, payload, error, &record, &id).await;
            }
            Outcome::Retry { error, .. } if marked.is_some() && error.code.as_deref() == Some(PANICKED) => {
                let error = lost(&format!("the performer panicked: {}", error.message));
                uncertain(shared, pending, &entity, &*performer, payload, error, &record, &id).await;
            }
            Outcome::Retry { after, error } if number < shared.host.options.attempts_max => {
                let wait = after.unwrap_or_else(|| backoff::activity(&id, number));
                tracing::warn!(error = %error.message, retry_in_ms = wait.as_millis(), "an activity failed and is tried again");
                put_off(shared, pending, &error, Some(wait)).await;
            }
            Outcome::Retry { error, .. } | Outcome::Refused(error) => {
                tracing::error!(error = %error.message, "an activity is given up");
                give_up(shared, pending, &entity, &*performer, payload, error, &record, &id).await;
            }
        }
    }
    .instrument(span)
    .await;
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

/// Tells the entity that nobody knows; a workflow that has no word for that hears that it was given up.
#[expect(clippy::too_many_arguments, reason = "the letter is made of all of these")]
async fn uncertain(
    shared: &Shared,
    pending: &PendingActivity,
    entity: &EntityRef,
    performer: &dyn AnyPerformer,
    payload: Vec<u8>,
    error: ActivityError,
    record: &Record,
    id: &str,
) {
    tracing::error!(error = %error.message, "whether an activity was done is not known");
    match performer.uncertain(&payload, &error) {
        Some(command) => {
            settle(shared, pending, entity, Some(command), None, record, id, By::engine()).await;
        }
        None => give_up(shared, pending, entity, performer, payload, error, record, id).await,
    }
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

/// Moves a failed activity to its next try and holds its lane.
async fn put_off(shared: &Shared, pending: &PendingActivity, error: &ActivityError, wait: Option<Span>) {
    let attempts = pending.attempts + 1;
    let id = format!("{}.{}", pending.key.version, pending.key.index);
    let wait = wait.unwrap_or_else(|| backoff::activity(&id, attempts));
    move_to(shared, pending, wait, attempts, &error.message).await;
}

/// Moves an activity that was not tried to its next moment and holds its lane. No try is used up.
async fn wait(shared: &Shared, pending: &PendingActivity, why: &str, after: Span) {
    let after = after.max(Span::from_millis(1)); // Or it would be asked again at once, without end.
    move_to(shared, pending, after, pending.attempts, why).await;
}

async fn move_to(shared: &Shared, pending: &PendingActivity, wait: Span, attempts: u32, why: &str) {
    let ready_at_ms = (shared.host.clock.now() + wait).as_millis();
    let later = PendingActivity {
        key: ActivityKey { ready_at_ms, ..pending.key.clone() },
        attempts,
        last_error: Some(reason(why)),
        begun_at_ms: None,
        ..pending.clone()
    };
    let hold =
        (!pending.lane.is_empty()).then(|| LaneHold { key: lane_of(pending), held_by: later.key.clone() });
    let mut append = Append {
        consume: vec![PendingKey::Activity(pending.key.clone())],
        activities: vec![later],
        hold: hold.into_iter().collect(),
        ..Append::default()
    };
    if let Err(CommitError::TooLarge { .. }) = shared.commit_essential(append.clone()).await {
        // What the last try said is the part that can be spared.
        for activity in &mut append.activities {
            activity.last_error = None;
        }
        if let Err(error) = shared.commit_essential(append).await {
            tracing::error!(%error, "a failed activity could not be put off");
            shared.host.runner.sleep(backoff::hand_over(attempts)).await;
        }
    }
}

/// Keeps a given-up activity as a dead letter and tells its entity, in one commit.
#[expect(clippy::too_many_arguments, reason = "the letter is made of all of these")]
pub(crate) async fn give_up(
    shared: &Shared,
    pending: &PendingActivity,
    entity: &EntityRef,
    performer: &dyn AnyPerformer,
    payload: Vec<u8>,
    error: ActivityError,
    record: &Record,
    id: &str,
) {
    let command = performer.given_up(&payload, &error);
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
            payload,
        }),
    };
    settle(shared, pending, entity, command, Some(letter), record, id, By::engine()).await;
}

/// Hands an outcome to the entity; its commit consumes the activity and lets the lane go on.
#[expect(clippy::too_many_arguments, reason = "an outcome is all of these")]
async fn settle(
    shared: &Shared,
    pending: &PendingActivity,
    entity: &EntityRef,
    command: Option<AnyCommand>,
    letter: Option<DeadLetter>,
    record: &Record,
    id: &str,
    by: By,
) {
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
            cause: Cause { kind: CauseKind::Activity, id: id.to_owned() },
            correlation: record.correlation,
            idempotency: None,
        },
        consume,
        along: Along { dead_letters: letter.into_iter().collect(), unhold, ..Along::default() },
        firing: None,
        rejected: Rejected::Settles,
        // The entity's own outcome is told to it even while it is paused: nobody else would know of it.
        yields: entity.stream() != pending.key.stream,
    };
    let (mut tries, mut crashes) = (0, 0);
    loop {
        let refusal = match shared.registry.deliver(entity, &order).await {
            Ok(_) | Err(Refusal::AlreadyDone | Refusal::Draining | Refusal::Failed(_)) => return,
            Err(Refusal::Paused) => {
                wait(shared, pending, &format!("{entity} is paused"), pauses::ASK_AGAIN).await;
                return;
            }
            Err(Refusal::Rejected(rejection)) => {
                let rejection = shared.rejection_text(entity.kind, &rejection);
                tracing::warn!(%rejection, "an outcome was of no use to its entity");
                return;
            }
            Err(refusal) => refusal,
        };
        tries += 1;
        if let Some((reason, version)) = refusal.poison() {
            crashes += 1;
            if crashes >= shared.host.options.crashes_max {
                shared.bury_outcome(entity, version, &order, reason, crashes).await;
                return;
            }
        }
        tracing::warn!(?refusal, tries, "an outcome could not be handed over and is handed over again");
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => return,
            () = shared.host.runner.sleep(backoff::hand_over(tries)) => {}
        }
    }
}
