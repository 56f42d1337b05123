//! Customers: found or added by address, with profile and tier.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use throughline_workflows::{
    customer::{Command, ConsentChange, Customer, CustomerPatch},
    ids::CustomerId,
    message::{Address, AddressKind, Channel},
    role::Action,
    views::{
        customers::{CustomerRow, Customers, Filter},
        inbox::{self, Inbox, InboxRow, Sort},
    },
    words::SlaTier,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        auth::{Caller, Reach},
        change::{Change, Changed, Made},
        extract::{Asked, Id, Listed, Paging, PagingParams, optional_word, word},
        problem::Problem,
    },
    check_length, conversations, present,
    shown::{self, ConversationRow},
};
use crate::channels::address;

/// The most addresses that one request gives.
const ADDRESSES_MAX: usize = 50;

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change))
        .routes(routes!(add_identity))
        .routes(routes!(timeline))
}

/// One address of a person; exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reachable {
    /// A mail address.
    email: Option<String>,
    /// An international telephone number such as +15550123456.
    phone: Option<String>,
    /// A name within a channel, which must be given beside it.
    handle: Option<String>,
}

impl Reachable {
    /// The address in its canonical form. `field` is where it stands in the request.
    pub(super) fn address(&self, field: &str, channel: Option<&Channel>) -> Result<Address, Problem> {
        let below = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        match (&self.email, &self.phone, &self.handle) {
            (Some(email), None, None) => mail(&below("email"), email),
            (None, Some(phone), None) => telephone(&below("phone"), phone),
            (None, None, Some(handle)) => {
                let channel =
                    channel.ok_or_else(|| Problem::invalid("channel", "A handle needs its channel."))?;
                handle_of(&below("handle"), channel, handle)
            }
            _ => {
                let field = if field.is_empty() { "email" } else { field };
                Err(Problem::invalid(field, "Exactly one of email, phone and handle is required."))
            }
        }
    }
}

fn mail(field: &str, text: &str) -> Result<Address, Problem> {
    let email = address::email(text)
        .ok_or_else(|| Problem::invalid(field, "A mail address such as ada@example.com is required."))?;
    Ok(Address::new(AddressKind::Email, email))
}

fn telephone(field: &str, text: &str) -> Result<Address, Problem> {
    let phone = address::phone(text).ok_or_else(|| {
        Problem::invalid(field, "An international number such as +15550123456 is required.")
    })?;
    Ok(Address::new(AddressKind::Phone, phone))
}

fn handle_of(field: &str, channel: &Channel, handle: &str) -> Result<Address, Problem> {
    let handle = handle.trim();
    if handle.is_empty() || handle.len() > 200 || handle.chars().any(char::is_control) {
        return Err(Problem::invalid(field, "A handle is 1 to 200 bytes on one line."));
    }
    Ok(Address::handle(channel, handle))
}

/// A new customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCustomer {
    /// Where they can be reached; at least one address.
    identity: NewIdentity,
    /// Who they are.
    #[serde(default)]
    profile: Profile,
    /// What their contract promises: `free`, `standard`, `premium` or `enterprise`.
    sla_tier: Option<String>,
    /// Tags.
    #[serde(default)]
    tags: Vec<String>,
    /// How they like to be written to.
    #[serde(default)]
    preferences: PreferencesGiven,
    /// By channel, whether they may be written to: `granted` or `denied`. A denied channel is never used.
    #[serde(default)]
    consent: BTreeMap<String, String>,
}

/// Addresses of a new customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewIdentity {
    /// Mail addresses.
    #[serde(default)]
    emails: Vec<String>,
    /// International telephone numbers.
    #[serde(default)]
    phone_numbers: Vec<String>,
    /// Names within channels.
    #[serde(default)]
    social_ids: Vec<SocialId>,
}

/// A name within a channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SocialId {
    /// The channel, for example `telegram` or `generic:web`.
    channel: String,
    /// The name.
    handle: String,
}

/// Who a customer is. An empty text takes a value away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Profile {
    /// Their name.
    name: Option<String>,
    /// Their company.
    company: Option<String>,
    /// What other systems say of them; in place of all that was there.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    metadata: Option<Map<String, Value>>,
}

/// How a customer likes to be written to. An empty text takes a value away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreferencesGiven {
    /// By which channel.
    channel: Option<String>,
    /// In which language, for example `pt-BR`.
    language: Option<String>,
    /// In which time zone they live, for example `Europe/Vienna`.
    timezone: Option<String>,
    /// When they do not want to be written to, every day by the clocks of that zone, for example `22:00-07:00`. An
    /// update that is promised within them is sent before they begin.
    quiet_hours: Option<String>,
}

