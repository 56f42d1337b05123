//! A second calculation of the clocks that shares nothing with the first: it reads what was recorded from the beginning
//! and adds up, day by day, the time that was open.
//!
//! Looked at are the first response (when it began, when it was met) and the resolution (when it began, whether it runs,
//! pauses or is met, what is spent, when it falls due), in every conversation whenever time is about to pass, through
//! changes of the opening hours and the targets. The other clocks are compared with a slow model over random histories, beside the conversation itself.

use throughline_actors::engine::Engine;
use throughline_workflows::{
    conversation::{Conversation, Event, Status},
    policy::Policies,
    sla::{Clock, ClockKind},
    time::Timestamp,
    workflow::ByKind,
};

use crate::{run::Simulation, script::Hours, witness::Told};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Looks at every conversation as it is now.
pub(crate) fn check(simulation: &Simulation) -> Result<(), String> {
    let Some(engine) = simulation.life.engine() else { return Ok(()) };
    let now = simulation.life.now();
    for (id, told) in &simulation.witness.conversations {
        let state = engine.read_state::<Conversation>(&told.tenant, *id)?;
        let Some(facts) = state.facts() else { continue };
        let Some(policies) = engine.policies(&told.tenant) else { continue };
        let Some(hours) = simulation.witness.operations.hours.get(told.tenant.as_str()) else { continue };
        // A change that has not reached every conversation does so shortly; at rest it has.
        let late = facts.clocks.policy != hours.len() as u64
            && ClockKind::ALL.iter().any(|kind| facts.clocks.get(*kind).is_some_and(Clock::is_running));
        if late || policies.in_force().version != hours.len() as u64 {
            continue;
        }
        first_response(told, facts.clocks.get(ClockKind::FirstResponse))
            .and_then(|()| {
                let clock = facts.clocks.get(ClockKind::Resolution);
                resolution(hours, told, clock, &policies, now)
            })
            .map_err(|broken| format!("conversation {id}: {broken}\n{}", told.story()))?;
    }
    Ok(())
}

/// Clocks that run by a policy which is no longer in force, once everything has come to rest.
pub(crate) fn left_behind(simulation: &Simulation, engine: &Engine) -> Result<Vec<String>, String> {
    let mut left = Vec::new();
    for (id, told) in &simulation.witness.conversations {
        let state = engine.read_state::<Conversation>(&told.tenant, *id)?;
        let hours = simulation.witness.operations.hours.get(told.tenant.as_str()).map_or(0, Vec::len) as u64;
        let Some(facts) = state.facts() else { continue };
        let runs = |kind: &ClockKind| facts.clocks.get(*kind).is_some_and(Clock::is_running);
        if facts.clocks.policy != hours && ClockKind::ALL.iter().any(runs) {
            left.push(format!("conversation {id} runs by version {} of {hours}", facts.clocks.policy));
        }
        let in_force = engine.policies(&told.tenant).map(|policies| policies.in_force().version);
        if in_force != Some(hours) {
            left.push(format!(
                "version {in_force:?} is in force at {}, and {hours} were recorded",
                told.tenant
            ));
        }
    }
    Ok(left)
}

fn first_response(told: &Told, clock: Option<&Clock>) -> Result<(), String> {
    let Some(clock) = clock else { return Ok(()) };
    let began = told.asked.iter().map(|(received, _)| *received).next();
    if began != Some(clock.started_at) {
        return Err(format!("the first response began at {began:?}, the clock at {}", clock.started_at));
    }
    if told.asked.iter().filter(|(received, _)| Some(*received) == began).count() > 1 {
        return Ok(()); // Which of messages of one instant an answer answers cannot be told by their times.
    }
    let words = |wanted: &_| {
        told.events.iter().any(|event| {
            matches!(event, Event::MessageQueued { message, by, .. }
                if message.message_id == *wanted && by.kind == ByKind::Person)
        })
    };
    let mut met: Option<Timestamp> = None;
    for event in &told.events {
        let Event::DeliveryChanged { at, message_id, status, .. } = event else { continue };
        if !words(message_id) {
            continue;
        }
        if status.is_accepted() {
            met = Some(met.map_or(*at, |met| met.min(*at)));
        } else if told.taken.contains(message_id) {
            return Ok(()); // What failed later opens the clock again; the slow model knows how.
        }
    }
    if met == clock.met_at {
        Ok(())
    } else {
        Err(format!("a person was first heard at {met:?}, and the clock was met at {:?}", clock.met_at))
    }
}

