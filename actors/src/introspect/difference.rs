//! What differs between two values, by the paths of their fields.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// One field that differs. What is not there is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Where, for example `sends.messages[id=019a…].status`.
    pub path: String,
    /// The value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The fields in which `after` differs from `before`, in the order of their paths.
///
/// Objects are compared field by field; lists of objects that have an `id` by that, other lists by place. A value that
/// came or went is one change, however much is in it.
pub fn differences(before: &Value, after: &Value) -> Vec<Changed> {
    let mut changed = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut changed);
    changed
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, changed: &mut Vec<Changed>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, before.get(name), after.get(name), changed);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => match (ids(before), ids(after)) {
            (Some(were), Some(are)) => {
                let mut all = were.clone();
                all.extend(are.iter().filter(|id| !were.contains(id)));
                for id in all {
                    let find = |ids: &[&Value], list| at(list, ids.iter().position(|found| *found == id));
                    let path = format!("{path}[id={}]", plain(id));
                    compare(path, find(&were, before), find(&are, after), changed);
                }
            }
            _ => {
                for place in 0..before.len().max(after.len()) {
                    compare(format!("{path}[{place}]"), before.get(place), after.get(place), changed);
                }
            }
        },
        (before, after) => {
            changed.push(Changed { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

fn at(list: &[Value], place: Option<usize>) -> Option<&Value> {
    list.get(place?)
}

/// The ids of the elements, where each is an object with an id of its own.
fn ids(list: &[Value]) -> Option<Vec<&Value>> {
    let ids: Vec<&Value> = list.iter().map(|element| element.get("id")).collect::<Option<_>>()?;
    let distinct: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
    (distinct.len() == ids.len()).then_some(ids)
}

fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: Value, after: Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        differences(&before, &after).into_iter().map(|it| (it.path, it.before, it.after)).collect()
    }

    #[test]
    fn fields_are_named_by_their_paths() {
        let before = json!({ "status": "open", "clocks": { "tier": "free", "policy": 1 }, "tags": ["a"] });
        let after =
            json!({ "status": "resolved", "clocks": { "tier": "premium", "policy": 1 }, "tags": ["a", "b"] });
        assert_eq!(
            told(before.clone(), after),
            [
                ("clocks.tier".to_owned(), Some(json!("free")), Some(json!("premium"))),
                ("status".to_owned(), Some(json!("open")), Some(json!("resolved"))),
                ("tags[1]".to_owned(), None, Some(json!("b"))),
            ]
        );
        assert!(told(before.clone(), before).is_empty());
    }

    #[test]
    fn what_has_an_id_is_found_again_at_another_place() {
        let before = json!([{ "id": 1, "status": "queued" }, { "id": 2, "status": "sent" }]);
        let after = json!([{ "id": 2, "status": "delivered" }, { "id": 3, "status": "queued" }]);
        let paths: Vec<_> = told(before, after).into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["[id=1]", "[id=2].status", "[id=3]"]);
    }

    #[test]
    fn what_came_or_went_or_became_something_else_is_one_change() {
        let after = json!({ "case": { "id": 7, "status": "open" } });
        assert_eq!(
            told(json!({ "case": null }), after.clone()),
            [("case".to_owned(), Some(Value::Null), Some(json!({ "id": 7, "status": "open" })))]
        );
        assert_eq!(told(Value::Null, after.clone()), [(String::new(), Some(Value::Null), Some(after))]);
    }
}
