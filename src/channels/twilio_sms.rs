//! `twilio/sms`: text and picture messages that Twilio received for one of our numbers.
//!
//! Source of the fields: Twilio, "Twilio's request to your webhook URL",
//! <https://www.twilio.com/docs/messaging/guides/webhook-request>. Media stay at Twilio's and are referred to.
//! Delivery statuses have a door of their own, [`status`]; one that was pointed here is read all the same.

pub mod send;
pub mod status;

use serde_json::{Map, Value};
use uuid::Uuid;

use throughline_workflows::{
    ids::MessageId,
    message::{Address, AddressKind, Channel, Details, Inbound},
};

use crate::channels::{
    Adapter, Answer, Parsed, Receipt, Refusal, Unreadable, Verified, WebhookRequest, address,
    draft::{ATTACHMENTS_MAX, Draft, Original, is_breaking, line, prose},
    twilio_signature::{self, Pairs},
    without_secret,
};

/// TwiML for "say nothing". A text body could be sent to the customer as an answer, so it is always this.
const ANSWER: Answer = Answer { content_type: "text/xml", body: "<Response/>" };

/// Words that, as a whole message, make Twilio itself block the number and answer. Its shorter list entries (`END`,
/// `CANCEL`, `QUIT`) are noted as an opt-out too, but a person should still read them: they are also plain English.
const STOP_WORDS: [&str; 3] = ["STOP", "STOPALL", "UNSUBSCRIBE"];
const MAYBE_STOP_WORDS: [&str; 3] = ["CANCEL", "END", "QUIT"];

/// The longest value of an unknown parameter that is kept in the metadata, in bytes.
const METADATA_VALUE_MAX: usize = 500;

/// What this door needs to know.
#[derive(Clone, Default)]
pub struct TwilioSmsSettings {
    /// The account's auth tokens, newest first; empty takes unsigned requests where the edge allows them.
    pub auth_tokens: Vec<String>,
}

impl TwilioSmsSettings {
    fn without_blanks(mut self) -> Self {
        self.auth_tokens.retain(|token| !token.is_empty());
        self
    }

    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        if self.auth_tokens.is_empty() {
            return without_secret(request);
        }
        twilio_signature::verify(&self.auth_tokens, request.url, request.headers, request.body)?;
        Ok(Verified::Signed)
    }
}

/// The adapter behind `POST …/webhooks/twilio/sms`.
pub struct TwilioSms {
    settings: TwilioSmsSettings,
}

impl TwilioSms {
    /// An adapter with these settings. Blank tokens count as none.
    pub fn new(settings: TwilioSmsSettings) -> Self {
        Self { settings: settings.without_blanks() }
    }
}

impl Adapter for TwilioSms {
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Verified, Refusal> {
        self.settings.verify(request)
    }

    fn receive(
        &self,
        request: &WebhookRequest<'_>,
        mint: &mut dyn FnMut() -> Uuid,
    ) -> Result<Receipt, Unreadable> {
        let fields = Fields::read(request)?;
        let status = fields.get("SmsStatus").or_else(|| fields.get("MessageStatus"));
        if status.is_some_and(|status| !status.eq_ignore_ascii_case("received")) {
            // A status callback that was pointed here: valid, and nothing a customer said.
            let report = status::read_report(request, &fields)?;
            let ignored = usize::from(report.is_none());
            return Ok(Receipt {
                reports: report.into_iter().collect(),
                ignored,
                ..Receipt::nothing(ANSWER)
            });
        }
        let mut message = read_message(request, &fields, mint)?;
        message.inbound.vouched = !self.settings.auth_tokens.is_empty();
        Ok(Receipt { messages: vec![message], ..Receipt::nothing(ANSWER) })
    }
}

/// A request's parameters, whichever way they were encoded.
struct Fields<'a>(Pairs<'a>);

impl<'a> Fields<'a> {
    fn read(request: &WebhookRequest<'a>) -> Result<Self, Unreadable> {
        if !twilio_signature::is_json(request.headers) {
            return Ok(Self(twilio_signature::form(request.body)));
        }
        let object: Map<String, Value> = serde_json::from_slice(request.body)
            .map_err(|error| Unreadable::body(format!("not a JSON object of parameters: {error}")))?;
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Self(object.into_iter().map(|(name, value)| (name.into(), text(value).into())).collect()))
    }

    /// The first value of that name, unless it is blank.
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(one, _)| one == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The message's id, under the first of these names that has one. By it a message is known as one that came
    /// already: two ids must never become one by being tidied.
    fn sid(&self, names: &[&str]) -> Result<&str, Unreadable> {
        let sid = names.iter().find_map(|name| self.get(name));
        sid.filter(|sid| sid.len() <= 64 && !sid.contains(is_breaking)).ok_or_else(|| {
            Unreadable::field("MessageSid", "the message's id is required, at most 64 characters such as SM…")
        })
    }

    fn number(&self, name: &str, default: u32) -> Result<u32, Unreadable> {
        self.get(name).map_or(Ok(default), |text| {
            text.parse().map_err(|_| Unreadable::field(name, format!("{text:?} is not a whole number")))
        })
    }
}

