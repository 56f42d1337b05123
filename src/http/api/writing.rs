//! Writing: beginning a conversation, answering in one, and internal notes.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use throughline_actors::engine::SendError;
use throughline_workflows::{
    agent::Agent,
    conversation::{self, Command, Conversation, CustomerCard, NewMessage},
    customer::{self, Customer, CustomerPatch},
    ids::{ConversationId, CustomerId, MessageId, NoteId},
    message::{Address, Attachment, AttachmentAt, Channel},
    role::{Action, Role},
    words::Severity,
    workflow::{By, ByKind},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{
        Edge,
        change::{Change, Changed},
        extract::{At, Id, optional_word},
        problem::{Kind, Problem},
    },
    check_length,
    customers::Reachable,
    work::check_own,
};

/// The most files that go along with one message.
const ATTACHMENTS_MAX: usize = 5;
/// The longest address of a file, in bytes.
const URL_MAX: usize = 2048;
/// How often a beginning is tried when somebody else begins or answers at the same moment.
const RACES_MAX: usize = 5;

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(answer))
        .routes(routes!(note))
        .routes(routes!(send_again))
}

/// A new conversation; exactly one of `customer_id` and `to`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// A known customer.
    customer_id: Option<Uuid>,
    /// An address; whoever has it is the customer, a new one where nobody has.
    to: Option<Reachable>,
    /// The channel to write by; the one that suits the address where it is absent.
    channel: Option<String>,
    /// What it is about.
    subject: Option<String>,
    /// What to say.
    text: String,
    /// How urgent it is, `P0` to `P3`.
    priority: Option<String>,
    /// Files to send along, by address.
    #[serde(default)]
    attachments: Vec<File>,
    /// The agent whose words these are, where a program writes for one.
    on_behalf_of: Option<Uuid>,
}

/// What was begun.
#[derive(Serialize, Deserialize, ToSchema)]
struct Begun {
    /// The conversation.
    id: Uuid,
    /// Its first message.
    message_id: Uuid,
    /// The customer it is with.
    customer_id: Uuid,
}

/// An answer to the customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Words {
    /// What to say.
    #[serde(default)]
    text: String,
    /// The channel to write by; the one the customer last used where it is absent.
    channel: Option<String>,
    /// Files to send along, by address.
    #[serde(default)]
    attachments: Vec<File>,
    /// The agent whose words these are, where a program writes for one.
    on_behalf_of: Option<Uuid>,
}

/// A file to send along.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Its name.
    name: String,
    /// Its media type, for example `image/png`.
    media_type: String,
    /// Where it is.
    url: String,
}

/// An internal note.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoteText {
    /// What it says.
    text: String,
    /// The agent whose note this is, where a program writes for one.
    on_behalf_of: Option<Uuid>,
}

/// No fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SendAgain {}

/// What was written.
#[derive(Serialize, Deserialize, ToSchema)]
struct Written {
    /// The message or note.
    id: Uuid,
    /// Where it was written.
    conversation_id: Uuid,
}

/// Begins a conversation with a message to the customer.
#[utoipa::path(
    post, path = "/api/v1/conversations", tag = "conversations", request_body = Begin,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Begun>, headers(("Location" = String))), Problem)
)]
async fn begin(State(edge): State<Arc<Edge>>, change: Change<Begin>) -> Result<Response, Problem> {
    change.caller.must(Action::WriteToCustomer)?;
    let body = &change.body;
    check_length("text", &body.text)?;
    check_length("subject", body.subject.as_deref().unwrap_or_default())?;
    let channel: Option<Channel> = optional_word("channel", body.channel.as_deref())?;
    let priority: Option<Severity> = optional_word("priority", body.priority.as_deref())?;
    let attachments = files(&body.attachments)?;
    let speaker = speaker(&edge, &change, body.on_behalf_of).await?;
    let (customer, to) = match (body.customer_id, &body.to) {
        (Some(id), None) => known_customer(&edge, &change, id, channel.as_ref()).await?,
        (None, Some(to)) => {
            let address = to.address("to", channel.as_ref())?;
            (customer_at(&edge, &change, &address).await?, address)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::invalid("to", "Exactly one of customer_id and to is required."));
        }
    };
    let (id, message_id) = (edge.engine.mint(), edge.engine.mint());
    let tenant = &change.caller.tenant;
    let begun = Begun { id, message_id, customer_id: customer.id.0 };
    let meta = change.meta_by(speaker.by, &begun)?;
    let mut races = 0;
    let receipt = loop {
        let current = edge.engine.owner(tenant, conversation::CURRENT, &customer.id.to_string()).await;
        let standing = edge.engine.state::<Customer>(tenant, customer.id.0).await;
        let standing = standing.map_err(Problem::unreadable)?;
        let standing = standing.as_ref().and_then(|(state, _)| state.facts()).map(customer::Facts::standing);
        let command = Command::Begin {
            conversation_id: ConversationId(id),
            customer: customer.clone(),
            message: NewMessage {
                id: MessageId(message_id),
                channel: channel.clone(),
                text: body.text.clone(),
                attachments: attachments.clone(),
                agent_name: speaker.agent_name.clone(),
            },
            to: to.clone(),
            subject: body.subject.clone(),
            priority,
            replaces: current.map_err(Problem::unreadable)?.map(ConversationId),
            standing: standing.map(Box::new),
        };
        match edge.engine.send::<Conversation>(tenant, id, command, meta.clone()).await {
            // Another conversation became the customer's current one meanwhile: take its place.
            Err(SendError::Claimed { .. }) if races < RACES_MAX => races += 1,
            sent => break sent?,
        }
    };
    Ok(Changed::new(begun, receipt).created(|begun| format!("/api/v1/conversations/{}", begun.id)))
}

