//! Tenants: added while the server runs, and apart from each other on every path.

use throughline_workflows::role::{Action, Permission, Role, may};

use super::*;
use crate::http::api::silences;

async fn add(world: &World, body: Value, key: &[(&str, &str)]) -> Answer {
    world.ask(&world.admin, "POST", "/api/v1/tenants", Some(body), key).await
}

#[tokio::test]
async fn a_tenant_that_is_added_works_at_once() {
    let world = World::new().await;
    let message = json!({ "id": "1", "from": { "email": "ada@example.com" }, "text": "hello" });
    let door = "/t/globex/api/webhooks/generic/web";
    world.ask("", "POST", door, Some(message.clone()), &[]).await.is_problem(404, "not-found");

    let key = [("idempotency-key", "globex")];
    for _ in 0..2 {
        let answer = add(&world, json!({ "name": "globex", "title": "Globex Care" }), &key).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["name"]),
            (201, &json!("globex")),
            "{}",
            answer.body
        );
    }
    assert_eq!(world.ask("", "POST", door, Some(message), &[]).await.status, 200);
    world.engine.settle().await.unwrap();
    let admin = world.token("admin", json!({ "tenant": "globex" })).await;
    let list = world.ask(&admin, "GET", "/api/v1/conversations", None, &[]).await.body;
    assert_eq!(list["total"], 1, "{list}");
    let policy = world.ask(&admin, "GET", "/api/v1/policy", None, &[]).await.body;
    assert_eq!(policy["version"], 1, "{policy}");

    let tenants = world.get("/api/v1/tenants").await.body;
    let sources: Vec<_> =
        tenants["items"].as_array().unwrap().iter().map(|one| (&one["name"], &one["source"])).collect();
    let api = json!("api");
    let configuration = json!("configuration");
    assert_eq!(
        sources,
        [(&json!("acme"), &configuration), (&json!("default"), &configuration), (&json!("globex"), &api)]
    );
}

#[tokio::test]
async fn a_tenant_that_is_there_or_cannot_be_is_refused() {
    let world = World::new().await;
    assert_eq!(add(&world, json!({ "name": "globex" }), &[]).await.status, 201);
    for name in ["acme", "default", "globex"] {
        add(&world, json!({ "name": name }), &[]).await.is_problem(409, "conflict");
    }
    for name in ["Globex", "", "-x", "a_b"] {
        let answer = add(&world, json!({ "name": name }), &[]).await;
        let problem = answer.is_problem(422, "invalid");
        assert_eq!(problem.body["field"], "name");
        assert!(problem.detail().contains("a-z, 0-9 and '-'"), "{}", problem.body);
    }
    let answer = add(&world, json!({ "name": "initech", "title": "two\nlines" }), &[]).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "title");
}

