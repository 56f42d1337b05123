//! A tier's target changed while ten thousand conversations run.

use std::collections::BTreeMap;

use futures::StreamExt as _;

use throughline_workflows::{
    calendar::Calendar,
    conversation::Facts,
    sla::Clock as SlaClock,
    views::{breaches::Breaches, silence::Waiting},
};

use super::*;

/// Conversations that run when the target changes.
const RUNNING: usize = 10_000;

/// Webhooks at once.
const AT_ONCE: usize = 64;

/// The most that come while the change is on its way.
const MEANWHILE_MAX: usize = 200;

impl World {
    /// Messages of customers who write for the first time.
    async fn all_write(&self, numbers: std::ops::Range<usize>) {
        let writing = futures::stream::iter(numbers).map(|number| self.takes(number));
        writing.buffer_unordered(AT_ONCE).collect::<()>().await;
        self.engine.settle().await.unwrap();
    }

    /// That a first message is answered as durable.
    async fn takes(&self, number: usize) {
        let from = json!({ "email": format!("{number}@example.com") });
        let body = json!({ "id": number.to_string(), "from": from, "text": "Where is it?" });
        let answer = self.ask("", "POST", "/api/webhooks/generic/web", Some(body), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    async fn first_responses(&self) -> Vec<(uuid::Uuid, SlaClock)> {
        let tenant = TenantId::default_tenant();
        let page = self.engine.views().page::<Waiting>(&tenant, 0, usize::MAX, |_| true).await.unwrap();
        let clock = |facts: &Facts| (facts.id.0, facts.clocks.first_response.clone().unwrap());
        page.items.iter().filter_map(|row| row.facts().map(clock)).collect()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_target_reaches_ten_thousand_conversations_while_webhooks_are_answered() {
    let world = World::delivering().await;
    world.all_write(0..RUNNING / 2).await;
    world.engine.advance(Span::from_mins(70)).await.unwrap();
    world.all_write(RUNNING / 2..RUNNING).await;
    world.engine.advance(Span::from_mins(10)).await.unwrap();
    let (early, late, change) =
        (at("2026-11-21T09:00:00Z"), at("2026-11-21T10:10:00Z"), at("2026-11-21T10:20:00Z"));
    let before: BTreeMap<_, _> = world.first_responses().await.into_iter().collect();
    assert_eq!(before.len(), RUNNING);
    for clock in before.values() {
        assert_eq!((clock.policy, clock.due_at), (1, Some(clock.started_at + Span::from_hours(2))));
    }
    // The change goes through them in the order of their ids.
    let last = *before.keys().max().unwrap();

    let patch = json!({ "sla": { "tiers": { "standard": { "default": { "first_response": "1h" } } } } });
    let answer = world.ask(&world.admin, "PATCH", "/api/v1/policy", Some(patch), &[]).await;
    assert_eq!((answer.status.as_u16(), &answer.body["version"]), (200, &json!(2)), "{}", answer.body);
    let mut meanwhile = 0;
    while meanwhile < MEANWHILE_MAX {
        world.takes(RUNNING + meanwhile).await;
        let (state, _) =
            world.engine.state::<Conversation>(&TenantId::default_tenant(), last).await.unwrap().unwrap();
        if state.facts().unwrap().clocks.policy == 2 {
            break;
        }
        meanwhile += 1;
    }
    assert!(meanwhile > 0, "no webhook was answered before the last conversation was reached");
    world.engine.settle().await.unwrap();
    // What falls due at a moment is late after it.
    world.engine.advance(Span::from_mins(1)).await.unwrap();

    let clocks = world.first_responses().await;
    assert!(clocks.len() > RUNNING, "{}", clocks.len());
    let mut of_each = BTreeMap::<Timestamp, usize>::new();
    for (id, clock) in &clocks {
        *of_each.entry(clock.started_at).or_default() += 1;
        assert_eq!((clock.policy, clock.target), (2, Span::from_hours(1)), "{clock:?}");
        let due_at = change.max(clock.started_at + Span::from_hours(1));
        assert_eq!(clock.due_at, Some(due_at), "nothing falls due before the change: {clock:?}");
        let Some(before) = before.get(id) else {
            assert_eq!(clock.started_at, change, "{clock:?}");
            continue;
        };
        assert_eq!(clock.started_at, before.started_at);
        let spent = clock.spent_by(change, Calendar::around_the_clock());
        assert_eq!(spent, change.since(before.started_at), "what was spent is kept: {clock:?}");
        let breached = (clock.started_at == early).then_some(change);
        assert_eq!(clock.breached_at, breached, "not back-dated: {clock:?}");
    }
    assert_eq!((of_each[&early], of_each[&late]), (RUNNING / 2, RUNNING / 2));
    let tenant = TenantId::default_tenant();
    let breaches = world.engine.views().page::<Breaches>(&tenant, 0, usize::MAX, |_| true).await.unwrap();
    let all: Vec<_> = breaches.items.iter().flat_map(|row| row.between(None, None)).collect();
    assert_eq!(all.len(), RUNNING / 2, "one each");
    for breach in all {
        assert_eq!((breach.due_at, breach.breached_at), (change, change), "{breach:?}");
        assert!(breach.detected_at > change, "{breach:?}");
    }
}
