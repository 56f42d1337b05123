//! The words the machine may send: templates by language, each with its own short list of variables.
//!
//! A template is checked when the policy is made, so that sending can never meet a mistake: [`Template::parse`]
//! refuses, [`Template::render`] is total. Nothing but a template's own variables can reach a customer through it.

use crate::{
    policy::Policy,
    text::{clip, one_line},
};

/// What the engine can say, and with which variables.
const SPECS: &[Spec] = &[
    Spec {
        name: "acknowledgement",
        variables: &["customer"],
        default: "Thank you, {customer}. We have your message and a person will answer.",
    },
    Spec {
        name: "waiting",
        variables: &["customer", "next_update_at"],
        default: "Your message is still with us. You will hear from us again by {next_update_at}.",
    },
    Spec {
        name: "escalation",
        variables: &["customer", "case_id", "channel", "next_update_at"],
        default: "Your case is {case_id}. You will hear from us again by {next_update_at}, by {channel}.",
    },
    // Said instead of `escalation` where a person or the policy recorded by when the case is expected to be solved.
    Spec {
        name: "escalation_window",
        variables: &["customer", "case_id", "channel", "expected_by", "next_update_at"],
        default: "Your case is {case_id}. We expect to have it solved by {expected_by}. You will hear from us again by {next_update_at}, by {channel}.",
    },
    Spec {
        name: "update",
        variables: &["customer", "case_id", "status_text", "next_update_at"],
        default: "Your case {case_id} is still open: {status_text}. You will hear from us again by {next_update_at}.",
    },
    // Said instead of `update` where a window is recorded.
    Spec {
        name: "update_window",
        variables: &["customer", "case_id", "status_text", "expected_by", "next_update_at"],
        default: "Your case {case_id} is still open: {status_text}. We expect to have it solved by {expected_by}. You will hear from us again by {next_update_at}.",
    },
    // The honest word when the time that was named has passed.
    Spec {
        name: "window_missed",
        variables: &["customer", "case_id", "status_text", "expected_by", "next_update_at"],
        default: "We had expected to have your case {case_id} solved by {expected_by}, and it is not: {status_text}. You will hear from us again by {next_update_at}.",
    },
    Spec {
        name: "resolved",
        variables: &["customer", "case_id"],
        default: "Your case {case_id} is solved. If anything is left, just answer this message.",
    },
    // What `{status_text}` stands for.
    Spec { name: "status_investigating", variables: &[], default: "we are looking for the cause" },
    Spec {
        name: "status_awaiting_fix",
        variables: &[],
        default: "the cause is known, and a fix is being prepared",
    },
    Spec { name: "status_fix_in_progress", variables: &[], default: "a fix is being made" },
    Spec {
        name: "status_awaiting_deploy",
        variables: &[],
        default: "the fix is made and is on its way to you",
    },
    Spec { name: "status_monitoring", variables: &[], default: "the fix is out, and we are watching it" },
];

struct Spec {
    name: &'static str,
    variables: &'static [&'static str],
    default: &'static str,
}

/// The longest customer's name that a template shows, in characters.
const NAME_MAX: usize = 80;

/// Words with places for variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why words are not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The engine never says anything of that name.
    #[error("there is no template {template:?}; there are {}", allowed.join(", "))]
    UnknownTemplate {
        /// The name that was given.
        template: String,
        /// The names there are.
        allowed: Vec<&'static str>,
    },
    /// The template has no such variable.
    #[error("template {template:?} has no variable {{{variable}}}; allowed: {}", braced(allowed))]
    UnknownVariable {
        /// The template.
        template: String,
        /// The variable that was used.
        variable: String,
        /// The variables it has.
        allowed: Vec<&'static str>,
    },
    /// A brace that opens or closes nothing.
    #[error("template {template:?} has a stray {brace:?} at character {at}; write it twice to mean itself")]
    StrayBrace {
        /// The template.
        template: String,
        /// The brace.
        brace: char,
        /// Its place, from 1.
        at: usize,
    },
    /// Nothing would be said.
    #[error("template {template:?} is empty")]
    Empty {
        /// The template.
        template: String,
    },
}