fn resolution(
    hours: &[(Timestamp, Hours)],
    told: &Told,
    clock: Option<&Clock>,
    policies: &Policies,
    now: Timestamp,
) -> Result<(), String> {
    let (Some(clock), Some((began, _))) = (clock, told.asked.first()) else { return Ok(()) };
    let runs = |status: Status| !matches!(status, Status::AwaitingCustomer | Status::Resolved);
    let (mut spent, mut status) = (0, Status::Open);
    // Since when it runs, or when it stopped; and by which version of the policy that was decided.
    let (mut since, mut by) = (*began, told.began_by);
    // What was counted last, where a resolution ended it: that did not happen, for a message that was written before.
    let mut undone: Option<(Timestamp, u64, u64)> = None;
    for (at, to, decided_by) in &told.moves {
        match (runs(status), runs(*to)) {
            (true, false) => {
                let at = (*at).max(since);
                spent += open(hours, by, *decided_by, since, at);
                undone = (*to == Status::Resolved).then_some((since, by, *decided_by));
                since = at;
            }
            (false, true) => {
                if let Some((ran_since, ran_by, stopped_by)) = undone.take().filter(|_| *at < since) {
                    let from = (*at).max(ran_since);
                    spent -= open(hours, ran_by, stopped_by, from, since);
                    since = from;
                }
                (since, by) = ((*at).max(since), *decided_by);
            }
            (true, true) | (false, false) => {}
        }
        status = *to;
    }
    if runs(status) {
        spent += open(hours, by, hours.len() as u64, since, now);
    }
    let in_force = policies.in_force().hours(clock.calendar.as_deref());
    let told_by_engine =
        (clock.started_at, clock.met_at.is_some(), clock.met_at.is_none() && clock.paused_at.is_some());
    let expected = (*began, status == Status::Resolved, status == Status::AwaitingCustomer);
    if told_by_engine != expected {
        return Err(format!(
            "the resolution's clock (began, met, paused) says {told_by_engine:?}, and expected is {expected:?}"
        ));
    }
    let (spent_by_engine, slack) = (clock.spent_by(now, in_force).as_millis(), slack(hours, told));
    if spent_by_engine.abs_diff(spent) > slack {
        return Err(format!("the resolution has spent {spent_by_engine} ms, and counted are {spent} ms"));
    }
    let target = clock.target.as_millis();
    if runs(status) && spent < target && slack == 0 {
        let due = due(hours, now, target - spent);
        if clock.due_at != Some(due) {
            return Err(format!("the resolution is due at {:?}, and counted is {due}", clock.due_at));
        }
    }
    Ok(())
}

/// For how long two versions of the policy could be meant: a version holds from when it was written, and a turn that was
/// decided before it was in force has counted by the one before it.
fn slack(versions: &[(Timestamp, Hours)], told: &Told) -> u64 {
    let of = |(place, (since, _)): (usize, &(Timestamp, Hours))| {
        let before = told.ran_by.iter().filter(|(_, by)| *by <= place as u64);
        before.map(|(at, _)| at.since(*since).as_millis()).max().unwrap_or_default()
    };
    versions.iter().enumerate().skip(1).map(of).sum()
}

/// When it is open on a day, counted from the first of January 1970 in Vienna, an hour ahead of UTC.
fn opening(hours: Hours, day: u64) -> Option<(u64, u64)> {
    let (from, to) = match hours {
        Hours::Whole => (0, 24),
        Hours::Office => (9, 17),
        Hours::Late => (12, 20),
    };
    // That was a Thursday.
    let works = hours == Hours::Whole || (day + 3) % 7 < 5;
    let midnight = (day * DAY).saturating_sub(HOUR);
    works.then_some((midnight + from * HOUR, midnight + to * HOUR))
}

fn day_of(at: u64) -> u64 {
    (at + HOUR) / DAY
}

/// The open milliseconds of a stretch that began by version `by` and ended by version `end`: what came into force in
/// between counts from when it did.
fn open(versions: &[(Timestamp, Hours)], by: u64, end: u64, from: Timestamp, to: Timestamp) -> u64 {
    let (first, last) = ((by.max(1) - 1) as usize, end.max(by).max(1) as usize);
    let versions = &versions[..last.min(versions.len())];
    let mut sum = 0;
    for (place, (since, hours)) in versions.iter().enumerate().skip(first) {
        let begins = if place == first { from } else { (*since).max(from) };
        let ends = versions.get(place + 1).map_or(to, |(since, _)| (*since).min(to));
        sum += open_by(*hours, begins.as_millis(), ends.as_millis());
    }
    sum
}

fn open_by(hours: Hours, from: u64, to: u64) -> u64 {
    let days = (day_of(from)..=day_of(to)).filter_map(|day| opening(hours, day));
    days.map(|(opens, closes)| to.min(closes).saturating_sub(from.max(opens))).sum()
}

/// When so much open time has passed since `from`, by the hours that hold now.
fn due(versions: &[(Timestamp, Hours)], from: Timestamp, mut left: u64) -> Timestamp {
    let hours = versions.last().map_or(Hours::Whole, |(_, hours)| *hours);
    let mut day = day_of(from.as_millis());
    loop {
        if let Some((opens, closes)) = opening(hours, day) {
            let begins = opens.max(from.as_millis());
            let room = closes.saturating_sub(begins);
            if left <= room {
                return Timestamp::from_millis(begins + left);
            }
            left -= room;
        }
        day += 1;
    }
}
