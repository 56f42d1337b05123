//! The other side of the doors: signs and sends as the providers do, without any code of the server's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::server::{Answer, PUBLIC_URL, Server};

/// The Twilio auth token of sites that verify.
pub(crate) const AUTH_TOKEN: &str = "a-twilio-auth-token";

/// An SMS as Twilio posts it, signed over its URL and sorted parameters.
pub(crate) async fn sms(
    server: &Server,
    sid: &str,
    from: &str,
    text: &str,
) -> Result<reqwest::Response, reqwest::Error> {
    let fields = sms_fields(sid, from, text);
    let signature = twilio_signature(&format!("{PUBLIC_URL}/api/webhooks/twilio/sms"), &fields, AUTH_TOKEN);
    let body = form(&fields);
    server
        .client
        .post(format!("{}/api/webhooks/twilio/sms", server.base))
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("x-twilio-signature", signature)
        .body(body)
        .send()
        .await
}

pub(crate) fn sms_fields(sid: &str, from: &str, text: &str) -> Vec<(&'static str, String)> {
    [
        ("ToCountry", "US"),
        ("ToCity", ""),
        ("SmsMessageSid", sid),
        ("NumMedia", "0"),
        ("SmsSid", sid),
        ("SmsStatus", "received"),
        ("Body", text),
        ("To", "+15550100200"),
        ("NumSegments", "1"),
        ("MessageSid", sid),
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("From", from),
        ("ApiVersion", "2010-04-01"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect()
}

pub(crate) fn twilio_signature(url: &str, fields: &[(&str, String)], token: &str) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort();
    let mut signed = url.to_owned();
    for (name, value) in sorted {
        signed.push_str(name);
        signed.push_str(&value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

pub(crate) fn form(fields: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A message by the unsigned generic door.
pub(crate) fn generic_body(id: &str, email: &str, text: &str) -> Value {
    json!({ "id": id, "from": { "email": email, "name": "Ada Whitfield" }, "text": text })
}

pub(crate) async fn generic(server: &Server, id: &str, email: &str, text: &str) -> Answer {
    let request = server
        .client
        .post(format!("{}/api/webhooks/generic/web", server.base))
        .json(&generic_body(id, email, text));
    Answer::of(request).await
}

/// The secret of sites whose generic door verifies.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0LXNpdGVz";

/// A message by the generic door, signed by the Standard Webhooks convention.
pub(crate) async fn signed_generic(server: &Server, body: &Value) -> Answer {
    let body = body.to_string();
    let timestamp = now_seconds();
    let signature = webhook_signature("msg-1", &timestamp.to_string(), &body);
    let request = server
        .client
        .post(format!("{}/api/webhooks/generic/web", server.base))
        .header("content-type", "application/json")
        .header("webhook-id", "msg-1")
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", format!("v1,{signature}"))
        .body(body);
    Answer::of(request).await
}

/// The Standard Webhooks signature under [`WEBHOOK_SECRET`], in base64.
pub(crate) fn webhook_signature(id: &str, timestamp: &str, body: &str) -> String {
    let key = STANDARD.decode(WEBHOOK_SECRET.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[expect(clippy::disallowed_methods, reason = "a provider stamps its requests by its own clock")]
fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A raw mail.
pub(crate) async fn mail(server: &Server, eml: impl Into<String>) -> Answer {
    let request = server
        .client
        .post(format!("{}/api/webhooks/raw/email", server.base))
        .header("content-type", "message/rfc822")
        .body(eml.into());
    Answer::of(request).await
}
