//! Following events, registering endpoints, and the figures.

use axum::response::Response;
use futures::StreamExt;
use prometheus_parse::{Scrape, Value as Figure};

use super::*;
use crate::http::api::shown;

/// Somebody who follows.
struct Follower {
    body: axum::body::BodyDataStream,
    text: String,
}

impl World {
    async fn follow(&self, token: &str, query: &str, headers: &[(&str, &str)]) -> Response {
        let mut request =
            Request::get(format!("/api/v1/events{query}")).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn follower(&self, query: &str, headers: &[(&str, &str)]) -> Follower {
        let response = self.follow(&self.admin, query, headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Follower { body: response.into_body().into_data_stream(), text: String::new() }
    }
}

impl Follower {
    /// The next event: its id, its topic, its data. None once the stream has ended.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        loop {
            if let Some((one, rest)) = self.text.split_once("\n\n") {
                let one = one.to_owned();
                self.text = rest.to_owned();
                let field = |name: &str| one.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(id), Some(topic), Some(data)) =
                    (field("id: "), field("event: "), field("data: "))
                {
                    let data = serde_json::from_str(data).unwrap();
                    return Some((id.parse().unwrap(), topic.to_owned(), data));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk?.unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn who_follows_hears_of_everything_in_order_and_goes_on_where_they_were_cut_off() {
    let world = World::new().await;
    let id = world.conversation().await;
    let mut first = world.follower("?after=0", &[]).await;
    let (mut heard, mut topics) = (Vec::new(), Vec::new());
    let noted = world.post(&format!("/api/v1/conversations/{id}/notes"), json!({ "text": "Seen." })).await;
    let last = noted.body["seq"].as_u64().unwrap();
    while heard.last() != Some(&last) {
        let (seq, topic, data) = first.next().await.unwrap();
        assert_eq!(
            (data["seq"].as_u64(), data["type"].as_str()),
            (Some(seq), Some(topic.as_str())),
            "{data}"
        );
        heard.push(seq);
        topics.push(topic);
    }
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    assert!(
        topics.contains(&"conversation.created".to_owned())
            && topics.contains(&"message.delivery_changed".to_owned())
    );
    drop(first);

    let cut = heard[1].to_string();
    let mut again = world.follower("?after=0", &[("last-event-id", &cut)]).await;
    for seq in &heard[2..] {
        assert_eq!(again.next().await.unwrap().0, *seq, "the header goes before the query");
    }
    // It is still there, and hears of what happens now.
    world.post(&format!("/api/v1/conversations/{id}/tags"), json!({ "add": ["late"] })).await;
    let (_, topic, data) = again.next().await.unwrap();
    assert_eq!((topic.as_str(), &data["details"]["added"]), ("conversation.updated", &json!(["late"])));
    assert_eq!(data["conversation_id"], json!(id));
}

#[tokio::test]
async fn who_follows_some_topics_hears_of_no_others_and_of_nobody_elses() {
    let world = World::new().await;
    let mut follower = world.follower("?after=0&topics=message.received,customer.updated", &[]).await;
    let body = json!({ "id": "m-9", "from": { "email": "eve@example.com" }, "text": "theirs" });
    let path = "/t/acme/api/webhooks/generic/web";
    assert_eq!(world.ask("", "POST", path, Some(body), &[]).await.status, 200);
    world.engine.settle().await.unwrap();
    world.conversation().await;
    let heard = [follower.next().await.unwrap(), follower.next().await.unwrap()];
    assert_eq!(
        heard.each_ref().map(|(_, topic, _)| topic.as_str()),
        ["customer.updated", "message.received"]
    );
    assert!(!format!("{heard:?}").contains("eve@example.com"), "{heard:?}");
}

#[tokio::test]
async fn what_lies_ahead_is_waited_for_and_a_closing_door_ends_it() {
    let world = World::new().await;
    let ahead = world.engine.last_seq() + 2;
    let mut follower = world.follower(&format!("?after={ahead}"), &[]).await;
    world.conversation().await;
    assert_eq!(follower.next().await.unwrap().0, ahead + 1);
    world.edge.closing.cancel();
    while follower.next().await.is_some() {}
}

#[tokio::test]
async fn an_unknown_topic_is_told_with_the_list_and_an_engineer_does_not_follow() {
    let world = World::new().await;
    let answer = world.get("/api/v1/events?topics=message.received,gossip").await;
    answer.is_problem(422, "invalid");
    assert!(answer.detail().contains("sla.breached") && answer.body["field"] == "topics", "{}", answer.body);
    let engineer = world.token("engineer", json!({})).await;
    world.ask(&engineer, "GET", "/api/v1/events", None, &[]).await.is_problem(403, "forbidden");
    let answer = world.ask(&world.admin, "GET", "/api/v1/events", None, &[("last-event-id", "seven")]).await;
    answer.is_problem(400, "malformed");
}

#[tokio::test]
async fn an_endpoint_is_registered_with_a_secret_that_is_shown_once() {
    let world = World::new().await;
    let body = json!({ "url": "https://shop.example.com/hooks", "topics": ["message.received"], "description": "shop" });
    let key = [("idempotency-key", "first")];
    let made = world.ask(&world.admin, "POST", "/api/v1/webhooks", Some(body.clone()), &key).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{secret}");
    let again = world.ask(&world.admin, "POST", "/api/v1/webhooks", Some(body), &key).await;
    assert_eq!((again.body["id"].clone(), again.body.get("secret")), (made.body["id"].clone(), None));

    let id = made.body["id"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{id}");
    let shown = world.get(&path).await.body;
    serde_json::from_value::<shown::Endpoint>(shown.clone()).unwrap();
    let rotated = world.post(&format!("{path}/rotate"), json!({})).await;
    assert_ne!(rotated.body["secret"], made.body["secret"]);
    let changed =
        world.ask(&world.admin, "PATCH", &path, Some(json!({ "topics": [], "active": false })), &[]).await;
    let seq = &changed.body["seq"];
    let listed = world.get(&format!("/api/v1/webhooks?min_seq={seq}")).await.body;
    assert_eq!((&listed["total"], &listed["items"][0]["active"]), (&json!(1), &json!(false)), "{listed}");
    assert_eq!(listed["items"][0]["secrets"].as_array().unwrap().len(), 2);
    let inside = world.get(&format!("/api/v1/system/actors/endpoint/{id}")).await.body;
    let history = world.get(&format!("/api/v1/system/actors/endpoint/{id}/history")).await.body;
    for told in [&shown, &listed, &inside, &history] {
        assert!(!told.to_string().contains("whsec_"), "{told}");
    }
    world.post(&format!("{path}/test"), json!({})).await.is_problem(422, "invalid");

    assert_eq!(world.ask(&world.admin, "DELETE", &path, None, &[]).await.status, 200);
    world.get(&path).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn an_endpoint_belongs_to_its_tenant_and_to_those_who_lead() {
    let world = World::new().await;
    let body = json!({ "url": "https://shop.example.com/hooks" });
    let supervisor = world.token("supervisor", json!({})).await;
    let made = world.ask(&supervisor, "POST", "/api/v1/webhooks", Some(body.clone()), &[]).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/api/v1/webhooks/{}", made.body["id"].as_str().unwrap());
    let theirs = world.token("admin", json!({ "tenant": "acme" })).await;
    for (method, path) in
        [("GET", path.clone()), ("POST", format!("{path}/rotate")), ("DELETE", path.clone())]
    {
        world.ask(&theirs, method, &path, None, &[]).await.is_problem(404, "not-found");
    }
    for role in ["agent", "engineer", "api"] {
        let token = world.token(role, json!({})).await;
        world
            .ask(&token, "POST", "/api/v1/webhooks", Some(body.clone()), &[])
            .await
            .is_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn an_endpoint_cannot_be_where_nobody_but_us_gets_to() {
    let world = World::new().await;
    for (body, field) in [
        (json!({ "url": "http://shop.example.com/hooks" }), "url"),
        (json!({ "url": "https://169.254.169.254/latest/meta-data" }), "url"),
        (json!({ "url": "https://10.0.0.7/" }), "url"),
        (json!({ "url": "https://shop.example.com", "mail_to": "a@example.com" }), "mail_to"),
        (json!({ "mail_to": "nobody" }), "mail_to"),
        (json!({ "url": "https://shop.example.com", "topics": ["gossip"] }), "topics[0]"),
        (json!({}), "url"),
    ] {
        let answer = world.post("/api/v1/webhooks", body.clone()).await;
        answer.is_problem(422, "invalid");
        assert_eq!(answer.body["field"], field, "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_figures_are_read_by_a_parser_of_their_own() {
    let world = World::new().await;
    world.conversation().await;
    world.ask("", "GET", "/metrics", None, &[]).await.is_problem(401, "unauthenticated");
    let agent = world.token("agent", json!({})).await;
    world.ask(&agent, "GET", "/metrics", None, &[]).await.is_problem(403, "forbidden");
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let content_type = answer.headers["content-type"].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    let text = answer.body.as_str().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let figure = |text: &str, name: &str, labels: &[(&str, &str)]| {
        let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let fits = |one: &&prometheus_parse::Sample| {
            one.metric == name && labels.iter().all(|(label, value)| one.labels.get(label) == Some(value))
        };
        scrape.samples.iter().find(fits).map(|one| match &one.value {
            Figure::Counter(value) | Figure::Gauge(value) | Figure::Untyped(value) => *value,
            Figure::Histogram(_) | Figure::Summary(_) => panic!("{name} is a number"),
        })
    };
    let inbound = [("channel", "generic:web")];
    assert_eq!(figure(text, "throughline_messages_received_total", &inbound), Some(1.0), "{text}");
    let waiting = [("tenant", "default"), ("status", "awaiting_agent")];
    assert_eq!(figure(text, "throughline_conversations", &waiting), Some(1.0), "{text}");
    let median = [("quantile", "0.5")];
    assert!(figure(text, "throughline_commit_latency_seconds", &median).is_some_and(|it| it > 0.0), "{text}");
    assert_eq!(figure(text, "throughline_timer_lag_seconds", &[]), Some(0.0), "{text}");
    assert!(figure(text, "throughline_timers_armed", &[]).is_some_and(|it| it > 0.0), "{text}");
    let created = [("topic", "conversation.created")];
    assert_eq!(figure(text, "throughline_events_total", &created), Some(1.0), "{text}");
    let tenant = [("tenant", "default")];
    assert_eq!(figure(text, "throughline_longest_silence_seconds", &tenant), Some(0.0), "{text}");
    // Asked again, nothing is counted twice.
    let again = world.get("/metrics").await;
    let again = again.body.as_str().unwrap();
    assert_eq!(figure(again, "throughline_messages_received_total", &inbound), Some(1.0), "{again}");
}
