//! Tells endpoints of events: reads the feed from a durable checkpoint and gives each active endpoint the events that
//! it wants.
//!
//! One order holds the events of a stretch of the feed; the endpoint takes those newer than the last it was told of,
//! and its commit holds the messages to send. The checkpoint moves after that, so a crash in between tells the same
//! events again, which changes nothing. Where no endpoint of a tenant is active, its records are not even read.
//!
//! An endpoint that does not take what it is sent has only so many messages open; from then on it lags, which means
//! that it is told from the feed, from where it is, as fast as it takes them. The others do not notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use futures::StreamExt;
use throughline_storage::{
    append::{Append, RowChange},
    codec,
    journal::{FeedEntry, FeedGroup},
    keys,
};
use throughline_workflows::{
    endpoint::{Command, Endpoint, Facts, Notice, state::OPEN_MAX},
    ids::TenantId,
    topic::Topic,
    workflow::{By, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use crate::{
    backoff,
    engine::Engine,
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
                    biased;
                    () = shared.host.draining.cancelled() => {}
                    _ = progress.wait_for(|progress| progress.seq > reached) => {}
                }
            }
            Ok(Step::Draining) => {}
            Err(error) => {
                tracing::error!(%error, "endpoints could not be told of events; tried again");
                shared.host.hold_off(RETRY_PAUSE).await;
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
        None => Relay::resume(&reading).map(|relay| {
            let last_seq = relay.reached;
            (relay, Some(Stretch { last_seq, telling: Telling::new() }))
        }),
        Some(mut relay) => relay.read(&reading).map(|stretch| (relay, stretch)),
    };
    let (mut relay, stretch) = shared.host.runner.read(read).await??;
    let Some(stretch) = stretch else { return Ok(Step::AtRest(relay)) };
    let told = !stretch.telling.is_empty();
    // Endpoints do not wait for each other; each is told in order.
    let telling = stretch.telling.into_iter().map(|(entity, told)| async move {
        let at = tell_all(shared, &entity, told).await;
        (entity, at)
    });
    let all: Vec<_> = futures::stream::iter(telling).buffer_unordered(TELLING_MAX).collect().await;
    relay.reached = stretch.last_seq;
    for (entity, at) in all {
        let Some(at) = at? else { return Ok(Step::Draining) };
        relay.stands_at(&entity, at);
    }
    if told || relay.reached - relay.kept >= CHECKPOINT_EVERY {
        let rows = vec![RowChange { key: checkpoint_key(), value: Some(codec::encode(&relay.checkpoint())) }];
        let append = Append { rows, ..Append::default() };
        shared.commit_essential(append).await.map_err(|error| error.to_string())?;
        relay.kept = relay.reached;
    }
    shared.gauges.relayed_up_to(relay.reached);
    Ok(Step::Moved(relay))
}

/// What a stretch of the feed holds for endpoints.
struct Stretch {
    last_seq: u64,
    telling: Telling,
}

/// Who is told what.
type Telling = BTreeMap<EntityRef, Told>;

/// What one endpoint is told, in orders that fit into a record, and where it then stands.
#[derive(Default)]
struct Told {
    orders: Vec<Vec<Notice>>,
    bytes: usize,
    /// Where it stood before.
    from: u64,
    up_to: u64,
}

impl Told {
    fn add(&mut self, id: String, topic: Topic, event: &OutsideEvent) {
        let body = text_of(event);
        if self.orders.is_empty() || self.bytes + body.len() > ORDER_BYTES_MAX {
            self.orders.push(Vec::new());
            self.bytes = 0;
        }
        self.bytes += body.len();
        if let Some(notices) = self.orders.last_mut() {
            notices.push(Notice { id, seq: event.seq, topic, body });
        }
    }
}

/// How far the relay is: the feed, and the endpoints that lag, each with the `seq` up to which it was told.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Checkpoint {
    reached: u64,
    lagging: Vec<(String, Uuid, u64)>,
}

/// An endpoint that is sent events.
struct Known {
    /// Events before its registration are none of its business.
    since: u64,
    topics: Vec<Topic>,
    /// Up to where it was told, where that is less than the others were.
    lags_at: Option<u64>,
}

