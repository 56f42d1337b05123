//! `generic/{name}`: a channel of one's own, in JSON, signed as Standard Webhooks are.
//!
//! The body is described in the API document. An unknown field is accepted; a field that is missing or of the wrong
//! kind is named, with what is allowed. Files come along in base64 or are referred to by their address; nothing is
//! fetched here. The way out is [`post`].

pub mod post;

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use url::Url;
use uuid::Uuid;

use throughline_workflows::{
    ids::{ConversationId, MessageId},
    message::{Address, AddressKind, Channel, Details, Inbound},
    time::Timestamp,
};

use crate::channels::{
    Adapter, Answer, Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest, address,
    draft::{
        ATTACHMENTS_MAX, BODY_MAX, Draft, NAME_MAX, Original, SUBJECT_MAX, URL_MAX, is_breaking, line, prose,
    },
    reply_token::ReplyKeys,
    signature::{self, WebhookSecret},
    without_secret,
};

const ANSWER: Answer = Answer { content_type: "application/json", body: r#"{"status":"accepted"}"# };

/// The longest `id` and the longest handle, in bytes.
const ID_MAX: usize = 200;

/// The longest description of what is wrong, in bytes.
const PROBLEM_MAX: usize = 300;

/// Base64 as senders write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What this door needs to know.
pub struct GenericSettings {
    /// `NAME` of `channels.generic.NAME`.
    pub name: String,
    /// The channel's secrets, newest first; empty takes unsigned requests where the edge allows them.
    pub secrets: Vec<WebhookSecret>,
    /// The tenant's reply keys: a `thread` may be a reply token.
    pub replies: ReplyKeys,
}

/// The adapter behind `POST …/webhooks/generic/{name}`.
pub struct Generic {
    settings: GenericSettings,
}

impl Generic {
    /// An adapter with these settings.
    pub fn new(settings: GenericSettings) -> Self {
        Self { settings }
    }
}

impl Adapter for Generic {
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        if self.settings.secrets.is_empty() {
            return without_secret(request);
        }
        signature::verify(&self.settings.secrets, request.headers, request.body, request.now)?;
        Ok(Verified::Signed)
    }

    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        let message = self.read(request, mint)?;
        Ok(Receipt { messages: vec![message], ..Receipt::nothing(ANSWER) })
    }
}

/// The body. Required fields are options here, so that their absence is told in our own words.
///
/// Little of it takes more memory than it has bytes: the sender chooses what stands in it.
#[derive(Deserialize)]
struct Body<'a> {
    id: Option<String>,
    from: Option<From>,
    text: Option<String>,
    subject: Option<String>,
    thread: Option<String>,
    attachments: Option<Files>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    at: Option<String>,
}

#[derive(Deserialize)]
struct From {
    email: Option<String>,
    phone: Option<String>,
    handle: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct File {
    name: Option<String>,
    media_type: Option<String>,
    content_base64: Option<String>,
    url: Option<String>,
}

/// The files that one message names, and one more where there are more: a message that has it keeps its original.
#[derive(Default)]
struct Files(Vec<File>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;

        impl<'de> Visitor<'de> for Listed {
            type Value = Files;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files, A::Error> {
                let mut files = Vec::new();
                while files.len() <= ATTACHMENTS_MAX {
                    let Some(file) = list.next_element()? else { return Ok(Files(files)) };
                    files.push(file);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Files(files))
            }
        }

        deserializer.deserialize_seq(Listed)
    }
}

/// The sender's metadata with what we add to it. Where it is too long for a record anyway it stays the text it is.
enum Metadata<'a> {
    Read(Map<String, Value>),
    Long { text: &'a str, added: Map<String, Value> },
}

impl<'a> Metadata<'a> {
    fn of(given: Option<&'a RawValue>) -> Result<Self, Unreadable> {
        let Some(given) = given else { return Ok(Self::Read(Map::new())) };
        let text = given.get();
        if text.len() > BODY_MAX && text.starts_with('{') {
            return Ok(Self::Long { text, added: Map::new() });
        }
        let read = serde_json::from_str(text);
        let read =
            read.map_err(|error| Unreadable::field("metadata", line(&error.to_string(), PROBLEM_MAX)))?;
        Ok(Self::Read(read))
    }

    fn add(&mut self, name: &str, value: Value) {
        let (Self::Read(fields) | Self::Long { added: fields, .. }) = self;
        fields.insert(name.to_owned(), value);
    }

    /// A JSON object, or nothing.
    fn into_text(self) -> String {
        match self {
            Self::Read(fields) if fields.is_empty() => String::new(),
            Self::Read(fields) => Value::Object(fields).to_string(),
            Self::Long { text, added } if added.is_empty() => text.to_owned(),
            Self::Long { text, added } => {
                let sound = text.strip_suffix('}').unwrap_or(text).trim_end();
                // An object without fields can be as long as one likes too.
                let comma = if sound.len() > 1 { "," } else { "" };
                let added = Value::Object(added).to_string();
                format!("{sound}{comma}{}", added.strip_prefix('{').unwrap_or(&added))
            }
        }
    }
}

