//! The outbox: performs what turns asked for, with retries, in order where a lane asks for order.
//!
//! Pending activities are read in due order, a window at a time. An outcome is a command to the entity, and the
//! commit of that command consumes the activity. A failed try moves the activity to a later moment and holds its
//! lane until then; after the last try, or a refusal, it becomes a dead letter and the lane goes on.

mod attempt;

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures::FutureExt;
use throughline_storage::append::{
    ActivityKey, Append, CommitError, LaneHold, LaneKey, PendingActivity, PendingKey,
};
use throughline_workflows::{
    time::{Span, Timestamp},
    workflow::ActivityError,
};

use self::attempt::attempt;
pub(crate) use self::attempt::{Try, read};
use crate::{backoff, dead_letters::reason, order::panic_text, runner::Tasks, shared::Shared};

/// How far one look reads past activities whose lane is busy.
const WINDOW: usize = 1024;

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