impl Template {
    /// Reads the words of the template `name`. `{{` and `}}` mean a brace.
    ///
    /// # Errors
    /// [`TemplateError`], naming the template, what is wrong and what is allowed.
    pub fn parse(name: &str, words: &str) -> Result<Self, TemplateError> {
        let template = || name.to_owned();
        let spec = SPECS
            .iter()
            .find(|spec| spec.name == name)
            .ok_or_else(|| TemplateError::UnknownTemplate { template: template(), allowed: names() })?;
        if words.trim().is_empty() {
            return Err(TemplateError::Empty { template: template() });
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = words;
        while let Some(place) = rest.find(['{', '}']) {
            text.push_str(&rest[..place]);
            let brace = if rest[place..].starts_with('{') { '{' } else { '}' };
            let after = &rest[place + 1..];
            if let Some(after_pair) = after.strip_prefix(brace) {
                text.push(brace);
                rest = after_pair;
                continue;
            }
            let closed = after.split_once('}').filter(|_| brace == '{');
            let (variable, after_variable) = closed.ok_or_else(|| {
                let at = words[..words.len() - after.len()].chars().count();
                TemplateError::StrayBrace { template: template(), brace, at }
            })?;
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Variable(spec.variable(variable)?));
            rest = after_variable;
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    /// The words with every variable in its place.
    ///
    /// One without a value goes, together with the comma or space that led to it: `Thank you, {customer}.` becomes
    /// `Thank you.`
    pub fn render(&self, value_of: impl Fn(&str) -> Option<String>) -> String {
        let mut said = String::new();
        let mut after_gap = false;
        for part in &self.parts {
            match part {
                Part::Text(text) if after_gap && said.is_empty() => said.push_str(&capitalised(text)),
                Part::Text(text) => said.push_str(text),
                Part::Variable(name) => match value_of(name) {
                    Some(value) => said.push_str(&value),
                    None => {
                        let led = said.trim_end().trim_end_matches(',').trim_end().len();
                        said.truncate(led);
                        after_gap = true;
                    }
                },
            }
        }
        said
    }
}

impl Spec {
    fn variable(&self, variable: &str) -> Result<String, TemplateError> {
        if self.variables.contains(&variable) {
            return Ok(variable.to_owned());
        }
        Err(TemplateError::UnknownVariable {
            template: self.name.to_owned(),
            variable: variable.to_owned(),
            allowed: self.variables.to_vec(),
        })
    }
}

/// The names of all templates.
pub fn names() -> Vec<&'static str> {
    SPECS.iter().map(|spec| spec.name).collect()
}

/// The variables of a template; none if there is no such template.
pub fn variables(name: &str) -> Option<&'static [&'static str]> {
    SPECS.iter().find(|spec| spec.name == name).map(|spec| spec.variables)
}

/// The built-in words, by name.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    SPECS.iter().map(|spec| (spec.name, spec.default))
}

/// The words of the template `name` in the best language there is, with every variable in its place.
///
/// Words that do not parse (a policy that nobody checked) give way to the built-in ones; a name that no template has
/// says nothing.
pub fn say(
    policy: &Policy,
    language: Option<&str>,
    name: &str,
    value_of: impl Fn(&str) -> Option<String>,
) -> String {
    let Some(spec) = SPECS.iter().find(|spec| spec.name == name) else { return String::new() };
    let own = words(policy, language, spec.name).and_then(|words| Template::parse(spec.name, words).ok());
    let template = own.or_else(|| Template::parse(spec.name, spec.default).ok());
    template.map(|template| template.render(value_of)).unwrap_or_default()
}

/// The words in the best language: the one asked for, its parent (`de` for `de-AT`), the tenant's own.
fn words<'p>(policy: &'p Policy, language: Option<&str>, name: &str) -> Option<&'p str> {
    let asked = language.map(str::to_lowercase);
    let parent = asked.as_deref().and_then(|tag| tag.split_once('-')).map(|(parent, _)| parent.to_owned());
    let wanted = [asked, parent, Some(policy.language.to_lowercase())];
    wanted.into_iter().flatten().find_map(|wanted| {
        let (_, words) = policy.templates.iter().find(|(language, _)| language.to_lowercase() == wanted)?;
        words.get(name).map(String::as_str)
    })
}

/// A name that may stand in our own words. Names come from outside: one with an address in it would make us the
/// sender of somebody's advertisement.
pub fn presentable(name: &str) -> Option<String> {
    let name = clip(&one_line(name), NAME_MAX).trim_end().to_owned();
    let lower = name.to_lowercase();
    let advertises = ["://", "www.", "@"].iter().any(|mark| lower.contains(mark));
    (!name.is_empty() && !advertises).then_some(name)
}

/// A text that lost its beginning: without the marks that followed it, and with a capital letter.
fn capitalised(text: &str) -> String {
    let text =
        text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | ';' | '!' | '.'));
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn braced(variables: &[&str]) -> String {
    variables.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
