//! Settings as a tree in which every value still knows where it was written.
//!
//! The file makes the tree, the environment is laid over it, a tenant's tables are laid over the common ones;
//! only then is it turned into the typed configuration, so that each mistake can name its line.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value and the place it was written in.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    /// Text, number or truth value. A TOML date is kept as its text.
    Plain(toml::Value),
}

impl Node {
    /// An empty section that stands nowhere.
    pub(super) fn empty() -> Self {
        Self { place: Place::BuiltIn, value: Value::Table(BTreeMap::new()) }
    }

    /// A built-in text.
    pub(super) fn built_in(text: String) -> Self {
        Self { place: Place::BuiltIn, value: Value::Plain(toml::Value::String(text)) }
    }

    /// Reads the text of a file; what cannot be read is left out of the tree and told beside it.
    pub(super) fn parse(text: &str, file: &str) -> (Self, Vec<Problem>) {
        let reader = Reader { text, file };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| {
                let message = format!("is not TOML: {}", error.message());
                let place = error
                    .span()
                    .map_or_else(|| Place::File(file.to_owned()), |span| reader.place(span.start));
                Problem { place, key: String::new(), message }
            })
            .collect();
        let value = reader.table(table.get_ref(), &mut problems);
        (Self { place: Place::File(file.to_owned()), value }, problems)
    }

    /// Reads one TOML value from an environment variable; `None` if it is none.
    pub(super) fn parse_value(text: &str, variable: &str) -> Option<Self> {
        let value = DeValue::parse(text).ok()?;
        let mut problems = Vec::new();
        let mut node = Reader { text, file: "" }.value(value.get_ref(), Place::BuiltIn, &mut problems);
        node.move_to(&Place::Variable(variable.to_owned()));
        problems.is_empty().then_some(node)
    }

    /// A text that an environment variable gave.
    pub(super) fn text(text: &str, variable: &str) -> Self {
        let value = Value::Plain(toml::Value::String(text.to_owned()));
        Self { place: Place::Variable(variable.to_owned()), value }
    }

    /// Wraps the node into one table for each key, the outermost first.
    pub(super) fn wrapped(self, keys: &[String]) -> Self {
        keys.iter().rev().fold(self, |inner, key| Self {
            place: inner.place.clone(),
            value: Value::Table(BTreeMap::from([(key.clone(), inner)])),
        })
    }

    /// Lays `over` over this tree: tables key by key, anything else as a whole.
    ///
    /// A secret's `{ env }` or `{ file }` counts as one value: half of each would be neither.
    pub(super) fn lay_over(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above))
                if !is_secret_reference(below) && !is_secret_reference(&above) =>
            {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(present) => present.lay_over(node),
                        None => {
                            below.insert(key, node);
                        }
                    }
                }
            }
            (_, value) => *self = Self { place: over.place, value },
        }
    }

    /// The node at `path`, if it is there.
    pub(super) fn get(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match &node.value {
            Value::Table(table) => table.get(key),
            Value::List(_) | Value::Plain(_) => None,
        })
    }

    /// An entry of a list, from 0.
    pub(super) fn entry(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(nodes) => nodes.get(index),
            Value::Table(_) | Value::Plain(_) => None,
        }
    }

    /// The path of the node that `dotted` names, whatever dots its keys hold themselves.
    pub(super) fn find_dotted(&self, dotted: &str) -> Option<Vec<String>> {
        let Value::Table(table) = &self.value else {
            return None;
        };
        table.iter().find_map(|(key, node)| {
            let rest = dotted.strip_prefix(key.as_str())?;
            if rest.is_empty() {
                return Some(vec![key.clone()]);
            }
            let below = node.find_dotted(rest.strip_prefix('.')?)?;
            Some(std::iter::once(key.clone()).chain(below).collect())
        })
    }

    /// The paths of what was written, by the file or the environment, and leads to no further table.
    pub(super) fn written(&self) -> Vec<Vec<String>> {
        match &self.value {
            Value::Table(table) => {
                let below = table.iter().flat_map(|(key, node)| {
                    let path = |rest: Vec<String>| std::iter::once(key.clone()).chain(rest).collect();
                    node.written().into_iter().map(path)
                });
                below.collect()
            }
            Value::List(_) | Value::Plain(_) if self.place == Place::BuiltIn => Vec::new(),
            Value::List(_) | Value::Plain(_) => vec![Vec::new()],
        }
    }

    /// The keys of the table at `path`.
    pub(super) fn keys(&self, path: &[&str]) -> Vec<String> {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        match self.get(&path).map(|node| &node.value) {
            Some(Value::Table(table)) => table.keys().cloned().collect(),
            Some(Value::List(_) | Value::Plain(_)) | None => Vec::new(),
        }
    }

    /// Takes the node at `path` out of the tree.
    pub(super) fn remove(&mut self, path: &[String]) -> Option<Self> {
        let (last, parents) = path.split_last()?;
        let table = parents.iter().try_fold(self, |node, key| match &mut node.value {
            Value::Table(table) => table.get_mut(key),
            Value::List(_) | Value::Plain(_) => None,
        })?;
        match &mut table.value {
            Value::Table(table) => table.remove(last),
            Value::List(_) | Value::Plain(_) => None,
        }
    }

    /// Takes every node of this name out of the tree.
    pub(super) fn remove_everywhere(&mut self, name: &str) {
        if let Value::Table(table) = &mut self.value {
            table.remove(name);
            table.values_mut().for_each(|node| node.remove_everywhere(name));
        }
    }

    /// The same value without its places.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect())
            }
            Value::List(nodes) => toml::Value::Array(nodes.iter().map(Self::to_toml).collect()),
            Value::Plain(value) => value.clone(),
        }
    }

    fn move_to(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::Table(table) => table.values_mut().for_each(|node| node.move_to(place)),
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.move_to(place)),
            Value::Plain(_) => {}
        }
    }
}

fn is_secret_reference(table: &BTreeMap<String, Node>) -> bool {
    !table.is_empty() && table.keys().all(|key| key == "env" || key == "file")
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        Place::Line { file: self.file.to_owned(), line }
    }

    fn table(&self, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let place = self.place(key.span().start);
            (key.get_ref().to_string(), self.value(value.get_ref(), place, problems))
        });
        Value::Table(entries.collect())
    }

    fn value(&self, value: &DeValue<'_>, place: Place, problems: &mut Vec<Problem>) -> Node {
        let plain = match value {
            DeValue::Table(table) => {
                let value = self.table(table, problems);
                return Node { place, value };
            }
            DeValue::Array(array) => {
                let nodes = array.iter().map(|item| {
                    let place = self.place(item.span().start);
                    self.value(item.get_ref(), place, problems)
                });
                let value = Value::List(nodes.collect());
                return Node { place, value };
            }
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Boolean(value) => toml::Value::Boolean(*value),
            DeValue::Datetime(at) => toml::Value::String(at.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => toml::Value::Integer(number),
                Err(_) => self.unreadable(number.as_str(), &place, problems),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => toml::Value::Float(number),
                Err(_) => self.unreadable(number.as_str(), &place, problems),
            },
        };
        Node { place, value: Value::Plain(plain) }
    }

    fn unreadable(&self, number: &str, place: &Place, problems: &mut Vec<Problem>) -> toml::Value {
        let message = format!("is not TOML: the number {number} is too large");
        problems.push(Problem { place: place.clone(), key: String::new(), message });
        toml::Value::String(number.to_owned())
    }
}
