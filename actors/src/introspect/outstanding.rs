//! All that is outstanding: what the world is owed, who waits for a timer, what was given up, in figures and pages.
//!
//! One walk over what is pending answers everything that is told of it in numbers. It reads a page at a time and keeps
//! no row, so what it costs grows with what is pending and what it holds does not. Whoever asks often keeps the answer.

use std::collections::BTreeMap;

use throughline_storage::{
    append::{ActivityKey, PendingActivity, TimerKey},
    journal::{Journal, ReadError},
};
use throughline_workflows::{ids::TenantId, time::Timestamp};
use uuid::Uuid;

use super::{ActivityRow, TimerRow, timer_row};
use crate::engine::Engine;

/// Items that are read at once.
const PAGE: usize = 512;

/// What is outstanding at one moment. What comes or goes while it is counted may be counted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// Pending activities.
    pub activities: BTreeMap<Towards, Owed>,
    /// Timers, by tenant.
    pub timers: BTreeMap<String, Waiting>,
    /// Dead letters, by tenant and kind.
    pub dead_letters: BTreeMap<(String, String), u64>,
    /// Everything that was looked at.
    pub items: u64,
}

/// Where activities go to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Towards {
    /// The tenant.
    pub tenant: String,
    /// The kind of the entity that asked.
    pub kind: String,
    /// The lane in which their order is kept, empty if there is none.
    pub lane: String,
}

/// Pending activities of one lane of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// All of them.
    pub pending: u64,
    /// Those that were tried in vain.
    pub tried: u64,
    /// Those that were tried in vain or refused a try, and wait for another.
    pub failing: u64,
    /// When the oldest of the failing ones was asked for, and what was said at its last try.
    pub oldest_failing: Option<(Timestamp, String)>,
}

/// Which pending activities are wanted. What is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// In this lane.
    pub lane: Option<String>,
    /// Only those that were tried in vain or refused a try, and wait for another.
    pub failing: bool,
}

/// Timers in the order of due moments, where an entity stands with the next of its timers and with each that is
/// overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// All of them.
    pub armed: u64,
    /// Those that fired without effect and are armed again.
    pub stuck: u64,
}

impl Outstanding {
    /// What of it is one tenant's, or all of it.
    pub fn activities_of(&self, tenant: Option<&TenantId>) -> impl Iterator<Item = (&Towards, &Owed)> {
        let activities = self.activities.iter();
        activities.filter(move |(towards, _)| is_of(tenant, &towards.tenant))
    }

    /// How many activities of those that are wanted are pending.
    pub fn pending(&self, wanted: &Wanted) -> u64 {
        self.activities_of(wanted.tenant.as_ref())
            .filter(|(towards, _)| wanted.lane.as_ref().is_none_or(|lane| *lane == towards.lane))
            .map(|(_, owed)| if wanted.failing { owed.failing } else { owed.pending })
            .sum()
    }

    /// The timers of one tenant, or of all.
    pub fn timers_of(&self, tenant: Option<&TenantId>) -> Waiting {
        let mut sum = Waiting::default();
        for (_, waiting) in self.timers.iter().filter(|(name, _)| is_of(tenant, name)) {
            sum.armed += waiting.armed;
            sum.stuck += waiting.stuck;
        }
        sum
    }

    /// How many dead letters one tenant has, or all.
    pub fn dead_letters_of(&self, tenant: Option<&TenantId>) -> u64 {
        let letters = self.dead_letters.iter().filter(|((name, _), _)| is_of(tenant, name));
        letters.map(|(_, count)| count).sum()
    }

