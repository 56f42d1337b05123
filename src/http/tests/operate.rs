//! The operator's view: causes, differences, pauses, retries, comparisons; and every refusal.

use serde::de::DeserializeOwned;

use super::*;
use crate::http::api::shown;

/// That an answer has the form that the document says.
fn looks_like<T: DeserializeOwned>(value: &Value) {
    serde_json::from_value::<T>(value.clone()).unwrap_or_else(|error| panic!("{error}: {value:#}"));
}

fn why() -> Value {
    json!({ "reason": "to look at it" })
}

impl World {
    /// One whose first try of a message fails, and a conversation whose acknowledgement has: its id and the activity's.
    async fn stuck() -> (Self, String, String) {
        let world = Self::with(Vec::new(), Within { outside: Outside::FailsOnce }).await;
        let id = world.conversation().await;
        let activities = world.get("/api/v1/system/activities").await.body;
        let activity = activities["items"][0]["id"].as_str().unwrap().to_owned();
        (world, id, activity)
    }
}

#[tokio::test]
async fn each_event_says_what_caused_it_and_each_timer_which_rule_armed_it() {
    let world = World::delivering().await;
    let id = world.conversation().await;
    let here = format!("/api/v1/system/actors/conversation/{id}");
    world.post(&format!("/api/v1/conversations/{id}/notes"), json!({ "text": "Called her." })).await;
    world.post("/api/v1/system/clock/advance", json!({ "by": "11h" })).await;
    let history = world.get(&format!("{here}/history?page_size=200")).await.body;
    let items = history["items"].as_array().unwrap();
    items.iter().for_each(looks_like::<shown::HistoryEntry>);
    let because = |kind: &str| {
        let of = items.iter().find(|entry| entry["cause"]["kind"] == kind);
        of.unwrap_or_else(|| panic!("nothing by {kind}: {history:#}")).clone()
    };
    assert!(because("webhook")["because"].as_str().unwrap().starts_with("webhook: message "));
    assert!(because("activity")["because"].as_str().unwrap().starts_with("activity: the outcome of "));
    assert!(because("timer")["because"].as_str().unwrap().starts_with("timer: "));
    let note = because("command");
    assert!(note["because"].as_str().unwrap().starts_with("person: first admin (token/"), "{note}");
    // Every link leads somewhere.
    for entry in items {
        for link in entry["links"].as_object().unwrap().values() {
            let answer = world.get(link.as_str().unwrap()).await;
            assert_eq!(answer.status, 200, "{link}: {}", answer.body);
        }
    }
    world.get(&format!("{here}?version=0")).await.is_problem(422, "invalid");
    let state = world.get(&here).await.body;
    looks_like::<shown::ActorState>(&state);
    let timers = state["timers"].as_array().unwrap();
    let rule = |name: &str| {
        let timer = timers.iter().find(|timer| timer["name"] == name).unwrap();
        timer["rule"].as_str().unwrap_or_else(|| panic!("{timer}")).to_owned()
    };
    assert!(rule("silence").starts_with("silence: updates.interval 12h since 2026-11-21T"), "{state:#}");
    assert!(
        rule("sla.resolution").starts_with("sla tier standard P2: resolution 1day"),
        "{}",
        rule("sla.resolution")
    );
    assert!(timers.iter().all(|timer| timer["remaining_seconds"].is_i64()), "{timers:?}");
}

