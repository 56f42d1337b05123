//! `[channels.*]`: where messages come in and go out, one struct a channel.

use std::collections::BTreeMap;

use serde::Deserialize;

use throughline_workflows::{ids::TenantId, message::Channel};

use super::{secret::Secret, web_url::WebUrl};

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
}

impl Transport {
    /// The name that stands in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
        }
    }
}

/// `[channels.sms]`: Twilio's short messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// How messages leave.
    pub transport: Transport,
    /// Where the provider's interface is. For sending through it, which this version does not do.
    pub base_url: WebUrl,
    /// The account that sends. For sending through the provider, which this version does not do.
    pub account_sid: Option<String>,
    /// Verifies the provider's webhooks.
    pub auth_token: Secret,
    /// The sender, where the customer wrote to none.
    pub from: String,
    /// The messaging service that sends, instead of one number. Without effect in this version.
    pub messaging_service_sid: Option<String>,
    /// The address that the provider was given, where it is not `server.public_url` and the path.
    pub webhook_url: Option<WebUrl>,
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
}

impl Default for Email {
    fn default() -> Self {
        Self {
            transport: Transport::File,
            from: "support@example.com".to_owned(),
            reply_token_key: Secret::default(),
            raw_secret: Secret::default(),
            webhook_url: None,
        }
    }
}

/// `[channels.generic.NAME]`: a channel behind a signed webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generic {
    /// How messages leave.
    pub transport: Transport,
    /// Verifies the webhooks, by the Standard Webhooks convention.
    pub secret: Secret,
    /// Where answers are to be posted. Without effect in this version, which writes them to files.
    pub url: Option<WebUrl>,
    /// The address that the sender was given, where it is not `server.public_url` and the path.
    pub webhook_url: Option<WebUrl>,
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
        self.email.webhook_url = None;
        self.generic.values_mut().for_each(|generic| generic.webhook_url = None);
        self
    }

    /// Every secret, with the path of its key below `channels`.
    pub(super) fn secrets(&mut self) -> Vec<(Vec<&str>, &mut Secret)> {
        let mut secrets = vec![
            (vec!["sms", "auth_token"], &mut self.sms.auth_token),
            (vec!["email", "reply_token_key"], &mut self.email.reply_token_key),
            (vec!["email", "raw_secret"], &mut self.email.raw_secret),
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
        match self.webhook_url {
            Some(url) => url.as_str().to_owned(),
            None if *tenant == TenantId::default_tenant() => public_url.with_path(&self.path),
            None => public_url.with_path(&format!("/t/{tenant}{}", self.path)),
        }
    }
}
