//! Why a clock is due when it is: every interval that was counted, and those that will be.

use std::collections::BTreeMap;

use super::Clocks;
use crate::{
    calendar::Interval,
    conversation::Event,
    policy::Policies,
    sla::{Clock, ClockKind},
    time::{Span, Timestamp},
};

/// One clock, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Which.
    pub kind: ClockKind,
    /// As it stands.
    pub clock: Clock,
    /// What is left of it, in seconds; negative once more was spent than there was.
    pub remaining_seconds: i64,
    /// The stretches in which it ran, in order; the last of a running clock reaches to its due time.
    pub stretches: Vec<Stretch>,
}

/// A stretch in which a clock ran by one calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// The calendar; none for around the clock.
    pub calendar: Option<String>,
    /// The version of the policy that the calendar is from.
    pub policy: u64,
    /// What counts of it.
    pub intervals: Vec<Interval>,
    /// How much that is.
    pub counted: Span,
}

/// Explains the clocks of a conversation from its events, as they are at `now`.
pub fn explain<'e>(
    events: impl IntoIterator<Item = &'e Event>,
    policies: &Policies,
    now: Timestamp,
) -> Vec<Explanation> {
    let changes = events.into_iter().filter_map(|event| {
        let Event::ClocksChanged { clocks, .. } = event else { return None };
        Some(&**clocks)
    });
    let mut runs: Vec<Run> = ClockKind::ALL.iter().map(|kind| Run::new(*kind)).collect();
    for clocks in changes {
        runs.iter_mut().for_each(|run| run.take(clocks));
    }
    runs.into_iter().filter_map(|run| run.explain(policies, now)).collect()
}

/// A stretch in which a clock ran, not yet counted: from, to, and the clock as it was.
type Ran = (Timestamp, Timestamp, Clock);

/// The stretches of one clock, not yet counted.
struct Run {
    kind: ClockKind,
    /// The instance that there is now, by its beginning.
    present: Option<Timestamp>,
    /// Every instance by its beginning: as it was last, and where it ran before. One that was over can come back, when
    /// what met it fails.
    instances: BTreeMap<Timestamp, (Clock, Vec<Ran>)>,
}

impl Run {
    fn new(kind: ClockKind) -> Self {
        Self { kind, present: None, instances: BTreeMap::new() }
    }

    fn take(&mut self, clocks: &Clocks) {
        let next = clocks.get(self.kind);
        self.present = next.map(|clock| clock.started_at);
        let Some(is) = next else { return };
        let (was, over) = self.instances.entry(is.started_at).or_insert_with(|| (is.clone(), Vec::new()));
        if is.spent == Span::ZERO && is.running_since == Some(is.started_at) {
            // It begins, perhaps once more.
            over.clear();
        } else if let Some(from) = was.running_since
            && was.running_since != is.running_since
        {
            // Ran until it was paused or met, or until other terms held. Only what is resolved is over and goes on; an
            // answer that failed had never met anything.
            let met = was.met_at.filter(|_| self.kind == ClockKind::Resolution);
            let to = met.or(is.paused_at).or(is.running_since).unwrap_or(from);
            over.push((from, to, was.clone()));
        }
        *was = is.clone();
    }

    fn explain(mut self, policies: &Policies, now: Timestamp) -> Option<Explanation> {
        let (clock, mut runs) = self.instances.remove(&self.present?)?;
        if let Some(from) = clock.running_since {
            let to = clock.met_at.or(clock.due_at).unwrap_or(now);
            runs.push((from, to.max(from), clock.clone()));
        }
        let hours_of = |clock: &Clock| {
            let policy = policies.version(clock.policy).unwrap_or_else(|| policies.in_force());
            policy.hours(clock.calendar.as_deref()).clone()
        };
        let stretches = runs.iter().map(|(from, to, clock)| {
            let intervals: Vec<_> = hours_of(clock).windows(*from, *to).collect();
            let counted = intervals.iter().map(|interval| interval.span().as_millis()).sum();
            Stretch {
                from: *from,
                to: *to,
                calendar: clock.calendar.clone(),
                policy: clock.policy,
                intervals,
                counted: Span::from_millis(counted),
            }
        });
        let stretches = stretches.collect();
        let remaining_seconds = clock.remaining_seconds(now, &hours_of(&clock));
        Some(Explanation { kind: self.kind, clock, remaining_seconds, stretches })
    }
}
