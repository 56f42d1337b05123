//! The server as a whole: its document, paths that are not there, health, the clock.

use super::*;

#[tokio::test]
async fn every_path_of_the_document_is_served() {
    let world = World::new().await;
    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 35, "{} paths", paths.len());
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let path = path
                .replace("{kind}", "conversation")
                .replace("{tenant}", "default")
                .replace("{name}", "web")
                .replace("{part}", "1")
                .replace("{language}", "en")
                .replace("{id}", &world.engine.mint().to_string())
                .replace("{message_id}", &world.engine.mint().to_string());
            let answer = world.ask("", &method, &path, None, &[]).await;
            assert!(![404, 405].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn every_answer_of_the_document_names_a_schema_that_is_there() {
    let world = World::new().await;
    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is named and not described");
    }
    let description = document["info"]["description"].as_str().unwrap();
    assert!(description.contains("/problems/illegal-move"), "{description}");
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own() {
    let world = World::new().await;
    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let mut names: Vec<_> =
        operations.map(|(_, operation)| operation["operationId"].clone().to_string()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    assert!(names.contains(&"\"post_customers_id_identities\"".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_with_a_reference() {
    let world = World::new().await;
    let broken = axum::routing::get(|| async {
        if true {
            panic!("broken")
        }
    });
    let surround = axum::middleware::from_fn_with_state(world.edge.clone(), crate::http::surround::surround);
    let router = Router::new().route("/broken", broken).layer(surround);
    let response = router.oneshot(Request::get("/broken").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap();
    assert_eq!(body["type"], "/problems/internal");
    assert!(body["reference"].is_string(), "{body}");
    assert!(!body.to_string().contains("broken\""), "a fault's own words stay in the log: {body}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_problems() {
    let world = World::new().await;
    world.get("/api/v1/articles").await.is_problem(404, "not-found");
    let answer = world.ask("", "DELETE", "/healthz", None, &[]).await;
    answer.is_problem(405, "method-not-allowed");
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
}

#[tokio::test]
async fn the_page_of_the_api_is_served_from_here() {
    let world = World::new().await;
    let answer = world.ask("", "GET", "/api/docs/", None, &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.as_str().unwrap().contains("swagger"));
}

#[tokio::test]
async fn it_is_ready_until_its_store_fails() {
    let world = World::new().await;
    assert_eq!(world.ask("", "GET", "/healthz", None, &[]).await.body["status"], "ok");
    let ready = world.ask("", "GET", "/readyz", None, &[]).await;
    assert_eq!((ready.status.as_u16(), &ready.body["status"]), (200, &json!("ready")), "{}", ready.body);

    world.faults.fail_next(throughline_storage::store::memory::Failure::AfterWriting);
    let body = json!({ "id": "1", "from": { "email": "a@example.com" }, "text": "hello" });
    let answer = world.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
    answer.is_problem(503, "overloaded");
    assert!(answer.headers.contains_key("retry-after"));
    let ready = world.ask("", "GET", "/readyz", None, &[]).await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body["reasons"][0], "the store has failed");
}

#[tokio::test]
async fn the_manual_clock_moves_and_wakes_what_was_snoozed() {
    let world = World::new().await;
    let id = world.conversation().await;
    let body = json!({ "until": "2026-11-21T12:00:00Z" });
    let answer = world.post(&format!("/api/v1/conversations/{id}/snooze"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let timers = world.get("/api/v1/system/timers").await.body;
    let snooze = timers["items"].as_array().unwrap().iter().find(|timer| timer["name"] == "snooze").unwrap();
    assert_eq!(snooze["due_at"], "2026-11-21T12:00:00.000Z", "{timers}");
    assert_eq!(world.get("/api/v1/system/timers?before=2026-11-21T09:20:00Z").await.body["total"], 0);

    let answer = world.post("/api/v1/system/clock/advance", json!({ "by": "4h" })).await;
    assert_eq!(answer.body["now"], "2026-11-21T13:00:00.000Z", "{}", answer.body);
    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    assert_eq!(shown.get("snoozed_until"), None, "{shown}");
    let key = [("idempotency-key", "one-hour")];
    for _ in 0..2 {
        let hour = Some(json!({ "by": "1h" }));
        let answer = world.ask(&world.admin, "POST", "/api/v1/system/clock/advance", hour, &key).await;
        assert_eq!(answer.body["now"], "2026-11-21T14:00:00.000Z", "{}", answer.body);
    }
    let answer = world.post("/api/v1/system/clock/advance", json!({ "by": "soon" })).await;
    answer.is_problem(422, "invalid");
    assert_eq!(answer.body["field"], "by");
}

#[tokio::test]
async fn a_list_waits_for_a_write_and_says_when_it_does_not_come() {
    let world = World::new().await;
    let id = world.conversation().await;
    let answer = world.post(&format!("/api/v1/conversations/{id}/tags"), json!({ "add": ["late"] })).await;
    let seq = answer.body["seq"].as_u64().unwrap();
    let list = world.get(&format!("/api/v1/conversations?min_seq={seq}&q=late")).await;
    assert_eq!(list.body["total"], 1, "{}", list.body);
    let answer = world.get(&format!("/api/v1/conversations?min_seq={}", seq + 1_000)).await;
    answer.is_problem(503, "not-caught-up");
    world.get("/api/v1/conversations?page=0").await.is_problem(400, "malformed");
    world.get("/api/v1/conversations?page_size=500").await.is_problem(400, "malformed");
    let unknown = world.get("/api/v1/conversations?stauts=open").await;
    unknown.is_problem(400, "malformed");
    assert!(unknown.detail().contains("stauts"), "{}", unknown.body);
}

#[tokio::test]
async fn an_entity_is_shown_now_and_at_a_version_with_its_history() {
    let world = World::new().await;
    let id = world.conversation().await;
    world.post(&format!("/api/v1/conversations/{id}/notes"), json!({ "text": "Called her." })).await;
    world.engine.settle().await.unwrap();
    let now = world.get(&format!("/api/v1/system/actors/conversation/{id}")).await.body;
    let version = now["version"].as_u64().unwrap();
    assert!(version > 1, "{now}");
    let first = world.get(&format!("/api/v1/system/actors/conversation/{id}?version=1")).await.body;
    assert_eq!(first["version"], 1);
    let path = format!("/api/v1/system/actors/conversation/{id}?version={}", version + 7);
    world.get(&path).await.is_problem(404, "not-found");
    let history = world.get(&format!("/api/v1/system/actors/conversation/{id}/history")).await.body;
    assert_eq!(history["items"][0]["type"], "opened");
    assert_eq!(history["items"][0]["cause"]["kind"], "webhook");
    let unknown = world.get(&format!("/api/v1/system/actors/parcel/{id}")).await;
    assert!(unknown.is_problem(404, "not-found").detail().contains("conversation"));
    let listed = world.get("/api/v1/system/actors?kind=conversation").await.body;
    assert_eq!(listed["items"][0]["id"], json!(id), "{listed}");
    let status = world.get("/api/v1/system/status").await.body;
    assert!(status["seq"].as_u64().unwrap() > 0, "{status}");
}