    fn count(journal: &Journal) -> Result<Self, ReadError> {
        let mut all = Self::default();
        let mut after: Option<ActivityKey> = None;
        loop {
            let page = journal.activities(after.as_ref(), u64::MAX, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            page.into_iter().for_each(|activity| all.add(activity));
        }
        let mut after: Option<TimerKey> = None;
        loop {
            let page = journal.timers(after.as_ref(), u64::MAX, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for timer in page {
                let waiting = all.timers.entry(timer.key.stream.tenant).or_default();
                waiting.armed += 1;
                waiting.stuck += u64::from(timer.stuck > 0);
                all.items += 1;
            }
        }
        let mut after: Option<Uuid> = None;
        loop {
            let page = journal.dead_letters(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for letter in page {
                *all.dead_letters.entry((letter.tenant, letter.kind)).or_default() += 1;
                all.items += 1;
            }
        }
        Ok(all)
    }

    fn add(&mut self, activity: PendingActivity) {
        let asked_at = Timestamp::from_millis(activity.asked_at_ms);
        let stream = activity.key.stream;
        let towards = Towards { tenant: stream.tenant, kind: stream.kind, lane: activity.lane };
        let owed = self.activities.entry(towards).or_default();
        owed.pending += 1;
        owed.tried += u64::from(activity.attempts > 0);
        if let Some(error) = activity.last_error {
            owed.failing += 1;
            if owed.oldest_failing.as_ref().is_none_or(|(since, _)| asked_at < *since) {
                owed.oldest_failing = Some((asked_at, error));
            }
        }
        self.items += 1;
    }
}

fn is_of(tenant: Option<&TenantId>, name: &str) -> bool {
    tenant.is_none_or(|tenant| tenant.as_str() == name)
}

impl Engine {
    /// Counts all that is outstanding, by a walk over it.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn outstanding(&self) -> Result<Outstanding, String> {
        Outstanding::count(&self.shared.host.journal).map_err(|error| error.to_string())
    }

    /// `take` of the pending activities that are wanted, in due order, after the first `skip`; and how many there are,
    /// where the last of them was reached. No more is read than that takes.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn activities_page(
        &self,
        wanted: &Wanted,
        skip: usize,
        take: usize,
    ) -> Result<(Vec<ActivityRow>, Option<usize>), String> {
        let journal = &self.shared.host.journal;
        let mut window = Window::new(skip, take);
        let mut after: Option<ActivityKey> = None;
        while !window.is_full() {
            let page =
                journal.activities(after.as_ref(), u64::MAX, PAGE).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { return Ok(window.ended()) };
            after = Some(last.key.clone());
            for activity in page.into_iter().filter(|activity| wanted.wants(activity)) {
                window.offer(|| self.activity_row(activity));
            }
        }
        Ok((window.rows, None))
    }

    /// `take` of the timers that fired without effect and are armed again, of a tenant (or of all), in the order in which
    /// they fire, after the first `skip`; and how many there are, where the last timer was reached. It goes through all
    /// timers up to there.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn stuck_timers_page(
        &self,
        tenant: Option<&TenantId>,
        skip: usize,
        take: usize,
    ) -> Result<(Vec<TimerRow>, Option<usize>), String> {
        let host = &self.shared.host;
        let mut window = Window::new(skip, take);
        let mut after: Option<TimerKey> = None;
        while !window.is_full() {
            let page =
                host.journal.timers(after.as_ref(), u64::MAX, PAGE).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { return Ok(window.ended()) };
            after = Some(last.key.clone());
            let stuck = page.into_iter().filter(|timer| timer.stuck > 0);
            for timer in stuck.filter(|timer| is_of(tenant, &timer.key.stream.tenant)) {
                window.offer(|| timer_row(timer, &host.pauses));
            }
        }
        Ok((window.rows, None))
    }
}

impl Wanted {
    fn wants(&self, activity: &PendingActivity) -> bool {
        is_of(self.tenant.as_ref(), &activity.key.stream.tenant)
            && self.lane.as_ref().is_none_or(|lane| *lane == activity.lane)
            && (!self.failing || activity.last_error.is_some())
    }
}

/// The rows of one page, as they come by.
struct Window<T> {
    rows: Vec<T>,
    seen: usize,
    skip: usize,
    take: usize,
}

impl<T> Window<T> {
    fn new(skip: usize, take: usize) -> Self {
        Self { rows: Vec::new(), seen: 0, skip, take }
    }

    fn offer(&mut self, row: impl FnOnce() -> T) {
        if self.seen >= self.skip && self.rows.len() < self.take {
            self.rows.push(row());
        }
        self.seen += 1;
    }

    fn is_full(&self) -> bool {
        self.seen >= self.skip.saturating_add(self.take)
    }

    /// There are no more.
    fn ended(self) -> (Vec<T>, Option<usize>) {
        (self.rows, Some(self.seen))
    }
}