#[tokio::test]
async fn the_difference_of_two_versions_is_told_by_fields() {
    let world = World::new().await;
    let id = world.conversation().await;
    let version = world
        .post(&format!("/api/v1/conversations/{id}/tags"), json!({ "add": ["vip"] }))
        .await
        .body["version"]
        .as_u64()
        .unwrap();
    let here = format!("/api/v1/system/actors/conversation/{id}");
    let diff = world.get(&format!("{here}/diff?from={}&to={version}", version - 1)).await.body;
    looks_like::<shown::VersionDiff>(&diff);
    let change = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|change| change["path"].as_str().unwrap().contains("tags"))
        .unwrap_or_else(|| panic!("{diff:#}"));
    assert_eq!(change["after"], "vip", "{diff:#}");
    assert!(diff["events"][0]["because"].as_str().unwrap().starts_with("person: "), "{diff:#}");
    let whole = world.get(&format!("{here}/diff?from=0&to={version}")).await.body;
    assert!(whole["events"].as_array().unwrap().len() > 1, "{whole:#}");

    let refused = world.get(&format!("{here}/diff?from={version}&to={version}")).await;
    assert_eq!(refused.is_problem(422, "invalid").body["field"], "from");
    let future = world.get(&format!("{here}/diff?from=1&to={}", version + 5)).await;
    assert!(future.is_problem(404, "not-found").detail().contains("there is no version"));
    let last = world.get(&format!("{here}/diff")).await.body;
    assert_eq!((&last["from"], &last["to"]), (&json!(version - 1), &json!(version)));
    world.get(&format!("{here}/diff?from=-1")).await.is_problem(400, "malformed");
    let nobody = world.engine.mint();
    let path = format!("/api/v1/system/actors/conversation/{nobody}/diff?from=1&to=2");
    world.get(&path).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_paused_conversation_is_shown_as_paused_wherever_it_stands() {
    let world = World::new().await;
    let id = world.conversation().await;
    let here = format!("/api/v1/system/actors/conversation/{id}");
    let key = [("idempotency-key", "pause-it")];
    for _ in 0..2 {
        let path = format!("{here}/pause");
        let answer = world.ask(&world.admin, "POST", &path, Some(why()), &key).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let timers = answer.body["timers"].as_array().unwrap();
        assert!(timers.iter().any(|timer| timer["name"] == "silence"), "what is held back is told");
    }
    let twice = world.post(&format!("{here}/pause"), why()).await;
    assert!(twice.is_problem(409, "conflict").detail().contains("to look at it"), "{}", twice.body);

    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    assert_eq!(shown["paused"]["reason"], "to look at it");
    looks_like::<shown::WholeConversation>(&shown);
    let state = world.get(&here).await.body;
    assert_eq!(state["paused"]["by"]["name"], "first admin", "{state}");
    let listed = world.get("/api/v1/system/actors?paused=true").await.body;
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &json!(id)));
    looks_like::<shown::Actor>(&listed["items"][0]);
    let timers = world.get("/api/v1/system/timers").await.body;
    assert!(timers["items"].as_array().unwrap().iter().all(|timer| timer["paused"] == true), "{timers}");
    looks_like::<shown::Timer>(&timers["items"][0]);
    world.engine.settle().await.unwrap();
    let waiting = world.get("/api/v1/silence").await.body;
    looks_like::<shown::WaitingCustomer>(&waiting["items"][0]);
    assert_eq!(waiting["items"][0]["paused"]["reason"], "to look at it");
    let status = world.get("/api/v1/system/status").await.body;
    assert_eq!((&status["paused_actors"], &status["longest_silence"]["paused"]), (&json!(1), &json!(true)));

    // Its clocks run on: what was promised meanwhile is late, and told as late, once it goes on.
    world.write(&id, "ada@example.com", "Hello?").await;
    world.post("/api/v1/system/clock/advance", json!({ "by": "13h" })).await;
    assert_eq!(world.get("/api/v1/sla/breaches?clock=silence").await.body["total"], 0);
    let status = world.get("/api/v1/system/status").await.body;
    assert_eq!(status["commits"]["inbox_pending"], 1, "the customer's message waits: {status}");
    let resumed = world.post(&format!("{here}/resume"), why()).await;
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    world.engine.settle().await.unwrap();
    assert_eq!(world.get("/api/v1/sla/breaches?clock=silence").await.body["total"], 1);
    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    assert_eq!(shown.get("paused"), None);
    assert!(shown["messages"].to_string().contains("Hello?"), "{shown:#}");
    world.post(&format!("{here}/resume"), why()).await.is_problem(409, "conflict");
    let audit = world.get("/api/v1/audit").await.body.to_string();
    assert!(audit.contains("actor.pause") && audit.contains("actor.resume"), "{audit}");
}

#[tokio::test]
async fn what_failed_is_tried_at_once_and_delivered() {
    let (world, id, activity) = World::stuck().await;
    let status = world.get("/api/v1/system/status").await.body;
    let owed = &status["activities"][0];
    assert_eq!((&owed["failing"], &owed["last_error"]), (&json!(1), &json!("the account is suspended")));
    let metrics = world.ask(&world.admin, "GET", "/metrics", None, &[]).await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("throughline_activities_failing{channel=\"generic:web\"} 1"), "{metrics}");
    assert!(metrics.contains("throughline_webhooks_taken_total 1"), "{metrics}");
    assert_eq!(status["webhooks"]["taken"], 1);

    let path = format!("/api/v1/system/activities/{activity}/retry-now");
    world.post(&path, json!({ "reason": " " })).await.is_problem(422, "invalid");
    let answer = world.post(&path, json!({ "reason": "the bill is paid" })).await;
    assert_eq!((answer.status.as_u16(), &answer.body["id"]), (200, &json!(activity)), "{}", answer.body);
    world.engine.settle().await.unwrap();
    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    assert_eq!(shown["messages"][1]["delivery"]["status"], "sent", "{shown:#}");
    let gone = world.post(&path, json!({ "reason": "once more" })).await;
    assert!(gone.is_problem(404, "not-found").detail().contains("pending activity"));
}

