//! Long-running cases, clocks and silence by the API.

use serde::de::DeserializeOwned;

use super::*;
use crate::http::api::shown;

/// That `value` is what the document calls a `T`.
#[track_caller]
fn looks_like<T: DeserializeOwned>(value: &Value) {
    if let Err(error) = serde_json::from_value::<T>(value.clone()) {
        panic!("{error}: {value}");
    }
}

fn request() -> Value {
    json!({ "issue_type": "technical", "owning_team": "engineering", "severity": "P1", "summary": "It is lost." })
}

fn solution() -> Value {
    json!({ "root_cause": "A full disk.", "fix_description": "A larger one." })
}

/// A conversation that was escalated, and its case.
struct Case {
    conversation: String,
    resolution: String,
    id: String,
}

impl Case {
    fn path(&self, last: &str) -> String {
        format!("/api/v1/resolutions/{}{last}", self.id)
    }

    fn conversation(&self) -> String {
        format!("/api/v1/conversations/{}", self.conversation)
    }
}

impl World {
    /// Changes something, waits until everyone has heard of it, and gives the answer.
    async fn done(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        self.engine.settle().await.unwrap();
        answer.body
    }

    async fn case(&self) -> Case {
        let conversation = self.conversation().await;
        self.case_of(conversation).await
    }

    async fn case_of(&self, conversation: String) -> Case {
        let answer = self.done(&format!("/api/v1/conversations/{conversation}/escalate"), request()).await;
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Case { resolution: text("resolution_id"), id: text("case_id"), conversation }
    }

    async fn pass(&self, by: &str) {
        self.done("/api/v1/system/clock/advance", json!({ "by": by })).await;
    }

