//! `[channels.*]`: where messages come in and go out, one struct a channel.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use serde::Deserialize;

use throughline_workflows::{ids::TenantId, message::Channel};

use super::{rate::Rate, secret::Secret, web_url::WebUrl};

/// A rate that no provider minds.
const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Every channel of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// Short messages.
    pub sms: Sms,
    /// Mail.
    pub email: Email,
    /// Signed webhooks of one's own, by name.
    pub generic: BTreeMap<String, Generic>,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            sms: Sms::default(),
            email: Email::default(),
            generic: BTreeMap::from([("web".to_owned(), Generic::default())]),
        }
    }
}

/// What carries an outgoing message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A file in the folder `outbound` of the data folder.
    #[default]
    File,
    /// Whoever the channel's other keys name.
    Provider,
}

impl Transport {
    /// The name that stands in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Provider => "provider",
        }
    }
}

/// `[channels.sms]`: Twilio's short messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// How messages leave.
    pub transport: Transport,
    /// Where the provider's interface is.
    pub base_url: WebUrl,
    /// The account that sends.
    pub account_sid: Option<String>,
    /// Verifies the provider's webhooks and, the newest one, asks it to send.
    pub auth_token: Secret,
    /// The sender, where the customer wrote to none.
    pub from: String,
    /// The messaging service that sends, instead of one number.
    pub messaging_service_sid: Option<String>,
    /// The address that the provider was given, where it is not `server.public_url` and the path.
    pub webhook_url: Option<WebUrl>,
    /// The address where the provider reports what became of a message, likewise.
    pub status_webhook_url: Option<WebUrl>,
    /// How fast messages leave.
    pub rate: Option<Rate>,
}

impl Default for Sms {
    #[expect(clippy::expect_used, reason = "the text is a constant that every test reads")]
    fn default() -> Self {
        Self {
            transport: Transport::File,
            base_url: "https://api.twilio.com".parse().expect("the built-in address is a web address"),
            account_sid: None,
            auth_token: Secret::from_variable("TWILIO_AUTH_TOKEN"),
            from: "+15550100200".to_owned(),
            messaging_service_sid: None,
            webhook_url: None,
            status_webhook_url: None,
            rate: Some(Rate::per_second(TEN)),
        }
    }
}

/// `[channels.email]`: mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// How messages leave.
    pub transport: Transport,
    /// The address that writes and that customers answer to.
    pub from: String,
    /// Signs the token by which a reply finds its conversation; see [`super::Config::reply_token_key`].
    pub reply_token_key: Secret,
    /// Verifies what is posted to `raw/email`, by the convention of the generic webhook.
    pub raw_secret: Secret,
    /// The address that the sender of webhooks was given, where it is not `server.public_url` and the path.
    pub webhook_url: Option<WebUrl>,
    /// The mail server that takes what we send.
    pub smtp: Smtp,
    /// How fast mails leave.
    pub rate: Option<Rate>,
}

impl Default for Email {
    fn default() -> Self {
        Self {
            transport: Transport::File,
            from: "support@example.com".to_owned(),
            reply_token_key: Secret::default(),
            raw_secret: Secret::default(),
            webhook_url: None,
            smtp: Smtp::default(),
            rate: Some(Rate::per_second(TEN)),
        }
    }
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// It begins in the open and must be upgraded before anything is said.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

/// `[channels.email.smtp]`: the mail server that takes what we send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// Its name.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// The user name, where it asks for a login.
    pub username: Option<String>,
    /// The password, where it asks for a login.
    pub password: Secret,
    /// Certificates (PEM) to trust instead of the machine's own.
    pub ca_file: Option<PathBuf>,
}

impl Smtp {
    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.as_deref().and_then(|host| url::Host::parse(host).ok()) {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: None,
            port: 587,
            tls: Tls::Starttls,
            username: None,
            password: Secret::from_variable("SMTP_PASSWORD"),
            ca_file: None,
        }
    }
}

/// `[channels.generic.NAME]`: a channel behind a signed webhook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generic {
    /// How messages leave.
    pub transport: Transport,
    /// Verifies the webhooks and, the newest one, signs what is posted, by the Standard Webhooks convention.
    pub secret: Secret,
    /// Where answers are posted.
    pub url: Option<WebUrl>,
    /// The address that the sender was given, where it is not `server.public_url` and the path.
    pub webhook_url: Option<WebUrl>,
    /// How fast answers leave.
    pub rate: Option<Rate>,
}

impl Default for Generic {
    fn default() -> Self {
        Self {
            transport: Transport::File,
            secret: Secret::default(),
            url: None,
            webhook_url: None,
            rate: Some(Rate::per_second(TEN)),
        }
    }
}

