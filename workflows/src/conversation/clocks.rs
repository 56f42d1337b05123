//! The SLA clocks of one conversation: what starts, pauses, meets and breaches them.
//!
//! No command handles a clock. `follow` looks at what a turn has made of the conversation and draws the consequences,
//! so that no path can forget them. The results are recorded whole in `ClocksChanged`, since replay sees no policy.
//!
//! | clock | starts | is met by | pauses |
//! |---|---|---|---|
//! | first response | at the receipt of the first message | a person's first answer, when a channel takes it | while resolved |
//! | next response | after the first: at the receipt of the oldest unanswered message | a person's answer, when a channel takes it | never |
//! | resolution | at the receipt of the first message, or with the conversation | the move to `resolved` | where the tier says so |
//! | escalation unattended | with the escalation | the first act of a person on the case | never |

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Event, Facts, draft::Draft, lifecycle::Status};
use crate::{
    ids::MessageId,
    policy::{OnReopen, PauseIn, Policies, Policy, Terms, Updates},
    sla::{BreachReason, Clock, ClockKind},
    time::Timestamp,
    words::{Outcome, Severity, SlaTier},
};

mod explain;

pub use explain::{Explanation, Stretch, explain};

/// The clocks, and by which policy they run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The version of the policy that was adopted; 0 before any.
    pub policy: u64,
    /// The customer's tier they run by.
    pub tier: SlaTier,
    /// The severity they run by.
    pub severity: Severity,
    /// The rules of silence.
    pub updates: Updates,
    /// Since when those rules hold.
    pub updates_since: Timestamp,
    /// The time zone of a customer who stated none.
    pub timezone: String,
    /// Until a person's first answer.
    pub first_response: Option<Clock>,
    /// Until a person's answer to the oldest unanswered message.
    pub next_response: Option<Clock>,
    /// The last of those that was met, in case what met it fails later.
    pub answered: Option<Clock>,
    /// Until the end.
    pub resolution: Option<Clock>,
    /// Until the first act of a person on the case.
    pub escalation_unattended: Option<Clock>,
    /// The next reminder of an unanswered message.
    pub reminder: Option<Reminder>,
}

/// When the person responsible is reminded of an unanswered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminder {
    /// When the oldest unanswered message came.
    pub waiting_since: Timestamp,
    /// How many have come.
    pub sent: u32,
    /// When the next comes; none after the last.
    pub due_at: Option<Timestamp>,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            policy: 0,
            tier: SlaTier::Standard,
            severity: Severity::P2,
            updates: Updates::default(),
            updates_since: Timestamp::default(),
            timezone: "UTC".to_owned(),
            first_response: None,
            next_response: None,
            answered: None,
            resolution: None,
            escalation_unattended: None,
            reminder: None,
        }
    }
}

impl Clocks {
    /// One of them.
    pub fn get(&self, kind: ClockKind) -> Option<&Clock> {
        match kind {
            ClockKind::FirstResponse => self.first_response.as_ref(),
            ClockKind::NextResponse => self.next_response.as_ref(),
            ClockKind::Resolution => self.resolution.as_ref(),
            ClockKind::EscalationUnattended => self.escalation_unattended.as_ref(),
        }
    }

    fn slot(&mut self, kind: ClockKind) -> &mut Option<Clock> {
        match kind {
            ClockKind::FirstResponse => &mut self.first_response,
            ClockKind::NextResponse => &mut self.next_response,
            ClockKind::Resolution => &mut self.resolution,
            ClockKind::EscalationUnattended => &mut self.escalation_unattended,
        }
    }

    fn change(&mut self, kind: ClockKind, change: impl FnOnce(Clock) -> Clock) {
        let slot = self.slot(kind);
        *slot = slot.take().map(change);
    }

    /// The earliest due time of those that run.
    pub fn next_due(&self) -> Option<(ClockKind, Timestamp)> {
        ClockKind::ALL
            .iter()
            .filter_map(|kind| {
                let clock = self.get(*kind).filter(|clock| clock.is_running())?;
                Some((*kind, clock.due_at?))
            })
            .min_by_key(|(_, due_at)| *due_at)
    }
}

