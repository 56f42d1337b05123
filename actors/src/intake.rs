//! From a durable inbound message to its conversation.
//!
//! The inbox is read in the order in which webhooks became durable and handled in lanes: one lane for each tenant
//! and first address, so that a customer's messages keep their order while customers do not wait for each other.
//! Which customer and which conversation is asked of the claims; the conversation has the last word. Its commit
//! consumes the inbox entry, so a message takes effect once, whoever retries.

mod lanes;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use throughline_storage::{
    append::{Append, DeadLetter, PendingKey},
    codec,
    journal::InboxEntry,
};
use throughline_workflows::{
    conversation::{self, Conversation, CustomerCard, Opening, standing::Standing},
    customer::{self, Customer},
    ids::{ConversationId, CustomerId, TenantId},
    message::{Address, Inbound},
    workflow::{By, Cause, CauseKind, Workflow},
};
use tracing::Instrument;
use uuid::Uuid;

use self::lanes::{Again, Lane, Lanes, Queued, lane_of};
use crate::{
    backoff, dead_letters,
    door::Courtesy,
    order::{Along, AnyCommand, CommandMeta, EntityRef, Order, Refusal, Rejected, panic_text},
    rehydrate,
    runner::Tasks,
    shared::{Rest, Shared},
};

/// How often a message may be passed on within one try to place it.
const HOPS_MAX: u32 = 5;

/// An inbound message as the inbox keeps it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct InboxItem {
    pub(crate) correlation: Uuid,
    /// Put back by an operator, and so out of order.
    pub(crate) retried: bool,
    pub(crate) inbound: Inbound,
}

/// How the handling of one message ended.
enum Handled {
    /// It is where it belongs.
    Placed,
    /// It is for a paused entity. `change` is the change of pauses that was known when it was handed over.
    Parked { number: u64, change: u64 },
}

/// Runs until the engine drains; then waits for the turns that have begun.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut progress = shared.host.journal.progress();
    let mut lanes = Lanes::default();
    let mut working: Tasks<(Lane, Handled)> = shared.host.runner.tasks("intake: a message");
    let mut pauses = shared.host.pauses.changes();
    let (mut reached, mut again, mut courtesy) = (0, None, Courtesy::default());
    // The last change of pauses that was acted upon, and whether parked lanes are to go on.
    let (mut seen, mut unpark) = (shared.host.pauses.change(), false);
    let most = shared.host.options.turns_in_flight;
    // Read ahead a few windows, so that a busy lane does not keep the others from their work; and on once half of that
    // is done, so that not every message costs a search for the next.
    let ahead = most * 4;
    let low = ahead / 2;
    loop {
        let known = progress.borrow_and_update().inbox;
        let mut more = false;
        let change = shared.host.pauses.change();
        unpark |= std::mem::replace(&mut seen, change) != change;
        // What is being read again must be read to its end before it can begin anew.
        if unpark && again.is_none() {
            unpark = false;
            again = lanes.unpark(reached);
        }
        if lanes.held <= low {
            let read = match &mut again {
                Some(part) => read_again(&shared, part, ahead - lanes.held).await,
                None => read(&shared, &mut reached, ahead - lanes.held).await,
            };
            match read {
                Ok((entries, is_more)) => {
                    entries.into_iter().for_each(|queued| lanes.push(queued));
                    // After the part that is read again comes what was not read before.
                    more = is_more || again.is_some();
                    again.take_if(|_| !is_more);
                }
                Err(error) => tracing::error!(%error, "the inbox could not be read"),
            }
        }
        let most_now = courtesy.share(most, &shared.gauges.door, shared.host.runner.now());
        while working.len() < most_now
            && let Some((lane, queued)) = lanes.next()
        {
            let shared = shared.clone();
            working.spawn(async move {
                // The lane must come back whatever happens; a message that panics here is poison like any other.
                match AssertUnwindSafe(handle(&shared, &queued)).catch_unwind().await {
                    Ok(handled) => (lane, handled),
                    Err(panic) => {
                        give_up(&shared, &queued, panic_text(&*panic), 1).await;
                        (lane, Handled::Placed)
                    }
                }
            });
        }
        shared.gauges.intake_waiting(lanes.held);
        let rests = !more && again.is_none() && !unpark && !lanes.parked.is_empty();
        shared.gauges.intake_rests(rests.then_some(Rest { reached, change: seen }));
        let goes_on = more || again.is_some() || unpark;
        tokio::select! {
            biased;
            () = shared.host.draining.cancelled() => break,
            Some(done) = working.join_next() => {
                let mut done = Some(done);
                while let Some(ended) = done {
                    match ended {
                        Ok((lane, Handled::Placed)) => lanes.done(lane),
                        Ok((lane, Handled::Parked { number, change })) => {
                            lanes.park(lane, number);
                            // It may have been resumed before this was known.
                            unpark |= change != shared.host.pauses.change();
                        }
                        Err(error) => tracing::error!(%error, "a lane of the intake ended; its messages go on at the next start"),
                    }
                    done = working.try_join_next();
                }
            }
            _ = progress.wait_for(|progress| progress.inbox > known), if lanes.held <= low => {}
            _ = pauses.changed() => {}
            // There is more to be read at once.
            () = std::future::ready(()), if goes_on && lanes.held <= low => {}
        }
    }
    while working.join_next().await.is_some() {}
}