impl Generic {
    fn read(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Parsed, Unreadable> {
        let body = parse(request.body)?;
        // By its id a message is known as one that came already: two ids must never become one by being tidied.
        let fits = |id: &&str| !id.is_empty() && id.len() <= ID_MAX && !id.contains(is_breaking);
        let id = body.id.as_deref().map(str::trim).filter(fits).ok_or_else(|| {
            let required = "required: your message's own id, 1 to 200 bytes without control characters";
            Unreadable::field("id", required)
        })?;
        let channel = Channel::Generic(self.settings.name.clone());
        let sender = body.from.ok_or_else(|| {
            Unreadable::field("from", "required: an object with at least one of email, phone, handle")
        })?;
        let mut from = addresses(&sender, &channel)?;
        let mut metadata = Metadata::of(body.metadata)?;
        if self.settings.secrets.is_empty() && from.len() > 1 {
            // Nobody vouches for it that these belong to one person, so they must not be made one.
            let others = from.split_off(1).into_iter().map(|other| Value::String(other.to_string()));
            metadata.add("other_addresses", Value::Array(others.collect()));
        }
        let Files(files) = body.attachments.unwrap_or_default();
        let text = body.text.ok_or_else(|| Unreadable::field("text", "required: what the customer wrote"))?;
        if text.trim().is_empty() && files.is_empty() {
            return Err(Unreadable::field("text", "must not be empty unless there is an attachment"));
        }
        let sent_at = body.at.as_deref().filter(|at| !at.trim().is_empty()).map(|at| {
            at.trim().parse::<Timestamp>().map_err(|_| {
                Unreadable::field("at", "must be a time such as 2026-11-21T09:30:00Z (RFC 3339)")
            })
        });
        let sent_at = sent_at.transpose()?;
        let mut thread = None;
        if let Some(key) = body.thread.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
            thread = self.conversation(key);
            if thread.is_none() {
                metadata.add("thread", Value::String(key.to_owned()));
            }
        }

        let mut draft = Draft::new(
            request.tenant,
            Inbound {
                id: MessageId(mint()),
                channel,
                provider_message_id: id.to_owned(),
                from,
                name: sender.name.map(|name| line(&name, NAME_MAX)).filter(|name| !name.is_empty()),
                to: None,
                text: prose(&text),
                subject: body
                    .subject
                    .map(|subject| line(&subject, SUBJECT_MAX))
                    .filter(|one| !one.is_empty()),
                attachments: Vec::new(),
                thread,
                vouched: !self.settings.secrets.is_empty(),
                automatic: false,
                details: Details::None,
                metadata: metadata.into_text(),
                sent_at,
                received_at: request.now,
            },
        );
        for (index, file) in files.into_iter().enumerate() {
            attach(&mut draft, index, file)?;
        }
        Ok(draft.finish(&Original {
            name: "request.json",
            media_type: "application/json",
            bytes: request.body,
        }))
    }

    /// The conversation that a `thread` names: a reply token, or the id itself where the sender is known.
    fn conversation(&self, thread: &str) -> Option<ConversationId> {
        let replies = &self.settings.replies;
        let by_token = replies.verify_token(thread).or_else(|| replies.find_in(thread));
        let trusted = !self.settings.secrets.is_empty();
        by_token.or_else(|| thread.parse().ok().filter(|_| trusted))
    }
}

fn parse(body: &[u8]) -> Result<Body<'_>, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = line(&error.inner().to_string(), PROBLEM_MAX);
        // A path of "." is the body itself; a syntax error is nowhere in particular either.
        if path == "." || !error.inner().is_data() {
            Unreadable::body(format!("not a JSON object as described for this webhook: {problem}"))
        } else {
            Unreadable::field(line(&path, 200), problem)
        }
    })?;
    json.end().map_err(|error| Unreadable::body(format!("something follows the JSON object: {error}")))?;
    Ok(parsed)
}

/// The sender's addresses in canonical form, the best first.
fn addresses(from: &From, channel: &Channel) -> Result<Vec<Address>, Unreadable> {
    let given = |field: &'_ Option<String>| {
        field.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut found = Vec::new();
    if let Some(text) = given(&from.email) {
        let email = address::email(&text).ok_or_else(|| {
            Unreadable::field("from.email", "must be a mail address such as ada@example.com")
        })?;
        found.push(Address::new(AddressKind::Email, email));
    }
    if let Some(text) = given(&from.phone) {
        let phone = address::phone(&text).ok_or_else(|| {
            Unreadable::field("from.phone", "must be an international number such as +15550123456")
        })?;
        found.push(Address::new(AddressKind::Phone, phone));
    }
    if let Some(text) = given(&from.handle) {
        if text.len() > ID_MAX || text.contains(is_breaking) {
            return Err(Unreadable::field(
                "from.handle",
                "must be 1 to 200 bytes without control characters",
            ));
        }
        found.push(Address::handle(channel, &text));
    }
    if found.is_empty() {
        return Err(Unreadable::field("from", "at least one of email, phone, handle is required"));
    }
    Ok(found)
}

fn attach(draft: &mut Draft<'_>, index: usize, file: File) -> Result<(), Unreadable> {
    let at = |field: &str| format!("attachments[{index}].{field}");
    let name = file.name.ok_or_else(|| Unreadable::field(at("name"), "required: the file's name"))?;
    let media_type = file
        .media_type
        .ok_or_else(|| Unreadable::field(at("media_type"), "required: a media type such as image/png"))?;
    match (file.content_base64, file.url) {
        (Some(content), None) => {
            let dense: Vec<u8> =
                content.into_bytes().into_iter().filter(|b| !b.is_ascii_whitespace()).collect();
            let bytes = BASE64
                .decode(dense)
                .map_err(|_| Unreadable::field(at("content_base64"), "must be standard base64"))?;
            draft.attach(&name, &media_type, Bytes::from(bytes));
        }
        (None, Some(url)) => {
            let web = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !web || url.len() > URL_MAX {
                return Err(Unreadable::field(
                    at("url"),
                    "must be an http or https address of at most 2048 bytes",
                ));
            }
            draft.attach_url(&name, &media_type, &url);
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Unreadable::field(
                format!("attachments[{index}]"),
                "exactly one of content_base64 and url is required",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