/// How far endpoints have been told, and which there are.
struct Relay {
    reached: u64,
    kept: u64,
    /// The active ones.
    endpoints: BTreeMap<String, BTreeMap<Uuid, Known>>,
}

impl Relay {
    /// From the checkpoint on, knowing every endpoint there is.
    fn resume(shared: &Shared) -> Result<Self, String> {
        let journal = &shared.host.journal;
        let kept = match journal.row(&checkpoint_key()).map_err(|error| error.to_string())? {
            Some(kept) => codec::decode::<Checkpoint>(&kept).map_err(|error| error.to_string())?,
            None => Checkpoint::default(),
        };
        // Whoever is registered after this is found in the feed after it.
        let head = journal.head().seq;
        let mut relay = Self { reached: kept.reached, kept: kept.reached, endpoints: BTreeMap::new() };
        for tenant in shared.host.tenants.names() {
            let mut after = None;
            loop {
                let page = journal.streams(tenant.as_str(), Endpoint::KIND, after, 256);
                let page = page.map_err(|error| error.to_string())?;
                let Some(last) = page.last().copied() else { break };
                after = Some(last);
                for id in page {
                    relay.look_at(shared, &tenant, id)?;
                }
            }
        }
        // What happened before the first of them was registered is nobody's business.
        let since = relay.endpoints.values().flat_map(BTreeMap::values).map(|known| known.since).min();
        let from = since.map_or(head, |since| since.saturating_sub(1).min(head));
        relay.reached = kept.reached.max(from);
        for (tenant, id, at) in kept.lagging {
            if let Some(known) = relay.known(&tenant, id) {
                known.lags_at = Some(at);
            }
        }
        Ok(relay)
    }

    fn checkpoint(&self) -> Checkpoint {
        let lagging = self.endpoints.iter().flat_map(|(tenant, endpoints)| {
            endpoints.iter().filter_map(move |(id, known)| Some((tenant.clone(), *id, known.lags_at?)))
        });
        Checkpoint { reached: self.reached, lagging: lagging.collect() }
    }

    fn known(&mut self, tenant: &str, id: Uuid) -> Option<&mut Known> {
        self.endpoints.get_mut(tenant)?.get_mut(&id)
    }

    /// An endpoint has been told up to `at`.
    fn stands_at(&mut self, entity: &EntityRef, at: u64) {
        let reached = self.reached;
        if let Some(known) = self.known(entity.tenant.as_str(), entity.id) {
            if known.lags_at.is_none() && at < reached {
                tracing::warn!("entity.id" = %entity.id, "an endpoint does not take what it is sent and lags behind");
            }
            known.lags_at = (at < reached).then_some(at);
        }
    }