/// The next entries of the inbox, and whether there may be more. One that cannot be read becomes a dead letter at once.
async fn read(shared: &Shared, reached: &mut u64, most: usize) -> Result<(Vec<Queued>, bool), String> {
    let entries = shared.host.journal.inbox(*reached, most).map_err(|error| error.to_string())?;
    let more = entries.len() == most;
    let mut readable = Vec::with_capacity(entries.len());
    for entry in entries {
        *reached = entry.number;
        match (entry.tenant.parse(), codec::decode(&entry.bytes)) {
            (Ok(tenant), Ok(item)) => readable.push(Queued { number: entry.number, tenant, item }),
            (Err(error), _) => unreadable(shared, entry, error.to_string()).await,
            (_, Err(error)) => unreadable(shared, entry, error.to_string()).await,
        }
    }
    Ok((readable, more))
}

/// The next entries of a part of the inbox that is read again, and whether it has more.
async fn read_again(shared: &Shared, part: &mut Again, most: usize) -> Result<(Vec<Queued>, bool), String> {
    let (mut reached, up_to) = (part.from, part.up_to);
    let (mut entries, more) = read(shared, &mut reached, most).await?;
    let more = more && reached < up_to;
    part.from = reached;
    let lanes = &part.lanes;
    entries.retain(|queued| {
        queued.number <= up_to && lanes.contains(&lane_of(&queued.tenant, &queued.item.inbound))
    });
    Ok((entries, more))
}

async fn unreadable(shared: &Shared, entry: InboxEntry, reason: String) {
    tracing::error!(inbox = entry.number, %reason, "an inbox entry cannot be read");
    let letter = DeadLetter {
        id: shared.host.minter.mint(),
        tenant: entry.tenant,
        at_ms: shared.host.clock.now().as_millis(),
        kind: "inbound".to_owned(),
        stream: None,
        reason,
        attempts: 1,
        payload: entry.bytes,
    };
    bury(shared, entry.number, letter).await;
}

/// Sees one message to a durable end: taken by a conversation, or a dead letter; unless it is for a paused entity.
async fn handle(shared: &Shared, queued: &Queued) -> Handled {
    let inbound = &queued.item.inbound;
    let span = tracing::info_span!(
        "intake", "tenant.id" = %queued.tenant, "message.id" = %inbound.id, channel = %inbound.channel,
        "trace.id" = %queued.item.correlation
    );
    async {
        let mut tries = 0;
        let mut crashes = 0;
        loop {
            let change = shared.host.pauses.change();
            let refusal = match place(shared, queued).await {
                Ok(()) | Err(Refusal::AlreadyDone | Refusal::Draining | Refusal::Failed(_)) => {
                    return Handled::Placed;
                }
                Err(Refusal::Paused) => {
                    tracing::info!("a message waits in the inbox: what it is for is paused");
                    return Handled::Parked { number: queued.number, change };
                }
                Err(refusal) => refusal,
            };
            tries += 1;
            let poison = match &refusal {
                Refusal::Rejected(rejection) => Some(shared.rejection_text(Conversation::KIND, rejection)),
                other => other.poison().map(|(reason, _)| reason),
            };
            if let Some(reason) = poison {
                crashes += 1;
                if crashes >= shared.host.options.crashes_max {
                    give_up(shared, queued, reason, crashes).await;
                    return Handled::Placed;
                }
            }
            tracing::warn!(?refusal, tries, "a message could not be placed and is tried again");
            if !shared.host.hold_off(backoff::hand_over(tries)).await {
                return Handled::Placed;
            }
        }
    }
    .instrument(span)
    .await
}

