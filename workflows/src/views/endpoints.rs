//! The list of endpoints: where events are sent to, without secrets and without the deliveries.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventMeta, View, outside};
use crate::{
    endpoint::{Disabled, Endpoint, Event, Facts, SecretText, State, Target},
    workflow::Workflow,
};

/// The view of endpoints as a list.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints;

/// What a list shows of one endpoint. [`EndpointRow::to_json`] is its outside form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRow {
    state: State,
    /// The version of the endpoint's last change.
    pub version: u64,
}

impl View for Endpoints {
    const NAME: &'static str = "endpoints";
    const REVISION: u16 = 2;

    type Source = Endpoint;
    type Row = EndpointRow;

    fn fold(row: Option<EndpointRow>, event: &Event, meta: &EventMeta<'_>) -> Option<EndpointRow> {
        match event {
            Event::Registered { .. } => {}
            Event::Removed { .. } => return None,
            // Every delivery would write the row again, and none of them shows in it.
            Event::Notified { .. } | Event::Tested { .. } | Event::DeliveryDropped { .. } => return row,
            Event::Delivered { .. } if row.as_ref().is_some_and(|row| !row.is_failing()) => return row,
            Event::Changed { .. }
            | Event::Rotated { .. }
            | Event::Disabled { .. }
            | Event::Enabled { .. }
            | Event::Delivered { .. }
            | Event::DeliveryFailed { .. } => {
                row.as_ref()?;
            }
        }
        let mut state = row.map(|row| row.state).unwrap_or_default();
        Endpoint::evolve(&mut state, &without_secret(event));
        Some(EndpointRow { state, version: meta.version })
    }

    fn order(row: &EndpointRow) -> u64 {
        row.facts().map_or(0, |facts| facts.created_at.as_millis())
    }
}

/// The event as a list may hold it: a list is a copy more of what is in it.
fn without_secret(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event {
        Event::Registered { secret: Some(secret), .. } | Event::Rotated { secret, .. } => {
            *secret = SecretText::new("");
        }
        Event::Registered { secret: None, .. }
        | Event::Changed { .. }
        | Event::Disabled { .. }
        | Event::Enabled { .. }
        | Event::Removed { .. }
        | Event::Notified { .. }
        | Event::Tested { .. }
        | Event::Delivered { .. }
        | Event::DeliveryFailed { .. }
        | Event::DeliveryDropped { .. } => {}
    }
    event
}

impl EndpointRow {
    /// What is known of the endpoint.
    pub fn facts(&self) -> Option<&Facts> {
        self.state.facts()
    }

    /// Whether every delivery that came to an end of late was given up.
    pub fn is_failing(&self) -> bool {
        self.facts().is_some_and(|facts| facts.failing_since.is_some())
    }

    /// The row in its outside form: the names of the model, what is unknown absent, and no secret.
    pub fn to_json(&self) -> Value {
        let Some(facts) = self.facts() else { return json!({}) };
        let (url, mail_to) = match &facts.settings.target {
            Target::Url(url) => (Some(url), None),
            Target::Mail(to) => (None, Some(to)),
        };
        let secrets: Vec<_> = facts
            .secrets
            .iter()
            .map(|secret| json!({ "created_at": secret.made_at, "expires_at": secret.until }))
            .collect();
        outside::compact(&json!({
            "id": facts.id,
            "url": url,
            "mail_to": mail_to,
            "topics": facts.settings.topics,
            "description": facts.settings.description,
            "active": facts.is_active(),
            "disabled_because": facts.disabled.map(Disabled::as_str),
            "configured": facts.configured,
            "failing_since": facts.failing_since,
            "failures": facts.failures,
            "secrets": secrets,
            "created_at": facts.created_at,
            "updated_at": facts.updated_at,
            "version": self.version,
        }))
    }
}