    /// The next stretch of the feed, and what those who lag can take; none where there is neither.
    fn read(&mut self, shared: &Shared) -> Result<Option<Stretch>, String> {
        let journal = &shared.host.journal;
        let groups = journal.feed(self.reached, GROUPS_MAX).map_err(|error| error.to_string())?;
        let last_seq = groups.last().map_or(self.reached, |group| group.last_seq);
        // Before the events beside it: whoever is registered in this stretch is told of what comes after.
        let changed: BTreeSet<_> = groups
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
        let mut telling = Telling::new();
        if !self.endpoints.is_empty() {
            self.in_step(shared, &groups, last_seq, &mut telling);
            self.lagging(shared, last_seq, &mut telling)?;
        }
        let idle = groups.is_empty() && telling.is_empty();
        Ok((!idle).then_some(Stretch { last_seq, telling }))
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
                let lags_at = self.known(tenant.as_str(), id).and_then(|known| known.lags_at);
                let known = Known { since, topics: settings.topics.clone(), lags_at };
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

    /// What these groups hold for those who do not lag.
    fn in_step(&self, shared: &Shared, groups: &[FeedGroup], last_seq: u64, telling: &mut Telling) {
        for (first_seq, entry) in groups.iter().flat_map(entries) {
            let Some(endpoints) = self.endpoints.get(entry.stream.tenant.as_str()) else { continue };
            let in_step = || endpoints.iter().filter(|(_, known)| known.lags_at.is_none());
            let wanted =
                |topic: &str| topic.parse().is_ok_and(|topic| in_step().any(|(_, known)| known.wants(topic)));
            for (event, topic) in told_of(shared, entry, first_seq, self.reached, &wanted) {
                for (id, _) in in_step().filter(|(_, known)| known.wants(topic) && event.seq >= known.since) {
                    let told = telling.entry(EntityRef::of::<Endpoint>(&event.tenant, *id)).or_default();
                    told.add(message_id(entry, event.index), topic, &event);
                    (told.from, told.up_to) = (self.reached, last_seq);
                }
            }
        }
    }

    /// What those who lag missed, as far as they have room for it.
    fn lagging(&self, shared: &Shared, last_seq: u64, telling: &mut Telling) -> Result<(), String> {
        for (tenant, endpoints) in &self.endpoints {
            let Ok(tenant) = tenant.parse::<TenantId>() else { continue };
            for (id, known) in endpoints {
                let Some(at) = known.lags_at else { continue };
                let entity = EntityRef::of::<Endpoint>(&tenant, *id);
                let live = rehydrate::load::<Endpoint>(&shared.host.journal, &entity, None)?;
                let room = live.state.facts().map_or(0, Facts::room);
                // A few at a time would be a commit for each.
                if room >= OPEN_MAX / 2 {
                    telling.insert(entity, missed(shared, &tenant, known, at, last_seq, room)?);
                }
            }
        }
        Ok(())
    }
}

/// What an endpoint that was told up to `at` is told next: at most `room` events, from a bounded stretch of the feed.
fn missed(
    shared: &Shared,
    tenant: &TenantId,
    known: &Known,
    at: u64,
    last_seq: u64,
    room: usize,
) -> Result<Told, String> {
    let groups = shared.host.journal.feed(at, GROUPS_MAX).map_err(|error| error.to_string())?;
    let mut told = Told { from: at, up_to: at, ..Told::default() };
    let mut count = 0;
    for (first_seq, entry) in groups.iter().flat_map(entries).take_while(|(first, _)| *first <= last_seq) {
        if entry.stream.tenant == tenant.as_str() {
            let wanted = |topic: &str| topic.parse().is_ok_and(|topic| known.wants(topic));
            for (event, topic) in told_of(shared, entry, first_seq, at, &wanted) {
                if event.seq < known.since {
                    continue;
                }
                if count == room {
                    return Ok(told);
                }
                told.add(message_id(entry, event.index), topic, &event);
                told.up_to = event.seq;
                count += 1;
            }
        }
        told.up_to = told.up_to.max(first_seq + u64::from(entry.events) - 1);
    }
    Ok(told)
}

/// The events of an entry after `after` that are wanted. What endpoints did themselves is told to none.
fn told_of(
    shared: &Shared,
    entry: &FeedEntry,
    first_seq: u64,
    after: u64,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(OutsideEvent, Topic)> {
    if first_seq + u64::from(entry.events) <= after + 1 || entry.stream.kind == Endpoint::KIND {
        return Vec::new();
    }
    let events = events_of(shared, entry, first_seq, after + 1, wanted);
    events.into_iter().filter_map(|event| event.topic.parse().ok().map(|topic| (event, topic))).collect()
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
    format!("evt_{}_{index}", HEXLOWER.encode(&entry.hash[..12]))
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

/// Tells one endpoint all that is for it; returns where it then stands, none where the engine drains before that.
async fn tell_all(shared: &Arc<Shared>, entity: &EntityRef, told: Told) -> Result<Option<u64>, String> {
    for notices in told.orders {
        let Some(last) = notices.last().map(|notice| notice.seq) else { continue };
        if !tell(shared, entity, notices).await {
            return Ok(None);
        }
        // It may have had room for some of them only. What follows must not be told before the rest.
        let engine = Engine { shared: shared.clone() };
        let state = engine.state::<Endpoint>(&entity.tenant, entity.id).await?;
        let active = state.as_ref().and_then(|(state, _)| state.facts()).filter(|facts| facts.is_active());
        if let Some(facts) = active.filter(|facts| facts.notified_seq < last) {
            return Ok(Some(facts.notified_seq.max(told.from)));
        }
    }
    Ok(Some(told.up_to))
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
        yields: false,
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
        if !shared.host.hold_off(backoff::hand_over(tries)).await {
            return false;
        }
    }
}
