//! A second calculation of every clock that shares nothing with the first: it counts minute by minute which minutes
//! are open and not paused, and knows no arithmetic of spans.
//!
//! A random conversation is led through the real workflow, its timers fired in order (or late, after a sleep), and
//! through the slow model beside it. Everything happens on whole minutes, no two things on the same one.

use std::{collections::BTreeSet, sync::LazyLock};

use chrono::{Datelike as _, NaiveDate, Timelike as _};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::fixtures::*;
use crate::{
    calendar::{Calendar, CalendarSpec, Hours},
    conversation::{
        Command, Conversation, Delivery, Event, State, Status, case::EscalationRequest, clocks::explain,
        standing::Standing,
    },
    ids::{CaseId, MessageId, ResolutionId},
    message::Inbound,
    policy::{OnReopen, PauseIn, Policies, Policy, Targets, Tier},
    scenario::{id, person},
    sla::{BreachReason, ClockKind},
    time::{Span, Timestamp},
    words::{IssueType, Severity, SlaTier},
    workflow::{ActivityError, By, Context, Workflow as _},
};

/// How many minutes are looked at.
const HORIZON: u32 = 5 * 24 * 60;

/// The fifth of March to the tenth: the clocks of New York are put forward on the eighth.
const BEGIN: &str = "2026-03-05T00:00:00Z";

const ZONES: [&str; 4] = ["UTC", "America/New_York", "Asia/Kolkata", "Europe/Berlin"];

const DAY_NAMES: usize = 7;

fn begin() -> Timestamp {
    static BEGINS: LazyLock<Timestamp> = LazyLock::new(|| BEGIN.parse().unwrap());
    *BEGINS
}

fn instant(minute: u32) -> Timestamp {
    begin() + Span::from_mins(minute.into())
}

/// What the clocks of each zone show at each minute: the date, and the minute of its week.
static TAPES: LazyLock<Vec<Vec<(NaiveDate, usize)>>> = LazyLock::new(|| {
    let tape = |zone: &str| {
        let tz: chrono_tz::Tz = zone.parse().unwrap();
        let shown = |minute| {
            let wall = instant(minute).to_chrono().with_timezone(&tz);
            let day = wall.weekday().num_days_from_monday() as usize;
            (wall.date_naive(), day * 24 * 60 + (wall.hour() * 60 + wall.minute()) as usize)
        };
        (0..=HORIZON).map(shown).collect()
    };
    ZONES.iter().map(|zone| tape(zone)).collect()
});

/// A business calendar as the test draws it.
#[derive(Clone, Debug)]
struct Drawn {
    zone: usize,
    /// Weekday, opening, length; none overlap.
    ranges: Vec<(usize, usize, usize)>,
    /// Days after the beginning on which nothing opens.
    holiday: Option<u64>,
}

impl Drawn {
    fn holiday(&self) -> Option<NaiveDate> {
        let days = chrono::Days::new(self.holiday?);
        begin().to_chrono().date_naive().checked_add_days(days)
    }

    fn calendar(&self) -> Calendar {
        let time = |minutes: usize| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let mut days: [Vec<String>; DAY_NAMES] = std::array::from_fn(|_| Vec::new());
        for (day, open, length) in &self.ranges {
            let close = open + length;
            let close = if close > 24 * 60 { close - 24 * 60 } else { close };
            days[*day].push(format!("{}-{}", time(*open), time(close)));
        }
        let [mon, tue, wed, thu, fri, sat, sun] = days;
        let hours = Hours { mon, tue, wed, thu, fri, sat, sun };
        let holidays = self.holiday().iter().map(ToString::to_string).collect();
        Calendar::new(&CalendarSpec { timezone: ZONES[self.zone].to_owned(), hours, holidays }).unwrap()
    }

