//! Whether a machine wrote a mail: then no machine may answer it, or two of them talk for ever.
//!
//! Sources: RFC 3834 (automatic responses), RFC 2919 and 2369 (lists), RFC 6522 (reports), Microsoft's
//! MS-OXCMAIL (`X-Auto-Response-Suppress`); the rest is convention. A false alarm costs one acknowledgement, so a
//! header that people's mail programs never set is enough.

use throughline_workflows::message::Address;

use crate::channels::email::headers::Headers;

/// Senders that nobody reads the answers of.
const ROLES: [&str; 6] = ["mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply"];

/// Headers whose presence alone tells.
const TELLING: [(&str, &str); 8] = [
    ("list-id", "mailing_list"),
    ("list-unsubscribe", "mailing_list"),
    ("list-post", "mailing_list"),
    ("x-autoreply", "auto_reply"),
    ("x-autorespond", "auto_reply"),
    ("x-autoresponse", "auto_reply"),
    ("x-loop", "loop"),
    ("feedback-id", "bulk"),
];

/// What tells that a machine wrote this, as a stable word; none for a person's mail.
pub(super) fn reason(headers: &Headers, from: &Address, own: &[String]) -> Option<&'static str> {
    // The most telling first: a bounce is also "auto-replied" and comes from a role address.
    if headers.all("content-type").any(|value| value.to_ascii_lowercase().starts_with("multipart/report")) {
        return Some("report");
    }
    if headers.all("auto-submitted").any(|value| first_word(value) != "no") {
        return Some("auto_submitted");
    }
    if headers.all("return-path").any(|value| value.is_empty() || value.replace(' ', "") == "<>") {
        return Some("empty_return_path");
    }
    if headers
        .all("precedence")
        .any(|value| matches!(&*first_word(value), "bulk" | "junk" | "list" | "auto_reply"))
    {
        return Some("bulk");
    }
    if headers.all("x-auto-response-suppress").any(suppresses) {
        return Some("auto_response_suppress");
    }
    if let Some((_, word)) = TELLING.iter().find(|(name, _)| headers.has(name)) {
        return Some(word);
    }
    if is_own(&from.value, own) {
        return Some("own_address");
    }
    let local = from.value.rsplit(['/']).next().unwrap_or_default();
    let local = local.split(['@', '+']).next().unwrap_or_default();
    ROLES.contains(&local).then_some("role_address")
}

/// Whether `address` is one of `own`, whatever stands after the plus sign.
pub(super) fn is_own(address: &str, own: &[String]) -> bool {
    let plain = |address: &str| match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or_default()),
        None => address.to_owned(),
    };
    own.iter().any(|one| plain(one) == plain(address))
}

/// The first word of a value: parameters and comments follow it.
fn first_word(value: &str) -> String {
    let end = value.find(|c: char| c == ';' || c == '(' || c.is_whitespace()).unwrap_or(value.len());
    value[..end].to_ascii_lowercase()
}

fn suppresses(value: &str) -> bool {
    const KINDS: [&str; 6] = ["all", "autoreply", "oof", "dr", "rn", "nrn"];
    value.split([',', ';', ' ']).any(|kind| KINDS.contains(&kind.trim().to_ascii_lowercase().as_str()))
}
