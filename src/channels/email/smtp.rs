//! Mail through a mail server (RFC 5321), with STARTTLS, TLS or neither, and with or without a login.
//!
//! The bytes are those of [`super::compose`], the same on every try, `Message-ID` included: a mail that is sent again
//! after a lost answer is one mail to every mail program, so this counts as keyed. Connections are kept and used again.
//! Source of the codes: RFC 5321 (4.2.1), RFC 3463 (enhanced status).

use std::{error::Error as _, path::Path};

use anyhow::Context as _;
use futures::future::BoxFuture;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    address::Envelope,
    transport::smtp::{
        self, PoolConfig,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use throughline_workflows::workflow::ActivityError;

use super::compose::{ComposeError, Mail, MailSender, compose};
use crate::channels::sending::{SendOutcome, Sender, Sending, TRY_MAX, failure, file_of, read_files, said};

/// Connections that are kept for one tenant.
const CONNECTIONS_MAX: u32 = 4;

/// The code of an error that is a login's.
pub const AUTHENTICATION: &str = "authentication";

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It begins in the open and must be upgraded before anything is said (port 587).
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None.
    None,
}

/// Where mail is handed in.
#[derive(Clone)]
pub struct SmtpSettings {
    /// The server's name, which its certificate must show.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
    /// User name and password, where it asks for them.
    pub login: Option<(String, String)>,
    /// A file of certificates (PEM) to trust instead of the machine's own.
    pub trusted: Option<Box<Path>>,
}

/// Hands a tenant's mail to its mail server.
pub struct Smtp {
    sender: MailSender,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
}

impl Smtp {
    /// A transport; no connection is made yet.
    ///
    /// # Errors
    /// The certificates to trust cannot be read.
    pub fn new(settings: &SmtpSettings, sender: MailSender) -> anyhow::Result<Self> {
        let tls = match settings.protection {
            Protection::Starttls => Tls::Required(tls(settings)?),
            Protection::Tls => Tls::Wrapper(tls(settings)?),
            Protection::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(TRY_MAX))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX));
        if let Some((user, password)) = &settings.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        let server = format!("{}:{}", settings.host, settings.port);
        Ok(Self { sender, transport: builder.build(), server })
    }

    /// Hands one composed mail to the server, once.
    pub async fn carry(&self, mail: &Mail, to: &str) -> SendOutcome {
        let address = |text: &str| {
            text.parse::<Address>().map_err(|error| {
                SendOutcome::Refused(failure(
                    "address",
                    format!("no mail can go between these addresses: {error}"),
                ))
            })
        };
        let envelope = address(&self.sender.from).and_then(|from| {
            Envelope::new(Some(from), vec![address(to)?])
                .map_err(|error| SendOutcome::Refused(failure("address", error.to_string())))
        });
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(refused) => return refused,
        };
        match tokio::time::timeout(TRY_MAX, self.transport.send_raw(&envelope, &mail.bytes)).await {
            Ok(Ok(_)) => SendOutcome::Accepted { provider_message_id: Some(mail.message_id.clone()) },
            Ok(Err(error)) => self.outcome_of(&error),
            Err(_) => {
                let message = format!("the mail server {} did not answer in time", self.server);
                SendOutcome::down(failure("timeout", message))
            }
        }
    }

    async fn compose_and_carry(&self, sending: Sending<'_>) -> SendOutcome {
        let files = match read_files(&sending).await {
            Ok(files) => files,
            Err(outcome) => return outcome,
        };
        let read = |key: &str| file_of(&files, key);
        let Sending { activity_id, message, asked_at, .. } = sending;
        match compose(&self.sender, activity_id, message, asked_at, &read) {
            Ok(mail) => self.carry(&mail, &message.to.value).await,
            Err(error @ ComposeError::Blob { .. }) => {
                SendOutcome::later(failure("file_unreadable", error.to_string()))
            }
            Err(error) => SendOutcome::Refused(failure("compose", error.to_string())),
        }
    }

    fn outcome_of(&self, error: &smtp::Error) -> SendOutcome {
        let code = error.status().map(|code| code.to_string());
        let words = said(&words_of(error));
        let (code, enhanced) = (code.unwrap_or_default(), enhanced_status(&words));
        if error.is_permanent() {
            // 530 and 534 ask for another login, 535 refuses this one (RFC 4954, 6).
            if matches!(code.as_str(), "530" | "534" | "535" | "538") {
                tracing::error!(server = %self.server, code, "the mail server refuses the login: see channels.email.smtp");
                return SendOutcome::Refused(failure(AUTHENTICATION, self.told(&code, &words)));
            }
            let full = enhanced.as_deref() == Some("5.2.2"); // A full mailbox is emptied one day.
            let failure = failure(enhanced.unwrap_or(code.clone()), self.told(&code, &words));
            return if full { SendOutcome::later(failure) } else { SendOutcome::Refused(failure) };
        }
        if error.is_transient() {
            let failure = failure(enhanced.unwrap_or(code.clone()), self.told(&code, &words));
            // 421 is the server going away; the rest is about this mail, and greylisting is ordinary.
            return if code == "421" { SendOutcome::down(failure) } else { SendOutcome::later(failure) };
        }
        if error.is_client() {
            // The server offers no way to log in that is known here, or does not know STARTTLS.
            tracing::error!(server = %self.server, error = words, "the mail server cannot be used: see channels.email.smtp");
            return SendOutcome::down(failure("mail_server", self.told("", &words)));
        }
        let code = match (error.is_timeout(), error.is_tls()) {
            (true, _) => "timeout",
            (_, true) => "tls",
            (false, false) => "connection",
        };
        SendOutcome::down(failure(code, self.told("", &words)))
    }

    fn told(&self, code: &str, words: &str) -> String {
        let code = if code.is_empty() { String::new() } else { format!(" {code}") };
        format!("mail server {}:{code} {words}", self.server)
    }
}

