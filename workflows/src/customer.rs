//! A customer: one person, however many addresses they write from.
//!
//! An address belongs to one customer only; the claim `address`, taken in the commit that records it, makes it so.
//!
//! | command | state | events (and what else) |
//! |---|---|---|
//! | `Register` | none | `Registered`, `ProfileChanged` where the profile says something; takes every `address` |
//! | | the same addresses are here | nothing |
//! | | any | refused: exists |
//! | `AddIdentity` | new address | `IdentityAdded`; takes `address` |
//! | | known, and now verified | `IdentityVerified` |
//! | | a hundred addresses known | refused |
//! | `SeenAddresses` | new ones among them, up to a hundred | `IdentityAdded` for each; takes each `address` |
//! | `Update` | differs | `ProfileChanged` |
//!
//! Every command but `Register` is refused as unknown before the customer is registered.
//!
//! Whenever an event changes the customer's [`Standing`](crate::conversation::standing::Standing) (tier, time zone,
//! quiet hours, preferred channel, consent, addresses), the activity `TellConversations` is asked for with it. One that
//! has been overtaken by a newer standing is no longer wanted.

pub mod command;
pub mod consent;
pub mod event;
pub mod profile;
pub mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use consent::{Consent, ConsentChange, ConsentState};
pub use event::Event;
pub use profile::{CustomerPatch, Preferences};
pub use state::{Facts, Identity, State};

pub use crate::record::Rejection;
use serde::Deserializer;

use crate::{
    activity::CustomerActivity,
    message::Address,
    text::non_empty,
    topic::Topic,
    workflow::{ActivityError, Claim, Context, Deadlines, Decision, EventType, NoDeadline, Workflow},
};

/// The most addresses a customer can have: the whole customer must fit a row of a list.
const IDENTITIES_MAX: usize = 100;

/// The unique key: an address, in its text form, belongs to one customer.
pub const ADDRESS: &str = "address";

/// The workflow of one customer.
#[derive(Clone, Copy, Debug)]
pub struct Customer;

impl Workflow for Customer {
    const KIND: &'static str = "customer";
    const STATE_REVISION: u32 = 2;
    const DEADLINES_REVISION: u32 = 1;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type Activity = CustomerActivity;
    type Deadline = NoDeadline;

    fn decide(state: &State, command: Command, cx: &Context<'_>) -> Result<Decision<Self>, Rejection> {
        let Some(facts) = state.facts() else { return first(command, cx) };
        let decision = go_on(facts, command, cx)?;
        Ok(tell_conversations(state, facts, decision))
    }

    fn evolve(state: &mut State, event: &Event) {
        state.evolve(event);
    }

    fn deadlines(_state: &State) -> Deadlines<NoDeadline> {
        Deadlines::new()
    }

    fn deadline_passed(deadline: NoDeadline) -> Command {
        match deadline {}
    }

    fn activity_failed(activity: &CustomerActivity, _error: &ActivityError) -> Option<Command> {
        match activity {
            // A dead letter tells a person; the record can do nothing about it.
            CustomerActivity::TellConversations { .. } => None,
        }
    }

    fn still_wanted(state: &State, activity: &CustomerActivity) -> bool {
        let CustomerActivity::TellConversations { standing } = activity;
        state.facts().is_none_or(|facts| facts.standing() == **standing)
    }

    fn lane(activity: &CustomerActivity) -> Option<String> {
        match activity {
            CustomerActivity::TellConversations { .. } => Some("standing".to_owned()),
        }
    }

    fn decode_event<'de, D: Deserializer<'de>>(
        name: &str,
        version: u16,
        deserializer: D,
    ) -> Result<Event, D::Error> {
        Event::decode(name, version, deserializer)
    }

    fn event_type(event: &Event) -> EventType {
        event.event_type()
    }

    fn topic(_event: &Event) -> Option<&'static str> {
        Some(Topic::CustomerUpdated.as_str())
    }
}

