//! Customers, agents and teams, and that answers look as the document says.

use serde::de::DeserializeOwned;

use super::*;
use crate::http::api::shown;

/// That `value` is what the document calls a `T`, with no field more or less.
#[track_caller]
fn looks_like<T: DeserializeOwned>(value: &Value) {
    if let Err(error) = serde_json::from_value::<T>(value.clone()) {
        panic!("{error}: {value}");
    }
}

#[tokio::test]
async fn a_customer_is_added_changed_found_and_written_to() {
    let world = World::new().await;
    let body = json!({
        "identity": {
            "emails": ["Ada@Example.com"], "phone_numbers": ["+1 555 012 3456"],
            "social_ids": [{ "channel": "telegram", "handle": "ada" }],
        },
        "profile": { "name": "Ada", "metadata": { "plan": "gold" } },
        "tags": ["vip"],
    });
    let made = world.post("/api/v1/customers", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/api/v1/customers/{id}");
    assert_eq!(made.headers["location"], path);
    let change = Some(json!({ "sla_tier": "premium", "preferences": { "language": "de" } }));
    let changed = world.ask(&world.admin, "PATCH", &path, change, &[]).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let shown = world.get(&path).await.body;
    looks_like::<shown::Customer>(&shown);
    assert_eq!(shown["identity"]["emails"][0]["address"], "ada@example.com");
    assert_eq!(shown["profile"]["metadata"]["plan"], "gold");
    assert_eq!(shown["sla_tier"], "premium");
    let list = world.get(&format!("/api/v1/customers?q=ADA&min_seq={}", changed.body["seq"])).await.body;
    assert_eq!((&list["total"], &list["items"][0]), (&json!(1), &shown));

    let taken =
        world.post("/api/v1/customers", json!({ "identity": { "emails": ["ada@example.com"] } })).await;
    assert!(taken.is_problem(409, "conflict").detail().contains(id), "{}", taken.body);
    let nobody = world.post("/api/v1/customers", json!({ "identity": {} })).await;
    assert_eq!(nobody.is_problem(422, "invalid").body["field"], "identity");
    let wrong = json!({ "identity": { "emails": ["ada@example.com", "nonsense"] } });
    let answer = world.post("/api/v1/customers", wrong).await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "identity.emails[1]");
    let more = world
        .post(&format!("{path}/identities"), json!({ "email": "ada@work.example", "verified": true }))
        .await;
    assert_eq!(more.status, 200, "{}", more.body);

    let begun = json!({ "customer_id": id, "text": "Hello Ada", "subject": "Your parcel", "priority": "P1" });
    let begun = world.post("/api/v1/conversations", begun).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let seq = &begun.body["seq"];
    let timeline = world.get(&format!("{path}/timeline?min_seq={seq}")).await.body;
    looks_like::<shown::ConversationRow>(&timeline["items"][0]);
    assert_eq!(timeline["items"][0]["id"], begun.body["id"], "{timeline}");
    world.get(&format!("/api/v1/customers/{}", world.engine.mint())).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_conversation_with_an_address_finds_or_adds_its_customer() {
    let world = World::new().await;
    let begin = async |text: &str| {
        let body = json!({ "to": { "phone": "+15550123456" }, "text": text });
        let answer = world.post("/api/v1/conversations", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    };
    let (first, second) = (begin("Hello").await, begin("Hello again").await);
    assert_eq!(first["customer_id"], second["customer_id"]);
    assert_ne!(first["id"], second["id"]);
    let shown = world.get(&format!("/api/v1/conversations/{}", second["id"].as_str().unwrap())).await.body;
    assert_eq!(
        (&shown["channel"], &shown["status"]),
        (&json!("sms"), &json!("awaiting_customer")),
        "{shown}"
    );
}

#[tokio::test]
async fn a_conversation_looks_as_the_document_says() {
    let world = World::new().await;
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}");
    world.post(&format!("{path}/notes"), json!({ "text": "Asked the courier." })).await;
    world.post(&format!("{path}/hand-off"), json!({ "reason": "She is upset." })).await;
    world.post(&format!("{path}/triage"), json!({ "severity": "P1" })).await;
    world.engine.settle().await.unwrap();
    let shown = world.get(&path).await.body;
    looks_like::<shown::WholeConversation>(&shown);
    assert_eq!(shown["handoff"]["asked"], "My parcel has not come");
    assert_eq!(shown["priority"], "P1");
    assert_eq!(world.get(&format!("/api/admin/communications/{id}")).await.body, shown);
    let list =
        world.get("/api/v1/conversations?status=awaiting_agent&channel=generic:web&severity=P1").await.body;
    looks_like::<shown::ConversationRow>(&list["items"][0]);
    assert_eq!(world.get("/api/admin/communications?sort=priority").await.body["total"], 1);
    let answer = world.get("/api/v1/conversations?status=closed").await;
    assert!(answer.is_problem(422, "invalid").detail().contains("awaiting_agent"), "{}", answer.body);
}

#[tokio::test]
async fn agents_and_teams_are_records() {
    let world = World::new().await;
    let team = world.post("/api/v1/teams", json!({ "name": "billing", "skills": ["refunds"] })).await;
    assert_eq!(team.status, 201, "{}", team.body);
    let team_id = team.body["id"].as_str().unwrap().to_owned();
    let body =
        json!({ "name": "Grace", "team_ids": [team_id], "skills": [{ "name": "refunds", "level": 4 }] });
    let agent = world.post("/api/v1/agents", body).await;
    assert_eq!(agent.status, 201, "{}", agent.body);
    let path = format!("/api/v1/agents/{}", agent.body["id"].as_str().unwrap());
    assert_eq!(world.post(&format!("{path}/status"), json!({ "status": "available" })).await.status, 200);
    let shown = world.get(&path).await.body;
    looks_like::<shown::Agent>(&shown);
    assert_eq!((&shown["status"], &shown["capacity"]), (&json!("available"), &json!(5)));
    let team_path = format!("/api/v1/teams/{team_id}");
    let change = Some(json!({ "members": [agent.body["id"]], "parent_id": null }));
    let changed = world.ask(&world.admin, "PATCH", &team_path, change, &[]).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    looks_like::<shown::Team>(&world.get(&team_path).await.body);
    world.engine.settle().await.unwrap();
    let list = world.get(&format!("/api/v1/agents?team_id={team_id}&status=available")).await.body;
    assert_eq!(list["items"][0], shown);
    assert_eq!(world.get("/api/v1/teams?q=refunds").await.body["total"], 1);
    let nobody = json!({ "name": "Edsger", "team_ids": [world.engine.mint()] });
    assert_eq!(
        world.post("/api/v1/agents", nobody).await.is_problem(422, "invalid").body["field"],
        "team_ids[0]"
    );
    let tokens = world.get("/api/v1/tokens").await.body;
    looks_like::<shown::Token>(&tokens["items"][0]);
}