impl Sender for Smtp {
    fn is_keyed(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.compose_and_carry(sending))
    }
}

fn tls(settings: &SmtpSettings) -> anyhow::Result<TlsParameters> {
    let mut parameters = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.trusted {
        let named = || format!("channels.email.smtp.ca_file: {}", file.display());
        let pem = std::fs::read(file).with_context(named)?;
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem).with_context(named)?);
    }
    parameters.build().context("channels.email.smtp: no certificates to trust")
}

/// What the server or the connection said; the error's own first words name only its kind.
fn words_of(error: &smtp::Error) -> String {
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(one) = cause {
        words.push(one.to_string());
        cause = one.source();
    }
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

/// The enhanced status `CLASS.SUBJECT.DETAIL` that a reply begins with or holds (RFC 3463).
pub(in crate::channels) fn enhanced_status(text: &str) -> Option<String> {
    let is_one = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        let number = |part: &&str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        matches!(parts.as_slice(), [class @ ("2" | "4" | "5"), subject, detail]
            if number(class, 1) && number(subject, 3) && number(detail, 3))
    };
    text.split(|c: char| !c.is_ascii_digit() && c != '.').find(is_one).map(str::to_owned)
}

/// An error of a mail that was given back by another server than ours, as [`super::bounce`] reads it.
pub(super) fn bounced(status: Option<String>, words: &str) -> ActivityError {
    failure(status.unwrap_or_else(|| "bounced".to_owned()), said(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enhanced_status_is_found_in_a_reply() {
        assert_eq!(enhanced_status("5.1.1 <gone@x.example>: no such user").as_deref(), Some("5.1.1"));
        assert_eq!(enhanced_status("smtp; 550 5.7.26 refused").as_deref(), Some("5.7.26"));
        assert_eq!(enhanced_status("[192.0.2.25] says 4.2.1 later").as_deref(), Some("4.2.1"));
        assert_eq!(enhanced_status("host 10.1.1.4 refused"), None);
        assert_eq!(enhanced_status("no such user"), None);
    }
}
