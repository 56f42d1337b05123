//! Customers, agents, teams and tokens.

#![expect(dead_code, reason = "read by the document, and by tests that hold answers against it")]

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Time;

/// A customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Customer {
    /// The customer.
    id: Uuid,
    /// Where they can be reached.
    identity: Identity,
    /// Who they are.
    profile: Profile,
    /// What their contract promises.
    sla_tier: String,
    /// Tags.
    tags: Vec<String>,
    /// How they like to be written to.
    preferences: Preferences,
    /// What they last said of being written to, by channel. One that is not named may be used.
    consent: HashMap<String, Consent>,
    /// When they became known.
    created_at: Time,
    /// When the record last changed.
    updated_at: Time,
    /// The version that is shown.
    version: u64,
}

/// A customer's addresses.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Identity {
    /// Mail addresses.
    emails: Vec<Email>,
    /// Telephone numbers.
    phone_numbers: Vec<Phone>,
    /// Names within channels.
    social_ids: Vec<Social>,
}

/// A mail address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Email {
    /// The address.
    address: String,
    /// When it was proven to be theirs.
    verified_at: Option<Time>,
    /// By what way it became known.
    source: String,
}

/// A telephone number.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Phone {
    /// The number in E.164.
    number: String,
    /// When it was proven to be theirs.
    verified_at: Option<Time>,
    /// By what way it became known.
    source: String,
}

/// A name within a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Social {
    /// The channel.
    channel: Option<String>,
    /// The name.
    handle: String,
    /// When it was proven to be theirs.
    verified_at: Option<Time>,
    /// By what way it became known.
    source: String,
}

/// Who a customer is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CustomerProfile)]
pub(in crate::http) struct Profile {
    /// Their name.
    name: Option<String>,
    /// Their company.
    company: Option<String>,
    /// What other systems say of them.
    metadata: HashMap<String, Value>,
}

/// How a customer likes to be written to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Preferences {
    /// By which channel.
    channel: Option<String>,
    /// In which language.
    language: Option<String>,
    /// In which time zone they live.
    timezone: Option<String>,
    /// When they do not want to be written to, every day by the clocks of that zone.
    quiet_hours: Option<String>,
}

/// What a customer last said of being written to by a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Consent {
    /// `granted` or `denied`.
    state: String,
    /// Since when.
    at: Time,
    /// How it is known, for example `api` or `stop keyword`.
    source: String,
}

/// An agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Agent {
    /// The agent.
    id: Uuid,
    /// The name that customers see.
    name: String,
    /// Where the agent gets mail.
    email: Option<String>,
    /// What the agent may do.
    role: String,
    /// What the agent can do.
    skills: Vec<Skill>,
    /// The teams the agent belongs to.
    team_ids: Vec<Uuid>,
    /// `available`, `busy`, `away` or `offline`.
    status: String,
    /// The most conversations at once.
    capacity: u32,
    /// Whether the agent works with us.
    active: bool,
    /// When the agent joined.
    created_at: Time,
    /// When the record last changed.
    updated_at: Time,
    /// The version that is shown.
    version: u64,
}

/// Something an agent can do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Skill {
    /// Its name.
    name: String,
    /// How well, from 1 to 5.
    level: u8,
}

/// A team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Team {
    /// The team.
    id: Uuid,
    /// Its name.
    name: String,
    /// The team it is part of.
    parent_id: Option<Uuid>,
    /// Its agents.
    members: Vec<Uuid>,
    /// What its agents can do.
    skills: Vec<String>,
    /// When the team was formed.
    created_at: Time,
    /// When the record last changed.
    updated_at: Time,
    /// The version that is shown.
    version: u64,
}

/// A token, without its secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Token {
    /// Its id.
    id: Uuid,
    /// Whose data it opens.
    tenant: String,
    /// What its bearer may do.
    role: String,
    /// `token`, or `operator` for one that opens the whole server.
    kind: String,
    /// Its name.
    name: String,
    /// The agent who bears it.
    agent_id: Option<Uuid>,
    /// From when on it opens nothing.
    expires_at: Option<Time>,
    /// When it was revoked.
    revoked_at: Option<Time>,
    /// When it was made.
    created_at: Time,
    /// The version that is shown.
    version: u64,
}

/// An endpoint, without its secrets.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Endpoint {
    /// Its id.
    id: Uuid,
    /// Where events are posted to.
    url: Option<String>,
    /// The mailbox that is told in words.
    mail_to: Option<String>,
    /// Which events; all of them where none is named.
    topics: Vec<String>,
    /// What it is for.
    description: Option<String>,
    /// Whether it is sent anything.
    active: bool,
    /// Why it is not: `asked`, or `gone` where it answered 410.
    disabled_because: Option<String>,
    /// Whether the server's configuration made it.
    configured: bool,
    /// Since when every delivery that came to an end was given up.
    failing_since: Option<Time>,
    /// How many were.
    failures: u32,
    /// Its secrets, newest first, without their text.
    secrets: Vec<EndpointSecret>,
    /// When it was registered.
    created_at: Time,
    /// When it last changed.
    updated_at: Time,
    /// The version of its last change.
    version: u64,
}

/// A secret, without its text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndpointSecret {
    /// When it was made.
    created_at: Time,
    /// When it signs no more, where a newer one has taken its place.
    expires_at: Option<Time>,
}

/// One event on its way to an endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndpointDelivery {
    /// The message's id, `webhook-id` of the request, the same on every try.
    id: String,
    /// The event's topic.
    topic: String,
    /// The event's `seq`.
    seq: Option<u64>,
    /// `pending`, `delivered`, `failed` or `dropped`.
    status: String,
    /// Tries that were made.
    attempts: Option<u32>,
    /// The status of the last answer, or what else went wrong in a word.
    error_code: Option<String>,
    /// What the last try said.
    last_error: Option<String>,
    /// When it is tried next.
    next_try_at: Option<Time>,
    /// When it was asked for.
    at: Time,
    /// When it was accepted, given up or dropped.
    settled_at: Option<Time>,
}
