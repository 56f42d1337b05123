//! A notice to somebody of ours: a plain mail that nobody answers, and no machine should.

use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw, text::Text},
};
use sha2::{Digest, Sha256};

use throughline_workflows::time::Timestamp;

use super::{ComposeError, Mail, mailbox};
use crate::channels::{
    address,
    draft::{NAME_MAX, SUBJECT_MAX, line, prose},
};

/// What is told, by whom and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `channels.email.from`.
    pub from: String,
    /// The name shown beside it.
    pub tenant_name: String,
    /// Whom it goes to.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// Its `Date`.
    pub at: Timestamp,
}

/// Writes the mail that activity `activity_id` sends; the same again is the same mail.
///
/// # Errors
/// [`ComposeError`], and another try is no use.
pub fn compose_notice(activity_id: &str, notice: &Notice) -> Result<Mail, ComposeError> {
    let from =
        address::email(&notice.from).ok_or_else(|| ComposeError::Sender(line(&notice.from, NAME_MAX)))?;
    let to = address::email(&notice.to).ok_or_else(|| ComposeError::Recipient(line(&notice.to, NAME_MAX)))?;
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let message_id = format!("{:.32}@{domain}", format!("{:x}", Sha256::digest(activity_id)));
    let mut bytes = mailbox("From", Some(&notice.tenant_name), &from).into_bytes();
    bytes.extend_from_slice(mailbox("To", None, &to).as_bytes());
    let mut text = prose(&notice.text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    MessageBuilder::new()
        .header("Subject", Text::new(line(&notice.subject, SUBJECT_MAX)))
        .date(Date::new(i64::try_from(notice.at.as_seconds()).unwrap_or(0)))
        .message_id(message_id.clone())
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .text_body(text)
        .write_to(&mut bytes)
        .map_err(ComposeError::Write)?;
    Ok(Mail { message_id, reply_to: None, bytes })
}
