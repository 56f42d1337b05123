//! A message as every channel sees it: who wrote, to whom, what, and how it hangs together with others.
//!
//! Adapters turn a provider's wire form into an [`Inbound`] and an [`Outbound`] into the wire form. Nothing here
//! knows a provider.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    ids::{ConversationId, MessageId},
    time::Timestamp,
};

/// A way to reach a person. Text form: `email`, `sms`, … and `generic:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The live chat of a web page.
    Chat,
    /// Electronic mail.
    Email,
    /// Short messages of the telephone network.
    Sms,
    /// WhatsApp, by whichever provider.
    Whatsapp,
    /// Facebook Messenger.
    Messenger,
    /// Instagram direct messages.
    Instagram,
    /// X direct messages.
    X,
    /// Telephone calls.
    Voice,
    /// Telegram.
    Telegram,
    /// A channel of one's own, behind the generic signed webhook of this name.
    Generic(String),
}

impl Channel {
    /// The name as it stands in a file path: `generic.NAME` instead of `generic:NAME`.
    pub fn path_name(&self) -> String {
        self.to_string().replace(':', ".")
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat => f.write_str("chat"),
            Self::Email => f.write_str("email"),
            Self::Sms => f.write_str("sms"),
            Self::Whatsapp => f.write_str("whatsapp"),
            Self::Messenger => f.write_str("messenger"),
            Self::Instagram => f.write_str("instagram"),
            Self::X => f.write_str("x"),
            Self::Voice => f.write_str("voice"),
            Self::Telegram => f.write_str("telegram"),
            Self::Generic(name) => write!(f, "generic:{name}"),
        }
    }
}

/// Why a text is not a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a channel: chat, email, sms, whatsapp, messenger, instagram, x, voice, telegram or generic:NAME"
)]
pub struct ChannelError(String);

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "chat" => Self::Chat,
            "email" => Self::Email,
            "sms" => Self::Sms,
            "whatsapp" => Self::Whatsapp,
            "messenger" => Self::Messenger,
            "instagram" => Self::Instagram,
            "x" => Self::X,
            "voice" => Self::Voice,
            "telegram" => Self::Telegram,
            _ => match text.strip_prefix("generic:").or_else(|| text.strip_prefix("generic.")) {
                Some(name) if is_generic_name(name) => Self::Generic(name.to_owned()),
                Some(_) | None => return Err(ChannelError(text.to_owned())),
            },
        })
    }
}

/// Whether `name` can name a generic channel: 1 to 63 of `a-z`, `0-9`, `-` and `_`.
pub fn is_generic_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What kind of address, which also says which channels it can be written to on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// A mail address, lower-cased.
    Email,
    /// A telephone number in E.164, with the plus sign.
    Phone,
    /// A name within one channel, written `CHANNEL/HANDLE`.
    Handle,
}

/// Where a person can be reached, in its one canonical form, so that equal people have equal addresses.
///
/// Order is the order in which several addresses of one message choose the customer: email before phone before
/// handle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// What kind of address it is.
    pub kind: AddressKind,
    /// The canonical text, for example `ada@example.com` or `+15550123456`.
    pub value: String,
}

impl Address {
    /// An address whose `value` is already canonical: adapters normalise at the door.
    pub fn new(kind: AddressKind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into() }
    }

    /// A mail address: trimmed and lower-cased.
    pub fn email(address: &str) -> Self {
        Self::new(AddressKind::Email, address.trim().to_lowercase())
    }

    /// A telephone number, already in E.164.
    pub fn phone(e164: impl Into<String>) -> Self {
        Self::new(AddressKind::Phone, e164)
    }

    /// A handle within `channel`.
    pub fn handle(channel: &Channel, handle: &str) -> Self {
        Self::new(AddressKind::Handle, format!("{channel}/{handle}"))
    }

    /// Channel and handle of a handle; none for other kinds.
    pub fn as_handle(&self) -> Option<(Channel, &str)> {
        match self.kind {
            AddressKind::Email | AddressKind::Phone => None,
            AddressKind::Handle => {
                let (channel, handle) = self.value.split_once('/')?;
                Some((channel.parse().ok()?, handle))
            }
        }
    }

    /// The channel that suits the address where nobody chose one; none for a handle of no channel.
    pub fn usual_channel(&self) -> Option<Channel> {
        match self.kind {
            AddressKind::Email => Some(Channel::Email),
            AddressKind::Phone => Some(Channel::Sms),
            AddressKind::Handle => self.as_handle().map(|(channel, _)| channel),
        }
    }

    /// Whether a message on `channel` can go to this address. A generic channel takes any: its receiver knows.
    pub fn is_reached_by(&self, channel: &Channel) -> bool {
        match channel {
            Channel::Email => self.kind == AddressKind::Email,
            Channel::Sms | Channel::Whatsapp | Channel::Voice => self.kind == AddressKind::Phone,
            Channel::Chat | Channel::Messenger | Channel::Instagram | Channel::X | Channel::Telegram => {
                self.as_handle().is_some_and(|(of, _)| of == *channel)
            }
            Channel::Generic(_) => true,
        }
    }

    /// Whether somebody may read what is written there: false for `no-reply` mailboxes and for short codes, to
    /// which a machine writes in vain.
    pub fn can_answer(&self) -> bool {
        match self.kind {
            AddressKind::Email => {
                let local = self.value.split('@').next().unwrap_or_default();
                let bare: String = local.chars().filter(char::is_ascii_alphanumeric).collect();
                let silent = ["noreply", "donotreply", "mailerdaemon", "postmaster"];
                !bare.is_empty()
                    && self.value.contains('@')
                    && !silent.iter().any(|name| bare.starts_with(name))
            }
            // The shortest number that can be called from abroad has seven digits after the plus sign.
            AddressKind::Phone => self.value.starts_with('+') && self.value.len() > 7,
            AddressKind::Handle => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            AddressKind::Email => "email",
            AddressKind::Phone => "phone",
            AddressKind::Handle => "handle",
        };
        write!(f, "{kind}:{}", self.value)
    }
}

