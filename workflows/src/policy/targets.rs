//! What is promised to customers: targets by tier and severity, and what stops their clocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::LazyLock,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Policy;
use crate::{
    calendar::Calendar,
    sla::ClockKind,
    time::Span,
    words::{Severity, SlaTier, words},
};

/// The longest target: beyond it a promise is none.
const TARGET_MAX: Span = Span::from_hours(24 * 365);

words! {
    /// While a conversation stands like this, the clock of its resolution is paused.
    PauseIn, "a state that pauses a clock" {
        /// It is the customer's turn.
        AwaitingCustomer = "awaiting_customer",
        /// It is our turn.
        AwaitingAgent = "awaiting_agent",
        /// A case works on it.
        Escalated = "escalated",
        /// It is out of sight until a given time.
        Snoozed = "snoozed",
    }
}

words! {
    /// What the clock of the resolution does when a conversation is reopened.
    OnReopen, "what a clock does on reopening" {
        /// It goes on with what was left.
        Resume = "resume",
        /// It begins anew.
        Restart = "restart",
    }
}

/// What is promised to the customers of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tier {
    /// The calendar that time is spent in; none for around the clock.
    pub calendar: Option<String>,
    /// What pauses the clock of the resolution.
    pub pause_in: BTreeSet<PauseIn>,
    /// What that clock does on reopening.
    pub on_reopen: OnReopen,
    /// When a warning comes, ahead of a due time.
    pub warn: Warn,
    /// The person responsible is reminded of an unanswered message after each of these, in business time.
    pub reminders: Vec<Span>,
    /// The targets, where a severity has none of its own.
    pub default: Targets,
    /// Targets by severity; what is none there is taken from `default`.
    pub by_severity: BTreeMap<Severity, Targets>,
}

/// How long each thing may take, in business time; none for what is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Targets {
    /// From the first message to a person's first answer.
    pub first_response: Option<Span>,
    /// From the oldest unanswered message to a person's answer.
    pub next_response: Option<Span>,
    /// From the beginning to the end.
    pub resolution: Option<Span>,
    /// From an escalation to the first act of a person on its case.
    pub escalation_unattended: Option<Span>,
}

/// When a warning comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warn {
    /// When this part of the target is spent.
    At(Fraction),
    /// This much business time before it is due.
    Before(Span),
}

/// A part of a whole, more than none and less than all, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u16);

/// By which terms one clock runs.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'p> {
    /// How much business time there is.
    pub target: Span,
    /// When a warning comes.
    pub warn: Warn,
    /// The calendar's name; none for around the clock.
    pub calendar: Option<&'p str>,
    /// The calendar.
    pub hours: &'p Calendar,
    /// The version of the policy that says so.
    pub policy: u64,
}

impl Default for Tier {
    fn default() -> Self {
        Self {
            calendar: None,
            pause_in: BTreeSet::from([PauseIn::AwaitingCustomer]),
            on_reopen: OnReopen::Resume,
            warn: Warn::At(Fraction(750)),
            reminders: [30, 60, 120].map(Span::from_mins).to_vec(),
            default: Targets::built_in(),
            by_severity: BTreeMap::new(),
        }
    }
}

/// The tier of customers for whose tier nothing is set.
pub(super) fn built_in() -> &'static Tier {
    static BUILT_IN: LazyLock<Tier> = LazyLock::new(Tier::default);
    &BUILT_IN
}

impl Targets {
    /// What holds where nothing is set.
    pub const fn built_in() -> Self {
        Self {
            first_response: Some(Span::from_hours(2)),
            next_response: Some(Span::from_hours(4)),
            resolution: Some(Span::from_hours(24)),
            escalation_unattended: Some(Span::from_hours(4)),
        }
    }

    /// The target of one clock.
    pub fn of(&self, clock: ClockKind) -> Option<Span> {
        match clock {
            ClockKind::FirstResponse => self.first_response,
            ClockKind::NextResponse => self.next_response,
            ClockKind::Resolution => self.resolution,
            ClockKind::EscalationUnattended => self.escalation_unattended,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            first_response: self.first_response.or(other.first_response),
            next_response: self.next_response.or(other.next_response),
            resolution: self.resolution.or(other.resolution),
            escalation_unattended: self.escalation_unattended.or(other.escalation_unattended),
        }
    }
}

impl Tier {
    /// The targets of a severity, every one of them set.
    pub fn targets(&self, severity: Severity) -> Targets {
        let own = self.by_severity.get(&severity).copied().unwrap_or_default();
        own.or(self.default).or(Targets::built_in())
    }

    /// What is wrong with it: the setting and what is allowed.
    pub(super) fn mistakes(&self, calendars: &BTreeSet<&str>) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        if let Some(name) = &self.calendar
            && !calendars.contains(name.as_str())
        {
            let known: Vec<_> = calendars.iter().copied().collect();
            let known = if known.is_empty() { "none is set".to_owned() } else { known.join(", ") };
            mistakes.push(("calendar".to_owned(), format!("must be a calendar ({known}), not {name:?}")));
        }
        let default = [("default".to_owned(), &self.default)];
        let severities = self.by_severity.iter().map(|(severity, targets)| (severity.to_string(), targets));
        for (path, targets) in default.into_iter().chain(severities) {
            for clock in ClockKind::ALL {
                if targets.of(*clock).is_some_and(|span| span == Span::ZERO || span > TARGET_MAX) {
                    mistakes.push((
                        format!("{path}.{clock}"),
                        "must be longer than nothing and at most 365d".to_owned(),
                    ));
                }
            }
        }
        if self.reminders.windows(2).any(|pair| pair[0] >= pair[1])
            || self.reminders.first() == Some(&Span::ZERO)
        {
            mistakes.push((
                "reminders".to_owned(),
                "must be durations, each longer than the one before".to_owned(),
            ));
        }
        mistakes
    }
}

impl Policy {
    /// By which terms a clock runs for customers of `tier`, where the conversation is as urgent as `severity`.
    pub fn terms(&self, tier: SlaTier, severity: Severity, clock: ClockKind) -> Option<Terms<'_>> {
        let set = self.tier(tier);
        let calendar = set.calendar.as_deref();
        Some(Terms {
            target: set.targets(severity).of(clock)?,
            warn: set.warn,
            calendar,
            hours: self.hours(calendar),
            policy: self.version,
        })
    }
}

impl Warn {
    /// How much of `target` is spent when the warning comes.
    pub fn after(self, target: Span) -> Span {
        match self {
            Self::At(fraction) => Span::from_millis(target.as_millis() / 1000 * u64::from(fraction.0)),
            Self::Before(before) => Span::from_millis(target.as_millis().saturating_sub(before.as_millis())),
        }
    }
}

impl Fraction {
    /// A fraction of thousandths; none for nothing or all of it.
    pub fn thousandths(thousandths: u16) -> Option<Self> {
        (1..1000).contains(&thousandths).then_some(Self(thousandths))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / 1000.0).fmt(f)
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        let thousandths = (share * 1000.0).round();
        if (1.0..1000.0).contains(&thousandths) {
            // In range, so nothing is cut off.
            return Ok(Self(thousandths as u16));
        }
        Err(de::Error::custom(format!("{share} is not a part such as 0.75: more than 0 and less than 1")))
    }
}
