//! Tells endpoints of events: reads the feed from a durable checkpoint and gives each active endpoint the events that
//! it wants.
//!
//! One order holds the events of a stretch of the feed; the endpoint takes those newer than the last it was told of,
//! and its commit holds the messages to send. The checkpoint moves after that, so a crash in between tells the same
//! events again, which changes nothing. Where no endpoint of a tenant is active, its records are not even read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use throughline_storage::{
    append::{Append, RowChange},
    codec,
    journal::{FeedEntry, FeedGroup},
    keys,
};
use throughline_workflows::{
    endpoint::{Command, Endpoint, Facts, Notice},
    ids::TenantId,
    topic::Topic,
    workflow::{By, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use crate::{
    backoff,
    order::{Along, CommandMeta, EntityRef, Order, Refusal, Rejected},
    outside::{OutsideEvent, born_at, entries, events_of},
    rehydrate,
    shared::Shared,
};

/// Feed groups read in one go.
const GROUPS_MAX: usize = 256;

/// The most bytes of events that one order holds: with what surrounds them they must fit into one record.
const ORDER_BYTES_MAX: usize = 24 * 1024;

/// The largest event that is told whole.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// While nobody is told of anything the checkpoint is written only so often, in events: after a restart so many are
/// passed over again.
const CHECKPOINT_EVERY: u64 = 10_000;

/// Endpoints that are told at once.
const TELLING_MAX: usize = 64;

/// Before what could not be read is read again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Whether there are endpoints in this engine.
pub(crate) fn is_registered(shared: &Shared) -> bool {
    shared.kinds.contains_key(Endpoint::KIND)
}

/// Runs until the engine drains.
pub(crate) async fn run(shared: Arc<Shared>) {
    if !is_registered(&shared) {
        return shared.host.draining.cancelled().await;
    }
    let mut progress = shared.host.journal.progress();
    let mut relay = None;
    loop {
        // Where something fails, it begins again from the checkpoint: told twice is told once.
        match step(&shared, relay.take()).await {
            Ok(Step::Moved(moved)) => relay = Some(moved),
            Ok(Step::AtRest(rests)) => {
                let reached = rests.reached;
                relay = Some(rests);
                tokio::select! {
                    () = shared.host.draining.cancelled() => {}
                    _ = progress.wait_for(|progress| progress.seq > reached) => {}
                }
            }
            Ok(Step::Draining) => {}
            Err(error) => {
                tracing::error!(%error, "endpoints could not be told of events; tried again");
                tokio::select! {
                    () = shared.host.draining.cancelled() => {}
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        }
        if shared.host.draining.is_cancelled() {
            return;
        }
    }
}

/// What one step came to.
enum Step {
    /// There may be more.
    Moved(Relay),
    /// Everything durable has been told.
    AtRest(Relay),
    /// The engine drains; what was not told is told at the next start.
    Draining,
}

/// Begins, or tells of one stretch of the feed.
async fn step(shared: &Arc<Shared>, relay: Option<Relay>) -> Result<Step, String> {
    let reading = shared.clone();
    let read = move || match relay {
        None => Relay::resume(&reading).map(|relay| (relay, Some(Stretch::default()))),
        Some(mut relay) => relay.read(&reading).map(|stretch| (relay, stretch)),
    };
    let (mut relay, stretch) =
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())??;
    let Some(stretch) = stretch else { return Ok(Step::AtRest(relay)) };
    let told = !stretch.orders.is_empty();
    // Endpoints do not wait for each other; each is told in order.
    let telling = stretch.orders.into_iter().map(|(entity, orders)| async move {
        for notices in orders {
            if !tell(shared, &entity, notices).await {
                return false;
            }
        }
        true
    });
    let all: Vec<bool> = futures::stream::iter(telling).buffer_unordered(TELLING_MAX).collect().await;
    if all.contains(&false) {
        return Ok(Step::Draining);
    }
    relay.reached = relay.reached.max(stretch.last_seq);
    if told || relay.reached - relay.kept >= CHECKPOINT_EVERY {
        let rows = vec![RowChange { key: checkpoint_key(), value: Some(codec::encode(&relay.reached)) }];
        let append = Append { rows, ..Append::default() };
        shared.commit_patiently(append).await.map_err(|error| error.to_string())?;
        relay.kept = relay.reached;
    }
    shared.gauges.relayed_up_to(relay.reached);
    Ok(Step::Moved(relay))
}

/// What a stretch of the feed holds for endpoints.
#[derive(Default)]
struct Stretch {
    last_seq: u64,
    orders: Orders,
}

/// Who is told what, in orders that fit into a record.
type Orders = BTreeMap<EntityRef, Vec<Vec<Notice>>>;

/// An endpoint that is sent events.
struct Known {
    /// Events before its registration are none of its business.
    since: u64,
    topics: Vec<Topic>,
}

/// How far endpoints have been told, and which there are.
struct Relay {
    reached: u64,
    kept: u64,
    /// The active ones.
    endpoints: HashMap<String, HashMap<Uuid, Known>>,
}

impl Relay {
    /// From the checkpoint on, knowing every endpoint there is.
    fn resume(shared: &Shared) -> Result<Self, String> {
        let journal = &shared.host.journal;
        let kept = match journal.row(&checkpoint_key()).map_err(|error| error.to_string())? {
            Some(kept) => codec::decode::<u64>(&kept).map_err(|error| error.to_string())?,
            None => 0,
        };
        // Whoever is registered after this is found in the feed after it.
        let head = journal.head().seq;
        let mut relay = Self { reached: kept, kept, endpoints: HashMap::new() };
        for tenant in shared.host.policies.keys() {
            let mut after = None;
            loop {
                let page = journal.streams(tenant.as_str(), Endpoint::KIND, after, 256);
                let page = page.map_err(|error| error.to_string())?;
                let Some(last) = page.last().copied() else { break };
                after = Some(last);
                for id in page {
                    relay.look_at(shared, tenant, id)?;
                }
            }
        }
        // What happened before the first of them was registered is nobody's business.
        let since = relay.endpoints.values().flat_map(HashMap::values).map(|known| known.since).min();
        let from = since.map_or(head, |since| since.saturating_sub(1).min(head));
        relay.reached = kept.max(from);
        Ok(relay)
    }

    /// The next stretch of the feed; none where everything durable has been read.
    fn read(&mut self, shared: &Shared) -> Result<Option<Stretch>, String> {
        let journal = &shared.host.journal;
        let groups = journal.feed(self.reached, GROUPS_MAX).map_err(|error| error.to_string())?;
        let Some(last_seq) = groups.last().map(|group| group.last_seq) else { return Ok(None) };
        // Before the events beside it: whoever is registered in this stretch is told of what comes after.
        let changed: HashSet<_> = groups
            .iter()
            .flat_map(|group| &group.entries)
            .filter(|entry| entry.stream.kind == Endpoint::KIND && changes(shared, entry))
            .map(|entry| &entry.stream)
            .collect();
        for stream in changed {
            if let Ok(tenant) = stream.tenant.parse::<TenantId>() {
                self.look_at(shared, &tenant, stream.entity)?;
            }
        }
        let orders = if self.endpoints.is_empty() {
            Orders::new()
        } else {
            self.orders(self.collect(shared, &groups, self.reached))
        };
        Ok(Some(Stretch { last_seq, orders }))
    }

    /// Learns how an endpoint stands now.
    fn look_at(&mut self, shared: &Shared, tenant: &TenantId, id: Uuid) -> Result<(), String> {
        let journal = &shared.host.journal;
        let entity = EntityRef::of::<Endpoint>(tenant, id);
        let live = rehydrate::load::<Endpoint>(journal, &entity, None)?;
        let active = live.state.facts().filter(|facts| facts.is_active());
        let since = born_at(journal, &entity.stream())?;
        match (active, since) {
            (Some(Facts { settings, .. }), Some(since)) => {
                let known = Known { since, topics: settings.topics.clone() };
                self.endpoints.entry(tenant.to_string()).or_default().insert(id, known);
            }
            _ => {
                if let Some(of_tenant) = self.endpoints.get_mut(tenant.as_str()) {
                    of_tenant.remove(&id);
                    if of_tenant.is_empty() {
                        self.endpoints.remove(tenant.as_str());
                    }
                }
            }
        }
        Ok(())
    }

    /// The events of these groups that some endpoint wants, each with the id under which it is told.
    fn collect(&self, shared: &Shared, groups: &[FeedGroup], after: u64) -> Vec<(OutsideEvent, String)> {
        let mut wanted = Vec::new();
        for (first_seq, entry) in groups.iter().flat_map(entries) {
            if first_seq + u64::from(entry.events) <= after + 1 || entry.stream.kind == Endpoint::KIND {
                continue;
            }
            let Some(endpoints) = self.endpoints.get(entry.stream.tenant.as_str()) else { continue };
            let any = |topic: &str| {
                topic.parse::<Topic>().is_ok_and(|topic| endpoints.values().any(|known| known.wants(topic)))
            };
            let events = events_of(shared, entry, first_seq, after + 1, &any);
            wanted.extend(events.into_iter().map(|event| {
                let id = message_id(entry, event.index);
                (event, id)
            }));
        }
        wanted
    }

    /// Who is told what.
    fn orders(&self, events: Vec<(OutsideEvent, String)>) -> Orders {
        let mut orders = Orders::new();
        let mut bytes: HashMap<Uuid, usize> = HashMap::new();
        for (event, id) in events {
            let endpoints = self.endpoints.get(event.tenant.as_str());
            let (Some(endpoints), Ok(topic)) = (endpoints, event.topic.parse::<Topic>()) else { continue };
            let body = text_of(&event);
            for (endpoint, known) in endpoints {
                if !known.wants(topic) || event.seq < known.since {
                    continue;
                }
                let held = bytes.entry(*endpoint).or_default();
                let own = orders.entry(EntityRef::of::<Endpoint>(&event.tenant, *endpoint)).or_default();
                if own.is_empty() || *held + body.len() > ORDER_BYTES_MAX {
                    own.push(Vec::new());
                    *held = 0;
                }
                *held += body.len();
                if let Some(notices) = own.last_mut() {
                    notices.push(Notice { id: id.clone(), seq: event.seq, topic, body: body.clone() });
                }
            }
        }
        orders
    }
}

impl Known {
    fn wants(&self, topic: Topic) -> bool {
        self.topics.is_empty() || self.topics.contains(&topic)
    }
}

/// Whether a record of an endpoint changes what it is told. Its deliveries, which are most of them, do not. One that
/// cannot be read is taken for a change.
fn changes(shared: &Shared, entry: &FeedEntry) -> bool {
    const DELIVERIES: [&str; 5] = ["notified", "tested", "delivered", "delivery_failed", "delivery_dropped"];
    let record = shared.host.journal.record(&entry.stream, entry.version).ok().flatten();
    let events = record.and_then(|stored| stored.decode().ok()).map(|record| record.events);
    events.is_none_or(|events| events.iter().any(|event| !DELIVERIES.contains(&event.name.as_str())))
}

/// The id of the message that tells of an event: from its record's hash, so that no other event, of this store or of
/// one restored from a copy, ever has the same.
fn message_id(entry: &FeedEntry, index: u32) -> String {
    let hash: String = entry.hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("evt_{hash}_{index}")
}

/// The event as text; one that is too long is told without its details, which can be read where it happened.
fn text_of(event: &OutsideEvent) -> String {
    let text = event.body.to_string();
    if text.len() <= EVENT_BYTES_MAX {
        return text;
    }
    let mut body = event.body.clone();
    if let Some(details) = body.get_mut("details") {
        *details = serde_json::json!({ "left_out": format!("{} bytes", text.len()) });
    }
    body.to_string()
}

fn checkpoint_key() -> Vec<u8> {
    keys::setting("relay")
}

/// Tells one endpoint; returns false where the engine drains before it has been told.
async fn tell(shared: &Shared, entity: &EntityRef, notices: Vec<Notice>) -> bool {
    let cause = match (notices.first(), notices.last()) {
        (Some(first), Some(last)) if first.seq < last.seq => format!("events/{}-{}", first.seq, last.seq),
        (Some(first), _) => format!("events/{}", first.seq),
        (None, _) => return true,
    };
    let order = Order {
        command: Arc::new(Command::Notify { notices }),
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Automation, id: cause },
            correlation: shared.host.minter.mint(),
            idempotency: None,
        },
        consume: Vec::new(),
        along: Along::default(),
        firing: None,
        rejected: Rejected::Keeps,
    };
    let (mut tries, mut crashes) = (0, 0);
    loop {
        let refusal = match shared.registry.deliver(entity, &order).await {
            Ok(_) => return true,
            Err(Refusal::Draining | Refusal::Failed(_)) => return false,
            Err(Refusal::Rejected(rejection)) => {
                let rejection = shared.rejection_text(entity.kind, &rejection);
                tracing::warn!("entity.id" = %entity.id, %rejection, "an endpoint would not be told of events");
                return true;
            }
            Err(refusal) => refusal,
        };
        tries += 1;
        if let Some((reason, version)) = refusal.poison() {
            crashes += 1;
            if crashes >= shared.host.options.crashes_max {
                tracing::error!("entity.id" = %entity.id, %reason, "an endpoint cannot be told of events, which are kept as a dead letter");
                return shared.bury_command(entity, version, &order, reason).await.is_some();
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff::hand_over(tries)) => {}
            () = shared.host.draining.cancelled() => return false,
        }
    }
}
