//! JSON as the outside sees it: what is unknown is absent.

use serde::Serialize;
use serde_json::{Map, Value};

/// The value as JSON without nulls.
///
/// Our own types are maps of texts, numbers and lists, which JSON can always hold; a mistake there would show as
/// `null` and fail the tests of the view.
pub(super) fn compact(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    drop_nulls(&mut value);
    value
}

/// As [`compact`], for a value that is an object.
pub(super) fn object(value: &impl Serialize) -> Map<String, Value> {
    match compact(value) {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// JSON text of an object as that object; none for an empty text or another kind of value.
pub(super) fn parsed_object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Whether `needle`, already in lower case, stands in one of the texts.
pub(super) fn found<'t>(needle: &str, texts: impl IntoIterator<Item = &'t str>) -> bool {
    texts.into_iter().any(|text| text.to_lowercase().contains(needle))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
