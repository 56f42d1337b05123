//! Sends text messages through Twilio's interface, and asks it to report what becomes of each.
//!
//! Twilio takes no idempotency key, so a request that may have arrived is *uncertain* and never sent again blindly.
//! The address for its reports names our message: a report finds it even if the answer that held Twilio's own id was
//! lost. Source: Twilio, "Messages resource", <https://www.twilio.com/docs/messaging/api/message-resource>.

use futures::future::BoxFuture;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

use throughline_workflows::{
    message::{AddressKind, AttachmentAt, Outbound},
    workflow::ActivityError,
};

use super::status::callback_tail;
use crate::channels::sending::{
    SendOutcome, Sender, Sending, failure,
    http::{Answer, NoAnswer, ask, is_temporary},
    said,
};

/// The most characters of one text (Twilio's limit of `Body`).
const TEXT_MAX: usize = 1600;
/// The most files of one message.
const MEDIA_MAX: usize = 10;
/// Codes of errors that pass by themselves, whatever status they come with.
const TEMPORARY: [u32; 3] = [20_429, 30_001, 30_022];
/// Codes that say that the account or its settings are at fault, not this message.
const SETTINGS: [u32; 5] = [20_003, 21_408, 21_606, 30_002, 30_034];

/// As whom and where to send.
#[derive(Clone)]
pub struct TwilioSendSettings {
    /// The address of the interface, without a slash at its end.
    pub base_url: String,
    /// `AC…`.
    pub account_sid: String,
    /// The account's newest auth token.
    pub auth_token: String,
    /// The number of ours, where the message names none.
    pub from: String,
    /// The messaging service that chooses the number instead.
    pub messaging_service_sid: Option<String>,
    /// Where Twilio is to report; none where it could not reach us.
    pub status_url: Option<String>,
}

/// Sends a tenant's text messages.
pub struct TwilioSend {
    settings: TwilioSendSettings,
    client: Client,
}

impl TwilioSend {
    /// A transport with these settings.
    pub fn new(settings: TwilioSendSettings, client: Client) -> Self {
        Self { settings, client }
    }

    async fn post(&self, sending: Sending<'_>) -> SendOutcome {
        let form = match self.form(sending.message) {
            Ok(form) => form,
            Err(error) => return SendOutcome::Refused(error),
        };
        let TwilioSendSettings { base_url, account_sid, auth_token, .. } = &self.settings;
        let request = self
            .client
            .post(format!("{base_url}/2010-04-01/Accounts/{account_sid}/Messages.json"))
            .basic_auth(account_sid, Some(auth_token))
            .form(&form);
        match ask(request, sending.now).await {
            Ok(answer) => outcome_of(&answer),
            Err(NoAnswer::NotAsked(error)) => SendOutcome::down(error),
            Err(NoAnswer::Lost(error)) => SendOutcome::Uncertain(error),
        }
    }

    fn form(&self, message: &Outbound) -> Result<Vec<(&'static str, String)>, ActivityError> {
        if message.to.kind != AddressKind::Phone {
            return Err(failure("address", "a text message goes to a telephone number"));
        }
        let length = message.text.chars().count();
        if length > TEXT_MAX {
            let message = format!("a text message has at most {TEXT_MAX} characters; this one has {length}");
            return Err(failure("too_long", message));
        }
        let mut form = vec![("To", message.to.value.clone())];
        form.push(match &self.settings.messaging_service_sid {
            Some(service) => ("MessagingServiceSid", service.clone()),
            None => ("From", message.from.clone().unwrap_or_else(|| self.settings.from.clone())),
        });
        if !message.text.is_empty() {
            form.push(("Body", message.text.clone()));
        }
        if message.attachments.len() > MEDIA_MAX {
            return Err(failure("too_many_files", format!("a text message has at most {MEDIA_MAX} files")));
        }
        for attachment in &message.attachments {
            match &attachment.at {
                AttachmentAt::Url(url) => form.push(("MediaUrl", url.clone())),
                AttachmentAt::Blob(_) => {
                    let message = "a file of ours cannot go with a text message: Twilio fetches files from a public address";
                    return Err(failure("file_not_public", message));
                }
            }
        }
        if let Some(callback) = self.settings.status_url.as_deref().and_then(|url| Url::parse(url).ok()) {
            form.push(("StatusCallback", callback_tail(callback, message)));
        }
        Ok(form)
    }
}

impl Sender for TwilioSend {
    fn is_keyed(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.post(sending))
    }
}

/// What Twilio says of a message that it took.
#[derive(Deserialize)]
struct Taken {
    sid: String,
}

/// What Twilio says of one that it did not take.
#[derive(Deserialize)]
struct Refused {
    code: Option<u32>,
    message: Option<String>,
}

pub(in crate::channels) fn outcome_of(answer: &Answer) -> SendOutcome {
    if answer.status.is_success() {
        return match serde_json::from_slice::<Taken>(&answer.body) {
            Ok(Taken { sid }) if is_sid(&sid) => SendOutcome::Accepted { provider_message_id: Some(sid) },
            // Something on the way may have answered for Twilio: whether Twilio heard of it nobody knows.
            Ok(_) | Err(_) => SendOutcome::Uncertain(failure(
                "unreadable_answer",
                format!("Twilio answered {} without a message's id: {}", answer.status, answer.text()),
            )),
        };
    }
    let Refused { code, message } =
        serde_json::from_slice(&answer.body).unwrap_or(Refused { code: None, message: None });
    let words = message.map_or_else(|| answer.text(), |message| said(&message));
    let told = format!("Twilio answered {}: {words}", answer.status.as_u16());
    let named = code.map_or_else(|| answer.code(), |code| code.to_string());
    let temporary = code.is_some_and(|code| TEMPORARY.contains(&code));
    if is_temporary(answer.status) || temporary {
        return SendOutcome::Retry { after: answer.retry_after, error: failure(named, told), down: true };
    }
    let unauthorized = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if unauthorized || answer.status.is_redirection() || code.is_some_and(|code| SETTINGS.contains(&code)) {
        tracing::error!(
            code = named,
            error = told,
            "Twilio refuses the account or its settings: see channels.sms"
        );
    }
    SendOutcome::Refused(failure(named, told))
}

/// `SM…` or `MM…` and 32 hexadecimal digits.
fn is_sid(text: &str) -> bool {
    let digits = text.strip_prefix("SM").or_else(|| text.strip_prefix("MM")).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
