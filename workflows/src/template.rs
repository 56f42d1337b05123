//! The words the machine may send: templates by language, each with its own short list of variables.
//!
//! A template is checked when the policy is made, so that sending can never meet a mistake: [`Template::parse`]
//! refuses, [`Template::render`] is total. Nothing but a template's own variables can reach a customer through it.

use crate::{
    policy::Policy,
    text::{clip, one_line},
};

/// What the engine can say, and with which variables.
const SPECS: &[Spec] = &[Spec {
    name: "acknowledgement",
    variables: &["customer"],
    default: "Thank you, {customer}. We have your message and a person will answer.",
}];

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

/// The variables that a template may hold; none where there is no template of that name.
pub fn variables(name: &str) -> Option<&'static [&'static str]> {
    SPECS.iter().find(|spec| spec.name == name).map(|spec| spec.variables)
}

/// The acknowledgement of a first message, in the customer's language where there are words in it.
///
/// Words that do not parse (a policy that nobody checked) give way to the built-in ones.
pub fn acknowledgement(policy: &Policy, language: Option<&str>, customer: Option<&str>) -> String {
    let spec = &SPECS[0];
    let own = words(policy, language, spec.name).and_then(|words| Template::parse(spec.name, words).ok());
    let template = own.or_else(|| Template::parse(spec.name, spec.default).ok());
    let name = customer.and_then(presentable);
    template.map(|template| template.render(|_| name.clone())).unwrap_or_default()
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
fn presentable(name: &str) -> Option<String> {
    let name = clip(&one_line(name), NAME_MAX);
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
