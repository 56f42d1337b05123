//! A tenant's settings as one checked value, and all the versions that were ever in force.
//!
//! The engine makes it from the tenant's policy stream; decisions read it from their context. As JSON it reads back
//! as it was written, and a setting that an older version did not have gets its built-in value.

pub mod settings;
mod targets;
mod updates;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    targets::{Fraction, OnReopen, PauseIn, Targets, Terms, Tier, Warn},
    updates::{INTERVAL_MAX, Updates},
    versions::Policies,
};
use crate::{
    calendar::Calendar,
    template::{self, Template},
    time::{Span, Timestamp},
    words::{IssueType, Severity, SlaTier},
};

/// Everything a tenant may set that decisions look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Which version of the tenant's policy this is, from 1.
    pub version: u64,
    /// Since when it is in force.
    pub since: Timestamp,
    /// The name customers know the tenant by, for machine messages.
    pub name: String,
    /// A customer's message within this span of the resolution reopens; later it starts a new conversation.
    pub reopen_window: Span,
    /// Whether a new conversation is acknowledged at once.
    pub acknowledge: bool,
    /// Words by language, then by template name.
    pub templates: BTreeMap<String, BTreeMap<String, String>>,
    /// The language of customers who stated none.
    pub language: String,
    /// The time zone of customers who stated none: times are told in it.
    pub timezone: String,
    /// How long a waiting customer may hear nothing.
    pub updates: Updates,
    /// What may be promised of a case when it is opened, by issue and severity: a person wrote these.
    pub windows: BTreeMap<IssueType, BTreeMap<Severity, Span>>,
    /// Business calendars by name.
    pub calendars: BTreeMap<String, Calendar>,
    /// What is promised to customers, by tier; the built-in [`Tier`] for one that is absent.
    pub tiers: BTreeMap<SlaTier, Tier>,
}

impl Default for Policy {
    fn default() -> Self {
        let english = template::built_in().map(|(name, words)| (name.to_owned(), words.to_owned())).collect();
        Self {
            name: "Customer care".to_owned(),
            reopen_window: Span::from_hours(7 * 24),
            acknowledge: true,
            templates: BTreeMap::from([("en".to_owned(), english)]),
            language: "en".to_owned(),
            timezone: "UTC".to_owned(),
            version: 1,
            since: Timestamp::default(),
            updates: Updates::default(),
            windows: BTreeMap::new(),
            calendars: BTreeMap::new(),
            tiers: BTreeMap::new(),
        }
    }
}

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct PolicyError {
    /// The path of the setting, as configuration writes it, for example `templates.en.acknowledgement`.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl Policy {
    /// Checks everything that a policy's shape cannot promise.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its setting.
    pub fn check(&self) -> Result<(), Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut wrong = |path: String, what: String| errors.push(PolicyError { path, what });
        if self.name.trim().is_empty() || self.name.chars().any(char::is_control) {
            wrong("name".to_owned(), "must be a name on one line".to_owned());
        }
        if !is_language(&self.language) {
            wrong("customers.language".to_owned(), language_rule(&self.language));
        }
        for (language, templates) in &self.templates {
            if !is_language(language) {
                wrong(format!("templates.{language}"), language_rule(language));
            }
            for (name, words) in templates {
                if let Err(error) = Template::parse(name, words) {
                    wrong(format!("templates.{language}.{name}"), error.to_string());
                }
            }
        }
        if self.timezone.parse::<chrono_tz::Tz>().is_err() {
            let what = format!("must be a time zone such as Europe/Vienna, not {:?}", self.timezone);
            wrong("customers.timezone".to_owned(), what);
        }
        for (path, what) in self.updates.mistakes() {
            wrong(format!("updates.{path}"), what);
        }
        for (issue, severities) in &self.windows {
            for (severity, _) in severities.iter().filter(|(_, span)| **span == Span::ZERO) {
                wrong(
                    format!("escalation.windows.{issue}.{severity}"),
                    "must be longer than nothing".to_owned(),
                );
            }
        }
        let calendars: BTreeSet<&str> = self.calendars.keys().map(String::as_str).collect();
        for (name, tier) in &self.tiers {
            for (path, what) in tier.mistakes(&calendars) {
                wrong(format!("sla.tiers.{name}.{path}"), what);
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl Policy {
    /// What is promised to a customer of `tier`, where a conversation is as urgent as `severity`.
    pub fn targets(&self, tier: SlaTier, severity: Severity) -> Targets {
        self.tier(tier).targets(severity)
    }

    /// The tier as it is set, or the built-in one.
    pub fn tier(&self, tier: SlaTier) -> &Tier {
        self.tiers.get(&tier).unwrap_or(targets::built_in())
    }

    /// The calendar of that name; around the clock for none, or one that is gone.
    pub fn hours(&self, name: Option<&str>) -> &Calendar {
        name.and_then(|name| self.calendars.get(name)).unwrap_or(Calendar::around_the_clock())
    }

    /// What may be promised of a case, where a person wrote something down for it.
    pub fn window(&self, issue: IssueType, severity: Severity) -> Option<Span> {
        self.windows.get(&issue)?.get(&severity).copied()
    }
}

fn language_rule(found: &str) -> String {
    format!("must be a language such as en or pt-BR, not {found:?}")
}

/// Whether `text` has the shape of a language tag (RFC 5646): parts of 1 to 8 letters or digits, the first of 2 or
/// 3 letters.
pub fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}
