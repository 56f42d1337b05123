//! What a customer's record can be told. Every command is safe to receive twice.

use serde::{Deserialize, Serialize};

use super::profile::CustomerPatch;
use crate::{ids::CustomerId, message::Address};

/// An order to one customer's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new customer.
    Register {
        /// The customer.
        customer_id: CustomerId,
        /// Where they can be reached; at least one.
        addresses: Vec<Address>,
        /// Their name, where known; a name in `profile` comes after it and wins.
        name: Option<String>,
        /// By what way they became known: a channel, `api`.
        via: String,
        /// Whether the addresses are proven to be theirs.
        verified: bool,
        /// What else is known; [`CustomerPatch::default`] for nothing.
        profile: Box<CustomerPatch>,
    },
    /// One more address of theirs.
    AddIdentity {
        /// The address.
        address: Address,
        /// Whether it is proven to be theirs.
        verified: bool,
    },
    /// Addresses that a signed sender gave beside the one the customer was found by. The signature vouches for them;
    /// those that another customer owns are left out by whoever sends this.
    SeenAddresses {
        /// The addresses.
        addresses: Vec<Address>,
    },
    /// Changes to the profile.
    Update(Box<CustomerPatch>),
}
