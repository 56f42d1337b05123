//! The door for the fuzzer: what is read by hand of a request to the API or to a webhook.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use uuid::Uuid;

use super::{auth, change, events, problem::Problem, reads, webhooks};

/// `METHOD PATH`, headers, an empty line and a body.
pub(crate) fn request(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (method, target) = first.split_once(' ').unwrap_or(("GET", "/"));
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Ok(uri) = target.parse::<Uri>() {
        of_the_uri(&method, &uri, &headers);
    }
    of_the_headers(&headers);
    of_the_body(body);
}

fn of_the_uri(method: &Method, uri: &Uri, headers: &HeaderMap) {
    let direct = webhooks::is_direct(uri, headers);
    assert!(!direct || !headers.contains_key("origin"), "what a web page sends is not direct");
    for (pattern, _) in reads::SHOWN {
        let asked = reads::asked(method, pattern, uri);
        assert!(asked.is_none() || method == Method::GET, "only reading shows anything");
    }
}

fn of_the_headers(headers: &HeaderMap) {
    told(events::last_event_id(headers), |seq| {
        if let Some(seq) = seq {
            let given = headers.get("last-event-id").and_then(|value| value.to_str().ok());
            assert_eq!(given.and_then(|given| given.trim().parse().ok()), Some(seq));
        }
    });
    told(change::idempotency_key(headers), |key| {
        if let Some(key) = key {
            assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
            throughline_actors::fuzzing::idempotency_key(key, 1_795_253_400_000);
        }
    });
    let _ = change::is_json(headers);
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        if let Some(tenant) = auth::tenant_of(value) {
            assert!(value.contains(tenant.as_str()));
        }
        told(events::topics_of("topics", Some(value)), |topics| {
            assert!(topics.iter().all(|topic| value.contains(topic.as_str())));
        });
    }
    let kept: usize =
        webhooks::letter_headers(headers).iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(kept <= 16 * 1024, "a letter keeps so much of the headers and no more");
}

/// Shapes that bodies of the API have: fields, ids, lists, words, nothing.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    until: Option<throughline_workflows::time::Timestamp>,
    #[serde(default)]
    every: Option<throughline_workflows::time::Span>,
    #[serde(default)]
    channel: Option<throughline_workflows::message::Channel>,
    #[serde(default)]
    files: Vec<throughline_workflows::message::Attachment>,
}

fn of_the_body(body: &[u8]) {
    told(change::parse::<Body>(body), |read| {
        let Body { id, text, until, every, channel, files } = read;
        let _ = (id, text, until, every, channel, files);
    });
    told(change::parse::<serde_json::Value>(body), |value| {
        let written = serde_json::to_vec(&value).expect("what was read can be written");
        assert_eq!(
            change::parse::<serde_json::Value>(&written).ok(),
            Some(value),
            "JSON survives being written"
        );
    });
    let queries = String::from_utf8_lossy(body);
    assert_eq!(change::fingerprint(body, None), change::fingerprint(body, None));
    assert_ne!(change::fingerprint(body, None), change::fingerprint(body, Some(&queries)));
}

/// A value is looked at; a refusal says in a few words what is wrong.
fn told<T>(outcome: Result<T, Problem>, look: impl FnOnce(T)) {
    match outcome {
        Ok(value) => look(value),
        Err(problem) => {
            let told = problem.as_json();
            assert!(told["title"].is_string() && told["status"].as_u64().is_some_and(|status| status < 500));
        }
    }
}