    /// For each minute, whether it is open.
    fn open(&self) -> Vec<bool> {
        // For each minute of the week, whether a range covers it that opened today, or yesterday.
        let mut week = vec![(false, false); 7 * 24 * 60];
        for (day, open, length) in &self.ranges {
            for minute in *open..open + length {
                let place = &mut week[(day * 24 * 60 + minute) % (7 * 24 * 60)];
                if minute < 24 * 60 { place.0 = true } else { place.1 = true }
            }
        }
        let holiday = self.holiday();
        let open = |(date, minute): &(NaiveDate, usize)| {
            let (today, yesterday) = week[*minute];
            (today && holiday != Some(*date)) || (yesterday && holiday != date.pred_opt())
        };
        TAPES[self.zone].iter().map(open).collect()
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let range = (0_usize..7, (0_usize..96).prop_map(|quarter| quarter * 15), 1_usize..900);
    let holiday = option::weighted(0.3, 0_u64..5);
    (0..ZONES.len(), vec(range, 3..14), holiday).prop_map(|(zone, drawn, holiday)| {
        let mut taken = vec![false; 7 * 24 * 60];
        let mut ranges = Vec::new();
        for (day, open, length) in drawn {
            let minutes = || (open..open + length).map(|minute| (day * 24 * 60 + minute) % (7 * 24 * 60));
            if minutes().all(|minute| !taken[minute]) {
                minutes().for_each(|minute| taken[minute] = true);
                ranges.push((day, open, length));
            }
        }
        Drawn { zone, ranges, holiday }
    })
}

/// What one version of the policy says of the two tiers that are used.
#[derive(Clone, Debug)]
struct Rules {
    tiers: [TierRules; 2],
}

#[derive(Clone, Debug)]
struct TierRules {
    /// The first calendar, the second, or around the clock.
    calendar: Option<usize>,
    /// By severity (`P0` or another), then by clock, in minutes.
    targets: [[u32; 4]; 2],
    pause_in: BTreeSet<PauseIn>,
    restart: bool,
}

const TIERS: [SlaTier; 2] = [SlaTier::Standard, SlaTier::Premium];

fn rules() -> impl Strategy<Value = Rules> {
    let target = || prop_oneof![1_u32..60, 1_u32..1_500];
    let targets = || [[target(), target(), target(), target()], [target(), target(), target(), target()]];
    let pause_in = || vec(select(PauseIn::ALL), 0..3).prop_map(|some| some.into_iter().collect());
    let tier = || {
        (option::of(0_usize..2), targets(), pause_in(), any::<bool>()).prop_map(
            |(calendar, targets, pause_in, restart)| TierRules { calendar, targets, pause_in, restart },
        )
    };
    [tier(), tier()].prop_map(|tiers| Rules { tiers })
}

fn policy(rules: &Rules, calendars: &[Calendar; 2], version: u64, since: Timestamp) -> Policy {
    let mut policy = Policy { version, since, ..Policy::default() };
    for (calendar, name) in calendars.iter().zip(["a", "b"]) {
        policy.calendars.insert(name.to_owned(), calendar.clone());
    }
    for (name, rules) in TIERS.iter().zip(&rules.tiers) {
        let targets = |minutes: [u32; 4]| {
            let [first, next, resolution, unattended] =
                minutes.map(|minutes| Some(Span::from_mins(minutes.into())));
            Targets {
                first_response: first,
                next_response: next,
                resolution,
                escalation_unattended: unattended,
            }
        };
        let tier = Tier {
            calendar: rules.calendar.map(|index| ["a", "b"][index].to_owned()),
            pause_in: rules.pause_in.clone(),
            on_reopen: if rules.restart { OnReopen::Restart } else { OnReopen::Resume },
            default: targets(rules.targets[1]),
            by_severity: [(Severity::P0, targets(rules.targets[0]))].into_iter().collect(),
            ..Tier::default()
        };
        policy.tiers.insert(*name, tier);
    }
    policy
}

/// What happens, and how many minutes after what happened before.
#[derive(Clone, Debug)]
enum Happens {
    /// The customer writes.
    Question,
    /// A person answers.
    Reply,
    /// The oldest answer that waits is taken by its channel.
    Accepted,
    /// The last answer that was taken turns out not to have arrived.
    FailedLate,
    Resolve,
    Reopen,
    HandOff,
    Snooze(u32),
    Escalate,
    Severity(bool),
    Tier(usize),
    Policy(Rules),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => Just(Happens::Question),
        5 => Just(Happens::Reply),
        6 => Just(Happens::Accepted),
        2 => Just(Happens::FailedLate),
        2 => Just(Happens::Resolve),
        1 => Just(Happens::Reopen),
        1 => Just(Happens::HandOff),
        1 => (1_u32..600).prop_map(Happens::Snooze),
        1 => Just(Happens::Escalate),
        1 => any::<bool>().prop_map(Happens::Severity),
        1 => (0_usize..2).prop_map(Happens::Tier),
        2 => rules().prop_map(Happens::Policy),
    ]
}

