//! A policy in the words of the configuration: the shape of `config.toml`, of the API, and of the policy stream.
//!
//! [`Settings`] holds whatever was written, checked for its shape only; [`Settings::policy`] makes of it the value that
//! decisions look at, and [`Settings::mistakes`] says what is wrong with it, each mistake at its key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Fraction, OnReopen, PauseIn, Policy, PolicyError, Targets, Tier, Updates, Warn};
use crate::{
    calendar::{Calendar, CalendarSpec},
    message::is_generic_name,
    time::{Span, Timestamp},
    words::{IssueType, Severity, SlaTier},
};

/// Everything a tenant may set that decisions look at, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The name customers know the tenant by.
    pub name: String,
    /// What holds for every conversation.
    pub conversation: ConversationSettings,
    /// What holds for customers who stated nothing else.
    pub customers: CustomerSettings,
    /// How long a waiting customer may hear nothing.
    pub updates: Updates,
    /// What holds for cases.
    pub escalation: EscalationSettings,
    /// Business calendars by name.
    pub calendars: BTreeMap<String, CalendarSpec>,
    /// What is promised, and when.
    pub sla: SlaSettings,
    /// The machine's words, by language and name.
    pub templates: BTreeMap<String, BTreeMap<String, String>>,
}

/// `conversation`: what holds for every conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConversationSettings {
    /// A customer's message within this span of the resolution reopens the conversation.
    pub reopen_window: Span,
    /// Whether a new conversation is acknowledged at once.
    pub acknowledge: bool,
}

/// `customers`: what holds for customers who stated nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomerSettings {
    /// Their language.
    pub language: String,
    /// Their time zone: times are told in it.
    pub timezone: String,
}

/// `escalation`: what holds for cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EscalationSettings {
    /// What may be promised of a case when it is opened, by issue and severity.
    #[serde(deserialize_with = "windows")]
    pub windows: BTreeMap<IssueType, BTreeMap<Severity, Span>>,
}

/// `sla`: what is promised, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlaSettings {
    /// What is promised to the customers of each tier; the built-in promises for a tier that is absent.
    #[serde(deserialize_with = "by_name")]
    pub tiers: BTreeMap<SlaTier, TierSettings>,
}

/// `sla.tiers.TIER`: what is promised to the customers of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TierSettings {
    /// The calendar that time is spent in; around the clock without one.
    pub calendar: Option<String>,
    /// What pauses the clock of the resolution.
    pub pause_in: BTreeSet<PauseIn>,
    /// What that clock does on reopening.
    pub on_reopen: OnReopen,
    /// The part of a target after which a warning comes.
    pub warn_at: Option<Fraction>,
    /// How much business time ahead of a due time a warning comes, instead of `warn_at`.
    pub warn_before: Option<Span>,
    /// After how much business time the person responsible is reminded of an unanswered message.
    pub reminders: Vec<Span>,
    /// The targets, where a severity has none of its own.
    pub default: Targets,
    /// Those of critical conversations.
    #[serde(rename = "P0")]
    pub p0: Targets,
    /// Those of urgent ones.
    #[serde(rename = "P1")]
    pub p1: Targets,
    /// Those of ordinary ones.
    #[serde(rename = "P2")]
    pub p2: Targets,
    /// Those that only inform.
    #[serde(rename = "P3")]
    pub p3: Targets,
}

/// Reads a map by the texts of its keys, so that whoever follows the reading (for the line of a mistake) sees them.
fn by_name<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: FromStr<Err: Display> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let map = BTreeMap::<String, V>::deserialize(deserializer)?;
    map.into_iter().map(|(key, value)| Ok((key.parse().map_err(de::Error::custom)?, value))).collect()
}

/// Windows by issue and severity, read as [`by_name`] does.
fn windows<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<IssueType, BTreeMap<Severity, Span>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct BySeverity(#[serde(deserialize_with = "by_name")] BTreeMap<Severity, Span>);
    let issues: BTreeMap<IssueType, BySeverity> = by_name(deserializer)?;
    Ok(issues.into_iter().map(|(issue, severities)| (issue, severities.0)).collect())
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&Policy::default())
    }
}

impl Default for ConversationSettings {
    fn default() -> Self {
        Settings::default().conversation
    }
}

impl Default for CustomerSettings {
    fn default() -> Self {
        Settings::default().customers
    }
}

impl Default for TierSettings {
    fn default() -> Self {
        Self::from(&Tier { default: Targets::default(), ..Tier::default() })
    }
}

impl From<&Policy> for Settings {
    fn from(policy: &Policy) -> Self {
        let calendars =
            policy.calendars.iter().map(|(name, calendar)| (name.clone(), calendar.clone().into()));
        let tiers = policy.tiers.iter().map(|(name, tier)| (*name, TierSettings::from(tier)));
        Self {
            name: policy.name.clone(),
            conversation: ConversationSettings {
                reopen_window: policy.reopen_window,
                acknowledge: policy.acknowledge,
            },
            customers: CustomerSettings {
                language: policy.language.clone(),
                timezone: policy.timezone.clone(),
            },
            updates: policy.updates,
            escalation: EscalationSettings { windows: policy.windows.clone() },
            calendars: calendars.collect(),
            sla: SlaSettings { tiers: tiers.collect() },
            templates: policy.templates.clone(),
        }
    }
}

