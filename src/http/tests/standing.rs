//! How customers want to be treated, and that their conversations hear of it.

use super::*;

impl World {
    async fn edit(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.admin, "PATCH", path, Some(body), &[]).await
    }

    /// Changes the customer of a conversation, and waits until everyone has been told.
    async fn change_customer_of(&self, conversation: &str, body: Value) {
        let shown = self.get(&format!("/api/v1/conversations/{conversation}")).await.body;
        let path = format!("/api/v1/customers/{}", shown["customer"]["id"].as_str().unwrap());
        let answer = self.edit(&path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.engine.settle().await.unwrap();
    }

    /// What a conversation knows of how to treat its customer.
    async fn standing(&self, conversation: &str) -> Value {
        let path = format!("/api/v1/system/actors/conversation/{conversation}");
        let actor = self.get(&path).await.body;
        actor["state"]["standing"].clone()
    }

    /// When the first answer is due.
    async fn due_at(&self, conversation: &str) -> Value {
        let shown = self.get(&format!("/api/v1/conversations/{conversation}")).await.body;
        shown["sla"]["first_response"]["due_at"].clone()
    }

    /// The id of the one customer there is.
    async fn customer(&self) -> String {
        let list = self.get("/api/v1/customers").await.body;
        assert_eq!(list["total"], 1, "{list}");
        list["items"][0]["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_better_contract_makes_an_open_conversation_due_sooner() {
    let world = World::new().await;
    let adas = world.conversation().await;
    world.write("m-2", "bob@example.com", "And mine?").await;
    let list = world.get("/api/v1/conversations").await.body;
    let bobs = list["items"].as_array().unwrap().iter().find(|row| row["id"] != json!(adas)).unwrap();
    let bobs = bobs["id"].as_str().unwrap().to_owned();
    assert_eq!(world.due_at(&adas).await, "2026-11-21T11:00:00.000Z");

    world.change_customer_of(&adas, json!({ "sla_tier": "premium" })).await;
    assert_eq!(world.due_at(&adas).await, "2026-11-21T09:30:00.000Z");
    assert_eq!(world.due_at(&bobs).await, "2026-11-21T11:00:00.000Z", "another customer's");
    let events = world.get(&format!("/api/v1/system/actors/conversation/{adas}/history")).await.body;
    let known = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == "standing_known");
    let causes: Vec<_> = known.map(|event| event["cause"]["kind"].clone()).collect();
    assert_eq!(causes, [json!("webhook"), json!("activity")], "{events}");
}

#[tokio::test]
async fn every_change_of_standing_reaches_the_conversation_and_only_those() {
    let world = World::new().await;
    let id = world.conversation().await;
    let preferences = json!({
        "timezone": "Europe/Vienna", "quiet_hours": "22:00-07:00", "channel": "sms", "language": "de",
    });
    let consent = json!({ "whatsapp": "denied", "email": "granted" });
    world.change_customer_of(&id, json!({ "preferences": preferences, "consent": consent })).await;
    let standing = world.standing(&id).await;
    assert_eq!(standing["timezone"], "Europe/Vienna", "{standing}");
    assert_eq!(standing["quiet_hours"], "22:00-07:00", "{standing}");
    assert_eq!(standing["preferred"], "sms", "{standing}");
    assert_eq!(standing["denied"], json!(["whatsapp"]), "{standing}");

    let customer = world.customer().await;
    let more = json!({ "phone": "+15550123456" });
    assert_eq!(world.post(&format!("/api/v1/customers/{customer}/identities"), more).await.status, 200);
    world.engine.settle().await.unwrap();
    let addresses = &world.standing(&id).await["addresses"];
    assert!(addresses.to_string().contains("+15550123456"), "{addresses}");

    let path = format!("/api/v1/conversations/{id}");
    let before = world.get(&path).await.body["version"].clone();
    world.change_customer_of(&id, json!({ "tags": { "add": ["vip"] }, "profile": { "name": "A" } })).await;
    world.change_customer_of(&id, json!({ "consent": { "sms": "granted" } })).await;
    assert_eq!(world.get(&path).await.body["version"], before, "nothing of it concerns the conversation");
    world.change_customer_of(&id, json!({ "preferences": { "channel": "", "quiet_hours": "" } })).await;
    let standing = world.standing(&id).await;
    assert_eq!((&standing["preferred"], &standing["quiet_hours"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_resolved_conversation_hears_of_it_too_and_knows_it_when_it_is_reopened() {
    let world = World::new().await;
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}");
    assert_eq!(world.post(&format!("{path}/resolve"), json!({ "outcome": "answered" })).await.status, 200);
    world.engine.settle().await.unwrap();
    let resolved = world.get(&path).await.body;
    let begun = json!({ "customer_id": resolved["customer"]["id"], "text": "One more thing, Ada" });
    let begun = world.post("/api/v1/conversations", begun).await.body;
    world.change_customer_of(&id, json!({ "sla_tier": "premium" })).await;
    let told = world.get(&path).await.body;
    assert_eq!(told["status"], "resolved");
    assert_eq!(told["last_activity_at"], resolved["last_activity_at"], "it keeps its place in the list");
    assert_eq!(world.ask(&world.admin, "POST", &format!("{path}/reopen"), None, &[]).await.status, 200);
    assert_eq!(world.standing(&id).await["tier"], "premium");
    assert_eq!(world.standing(begun["id"].as_str().unwrap()).await["tier"], "premium");
}

#[tokio::test]
async fn quiet_hours_and_consent_are_shown_as_they_were_given() {
    let world = World::new().await;
    let body = json!({
        "identity": { "emails": ["ada@example.com"] },
        "preferences": { "timezone": "Europe/Vienna", "quiet_hours": "22:00-07:00" },
        "consent": { "sms": "denied", "generic:web": "granted" },
    });
    let made = world.post("/api/v1/customers", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let shown = world.get(&path).await.body;
    let preferences = json!({ "timezone": "Europe/Vienna", "quiet_hours": "22:00-07:00" });
    assert_eq!(shown["preferences"], preferences);
    let said = |state: &str, at: &str| json!({ "state": state, "at": at, "source": "api" });
    let then = "2026-11-21T09:00:00.000Z";
    let consent = json!({ "sms": said("denied", then), "generic:web": said("granted", then) });
    assert_eq!(shown["consent"], consent);

    assert_eq!(world.post("/api/v1/system/clock/advance", json!({ "by": "1h" })).await.status, 200);
    let change = json!({ "consent": { "sms": "granted", "generic:web": "granted" } });
    assert_eq!(world.edit(&path, change).await.status, 200);
    let shown = world.get(&path).await.body;
    let consent =
        json!({ "sms": said("granted", "2026-11-21T10:00:00.000Z"), "generic:web": said("granted", then) });
    assert_eq!(shown["consent"], consent, "what was said before keeps its time");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field_and_what_is_allowed() {
    let world = World::new().await;
    let made =
        world.post("/api/v1/customers", json!({ "identity": { "emails": ["ada@example.com"] } })).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let wrong = [
        (json!({ "consent": { "pigeon": "denied" } }), "consent.pigeon", "telegram or generic:NAME"),
        (json!({ "consent": { "sms": "perhaps" } }), "consent.sms", "granted, denied"),
        (json!({ "preferences": { "quiet_hours": "22-7" } }), "preferences.quiet_hours", "22:00-07:00"),
        (json!({ "preferences": { "timezone": "Mars/Base" } }), "preferences.timezone", "Europe/Vienna"),
        (json!({ "preferences": { "channel": "pigeon" } }), "preferences.channel", "telegram"),
    ];
    for (body, field, allowed) in wrong {
        let answer = world.edit(&path, body.clone()).await;
        assert_eq!(answer.is_problem(422, "invalid").body["field"], field, "{}", answer.body);
        assert!(answer.detail().contains(allowed), "{}", answer.body);
        let mut new = body;
        new["identity"] = json!({ "emails": ["bob@example.com"] });
        let answer = world.post("/api/v1/customers", new).await;
        assert_eq!(answer.is_problem(422, "invalid").body["field"], field, "{}", answer.body);
    }
}