/// Draws the consequences of a turn for the clocks. `before` is the conversation as the turn found it; `person`, whether
/// a person did something to it.
pub(super) fn follow(before: Option<&Facts>, person: bool, draft: &mut Draft<'_>) {
    let mut turn =
        Turn { clocks: draft.facts.clocks.clone(), told: Vec::new(), facts: &draft.facts, cx: draft.cx };
    if draft.facts.outcome != Some(Outcome::Merged) {
        turn.adopt();
        turn.hear(draft.events());
        // A late failure can set a clock going that was over when its policy changed.
        turn.adopt();
        turn.notice();
        turn.start(before);
        turn.move_with_status(before);
        turn.attend(before, person, draft.events());
        turn.remind();
        turn.notice();
    } else {
        turn.leave();
    }
    let Turn { clocks, told, .. } = turn;
    if clocks != draft.facts.clocks {
        draft.record(Event::ClocksChanged { at: draft.cx.now, clocks: Box::new(clocks) });
    }
    told.into_iter().for_each(|event| draft.record(event));
}

struct Turn<'a> {
    clocks: Clocks,
    /// What people are told: warnings, breaches, reminders.
    told: Vec<Event>,
    facts: &'a Facts,
    cx: &'a crate::workflow::Context<'a>,
}

impl Turn<'_> {
    /// Takes up the policy in force, version by version, each from the moment it came into force; then the tier and
    /// the severity as they are now.
    fn adopt(&mut self) {
        let resolved = self.facts.status == Status::Resolved;
        let clocks_run = ClockKind::ALL.iter().any(|kind| self.clocks.get(*kind).is_some_and(Clock::is_open));
        if self.clocks.policy == 0 {
            self.adopt_rules(self.cx.policy);
            self.clocks.tier = self.facts.standing.tier;
            self.clocks.severity = self.facts.severity();
        } else if self.clocks.policy != self.cx.policy.version && (clocks_run || !resolved) {
            let versions: Vec<_> = self.cx.policies.since(self.clocks.policy).cloned().collect();
            for policy in versions {
                // What was due before is late by the terms of that time.
                self.notice_as_of(policy.since);
                self.retarget(&policy, policy.since);
                self.adopt_rules(&policy);
            }
        }
        let (tier, severity) = (self.facts.standing.tier, self.facts.severity());
        if (self.clocks.tier, self.clocks.severity) != (tier, severity) {
            self.notice();
            (self.clocks.tier, self.clocks.severity) = (tier, severity);
            let policy = self.policy();
            self.retarget(&policy, self.cx.now);
        }
    }

    /// The policy that was adopted.
    fn policy(&self) -> std::sync::Arc<Policy> {
        self.cx.policies.version(self.clocks.policy).unwrap_or_else(|| self.cx.policies.in_force()).clone()
    }

    fn adopt_rules(&mut self, policy: &Policy) {
        if self.clocks.policy == 0 || self.clocks.updates != policy.updates {
            self.clocks.updates_since = policy.since;
        }
        self.clocks.policy = policy.version;
        self.clocks.updates = policy.updates;
        self.clocks.timezone.clone_from(&policy.timezone);
    }

    /// Other terms hold from `at` on.
    fn retarget(&mut self, policy: &Policy, at: Timestamp) {
        for kind in ClockKind::ALL {
            let Some(terms) = policy.terms(self.clocks.tier, self.clocks.severity, *kind) else { continue };
            let policies = self.cx.policies;
            self.clocks.change(*kind, |clock| {
                let calendar = clock.calendar.clone();
                let hours = ran_by(&clock, policies).hours(calendar.as_deref());
                clock.retarget(at, hours, &terms)
            });
        }
    }

    /// The terms that hold now, for a clock that was over when they came.
    fn catch_up(&self, kind: ClockKind, clock: Clock) -> Clock {
        let policy = self.policy();
        let Some(terms) = policy.terms(self.clocks.tier, self.clocks.severity, kind) else { return clock };
        if (clock.policy, clock.target, clock.calendar.as_deref())
            == (terms.policy, terms.target, terms.calendar)
        {
            return clock;
        }
        let calendar = clock.calendar.clone();
        let hours = ran_by(&clock, self.cx.policies).hours(calendar.as_deref());
        clock.retarget(self.cx.now, hours, &terms)
    }

    /// What the channels took of a person's words, and what failed later.
    fn hear(&mut self, events: &[Event]) {
        for event in events {
            let Event::DeliveryChanged { at, message_id, status, .. } = event else { continue };
            let Some(send) = self.facts.sends.get(*message_id).filter(|send| !send.automatic) else {
                continue;
            };
            if status.is_accepted() && send.accepted_at == Some(*at) {
                self.answered(*at, *message_id);
            } else if !status.is_accepted() && send.accepted_at.is_none() {
                self.unanswered(*message_id);
            }
        }
    }

    fn answered(&mut self, at: Timestamp, by: MessageId) {
        self.notice_as_of(at);
        // What was written before the oldest unanswered message came does not answer it.
        let asked_since = self.facts.asked_since;
        let answers = |clock: &Option<Clock>| {
            clock.as_ref().is_some_and(|clock| {
                clock.is_open() && asked_since.is_none_or(|asked| asked > clock.started_at)
            })
        };
        if answers(&self.clocks.first_response) {
            self.clocks.change(ClockKind::FirstResponse, |clock| clock.meet(at, Some(by)));
        }
        if answers(&self.clocks.next_response) {
            self.clocks.change(ClockKind::NextResponse, |clock| clock.meet(at, Some(by)));
            self.clocks.answered.clone_from(&self.clocks.next_response);
        }
    }

    fn unanswered(&mut self, by: MessageId) {
        let now = self.cx.now;
        let met_by_it = |clock: &Option<Clock>| clock.as_ref().is_some_and(|clock| clock.met_by == Some(by));
        if met_by_it(&self.clocks.first_response) {
            self.clocks.change(ClockKind::FirstResponse, |clock| clock.unmeet(now));
            let open = self.clocks.first_response.take();
            self.clocks.first_response = open.map(|clock| self.catch_up(ClockKind::FirstResponse, clock));
            // Another answer that arrived is a first one too.
            let others = self.facts.sends.iter().filter(|send| !send.automatic);
            if let Some((at, id)) = others.filter_map(|send| Some((send.accepted_at?, send.id))).min() {
                self.clocks.change(ClockKind::FirstResponse, |clock| clock.meet(at, Some(id)));
            }
        }
        if met_by_it(&self.clocks.answered) {
            let answered = self.clocks.answered.take();
            let open = answered.map(|clock| clock.unmeet(now));
            self.clocks.next_response = open.map(|clock| self.catch_up(ClockKind::NextResponse, clock));
        }
    }

    /// Starts what has a reason to run.
    fn start(&mut self, before: Option<&Facts>) {
        let policy = self.policy();
        let (tier, severity) = (self.clocks.tier, self.clocks.severity);
        // In a conversation that is older than these clocks, the first message may have been answered long ago.
        let first_waits =
            self.facts.asked_since.is_some() && self.facts.asked_since == self.facts.first_asked_at;
        if self.facts.status != Status::Resolved
            && self.clocks.first_response.is_none()
            && first_waits
            && let Some(asked_at) = self.facts.first_asked_at
            && let Some(terms) = policy.terms(tier, severity, ClockKind::FirstResponse)
        {
            self.clocks.first_response = Some(begun(asked_at, &terms, &policy));
        }
        let first_met = self.clocks.first_response.as_ref().map_or(!first_waits, |clock| !clock.is_open());
        let none_open = self.clocks.next_response.as_ref().is_none_or(|clock| !clock.is_open());
        if first_met
            && none_open
            && self.facts.status != Status::Resolved
            && let Some(asked) = self.facts.asked_since
            && let Some(terms) = policy.terms(tier, severity, ClockKind::NextResponse)
        {
            self.clocks.next_response = Some(begun(asked, &terms, &policy));
        }
        if self.clocks.resolution.is_none()
            && self.facts.silence.counts
            && self.facts.status != Status::Resolved
            && let Some(terms) = policy.terms(tier, severity, ClockKind::Resolution)
        {
            let began = self.facts.first_asked_at.unwrap_or(self.cx.now);
            // One that is older than these clocks and was resolved comes back with a budget that nobody has touched.
            let came_back = before.filter(|before| before.status == Status::Resolved);
            let began = came_back.map_or(began, |_| self.moved_at(before));
            self.clocks.resolution = Some(begun(began, &terms, &policy));
        }
        if let Some(case) = self.facts.open_case()
            && case.facts.attended_at.is_none()
            && self
                .clocks
                .escalation_unattended
                .as_ref()
                .is_none_or(|clock| clock.started_at < case.escalated_at)
            && let Some(terms) = policy.terms(tier, severity, ClockKind::EscalationUnattended)
        {
            self.clocks.escalation_unattended = Some(begun(case.escalated_at, &terms, &policy));
        }
    }

    /// The clock of the resolution follows the status.
    fn move_with_status(&mut self, before: Option<&Facts>) {
        let policy = self.policy();
        self.move_responses(before, &policy);
        let tier = policy.tier(self.clocks.tier);
        let Some(terms) = policy.terms(self.clocks.tier, self.clocks.severity, ClockKind::Resolution) else {
            return;
        };
        let Some(clock) = self.clocks.resolution.clone() else { return };
        let was_resolved = before.is_some_and(|before| before.status == Status::Resolved);
        let is_resolved = self.facts.status == Status::Resolved;
        let at = self.moved_at(before);
        let calendar = clock.calendar.clone();
        let hours = ran_by(&clock, self.cx.policies).hours(calendar.as_deref());
        let clock = match (was_resolved, is_resolved) {
            (_, true) => clock.meet(at, None),
            (true, false) if tier.on_reopen == OnReopen::Restart => Clock::start(at, &terms),
            (true, false) => clock.reopen(at, hours, &terms),
            (false, false) => clock,
        };
        let clock = match (is_resolved, pauses(self.facts, &tier.pause_in)) {
            (true, _) => clock,
            (false, true) => clock.pause(at, hours),
            (false, false) => clock.resume(at, &terms),
        };
        self.clocks.resolution = Some(clock);
    }

    /// Nobody waits for an answer in a resolved conversation. The first response goes on where it stood when it comes
    /// back; a question that nobody answered is asked anew or not at all.
    fn move_responses(&mut self, before: Option<&Facts>, policy: &Policy) {
        let at = self.moved_at(before);
        let (tier, severity) = (self.clocks.tier, self.clocks.severity);
        let Some(terms) = policy.terms(tier, severity, ClockKind::FirstResponse) else { return };
        if self.facts.status == Status::Resolved {
            self.clocks.change(ClockKind::FirstResponse, |clock| clock.pause(at, terms.hours));
            self.clocks.next_response.take_if(|clock| clock.is_open());
        } else {
            self.clocks.change(ClockKind::FirstResponse, |clock| clock.resume(at, &terms));
        }
    }

    /// When the status moved: a customer's message counts from its receipt.
    fn moved_at(&self, before: Option<&Facts>) -> Timestamp {
        let wrote =
            self.facts.last_asked_at.filter(|at| before.and_then(|before| before.last_asked_at) != Some(*at));
        wrote.unwrap_or(self.cx.now)
    }

    /// A person did something on an escalated case, in the conversation or on the case itself.
    fn attend(&mut self, before: Option<&Facts>, person: bool, events: &[Event]) {
        let Some(case) = self.facts.case.as_ref() else { return };
        let escalates = events
            .iter()
            .any(|event| matches!(event, Event::Escalated { .. } | Event::EscalationJoined { .. }));
        let here = (person && !escalates && before.is_some()).then_some(self.cx.now);
        // Whoever resolves the conversation ends its case.
        let ended = !case.facts.is_open() || self.facts.status == Status::Resolved;
        let closed = ended.then_some(self.cx.now);
        if let Some(at) = case.facts.attended_at.or(here).or(closed) {
            self.notice_as_of(at);
            self.clocks.change(ClockKind::EscalationUnattended, |clock| clock.meet(at, None));
        }
    }

    /// It goes on elsewhere, and so does what is waited for.
    fn leave(&mut self) {
        for kind in ClockKind::ALL {
            self.clocks.slot(*kind).take_if(|clock| clock.is_open());
        }
        self.clocks.answered = None;
        self.clocks.reminder = None;
    }

    /// Reminders follow the oldest unanswered message, in business time.
    fn remind(&mut self) {
        let policy = self.policy();
        let tier = policy.tier(self.clocks.tier);
        let hours = policy.hours(tier.calendar.as_deref());
        let due = |since: Timestamp, number: u32| {
            let after = tier.reminders.get(number as usize)?;
            hours.due(since, *after).ok().map(|due| due.at)
        };
        let waiting_since = self.facts.asked_since.filter(|_| self.facts.status != Status::Resolved);
        let Some(waiting_since) = waiting_since else {
            self.clocks.reminder = None;
            return;
        };
        let known = self.clocks.reminder.filter(|known| known.waiting_since == waiting_since);
        let mut reminder = known.unwrap_or(Reminder { waiting_since, sent: 0, due_at: None });
        reminder.due_at = due(waiting_since, reminder.sent);
        let before = reminder.sent;
        while reminder.due_at.is_some_and(|at| at <= self.cx.now) {
            reminder.sent += 1;
            reminder.due_at = due(waiting_since, reminder.sent);
        }
        // After downtime several missed reminders are one.
        if reminder.sent > before {
            let (at, agent) = (self.cx.now, self.facts.assigned_agent);
            self.told.push(Event::Reminded { at, waiting_since, number: reminder.sent, agent });
        }
        self.clocks.reminder = Some(reminder);
    }

    /// Warnings and breaches that are due now.
    fn notice(&mut self) {
        self.notice_as_of(self.cx.now);
    }

    /// Warnings and breaches that were due at `at`.
    fn notice_as_of(&mut self, at: Timestamp) {
        let now = self.cx.now;
        for kind in ClockKind::ALL {
            let Some(clock) = self.clocks.get(*kind).filter(|clock| clock.is_running()).cloned() else {
                continue;
            };
            if let Some(overdue) = clock.overdue(at) {
                let failed_later = clock.binding_since > overdue.due_at && clock.met_failed;
                let reason = if failed_later { BreachReason::LateFailure } else { BreachReason::Late };
                self.told.push(Event::SlaBreached {
                    at: overdue.breached_at,
                    clock: *kind,
                    due_at: overdue.due_at,
                    detected_at: now,
                    reason,
                });
                self.clocks.change(*kind, |clock| clock.breach(overdue, now));
            } else if clock.must_warn(at)
                && let Some(due_at) = clock.due_at
            {
                self.told.push(Event::SlaWarned { at: now, clock: *kind, due_at });
                self.clocks.change(*kind, |clock| clock.warned(now));
            }
        }
    }
}

/// A clock that starts at `at`. What a policy makes due that came into force after that, is not due before it did.
fn begun(at: Timestamp, terms: &Terms<'_>, policy: &Policy) -> Clock {
    let clock = Clock::start(at, terms);
    Clock { binding_since: clock.binding_since.max(policy.since), ..clock }
}

/// The policy that a clock has run by.
fn ran_by<'p>(clock: &Clock, policies: &'p Policies) -> &'p Policy {
    policies.version(clock.policy).unwrap_or_else(|| policies.in_force())
}

fn pauses(facts: &Facts, pause_in: &BTreeSet<PauseIn>) -> bool {
    let snoozed = facts.snoozed_until.is_some() && pause_in.contains(&PauseIn::Snoozed);
    let by_status = match facts.status {
        Status::AwaitingCustomer => pause_in.contains(&PauseIn::AwaitingCustomer),
        Status::AwaitingAgent => pause_in.contains(&PauseIn::AwaitingAgent),
        Status::Escalated => pause_in.contains(&PauseIn::Escalated),
        Status::Open | Status::Resolved | Status::Reopened => false,
    };
    snoozed || by_status
}