    async fn shown(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}

/// How many seconds lie between two times as they are shown.
fn seconds(from: &Value, to: &Value) -> u64 {
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    time(to).since(time(from)).as_secs()
}

#[tokio::test]
async fn an_escalation_opens_a_case_and_the_next_one_joins_it() {
    let world = World::delivering().await;
    let conversation = world.conversation().await;
    let path = format!("/api/v1/conversations/{conversation}/escalate");
    let first = world.done(&path, request()).await;
    assert_eq!(first["id"], conversation.as_str(), "{first}");
    let again = json!({ "issue_type": "billing", "owning_team": "finance" });
    let second = world.done(&path, again).await;
    for field in ["resolution_id", "case_id"] {
        assert!(first[field].is_string(), "{first}");
        assert_eq!(first[field], second[field], "one case: {second}");
    }
    assert!(second["version"].as_u64() > first["version"].as_u64(), "it was recorded: {first} {second}");

    let shown =
        world.shown(&format!("/api/v1/resolutions/{}", first["resolution_id"].as_str().unwrap())).await;
    looks_like::<shown::WholeResolution>(&shown);
    assert_eq!((&shown["case_id"], &shown["conversation_id"]), (&first["case_id"], &json!(conversation)));
    assert_eq!((&shown["status"], &shown["severity"]), (&json!("investigating"), &json!("P1")), "{shown}");
    assert_eq!(shown["escalations"].as_array().unwrap().len(), 2, "{shown}");
    let shown = world.shown(&format!("/api/v1/conversations/{conversation}")).await;
    looks_like::<shown::WholeConversation>(&shown);
    for field in ["resolution_id", "case_id"] {
        assert_eq!(shown[field], first[field], "{shown}");
    }
    assert_eq!(shown["status"], "escalated");

    for (query, total) in [
        ("", 1),
        ("?status=investigating&owning_team=engineering", 1),
        ("?status=monitoring", 0),
        ("?owning_team=finance", 0),
    ] {
        let list = world.shown(&format!("/api/v1/resolutions{query}")).await;
        assert_eq!(list["total"], total, "{query}: {list}");
        list["items"].as_array().unwrap().iter().for_each(looks_like::<shown::Resolution>);
    }
    let answer = world.get("/api/v1/resolutions?status=lost").await;
    assert_eq!(answer.is_problem(422, "invalid").body["field"], "status", "{}", answer.body);
}

#[tokio::test]
async fn the_same_key_gives_the_same_case_even_when_there_is_another_by_then() {
    let world = World::delivering().await;
    let conversation = world.conversation().await;
    let path = format!("/api/v1/conversations/{conversation}/escalate");
    let key = [("idempotency-key", "escalate-1")];
    let ask = async || {
        let answer = world.ask(&world.admin, "POST", &path, Some(request()), &key).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        world.engine.settle().await.unwrap();
        answer.body
    };
    let first = ask().await;
    assert_eq!(ask().await, first);
    let other = Some(json!({ "issue_type": "ops", "owning_team": "infra" }));
    world.ask(&world.admin, "POST", &path, other, &key).await.is_problem(422, "idempotency-key-reused");

    let resolve = format!("/api/v1/resolutions/{}/resolve", first["case_id"].as_str().unwrap());
    world.done(&resolve, solution()).await;
    let second = world.done(&path, request()).await;
    assert_ne!(second["case_id"], first["case_id"], "the first one is solved");
    assert_eq!(ask().await, first, "what was answered then");
}

#[tokio::test]
async fn a_case_is_found_by_its_name_however_it_is_spelled() {
    let world = World::delivering().await;
    let case = world.case().await;
    let right = world.shown(&case.path("")).await;
    assert_eq!(right["id"], case.resolution.as_str());
    // What is heard as one letter is written as another: 0 as O, 1 as I or L.
    let (mark, letters) = case.id.split_once('-').unwrap();
    for one in ["I", "L", "l", "i", "1"] {
        let alike = letters.replace('0', "o").replace('1', one);
        for spelled in [format!("{mark}-{alike}"), format!("tl{}", alike.to_lowercase().replace('-', ""))] {
            assert_eq!(world.shown(&format!("/api/v1/resolutions/{spelled}")).await, right, "{spelled}");
        }
    }
    for path in ["TL-0000-000", "nonsense", "0193a5c0-0000-7000-8000-000000000000"] {
        world.get(&format!("/api/v1/resolutions/{path}")).await.is_problem(404, "not-found");
    }
}

#[tokio::test]
async fn what_cannot_be_said_of_a_case_is_refused_with_its_field_and_nothing_changes() {
    let world = World::delivering().await;
    let conversation = world.conversation().await;
    let escalate = format!("/api/v1/conversations/{conversation}/escalate");
    let with = |field: &str, value: Value| {
        let mut body = request();
        body[field] = value;
        body
    };
    let past = "2026-11-21T08:00:00Z";
    for (body, field, allowed) in [
        (with("issue_type", json!("weather")), "issue_type", "technical"),
        (with("severity", json!("P9")), "severity", "P3"),
        (with("owning_team", json!(" ")), "owning_team", "1 to 200"),
        (with("expected_by", json!(past)), "expected_by", "later than now"),
        (with("expected_by", json!("2028-01-01T00:00:00Z")), "expected_by", "within a year"),
        (with("expected_by", json!("tomorrow")), "expected_by", "tomorrow"),
    ] {
        let answer = world.post(&escalate, body).await;
        assert_eq!(answer.is_problem(422, "invalid").body["field"], field, "{}", answer.body);
        assert!(answer.detail().contains(allowed), "{allowed}: {}", answer.body);
    }
    let shown = world.shown(&format!("/api/v1/conversations/{conversation}")).await;
    assert_eq!((&shown["status"], shown.get("case_id")), (&json!("awaiting_agent"), None), "{shown}");
    assert_eq!(world.shown("/api/v1/resolutions").await["total"], 0);

    let case = world.case_of(conversation).await;
    let before = world.shown(&case.path("")).await;
    let (later, latest) = ("2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z");
    for (what, body, field, allowed) in [
        ("window", json!({ "expected_by": past }), "expected_by", "later than now"),
        ("window", json!({ "expected_from": latest, "expected_by": later }), "expected_from", "expected_by"),
        ("status", json!({ "status": "resolved" }), "status", "monitoring"),
        ("status", json!({ "status": "gone" }), "status", "monitoring"),
        ("status", json!({ "status": "monitoring", "note": " " }), "note", "not empty"),
        ("notes", json!({ "text": " " }), "text", "not empty"),
        ("updates", json!({ "text": "" }), "text", "not empty"),
        ("resolve", json!({ "root_cause": "", "fix_description": "x" }), "root_cause", "not empty"),
        ("resolve", json!({ "root_cause": "x", "fix_description": " " }), "fix_description", "not empty"),
        (
            "resolve",
            json!({ "root_cause": "x", "fix_description": "x", "customer_summary": " " }),
            "customer_summary",
            "not empty",
        ),
    ] {
        let answer = world.post(&case.path(&format!("/{what}")), body.clone()).await;
        let told = (&answer.is_problem(422, "invalid").body["field"], answer.detail().contains(allowed));
        assert_eq!(told, (&json!(field), true), "{what} {body}: {}", answer.body);
    }
    assert_eq!(world.shown(&case.path("")).await, before);
}

#[tokio::test]
async fn an_engineer_works_on_a_case_and_never_writes_to_its_customer() {
    let world = World::delivering().await;
    let case = world.case().await;
    let engineer = world.token("engineer", json!({})).await;
    let ask = async |what: &str, body: Value| {
        world.ask(&engineer, "POST", &case.path(&format!("/{what}")), Some(body), &[]).await
    };
    ask("updates", json!({ "text": "Hello" })).await.is_problem(403, "forbidden");
    let mut with_words = solution();
    with_words["customer_summary"] = json!("It is found.");
    let answer = ask("resolve", with_words).await;
    assert_eq!(answer.is_problem(403, "forbidden").body["field"], "customer_summary", "{}", answer.body);
    let escalate = format!("{}/escalate", case.conversation());
    world.ask(&engineer, "POST", &escalate, Some(request()), &[]).await.is_problem(403, "forbidden");
    assert_eq!(world.shown(&case.path("")).await["status"], "investigating");

    for (what, body) in [
        ("notes", json!({ "text": "The disk is full." })),
        ("status", json!({ "status": "awaiting_fix", "note": "Ordered." })),
        ("window", json!({ "expected_by": "2026-11-22T09:00:00Z" })),
        ("resolve", solution()),
    ] {
        let answer = ask(what, body).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    }
    world.engine.settle().await.unwrap();
    let shown = world.shown(&case.path("")).await;
    looks_like::<shown::WholeResolution>(&shown);
    assert_eq!(shown["internal_notes"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(
        (&shown["status"], &shown["root_cause"]),
        (&json!("resolved"), &json!("A full disk.")),
        "{shown}"
    );
    let conversation = world.shown(&case.conversation()).await;
    let messages = conversation["messages"].as_array().unwrap();
    let people =
        messages.iter().filter(|one| one["direction"] == "outbound" && one["by"]["kind"] == "person");
    assert_eq!(people.count(), 0, "{conversation}");
    let last = messages.last().unwrap();
    assert_eq!((&last["purpose"], &last["automatic"]), (&json!("resolved"), &json!(true)), "{conversation}");
}

#[tokio::test]
async fn another_tenants_case_is_not_there_by_any_name_for_anything() {
    let world = World::delivering().await;
    let case = world.case().await;
    let other = world.token("admin", json!({ "tenant": "acme" })).await;
    for id in [&case.id, &case.resolution] {
        let path = format!("/api/v1/resolutions/{id}");
        world.ask(&other, "GET", &path, None, &[]).await.is_problem(404, "not-found");
        for (what, body) in [
            ("status", json!({ "status": "monitoring" })),
            ("notes", json!({ "text": "Mine" })),
            ("updates", json!({ "text": "Mine" })),
            ("window", json!({ "expected_by": "2026-11-22T09:00:00Z" })),
            ("pause", json!({})),
            ("resume", json!({})),
            ("resolve", solution()),
        ] {
            let answer = world.ask(&other, "POST", &format!("{path}/{what}"), Some(body), &[]).await;
            answer.is_problem(404, "not-found");
        }
    }
    for (what, body) in [("escalate", request()), ("hand-back", json!({}))] {
        let path = format!("{}/{what}", case.conversation());
        world.ask(&other, "POST", &path, Some(body), &[]).await.is_problem(404, "not-found");
    }
    let explain = format!("{}/sla/explain", case.conversation());
    world.ask(&other, "GET", &explain, None, &[]).await.is_problem(404, "not-found");
    for list in ["resolutions", "silence", "sla/breaches"] {
        let answer = world.ask(&other, "GET", &format!("/api/v1/{list}"), None, &[]).await;
        assert_eq!(answer.body["total"], 0, "{list}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_solved_case_takes_notes_and_nothing_else() {
    let world = World::delivering().await;
    let case = world.case().await;
    world.done(&case.path("/resolve"), solution()).await;
    world.done(&case.path("/resolve"), solution()).await;
    for (what, body) in [
        ("status", json!({ "status": "monitoring" })),
        ("updates", json!({ "text": "More" })),
        ("window", json!({ "expected_by": "2026-11-22T09:00:00Z" })),
        ("pause", json!({})),
        ("resume", json!({})),
        ("resolve", json!({ "root_cause": "Another.", "fix_description": "Another." })),
    ] {
        let answer = world.post(&case.path(&format!("/{what}")), body).await;
        let problem = answer.is_problem(409, "illegal-move");
        assert_eq!(problem.body["legal_moves"], json!(["notes"]), "{what}: {}", problem.body);
        assert!(problem.detail().contains(&format!("`{what}`")), "{}", problem.body);
        assert!(problem.detail().contains("`resolved`"), "{}", problem.body);
    }
    world.done(&case.path("/notes"), json!({ "text": "Paid for." })).await;
    assert_eq!(world.shown(&case.conversation()).await["status"], "resolved");
}

#[tokio::test]
async fn a_conversation_is_handed_back_while_its_case_goes_on() {
    let world = World::delivering().await;
    let case = world.case().await;
    let engineer = world.token("engineer", json!({})).await;
    let path = format!("{}/hand-back", case.conversation());
    let answer = world.ask(&engineer, "POST", &path, Some(json!({})), &[]).await;
    assert_eq!(answer.status, 200, "who works on the case may: {}", answer.body);
    world.engine.settle().await.unwrap();
    let shown = world.shown(&case.conversation()).await;
    assert_eq!((&shown["status"], &shown["case_id"]), (&json!("awaiting_agent"), &json!(case.id)), "{shown}");
    assert_eq!(world.shown(&case.path("")).await["status"], "investigating");
    let again = world.done(&path, json!({})).await;
    assert_eq!(again["version"], world.shown(&case.conversation()).await["version"], "nothing new");

    world.write("m-2", "bob@example.com", "And mine?").await;
    let list = world.shown("/api/v1/conversations").await;
    let bobs = list["items"].as_array().unwrap().iter().find(|row| row["id"] != json!(case.conversation));
    let path = format!("/api/v1/conversations/{}/hand-back", bobs.unwrap()["id"].as_str().unwrap());
    let answer = world.post(&path, json!({})).await;
    let legal = answer.is_problem(409, "illegal-move").body["legal_moves"].clone();
    assert!(legal.as_array().unwrap().contains(&json!("escalate")), "{legal}");
}

#[tokio::test]
async fn a_cases_clock_stands_still_while_it_is_paused() {
    let world = World::delivering().await;
    let case = world.case().await;
    let clock = async || world.shown(&case.path("")).await["sla_clock"].clone();
    let began = json!("2026-11-21T09:00:00.000Z");
    world.pass("1h").await;
    assert_eq!(clock().await, json!({ "started_at": began, "elapsed_seconds": 3600 }));
    world.done(&case.path("/pause"), json!({})).await;
    world.pass("5h").await;
    let paused =
        json!({ "started_at": began, "elapsed_seconds": 3600, "paused_at": "2026-11-21T10:00:00.000Z" });
    assert_eq!(clock().await, paused);
    world.done(&case.path("/pause"), json!({})).await;
    assert_eq!(clock().await, paused, "again is the same");
    world.done(&case.path("/resume"), json!({})).await;
    world.pass("30m").await;
    assert_eq!(clock().await, json!({ "started_at": began, "elapsed_seconds": 5400 }));
    world.done(&case.path("/resolve"), solution()).await;
    world.pass("1h").await;
    assert_eq!(clock().await["elapsed_seconds"], 5400, "it stopped");
}

#[tokio::test]
async fn the_clocks_explained_add_up_to_what_was_spent() {
    let world = World::delivering().await;
    let hours = json!({ "sat": ["10:00-12:00", "13:00-17:00"], "mon": ["09:00-17:00"] });
    let office = json!({ "timezone": "UTC", "hours": hours });
    let patch = json!({
        "calendars": { "office": office },
        "sla": { "tiers": { "standard": { "calendar": "office", "default": { "first_response": "4h" } } } },
    });
    let patched = world.ask(&world.admin, "PATCH", "/api/v1/policy", Some(patch), &[]).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}");
    world.pass("4h30m").await;
    let shown = world.shown(&path).await;
    looks_like::<shown::Sla>(&shown["sla"]);
    let first = &shown["sla"]["first_response"];
    assert_eq!(first["due_at"], "2026-11-21T15:00:00.000Z", "two hours, lunch, and two: {shown}");
    assert_eq!(
        (&first["target_seconds"], &first["remaining_seconds"]),
        (&json!(14_400), &json!(5_400)),
        "{first}"
    );
    assert_eq!(world.post(&format!("{path}/messages"), json!({ "text": "It comes." })).await.status, 201);
    world.engine.settle().await.unwrap();

    let explained = world.shown(&format!("{path}/sla/explain")).await;
    looks_like::<shown::ExplainedClocks>(&explained);
    assert_eq!(explained["now"], "2026-11-21T13:30:00.000Z");
    let clocks = explained["clocks"].as_array().unwrap();
    let first = clocks.iter().find(|clock| clock["clock"] == "first_response").unwrap();
    assert_eq!(first["met_at"], explained["now"], "{first}");
    let intervals = json!([
        { "from": "2026-11-21T10:00:00.000Z", "to": "2026-11-21T12:00:00.000Z" },
        { "from": "2026-11-21T13:00:00.000Z", "to": "2026-11-21T13:30:00.000Z" },
    ]);
    assert_eq!(first["stretches"][0]["intervals"], intervals, "{first}");
    let mut kinds = Vec::new();
    let shown = world.shown(&path).await;
    for clock in clocks {
        let kind = clock["clock"].as_str().unwrap();
        kinds.push(kind);
        let mut counted = 0;
        for stretch in clock["stretches"].as_array().unwrap() {
            assert_eq!(
                (&stretch["calendar"], &stretch["policy_version"]),
                (&json!("office"), &json!(2)),
                "{clock}"
            );
            let intervals = stretch["intervals"].as_array().unwrap();
            let sum: u64 = intervals.iter().map(|one| seconds(&one["from"], &one["to"])).sum();
            assert_eq!(stretch["counted_seconds"], sum, "{stretch}");
            counted += sum;
        }
        // One that is met has no rest; one that runs is explained until it is due.
        let target = clock["target_seconds"].as_u64().unwrap();
        let rest = clock["remaining_seconds"].as_u64().filter(|_| clock["due_at"].is_null());
        let spent = if clock["met_at"].is_string() { 9_000 } else { target - rest.unwrap_or_default() };
        assert_eq!(counted, spent, "spent, or all that it has until it is due: {clock}");
        assert_eq!(clock["due_at"], shown["sla"][kind]["due_at"], "{clock}");
    }
    assert!(kinds.contains(&"first_response") && kinds.contains(&"resolution"), "{kinds:?}");
}

#[tokio::test]
async fn breaches_are_listed_by_when_they_were_and_by_clock() {
    let world = World::delivering().await;
    let id = world.conversation().await;
    world.pass("3h").await;
    let list = world.shown("/api/v1/sla/breaches").await;
    let [breach] = list["items"].as_array().unwrap().as_slice() else { panic!("{list}") };
    looks_like::<shown::Breach>(breach);
    let due = "2026-11-21T11:00:00.000Z";
    assert_eq!((&breach["conversation_id"], &breach["clock"]), (&json!(id), &json!("first_response")));
    assert_eq!((&breach["due_at"], &breach["reason"]), (&json!(due), &json!("late")), "{breach}");
    let dated = breach["breached_at"].as_str().unwrap().to_owned();
    assert!(dated.as_str() >= due && dated.as_str() < "2026-11-21T11:00:01Z", "{breach}");

    for (query, total) in [
        (format!("?from={dated}"), 1),
        (format!("?to={dated}"), 0),
        ("?from=2026-11-21T11:01:00Z".to_owned(), 0),
        ("?from=2026-11-21T10:00:00Z&to=2026-11-21T12:00:00Z&clock=first_response".to_owned(), 1),
        ("?clock=resolution".to_owned(), 0),
    ] {
        let list = world.shown(&format!("/api/v1/sla/breaches{query}")).await;
        assert_eq!(list["total"], total, "{query}: {list}");
    }
    let noon = "2026-11-21T12:00:00Z";
    for (query, field) in [
        (format!("?from={noon}&to={noon}"), "to"),
        (format!("?from={noon}&to=2026-11-21T11:00:00Z"), "to"),
        ("?clock=lunch".to_owned(), "clock"),
    ] {
        let answer = world.get(&format!("/api/v1/sla/breaches{query}")).await;
        assert_eq!(answer.is_problem(422, "invalid").body["field"], field, "{query}: {}", answer.body);
    }
    let answer = world.get("/api/v1/sla/breaches?from=yesterday").await;
    assert!(answer.is_problem(400, "malformed").detail().contains("from"), "{}", answer.body);
}

#[tokio::test]
async fn who_waits_is_listed_apart_from_who_cannot_be_reached() {
    for (world, reachable) in [(World::delivering().await, true), (World::new().await, false)] {
        let id = world.conversation().await;
        world.pass("2h").await;
        let silence = world.shown(&format!("/api/v1/conversations/{id}")).await["silence"].clone();
        looks_like::<shown::Silence>(&silence);
        assert_eq!(silence["reachable"], reachable, "{silence}");
        let due =
            if reachable { json!("2026-11-21T21:00:00.000Z") } else { silence["next_update_due_at"].clone() };
        assert_eq!(silence["next_update_due_at"], due, "{silence}");
        for (query, total) in [
            ("".to_owned(), 1),
            (format!("?reachable={reachable}"), 1),
            (format!("?reachable={}", !reachable), 0),
        ] {
            let list = world.shown(&format!("/api/v1/silence{query}")).await;
            assert_eq!(list["total"], total, "{query}: {list}");
            for row in list["items"].as_array().unwrap() {
                looks_like::<shown::WaitingCustomer>(row);
                assert_eq!(
                    (&row["conversation_id"], &row["reachable"]),
                    (&json!(id), &json!(reachable)),
                    "{row}"
                );
                assert_eq!(row["silent_seconds"], 7200, "{row}");
            }
        }
        let answer = world.get("/api/v1/silence?reachable=perhaps").await;
        assert!(answer.is_problem(400, "malformed").detail().contains("reachable"), "{}", answer.body);

        let resolve = format!("/api/v1/conversations/{id}/resolve");
        world.done(&resolve, json!({ "outcome": "answered" })).await;
        let list = world.shown("/api/v1/silence?reachable=true").await;
        assert_eq!(list["total"], 0, "nobody waits: {list}");
    }
}

#[tokio::test]
async fn whoever_was_answered_no_longer_stands_among_the_silent() {
    let world = World::delivering().await;
    let id = world.conversation().await;
    let listed = async || {
        let list = world.shown("/api/v1/system/silences").await;
        (list["items"].as_array().unwrap().len(), list["total"].clone())
    };
    assert_eq!(listed().await, (1, json!(1)));
    world.done(&format!("/api/v1/conversations/{id}/resolve"), json!({ "outcome": "answered" })).await;
    assert_eq!(listed().await, (0, json!(0)));
}

#[tokio::test]
async fn only_a_persons_message_that_did_not_get_through_is_sent_again() {
    let world = World::delivering().await;
    let id = world.conversation().await;
    let path = format!("/api/v1/conversations/{id}");
    let written = world.post(&format!("{path}/messages"), json!({ "text": "It comes." })).await.body;
    world.engine.settle().await.unwrap();
    let shown = world.shown(&path).await;
    let messages = shown["messages"].as_array().unwrap();
    let id_of = |purpose: Value| {
        messages.iter().find(|one| one["purpose"] == purpose).unwrap_or_else(|| panic!("{shown}"))["id"]
            .clone()
    };
    let acknowledgement = id_of(json!("acknowledgement"));
    let inbound = messages.iter().find(|one| one["direction"] == "inbound").unwrap()["id"].clone();
    for (message, allowed) in [
        (&written["id"], "this one is sent"),
        (&acknowledgement, "a person's message"),
        (&inbound, "a message to the customer"),
        (&json!("0193a5c0-0000-7000-8000-000000000000"), "a message to the customer"),
    ] {
        let again = format!("{path}/messages/{}/send-again", message.as_str().unwrap());
        let answer = world.post(&again, json!({})).await;
        assert_eq!(answer.is_problem(422, "invalid").body["field"], "message_id", "{}", answer.body);
        assert!(answer.detail().contains(allowed), "{allowed}: {}", answer.body);
        let answer = world.post(&again, json!({ "text": "Changed" })).await;
        answer.is_problem(422, "invalid");
    }
    let again = format!("{path}/messages/{}/send-again", written["id"].as_str().unwrap());
    let engineer = world.token("engineer", json!({})).await;
    world.ask(&engineer, "POST", &again, Some(json!({})), &[]).await.is_problem(403, "forbidden");
    let other = world.token("admin", json!({ "tenant": "acme" })).await;
    world.ask(&other, "POST", &again, Some(json!({})), &[]).await.is_problem(404, "not-found");
    world.post(&format!("{path}/messages/nonsense/send-again"), json!({})).await.is_problem(404, "not-found");
    assert_eq!(world.shown(&path).await["messages_total"], shown["messages_total"]);
}