async fn give_up(shared: &Shared, queued: &Queued, reason: String, attempts: u32) {
    tracing::error!(%reason, attempts, "a message is given up and kept as a dead letter");
    let letter = DeadLetter {
        id: shared.host.minter.mint(),
        tenant: queued.tenant.to_string(),
        at_ms: shared.host.clock.now().as_millis(),
        kind: "inbound".to_owned(),
        stream: None,
        reason: dead_letters::reason(reason),
        attempts,
        payload: codec::encode(&queued.item),
    };
    bury(shared, queued.number, letter).await;
}

async fn bury(shared: &Shared, number: u64, letter: DeadLetter) {
    let append =
        Append { consume: vec![PendingKey::Inbox(number)], dead_letters: vec![letter], ..Append::default() };
    if let Err(error) = shared.commit_essential(append).await {
        tracing::error!(%error, "a dead letter could not be kept; its message stays in the inbox");
    }
}

/// Finds the customer and the conversation, and hands the message over.
async fn place(shared: &Shared, queued: &Queued) -> Result<(), Refusal> {
    let customer = customer_of(shared, queued).await?;
    let current = current_conversation(shared, &queued.tenant, customer)?;
    let mut target = queued.item.inbound.thread.map(|id| id.0).or(current);
    let (mut follow_up_of, mut card) = (None, None);
    for _ in 0..HOPS_MAX {
        let opening = target.is_none().then(|| Opening {
            follow_up_of,
            replaces: current.map(ConversationId),
            standing: None,
        });
        let conversation = target.unwrap_or_else(|| shared.host.minter.mint());
        match hand_over(shared, queued, customer, conversation, opening, card.as_ref()).await {
            Ok(()) => return Ok(()),
            Err(Refusal::Rejected(rejection)) => match rejection.downcast_ref::<conversation::Rejection>() {
                Some(conversation::Rejection::Closed) => {
                    follow_up_of = Some(ConversationId(conversation));
                    target = None;
                }
                // A thread that leads nowhere: the customer's current conversation, or a new one.
                Some(conversation::Rejection::Unknown) => {
                    target = current.filter(|current| *current != conversation);
                }
                // Rare enough to be asked for only then: most messages are of customers whose name is known.
                Some(conversation::Rejection::Nameless) => {
                    card = Some(acquainted(shared, queued, customer).await?.0);
                    target = Some(conversation);
                }
                _ => return Err(Refusal::Rejected(rejection)),
            },
            // Somebody else opened one meanwhile.
            Err(Refusal::Claimed { owner, .. }) => target = Some(owner),
            Err(refusal) => return Err(refusal),
        }
    }
    Err(Refusal::Damaged(format!("passed on {HOPS_MAX} times without finding a conversation")))
}

fn current_conversation(
    shared: &Shared,
    tenant: &TenantId,
    customer: CustomerId,
) -> Result<Option<Uuid>, Refusal> {
    shared.claim_owner(tenant, conversation::CURRENT, &customer.to_string())
}

async fn hand_over(
    shared: &Shared,
    queued: &Queued,
    customer: CustomerId,
    conversation: Uuid,
    opening: Option<Opening>,
    card: Option<&CustomerCard>,
) -> Result<(), Refusal> {
    let inbound = &queued.item.inbound;
    let mut opening = opening;
    let card = match (&mut opening, card) {
        // The acknowledgement greets in the customer's own language, and by name.
        (Some(opening), _) => {
            let (card, standing) = acquainted(shared, queued, customer).await?;
            opening.standing = Some(Box::new(standing));
            card
        }
        (None, Some(card)) => card.clone(),
        (None, None) => CustomerCard { id: customer, name: None, language: None },
    };
    let name = card.name.clone().or_else(|| inbound.name.clone());
    let command = conversation::Command::Receive {
        conversation_id: ConversationId(conversation),
        inbound: Box::new(inbound.clone()),
        customer: card,
        opening,
    };
    let entity = EntityRef::of::<Conversation>(&queued.tenant, conversation);
    let by = By::customer(Some(customer.0), name, inbound.channel.to_string());
    let order = order(queued, Arc::new(command), by, vec![PendingKey::Inbox(queued.number)]);
    shared.registry.deliver(&entity, &order).await.map(|receipt| {
        tracing::info!(
            "conversation.id" = %conversation, "conversation.version" = receipt.version,
            out_of_order = queued.item.retried, "a message is in its conversation"
        );
    })
}

