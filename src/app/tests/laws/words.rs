//! No machine text holds a time, cause or fix that no person recorded.

use chrono::{NaiveDateTime, TimeDelta};
use throughline_workflows::{
    conversation::{Event, Purpose},
    resolution,
    time::{Span, Timestamp},
};

use super::{INTERVAL, told::Case};
use crate::app::tests::world::Accepted;

pub(super) fn check(case: &Case<'_>, broken: &mut Vec<String>) {
    for said in case.accepted.iter().filter(|said| said.automatic) {
        let Some(queued) = case.queued.get(&said.message_id) else { continue };
        if said.text.contains("NOTE") {
            broken.push(format!("an internal word reached the customer: {:?}", said.text));
        }
        let own = whole_minute(queued.at + INTERVAL);
        let recorded = recorded_windows(case, queued.at);
        let times = times(case, said);
        for time in &times {
            let is_window = recorded.iter().any(|window| whole_minute(*window) == *time);
            if *time != own && !is_window {
                broken.push(format!(
                    "{:?}, written at {}, names {time}, and recorded is {recorded:?}",
                    said.text, queued.at
                ));
            }
        }
        let promises = matches!(
            queued.purpose,
            Purpose::Waiting | Purpose::Escalation | Purpose::Update | Purpose::WindowMissed
        );
        if promises != times.contains(&own) {
            broken.push(format!("{:?}, written at {}, does not name the next update", said.text, queued.at));
        }
        if clock_times(&said.text) != times.len() {
            broken.push(format!("{:?} names a time that is not written in full", said.text));
        }
    }
}

/// The windows that a person (or the policy that a person wrote) had recorded last before `at`, or at that moment.
fn recorded_windows(case: &Case<'_>, at: Timestamp) -> Vec<Timestamp> {
    let escalated = case.told.events.iter().filter_map(|recorded| match &recorded.event {
        Event::Escalated { at, window, .. } => Some((*at, window.map(|window| window.by))),
        _ => None,
    });
    let set = case.told.cases.iter().flatten().filter_map(|recorded| match &recorded.event {
        resolution::Event::WindowSet { at, window } => Some((*at, Some(window.by))),
        resolution::Event::Reopened { at } => Some((*at, None)),
        _ => None,
    });
    let mut all: Vec<_> = escalated.chain(set).filter(|(since, _)| *since <= at).collect();
    all.sort_by_key(|(since, _)| *since);
    let before = all.iter().rev().find(|(since, _)| *since < at);
    before.into_iter().chain(all.iter().filter(|(since, _)| *since == at)).filter_map(|(_, by)| *by).collect()
}

/// The moments that a text names, written as `2026-11-02 21:00 (Europe/Vienna)`.
fn times(case: &Case<'_>, said: &Accepted) -> Vec<Timestamp> {
    let (zone, ahead) = case.customer().zone.unwrap_or(("UTC", Span::ZERO));
    let text = &said.text;
    let label = format!(" ({zone})");
    let written = text.match_indices(&label).filter_map(|(end, _)| {
        let wall =
            NaiveDateTime::parse_from_str(text.get(end.checked_sub(16)?..end)?, "%Y-%m-%d %H:%M").ok()?;
        let ahead = TimeDelta::milliseconds(i64::try_from(ahead.as_millis()).ok()?);
        Some(Timestamp::from_chrono((wall - ahead).and_utc()))
    });
    written.collect()
}

/// How many times of day a text holds: digits on both sides of a colon.
fn clock_times(text: &str) -> usize {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .filter(|three| three[0].is_ascii_digit() && three[1] == b':' && three[2].is_ascii_digit())
        .count()
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() / 60_000 * 60_000)
}
