//! The policy of a tenant as a stream: every version that was ever in force, who made it, and what it changed.
//!
//! Two hands write it. At each start the configuration is laid before it ([`Command::Adopt`]); while the server runs, the
//! API changes it by JSON merge patches (RFC 7396). A key that the configuration sets *explicitly* belongs to it: the API
//! is refused there, and an earlier edit of that key sleeps until the configuration lets go of it. So the settings in
//! force are the configuration's, with the edits of other keys laid over them.
//!
//! | command | state | events |
//! |---|---|---|
//! | `Adopt` | the same settings come out | nothing |
//! | | others | `PolicyChanged` |
//! | `Edit` | of a key that is the configuration's | refused: owned |
//! | | of a key that does not exist, or to a value that cannot be | refused: invalid, all mistakes at once |
//! | | the same settings come out | nothing |
//! | | others | `PolicyChanged` |

mod merge;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    activity::NoActivity,
    policy::{Policy, PolicyError, settings::Settings},
    time::Timestamp,
    words::words,
    workflow::{ActivityError, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

#[cfg(test)]
mod tests;

/// The sections whose keys are names of the tenant's choice, or need not be there.
const NAMED: [&str; 4] = ["calendars.", "escalation.windows.", "sla.tiers.", "templates."];

/// The workflow of a tenant's policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyBook;

words! {
    /// Who wrote a version of a policy.
    PolicySource, "a source of a policy" {
        /// The configuration: file and environment.
        Configuration = "configuration",
        /// Somebody, by the API.
        Api = "api",
    }
}

/// What the configuration says of a tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// All of its settings as JSON ([`Settings`]), built-in values where it says nothing.
    pub settings: String,
    /// The keys that it sets explicitly, with dots, for example `updates.interval`.
    pub owned: Vec<String>,
}

/// An order to a tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The configuration is as it is.
    Adopt {
        /// What it says.
        file: PolicyFile,
    },
    /// The API changes something.
    Edit {
        /// A JSON merge patch of [`Settings`]; `null` takes an edit away.
        patch: String,
        /// What the configuration says.
        file: PolicyFile,
    },
}

/// A fact about a tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Other settings are in force.
    PolicyChanged {
        /// Since when.
        at: Timestamp,
        /// Which version, from 1.
        version: u64,
        /// All settings in force, as JSON ([`Settings`]).
        settings: String,
        /// The keys whose values are others than before, with dots.
        changed: Vec<String>,
        /// What the API has set, as JSON.
        edits: String,
        /// Who wrote it.
        source: PolicySource,
    },
}

/// The version in force; version 0 before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u64,
    since: Timestamp,
    settings: String,
    edits: String,
}

/// Why a command to a tenant's policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is no JSON merge patch.
    #[error("a JSON object of settings is needed: {0}")]
    Malformed(String),
    /// The configuration sets these keys.
    #[error("the configuration sets {}; change it there, or take it out there to set it here", .0.join(", "))]
    Owned(Vec<String>),
    /// Keys that do not exist, and values that cannot be.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<PolicyError>),
    /// What the configuration says does not go together with what the API has set.
    #[error(
        "the configuration and what was set by the API ({edits}) do not go together: {}",
        .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    AtOdds {
        /// What the API has set, as JSON.
        edits: String,
        /// What is wrong.
        mistakes: Vec<PolicyError>,
    },
}

impl State {
    /// Which version is in force; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// All settings in force, as JSON.
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// What the API has set, as JSON, sleeping edits included.
    pub fn edits(&self) -> &str {
        if self.edits.is_empty() { "{}" } else { &self.edits }
    }
}

/// A stored version as decisions look at it.
///
/// # Errors
/// What is wrong with the text.
pub fn policy_of(settings: &str, version: u64, since: Timestamp) -> Result<Policy, String> {
    let settings: Settings = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    Ok(settings.policy(version, since))
}

/// Settings as they are kept and shown: without what is not set.
pub fn shown(settings: &Settings) -> Value {
    let mut value = serde_json::to_value(settings).unwrap_or_default();
    merge::strip_nulls(&mut value);
    value
}

impl PolicyFile {
    /// A configuration that says this and insists on nothing.
    pub fn open(settings: &Settings) -> Self {
        Self { settings: shown(settings).to_string(), owned: Vec::new() }
    }

    /// The settings that come out with `edits` laid over, those of owned keys left out.
    fn with(&self, edits: &Value) -> Result<Value, Rejection> {
        let mut settings: Value =
            serde_json::from_str(&self.settings).map_err(|error| Rejection::Malformed(error.to_string()))?;
        merge::apply(&mut settings, &merge::without(edits, &self.owned));
        Ok(settings)
    }
}

