//! Endpoints are told of what they want, once, whatever dies in between.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use throughline_actors::{
    engine::Engine,
    performer::{Attempt, NoPerformer, Outcome, Performer},
    testing::{World, meta},
};
use throughline_storage::{
    keys,
    store::{Batch, Store},
};
use throughline_workflows::{
    customer::{self, Customer, CustomerPatch},
    endpoint::{
        Command, DeliveryStatus, Endpoint, EndpointActivity, Facts, Report, SecretText, Settings, Target,
        state::OPEN_MAX,
    },
    ids::{CustomerId, EndpointId, TenantId},
    message::Address,
    operation::Operation,
    time::Span,
    topic::Topic,
    workflow::ActivityError,
};
use uuid::Uuid;

/// The other side: keeps what it was sent, and answers as it was told to.
#[derive(Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<(Uuid, String, serde_json::Value)>>>,
    answers: Arc<Mutex<VecDeque<Outcome<Command>>>>,
    down: Arc<AtomicBool>,
}

impl Receiver {
    fn refuses(&self, times: usize) {
        let error = ActivityError { code: Some("500".to_owned()), message: "broken".to_owned() };
        let refusal = Outcome::Retry { after: None, error };
        self.answers.lock().unwrap().extend(std::iter::repeat_n(refusal, times));
    }

    /// The ids of the messages that reached an endpoint, in order, those of repeated tries too.
    fn ids(&self, endpoint: Uuid) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(to, ..)| *to == endpoint).map(|(_, id, _)| id.clone()).collect()
    }

    fn bodies(&self, endpoint: Uuid) -> Vec<serde_json::Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(to, ..)| *to == endpoint).map(|(.., body)| body.clone()).collect()
    }
}

impl Performer<Endpoint> for Receiver {
    async fn perform(&self, activity: EndpointActivity, attempt: Attempt) -> Outcome<Command> {
        let EndpointActivity::Post { id, body } = activity else { panic!("a post") };
        let body = serde_json::from_str(&body).unwrap();
        if self.down.load(Ordering::SeqCst) {
            let error = ActivityError { code: Some("connection".to_owned()), message: "refused".to_owned() };
            return Outcome::Retry { after: None, error };
        }
        self.heard.lock().unwrap().push((attempt.entity, id.clone(), body));
        let accepted = Report::Accepted { attempts: attempt.number };
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Outcome::Done(Some(Command::RecordDelivery { id, report: accepted })))
    }
}

async fn start(world: &World, receiver: &Receiver) -> Engine {
    let receiver = receiver.clone();
    world
        .start(|builder| {
            builder
                .workflow::<Endpoint>(receiver)
                .workflow::<Customer>(NoPerformer)
                .workflow::<Operation>(NoPerformer)
        })
        .await
}

async fn register(engine: &Engine, tenant: &TenantId, topics: &[Topic]) -> Uuid {
    let id = engine.mint();
    let settings = Settings {
        target: Target::Url("https://example.com/hooks".to_owned()),
        topics: topics.to_vec(),
        description: None,
    };
    let command = Command::Register {
        endpoint_id: EndpointId(id),
        settings: Box::new(settings),
        secret: Some(SecretText::new("whsec_c2VjcmV0")),
        configured: false,
    };
    engine.send::<Endpoint>(tenant, id, command, meta(engine)).await.unwrap();
    id
}

/// A customer becomes known: one event of the topic `customer.updated`.
async fn happen(engine: &Engine, tenant: &TenantId) -> Uuid {
    let id = engine.mint();
    let command = customer::Command::Register {
        customer_id: CustomerId(id),
        addresses: vec![Address::email(&format!("{id}@example.com"))],
        name: None,
        via: "api".to_owned(),
        verified: false,
        profile: Box::new(CustomerPatch::default()),
    };
    engine.send::<Customer>(tenant, id, command, meta(engine)).await.unwrap();
    id
}

