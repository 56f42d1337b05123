//! The list of customers, and a customer's page: a row holds all that the record says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{EventMeta, View, outside};
use crate::{
    customer::{Customer, Event, Facts, Identity, State},
    message::AddressKind,
    time::Timestamp,
    workflow::Workflow,
};

/// The view of customers as a list.
#[derive(Clone, Copy, Debug)]
pub struct Customers;

/// What a list shows of one customer. [`CustomerRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRow {
    /// The record as its workflow knows it. A change of its shape is a change of this view's revision.
    pub state: State,
    /// When the customer became known.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// The version that the row shows.
    pub version: u64,
}

/// Which customers are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Holds this text, in any case, in name, company, an address or a tag.
    pub q: Option<String>,
}

impl View for Customers {
    const NAME: &'static str = "customers";
    const REVISION: u16 = 3;

    type Source = Customer;
    type Row = CustomerRow;

    fn fold(row: Option<CustomerRow>, event: &Event, meta: &EventMeta<'_>) -> Option<CustomerRow> {
        let at = event.at();
        let mut row = row.unwrap_or_else(|| CustomerRow {
            state: State::default(),
            created_at: at,
            updated_at: at,
            version: 0,
        });
        Customer::evolve(&mut row.state, event);
        row.updated_at = at;
        row.version = meta.version;
        Some(row)
    }

    fn order(row: &CustomerRow) -> u64 {
        row.updated_at.as_millis()
    }
}

impl CustomerRow {
    /// The row in its outside form: the names of the model, what is unknown absent.
    pub fn to_json(&self) -> Value {
        let mut customer = self.state.facts().map(customer_json).unwrap_or_default();
        customer.insert("created_at".to_owned(), json!(self.created_at));
        customer.insert("updated_at".to_owned(), json!(self.updated_at));
        customer.insert("version".to_owned(), json!(self.version));
        Value::Object(customer)
    }
}

impl Filter {
    /// Whether the row is wanted.
    pub fn matches(&self, row: &CustomerRow) -> bool {
        let Some(q) = &self.q else { return true };
        row.state.facts().is_some_and(|facts| {
            let names = [facts.name.as_deref(), facts.company.as_deref()].into_iter().flatten();
            let addresses = facts.identities.iter().map(|identity| identity.address.value.as_str());
            outside::found(
                &q.to_lowercase(),
                names.chain(addresses).chain(facts.tags.iter().map(String::as_str)),
            )
        })
    }
}

fn customer_json(facts: &Facts) -> Map<String, Value> {
    let of_kind = |kind, show: fn(&Identity) -> Value| {
        let identities = facts.identities.iter().filter(|identity| identity.address.kind == kind);
        identities.map(show).collect::<Vec<_>>()
    };
    let mut customer = outside::object(&json!({
        "id": facts.id,
        "identity": {
            "emails": of_kind(AddressKind::Email, |it| identity_json(it, "address")),
            "phone_numbers": of_kind(AddressKind::Phone, |it| identity_json(it, "number")),
            "social_ids": of_kind(AddressKind::Handle, social_json),
        },
        "profile": { "name": facts.name, "company": facts.company },
        "sla_tier": facts.sla_tier,
        "tags": facts.tags,
        "preferences": facts.preferences,
        "consent": facts.consent,
    }));
    // Put in last: a null of the customer's own means something to whoever wrote it.
    let metadata = outside::parsed_object(&facts.metadata).unwrap_or_else(|| json!({}));
    if let Some(Value::Object(profile)) = customer.get_mut("profile") {
        profile.insert("metadata".to_owned(), metadata);
    }
    customer
}

fn identity_json(identity: &Identity, name: &str) -> Value {
    json!({
        name: identity.address.value,
        "verified_at": identity.verified_at,
        "source": identity.source,
    })
}

fn social_json(identity: &Identity) -> Value {
    let (channel, handle) = match identity.address.as_handle() {
        Some((channel, handle)) => (Some(channel), handle),
        None => (None, identity.address.value.as_str()),
    };
    json!({
        "channel": channel,
        "handle": handle,
        "verified_at": identity.verified_at,
        "source": identity.source,
    })
}