/// A breach: which clock, due when, dated when, and whether for a late failure.
type Breach = (ClockKind, u32, u32, bool);

/// The slow model of one clock.
#[derive(Clone, Debug)]
struct Slow {
    started: u32,
    spent: u32,
    /// When all was spent that there was, if the clock ran then, whether it was met or not.
    due: Option<u32>,
    /// No breach is dated before this.
    binding: u32,
    met: Option<u32>,
    /// The answer that met it.
    met_by: Option<usize>,
    paused: bool,
    breached: bool,
    failed: bool,
    /// The terms it runs by: rules, tier, severity.
    terms: (usize, usize, usize),
}

/// An answer by a person.
#[derive(Clone, Debug)]
struct Answer {
    id: MessageId,
    queued: u32,
    accepted: Option<u32>,
    failed: bool,
    /// Accepted before the conversation was resolved the last time.
    over: bool,
}

/// The slow model of the conversation.
struct Model<'a> {
    rules: Vec<&'a Rules>,
    opens: &'a [Vec<bool>; 2],
    status: Status,
    snoozed_until: Option<u32>,
    tier: usize,
    severity: usize,
    rules_since: Vec<u32>,
    /// The first question of all.
    first_question: u32,
    /// The questions since the last end.
    questions: Vec<u32>,
    answers: Vec<Answer>,
    first: Option<Slow>,
    next: Option<Slow>,
    last_next: Option<Slow>,
    resolution: Option<Slow>,
    unattended: Option<Slow>,
    breaches: Vec<Breach>,
}

const FIRST: usize = 0;
const NEXT: usize = 1;
const RESOLUTION: usize = 2;
const UNATTENDED: usize = 3;

impl<'a> Model<'a> {
    fn terms(&self) -> (usize, usize, usize) {
        (self.rules.len() - 1, self.tier, self.severity)
    }

    fn target(&self, (rules, tier, severity): (usize, usize, usize), clock: usize) -> u32 {
        self.rules[rules].tiers[tier].targets[severity][clock]
    }

    /// What these terms say of this clock: by which rules, how long, and in which hours.
    fn allows(&self, terms: (usize, usize, usize), clock: usize) -> (usize, u32, Option<usize>) {
        let (rules, tier, _) = terms;
        (rules, self.target(terms, clock), self.rules[rules].tiers[tier].calendar)
    }

    fn is_open(&self, (rules, tier, _): (usize, usize, usize), minute: u32) -> bool {
        self.rules[rules].tiers[tier].calendar.is_none_or(|calendar| self.opens[calendar][minute as usize])
    }

