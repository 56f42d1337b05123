//! Any workflow's event as the outside reads it: a topic, which entity, who and what caused it, and its content.

use serde_json::{Map, Value, json};

use super::{EventMeta, outside};
use crate::workflow::Workflow;

/// Ids that stand beside an event's topic wherever its content names them.
const IDS: [&str; 4] = ["conversation_id", "message_id", "resolution_id", "customer_id"];

/// The event with its own content as `details`, where `what` is its stored name.
pub fn plain<W: Workflow>(event: &W::Event, topic: &'static str, meta: &EventMeta<'_>) -> Value {
    let mut details = content(outside::compact(event));
    // The moment stands beside the details, for every event alike.
    let timestamp = details.remove("at").unwrap_or_else(|| json!(meta.at));
    details.insert("what".to_owned(), json!(W::event_type(event).name));
    let mut body = Map::new();
    body.insert("type".to_owned(), json!(topic));
    for id in IDS {
        if let Some(value) = details.get(id) {
            body.insert(id.to_owned(), value.clone());
        }
    }
    // The one stream of a tenant's own has no id worth telling.
    if !meta.entity.is_nil() {
        body.insert(format!("{}_id", W::KIND), json!(meta.entity));
    }
    body.insert("by".to_owned(), outside::compact(meta.by));
    body.insert("cause".to_owned(), json!(meta.cause));
    body.insert("timestamp".to_owned(), timestamp);
    body.insert("details".to_owned(), Value::Object(details));
    body.insert("version".to_owned(), json!(meta.version));
    body.insert("seq".to_owned(), json!(meta.seq));
    Value::Object(body)
}

/// What stands in an event, without the name of its variant.
fn content(event: Value) -> Map<String, Value> {
    match event {
        Value::Object(variant) => match variant.into_iter().next() {
            Some((_, Value::Object(fields))) => fields,
            Some((_, other)) => Map::from_iter([("value".to_owned(), other)]),
            None => Map::new(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::Conversation,
        customer::{self, Customer},
        ids::{CustomerId, OperationId},
        operation::{self, Operation},
        scenario::{id, moment, person},
        topic::Topic,
        workflow::{By, Cause, CauseKind},
    };

    fn body<W: Workflow>(event: &W::Event, entity: uuid::Uuid, by: &By) -> Value {
        let cause = Cause { kind: CauseKind::Command, id: "token/7".to_owned() };
        let meta = EventMeta { entity, version: 3, index: 0, seq: 9, at: moment("10:00"), by, cause: &cause };
        let topic = W::topic(event).unwrap();
        assert!(topic.parse::<Topic>().is_ok(), "{topic} is on the list");
        W::outside(event, topic, &meta)
    }

    #[test]
    fn an_event_is_told_with_its_entity_and_without_what_is_unknown() {
        let event = customer::Event::Registered {
            at: moment("09:00"),
            id: CustomerId(id(2)),
            addresses: Vec::new(),
            name: None,
            via: "sms".to_owned(),
            verified: true,
        };
        let told = body::<Customer>(&event, id(2), &By::engine());
        assert_eq!(
            told,
            json!({
                "type": "customer.updated",
                "customer_id": id(2),
                "by": { "kind": "engine" },
                "cause": { "kind": "command", "id": "token/7" },
                "timestamp": moment("09:00"),
                "details": { "what": "registered", "id": id(2), "addresses": [], "via": "sms", "verified": true },
                "version": 3,
                "seq": 9,
            })
        );
    }

    #[test]
    fn an_operators_act_is_told_without_an_id_that_nobody_has() {
        let event = operation::Event::Acted {
            at: moment("09:00"),
            operation_id: OperationId(id(11)),
            action: "clock.advance".to_owned(),
            target: "1h".to_owned(),
            reason: None,
        };
        let told = body::<Operation>(&event, uuid::Uuid::nil(), &person("Grace"));
        assert_eq!(told.get("operation_id"), None, "{told}");
        assert_eq!(
            (told["by"]["name"].as_str(), told["details"]["what"].as_str()),
            (Some("Grace"), Some("acted"))
        );
    }

    #[test]
    fn a_conversations_event_is_told_as_its_own_page_shows_it() {
        let event = crate::conversation::Event::Woken { at: moment("09:00") };
        let told = body::<Conversation>(&event, id(1), &By::engine());
        assert_eq!(told["conversation_id"], json!(id(1)));
        assert_eq!(told["details"], json!({ "what": "woken" }));
    }
}
