//! JSON trees of settings: merge patches (RFC 7396), and what differs between two.

use serde_json::{Map, Value};

/// Lays `patch` over `target`: objects key by key, anything else as a whole; `null` takes away.
pub(super) fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            apply(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The values that are no objects, or empty ones, each with the keys that lead to it.
pub(super) fn leaves(tree: &Value) -> Vec<(Vec<String>, &Value)> {
    fn walk<'v>(value: &'v Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'v Value)>) {
        if let Some(object) = value.as_object().filter(|object| !object.is_empty()) {
            for (key, value) in object {
                path.push(key.clone());
                walk(value, path, found);
                path.pop();
            }
        } else if !path.is_empty() {
            found.push((path.clone(), value));
        }
    }
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), &mut found);
    found
}

/// The value that `path` leads to.
pub(super) fn at<'v>(tree: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(tree, |value, key| value.get(key))
}

/// `value` inside one object for each key, the outermost first.
pub(super) fn wrapped(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

/// The tree without the values of `keys`, each written with dots.
pub(super) fn without(tree: &Value, keys: &[String]) -> Value {
    let kept = leaves(tree).into_iter().filter(|(path, _)| !keys.contains(&path.join(".")));
    kept.fold(Value::Object(Map::new()), |mut tree, (path, value)| {
        apply(&mut tree, &wrapped(&path, value.clone()));
        tree
    })
}

/// Takes out the objects that hold nothing, and what then holds nothing.
pub(super) fn prune(tree: &mut Value) {
    if let Value::Object(object) = tree {
        object.values_mut().for_each(prune);
        object.retain(|_, value| value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
}

/// Takes out what is `null`.
pub(super) fn strip_nulls(tree: &mut Value) {
    if let Value::Object(object) = tree {
        object.retain(|_, value| !value.is_null());
        object.values_mut().for_each(strip_nulls);
    }
}

/// The keys, with dots, whose values are not the same in both.
pub(super) fn difference(before: &Value, after: &Value) -> Vec<String> {
    let paths = leaves(before).into_iter().chain(leaves(after)).map(|(path, _)| path);
    let changed = paths.filter(|path| at(before, path) != at(after, path)).map(|path| path.join("."));
    changed.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
