//! What leaves the server for programs and people of ours: signed webhooks, followed events, mails, figures.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use crate::{
    provider,
    server::{PATIENCE, Server, Site},
};

/// A program that is sent events. It verifies as the Standard Webhooks specification asks, without any code of the
/// server's, and answers as it was told to.
#[derive(Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

/// A request that was well-formed.
#[derive(Clone, Debug)]
struct Heard {
    id: String,
    timestamp: i64,
    signatures: Vec<String>,
    body: String,
}

impl Heard {
    /// Whether the holder of this secret would take it.
    fn verifies(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        assert!((24..=64).contains(&key.len()), "the specification's length of a key");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.signatures.contains(&expected)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    /// Answers these statuses first, then 204.
    async fn start(answers: &[u16]) -> (Self, String) {
        let receiver = Self::default();
        receiver.answers.lock().unwrap().extend(answers);
        let router = Router::new().route("/hooks", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What was heard, once it is at least so much.
    async fn hears(&self, count: usize) -> Vec<Heard> {
        let waiting = async {
            loop {
                let heard = self.heard();
                if heard.len() >= count {
                    return heard;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("only {:?}", self.heard()))
    }
}

#[expect(clippy::disallowed_methods, reason = "a receiver compares stamps with its own clock")]
async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let body = String::from_utf8(body.to_vec()).unwrap_or_default();
    let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
    let well_formed = header("content-type") == "application/json"
        && !header("webhook-id").is_empty()
        && i64::try_from(now).unwrap().abs_diff(timestamp) < 300
        && ["type", "timestamp", "data"].iter().all(|name| parsed.get(name).is_some());
    if !well_formed {
        return (StatusCode::BAD_REQUEST, format!("{headers:?}"));
    }
    receiver.heard.lock().unwrap().push(Heard {
        id: header("webhook-id").to_owned(),
        timestamp,
        signatures: header("webhook-signature").split(' ').map(str::to_owned).collect(),
        body,
    });
    let answer = receiver.answers.lock().unwrap().pop_front().unwrap_or(204);
    (StatusCode::from_u16(answer).unwrap(), String::new())
}

async fn register(server: &Server, url: &str, topics: &[&str]) -> Value {
    server.post("/api/v1/webhooks", &json!({ "url": url, "topics": topics })).await.ok()
}

#[tokio::test]
async fn an_endpoint_hears_of_a_message_signed_and_again_under_the_same_id_until_it_takes_it() {
    let site = Site::new();
    let server = site.start();
    let (receiver, url) = Receiver::start(&[500]).await;
    let endpoint = register(&server, &url, &["message.received"]).await;
    let (id, secret) = (endpoint["id"].as_str().unwrap(), endpoint["secret"].as_str().unwrap());
    provider::generic(&server, "m-1", "ada@example.com", "My parcel has not come").await.ok();
    let heard = receiver.hears(2).await;
    assert!(heard.iter().all(|one| one.verifies(secret)), "{heard:?}");
    assert_eq!((&heard[0].id, &heard[0].body), (&heard[1].id, &heard[1].body));
    let body = heard[0].json();
    assert_eq!(
        (body["type"].as_str(), body["data"]["by"]["kind"].as_str()),
        (Some("message.received"), Some("customer"))
    );
    let deliveries = format!("/api/v1/webhooks/{id}/deliveries");
    let delivery = server
        .until(&deliveries, |list| {
            (list["items"][0]["status"] == "delivered").then(|| list["items"][0].clone())
        })
        .await;
    assert_eq!((&delivery["id"], &delivery["attempts"]), (&json!(heard[0].id), &json!(2)), "{delivery}");

    // While the secret is being changed, the holders of both verify.
    let rotated = server.post(&format!("/api/v1/webhooks/{id}/rotate"), &json!({})).await.ok();
    server.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.ok();
    let heard = receiver.hears(3).await;
    assert!(heard[2].verifies(secret) && heard[2].verifies(rotated["secret"].as_str().unwrap()));
    assert_eq!(heard[2].json()["type"], "endpoint.test");
    assert_eq!(server.stop().code(), Some(0));
}

#[tokio::test]
async fn what_happened_before_a_kill_reaches_the_endpoint_after_it() {
    let site = Site::new();
    let server = site.start();
    // Nobody answers there until the server has been killed.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let endpoint = register(&server, &format!("http://{address}/hooks"), &["conversation.created"]).await;
    provider::generic(&server, "m-1", "ada@example.com", "Hello").await.ok();
    let deliveries = format!("/api/v1/webhooks/{}/deliveries", endpoint["id"].as_str().unwrap());
    let pending = server
        .until(&deliveries, |list| list["items"][0]["last_error"].as_str().map(|_| list["items"][0].clone()))
        .await;
    assert_eq!(
        (&pending["status"], pending["next_try_at"].is_string()),
        (&json!("pending"), true),
        "{pending}"
    );
    server.kill();

    let receiver = Receiver::default();
    let router = Router::new().route("/hooks", post(take)).with_state(receiver.clone());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let server = site.start();
    receiver.hears(1).await;
    let shown = server
        .until(&deliveries, |list| (list["items"][0]["status"] == "delivered").then(|| list.clone()))
        .await;
    assert_eq!((shown["total"].as_u64(), receiver.heard().len()), (Some(1), 1));
}

#[tokio::test]
async fn an_endpoint_that_says_it_is_gone_is_asked_no_more() {
    let site = Site::new();
    let server = site.start();
    let (receiver, url) = Receiver::start(&[410]).await;
    let endpoint = register(&server, &url, &["conversation.created"]).await;
    let path = format!("/api/v1/webhooks/{}", endpoint["id"].as_str().unwrap());
    provider::generic(&server, "m-1", "ada@example.com", "Hello").await.ok();
    let shown = server.until(&path, |shown| (shown["active"] == false).then(|| shown.clone())).await;
    assert_eq!(shown["disabled_because"], "gone");
    provider::generic(&server, "m-2", "eve@example.com", "Hello").await.ok();
    let figures = || async { server.get("/metrics").await.body };
    let disabled = r#"throughline_endpoints{tenant="default",state="disabled"} 1"#;
    server.until("/metrics", |text| text.as_str()?.contains(disabled).then_some(())).await;
    assert_eq!(receiver.heard().len(), 1, "{}", figures().await);
}

/// The events of a stream until one with this id, as ids.
async fn follow(server: &Server, last_event_id: u64, until: u64) -> Vec<u64> {
    let request = server
        .client
        .get(format!("{}/api/v1/events", server.base))
        .bearer_auth(crate::server::TOKEN)
        .header("last-event-id", last_event_id);
    let mut response = request.send().await.unwrap();
    let (mut text, mut ids) = (String::new(), Vec::new());
    while ids.last() != Some(&until) {
        let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((one, rest)) = text.split_once("\n\n") {
            ids.extend(one.lines().find_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
            text = rest.to_owned();
        }
    }
    ids
}

#[tokio::test]
async fn who_follows_over_a_kill_misses_nothing_and_hears_nothing_twice() {
    let site = Site::new();
    let server = site.start();
    provider::generic(&server, "m-1", "ada@example.com", "Hello").await.ok();
    let id = crate::stories::only_conversation(&server, 2).await["id"].as_str().unwrap().to_owned();
    let seq = |answer: Value| answer["seq"].as_u64().unwrap();
    let tags = format!("/api/v1/conversations/{id}/tags");
    let middle = seq(server.post(&tags, &json!({ "add": ["early"] })).await.ok());
    let mut heard = follow(&server, 0, middle).await;
    server.kill();

    let server = site.start();
    provider::generic(&server, "m-2", "ada@example.com", "Still there?").await.ok();
    crate::stories::only_conversation(&server, 3).await;
    let end = seq(server.post(&tags, &json!({ "add": ["late"] })).await.ok());
    heard.extend(follow(&server, middle, end).await);
    assert_eq!(heard, follow(&server, 0, end).await);
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    // Whoever follows does not keep the server from stopping.
    let request =
        server.client.get(format!("{}/api/v1/events", server.base)).bearer_auth(crate::server::TOKEN);
    let open = request.send().await.unwrap();
    assert_eq!(server.stop().code(), Some(0));
    drop(open);
}

#[tokio::test]
async fn a_supervisor_is_told_by_mail_while_the_configuration_says_so() {
    let config =
        |address: &str| format!("[alarms]\nmail_to = [\"{address}\"]\ntopics = [\"conversation.created\"]\n");
    let site = Site::new().config(&config("grace@example.com"));
    let server = site.start();
    provider::generic(&server, "m-1", "ada@example.com", "Hello").await.ok();
    let conversation = crate::stories::only_conversation(&server, 2).await;
    let id = conversation["id"].as_str().unwrap();
    let list = server.get("/api/v1/webhooks").await.ok();
    let endpoint = list["items"][0].clone();
    assert_eq!((&endpoint["mail_to"], &endpoint["configured"]), (&json!("grace@example.com"), &json!(true)));
    let path = format!("/api/v1/webhooks/{}", endpoint["id"].as_str().unwrap());
    server
        .until(&format!("{path}/deliveries"), |list| {
            (list["items"][0]["status"] == "delivered").then_some(())
        })
        .await;
    let mails = notices(&site);
    assert_eq!(mails.len(), 1, "{mails:?}");
    let eml = &mails[0];
    // Long lines are folded where they are sent as quoted-printable.
    let text = eml.replace("=\r\n", "");
    assert!(text.contains(&format!("Conversation: {id}")), "{text}");
    assert!(text.contains(&format!("Look at: http://127.0.0.1:8080/api/v1/conversations/{id}")), "{text}");
    assert!(
        eml.contains("Auto-Submitted: auto-generated") && eml.contains("To: <grace@example.com>"),
        "{eml}"
    );
    assert!(!eml.contains("Reply-To"), "nobody answers a notice: {eml}");
    server.post(&format!("{path}/test"), &json!({})).await.ok();
    let refused = server.client.delete(format!("{}{path}", server.base)).bearer_auth(crate::server::TOKEN);
    crate::server::Answer::of(refused).await.problem(409);
    assert_eq!(server.stop().code(), Some(0));

    let site = site.config(&config("sam@example.com"));
    let server = site.start();
    let list = server.get("/api/v1/webhooks").await.ok();
    let active = |to: &str| {
        let items = list["items"].as_array().unwrap();
        items.iter().find(|one| one["mail_to"] == to).map(|one| one["active"].clone())
    };
    assert_eq!(
        (active("grace@example.com"), active("sam@example.com")),
        (Some(json!(false)), Some(json!(true)))
    );
}

/// The mails to people of ours, as they were written to files.
fn notices(site: &Site) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(site.data().join("outbound/email")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let named =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("notice.");
    paths.filter(named).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn a_schedule_runs_at_its_moments_and_its_figures_are_told() {
    let config = |schedules: &str| {
        format!("[clock]\nmode = \"manual\"\nstart = \"2026-11-21T08:10:00Z\"\n{schedules}")
    };
    let hourly = "[schedules.hourly]\ncron = \"0 * * * *\"\nreport = \"summary\"\n\
                  [schedules.tidy]\ncron = \"30 8 * * *\"\nsweep = \"claims\"\n";
    let site = Site::new().config(&config(hourly));
    let server = site.start();
    provider::generic(&server, "m-1", "ada@example.com", "Hello").await.ok();
    crate::stories::only_conversation(&server, 2).await;
    server.post("/api/v1/system/clock/advance", &json!({ "by": "2h" })).await.ok();
    let runs = |shown: Value| -> Vec<Value> {
        shown["items"].as_array().unwrap().iter().filter(|one| one["type"] == "finished").cloned().collect()
    };
    let schedules = server.get("/api/v1/system/actors?kind=schedule").await.ok();
    let mut all = Vec::new();
    for schedule in schedules["items"].as_array().unwrap() {
        let path = format!("/api/v1/system/actors/schedule/{}/history", schedule["id"].as_str().unwrap());
        all.extend(runs(server.get(&path).await.ok()));
    }
    all.sort_by_key(|one| one["timestamp"].as_str().unwrap().to_owned());
    let told = |one: &Value| {
        let details = &one["details"]["finished"];
        (details["name"].as_str().unwrap().to_owned(), details["due"].as_str().unwrap()[11..16].to_owned())
    };
    let named = |name: &str, due: &str| (name.to_owned(), due.to_owned());
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        [named("tidy", "08:30"), named("hourly", "09:00"), named("hourly", "10:00")]
    );
    let figures = &all[2]["details"]["finished"]["figures"];
    assert_eq!((&figures["conversations_awaiting_agent"], &figures["dead_letters"]), (&json!(1), &json!(0)));
    let seq = all[2]["seq"].as_u64().unwrap();
    assert_eq!(follow(&server, seq - 1, seq).await, [seq], "who follows is told of it");
    assert_eq!(server.stop().code(), Some(0));

    // What is taken out of the configuration runs no more.
    let site = site.config(&config(""));
    let server = site.start();
    let timers = server.get("/api/v1/system/timers").await.ok();
    let scheduled = timers["items"].as_array().unwrap().iter().filter(|timer| timer["kind"] == "schedule");
    assert_eq!(scheduled.count(), 0, "{timers}");
}
