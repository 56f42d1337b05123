//! A tenant's settings as one checked value.
//!
//! The edge makes it from configuration; decisions read it from their context.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{template::Template, time::Span};

/// Everything a tenant may set that decisions look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
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
}

impl Default for Policy {
    fn default() -> Self {
        let acknowledgement = "Thank you, {customer}. We have your message and a person will answer.";
        let english = BTreeMap::from([("acknowledgement".to_owned(), acknowledgement.to_owned())]);
        Self {
            name: "Customer care".to_owned(),
            reopen_window: Span::from_hours(7 * 24),
            acknowledge: true,
            templates: BTreeMap::from([("en".to_owned(), english)]),
            language: "en".to_owned(),
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
            wrong("language".to_owned(), language_rule(&self.language));
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
        if errors.is_empty() { Ok(()) } else { Err(errors) }
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