    fn here(&self) -> &'a TierRules {
        &self.rules[self.rules.len() - 1].tiers[self.tier]
    }

    /// A clock that starts at `started` and is made at `now`, counted by what holds now.
    fn start(&self, started: u32, now: u32, clock: usize) -> Slow {
        let terms = self.terms();
        let binding = started.max(self.rules_since[terms.0]);
        let mut slow = Slow {
            started,
            spent: 0,
            due: None,
            binding,
            met: None,
            met_by: None,
            paused: false,
            breached: false,
            failed: false,
            terms,
        };
        for minute in started..now {
            self.step(&mut slow, clock, minute);
        }
        slow
    }

    /// One minute passes.
    fn step(&self, slow: &mut Slow, clock: usize, minute: u32) {
        if slow.paused {
            return;
        }
        if slow.due.is_none() && slow.spent >= self.target(slow.terms, clock) {
            slow.due = Some(minute);
        }
        slow.spent += u32::from(self.is_open(slow.terms, minute));
    }

    /// The oldest question that nobody has answered.
    fn unanswered(&self) -> Option<u32> {
        let answered = |question: u32| {
            self.answers
                .iter()
                .any(|answer| answer.queued > question && answer.accepted.is_some() && !answer.failed)
        };
        self.questions.iter().copied().find(|question| !answered(*question))
    }

    fn waits_for_us(&self) -> bool {
        self.status != Status::Resolved
    }

    fn pauses(&self) -> bool {
        let reason = match self.status {
            Status::AwaitingCustomer => Some(PauseIn::AwaitingCustomer),
            Status::AwaitingAgent => Some(PauseIn::AwaitingAgent),
            Status::Escalated => Some(PauseIn::Escalated),
            Status::Open | Status::Resolved | Status::Reopened => None,
        };
        let pause_in = &self.here().pause_in;
        reason.is_some_and(|reason| pause_in.contains(&reason))
            || (self.snoozed_until.is_some() && pause_in.contains(&PauseIn::Snoozed))
    }

    /// Draws the consequences of what happened at `now`, and lets the minute pass.
    fn pass(&mut self, now: u32) {
        if self.snoozed_until == Some(now) {
            self.snoozed_until = None;
        }
        let terms = self.terms();
        let unanswered = self.unanswered();
        // Other terms hold for whatever is not over.
        let mut clocks =
            [self.first.take(), self.next.take(), self.resolution.take(), self.unattended.take()];
        for (clock, slow) in clocks.iter_mut().enumerate() {
            let Some(slow) = slow.as_mut().filter(|slow| slow.met.is_none()) else { continue };
            // Another tier or severity that gives it as long changes nothing for it.
            if self.allows(slow.terms, clock) != self.allows(terms, clock) {
                // Whatever is due from now on is due by these.
                slow.due = None;
            }
            slow.terms = terms;
        }
        [self.first, self.next, self.resolution, self.unattended] = clocks;
        if self.first.is_none() {
            self.first = Some(self.start(self.first_question, now, FIRST));
        }
        let answer = |since: u32| {
            self.answers
                .iter()
                .rposition(|answer| answer.accepted.is_some() && !answer.failed && answer.queued > since)
        };
        if let Some(first) = self.first.as_mut().filter(|first| first.met.is_none())
            && let Some(answer) = answer(first.started)
        {
            (first.met, first.met_by) = (Some(now), Some(answer));
        }
        if let Some(next) = self.next.as_mut()
            && let Some(answer) = answer(next.started)
        {
            (next.met, next.met_by) = (Some(now), Some(answer));
            self.last_next = self.next.take();
        }
        let first_met = self.first.as_ref().is_some_and(|first| first.met.is_some());
        if self.waits_for_us() {
            if first_met
                && self.next.is_none()
                && let Some(asked) = unanswered
            {
                self.next = Some(self.start(asked, now, NEXT));
            }
        } else {
            self.next = None;
        }
        let resolved = self.status == Status::Resolved;
        if let Some(first) = self.first.as_mut().filter(|first| first.met.is_none()) {
            if first.paused && !resolved {
                // What becomes due while nobody counts becomes due when counting goes on.
                first.due = None;
            }
            first.paused = resolved;
        }
        if self.resolution.is_none() {
            self.resolution = Some(self.start(self.first_question, now, RESOLUTION));
        }
        let (pauses, restart) = (self.pauses(), self.here().restart);
        let afresh = self.start(now, now, RESOLUTION);
        if let Some(resolution) = self.resolution.as_mut() {
            match (resolution.met.is_some(), resolved) {
                (false, true) => (resolution.met, resolution.paused) = (Some(now), true),
                (true, false) if restart => *resolution = Slow { paused: pauses, ..afresh },
                (true, false) => {
                    (resolution.met, resolution.due, resolution.terms) = (None, None, terms);
                    resolution.paused = pauses;
                }
                (true, true) => {}
                (false, false) => {
                    if resolution.paused && !pauses {
                        resolution.due = None;
                    }
                    resolution.paused = pauses;
                }
            }
        }
        self.count(now);
    }

    /// The minute `now` is counted, and what has become due is breached.
    fn count(&mut self, now: u32) {
        let mut clocks = [
            self.first.take(),
            self.next.take(),
            self.resolution.take(),
            self.unattended.take(),
            self.last_next.take(),
        ];
        for (place, slow) in clocks.iter_mut().enumerate() {
            let clock = if place == 4 { NEXT } else { place };
            let Some(slow) = slow else { continue };
            self.step(slow, clock, now);
            if slow.met.is_none()
                && !slow.paused
                && !slow.breached
                && let Some(due) = slow.due
            {
                slow.breached = true;
                let stamp = due.max(slow.binding);
                let kind = ClockKind::ALL[clock];
                self.breaches.push((kind, due, stamp, slow.failed && slow.binding > due));
            }
        }
        [self.first, self.next, self.resolution, self.unattended, self.last_next] = clocks;
    }

    /// The last answer turns out, at `now`, not to have arrived.
    fn fail(&mut self, index: usize, now: u32) {
        self.answers[index].failed = true;
        let unmeet = |slow: &mut Slow| {
            (slow.met, slow.met_by, slow.failed) = (None, None, true);
            slow.binding = slow.binding.max(now);
        };
        if let Some(first) = self.first.as_mut().filter(|first| first.met_by == Some(index)) {
            unmeet(first);
        }
        if let Some(mut last) = self.last_next.take_if(|last| last.met_by == Some(index)) {
            unmeet(&mut last);
            self.next = Some(last);
        }
    }
}

