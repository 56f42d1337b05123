//! From acceptance to acceptance nobody who can be reached waits longer than promised; what is late is recorded.

use std::collections::BTreeSet;

use throughline_workflows::{
    conversation::Event,
    time::{Span, Timestamp},
};

use super::{BACKOFF, HOURLY, INTERVAL, MARGIN, span, told::Case};

pub(super) fn check(case: &Case<'_>, broken: &mut Vec<String>) {
    let mut overdue: BTreeSet<(Timestamp, Timestamp)> = BTreeSet::new();
    let mut late: BTreeSet<Timestamp> = BTreeSet::new();
    let mut began: Option<Timestamp> = None;
    let mut waited = false;
    let moments = case.moments();
    for pair in moments.windows(2) {
        let [from, to] = *pair else { continue };
        let waits = case.waits_at(from);
        let resumed = case.accepted.iter().any(|said| said.bounced_at == Some(from));
        // What bounced too late to be made good is a breach, however soon the next channel takes it.
        if let Some(began) = began.filter(|_| resumed) {
            late.insert(self::due(case, began, from - Span::from_millis(1), from).1);
        }
        let received = case.received(from);
        if !waited && received.is_some() {
            began = received;
        } else if waits && !waited && !(resumed && began.is_some()) {
            began = Some(from);
        }
        waited = waits;
        let Some(began) = began.filter(|_| waits) else { continue };
        let (since, due) = self::due(case, began, from, from);
        // Exactly at the due time is in time.
        if to <= due {
            continue;
        }
        overdue.insert((since, due));
        let latest = latest(case, due, began, to);
        if to > latest {
            broken.push(format!(
                "waited since {began} and heard nothing from {} to {to}, due {due}, excused until {latest} ({} late)",
                due - INTERVAL,
                span(latest, to)
            ));
        }
    }
    let recorded: BTreeSet<_> = case
        .told
        .events
        .iter()
        .filter_map(|recorded| match recorded.event {
            Event::SilenceBroken { since, due_at, .. } => Some((since, due_at)),
            _ => None,
        })
        .collect();
    // One silence is one breach, whatever becomes known later of when it should have ended.
    for (since, due) in &overdue {
        if !recorded.iter().any(|(began, due_at)| began == since || due_at == due) {
            broken
                .push(format!("the silence that was due to end at {due} did not, and no breach is recorded"));
        }
    }
    for (_, due_at) in &recorded {
        if !overdue.iter().any(|(_, due)| due == due_at) && !late.contains(due_at) {
            broken.push(format!(
                "a breach is recorded of what was due at {due_at}, and the customer had heard"
            ));
        }
    }
}

/// Since when a customer who waits at `at` has heard nothing, of what they had heard by `heard_by`; and by when they
/// must hear.
fn due(case: &Case<'_>, began: Timestamp, heard_by: Timestamp, at: Timestamp) -> (Timestamp, Timestamp) {
    let heard =
        case.accepted.iter().rev().find(|said| !said.unheard && said.at <= heard_by && said.holds_at(at));
    let since = heard.map_or(began, |said| said.at.max(began));
    let promised =
        heard.and_then(|said| case.queued.get(&said.message_id)).and_then(|queued| queued.promises);
    let latest = since + INTERVAL;
    (since, promised.filter(|promised| *promised > since).map_or(latest, |promised| promised.min(latest)))
}

/// How late what was `due` may be, for reasons that are not the engine's.
///
/// From the moment at which something could be done (the margin, or later a bounce, a person's words that are tried
/// first, or the process being back) each channel has its minute; the one that bounced is not asked. Where none takes
/// anything all that time, the engine has what its hourly retry needs from the moment at which one does again.
fn latest(case: &Case<'_>, due: Timestamp, began: Timestamp, heard: Timestamp) -> Timestamp {
    let bounced = case.accepted.iter().filter(|said| said.bounced_at.is_some_and(|at| at < heard));
    let bounced = bounced.max_by_key(|said| said.bounced_at);
    let bounced_at = bounced.and_then(|said| said.bounced_at).unwrap_or_default();
    let words = case.queued.values().map(|queued| queued.at).filter(|at| *at <= due).max();
    let mut start = (due - MARGIN).max(began).max(bounced_at).max(words.unwrap_or_default());
    let mut without = bounced.map(|said| &said.channel).filter(|_| start == bounced_at);
    let mut needs = case.patience();
    loop {
        let down = |(down, up): &&(Timestamp, Timestamp)| *down <= start + needs && start < *up;
        if let Some((_, up)) = case.history.downs.iter().find(down) {
            start = *up;
            continue;
        }
        if case.reaches(without, start - BACKOFF, start + needs) {
            return due.max(start + needs);
        }
        let hourly = Span::from_millis(HOURLY.as_millis() + case.patience().as_millis());
        if needs < hourly {
            (needs, without) = (hourly, None);
            continue;
        }
        let outages = &case.history.world.script.outages;
        match outages.iter().map(|outage| outage.to).filter(|to| *to > start).min() {
            Some(next) => start = next,
            // Nothing takes anything any more.
            None => return heard,
        }
    }
}
