//! The audit of reads: who read what is recorded before the answer leaves, refusals too.

use super::*;
use crate::http::reads::is_shown;

/// The paths that show nothing about customers.
const IMPERSONAL: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/agents",
    "/api/v1/agents/{id}",
    "/api/v1/audit",
    "/api/v1/policy",
    "/api/v1/policy/versions",
    "/api/v1/sla/breaches",
    "/api/v1/system/activities",
    "/api/v1/system/actors",
    "/api/v1/system/silences",
    "/api/v1/system/status",
    "/api/v1/system/timers",
    "/api/v1/teams",
    "/api/v1/teams/{id}",
    "/api/v1/templates",
    "/api/v1/tenants",
    "/api/v1/tokens",
    "/api/v1/webhooks",
    "/api/v1/webhooks/{id}",
    "/api/v1/webhooks/{id}/deliveries",
    "/metrics",
];

async fn acts(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(&format!("/api/v1/audit?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_path_that_can_be_read_is_known_to_show_personal_data_or_not() {
    let world = World::new().await;
    let document = world.ask("", "GET", "/api/openapi.json", None, &[]).await.body;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let read = operations.get("get").is_some() && !path.contains("/webhooks/");
        let known = is_shown(path) || IMPERSONAL.contains(&path.as_str());
        assert!(
            !read || known,
            "{path}: name it in src/http/reads.rs, or here if it shows nothing about customers"
        );
    }
}

#[tokio::test]
async fn who_read_what_is_recorded_once_a_minute_and_who_was_refused_too() {
    let world = World::new().await;
    let id = world.conversation().await;
    let grace = world.post("/api/v1/agents", json!({ "name": "Grace" })).await.body["id"].clone();
    let hers = world.token("agent", json!({ "agent_id": grace })).await;
    let engineer = world.token("engineer", json!({ "name": "bench" })).await;
    let path = format!("/api/v1/conversations/{id}");
    for token in [&hers, &hers, &engineer] {
        world.ask(token, "GET", &path, None, &[]).await;
    }
    world.ask(&hers, "GET", &format!("/api/v1/conversations/{}", world.engine.mint()), None, &[]).await;
    let found = acts(&world, &format!("subject={id}")).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    let of = |action: &str| found.iter().find(|act| act["action"] == action).unwrap();
    let read = of("read");
    assert_eq!(
        (&read["by"]["id"], &read["by"]["name"], &read["role"]),
        (&grace, &json!("Grace"), &json!("agent"))
    );
    assert_eq!(
        (&read["kind"], &read["noun"], &read["path"]),
        (&json!("access"), &json!("conversation"), &json!(path))
    );
    let refused = of("refused");
    assert_eq!((&refused["role"], &refused["by"]["name"]), (&json!("engineer"), &json!("bench")));

    let hers = acts(&world, &format!("by={}", grace.as_str().unwrap())).await;
    assert_eq!(hers.len(), 1, "what is not there was not read: {hers:#?}");
}

#[tokio::test]
async fn lists_files_and_what_is_inside_count_as_reads() {
    let world = World::new().await;
    let id = world.conversation().await;
    let made = world.post("/api/v1/tokens", json!({ "role": "admin", "name": "auditor" })).await.body;
    let (token, token_id) = (made["secret"].as_str().unwrap(), made["id"].as_str().unwrap());
    let customer = world.get(&format!("/api/v1/conversations/{id}")).await.body["customer"]["id"].clone();
    let customer = customer.as_str().unwrap();
    for path in [
        "/api/v1/customers?q=ada".to_owned(),
        format!("/api/v1/customers/{customer}"),
        format!("/api/v1/conversations?customer_id={customer}"),
        format!("/api/v1/system/actors/conversation/{id}/history"),
        format!("/api/v1/system/actors/agent/{id}"),
        "/api/v1/policy".to_owned(),
    ] {
        world.ask(token, "GET", &path, None, &[]).await;
    }
    let found = acts(&world, &format!("by={token_id}")).await;
    let mut nouns: Vec<_> =
        found.iter().map(|act| (act["noun"].as_str().unwrap(), act["subject"].as_str())).collect();
    nouns.sort_unstable();
    let expected = [
        ("conversation", Some(id.as_str())),
        ("conversations", Some(customer)),
        ("customer", Some(customer)),
        ("customers", None),
    ];
    assert_eq!(nouns, expected);
    assert!(!format!("{found:?}").contains("q=ada"), "what somebody looked for is not kept");
}

#[tokio::test]
async fn a_read_that_cannot_be_recorded_is_not_answered() {
    let world = World::new().await;
    let id = world.conversation().await;
    world.faults.fail_next(throughline_storage::store::memory::Failure::AfterWriting);
    let answer = world.get(&format!("/api/v1/conversations/{id}/messages")).await;
    assert!(answer.status.is_server_error(), "{}", answer.body);
    assert!(!answer.body.to_string().contains("parcel"), "{}", answer.body);
}

#[tokio::test]
async fn acts_and_reads_come_together_newest_first_each_to_whom_they_concern() {
    let world = World::new().await;
    let id = world.conversation().await;
    let make = async |name: &str, teams: Value| {
        let answer = world.post("/api/v1/agents", json!({ "name": name, "team_ids": teams })).await;
        answer.body["id"].clone()
    };
    let (grace, edsger) = (make("Grace", json!([])).await, make("Edsger", json!([])).await);
    let team = world.post("/api/v1/teams", json!({ "name": "infra", "members": [grace, edsger] })).await.body
        ["id"]
        .clone();
    let alan = make("Alan", json!([team])).await;
    let path = format!("/api/v1/conversations/{id}");
    let mut tokens = Vec::new();
    for agent in [&grace, &edsger] {
        let token = world.token("agent", json!({ "agent_id": agent })).await;
        assert_eq!(world.ask(&token, "GET", &path, None, &[]).await.status, 200);
        tokens.push(token);
    }
    world.post("/api/v1/system/clock/advance", json!({ "by": "1h" })).await;

    let patch = Some(json!({ "name": "Ours" }));
    assert_eq!(world.ask(&world.admin, "PATCH", "/api/v1/policy", patch, &[]).await.status, 200);
    world.post("/api/v1/tenants", json!({ "name": "globex" })).await;
    let done: Vec<_> = acts(&world, "from=2026-11-21T09:30:00Z").await;
    let done: Vec<_> =
        done.iter().map(|act| (act["action"].as_str().unwrap(), act["subject"].as_str())).collect();
    assert_eq!(done, [("tenant.add", Some("globex")), ("policy.change", Some("version 2"))]);

    let all = acts(&world, "to=2026-11-21T09:30:00Z").await;
    assert_eq!(
        (&all[0]["kind"], &all[0]["action"]),
        (&json!("operation"), &json!("clock.advance")),
        "{all:#?}"
    );
    let names = |answer: &Answer| {
        let items = answer.body["items"].as_array().unwrap().clone();
        let mut names: Vec<_> =
            items.iter().map(|act| act["by"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let own = world.ask(&tokens[0], "GET", "/api/v1/audit", None, &[]).await;
    assert_eq!(names(&own), ["Grace"], "an agent sees what is their own");
    let engineer = world.token("engineer", json!({ "agent_id": alan })).await;
    let teams = world.ask(&engineer, "GET", "/api/v1/audit", None, &[]).await;
    assert_eq!(names(&teams), ["Edsger", "Grace"], "an engineer what their team did");
    for path in
        ["operation/00000000-0000-0000-0000-000000000000", "access/00000000-0000-0000-0000-00000000512a"]
    {
        let path = format!("/api/v1/system/actors/{path}/history");
        world.ask(&engineer, "GET", &path, None, &[]).await.is_problem(403, "forbidden");
        assert_eq!(world.get(&path).await.status, 200, "{path}");
    }
    let api = world.token("api", json!({})).await;
    world.ask(&api, "GET", "/api/v1/audit", None, &[]).await.is_problem(403, "forbidden");

    assert_eq!(acts(&world, "to=2026-11-21T09:30:00Z&page_size=1").await.len(), 1);
    assert!(acts(&world, "to=2026-11-21T09:00:00Z").await.is_empty(), "`to` is not within");
    assert!(acts(&world, "from=2026-11-21T11:00:00Z&to=2026-11-22T11:00:00Z").await.is_empty());
    let answer = world.get("/api/v1/audit?from=2026-01-01T00:00:00Z").await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "from");
}