/// Changes to a customer. What is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CustomerChange {
    /// Who they are.
    #[serde(default)]
    profile: Profile,
    /// What their contract promises: `free`, `standard`, `premium` or `enterprise`.
    sla_tier: Option<String>,
    /// Tags that come and go.
    #[serde(default)]
    tags: TagChanges,
    /// How they like to be written to.
    #[serde(default)]
    preferences: PreferencesGiven,
    /// By channel, whether they may be written to: `granted` or `denied`. A denied channel is never used.
    #[serde(default)]
    consent: BTreeMap<String, String>,
}

/// Tags that come and go.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TagChanges {
    /// Tags to add.
    #[serde(default)]
    add: Vec<String>,
    /// Tags to take away.
    #[serde(default)]
    remove: Vec<String>,
}

/// One more address; exactly one of `email`, `phone` and `handle`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OneMore {
    /// A mail address.
    email: Option<String>,
    /// An international telephone number.
    phone: Option<String>,
    /// A name within `channel`.
    handle: Option<String>,
    /// The channel of a handle.
    channel: Option<String>,
    /// Whether it is proven to be theirs.
    #[serde(default)]
    verified: bool,
}

/// Which customers are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Holds this text in name, company, an address or a tag.
    q: Option<String>,
}

/// Adds a customer. An address that another one has is refused with 409.
#[utoipa::path(
    post, path = "/api/v1/customers", tag = "customers", request_body = NewCustomer,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Made>, headers(("Location" = String))), Problem)
)]
async fn create(State(edge): State<Arc<Edge>>, change: Change<NewCustomer>) -> Result<Response, Problem> {
    change.caller.must(Action::EditCustomer)?;
    let NewCustomer { identity, profile, sla_tier, tags, preferences, consent } = &change.body;
    let consent = consents(consent)?;
    let made = Made { id: edge.engine.mint() };
    let command = Command::Register {
        customer_id: CustomerId(made.id),
        addresses: identity.addresses()?,
        name: None,
        via: "api".to_owned(),
        verified: false,
        profile: Box::new(CustomerPatch {
            consent,
            ..patch(profile, sla_tier.as_deref(), preferences, tags, &[])?
        }),
    };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Customer>(&change.caller.tenant, made.id, command, meta).await?;
    Ok(Changed::new(made, receipt).created(|made| format!("/api/v1/customers/{}", made.id)))
}

/// Customers, the last changed first.
#[utoipa::path(
    get, path = "/api/v1/customers", tag = "customers", params(Wanted, PagingParams),
    responses((status = 200, body = Listed<shown::Customer>), Problem)
)]
async fn list(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Asked(Wanted { q }): Asked<Wanted>,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    caller.must(Action::Read)?;
    let filter = Filter { q };
    let wanted = move |row: &CustomerRow| filter.matches(row);
    let page =
        edge.engine.views().page::<Customers>(&caller.tenant, paging.skip(), paging.take(), wanted).await?;
    Ok(Json(paging.listed(page.items.iter().map(CustomerRow::to_json).collect(), page.total)))
}

/// One customer.
#[utoipa::path(
    get, path = "/api/v1/customers/{id}", tag = "customers", params(("id" = Uuid, Path)),
    responses((status = 200, body = shown::Customer), Problem)
)]
async fn show(State(edge): State<Arc<Edge>>, caller: Caller, Id(id): Id) -> Result<Json<Value>, Problem> {
    readable(&edge, &caller, id).await.map(|row| Json(row.to_json()))
}

/// Changes a customer.
#[utoipa::path(
    patch, path = "/api/v1/customers/{id}", tag = "customers", request_body = CustomerChange,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn change(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<CustomerChange>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::EditCustomer)?;
    let CustomerChange { profile, sla_tier, tags, preferences, consent } = &change.body;
    let consent = consents(consent)?;
    let patch = patch(profile, sla_tier.as_deref(), preferences, &tags.add, &tags.remove)?;
    let patch = CustomerPatch { consent, ..patch };
    let made = Made { id };
    let meta = change.meta(&made)?;
    let command = Command::Update(Box::new(patch));
    let receipt = edge.engine.send::<Customer>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// Adds an address. One that another customer has is refused with 409.
#[utoipa::path(
    post, path = "/api/v1/customers/{id}/identities", tag = "customers", request_body = OneMore,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Made>), Problem)
)]
async fn add_identity(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<OneMore>,
) -> Result<Changed<Made>, Problem> {
    change.caller.must(Action::EditCustomer)?;
    let OneMore { email, phone, handle, channel, verified } = &change.body;
    let channel: Option<Channel> = optional_word("channel", channel.as_deref())?;
    let given = Reachable { email: email.clone(), phone: phone.clone(), handle: handle.clone() };
    let command = Command::AddIdentity { address: given.address("", channel.as_ref())?, verified: *verified };
    let made = Made { id };
    let meta = change.meta(&made)?;
    let receipt = edge.engine.send::<Customer>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(made, receipt))
}