/// The real conversation, and its journal.
struct Real {
    state: State,
    events: Vec<Event>,
    policies: Policies,
}

impl Real {
    /// Gives a command; whether anything came of it but what was due anyway.
    fn tell(&mut self, command: Command, by: &By, now: Timestamp) -> bool {
        let cx = Context::new(now, &self.policies, by);
        let Ok(decision) = Conversation::decide(&self.state, command, &cx) else { return false };
        decision.events.iter().for_each(|event| Conversation::evolve(&mut self.state, event));
        let machine = decision.events.iter().filter_map(|event| match event {
            Event::MessageQueued { message, .. } if message.automatic => Some(message.message_id),
            _ => None,
        });
        let machine: Vec<MessageId> = machine.collect();
        let any = !decision.events.iter().all(was_due);
        self.events.extend(decision.events);
        // The machine's words arrive at once: they are not what is measured here.
        for message_id in machine {
            let delivery = Delivery::Accepted { at: now, provider_message_id: None };
            self.tell(Command::RecordDelivery { message_id, delivery }, &By::engine(), now);
        }
        any
    }

    /// Fires what falls due up to `until`, in order, none before `from`.
    fn fire(&mut self, from: Timestamp, until: Timestamp) {
        for _ in 0..10_000 {
            let next = Conversation::deadlines(&self.state).iter().min_by_key(|(_, due)| *due);
            let Some((deadline, due)) = next.filter(|(_, due)| *due <= until) else { return };
            self.tell(Conversation::deadline_passed(deadline), &By::engine(), due.max(from));
        }
        panic!("timers do not come to rest: {:?}", Conversation::deadlines(&self.state));
    }
}

/// Whether time alone brings this, whatever the command was.
fn was_due(event: &Event) -> bool {
    matches!(
        event,
        Event::ClocksChanged { .. }
            | Event::SlaWarned { .. }
            | Event::SlaBreached { .. }
            | Event::Reminded { .. }
            | Event::SilenceBroken { .. }
            | Event::SupervisorAlarmed { .. }
    )
}

