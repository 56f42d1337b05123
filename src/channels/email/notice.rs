//! A notice: a mail of the server's own to somebody who runs it, in no conversation and with nothing to answer.

use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw, text::Text},
};

use throughline_workflows::time::Timestamp;

use super::compose::{ComposeError, Mail, MailSender, mailbox};
use crate::channels::{
    address,
    draft::{NAME_MAX, SUBJECT_MAX, line, prose},
};

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Names it, and is the same whenever the same thing is told: 1 to 100 of `a-z`, `0-9`, `.`, `-` and `_`. Another
    /// try under it is the same mail.
    pub id: String,
    /// A mail address.
    pub to: String,
    /// In a few words.
    pub subject: String,
    /// In full.
    pub text: String,
    /// Its `Date`: the engine's time at which it came to be, the same on every try.
    pub at: Timestamp,
}

impl Notice {
    /// Whether its id can be a file's name and part of a `Message-ID`.
    pub fn is_named(&self) -> bool {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        (1..=100).contains(&self.id.len()) && !self.id.starts_with('.') && self.id.bytes().all(legal)
    }
}

/// Writes the mail: from the tenant, automatic (RFC 3834), the same bytes each time.
///
/// # Errors
/// [`ComposeError`]; another try is of no use.
pub fn compose(sender: &MailSender, notice: &Notice) -> Result<Mail, ComposeError> {
    let from =
        address::email(&sender.from).ok_or_else(|| ComposeError::Sender(line(&sender.from, NAME_MAX)))?;
    let to = address::email(&notice.to).ok_or_else(|| ComposeError::Recipient(line(&notice.to, NAME_MAX)))?;
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    // Not of the form of a conversation's mails: an answer to it begins one of its own.
    let message_id = format!("notice.{}@{domain}", notice.id);
    let mut text = prose(&notice.text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut head = mailbox("From", Some(&sender.tenant_name), &from);
    head.push_str(&mailbox("To", None, &to));
    let mut bytes = head.into_bytes();
    MessageBuilder::new()
        .header("Subject", Text::new(line(&notice.subject, SUBJECT_MAX)))
        .date(Date::new(i64::try_from(notice.at.as_seconds()).unwrap_or(0)))
        .message_id(message_id.clone())
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .text_body(text.replace('\n', "\r\n"))
        .write_to(&mut bytes)
        .map_err(ComposeError::Write)?;
    Ok(Mail { message_id, reply_to: None, bytes })
}

#[cfg(test)]
mod tests {
    use throughline_workflows::ids::TenantId;

    use super::*;
    use crate::channels::reply_token::ReplyKeys;

    fn notice() -> Notice {
        Notice {
            id: "unreachable-0193".to_owned(),
            to: "lead@example.com".to_owned(),
            subject: "A customer cannot be reached\r\nBcc: everybody@example.com".to_owned(),
            text: "Grüße".to_owned(),
            at: "2026-11-21T09:30:00Z".parse().unwrap(),
        }
    }

    fn sender() -> MailSender {
        let replies = ReplyKeys::new(TenantId::default_tenant(), vec![b"key".to_vec()]);
        MailSender { from: "support@example.com".to_owned(), tenant_name: "Acme".to_owned(), replies }
    }

    #[test]
    fn a_notice_is_the_same_mail_each_time_and_says_that_a_machine_wrote_it() {
        let mail = compose(&sender(), &notice()).unwrap();
        assert_eq!(mail, compose(&sender(), &notice()).unwrap());
        assert_eq!(mail.message_id, "notice.unreachable-0193@example.com");
        let text = String::from_utf8(mail.bytes).unwrap();
        assert!(text.contains("Auto-Submitted: auto-generated\r\n"), "{text}");
        assert!(!text.contains("\nBcc:"), "{text}");
    }

    #[test]
    fn a_name_that_is_no_file_name_is_not_one() {
        for id in ["", "../etc", "Ü", ".hidden", "a b"] {
            assert!(!Notice { id: id.to_owned(), ..notice() }.is_named(), "{id}");
        }
        assert!(notice().is_named());
    }
}