/// The customer's conversations over all channels, the newest activity first.
#[utoipa::path(
    get, path = "/api/v1/customers/{id}/timeline", tag = "customers", params(("id" = Uuid, Path), PagingParams),
    responses((status = 200, body = Listed<ConversationRow>), Problem)
)]
async fn timeline(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Id(id): Id,
    paging: Paging,
) -> Result<Json<Listed<Value>>, Problem> {
    readable(&edge, &caller, id).await?;
    let reach = caller.may(Action::Read)?;
    let filter = inbox::Filter { customer_id: Some(CustomerId(id)), ..inbox::Filter::default() };
    Ok(Json(conversations::rows(&edge, &caller, reach, filter, Sort::NewestActivity, paging).await?))
}

/// A customer, if the caller may read them: whoever is held to their own sees the customers of their conversations.
async fn readable(edge: &Edge, caller: &Caller, id: Uuid) -> Result<CustomerRow, Problem> {
    let reach = caller.may(Action::Read)?;
    let row = present::<Customers>(edge, &caller.tenant, id).await?;
    let row = row.ok_or_else(|| Problem::unknown("customer"))?;
    if reach == Reach::Own {
        let theirs = edge.engine.views().owned::<Inbox>(&caller.tenant, id).await?;
        let is_own =
            |row: &InboxRow| caller.owns_conversation(row.id, row.assigned_agent_id, row.assigned_team_id);
        caller.must_with(Action::Read, theirs.iter().any(is_own))?;
    }
    Ok(row)
}

impl NewIdentity {
    fn addresses(&self) -> Result<Vec<Address>, Problem> {
        let Self { emails, phone_numbers, social_ids } = self;
        if emails.len() + phone_numbers.len() + social_ids.len() > ADDRESSES_MAX {
            return Err(Problem::invalid("identity", format!("At most {ADDRESSES_MAX} addresses.")));
        }
        let emails =
            emails.iter().enumerate().map(|(at, text)| mail(&format!("identity.emails[{at}]"), text));
        let phones = phone_numbers
            .iter()
            .enumerate()
            .map(|(at, text)| telephone(&format!("identity.phone_numbers[{at}]"), text));
        let handles = social_ids.iter().enumerate().map(|(at, SocialId { channel, handle })| {
            let channel = word(&format!("identity.social_ids[{at}].channel"), channel)?;
            handle_of(&format!("identity.social_ids[{at}].handle"), &channel, handle)
        });
        emails.chain(phones).chain(handles).collect()
    }
}

fn patch(
    profile: &Profile,
    sla_tier: Option<&str>,
    preferences: &PreferencesGiven,
    tags_add: &[String],
    tags_remove: &[String],
) -> Result<CustomerPatch, Problem> {
    let metadata = profile.metadata.as_ref().map(|object| Value::Object(object.clone()).to_string());
    check_length("profile.metadata", metadata.as_deref().unwrap_or_default())?;
    let sla_tier: Option<SlaTier> = optional_word("sla_tier", sla_tier)?;
    Ok(CustomerPatch {
        name: profile.name.clone(),
        company: profile.company.clone(),
        metadata,
        sla_tier,
        tags_add: tags_add.to_vec(),
        tags_remove: tags_remove.to_vec(),
        channel: preferences.channel()?,
        language: preferences.language.clone(),
        timezone: preferences.timezone.clone(),
        quiet_hours: preferences.quiet_hours.clone(),
        ..CustomerPatch::default()
    })
}

impl PreferencesGiven {
    /// The preferred channel as a change: an empty text takes it away.
    fn channel(&self) -> Result<Option<Option<Channel>>, Problem> {
        match self.channel.as_deref().map(str::trim) {
            None => Ok(None),
            Some("") => Ok(Some(None)),
            Some(text) => word("preferences.channel", text).map(|channel| Some(Some(channel))),
        }
    }
}

/// What is said of single channels, as a change that the API was told.
fn consents(given: &BTreeMap<String, String>) -> Result<BTreeMap<Channel, ConsentChange>, Problem> {
    let consents = given.iter().map(|(channel, state)| {
        let field = format!("consent.{channel}");
        let channel = word(&field, channel)?;
        Ok((channel, ConsentChange { state: word(&field, state)?, source: "api".to_owned() }))
    });
    consents.collect()
}
