//! A tenant's settings as one checked value.
//!
//! The edge makes it from configuration; decisions read it from their context.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Everything a tenant may set that decisions look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The name customers know the tenant by, for machine messages.
    pub name: String,
    /// A customer's message within this span of the resolution reopens; later it starts a new conversation.
    pub reopen_window: Span,
    /// Whether a new conversation is acknowledged at once.
    pub acknowledge: bool,
    /// Words by language, then by template name.
    pub templates: BTreeMap<String, BTreeMap<String, String>>,
    /// The language of customers who stated none.
    pub language: String,
}

impl Default for Policy {
    fn default() -> Self {
        let acknowledgement = "Thank you, {customer}. We have your message and a person will answer.";
        let english = BTreeMap::from([("acknowledgement".to_owned(), acknowledgement.to_owned())]);
        Self {
            name: "Customer care".to_owned(),
            reopen_window: Span::from_hours(7 * 24),
            acknowledge: true,
            templates: BTreeMap::from([("en".to_owned(), english)]),
            language: "en".to_owned(),
        }
    }
}
