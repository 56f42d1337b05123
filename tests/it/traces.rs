//! Traces as a collector sees them: one message is one tree of spans, whatever happens on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message as _;
use tokio::net::TcpListener;

use crate::{
    provider,
    server::{PATIENCE, Site},
};

/// A collector, which keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Collector {
    /// One that listens, and the address for traces.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let app = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (collector, address)
    }

    /// The spans of each trace that began with a webhook.
    fn messages(&self) -> Vec<Vec<Span>> {
        let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
        for span in self.spans.lock().unwrap().iter() {
            traces.entry(span.trace_id.clone()).or_default().push(span.clone());
        }
        traces.into_values().filter(|spans| spans.iter().any(|span| span.name == "http.webhook")).collect()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let key = headers.get("x-collector-key").map(|key| key.to_str().unwrap().to_owned());
    collector.keys.lock().unwrap().extend(key);
    for of_resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        for attribute in of_resource.resource.unwrap().attributes {
            if attribute.key == "service.name" {
                collector.services.lock().unwrap().insert(format!("{:?}", attribute.value));
            }
        }
        for of_scope in of_resource.scope_spans {
            collector.spans.lock().unwrap().extend(of_scope.spans);
        }
    }
    StatusCode::OK
}

/// A channel's own interface: it fails once and then takes what it is sent.
async fn fails_once() -> (String, Arc<tokio::sync::Semaphore>) {
    let asked = Arc::new(tokio::sync::Semaphore::new(0));
    let count = Arc::new(Mutex::new(0));
    let app = Router::new().fallback({
        let asked = asked.clone();
        move || {
            let (asked, count) = (asked.clone(), count.clone());
            async move {
                let mut count = count.lock().unwrap();
                *count += 1;
                asked.add_permits(1);
                if *count == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, asked)
}

fn site(traces: &str) -> Site {
    Site::new().set("TRACES__ENDPOINT", traces).set("TRACES__SERVICE_NAME", "care")
}

async fn until_asked(asked: &tokio::sync::Semaphore) {
    tokio::time::timeout(PATIENCE, asked.acquire()).await.expect("the channel is asked").unwrap().forget();
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// The names from the span up to its root.
fn road(span: &Span, spans: &[Span]) -> Vec<String> {
    let mut names = vec![span.name.clone()];
    let mut at = span;
    while !at.parent_span_id.is_empty() {
        let parent = spans.iter().find(|one| one.span_id == at.parent_span_id);
        at = parent.unwrap_or_else(|| panic!("{names:?} leads to a span that nobody sent"));
        names.push(at.name.clone());
        assert!(names.len() < 20, "{names:?} goes in a circle");
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_one_tree_from_webhook_to_delivery_over_a_retry_and_a_restart() {
    let (collector, address) = Collector::start().await;
    let (channel, asked) = fails_once().await;
    let site = site(&address)
        .set("TRACES__HEADERS__X-COLLECTOR-KEY", "{ env = \"COLLECTOR_KEY\" }")
        .variable("COLLECTOR_KEY", "a key")
        .set("CHANNELS__GENERIC__WEB__TRANSPORT", "provider")
        .set("CHANNELS__GENERIC__WEB__URL", channel)
        .set("CHANNELS__GENERIC__WEB__SECRET", provider::WEBHOOK_SECRET);
    let server = site.start();
    let body = provider::generic_body("m-1", "ada@customer.example", "Where is my parcel?");
    provider::signed_generic(&server, &body).await.ok();
    until_asked(&asked).await;
    assert!(server.stop().success());

    let server = site.start();
    until_asked(&asked).await;
    let conversations =
        server.until("/api/v1/conversations", |list| list["items"][0]["id"].as_str().map(str::to_owned));
    let path = format!("/api/v1/conversations/{}", conversations.await);
    let sent = server.until(&path, |conversation| {
        let last = conversation["messages"].as_array()?.last()?.clone();
        (last["delivery"]["status"] == "sent").then_some(())
    });
    sent.await;
    assert!(server.stop().success());

    let mut messages = collector.messages();
    assert_eq!(messages.len(), 1, "one message came");
    let spans = messages.remove(0);
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "no two spans have one id");
    let roots: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!(roots.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["http.webhook"]);
    let roads: Vec<Vec<String>> = spans.iter().map(|span| road(span, &spans)).collect();
    assert!(roads.contains(&vec!["inbox.commit".to_owned(), "http.webhook".to_owned()]), "{roads:#?}");

    let sends: Vec<&Span> = spans.iter().filter(|span| span.name == "channel.send").collect();
    for send in &sends {
        assert_eq!(road(send, &spans), ["channel.send", "activity", "turn", "intake", "http.webhook"]);
        assert_eq!(attribute(send, "channel").as_deref(), Some("generic:web"));
    }
    let mut outcomes: Vec<_> = sends.iter().filter_map(|send| attribute(send, "outcome")).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["accepted", "retried"]);
    let tries: BTreeMap<String, i32> = spans
        .iter()
        .filter(|span| span.name == "activity")
        .map(|span| {
            assert!(attribute(span, "activity.id").is_some_and(|id| id.contains('.')));
            (attribute(span, "attempt").unwrap(), span.status.as_ref().map_or(0, |status| status.code))
        })
        .collect();
    assert_eq!(
        tries,
        BTreeMap::from([("1".to_owned(), 2), ("2".to_owned(), 0)]),
        "the first try is an error"
    );
    // The delivery is recorded by a turn that the second try led to.
    assert!(
        roads.iter().any(|road| road.starts_with(&["turn".to_owned(), "activity".to_owned()])),
        "{roads:#?}"
    );
    assert!(spans.iter().any(|span| attribute(span, "conversation.id").is_some()));
    assert!(spans.iter().any(|span| attribute(span, "tenant.id").as_deref() == Some("default")));

    // The records say under the same id what became of it.
    assert_eq!(collector.keys.lock().unwrap().iter().cloned().collect::<Vec<_>>(), ["a key"]);
    assert!(collector.services.lock().unwrap().iter().all(|name| name.contains("care")));
    let said = format!("{:?}", collector.spans.lock().unwrap());
    for private in ["Ada", "Whitfield", "ada@", "customer.example", "parcel"] {
        assert!(!said.contains(private), "{private} is in a trace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_own_trace_is_linked_and_one_that_is_none_is_passed_over() {
    let (collector, address) = Collector::start().await;
    let server = site(&address).start();
    let headers = ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-none"];
    for (index, traceparent) in headers.into_iter().enumerate() {
        let body = provider::generic_body(&format!("m-{index}"), "ada@customer.example", "Hello");
        let url = format!("{}/api/webhooks/generic/web", server.base);
        let asked = server.client.post(url).header("traceparent", traceparent).json(&body);
        assert!(asked.send().await.unwrap().status().is_success());
    }
    assert!(server.stop().success());
    let webhooks: Vec<Span> =
        collector.messages().into_iter().flatten().filter(|span| span.name == "http.webhook").collect();
    let mut linked: Vec<_> = webhooks.iter().map(|span| span.links.len()).collect();
    linked.sort_unstable();
    assert_eq!(linked, [0, 1]);
    let link = webhooks.iter().find_map(|span| span.links.first()).unwrap();
    assert_eq!(link.span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_or_is_not_there_stops_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), absent] {
        let server = site(&format!("http://{address}/v1/traces")).start();
        for index in 0..50 {
            provider::generic(&server, &format!("m-{index}"), "ada@customer.example", "Hello").await.ok();
        }
        let log = server.log();
        assert!(server.stop().success(), "{log}");
    }
}