impl Workflow for PolicyBook {
    const KIND: &'static str = "policy";
    const STATE_REVISION: u32 = 1;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = NoActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let before: Value = serde_json::from_str(state.edits()).unwrap_or_default();
        let (file, edits, source) = match command {
            Command::Adopt { file } => (file, before, PolicySource::Configuration),
            Command::Edit { patch, file } => {
                let edits = edited(&before, &patch, &file)?;
                (file, edits, PolicySource::Api)
            }
        };
        let settings = read(file.with(&edits)?)?;
        let mistakes = settings.mistakes();
        if !mistakes.is_empty() {
            return Err(match source {
                PolicySource::Configuration => Rejection::AtOdds { edits: edits.to_string(), mistakes },
                PolicySource::Api => Rejection::Invalid(mistakes),
            });
        }
        let shown = shown(&settings);
        let settings = shown.to_string();
        if settings == state.settings {
            return Ok(Decision::nothing());
        }
        let former: Value = serde_json::from_str(&state.settings).unwrap_or_default();
        Ok(Decision::event(Event::PolicyChanged {
            at: cx.now,
            version: state.version + 1,
            settings,
            changed: merge::difference(&former, &shown),
            edits: edits.to_string(),
            source,
        }))
    }

    fn evolve(state: &mut State, event: &Event) {
        let Event::PolicyChanged { at, version, settings, edits, .. } = event;
        *state = State { version: *version, since: *at, settings: settings.clone(), edits: edits.clone() };
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &NoActivity, _error: &ActivityError) -> Option<Command> {
        match *activity {}
    }

    fn event_type(event: &Event) -> EventType {
        match event {
            Event::PolicyChanged { .. } => EventType { name: "policy_changed", version: 1 },
        }
    }
}

/// The edits after `patch`, if it speaks of nothing that is the configuration's or that does not exist.
fn edited(before: &Value, patch: &str, file: &PolicyFile) -> Result<Value, Rejection> {
    let patch: Value =
        serde_json::from_str(patch).map_err(|error| Rejection::Malformed(error.to_string()))?;
    if !patch.is_object() {
        return Err(Rejection::Malformed("this is something else".to_owned()));
    }
    let leaves = merge::leaves(&patch);
    let is_owned = |path: &str| file.owned.iter().any(|owned| owned == path);
    let owned: Vec<_> = leaves.iter().filter(|(path, _)| is_owned(&path.join("."))).collect();
    if !owned.is_empty() {
        return Err(Rejection::Owned(owned.into_iter().map(|(path, _)| path.join(".")).collect()));
    }
    let (mut edits, mut mistakes) = (before.clone(), Vec::new());
    for (path, value) in leaves {
        match mistake(&path, value, file) {
            Some(mistake) => mistakes.push(mistake),
            None => merge::apply(&mut edits, &merge::wrapped(&path, value.clone())),
        }
    }
    merge::prune(&mut edits);
    if mistakes.is_empty() {
        return Ok(edits);
    }
    // What can be read is checked all the same, so that everything is told at once.
    mistakes.extend(read(file.with(&edits)?)?.mistakes());
    Err(Rejection::Invalid(mistakes))
}

/// What is wrong with one value of a patch by itself: nothing is called so, or it cannot be read.
fn mistake(path: &[String], value: &Value, file: &PolicyFile) -> Option<PolicyError> {
    let error = |what: String| Some(PolicyError { path: path.join("."), what });
    let unknown = || error("is not a setting; GET /api/v1/policy shows those there are".to_owned());
    if value.is_null() {
        // What is not there may be taken away all the same: the second time changes nothing.
        let dotted = path.join(".");
        let named = NAMED.iter().any(|section| dotted.starts_with(section));
        let there = named || merge::at(&shown(&Settings::default()), path).is_some();
        return if there { None } else { unknown() };
    }
    let mut alone = file.with(&Value::Object(serde_json::Map::new())).ok()?;
    merge::apply(&mut alone, &merge::wrapped(path, value.clone()));
    match read(alone) {
        Ok(settings) => {
            let read_back = serde_json::to_value(&settings).unwrap_or_default();
            if merge::at(&read_back, path).is_some() { None } else { unknown() }
        }
        Err(Rejection::Malformed(what)) => error(format!("cannot be {value}: {what}")),
        Err(_) => None,
    }
}

fn read(settings: Value) -> Result<Settings, Rejection> {
    serde_json::from_value(settings).map_err(|error| Rejection::Malformed(error.to_string()))
}