/// A file that came or goes with a message. The bytes are elsewhere: a blob of ours or the provider's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file's name as the sender gave it, for display only.
    pub name: String,
    /// The media type, for example `image/png`.
    pub media_type: String,
    /// Size in bytes, where known.
    pub bytes: Option<u64>,
    /// Where the content is.
    pub at: AttachmentAt,
}

/// Where an attachment's content is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachmentAt {
    /// A blob of ours, by its key.
    Blob(String),
    /// An address of the provider's.
    Url(String),
}

/// What mail carries beyond a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailDetails {
    /// `Message-ID` without angle brackets.
    pub message_id: Option<String>,
    /// `In-Reply-To` without angle brackets.
    pub in_reply_to: Option<String>,
    /// `References`, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The subject as written.
    pub subject: Option<String>,
    /// `To` addresses.
    pub to: Vec<String>,
    /// `Cc` addresses.
    pub cc: Vec<String>,
    /// The whole text, quoted history included.
    pub body_text: Option<String>,
    /// The HTML part, as it came. Never shown unsanitised.
    pub body_html: Option<String>,
}

/// What belongs to one channel only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Details {
    /// Nothing beyond the common fields.
    None,
    /// Mail.
    Email(Box<EmailDetails>),
    /// An SMS as Twilio reports it.
    Sms {
        /// Number of parts it was sent in.
        segments: u32,
    },
}

/// A customer's message, normalised: the same shape for every channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// Our id of the message, minted at the door.
    pub id: MessageId,
    /// The channel it came by.
    pub channel: Channel,
    /// The provider's id, unique within the channel: one such id is one message, however often it is delivered.
    pub provider_message_id: String,
    /// The sender's addresses, the best first (email, phone, handle); at least one.
    pub from: Vec<Address>,
    /// The sender's name, where the channel tells it.
    pub name: Option<String>,
    /// The address of ours that it was written to, in canonical form.
    pub to: Option<String>,
    /// What was written, without quoted history.
    pub text: String,
    /// The subject, where the channel has one.
    pub subject: Option<String>,
    /// Files that came with it.
    pub attachments: Vec<Attachment>,
    /// The conversation that a verified reply token, a signed `Message-ID` of ours or a thread key leads to.
    pub thread: Option<ConversationId>,
    /// Whether a signature vouches for the sender's addresses. A mail's `From` is never vouched for.
    pub vouched: bool,
    /// Written by a machine (out of office, list, bounce): kept, never answered by a machine.
    pub automatic: bool,
    /// What belongs to this channel only.
    pub details: Details,
    /// What the sender's system gave along, as JSON text; empty for none.
    pub metadata: String,
    /// When the customer wrote, by the provider's clock. For display only: clocks count from `received_at`.
    pub sent_at: Option<Timestamp>,
    /// The engine's time at which the webhook was taken.
    pub received_at: Timestamp,
}

/// A message to a customer, complete: whoever sends it needs to look nothing up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// Our id of the message.
    pub message_id: MessageId,
    /// The conversation it belongs to.
    pub conversation_id: ConversationId,
    /// The channel to send it by.
    pub channel: Channel,
    /// Whom it goes to.
    pub to: Address,
    /// The customer's name, for a greeting or a header.
    pub to_name: Option<String>,
    /// The address of ours to write from; none for the channel's configured one.
    pub from: Option<String>,
    /// The name to show as the sender: an agent for a person's words, none for the tenant's own name.
    pub from_name: Option<String>,
    /// The subject, where the channel has one.
    pub subject: Option<String>,
    /// What to say.
    pub text: String,
    /// Files to send along.
    pub attachments: Vec<Attachment>,
    /// `Message-ID` of the mail this answers, without angle brackets.
    pub in_reply_to: Option<String>,
    /// `References` for the mail, oldest first.
    pub references: Vec<String>,
    /// Written by the machine: mail says so (RFC 3834), so that no two machines answer each other for ever.
    pub automatic: bool,
}

#[cfg(test)]
mod tests;