async fn facts(engine: &Engine, id: Uuid) -> Facts {
    let state = engine.state::<Endpoint>(&World::tenant(), id).await.unwrap().unwrap().0;
    state.facts().unwrap().clone()
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_happens_after_it_was_registered_and_is_wanted() {
    let world = World::new();
    let receiver = Receiver::default();
    let engine = start(&world, &receiver).await;
    let tenant = World::tenant();
    happen(&engine, &tenant).await;
    let all = register(&engine, &tenant, &[]).await;
    let customers = register(&engine, &tenant, &[Topic::CustomerUpdated]).await;
    let breaches = register(&engine, &tenant, &[Topic::SlaBreached]).await;
    let known = happen(&engine, &tenant).await;
    engine.settle().await.unwrap();
    for endpoint in [all, customers] {
        let bodies = receiver.bodies(endpoint);
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(bodies[0]["type"], "customer.updated");
        assert_eq!(bodies[0]["data"]["customer_id"], serde_json::json!(known));
        assert_eq!(facts(&engine, endpoint).await.deliveries[0].status, DeliveryStatus::Delivered);
    }
    assert!(receiver.ids(breaches).is_empty());
    assert_eq!(receiver.ids(all), receiver.ids(customers), "a message's id is its event's");
}

#[tokio::test]
async fn a_crash_between_the_telling_and_the_checkpoint_tells_nobody_twice() {
    let world = World::new();
    let receiver = Receiver::default();
    let engine = start(&world, &receiver).await;
    let tenant = World::tenant();
    let endpoint = register(&engine, &tenant, &[]).await;
    for _ in 0..5 {
        happen(&engine, &tenant).await;
    }
    engine.settle().await.unwrap();
    let (told, history) =
        (receiver.ids(endpoint), engine.history(&tenant, "endpoint", endpoint).await.unwrap().len());
    assert_eq!(told.len(), 5);

    // The endpoint's commits are durable and the checkpoint is as if it had never been written.
    let world = world.after_power_cut();
    let mut batch = Batch::default();
    batch.remove(keys::setting("relay"));
    world.store.commit(batch).unwrap();
    let engine = start(&world, &receiver).await;
    engine.settle().await.unwrap();
    assert_eq!(receiver.ids(endpoint), told);
    assert_eq!(engine.history(&tenant, "endpoint", endpoint).await.unwrap().len(), history);
    happen(&engine, &tenant).await;
    engine.settle().await.unwrap();
    assert_eq!(receiver.ids(endpoint).len(), 6);
}

#[tokio::test]
async fn what_happens_while_nobody_runs_the_relay_is_told_at_the_next_start() {
    let world = World::new();
    let receiver = Receiver::default();
    let engine = start(&world, &receiver).await;
    let tenant = World::tenant();
    let endpoint = register(&engine, &tenant, &[]).await;
    engine.settle().await.unwrap();
    let world = world.after_power_cut();
    // Another program on the same folder, without endpoints: nobody relays.
    let alone = world.start(|builder| builder.workflow::<Customer>(NoPerformer)).await;
    for _ in 0..3 {
        happen(&alone, &tenant).await;
    }
    let world = world.after_power_cut();
    let engine = start(&world, &receiver).await;
    engine.settle().await.unwrap();
    assert_eq!(receiver.ids(endpoint).len(), 3);
}

#[tokio::test]
async fn nobody_is_told_of_another_tenants_events() {
    let world = World::new();
    let receiver = Receiver::default();
    let engine = start(&world, &receiver).await;
    let acme: TenantId = "acme".parse().unwrap();
    let ours = register(&engine, &World::tenant(), &[]).await;
    let theirs = register(&engine, &acme, &[]).await;
    let known = happen(&engine, &acme).await;
    engine.settle().await.unwrap();
    assert!(receiver.ids(ours).is_empty());
    assert_eq!(receiver.bodies(theirs)[0]["data"]["customer_id"], serde_json::json!(known));
    let window = engine.outside(Some(World::tenant()), 0, 100, |_| true).await.unwrap();
    assert_eq!((window.events.len(), window.reached), (0, engine.last_seq()));
}

#[tokio::test]
async fn after_the_last_try_it_is_a_dead_letter_and_the_endpoint_is_known_to_fail() {
    let mut world = World::new();
    world.options.attempts_max = 3;
    let receiver = Receiver::default();
    receiver.refuses(3);
    let engine = start(&world, &receiver).await;
    let tenant = World::tenant();
    let endpoint = register(&engine, &tenant, &[]).await;
    happen(&engine, &tenant).await;
    engine.settle().await.unwrap();
    let pending = engine.pending::<Endpoint>(&tenant, endpoint).await.unwrap();
    assert_eq!((pending.len(), pending[0].0.attempts), (1, 1));
    assert_eq!(pending[0].1.id(), receiver.ids(endpoint)[0]);

    engine.advance(Span::from_mins(5)).await.unwrap();
    let failing = facts(&engine, endpoint).await;
    assert_eq!((failing.failures, failing.deliveries[0].status), (1, DeliveryStatus::Failed));
    assert!(failing.failing_since.is_some());
    let tries = receiver.ids(endpoint);
    assert!(tries.len() == 3 && tries.iter().all(|id| *id == tries[0]), "one id over all tries: {tries:?}");

    let letters = engine.dead_letters(Some(&tenant)).unwrap();
    assert_eq!((letters.len(), letters[0].attempts), (1, 3));
    let reason = "it is up again".to_owned();
    engine.retry_dead_letter(Some(&tenant), letters[0].id, None, reason, meta(&engine)).await.unwrap();
    engine.settle().await.unwrap();
    let mended = facts(&engine, endpoint).await;
    assert_eq!((mended.failing_since, mended.deliveries[0].status), (None, DeliveryStatus::Delivered));
}

#[tokio::test]
async fn many_events_reach_an_endpoint_each_once_and_in_their_order() {
    let world = World::new();
    let receiver = Receiver::default();
    let engine = start(&world, &receiver).await;
    let tenant = World::tenant();
    let endpoint = register(&engine, &tenant, &[]).await;
    let all: Vec<_> = (0..300).map(|_| happen(&engine, &tenant)).collect();
    futures::future::join_all(all).await;
    engine.settle().await.unwrap();
    let mut seqs: Vec<u64> =
        receiver.bodies(endpoint).iter().map(|body| body["data"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs.len(), 300);
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 300);
    let noticed: Vec<_> = facts(&engine, endpoint).await.deliveries.iter().map(|one| one.seq).collect();
    assert!(noticed.is_sorted(), "told in the order in which they happened: {noticed:?}");
}

#[tokio::test]
async fn an_endpoint_that_was_down_is_told_of_all_it_missed_and_the_others_do_not_wait() {
    let world = World::new();
    let (receiver, tenant) = (Receiver::default(), World::tenant());
    let engine = start(&world, &receiver).await;
    let endpoint = register(&engine, &tenant, &[]).await;
    receiver.down.store(true, Ordering::SeqCst);
    futures::future::join_all((0..150).map(|_| happen(&engine, &tenant))).await;
    engine.settle().await.unwrap();
    let open = engine.pending::<Endpoint>(&tenant, endpoint).await.unwrap();
    assert_eq!(open.len(), OPEN_MAX, "the rest waits in the feed");

    // A power cut in the midst of it, and more happens; an endpoint that is registered now hears of that at once.
    let world = world.after_power_cut();
    let engine = start(&world, &receiver).await;
    receiver.down.store(false, Ordering::SeqCst);
    let other = register(&engine, &tenant, &[]).await;
    futures::future::join_all((0..50).map(|_| happen(&engine, &tenant))).await;
    engine.settle().await.unwrap();
    assert_eq!(receiver.ids(other).len(), 50);
    engine.advance(Span::from_mins(20)).await.unwrap();
    let mut ids = receiver.ids(endpoint);
    assert_eq!(ids.len(), 200);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200, "each once");
    assert!(engine.dead_letters(None).unwrap().is_empty());
    // And it is in step again.
    happen(&engine, &tenant).await;
    engine.settle().await.unwrap();
    assert_eq!(receiver.ids(endpoint).len(), 201);
}