/// The customer that the message's addresses belong to; a new one where they belong to nobody.
///
/// Email before phone before handle chooses. A further address that nobody has becomes this customer's; one that
/// another customer has stays there.
async fn customer_of(shared: &Shared, queued: &Queued) -> Result<CustomerId, Refusal> {
    let inbound = &queued.item.inbound;
    let mut addresses = inbound.from.clone();
    addresses.sort();
    addresses.dedup();
    for _ in 0..HOPS_MAX {
        let mut owner = None;
        let mut free: Vec<Address> = Vec::new();
        for address in &addresses {
            match shared.claim_owner(&queued.tenant, customer::ADDRESS, &address.to_string())? {
                Some(found) => owner = owner.or(Some(found)),
                None => free.push(address.clone()),
            }
        }
        let (id, command) = match owner {
            Some(owner) if free.is_empty() => return Ok(CustomerId(owner)),
            Some(owner) => (owner, customer::Command::SeenAddresses { addresses: free }),
            None => {
                let id = shared.host.minter.mint();
                let command = customer::Command::Register {
                    customer_id: CustomerId(id),
                    addresses: free,
                    name: inbound.name.clone(),
                    via: inbound.channel.to_string(),
                    verified: inbound.vouched,
                    profile: Box::default(),
                };
                (id, command)
            }
        };
        let entity = EntityRef::of::<Customer>(&queued.tenant, id);
        let by = By::customer(None, inbound.name.clone(), inbound.channel.to_string());
        match shared.registry.deliver(&entity, &order(queued, Arc::new(command), by, Vec::new())).await {
            Ok(_) => return Ok(CustomerId(id)),
            // Another lane was faster with one of the addresses: look again.
            Err(Refusal::Claimed { .. }) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Err(Refusal::Busy)
}

/// What a conversation needs to know of its customer, who has the name they now write under if they had none.
async fn acquainted(
    shared: &Shared,
    queued: &Queued,
    customer: CustomerId,
) -> Result<(CustomerCard, Standing), Refusal> {
    let (card, standing) = card_of(shared, &queued.tenant, customer).await?;
    let name = match (&card.name, &queued.item.inbound.name) {
        (None, Some(name)) => name.clone(),
        _ => return Ok((card, standing)),
    };
    let patch = customer::CustomerPatch { name: Some(name.clone()), ..customer::CustomerPatch::default() };
    let command = customer::Command::Update(Box::new(patch));
    let by = By::customer(Some(customer.0), Some(name.clone()), queued.item.inbound.channel.to_string());
    let entity = EntityRef::of::<Customer>(&queued.tenant, customer.0);
    match shared.registry.deliver(&entity, &order(queued, Arc::new(command), by, Vec::new())).await {
        // A name that cannot be one is not worth losing a message over.
        Ok(_) | Err(Refusal::Rejected(_)) => Ok((CustomerCard { name: Some(name), ..card }, standing)),
        Err(refusal) => Err(refusal),
    }
}

/// What a conversation needs to know of its customer, and how they are to be treated.
async fn card_of(
    shared: &Shared,
    tenant: &TenantId,
    customer: CustomerId,
) -> Result<(CustomerCard, Standing), Refusal> {
    let entity = EntityRef::of::<Customer>(tenant, customer.0);
    let journal = shared.host.journal.clone();
    let read = move || rehydrate::load::<Customer>(&journal, &entity, None);
    let live = shared.host.runner.rehydrate(read).await.and_then(|live| live).map_err(Refusal::Damaged)?;
    let facts = live.state.facts();
    let card = CustomerCard {
        id: customer,
        name: facts.and_then(|facts| facts.name.clone()),
        language: facts.and_then(|facts| facts.preferences.language.clone()),
    };
    Ok((card, facts.map(customer::Facts::standing).unwrap_or_default()))
}

fn order(queued: &Queued, command: AnyCommand, by: By, consume: Vec<PendingKey>) -> Order {
    Order {
        command,
        meta: CommandMeta {
            by,
            cause: Cause { kind: CauseKind::Webhook, id: queued.item.inbound.id.to_string() },
            correlation: queued.item.correlation,
            idempotency: None,
        },
        consume,
        along: Along::default(),
        firing: None,
        rejected: Rejected::Keeps,
        yields: true,
    }
}