#[tokio::test]
async fn what_is_skipped_is_a_dead_letter_and_its_message_has_failed() {
    let (world, id, activity) = World::stuck().await;
    let path = format!("/api/v1/system/activities/{activity}/skip");
    let answer = world.post(&path, json!({ "reason": "the wrong person" })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = world.get(&format!("/api/v1/conversations/{id}")).await.body;
    assert_eq!(shown["messages"][1]["delivery"]["status"], "failed", "{shown:#}");
    let letters = world.get("/api/v1/system/dead-letters").await.body;
    assert!(letters["items"][0]["reason"].as_str().unwrap().contains("the wrong person"), "{letters}");
}

#[tokio::test]
async fn a_paused_entitys_activity_is_not_tried_at_somebodys_word() {
    let (world, id, activity) = World::stuck().await;
    world.post(&format!("/api/v1/system/actors/conversation/{id}/pause"), why()).await;
    let path = format!("/api/v1/system/activities/{activity}/retry-now");
    let refused = world.post(&path, why()).await;
    assert!(refused.is_problem(409, "conflict").detail().contains("resume it first"));
}

#[tokio::test]
async fn entities_are_taken_out_of_memory_and_compared_with_their_journal() {
    let world = World::new().await;
    let id = world.conversation().await;
    let here = format!("/api/v1/system/actors/conversation/{id}");
    let replayed = world.post(&format!("{here}/replay"), why()).await;
    assert_eq!(replayed.status, 200, "{}", replayed.body);
    looks_like::<shown::Replayed>(&replayed.body);
    assert_eq!(replayed.body["differences"], json!([]), "{}", replayed.body);
    assert!(replayed.body["memory_version"].is_u64(), "{}", replayed.body);
    assert_eq!(world.post(&format!("{here}/passivate"), why()).await.status, 200);
    assert_eq!(world.get(&here).await.body["residency"], "passive");
    let again = world.post(&format!("{here}/passivate"), why()).await;
    assert!(again.is_problem(409, "conflict").detail().contains("not in memory"));

    world.get("/api/v1/system/replay").await.is_problem(404, "not-found");
    let begun = world.post("/api/v1/system/replay", why()).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let run = loop {
        let run = world.get("/api/v1/system/replay").await.body;
        looks_like::<shown::ReplayRun>(&run);
        if run.get("finished_at").is_some() {
            break run;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&run["differing"], &run["compared"]), (&json!(0), &run["entities"]), "{run}");
    let audit = world.get("/api/v1/audit").await.body.to_string();
    for act in ["actor.replay", "actor.passivate", "actor.replay_all"] {
        assert!(audit.contains(act), "{act}: {audit}");
    }
}

#[tokio::test]
async fn only_operators_act_and_only_upon_what_is_there() {
    let world = World::new().await;
    let id = world.conversation().await;
    let supervisor = world.token("supervisor", json!({})).await;
    let nobody = world.engine.mint();
    for act in ["pause", "resume", "passivate", "replay"] {
        let path = |kind: &str, id: &str| format!("/api/v1/system/actors/{kind}/{id}/{act}");
        let answer = world.ask(&supervisor, "POST", &path("conversation", &id), Some(why()), &[]).await;
        answer.is_problem(403, "forbidden");
        world.post(&path("conversation", &id), json!({})).await.is_problem(422, "invalid");
        let empty = world.post(&path("conversation", &id), json!({ "reason": "" })).await;
        assert_eq!(empty.is_problem(422, "invalid").body["field"], "reason");
        let unknown = world.post(&path("conversation", &nobody.to_string()), why()).await;
        assert!(unknown.is_problem(404, "not-found").detail().contains("conversation"));
        let kind = world.post(&path("parcel", &id), why()).await;
        assert!(kind.is_problem(404, "not-found").detail().contains("the kinds are"));
        world.post(&path("conversation", "seven"), why()).await.is_problem(404, "not-found");
        let elsewhere = format!("{}?tenant=nowhere", path("conversation", &id));
        world.post(&elsewhere, why()).await.is_problem(404, "not-found");
    }
    for act in ["retry-now", "skip"] {
        let path = |id: &str| format!("/api/v1/system/activities/{id}/{act}");
        let some = format!("{nobody}.1.0");
        let answer = world.ask(&supervisor, "POST", &path(&some), Some(why()), &[]).await;
        answer.is_problem(403, "forbidden");
        for wrong in [some.as_str(), "seven", "7.7.7", &format!("{nobody}.1.0.9")] {
            world.post(&path(wrong), why()).await.is_problem(404, "not-found");
        }
    }
    assert_eq!(world.get("/api/v1/system/actors?paused=true").await.body["total"], 0);
    world.get("/api/v1/system/actors?paused=maybe").await.is_problem(400, "malformed");
    for (path, field) in [
        ("actors?paused=false", "paused"),
        ("timers?stuck=false", "stuck"),
        ("timers?stuck=true&before=2026-11-21T00:00:00Z", "before"),
        ("activities?failing=false", "failing"),
    ] {
        let refused = world.get(&format!("/api/v1/system/{path}")).await;
        assert_eq!(refused.is_problem(422, "invalid").body["field"], field, "{path}");
    }
}