#[tokio::test]
async fn only_an_operator_adds_and_lists_tenants() {
    let world = World::new().await;
    let supervisor = world.token("supervisor", json!({})).await;
    let acme = world.token("admin", json!({ "tenant": "acme" })).await;
    for token in [&supervisor, &acme] {
        let body = Some(json!({ "name": "globex" }));
        world.ask(token, "POST", "/api/v1/tenants", body, &[]).await.is_problem(403, "forbidden");
        world.ask(token, "GET", "/api/v1/tenants", None, &[]).await.is_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn one_key_is_one_token_whichever_tenant_it_names() {
    let world = World::new().await;
    let key = [("idempotency-key", "one")];
    let make = async |tenant: &str| {
        let body = Some(json!({ "role": "agent", "tenant": tenant }));
        world.ask(&world.admin, "POST", "/api/v1/tokens", body, &key).await
    };
    let first = make("default").await;
    assert_eq!(first.status, 201, "{}", first.body);
    make("acme").await.is_problem(422, "idempotency-key-reused");
    assert_eq!(make("default").await.body["id"], first.body["id"]);
    world.engine.settle().await.unwrap();
    assert_eq!(world.get("/api/v1/tokens?tenant=acme").await.body["total"], 0);
}

#[tokio::test]
async fn one_key_is_one_change_whichever_tenant_the_query_names() {
    let world = World::new().await;
    let key = [("idempotency-key", "one")];
    let patch = async |path: &str| {
        let body = Some(json!({ "customers": { "language": "de" } }));
        world.ask(&world.admin, "PATCH", path, body, &key).await
    };
    assert_eq!(patch("/api/v1/policy").await.body["version"], 2);
    patch("/api/v1/policy?tenant=acme").await.is_problem(422, "idempotency-key-reused");
    assert_eq!(world.get("/api/v1/policy?tenant=acme").await.body["version"], 1);
    assert_eq!(patch("/api/v1/policy").await.body["version"], 2);
}

/// What may be asked of a thing by its id, and what the role needs for it: the end of the path, and a body that can be
/// read.
const ASKED: &[(&str, &str, Action, &str)] = &[
    ("get", "/conversations/{id}", Action::Read, ""),
    ("get", "/conversations/{id}/messages", Action::Read, ""),
    ("get", "/attachments/{message_id}/{part}", Action::Read, ""),
    ("get", "/communications/{id}", Action::Read, ""),
    ("get", "/customers/{id}", Action::Read, ""),
    ("get", "/customers/{id}/timeline", Action::Read, ""),
    ("get", "/actors/{kind}/{id}", Action::ReadSystem, ""),
    ("get", "/actors/{kind}/{id}/history", Action::ReadSystem, ""),
    ("get", "/dead-letters/{id}", Action::HandleDeadLetters, ""),
    ("get", "/agents/{id}", Action::Read, ""),
    ("get", "/teams/{id}", Action::Read, ""),
    ("post", "/conversations/{id}/messages", Action::WriteToCustomer, r#"{"text":"x"}"#),
    ("post", "/conversations/{id}/notes", Action::WriteNote, r#"{"text":"x"}"#),
    ("post", "/conversations/{id}/unassign", Action::Assign, "{}"),
    ("post", "/conversations/{id}/hand-off", Action::WorkConversation, "{}"),
    ("post", "/conversations/{id}/snooze", Action::WorkConversation, r#"{"until":"2026-11-22T09:00:00Z"}"#),
    ("post", "/conversations/{id}/tags", Action::WorkConversation, r#"{"add":["x"]}"#),
    ("post", "/conversations/{id}/resolve", Action::WorkConversation, "{}"),
    ("post", "/conversations/{id}/reopen", Action::WorkConversation, "{}"),
    ("post", "/conversations/{id}/triage", Action::Override, r#"{"severity":"P1"}"#),
    ("post", "/customers/{id}/identities", Action::EditCustomer, r#"{"email":"b@example.com"}"#),
    ("post", "/dead-letters/{id}/retry", Action::HandleDeadLetters, r#"{"reason":"x"}"#),
    ("post", "/dead-letters/{id}/discard", Action::HandleDeadLetters, r#"{"reason":"x"}"#),
    ("patch", "/customers/{id}", Action::EditCustomer, "{}"),
    ("delete", "/tokens/{id}", Action::ManageTokens, "{}"),
];

#[tokio::test]
async fn what_another_tenant_has_is_not_there_on_any_path_for_any_role() {
    let world = World::new().await;
    let conversation = world.conversation().await;
    let row = world.get("/api/v1/conversations").await.body["items"][0].clone();
    let id_of = |answer: Answer| answer.body["id"].as_str().unwrap().to_owned();
    let customer = row["customer"]["id"].as_str().unwrap().to_owned();
    let agent = id_of(world.post("/api/v1/agents", json!({ "name": "Grace" })).await);
    let team = id_of(world.post("/api/v1/teams", json!({ "name": "infra" })).await);
    let token = id_of(world.post("/api/v1/tokens", json!({ "role": "agent" })).await);
    let broken = Some(json!({ "id": "1", "from": {}, "text": "x" }));
    world.ask("", "POST", "/api/webhooks/generic/broken", broken, &[]).await;
    let letters = world.get("/api/v1/system/dead-letters").await.body;
    let letter =
        letters["items"][0]["id"].as_str().map_or_else(|| world.engine.mint().to_string(), str::to_owned);
    let message = world.get(&format!("/api/v1/conversations/{conversation}/messages")).await.body;
    let message = message["items"][0]["id"].as_str().unwrap().to_owned();
    let theirs = |path: &str| {
        let id = match path {
            path if path.contains("/customers/") => &customer,
            path if path.contains("/agents/") => &agent,
            path if path.contains("/teams/") => &team,
            path if path.contains("/tokens/") => &token,
            path if path.contains("/dead-letters/") => &letter,
            _ => &conversation,
        };
        path.replace("{id}", id)
            .replace("{message_id}", &message)
            .replace("{part}", "0")
            .replace("{kind}", "conversation")
    };

    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    let paths = document["paths"].as_object().unwrap();
    // The lists first: what a stranger asks for by its id is afterwards in memory as theirs, empty.
    for role in Role::ALL {
        let stranger = world.token(role.as_str(), json!({ "tenant": "acme" })).await;
        for (path, operations) in paths.iter().filter(|(path, _)| !path.contains('{')) {
            if !path.starts_with("/api/v1/") && !path.starts_with("/api/admin/")
                || operations.get("get").is_none()
                // It goes on for ever; that it holds nothing of another tenant has a test of its own.
                || path == "/api/v1/events"
            {
                continue;
            }
            let answer = world.ask(&stranger, "GET", path, None, &[]).await;
            let shown = answer.body.to_string();
            for id in [&conversation, &customer, &agent, &team, &token] {
                assert!(!shown.contains(id.as_str()), "{role} {path} shows {id}: {shown}");
            }
        }
    }
    let mut walked = 0;
    for role in Role::ALL {
        let stranger = world.token(role.as_str(), json!({ "tenant": "acme" })).await;
        for (path, operations) in paths.iter().filter(|(path, _)| path.contains("{id}")) {
            for method in operations.as_object().unwrap().keys() {
                let known = ASKED.iter().find(|(wanted, end, ..)| wanted == method && path.ends_with(end));
                let body = known.map_or("{}", |(.., body)| body);
                let body = (method != "get").then(|| serde_json::from_str(body).unwrap());
                let answer = world.ask(&stranger, &method.to_uppercase(), &theirs(path), body, &[]).await;
                let status = answer.status.as_u16();
                let told = format!("{role} {method} {path}: {status} {}", answer.body);
                match known {
                    Some((.., action, _)) if may(*role, *action) == Permission::Never => {
                        assert_eq!(status, 403, "{told}")
                    }
                    Some(_) => assert_eq!(status, 404, "{told}"),
                    None if method == "get" => assert!([403, 404].contains(&status), "{told}"),
                    // A body of its own may be refused before anything is looked up.
                    None => assert!([400, 403, 404, 422].contains(&status), "{told}"),
                }
                walked += 1;
            }
        }
    }
    assert!(walked > 100, "{walked} requests");
}

#[tokio::test]
async fn an_operator_sees_who_waits_over_all_tenants_and_others_only_their_own() {
    let world = World::new().await;
    world.conversation().await;
    world.post("/api/v1/system/clock/advance", json!({ "by": "1h" })).await;
    add(&world, json!({ "name": "globex" }), &[]).await;
    let message = json!({ "id": "1", "from": { "email": "bob@example.com" }, "text": "hello" });
    world.ask("", "POST", "/t/globex/api/webhooks/generic/web", Some(message), &[]).await;
    world.engine.settle().await.unwrap();

    let all = world.get("/api/v1/system/silences").await.body;
    let of = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|row| row["tenant"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((of(&all), &all["total"]), (vec!["default".to_owned(), "globex".to_owned()], &json!(2)));
    assert_eq!(all["items"][0]["silent_seconds"], 3600, "{all}");
    let status = world.get("/api/v1/system/status").await.body;
    assert_eq!(status["longest_silence"], all["items"][0], "the first of them is the longest");
    let second = world.get("/api/v1/system/silences?page=2&page_size=1").await.body;
    assert_eq!((of(&second), &second["total"]), (vec!["globex".to_owned()], &json!(2)));
    let beyond = world.get("/api/v1/system/silences?page=9").await.body;
    assert_eq!((of(&beyond), &beyond["total"]), (vec![], &json!(2)));
    let theirs = world.get("/api/v1/system/silences?tenant=globex").await.body;
    assert_eq!(of(&theirs), ["globex"]);
    serde_json::from_value::<silences::SilentCustomer>(theirs["items"][0].clone()).unwrap();
    assert!(!all.to_string().contains("example.com"), "nobody is named: {all}");

    let admin = world.token("admin", json!({ "tenant": "globex" })).await;
    let ask = async |path: &str| world.ask(&admin, "GET", path, None, &[]).await;
    assert_eq!(of(&ask("/api/v1/system/silences").await.body), ["globex"]);
    ask("/api/v1/system/silences?tenant=default").await.is_problem(403, "forbidden");
    world.get("/api/v1/system/silences?tenant=nobody").await.is_problem(404, "not-found");
    let agent = world.token("agent", json!({})).await;
    world.ask(&agent, "GET", "/api/v1/system/silences", None, &[]).await.is_problem(403, "forbidden");
}
