//! Changes to a customer's profile: checked, then reduced to what is really different.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    consent::{self, ConsentChange},
    state::Facts,
};
use crate::{
    message::Channel,
    policy::is_language,
    quiet_hours::QuietHours,
    record::{Rejection, TAGS_MAX, checked_tag},
    text::non_empty,
    words::SlaTier,
};

/// The longest metadata that is kept, in bytes of JSON.
const METADATA_MAX: usize = 16 * 1024;

/// How a customer likes to be written to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// By which channel.
    pub channel: Option<Channel>,
    /// In which language, for example `pt-BR`.
    pub language: Option<String>,
    /// In which time zone they live, for example `Europe/Vienna`.
    pub timezone: Option<String>,
    /// When not, by the clocks of that zone, or of the tenant's where none is known.
    pub quiet_hours: Option<QuietHours>,
}

/// Changes to a profile. What is none stays; an empty text takes the value away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerPatch {
    /// Their name.
    pub name: Option<String>,
    /// Their company.
    pub company: Option<String>,
    /// A JSON object as text, in place of the whole present one; empty for none.
    pub metadata: Option<String>,
    /// What their contract promises.
    pub sla_tier: Option<SlaTier>,
    /// Tags to add.
    pub tags_add: Vec<String>,
    /// Tags to take away.
    pub tags_remove: Vec<String>,
    /// By which channel they like to be written to; `Some(None)` takes it away.
    pub channel: Option<Option<Channel>>,
    /// In which language.
    pub language: Option<String>,
    /// In which time zone they live.
    pub timezone: Option<String>,
    /// When they do not want to be written to, for example `22:00-07:00`.
    pub quiet_hours: Option<String>,
    /// What they say of being written to by single channels.
    pub consent: BTreeMap<Channel, ConsentChange>,
}

impl CustomerPatch {
    /// The patch with every value in the form it is kept in.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with the path of the first field that cannot be.
    pub(super) fn checked(&self) -> Result<Self, Rejection> {
        Ok(Self {
            name: checked_line("profile.name", self.name.as_deref())?,
            company: checked_line("profile.company", self.company.as_deref())?,
            metadata: checked_metadata(self.metadata.as_deref())?,
            sla_tier: self.sla_tier,
            tags_add: checked_tags("tags.add", &self.tags_add)?,
            tags_remove: checked_tags("tags.remove", &self.tags_remove)?,
            channel: self.channel.clone(),
            language: checked_by(
                "preferences.language",
                self.language.as_deref(),
                is_language,
                "a language such as en or pt-BR",
            )?,
            timezone: checked_by(
                "preferences.timezone",
                self.timezone.as_deref(),
                is_timezone,
                "a time zone that exists, such as Europe/Vienna",
            )?,
            quiet_hours: checked_by(
                "preferences.quiet_hours",
                self.quiet_hours.as_deref(),
                |text| text.parse::<QuietHours>().is_ok(),
                "a range of the day such as 22:00-07:00",
            )?,
            consent: consent::checked(&self.consent)?,
        })
    }

    /// What of a checked patch differs from what is known; none if nothing does.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] if there would be too many tags, or channels of known consent.
    pub(super) fn against(&self, facts: &Facts) -> Result<Option<Self>, Rejection> {
        let preferences = &facts.preferences;
        let quiet_hours = preferences.quiet_hours.as_ref().map(QuietHours::as_str);
        let mut tags_add: Vec<_> = self.tags_add.clone();
        tags_add.retain(|tag| !facts.tags.contains(tag) && !self.tags_remove.contains(tag));
        let mut tags_remove = self.tags_remove.clone();
        tags_remove.retain(|tag| facts.tags.contains(tag));
        if facts.tags.len() + tags_add.len() > TAGS_MAX + tags_remove.len() {
            return Err(Rejection::invalid("tags.add", format!("few enough for at most {TAGS_MAX} tags")));
        }
        let change = Self {
            name: different(&self.name, facts.name.as_deref()),
            company: different(&self.company, facts.company.as_deref()),
            metadata: different(&self.metadata, Some(&facts.metadata)),
            sla_tier: self.sla_tier.filter(|tier| *tier != facts.sla_tier),
            tags_add,
            tags_remove,
            channel: self.channel.clone().filter(|channel| *channel != preferences.channel),
            language: different(&self.language, preferences.language.as_deref()),
            timezone: different(&self.timezone, preferences.timezone.as_deref()),
            quiet_hours: different(&self.quiet_hours, quiet_hours),
            consent: consent::against(&self.consent, &facts.consent)?,
        };
        Ok((change != Self::default()).then_some(change))
    }
}

/// Sets `value` where the change says something; an empty text takes it away.
pub(super) fn applied(value: &mut Option<String>, change: Option<&str>) {
    if let Some(text) = change {
        *value = non_empty(text);
    }
}

fn different(wanted: &Option<String>, known: Option<&str>) -> Option<String> {
    wanted.clone().filter(|wanted| wanted.as_str() != known.unwrap_or_default())
}

fn checked_line(field: &'static str, text: Option<&str>) -> Result<Option<String>, Rejection> {
    let fits = |text: &str| text.chars().count() <= 200 && !text.chars().any(char::is_control);
    checked_by(field, text, fits, "at most 200 characters on one line")
}

fn checked_by(
    field: &'static str,
    text: Option<&str>,
    fits: impl Fn(&str) -> bool,
    allowed: &str,
) -> Result<Option<String>, Rejection> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    if !text.is_empty() && !fits(text) {
        return Err(Rejection::invalid(field, allowed));
    }
    Ok(Some(text.to_owned()))
}

fn checked_metadata(text: Option<&str>) -> Result<Option<String>, Rejection> {
    let is_object = |text: &str| matches!(serde_json::from_str(text), Ok(Value::Object(_)));
    let fits = |text: &str| text.len() <= METADATA_MAX && is_object(text);
    checked_by("profile.metadata", text, fits, "a JSON object of at most 16 KiB")
}

fn checked_tags(field: &'static str, tags: &[String]) -> Result<Vec<String>, Rejection> {
    let mut kept = Vec::new();
    for tag in tags {
        let tag = checked_tag(tag)
            .ok_or_else(|| Rejection::invalid(field, "tags of 1 to 64 characters, each on one line"))?;
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    Ok(kept)
}

/// Whether the time zone database knows a zone of this name.
fn is_timezone(text: &str) -> bool {
    text.parse::<chrono_tz::Tz>().is_ok()
}
