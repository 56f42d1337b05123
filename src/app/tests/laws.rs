//! What must hold of the ledger and of the journal's events, derived anew from both.
//!
//! Nothing here asks the engine's state when somebody waits or what is due: that is worked out from what happened.

mod told;
mod waiting;
mod words;

use std::collections::BTreeMap;

use throughline_workflows::{
    conversation::{Event, Purpose},
    time::{Span, Timestamp},
};

use self::told::Case;
use super::{simulation::History, world::Accepted};

/// The longest a reachable customer who waits may hear nothing.
const INTERVAL: Span = Span::from_hours(12);

/// How long before that the engine begins.
const MARGIN: Span = Span::from_mins(30);

/// Between two tries to reach a customer who cannot be reached.
const HOURLY: Span = Span::from_mins(61);

/// Between two tries of a channel that does not work, at most.
const BACKOFF: Span = Span::from_mins(15);

/// How long one channel may take before it is the next one's turn.
const MINUTE: Span = Span::from_mins(1);

/// Every law that was broken, in words.
pub(super) fn broken(history: &History) -> Vec<String> {
    let mut broken = history.contradictions.clone();
    for (index, told) in &history.conversations {
        let case = Case::new(history, *index, told);
        let mut of_case = Vec::new();
        waiting::check(&case, &mut of_case);
        words::check(&case, &mut of_case);
        nothing_twice(&case, &mut of_case);
        not_too_soon(&case, &mut of_case);
        not_out_of_turn(&case, &mut of_case);
        bounces_are_answered(&case, &mut of_case);
        broken.extend(of_case.into_iter().map(|what| format!("customer {index}: {what}\n{}", case.story())));
    }
    broken
}

/// No message and no words of a person reach a customer a second time, unless they bounced.
fn nothing_twice(case: &Case<'_>, broken: &mut Vec<String>) {
    let mut seen: BTreeMap<String, &Accepted> = BTreeMap::new();
    for heard in case.accepted.iter().filter(|accepted| !accepted.unheard) {
        let words = (!heard.automatic).then(|| heard.text.clone());
        for key in [Some(heard.message_id.to_string()), words].into_iter().flatten() {
            if let Some(before) = seen.insert(key, heard)
                && before.bounced_at.is_none_or(|bounced_at| bounced_at > heard.at)
                && !case.is_raced(before, heard)
            {
                broken.push(format!("{:?} went out at {} and again at {}", heard.text, before.at, heard.at));
            }
        }
    }
}

/// The machine writes to somebody who waits when it is time and not before: a person's words, and its own, move the
/// deadline; several that were missed become one.
fn not_too_soon(case: &Case<'_>, broken: &mut Vec<String>) {
    let mut missed_windows = 0;
    for update in case.accepted.iter().filter(|accepted| !accepted.unheard && accepted.automatic) {
        let Some(queued) = case.queued.get(&update.message_id) else { continue };
        let answers_bounce = case.replaced(update).any(|replaced| replaced.bounced_at.is_some());
        if answers_bounce || case.answers_a_lost_notice(update) {
            continue;
        }
        match queued.purpose {
            Purpose::WindowMissed => {
                missed_windows += usize::from(update.bounced_at.is_none());
                let with_it = |said: &&&Accepted| {
                    let other = case.queued.get(&said.message_id);
                    other.is_some_and(|other| other.at == queued.at && other.purpose == Purpose::Update)
                };
                let bounced = case.accepted.iter().any(|said| said.bounced_at == Some(update.at));
                if !bounced && case.accepted.iter().find(with_it).is_some() {
                    broken.push(format!("at {} the machine wrote twice at once", update.at));
                }
            }
            Purpose::Waiting | Purpose::Update => {
                let before = case.heard_before(update);
                let Some(before) = before.filter(|before| !case.is_raced(before, update)) else { continue };
                let promised = case.queued.get(&before.message_id).and_then(|queued| queued.promises);
                let due = promised.unwrap_or(before.at + INTERVAL).min(before.at + INTERVAL);
                let polite = case.customer().quiet_span();
                let soonest = due - MARGIN - polite - MINUTE;
                if update.at < soonest {
                    broken.push(format!(
                        "the machine wrote at {} although {} had been heard at {}",
                        update.at,
                        if before.automatic { "its own words" } else { "a person" },
                        before.at
                    ));
                }
            }
            _ => {}
        }
    }
    let passed = case.windows_passed();
    if missed_windows > passed {
        broken.push(format!("{missed_windows} words on missed windows, and only {passed} were missed"));
    }
}

/// Nobody is written to by the machine while it is their turn; when their case is solved they hear that once.
fn not_out_of_turn(case: &Case<'_>, broken: &mut Vec<String>) {
    for said in case.accepted.iter().filter(|accepted| !accepted.unheard && accepted.automatic) {
        let Some(queued) = case.queued.get(&said.message_id) else {
            broken.push(format!("{:?} is in no record", said.text));
            continue;
        };
        if queued.purpose == Purpose::Resolved || case.waits_around(said.at) {
            continue;
        }
        broken.push(format!(
            "the machine wrote ({}) at {} while it was the customer's turn",
            queued.purpose, said.at
        ));
    }
}

/// What bounces is answered by another channel within a minute, or else it is recorded that there is none.
fn bounces_are_answered(case: &Case<'_>, broken: &mut Vec<String>) {
    for bounced in &case.accepted {
        let Some(at) = bounced.bounced_at else { continue };
        let until = at + case.patience();
        let matters = !bounced.automatic || case.waits_at(at);
        // Whoever has heard since does not have to hear again that they are not forgotten.
        let since = |said: &&Accepted| said.provider_id != bounced.provider_id && said.at >= bounced.at;
        let overtaken = bounced.automatic
            && case.accepted.iter().filter(|said| since(said)).any(|said| !said.unheard && said.holds_at(at));
        if !matters || overtaken || case.was_down(at, until) || until > case.history.ended_at {
            continue;
        }
        let answers: Vec<_> =
            case.heard_after(bounced).filter(|said| (at..=until).contains(&said.at)).collect();
        let elsewhere = answers.iter().any(|said| said.channel != bounced.channel);
        let told = case.told.events.iter().any(|recorded| {
            matches!(recorded.event, Event::CustomerUnreachable { at: told, .. } if (at - HOURLY..=until).contains(&told))
        });
        // A channel that is just back takes first what has waited for it.
        if case.reaches(Some(&bounced.channel), at - BACKOFF, until) && !elsewhere {
            broken.push(format!("what bounced at {at} was not answered by another channel by {until}"));
        } else if answers.is_empty() && !told {
            broken.push(format!("what bounced at {at} was answered by nothing, and nobody was told"));
        }
    }
}

fn span(from: Timestamp, to: Timestamp) -> String {
    to.since(from).to_string()
}