fn read_message(
    request: &WebhookRequest<'_>,
    fields: &Fields<'_>,
    mint: &mut dyn FnMut() -> Uuid,
) -> Result<Parsed, Unreadable> {
    let sid = fields.sid(&["MessageSid", "SmsMessageSid", "SmsSid"])?;
    let from =
        fields.get("From").ok_or_else(|| Unreadable::field("From", "the sender's number is required"))?;
    let from = sender(from)?;
    let media = fields.number("NumMedia", 0)?;
    let segments = fields.number("NumSegments", 1)?;
    let opt_out = opt_out(fields);

    let raw_text = fields.0.iter().find(|(name, _)| name == "Body").map_or("", |(_, value)| value);
    let answered_by_twilio = opt_out.as_ref().is_some_and(|(_, certain)| *certain);
    let mut draft = Draft::new(
        request.tenant,
        Inbound {
            id: MessageId(mint()),
            channel: Channel::Sms,
            provider_message_id: sid.to_owned(),
            // A short code or a sender with letters cannot be written to: a machine must not try.
            vouched: false,
            automatic: answered_by_twilio || from.kind == AddressKind::Handle,
            from: vec![from],
            name: None,
            to: fields.get("To").map(|to| address::phone(to).unwrap_or_else(|| line(to, 100))),
            text: prose(raw_text),
            subject: None,
            attachments: Vec::new(),
            thread: None,
            details: Details::Sms { segments },
            metadata: metadata(fields, opt_out.map(|(word, _)| word)),
            sent_at: None,
            received_at: request.now,
        },
    );
    let bound = u32::try_from(ATTACHMENTS_MAX).unwrap_or(u32::MAX);
    for index in 0..media.min(bound) {
        // A missing address of an announced file is kept in sight rather than refused with the customer's words.
        let Some(url) = fields.get(&format!("MediaUrl{index}")) else {
            draft.leave_out();
            continue;
        };
        let media_type = fields.get(&format!("MediaContentType{index}")).unwrap_or_default();
        draft.attach_url(&format!("media-{}", index + 1), media_type, url);
    }
    if media > bound {
        draft.leave_out();
    }
    Ok(draft.finish(&Original { name: "request.txt", media_type: "text/plain", bytes: request.body }))
}

/// A telephone number in E.164, or, for short codes and names with letters, a handle of this channel.
fn sender(text: &str) -> Result<Address, Unreadable> {
    if let Some(number) = address::phone(text) {
        return Ok(Address::new(AddressKind::Phone, number));
    }
    let short_code = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    // 3GPP TS 23.038: a sender with letters has at most eleven characters.
    let named = text.chars().count() <= 11
        && text.chars().any(char::is_alphabetic)
        && text.chars().all(|c| c.is_alphanumeric() || " &-_.+".contains(c))
        && !text.starts_with('+');
    if short_code || named {
        return Ok(Address::handle(&Channel::Sms, &line(text, 40)));
    }
    let shown = line(text, 60);
    Err(Unreadable::field(
        "From",
        format!("{shown:?} is neither a number such as +15550123456, nor a short code, nor a sender's name"),
    ))
}

/// The opt-out word, and whether it is certain that Twilio acts on it and answers by itself.
fn opt_out(fields: &Fields<'_>) -> Option<(String, bool)> {
    if let Some(kind) = fields.get("OptOutType") {
        return Some((line(&kind.to_ascii_uppercase(), 20), true));
    }
    let said = fields.get("Body")?.to_ascii_uppercase();
    let certain = STOP_WORDS.contains(&said.as_str());
    (certain || MAYBE_STOP_WORDS.contains(&said.as_str())).then(|| ("STOP".to_owned(), certain))
}

/// Every parameter that has no field of its own, as JSON text: Twilio adds some without notice.
fn metadata(fields: &Fields<'_>, opt_out: Option<String>) -> String {
    const ELSEWHERE: [&str; 10] = [
        "Body",
        "From",
        "To",
        "MessageSid",
        "SmsSid",
        "SmsMessageSid",
        "NumMedia",
        "NumSegments",
        "SmsStatus",
        "ApiVersion",
    ];
    let mut kept = Map::new();
    for (name, value) in &fields.0 {
        let known = ELSEWHERE.contains(&name.as_ref()) || name.starts_with("Media");
        if !known && !value.is_empty() {
            kept.insert(line(name, 60), Value::String(line(value, METADATA_VALUE_MAX)));
        }
    }
    if let Some(word) = opt_out {
        kept.insert("opt_out".to_owned(), Value::String(word));
    }
    if kept.is_empty() { String::new() } else { Value::Object(kept).to_string() }
}

#[cfg(test)]
mod tests;
