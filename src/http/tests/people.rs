//! Who may do what, and what persons do in a conversation.

use throughline_workflows::conversation::Move;

use super::*;
use crate::http::problem::refusals::path_of;

#[tokio::test]
async fn a_request_without_a_good_token_is_told_how_to_send_one() {
    let world = World::new().await;
    for token in ["", "tl_default_wrong", "tl_nobody_wrong", "anything"] {
        let answer = world.ask(token, "GET", "/api/v1/conversations", None, &[]).await;
        answer.is_problem(401, "unauthenticated");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
    let headers = [("authorization", "Basic abc")];
    world.ask("", "GET", "/api/v1/agents", None, &headers).await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_chosen_first_token_opens_and_a_second_start_makes_none() {
    let world = World::new().await;
    let start = async |chosen| ensure_first_admin(&world.engine, chosen).await.unwrap();
    assert_eq!(start(None).await, FirstAdmin::Earlier);
    assert_eq!(start(Some("sixteen-letters!")).await, FirstAdmin::Earlier);
    assert_eq!(start(Some(&world.admin)).await, FirstAdmin::Chosen);
    assert!(ensure_first_admin(&world.engine, Some("not one word")).await.is_err());
    assert!(ensure_first_admin(&world.engine, Some("tl_acme_something-long")).await.is_err());
}

#[tokio::test]
async fn a_token_is_shown_once_listed_without_its_secret_and_revoked_at_once() {
    let world = World::new().await;
    let key = [("idempotency-key", "make-one")];
    let body = json!({ "role": "agent", "name": "Ada's laptop" });
    let made = world.ask(&world.admin, "POST", "/api/v1/tokens", Some(body.clone()), &key).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(made.headers["location"], format!("/api/v1/tokens/{id}"));
    let again = world.ask(&world.admin, "POST", "/api/v1/tokens", Some(body), &key).await;
    assert_eq!((&again.body["id"], again.body.get("secret")), (&json!(id), None), "{}", again.body);

    let seq = &made.body["seq"];
    let list = world.get(&format!("/api/v1/tokens?min_seq={seq}")).await.body;
    assert_eq!(list["total"], 2, "{list}");
    assert!(!list.to_string().contains("secret"), "{list}");

    let token = made.body["secret"].as_str().unwrap();
    assert_eq!(world.ask(token, "GET", "/api/v1/conversations", None, &[]).await.status, 200);
    let path = format!("/api/v1/tokens/{id}");
    let answer = world.ask(&world.admin, "DELETE", &path, None, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.ask(token, "GET", "/api/v1/conversations", None, &[]).await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_role_is_held_to_its_table() {
    let world = World::new().await;
    let id = world.conversation().await;
    let engineer = world.token("engineer", json!({})).await;
    let words = Some(json!({ "text": "Hello" }));
    let path = format!("/api/v1/conversations/{id}/messages");
    let answer = world.ask(&engineer, "POST", &path, words, &[]).await;
    assert!(answer.is_problem(403, "forbidden").detail().contains("admin or supervisor"), "{}", answer.body);
    let note = Some(json!({ "text": "The courier's system was down." }));
    let path = format!("/api/v1/conversations/{id}/notes");
    assert_eq!(world.ask(&engineer, "POST", &path, note, &[]).await.status, 201);
    let path = format!("/api/v1/conversations/{id}");
    world.ask(&engineer, "GET", &path, None, &[]).await.is_problem(403, "forbidden");
    assert_eq!(world.ask(&engineer, "GET", "/api/v1/conversations", None, &[]).await.body["total"], 0);
    assert_eq!(world.ask(&engineer, "GET", "/api/v1/system/status", None, &[]).await.status, 200);
    let agent = world.token("agent", json!({})).await;
    world.ask(&agent, "GET", "/api/v1/system/status", None, &[]).await.is_problem(403, "forbidden");
    world.ask(&agent, "GET", "/api/v1/tokens", None, &[]).await.is_problem(403, "forbidden");
    let advance = Some(json!({ "by": "1h" }));
    let other = world.token("admin", json!({ "tenant": "acme" })).await;
    world
        .ask(&other, "POST", "/api/v1/system/clock/advance", advance, &[])
        .await
        .is_problem(403, "forbidden");
    world.ask(&other, "GET", "/api/v1/tokens?tenant=default", None, &[]).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn who_reads_only_their_own_sees_no_more_of_it_inside_the_system() {
    let world = World::new().await;
    let id = world.conversation().await;
    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    let customer = shown["customer"]["id"].as_str().unwrap().to_owned();
    let grace = world.post("/api/v1/agents", json!({ "name": "Grace" })).await.body["id"].clone();
    let engineer = world.token("engineer", json!({ "agent_id": grace })).await;
    let tokens = world.get("/api/v1/tokens").await.body;
    let token = tokens["items"][0]["id"].as_str().unwrap().to_owned();

    let inside = async |bearer: &str, kind: &str, id: &str| {
        let path = format!("/api/v1/system/actors/{kind}/{id}");
        let state = world.ask(bearer, "GET", &path, None, &[]).await;
        let history = world.ask(bearer, "GET", &format!("{path}/history"), None, &[]).await;
        assert_eq!(state.status, history.status, "{} {}", state.body, history.body);
        (state.status.as_u16(), format!("{}{}", state.body, history.body))
    };
    for (kind, id) in [("conversation", &id), ("customer", &customer), ("credential", &token)] {
        let (status, shown) = inside(&engineer, kind, id).await;
        assert_eq!(status, 403, "{kind}: {shown}");
        assert_eq!(inside(&world.admin, kind, id).await.0, 200, "{kind}");
    }
    let (_, shown) = inside(&world.admin, "credential", &token).await;
    assert_eq!(shown.matches(r#""secret_hash":"hidden""#).count(), 2, "{shown}");
    let list = world.ask(&engineer, "GET", "/api/v1/system/actors?kind=customer", None, &[]).await;
    assert_eq!(list.body["total"], 1, "{}", list.body);
    assert_eq!(inside(&engineer, "agent", grace.as_str().unwrap()).await.0, 200);

    let assigned =
        world.post(&format!("/api/v1/conversations/{id}/assign"), json!({ "agent_id": grace })).await;
    assert_eq!(assigned.status, 200, "{}", assigned.body);
    assert_eq!(inside(&engineer, "conversation", &id).await.0, 200, "it is theirs now");
}

#[tokio::test]
async fn another_tenants_conversation_is_not_there() {
    let world = World::new().await;
    let id = world.conversation().await;
    let other = world.token("admin", json!({ "tenant": "acme" })).await;
    let path = format!("/api/v1/conversations/{id}");
    world.ask(&other, "GET", &path, None, &[]).await.is_problem(404, "not-found");
    let resolve = format!("{path}/resolve");
    world.ask(&other, "POST", &resolve, Some(json!({})), &[]).await.is_problem(404, "not-found");
    assert_eq!(world.ask(&other, "GET", "/api/v1/conversations", None, &[]).await.body["total"], 0);
    let path = format!("/api/v1/system/actors/conversation/{id}");
    world.ask(&other, "GET", &path, None, &[]).await.is_problem(404, "not-found");
    world.get("/api/v1/conversations/nonsense").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_one_effect() {
    let world = World::new().await;
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}/messages");
    let key = [("idempotency-key", "answer-1")];
    let words = json!({ "text": "It comes tomorrow." });
    let first = world.ask(&world.admin, "POST", &path, Some(words.clone()), &key).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = world.ask(&world.admin, "POST", &path, Some(words), &key).await;
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    let other = Some(json!({ "text": "It comes on Monday." }));
    let answer = world.ask(&world.admin, "POST", &path, other, &key).await;
    answer.is_problem(422, "idempotency-key-reused");
    let messages = world.get(&path).await.body;
    let sent =
        messages["items"].as_array().unwrap().iter().filter(|one| one["content"] == "It comes tomorrow.");
    assert_eq!(sent.count(), 1, "{messages}");
    let long = "k".repeat(256);
    let key = [("idempotency-key", long.as_str())];
    let answer = world.ask(&world.admin, "POST", &path, Some(json!({ "text": "x" })), &key).await;
    answer.is_problem(400, "malformed");
}

#[tokio::test]
async fn an_illegal_move_names_the_state_and_the_legal_ones() {
    let world = World::new().await;
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}");
    let answer = world.post(&format!("{path}/reopen"), json!({})).await;
    let problem = answer.is_problem(409, "illegal-move");
    assert_eq!(
        problem.detail(),
        "`reopen` is not possible while the conversation is `awaiting_agent`; \
         possible: messages, hand-off, escalate, resolve, snooze."
    );
    assert_eq!(problem.body["legal_moves"], json!(["messages", "hand-off", "escalate", "resolve", "snooze"]));
    let body = json!({ "outcome": "answered", "summary": "Told her." });
    assert_eq!(world.post(&format!("{path}/resolve"), body).await.status, 200);
    let answer = world.post(&format!("{path}/messages"), json!({ "text": "One more thing." })).await;
    let problem = answer.is_problem(409, "illegal-move");
    assert!(problem.detail().starts_with("`messages` is not possible"), "{}", problem.body);
    assert_eq!(problem.body["legal_moves"], json!(["escalate", "resolve", "reopen"]));
    let reopened = world.ask(&world.admin, "POST", &format!("{path}/reopen"), None, &[]).await;
    assert_eq!(reopened.status, 200, "a body without fields may be absent: {}", reopened.body);
    assert_eq!(world.get(&path).await.body["status"], "reopened");
    let answer = world.post(&format!("{path}/resolve"), json!({ "outcome": "fine" })).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "outcome");
}

#[tokio::test]
async fn the_legal_moves_are_those_with_a_path() {
    let world = World::new().await;
    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    let paths = document["paths"].as_object().unwrap();
    for wanted in Move::ALL {
        let path = path_of(*wanted).map_or_else(|| wanted.as_str().replace('_', "-"), str::to_owned);
        let served = paths.contains_key(&format!("/api/v1/conversations/{{id}}/{path}"));
        assert_eq!(served, path_of(*wanted).is_some(), "{wanted}");
    }
}

#[tokio::test]
async fn only_an_agent_lends_a_name_to_a_customer() {
    let world = World::new().await;
    let id = world.conversation().await;
    let grace = world.post("/api/v1/agents", json!({ "name": "Grace" })).await.body["id"].clone();
    let hers = world.token("agent", json!({ "agent_id": grace })).await;
    let nobodys = world.token("supervisor", json!({ "name": "the night desk" })).await;
    let program = world.token("api", json!({ "agent_id": grace, "name": "the shop" })).await;
    let path = format!("/api/v1/conversations/{id}/messages");
    for (token, text) in [(&hers, "By Grace."), (&nobodys, "By nobody."), (&program, "By a program.")] {
        let answer = world.ask(token, "POST", &path, Some(json!({ "text": text })), &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    let begun = json!({ "to": { "email": "bob@example.com" }, "text": "Hello Bob" });
    let begun = world.ask(&nobodys, "POST", "/api/v1/conversations", Some(begun), &[]).await.body;
    let queued = async |conversation: &Value, text: &str| {
        let id = conversation.as_str().unwrap();
        let history =
            world.get(&format!("/api/v1/system/actors/conversation/{id}/history?page_size=200")).await.body;
        let events = history["items"].as_array().unwrap().clone();
        let details = events.iter().map(|event| event["details"]["message_queued"].clone());
        details.into_iter().find(|queued| queued["message"]["text"] == text).unwrap()
    };
    let id = json!(id);
    assert_eq!(queued(&id, "By Grace.").await["message"]["from_name"], "Grace");
    for (id, text) in [(&id, "By nobody."), (&id, "By a program."), (&begun["id"], "Hello Bob")] {
        let queued = queued(id, text).await;
        assert_eq!(queued["message"]["from_name"], Value::Null, "{text}: the tenant's name then: {queued}");
    }
    assert_eq!(queued(&id, "By nobody.").await["by"]["name"], "the night desk", "the audit keeps it");
}

#[tokio::test]
async fn a_program_speaks_for_itself_or_for_an_agent_it_names() {
    let world = World::new().await;
    let id = world.conversation().await;
    let agent = world.post("/api/v1/agents", json!({ "name": "Grace" })).await.body["id"].clone();
    let api = world.token("api", json!({})).await;
    let path = format!("/api/v1/conversations/{id}/messages");
    let own = Some(json!({ "text": "By a program." }));
    assert_eq!(world.ask(&api, "POST", &path, own, &[]).await.status, 201);
    let hers = Some(json!({ "text": "By Grace.", "on_behalf_of": agent }));
    assert_eq!(world.ask(&api, "POST", &path, hers.clone(), &[]).await.status, 201);
    let messages = world.get(&path).await.body;
    let by = |text: &str| {
        let all = messages["items"].as_array().unwrap();
        all.iter().find(|one| one["content"] == text).unwrap()["by"].clone()
    };
    assert_eq!(by("By a program.")["kind"], "service");
    assert_eq!((&by("By Grace.")["kind"], &by("By Grace.")["id"]), (&json!("person"), &agent));
    world.ask(&world.admin, "POST", &path, hers, &[]).await.is_problem(403, "forbidden");
    let nobody = Some(json!({ "text": "x", "on_behalf_of": world.engine.mint() }));
    let answer = world.ask(&api, "POST", &path, nobody, &[]).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "on_behalf_of");
}

#[tokio::test]
async fn an_agent_takes_what_is_free_and_gives_away_what_is_theirs() {
    let world = World::new().await;
    let id = world.conversation().await;
    let make = async |name: &str| {
        let answer = world.post("/api/v1/agents", json!({ "name": name })).await;
        answer.body["id"].as_str().unwrap().to_owned()
    };
    let (grace, edsger) = (make("Grace").await, make("Edsger").await);
    let token = world.token("agent", json!({ "agent_id": grace })).await;
    let path = format!("/api/v1/conversations/{id}/assign");
    let to = |agent: &str| Some(json!({ "agent_id": agent }));
    world.ask(&token, "POST", &path, to(&edsger), &[]).await.is_problem(403, "forbidden");
    assert_eq!(world.ask(&token, "POST", &path, to(&grace), &[]).await.status, 200);
    assert_eq!(world.ask(&token, "POST", &path, to(&edsger), &[]).await.status, 200);
    world.ask(&token, "POST", &path, to(&grace), &[]).await.is_problem(403, "forbidden");
    let nobody = json!({ "agent_id": world.engine.mint() });
    assert_eq!(world.post(&path, nobody).await.is_problem(422, "invalid").body["field"], "agent_id");
    world.engine.settle().await.unwrap();
    let list = world.get(&format!("/api/v1/conversations?assigned_to={edsger}")).await.body;
    assert_eq!(list["total"], 1, "{list}");
}

#[tokio::test]
async fn bodies_are_refused_with_what_is_wrong() {
    let world = World::new().await;
    let path = "/api/v1/conversations";
    let request = |media: &str, body: &str| {
        Request::post(path)
            .header("authorization", format!("Bearer {}", world.admin))
            .header("content-type", media)
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    world.call(request("text/plain", "hello")).await.is_problem(415, "unsupported-media-type");
    let answer = world.call(request("application/json", "{\"text\":\n oops}")).await;
    assert!(answer.is_problem(400, "malformed").detail().contains("line 2"), "{}", answer.body);
    let answer = world.post(path, json!({ "text": "x", "to": { "mail": "a@example.com" } })).await;
    assert!(answer.is_problem(422, "invalid").detail().contains("`email`"), "{}", answer.body);
    let answer = world.post(path, json!({ "text": "x" })).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "to");
    let answer = world.post(path, json!({ "text": "x", "to": { "email": "nonsense" } })).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "to.email");
    let answer =
        world.post(path, json!({ "text": "x".repeat(20_000), "to": { "email": "a@example.com" } })).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "text");
}
