//! From the configuration to the doors: which adapter takes what, for which tenant, under which address.

use std::sync::Arc;

use anyhow::Context as _;
use throughline_workflows::{ids::TenantId, message::Channel};

use crate::{
    channels::{
        Adapter,
        email::{RawEmail, RawEmailSettings},
        generic::{Generic, GenericSettings},
        signature::WebhookSecret,
        twilio_sms::{TwilioSms, TwilioSmsSettings, status::TwilioSmsStatus},
    },
    config::{Channels, Config, Secret},
    http::{Door, Doors},
    performers::reply_keys,
};

/// The doors of every tenant.
///
/// # Errors
/// A key file cannot be made or read, or a secret is not one.
pub(super) fn doors(config: &Config) -> anyhow::Result<Doors> {
    let mut doors = Doors::new();
    for id in config.tenant_ids() {
        for (path, door) in doors_of(config, &id)? {
            doors.open(id.clone(), path, door);
        }
    }
    Ok(doors)
}

/// The doors of one tenant, each with its path.
///
/// # Errors
/// A key file cannot be made or read, or a secret is not one.
pub(super) fn doors_of(config: &Config, id: &TenantId) -> anyhow::Result<Vec<(String, Door)>> {
    let mut doors = Vec::new();
    if let Some(tenant) = config.tenant(id) {
        let replies = reply_keys(config, id)?;
        let Channels { sms, email, generic } = &tenant.channels;
        let mut adapters: Vec<(Channel, Arc<dyn Adapter>)> = Vec::new();
        let tokens = sms.auth_token.values().map(str::to_owned).collect();
        let twilio = TwilioSmsSettings { auth_tokens: tokens };
        let status = Door {
            adapter: Arc::new(TwilioSmsStatus::new(twilio.clone())),
            channel: Channel::Sms.to_string(),
            url: tenant.channels.sms_status_url(&config.server.public_url, id),
        };
        doors.push(("twilio/sms/status".to_owned(), status));
        adapters.push((Channel::Sms, Arc::new(TwilioSms::new(twilio))));
        let mail = RawEmailSettings {
            own_addresses: vec![email.from.clone()],
            replies: replies.clone(),
            secrets: webhook_secrets(&email.raw_secret).context("channels.email.raw_secret")?,
        };
        adapters.push((Channel::Email, Arc::new(RawEmail::new(mail))));
        for (name, channel) in generic {
            let settings = GenericSettings {
                name: name.clone(),
                secrets: webhook_secrets(&channel.secret)
                    .with_context(|| format!("channels.generic.{name}.secret"))?,
                replies: replies.clone(),
            };
            adapters.push((Channel::Generic(name.clone()), Arc::new(Generic::new(settings))));
        }
        for configured in tenant.channels.doors() {
            let adapter = adapters.iter().find(|(channel, _)| *channel == configured.channel);
            let Some((_, adapter)) = adapter else { continue };
            let door = Door {
                adapter: adapter.clone(),
                channel: configured.channel.to_string(),
                url: configured.url(&config.server.public_url, id),
            };
            doors.push((configured.name().to_owned(), door));
        }
    }
    Ok(doors)
}

fn webhook_secrets(secret: &Secret) -> anyhow::Result<Vec<WebhookSecret>> {
    secret.values().map(|value| Ok(WebhookSecret::parse(value)?)).collect()
}