/// Leads a conversation through both calculations and compares.
fn compare(calendars: &[Drawn; 2], first_rules: &Rules, history: &[(u32, bool, Happens)]) {
    let real_calendars = [calendars[0].calendar(), calendars[1].calendar()];
    let opens = [calendars[0].open(), calendars[1].open()];
    let policies = Policies::only(policy(first_rules, &real_calendars, 1, begin()));
    let mut real = Real { state: State::default(), events: Vec::new(), policies };
    let mut now = 700;
    let ask = |n: usize, minute: u32| Inbound {
        provider_message_id: format!("SM{n}"),
        id: MessageId(id(1_000 + n as u64)),
        received_at: instant(minute),
        ..sms(1)
    };
    real.tell(open_with(ask(0, now)), &By::engine(), instant(now));
    let mut model = Model {
        rules: vec![first_rules],
        opens: &opens,
        status: Status::AwaitingAgent,
        snoozed_until: None,
        tier: 0,
        severity: 1,
        rules_since: vec![0],
        first_question: now,
        questions: vec![now],
        answers: Vec::new(),
        first: None,
        next: None,
        last_next: None,
        resolution: None,
        unattended: None,
        breaches: Vec::new(),
    };
    model.pass(now);
    let grace = person("Grace");
    for (number, (wait, sleeps, happens)) in history.iter().enumerate() {
        let at = now + wait;
        if at >= HORIZON - 1 {
            break;
        }
        // A sleeping engine fires its timers when it wakes; a snooze that ends late would pause for longer.
        let sleeps = *sleeps && model.snoozed_until.is_none();
        if sleeps {
            real.fire(instant(at), instant(at) - Span::from_millis(1));
        } else {
            real.fire(begin(), instant(at));
        }
        for minute in now + 1..at {
            model.pass(minute);
        }
        now = at;
        let mut by_person = false;
        match happens {
            Happens::Question => {
                assert!(real.tell(receive(ask(number + 1, now)), &By::engine(), instant(now)));
                model.questions.push(now);
                model.snoozed_until = None;
                model.status = match model.status {
                    Status::AwaitingCustomer => Status::AwaitingAgent,
                    Status::Resolved => Status::Reopened,
                    other => other,
                };
            }
            Happens::Reply => {
                let id = MessageId(id(2_000 + number as u64));
                let message = crate::conversation::NewMessage { id, ..new_message(1) };
                by_person = real.tell(Command::Reply { message }, &grace, instant(now));
                if by_person {
                    model.answers.push(Answer {
                        id,
                        queued: now,
                        accepted: None,
                        failed: false,
                        over: false,
                    });
                    if model.status != Status::Escalated {
                        model.status = Status::AwaitingCustomer;
                    }
                }
            }
            Happens::Accepted => {
                if let Some(answer) = model.answers.iter_mut().find(|a| a.accepted.is_none() && !a.failed) {
                    let delivery = Delivery::Accepted { at: instant(now), provider_message_id: None };
                    let command = Command::RecordDelivery { message_id: answer.id, delivery };
                    assert!(real.tell(command, &By::engine(), instant(now)));
                    (answer.accepted, answer.over) = (Some(now), model.status == Status::Resolved);
                }
            }
            Happens::FailedLate => {
                let last = model.answers.iter().rposition(|a| a.accepted.is_some());
                if let Some(last) =
                    last.filter(|last| !model.answers[*last].failed && !model.answers[*last].over)
                {
                    let error = ActivityError { code: None, message: "bounced".to_owned() };
                    let delivery = Delivery::Failed { error };
                    let command = Command::RecordDelivery { message_id: model.answers[last].id, delivery };
                    assert!(real.tell(command, &By::engine(), instant(now)));
                    model.fail(last, now);
                }
            }
            Happens::Resolve => {
                by_person =
                    real.tell(Command::Resolve { outcome: None, summary: None }, &grace, instant(now));
                model.status = Status::Resolved;
                model.snoozed_until = None;
                // What nobody answered is asked anew or not at all.
                model.questions.clear();
                model.answers.iter_mut().for_each(|answer| answer.over |= answer.accepted.is_some());
            }
            Happens::Reopen => {
                by_person = real.tell(Command::Reopen, &grace, instant(now));
                if by_person {
                    model.status = Status::Reopened;
                }
            }
            Happens::HandOff => {
                by_person = real.tell(Command::HandOff { reason: None }, &grace, instant(now));
                if by_person {
                    model.snoozed_until = None;
                    if model.status != Status::Escalated {
                        model.status = Status::AwaitingAgent;
                    }
                }
            }
            Happens::Snooze(minutes) => {
                let until = now + minutes;
                by_person = real.tell(Command::Snooze { until: instant(until) }, &grace, instant(now));
                if by_person {
                    model.snoozed_until = Some(until);
                }
            }
            Happens::Escalate if model.unattended.is_none() && model.status != Status::Resolved => {
                let request = EscalationRequest {
                    resolution_id: ResolutionId(id(60)),
                    case_id: CaseId::of(ResolutionId(id(60))),
                    issue_type: IssueType::Ops,
                    owning_team: "infra".to_owned(),
                    severity: None,
                    expected_by: None,
                    summary: None,
                };
                assert!(real.tell(Command::Escalate { request: Box::new(request) }, &grace, instant(now)));
                model.status = Status::Escalated;
                model.unattended = Some(model.start(now, now, UNATTENDED));
            }
            Happens::Escalate => {}
            Happens::Severity(high) => {
                let severity = if *high { Severity::P0 } else { Severity::P3 };
                by_person = real.tell(Command::SetPriority { severity }, &grace, instant(now));
                model.severity = usize::from(!high);
            }
            Happens::Tier(tier) => {
                let standing = Box::new(Standing { tier: TIERS[*tier], ..Standing::default() });
                real.tell(Command::KnowStanding { standing }, &By::engine(), instant(now));
                model.tier = *tier;
            }
            Happens::Policy(rules) => {
                let version = real.policies.in_force().version + 1;
                let policy = policy(rules, &real_calendars, version, instant(now));
                real.policies = real.policies.clone().changed(policy);
                real.tell(Command::AdoptPolicy, &By::engine(), instant(now));
                model.rules.push(rules);
                model.rules_since.push(now);
            }
        }
        if by_person && let Some(unattended) = model.unattended.as_mut() {
            unattended.met.get_or_insert(now);
        }
        model.pass(now);
        let status = facts(&real.state).status;
        assert_eq!(status, model.status, "status after {happens:?}");
        let asked = model.unanswered().filter(|_| model.status != Status::Resolved);
        assert_eq!(facts(&real.state).asked_since, asked.map(instant), "unanswered after {happens:?}");
    }
    let end = instant(HORIZON);
    real.fire(begin(), end);
    for minute in now + 1..HORIZON {
        model.pass(minute);
    }
    agree(&real, &model);
}