/// Answers the customer.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/messages", tag = "conversations", request_body = Words,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Written>, headers(("Location" = String))), Problem)
)]
async fn answer(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<Words>,
) -> Result<Response, Problem> {
    check_own(&edge, &change.caller, Action::WriteToCustomer, id).await?;
    let body = &change.body;
    check_length("text", &body.text)?;
    let speaker = speaker(&edge, &change, body.on_behalf_of).await?;
    let written = Written { id: edge.engine.mint(), conversation_id: id };
    let message = NewMessage {
        id: MessageId(written.id),
        channel: optional_word("channel", body.channel.as_deref())?,
        text: body.text.clone(),
        attachments: files(&body.attachments)?,
        agent_name: speaker.agent_name,
    };
    let meta = change.meta_by(speaker.by, &written)?;
    let command = Command::Reply { message };
    let receipt = edge.engine.send::<Conversation>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(written, receipt)
        .created(|written| format!("/api/v1/conversations/{}/messages", written.conversation_id)))
}

/// Writes an internal note; the customer never sees it.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/notes", tag = "conversations", request_body = NoteText,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = Changed<Written>, headers(("Location" = String))), Problem)
)]
async fn note(
    State(edge): State<Arc<Edge>>,
    Id(id): Id,
    change: Change<NoteText>,
) -> Result<Response, Problem> {
    check_own(&edge, &change.caller, Action::WriteNote, id).await?;
    check_length("text", &change.body.text)?;
    let Speaker { by, .. } = speaker(&edge, &change, change.body.on_behalf_of).await?;
    let written = Written { id: edge.engine.mint(), conversation_id: id };
    let command = Command::AddNote { note_id: NoteId(written.id), text: change.body.text.clone() };
    let meta = change.meta_by(by, &written)?;
    let receipt = edge.engine.send::<Conversation>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(written, receipt)
        .created(|written| format!("/api/v1/conversations/{}", written.conversation_id)))
}

/// Sends a message again that is held, uncertain or failed.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/messages/{message_id}/send-again", tag = "conversations",
    request_body = SendAgain,
    params(("id" = Uuid, Path), ("message_id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Changed<Written>), Problem)
)]
async fn send_again(
    State(edge): State<Arc<Edge>>,
    At((id, message_id)): At<(Uuid, Uuid)>,
    change: Change<SendAgain>,
) -> Result<Changed<Written>, Problem> {
    let SendAgain {} = change.body;
    check_own(&edge, &change.caller, Action::WriteToCustomer, id).await?;
    let written = Written { id: message_id, conversation_id: id };
    let meta = change.meta(&written)?;
    let command = Command::SendAgain { message_id: MessageId(message_id) };
    let receipt = edge.engine.send::<Conversation>(&change.caller.tenant, id, command, meta).await?;
    Ok(Changed::new(written, receipt))
}

/// Whose words something is.
pub(super) struct Speaker {
    /// As which actor it is recorded.
    pub(super) by: By,
    /// The name that a customer reads, where an agent speaks.
    pub(super) agent_name: Option<String>,
}

