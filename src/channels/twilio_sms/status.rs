//! `twilio/sms/status`: what Twilio says became of a text message of ours.
//!
//! The address that Twilio was given for a message names that message in its query; Twilio signs the address, so the
//! name is as good as ours. Source: Twilio, "Track outbound message status",
//! <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>.

use url::Url;
use uuid::Uuid;

use throughline_workflows::{
    conversation::DeliveryStatus,
    ids::{ConversationId, MessageId},
    message::{Channel, Outbound},
    workflow::ActivityError,
};

use super::{ANSWER, Fields, TwilioSmsSettings};
use crate::channels::{
    Adapter, DeliveryReport, Receipt, Refusal, Unreadable, Verified, WebhookRequest, draft::line,
};

/// The query that names the message: `CONVERSATION.MESSAGE`.
const NAME: &str = "message";

/// The address for the reports about one message.
pub(super) fn callback_tail(mut url: Url, message: &Outbound) -> String {
    let name = format!("{}.{}", message.conversation_id, message.message_id);
    url.query_pairs_mut().append_pair(NAME, &name);
    url.into()
}

/// The message that an address names.
fn named(url: &str) -> Option<(ConversationId, MessageId)> {
    let url = Url::parse(url).ok()?;
    let (_, name) = url.query_pairs().find(|(name, _)| name == NAME)?;
    let (conversation, message) = name.split_once('.')?;
    Some((conversation.parse().ok()?, MessageId(message.parse().ok()?)))
}

/// The adapter behind `POST …/webhooks/twilio/sms/status`.
pub struct TwilioSmsStatus {
    settings: TwilioSmsSettings,
}

impl TwilioSmsStatus {
    /// An adapter with these settings. Blank tokens count as none.
    pub fn new(settings: TwilioSmsSettings) -> Self {
        Self { settings: settings.without_blanks() }
    }
}

impl Adapter for TwilioSmsStatus {
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        self.settings.verify(request)
    }

    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        _mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        let fields = Fields::read(request)?;
        let report = read_report(request, &fields)?;
        let ignored = usize::from(report.is_none());
        Ok(Receipt { reports: report.into_iter().collect(), ignored, ..Receipt::nothing(ANSWER) })
    }
}

/// The report that a callback holds; none where it says nothing that matters.
pub(super) fn read_report(
    request: &WebhookRequest<'_>,
    fields: &Fields<'_>,
) -> Result<Option<DeliveryReport>, Unreadable> {
    let sid = fields.sid(&["MessageSid", "SmsSid"])?;
    let raw = ["MessageStatus", "SmsStatus"].into_iter().find_map(|name| fields.get(name));
    let raw = raw.ok_or_else(|| Unreadable::field("MessageStatus", "the message's status is required"))?;
    let Some(status) = status_of(raw) else { return Ok(None) };
    let error = (status == DeliveryStatus::Failed).then(|| {
        let code = fields.get("ErrorCode").map(|code| line(code, 20));
        let code = code.filter(|code| code != "0").unwrap_or_else(|| raw.to_ascii_lowercase());
        ActivityError { message: meaning(&code).to_owned(), code: Some(code) }
    });
    let named = named(request.url);
    Ok(Some(DeliveryReport {
        channel: Channel::Sms,
        provider_message_id: sid.to_owned(),
        conversation: named.map(|(conversation, _)| conversation),
        message_id: named.map(|(_, message)| message),
        status,
        error,
        at: request.now,
    }))
}

/// Twilio's word as a rung of our ladder; none for words that are about something else, and for new ones.
fn status_of(raw: &str) -> Option<DeliveryStatus> {
    match raw.to_ascii_lowercase().as_str() {
        "sending" | "sent" | "partially_delivered" => Some(DeliveryStatus::Sent),
        "accepted" | "scheduled" | "queued" => Some(DeliveryStatus::Queued),
        "delivered" => Some(DeliveryStatus::Delivered),
        "read" => Some(DeliveryStatus::Read),
        "failed" | "undelivered" | "canceled" => Some(DeliveryStatus::Failed),
        _ => None,
    }
}

/// What an error code of Twilio's means, for people who have no list of them at hand.
fn meaning(code: &str) -> &'static str {
    match code {
        "21610" => "the recipient has opted out",
        "30001" => "the provider's queue was full",
        "30002" => "the account is suspended",
        "30003" => "the recipient's phone cannot be reached",
        "30004" => "the recipient or the carrier blocks the message",
        "30005" => "the number is unknown or no longer in use",
        "30006" => "the number is a landline, or its carrier cannot be reached",
        "30007" => "the carrier took the message for spam",
        "30008" => "the carrier does not say why",
        "30034" => "the sending number is not registered with the carriers",
        _ => "the message was not delivered",
    }
}