impl From<&Tier> for TierSettings {
    fn from(tier: &Tier) -> Self {
        let (warn_at, warn_before) = match tier.warn {
            warn if warn == Tier::default().warn => (None, None),
            Warn::At(part) => (Some(part), None),
            Warn::Before(span) => (None, Some(span)),
        };
        let of = |severity| tier.by_severity.get(&severity).copied().unwrap_or_default();
        Self {
            calendar: tier.calendar.clone(),
            pause_in: tier.pause_in.clone(),
            on_reopen: tier.on_reopen,
            warn_at,
            warn_before,
            reminders: tier.reminders.clone(),
            default: tier.default,
            p0: of(Severity::P0),
            p1: of(Severity::P1),
            p2: of(Severity::P2),
            p3: of(Severity::P3),
        }
    }
}

impl TierSettings {
    fn tier(&self) -> Tier {
        let of = |severity| match severity {
            Severity::P0 => self.p0,
            Severity::P1 => self.p1,
            Severity::P2 => self.p2,
            Severity::P3 => self.p3,
        };
        let set = Severity::ALL.iter().map(|severity| (*severity, of(*severity)));
        Tier {
            calendar: self.calendar.clone(),
            pause_in: self.pause_in.clone(),
            on_reopen: self.on_reopen,
            warn: match (self.warn_at, self.warn_before) {
                (_, Some(span)) => Warn::Before(span),
                (Some(part), None) => Warn::At(part),
                (None, None) => Tier::default().warn,
            },
            reminders: self.reminders.clone(),
            default: self.default,
            by_severity: set.filter(|(_, targets)| *targets != Targets::default()).collect(),
        }
    }
}

impl Settings {
    /// What decisions look at. A calendar with mistakes is left out: [`Settings::mistakes`] tells of it.
    pub fn policy(&self, version: u64, since: Timestamp) -> Policy {
        let calendars = self.calendars.iter();
        let calendars = calendars.filter_map(|(name, spec)| Some((name.clone(), Calendar::new(spec).ok()?)));
        Policy {
            version,
            since,
            name: self.name.clone(),
            reopen_window: self.conversation.reopen_window,
            acknowledge: self.conversation.acknowledge,
            templates: self.templates.clone(),
            language: self.customers.language.clone(),
            timezone: self.customers.timezone.clone(),
            updates: self.updates,
            windows: self.escalation.windows.clone(),
            calendars: calendars.collect(),
            tiers: self.sla.tiers.iter().map(|(name, tier)| (*name, tier.tier())).collect(),
        }
    }

    /// Everything that is wrong, each mistake with its key as the configuration writes it.
    pub fn mistakes(&self) -> Vec<PolicyError> {
        let mut policy = self.policy(1, Timestamp::default());
        let mut mistakes = Vec::new();
        for (name, spec) in &self.calendars {
            let path = format!("calendars.{name}");
            if !is_generic_name(name) {
                let what = "cannot be a calendar's name: 1 to 63 of a-z, 0-9, '-' and '_'".to_owned();
                mistakes.push(PolicyError { path: path.clone(), what });
            }
            for error in Calendar::new(spec).err().unwrap_or_default() {
                mistakes.push(PolicyError { path: format!("{path}.{}", error.path), what: error.what });
            }
            // One that has mistakes is there all the same: a tier that names it makes no further one.
            policy.calendars.entry(name.clone()).or_insert_with(Calendar::always);
        }
        for (name, tier) in &self.sla.tiers {
            if tier.warn_at.is_some() && tier.warn_before.is_some() {
                let path = format!("sla.tiers.{name}.warn_before");
                let what = "must not stand beside warn_at: a warning comes by one of them".to_owned();
                mistakes.push(PolicyError { path, what });
            }
        }
        mistakes.extend(policy.check().err().unwrap_or_default());
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_policy_say_the_same_in_two_shapes() {
        let text = r#"{
            "name": "Acme", "customers": {"language": "de", "timezone": "Europe/Vienna"},
            "updates": {"interval": "6h"}, "escalation": {"windows": {"technical": {"P0": "4h"}}},
            "calendars": {"office": {"timezone": "Europe/Vienna", "hours": {"mon": ["09:00-17:00"]}}},
            "sla": {"tiers": {"premium": {"calendar": "office", "warn_before": "30m", "P0": {"first_response": "15m"}}}}
        }"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.mistakes(), Vec::new());
        let policy = settings.policy(3, Timestamp::from_millis(5));
        assert_eq!((policy.version, policy.updates.interval), (3, Span::from_hours(6)));
        let urgent = policy.targets(SlaTier::Premium, Severity::P0);
        assert_eq!(urgent.first_response, Some(Span::from_mins(15)));
        assert_eq!(urgent.resolution, Targets::built_in().resolution, "what is not set is built in");
        assert_eq!(policy.tier(SlaTier::Premium).warn, Warn::Before(Span::from_mins(30)));
        assert_eq!(Settings::from(&policy), settings);
        assert_eq!(Settings::default().policy(1, Timestamp::default()), Policy::default());
    }

    #[test]
    fn every_mistake_is_told_at_its_key() {
        let text = r#"{
            "customers": {"language": "german", "timezone": "Vienna"}, "updates": {"interval": "13h"},
            "calendars": {"Office": {"timezone": "Moon", "hours": {"mon": ["09:00-17:00"]}}},
            "sla": {"tiers": {"premium": {"calendar": "Office", "warn_at": 0.5, "warn_before": "30m"},
                              "free": {"calendar": "none", "P1": {"resolution": "0s"}}}}
        }"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let paths: BTreeSet<String> = settings.mistakes().into_iter().map(|error| error.path).collect();
        let expected = [
            "calendars.Office",
            "calendars.Office.timezone",
            "customers.language",
            "customers.timezone",
            "sla.tiers.free.P1.resolution",
            "sla.tiers.free.calendar",
            "sla.tiers.premium.warn_before",
            "updates.interval",
        ];
        assert_eq!(paths, expected.map(str::to_owned).into());
    }
}
