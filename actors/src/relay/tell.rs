//! Telling one endpoint: orders that fit into a record, handed over until they are durable.

use std::sync::Arc;

use throughline_workflows::{
    endpoint::{Command, Endpoint, Notice},
    topic::Topic,
    workflow::{By, Cause, CauseKind},
};

use crate::{
    backoff,
    engine::Engine,
    order::{Along, CommandMeta, EntityRef, Order, Refusal, Rejected},
    outside::OutsideEvent,
    shared::Shared,
};

/// The most bytes of events that one order holds: with what surrounds them they must fit into one record.
const ORDER_BYTES_MAX: usize = 24 * 1024;

/// The largest event that is told whole.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// What one endpoint is told, in orders that fit into a record, and where it then stands.
#[derive(Default)]
pub(super) struct Told {
    orders: Vec<Vec<Notice>>,
    bytes: usize,
    /// Where it stood before.
    pub(super) from: u64,
    /// Where it stands after.
    pub(super) up_to: u64,
}

impl Told {
    pub(super) fn add(&mut self, id: String, topic: Topic, event: &OutsideEvent) {
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

/// Tells one endpoint all that is for it; returns where it then stands, none where the engine drains before that.
pub(super) async fn tell_all(
    shared: &Arc<Shared>,
    entity: &EntityRef,
    told: Told,
) -> Result<Option<u64>, String> {
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