/// Whose words these are: the caller's, or those of the agent for whom a program writes.
pub(super) async fn speaker<T>(
    edge: &Edge,
    change: &Change<T>,
    on_behalf_of: Option<Uuid>,
) -> Result<Speaker, Problem> {
    let caller = &change.caller;
    let Some(agent) = on_behalf_of else {
        return Ok(Speaker { by: caller.by(), agent_name: caller.agent_name() });
    };
    if caller.role != Role::Api {
        let detail = "on_behalf_of is for tokens of the role api; this token speaks for its own bearer.";
        return Err(Problem::with(Kind::Forbidden, detail).field("on_behalf_of"));
    }
    let state = edge.engine.state::<Agent>(&caller.tenant, agent).await.map_err(Problem::unreadable)?;
    let facts = state.as_ref().and_then(|(state, _)| state.facts()).filter(|facts| facts.profile.active);
    let facts = facts.ok_or_else(|| Problem::invalid("on_behalf_of", "There is no such active agent."))?;
    let agent_name = Some(facts.profile.name.clone());
    let by = By { kind: ByKind::Person, id: Some(agent), name: agent_name.clone(), ..caller.by() };
    Ok(Speaker { by, agent_name })
}

fn files(given: &[File]) -> Result<Vec<Attachment>, Problem> {
    if given.len() > ATTACHMENTS_MAX {
        let detail = format!("At most {ATTACHMENTS_MAX} files go along with one message.");
        return Err(Problem::invalid("attachments", detail));
    }
    given
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let invalid = |field: &str, detail: &str| {
                Err(Problem::invalid(format!("attachments[{index}].{field}"), detail))
            };
            let fits = |text: &str| (1..=200).contains(&text.len()) && !text.chars().any(char::is_control);
            let web = url::Url::parse(&file.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !fits(&file.name) {
                return invalid("name", "A name is 1 to 200 bytes on one line.");
            }
            if !fits(&file.media_type) || !file.media_type.contains('/') {
                return invalid("media_type", "A media type looks like image/png.");
            }
            if !web || file.url.len() > URL_MAX {
                return invalid("url", "An http or https address of at most 2048 bytes.");
            }
            Ok(Attachment {
                name: file.name.clone(),
                media_type: file.media_type.clone(),
                bytes: None,
                at: AttachmentAt::Url(file.url.clone()),
            })
        })
        .collect()
}

/// A known customer, and their address that `channel` reaches, or else the one they like best.
async fn known_customer<T>(
    edge: &Edge,
    change: &Change<T>,
    id: Uuid,
    channel: Option<&Channel>,
) -> Result<(CustomerCard, Address), Problem> {
    let state =
        edge.engine.state::<Customer>(&change.caller.tenant, id).await.map_err(Problem::unreadable)?;
    let facts = state.as_ref().and_then(|(state, _)| state.facts());
    let facts = facts.ok_or_else(|| Problem::invalid("customer_id", "There is no such customer."))?;
    let mut addresses: Vec<&Address> = facts.identities.iter().map(|identity| &identity.address).collect();
    addresses.sort();
    let reached_by = |wanted: &Channel| addresses.iter().find(|address| address.is_reached_by(wanted));
    let chosen = match channel {
        Some(channel) => reached_by(channel),
        None => facts
            .preferences
            .channel
            .as_ref()
            .and_then(reached_by)
            .or_else(|| addresses.iter().find(|address| address.usual_channel().is_some())),
    };
    let to =
        chosen.ok_or_else(|| Problem::invalid("channel", "No address of this customer is known for it."))?;
    Ok((card(facts), (*to).clone()))
}

/// The customer who has `address`; a new one where nobody has.
async fn customer_at<T>(edge: &Edge, change: &Change<T>, address: &Address) -> Result<CustomerCard, Problem> {
    let tenant = &change.caller.tenant;
    for _ in 0..RACES_MAX {
        let owner = edge.engine.owner(tenant, customer::ADDRESS, &address.to_string()).await;
        if let Some(owner) = owner.map_err(Problem::unreadable)? {
            let state = edge.engine.state::<Customer>(tenant, owner).await.map_err(Problem::unreadable)?;
            let facts = state.as_ref().and_then(|(state, _)| state.facts());
            return facts.map(card).ok_or_else(|| Problem::unknown("customer"));
        }
        let customer_id = CustomerId(edge.engine.mint());
        let command = customer::Command::Register {
            customer_id,
            addresses: vec![address.clone()],
            name: None,
            via: "api".to_owned(),
            verified: false,
            profile: Box::new(CustomerPatch::default()),
        };
        let meta = change.caller.meta(change.trace);
        match edge.engine.send::<Customer>(tenant, customer_id.0, command, meta).await {
            Ok(_) => return Ok(CustomerCard { id: customer_id, name: None, language: None }),
            // They wrote to us at this very moment.
            Err(SendError::Claimed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(Kind::Overloaded))
}

fn card(facts: &customer::Facts) -> CustomerCard {
    CustomerCard { id: facts.id, name: facts.name.clone(), language: facts.preferences.language.clone() }
}