/// What a command makes of a customer who is not registered.
fn first(command: Command, cx: &Context<'_>) -> Result<Decision<Customer>, Rejection> {
    match command {
        Command::Register { customer_id, addresses, name, via, verified, profile } => {
            if addresses.is_empty() {
                return Err(Rejection::invalid("identity", "at least one address"));
            }
            let profile = profile.checked()?;
            let once = each_once(addresses);
            let claims = once.iter().map(claim).collect();
            let name = name.as_deref().and_then(non_empty);
            let registered =
                Event::Registered { at: cx.now, id: customer_id, addresses: once, name, via, verified };
            let mut state = State::default();
            state.evolve(&registered);
            let change = state.facts().map_or(Ok(None), |facts| profile.against(facts))?;
            let mut decision = Decision::event(registered)
                .and_all(change.map(|change| Event::ProfileChanged { at: cx.now, change: Box::new(change) }));
            decision.claims = claims;
            Ok(decision)
        }
        Command::AddIdentity { .. } | Command::SeenAddresses { .. } | Command::Update(_) => {
            Err(Rejection::Unknown { kind: Customer::KIND })
        }
    }
}

/// What a command makes of a customer who is registered.
fn go_on(facts: &Facts, command: Command, cx: &Context<'_>) -> Result<Decision<Customer>, Rejection> {
    match command {
        Command::Register { customer_id, addresses, .. } => {
            let same = facts.id == customer_id && addresses.iter().all(|address| facts.has(address));
            if same { Ok(Decision::nothing()) } else { Err(Rejection::Exists { kind: Customer::KIND }) }
        }
        Command::AddIdentity { address, verified } => {
            if !facts.has(&address) && facts.identities.len() >= IDENTITIES_MAX {
                let allowed = format!("one of at most {IDENTITIES_MAX} addresses of a customer");
                return Err(Rejection::invalid("address", allowed));
            }
            Ok(add_identity(facts, address, verified, cx))
        }
        // What a channel gives along is not worth refusing a message over: beyond the limit it is left out.
        Command::SeenAddresses { addresses } => Ok(each_once(addresses)
            .into_iter()
            .filter(|address| !facts.has(address))
            .take(IDENTITIES_MAX.saturating_sub(facts.identities.len()))
            .fold(Decision::nothing(), |decision, address| identity_added(decision, address, true, cx))),
        Command::Update(patch) => update(facts, &patch, cx),
    }
}

/// The decision, which also tells the customer's conversations if it changes how they are to treat the customer.
fn tell_conversations(state: &State, facts: &Facts, decision: Decision<Customer>) -> Decision<Customer> {
    if decision.events.is_empty() {
        return decision;
    }
    let mut after = state.clone();
    decision.events.iter().for_each(|event| after.evolve(event));
    match after.facts().map(Facts::standing).filter(|standing| *standing != facts.standing()) {
        Some(standing) => {
            decision.activity(CustomerActivity::TellConversations { standing: Box::new(standing) })
        }
        None => decision,
    }
}

fn add_identity(facts: &Facts, address: Address, verified: bool, cx: &Context<'_>) -> Decision<Customer> {
    match facts.identity(&address) {
        None => identity_added(Decision::nothing(), address, verified, cx),
        Some(known) if verified && known.verified_at.is_none() => {
            Decision::event(Event::IdentityVerified { at: cx.now, address })
        }
        Some(_) => Decision::nothing(),
    }
}

fn identity_added(
    decision: Decision<Customer>,
    address: Address,
    verified: bool,
    cx: &Context<'_>,
) -> Decision<Customer> {
    let claim = claim(&address);
    let via = cx.by.via.clone().unwrap_or_else(|| "engine".to_owned());
    decision.and(Event::IdentityAdded { at: cx.now, address, via, verified }).claim(claim)
}

fn update(facts: &Facts, patch: &CustomerPatch, cx: &Context<'_>) -> Result<Decision<Customer>, Rejection> {
    let change = patch.checked()?.against(facts)?;
    Ok(Decision::nothing()
        .and_all(change.map(|change| Event::ProfileChanged { at: cx.now, change: Box::new(change) })))
}

/// The addresses without repetition, in their order.
fn each_once(addresses: Vec<Address>) -> Vec<Address> {
    let mut once = Vec::new();
    for address in addresses {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

fn claim(address: &Address) -> Claim {
    Claim::take(ADDRESS, address.to_string())
}
