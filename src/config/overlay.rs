//! The environment, laid over the file: `THROUGHLINE__STORAGE__PATH` is `storage.path`.
//!
//! Two underscores descend, case does not matter, the value is read as TOML and, where it is none or the setting
//! is a text, as it stands.

use super::{
    Environment,
    keys::{self, Kind},
    problem::{Place, Problem},
    tree::{Node, Value},
};

const PREFIX: &str = "THROUGHLINE__";

/// Lays every setting of the environment over `tree`. Unknown ones are laid too and refused with the rest.
pub(super) fn lay(tree: &mut Node, environment: &Environment, problems: &mut Vec<Problem>) {
    for (variable, text) in environment {
        let Some(rest) = variable.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))
        else {
            continue;
        };
        let names: Vec<&str> = variable.get(rest.len()..).unwrap_or_default().split("__").collect();
        if names.iter().any(|name| name.is_empty()) {
            let message = "names no setting: write THROUGHLINE__SECTION__KEY".to_owned();
            problems.push(Problem { place: Place::Variable(variable.clone()), key: String::new(), message });
            continue;
        }
        let path = present_spelling(tree, &names);
        let value = read(&path, text, variable);
        tree.lay_over(value.wrapped(&path));
    }
}

/// The path in the spelling that the tree already has, or that the settings have, or else in small letters.
fn present_spelling(tree: &Node, names: &[&str]) -> Vec<String> {
    let mut node = Some(tree);
    let mut path = Vec::new();
    for name in names {
        let table = match node.map(|node| &node.value) {
            Some(Value::Table(table)) => Some(table),
            Some(Value::List(_) | Value::Plain(_)) | None => None,
        };
        let present = table.and_then(|table| table.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
        // A severity is written P0 wherever it stands.
        let known = || keys::names_in(&path).into_iter().find(|known| known.eq_ignore_ascii_case(name));
        let spelled = present.map(|(key, _)| key.clone()).or_else(|| known().map(str::to_owned));
        path.push(spelled.unwrap_or_else(|| name.to_ascii_lowercase()));
        node = present.map(|(_, node)| node);
    }
    path
}

fn read(path: &[String], text: &str, variable: &str) -> Node {
    let as_text = || Node::text(text, variable);
    let parsed = Node::parse_value(text, variable);
    let kind = keys::setting_above(path).map(|(key, depth)| (key.kind, depth == path.len()));
    match (kind, parsed) {
        // The name or path of a secret reference.
        (Some((Kind::Secret, false)), _) | (_, None) => as_text(),
        (Some((Kind::Text, _)), Some(node)) => match &node.value {
            Value::Plain(toml::Value::String(_)) => node,
            Value::Plain(_) | Value::Table(_) | Value::List(_) => as_text(),
        },
        (Some((Kind::Secret, true)), Some(node)) => match &node.value {
            Value::Plain(toml::Value::String(_)) | Value::Table(_) | Value::List(_) => node,
            Value::Plain(_) => as_text(),
        },
        (Some((Kind::Plain, _)) | None, Some(node)) => node,
    }
}
