//! A second calculation of the clocks that shares nothing with the first: it reads what was recorded from the beginning
//! and adds up, minute by minute, the time that was open.
//!
//! Looked at are the first response (when it began, when it was met) and the resolution (when it began, whether it runs,
//! pauses or is met, what is spent, when it falls due), in every conversation whenever time is about to pass. The other
//! clocks and changes of policy are compared with a slow model over random histories, beside the conversation itself.

use throughline_workflows::{
    conversation::{Conversation, Event, Status},
    policy::Policies,
    sla::ClockKind,
    time::{Span, Timestamp},
    workflow::ByKind,
};

use crate::{life::tenant, run::Simulation, script::Script, witness::Told};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60;

/// Looks at every conversation as it is now.
pub(crate) fn check(simulation: &Simulation) -> Result<(), String> {
    let Some(engine) = simulation.life.engine() else { return Ok(()) };
    let now = simulation.life.now();
    let Some(policies) = engine.policies(&tenant()) else { return Ok(()) };
    for (id, told) in &simulation.witness.conversations {
        let state = engine.read_state::<Conversation>(&tenant(), *id)?;
        let Some(facts) = state.facts() else { continue };
        first_response(told, facts.clocks.get(ClockKind::FirstResponse))
            .and_then(|()| {
                let clock = facts.clocks.get(ClockKind::Resolution);
                resolution(&simulation.world.script, told, clock, &policies, now)
            })
            .map_err(|broken| format!("conversation {id}: {broken}\n{}", told.story()))?;
    }
    Ok(())
}

fn first_response(told: &Told, clock: Option<&throughline_workflows::sla::Clock>) -> Result<(), String> {
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
    script: &Script,
    told: &Told,
    clock: Option<&throughline_workflows::sla::Clock>,
    policies: &Policies,
    now: Timestamp,
) -> Result<(), String> {
    let (Some(clock), Some((began, _))) = (clock, told.asked.first()) else { return Ok(()) };
    let runs = |status: Status| !matches!(status, Status::AwaitingCustomer | Status::Resolved);
    let (mut spent, mut since, mut status) = (0, *began, Status::Open);
    for (at, to) in &told.moves {
        let at = (*at).max(since);
        if runs(status) {
            spent += open(script, since, at);
        }
        (since, status) = (at, *to);
    }
    let before = spent;
    if runs(status) {
        spent += open(script, since, now);
    }
    let hours = policies.in_force().hours(clock.calendar.as_deref());
    let told_by_engine = (
        clock.started_at,
        clock.met_at.is_some(),
        clock.met_at.is_none() && clock.paused_at.is_some(),
        clock.spent_by(now, hours),
    );
    let counted =
        (*began, status == Status::Resolved, status == Status::AwaitingCustomer, Span::from_millis(spent));
    if told_by_engine != counted {
        return Err(format!(
            "the resolution's clock (began, met, paused, spent) says {told_by_engine:?}, and counted are {counted:?}"
        ));
    }
    let target = clock.target.as_millis();
    if runs(status) && spent < target {
        let due = due(script, since, target - before);
        if clock.due_at != Some(due) {
            return Err(format!("the resolution is due at {:?}, and counted is {due}", clock.due_at));
        }
    }
    Ok(())
}

/// Whether it is open in the minute that begins then: Monday to Friday, nine to five, an hour ahead of UTC.
fn is_open(script: &Script, minute: u64) -> bool {
    if !script.business_hours {
        return true;
    }
    let local = minute + 60;
    // The first of January 1970 was a Thursday.
    let weekday = (local / DAY + 3) % 7;
    weekday < 5 && (9 * 60..17 * 60).contains(&(local % DAY))
}

/// The open milliseconds between two moments.
fn open(script: &Script, from: Timestamp, to: Timestamp) -> u64 {
    let (from, to) = (from.as_millis(), to.as_millis());
    let minutes = from / MINUTE..to.div_ceil(MINUTE);
    let within = |minute: u64| to.min((minute + 1) * MINUTE).saturating_sub(from.max(minute * MINUTE));
    minutes.filter(|minute| is_open(script, *minute)).map(within).sum()
}

/// When so much open time has passed since `from`.
fn due(script: &Script, from: Timestamp, mut left: u64) -> Timestamp {
    let mut at = from.as_millis();
    loop {
        let minute = at / MINUTE;
        let end = (minute + 1) * MINUTE;
        if is_open(script, minute) {
            let room = end - at;
            if left <= room {
                return Timestamp::from_millis(at + left);
            }
            left -= room;
        }
        at = end;
    }
}
