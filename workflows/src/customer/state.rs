//! What a customer's record must remember to decide. It is also what a list and a page show of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    consent::{Consent, ConsentChange, ConsentState},
    event::Event,
    profile::{CustomerPatch, Preferences, applied},
};
use crate::{
    conversation::standing::Standing,
    ids::CustomerId,
    message::{Address, Channel},
    time::Timestamp,
    words::SlaTier,
};

/// A customer's state; nothing before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Option<Box<Facts>>);

/// What is known of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Their id.
    pub id: CustomerId,
    /// Their addresses, in the order they became known.
    pub identities: Vec<Identity>,
    /// Their name.
    pub name: Option<String>,
    /// Their company.
    pub company: Option<String>,
    /// What other systems say of them: a JSON object as text, empty for none.
    pub metadata: String,
    /// What their contract promises.
    pub sla_tier: SlaTier,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// How they like to be written to.
    pub preferences: Preferences,
    /// What they last said of being written to, by channel.
    pub consent: BTreeMap<Channel, Consent>,
}

/// An address and how it became known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The address.
    pub address: Address,
    /// When it was proven to be theirs.
    pub verified_at: Option<Timestamp>,
    /// By what way it became known.
    pub source: String,
}

impl State {
    /// What is known; none before the first event.
    pub fn facts(&self) -> Option<&Facts> {
        self.0.as_deref()
    }

    /// Records one event.
    pub(crate) fn evolve(&mut self, event: &Event) {
        match (event, &mut self.0) {
            (Event::Registered { at, id, addresses, name, via, verified }, state) => {
                let proven = verified.then_some(*at);
                let identities =
                    addresses.iter().map(|address| Identity::new(address, proven, via)).collect();
                *state = Some(Box::new(Facts {
                    id: *id,
                    identities,
                    name: name.clone(),
                    company: None,
                    metadata: String::new(),
                    sla_tier: SlaTier::Standard,
                    tags: BTreeSet::new(),
                    preferences: Preferences::default(),
                    consent: BTreeMap::new(),
                }));
            }
            (Event::IdentityAdded { at, address, via, verified }, Some(facts)) => {
                facts.identities.push(Identity::new(address, verified.then_some(*at), via));
            }
            (Event::IdentityVerified { at, address }, Some(facts)) => facts.verify(address, *at),
            (Event::ProfileChanged { at, change }, Some(facts)) => facts.change(change, *at),
            (
                Event::IdentityAdded { .. } | Event::IdentityVerified { .. } | Event::ProfileChanged { .. },
                None,
            ) => {}
        }
    }
}

impl Identity {
    fn new(address: &Address, verified_at: Option<Timestamp>, source: &str) -> Self {
        Self { address: address.clone(), verified_at, source: source.to_owned() }
    }
}

impl Facts {
    /// How their conversations are to treat them.
    pub fn standing(&self) -> Standing {
        let mut addresses: Vec<Address> =
            self.identities.iter().map(|identity| identity.address.clone()).collect();
        addresses.sort();
        Standing {
            tier: self.sla_tier,
            timezone: self.preferences.timezone.clone(),
            quiet_hours: self.preferences.quiet_hours.clone(),
            preferred: self.preferences.channel.clone(),
            denied: self.denied(),
            addresses,
        }
    }

    fn denied(&self) -> BTreeSet<Channel> {
        let denied = self.consent.iter().filter(|(_, consent)| consent.state == ConsentState::Denied);
        denied.map(|(channel, _)| channel.clone()).collect()
    }

    /// What is known of an address; none if it is not theirs.
    pub fn identity(&self, address: &Address) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.address == *address)
    }

    /// Whether the address is theirs.
    pub fn has(&self, address: &Address) -> bool {
        self.identity(address).is_some()
    }

    fn verify(&mut self, address: &Address, at: Timestamp) {
        for identity in self.identities.iter_mut().filter(|identity| identity.address == *address) {
            identity.verified_at = Some(at);
        }
    }

    fn change(&mut self, change: &CustomerPatch, at: Timestamp) {
        applied(&mut self.name, change.name.as_deref());
        applied(&mut self.company, change.company.as_deref());
        if let Some(metadata) = &change.metadata {
            self.metadata.clone_from(metadata);
        }
        if let Some(tier) = change.sla_tier {
            self.sla_tier = tier;
        }
        self.tags.retain(|tag| !change.tags_remove.contains(tag));
        self.tags.extend(change.tags_add.iter().cloned());
        if let Some(channel) = &change.channel {
            self.preferences.channel.clone_from(channel);
        }
        applied(&mut self.preferences.language, change.language.as_deref());
        applied(&mut self.preferences.timezone, change.timezone.as_deref());
        if let Some(quiet) = &change.quiet_hours {
            // What is no range takes the hours away, as an empty text does.
            self.preferences.quiet_hours = quiet.parse().ok();
        }
        for (channel, ConsentChange { state, source }) in &change.consent {
            let consent = Consent { state: *state, at, source: source.clone() };
            self.consent.insert(channel.clone(), consent);
        }
    }
}