impl Channels {
    /// The doors by which these channels' messages come in.
    pub fn doors(&self) -> Vec<Door<'_>> {
        let Self { sms, email, generic } = self;
        let sms = Door {
            channel: Channel::Sms,
            transport: sms.transport,
            secret: &sms.auth_token,
            key: "auth_token",
            path: "/api/webhooks/twilio/sms".to_owned(),
            webhook_url: sms.webhook_url.as_ref(),
        };
        let email = Door {
            channel: Channel::Email,
            transport: email.transport,
            secret: &email.raw_secret,
            key: "raw_secret",
            path: "/api/webhooks/raw/email".to_owned(),
            webhook_url: email.webhook_url.as_ref(),
        };
        let generic = generic.iter().map(|(name, generic)| Door {
            channel: Channel::Generic(name.clone()),
            transport: generic.transport,
            secret: &generic.secret,
            key: "secret",
            path: format!("/api/webhooks/generic/{name}"),
            webhook_url: generic.webhook_url.as_ref(),
        });
        [sms, email].into_iter().chain(generic).collect()
    }

    /// The same channels without the addresses that providers of another tenant were given.
    #[must_use]
    pub(super) fn without_webhook_urls(mut self) -> Self {
        self.sms.webhook_url = None;
        self.sms.status_webhook_url = None;
        self.email.webhook_url = None;
        self.generic.values_mut().for_each(|generic| generic.webhook_url = None);
        self
    }

    /// The address where the provider of text messages reports what became of one, letter by letter.
    pub fn sms_status_url(&self, public_url: &WebUrl, tenant: &TenantId) -> String {
        let url = self.sms.status_webhook_url.as_ref();
        address(url, "/api/webhooks/twilio/sms/status", public_url, tenant)
    }

    /// Whether the provider of text messages could report to us: one elsewhere cannot reach this machine by a name that
    /// only this machine has.
    pub fn sms_reports_arrive(&self, public_url: &WebUrl) -> bool {
        let Sms { status_webhook_url, base_url, .. } = &self.sms;
        status_webhook_url.is_some() || !public_url.is_loopback() || base_url.is_loopback()
    }

    /// The channels that send through a provider from the address that is built in as an example.
    pub(super) fn sending_as_the_example(&self) -> Vec<&'static str> {
        let Self { sms, email, .. } = self;
        let provider = |transport| transport == Transport::Provider;
        let sms_does = provider(sms.transport)
            && sms.messaging_service_sid.is_none()
            && sms.from == Sms::default().from
            && !sms.base_url.is_loopback();
        let email_does =
            provider(email.transport) && email.from == Email::default().from && !email.smtp.is_loopback();
        [("sms", sms_does), ("email", email_does)]
            .into_iter()
            .filter(|(_, does)| *does)
            .map(|(name, _)| name)
            .collect()
    }

    /// Every secret, with the path of its key below `channels`.
    pub(super) fn secrets(&mut self) -> Vec<(Vec<&str>, &mut Secret)> {
        let mut secrets = vec![
            (vec!["sms", "auth_token"], &mut self.sms.auth_token),
            (vec!["email", "reply_token_key"], &mut self.email.reply_token_key),
            (vec!["email", "raw_secret"], &mut self.email.raw_secret),
            (vec!["email", "smtp", "password"], &mut self.email.smtp.password),
        ];
        for (name, generic) in &mut self.generic {
            secrets.push((vec!["generic", name, "secret"], &mut generic.secret));
        }
        secrets
    }
}

/// A channel as its webhooks see it.
#[derive(Clone, Debug)]
pub struct Door<'a> {
    /// The channel, shown as `generic:web` and standing in keys and paths as `generic.web`.
    pub channel: Channel,
    /// How messages leave.
    pub transport: Transport,
    /// What verifies a webhook.
    pub secret: &'a Secret,
    /// The key that sets it.
    pub key: &'static str,
    /// Where webhooks of the default tenant are posted.
    path: String,
    webhook_url: Option<&'a WebUrl>,
}

impl Door<'_> {
    /// The door's name in paths, for example `twilio/sms`.
    pub fn name(&self) -> &str {
        self.path.strip_prefix("/api/webhooks/").unwrap_or(&self.path)
    }

    /// The address that the provider was given, letter by letter.
    pub fn url(&self, public_url: &WebUrl, tenant: &TenantId) -> String {
        address(self.webhook_url, &self.path, public_url, tenant)
    }
}

fn address(given: Option<&WebUrl>, path: &str, public_url: &WebUrl, tenant: &TenantId) -> String {
    match given {
        Some(url) => url.as_str().to_owned(),
        None if *tenant == TenantId::default_tenant() => public_url.with_path(path),
        None => public_url.with_path(&format!("/t/{tenant}{path}")),
    }
}