/// The two calculations agree at the horizon.
fn agree(real: &Real, model: &Model<'_>) {
    let end = instant(HORIZON);
    let mut breaches: Vec<_> = real
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SlaBreached { at, clock, due_at, detected_at, reason } => {
                assert!(detected_at > due_at);
                Some((*clock, *due_at, *at, *reason == BreachReason::LateFailure))
            }
            _ => None,
        })
        .collect();
    let told = |(clock, due, stamp, late): &Breach| (*clock, instant(*due), instant(*stamp), *late);
    let mut expected: Vec<_> = model.breaches.iter().map(told).collect();
    breaches.sort();
    expected.sort();
    assert_eq!(breaches, expected, "breaches: the real ones, then the model's");

    let clocks = &facts(&real.state).clocks;
    let explained = explain(&real.events, &real.policies, end);
    let next = model.next.clone().or_else(|| model.last_next.clone());
    let slow = [model.first.clone(), next, model.resolution.clone(), model.unattended.clone()];
    for (kind, slow) in ClockKind::ALL.iter().zip(slow) {
        let Some(clock) = clocks.get(*kind) else { continue };
        let slow = slow.unwrap_or_else(|| panic!("{kind} runs, and the model knows none"));
        let hours = real.policies.version(clock.policy).unwrap().hours(clock.calendar.as_deref());
        assert_eq!(clock.started_at, instant(slow.started), "{kind} started");
        assert_eq!(clock.met_at, slow.met.map(instant), "{kind} met");
        assert_eq!(
            clock.paused_at.is_some() && clock.met_at.is_none(),
            slow.paused && slow.met.is_none(),
            "{kind} paused"
        );
        let spent = clock.spent_by(end, hours);
        if clock.met_at.is_none() {
            assert_eq!(spent, Span::from_mins(slow.spent.into()), "{kind} spent");
        }
        // Every counted interval is shown, and no other.
        let explanation = explained.iter().find(|explanation| explanation.kind == *kind).unwrap();
        let shown = explanation.stretches.iter().flat_map(|stretch| {
            assert_eq!(
                stretch.counted.as_millis(),
                stretch.intervals.iter().map(|i| i.span().as_millis()).sum::<u64>()
            );
            &stretch.intervals
        });
        let shown: Vec<_> = shown.collect();
        assert!(
            shown.windows(2).all(|pair| pair[0].to <= pair[1].from),
            "{kind}: intervals in order: {shown:?}"
        );
        let counted: u64 = shown.iter().map(|interval| interval.span().as_millis()).sum();
        if clock.is_running()
            && clock.due_at.is_none_or(|due| due > clock.running_since.unwrap())
            && spent < clock.target
        {
            assert_eq!(
                counted,
                clock.due_at.map_or(spent, |_| clock.target).as_millis(),
                "{kind}: until it is due"
            );
        } else if !clock.is_running() {
            assert_eq!(counted, spent.as_millis(), "{kind}: what was counted is what was spent");
        }
    }
    let mut replayed = State::default();
    real.events.iter().for_each(|event| Conversation::evolve(&mut replayed, event));
    assert_eq!(replayed, real.state, "a replay gives the same clocks");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn stepping_minute_by_minute_gives_the_same_clocks(
        calendars in [drawn(), drawn()],
        first_rules in rules(),
        history in vec((prop_oneof![1_u32..60, 1_u32..700], any::<bool>(), happens()), 0..26),
    ) {
        compare(&calendars, &first_rules, &history);
    }
}
