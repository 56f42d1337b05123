//! From the configuration to the ways out: which transport carries what, for which tenant, behind which gate.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use futures::future::BoxFuture;
use reqwest::Client;
use throughline_actors::clock::Clock;
use throughline_workflows::{ids::TenantId, message::Channel};

use super::{Tenant, reply_keys};
use crate::{
    channels::{
        email::{
            compose::{Mail, MailSender},
            notice::Notice,
            smtp::{Protection, Smtp, SmtpSettings},
        },
        file::{FileSender, FileTransport},
        generic::post::{Post, PostSettings},
        sending::{SendOutcome, Sender, Sending, failure, gate::Gate, http, rate},
        signature::WebhookSecret,
        twilio_sms::send::{TwilioSend, TwilioSendSettings},
    },
    config::{Config, Email, Generic, Rate, Sms, TenantConfig, Tls, Transport},
};

/// One channel's way out.
pub(super) struct Route {
    pub(super) sender: Arc<dyn Sender>,
    pub(super) gate: Gate,
}

/// How a tenant's mail leaves, also mail that belongs to no conversation.
#[derive(Clone)]
pub(super) enum Mailbox {
    File(FileTransport, MailSender),
    Smtp(Arc<Smtp>, MailSender),
}

impl Mailbox {
    pub(super) fn sender(&self) -> &MailSender {
        match self {
            Self::File(_, sender) | Self::Smtp(_, sender) => sender,
        }
    }

    /// Sends a notice's mail, once.
    pub(super) async fn carry(&self, notice: &Notice, mail: Mail) -> SendOutcome {
        match self {
            Self::Smtp(smtp, _) => smtp.carry(&mail, &notice.to).await,
            Self::File(files, _) => {
                let (files, id) = (files.clone(), mail.message_id.clone());
                let name = format!("notice.{}", notice.id);
                let written = tokio::task::spawn_blocking(move || files.write_notice(&name, &mail)).await;
                match written {
                    Ok(Ok(())) => SendOutcome::Accepted { provider_message_id: Some(id) },
                    Ok(Err(error)) => SendOutcome::down(failure("file", error.to_string())),
                    Err(error) => SendOutcome::down(failure("file", error.to_string())),
                }
            }
        }
    }
}

/// A mail transport shared by conversations and notices.
struct Shared(Arc<Smtp>);

impl Sender for Shared {
    fn is_keyed(&self) -> bool {
        self.0.is_keyed()
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome> {
        self.0.send(sending)
    }
}

/// The ways out of every tenant.
pub(super) fn tenants(config: &Config, clock: &Clock) -> anyhow::Result<BTreeMap<TenantId, Arc<Tenant>>> {
    let mut ways = Ways::new(config, clock);
    let mut tenants = BTreeMap::new();
    for id in config.tenant_ids() {
        let Some(tenant) = config.tenant(&id) else { continue };
        tenants.insert(id, Arc::new(ways.of(&tenant)?));
    }
    Ok(tenants)
}

/// The ways out of one tenant; none where it is not configured.
pub(super) fn tenant(config: &Config, id: &TenantId, clock: &Clock) -> anyhow::Result<Option<Tenant>> {
    config.tenant(id).map(|tenant| Ways::new(config, clock).of(&tenant)).transpose()
}

struct Ways<'a> {
    config: &'a Config,
    clock: &'a Clock,
    files: FileTransport,
    /// Made when a channel first needs it: a server that writes files needs no certificates.
    client: Option<Client>,
}

impl<'a> Ways<'a> {
    fn new(config: &'a Config, clock: &'a Clock) -> Self {
        let files = FileTransport::new(config.storage.path.join("outbound"));
        Self { config, clock, files, client: None }
    }

    fn of(&mut self, tenant: &TenantConfig) -> anyhow::Result<Tenant> {
        let sender = MailSender {
            from: tenant.channels.email.from.clone(),
            tenant_name: tenant.name.clone(),
            replies: reply_keys(self.config, &tenant.id)?,
        };
        let channels = &tenant.channels;
        let mut routes = BTreeMap::new();
        let sms = match channels.sms.transport {
            Transport::File => self.file(&sender, Some(channels.sms.from.clone())),
            Transport::Provider => self.twilio(tenant, &channels.sms)?,
        };
        self.add(&mut routes, tenant, Channel::Sms, sms, channels.sms.rate);
        let mailbox = self.mailbox(&channels.email, &sender)?;
        let email: Arc<dyn Sender> = match &mailbox {
            Mailbox::File(..) => self.file(&sender, None),
            Mailbox::Smtp(smtp, _) => Arc::new(Shared(smtp.clone())),
        };
        self.add(&mut routes, tenant, Channel::Email, email, channels.email.rate);
        for (name, generic) in &channels.generic {
            let way = match generic.transport {
                Transport::File => self.file(&sender, None),
                Transport::Provider => self.post(tenant, name, generic)?,
            };
            self.add(&mut routes, tenant, Channel::Generic(name.clone()), way, generic.rate);
        }
        Ok(Tenant { routes, mailbox })
    }

    fn add(
        &self,
        routes: &mut BTreeMap<Channel, Arc<Route>>,
        tenant: &TenantConfig,
        channel: Channel,
        sender: Arc<dyn Sender>,
        rate: Option<Rate>,
    ) {
        let through_provider = match &channel {
            Channel::Sms => tenant.channels.sms.transport == Transport::Provider,
            Channel::Email => tenant.channels.email.transport == Transport::Provider,
            Channel::Generic(name) => {
                tenant.channels.generic.get(name).is_some_and(|one| one.transport == Transport::Provider)
            }
            _ => false,
        };
        // A folder has no rate to keep to.
        let rate = rate.filter(|_| through_provider);
        let rate = rate.map(|rate| rate::Rate { count: rate.count(), span: rate.span() });
        let gate = Gate::new(format!("{channel} of {}", tenant.id), rate, self.clock.clone());
        routes.insert(channel, Arc::new(Route { sender, gate }));
    }

    fn file(&self, sender: &MailSender, from: Option<String>) -> Arc<dyn Sender> {
        Arc::new(FileSender { files: self.files.clone(), sender: sender.clone(), from })
    }

    fn client(&mut self) -> anyhow::Result<Client> {
        if self.client.is_none() {
            self.client = Some(http::client().context("a client for the providers cannot be made")?);
        }
        self.client.clone().context("there is no client for the providers")
    }

    fn mailbox(&self, email: &Email, sender: &MailSender) -> anyhow::Result<Mailbox> {
        if email.transport == Transport::File {
            return Ok(Mailbox::File(self.files.clone(), sender.clone()));
        }
        let smtp = &email.smtp;
        let password = smtp.password.newest().map(str::to_owned);
        let settings = SmtpSettings {
            host: smtp.host.clone().context("channels.email.smtp.host is missing")?,
            port: smtp.port,
            protection: match smtp.tls {
                Tls::Starttls => Protection::Starttls,
                Tls::Tls => Protection::Tls,
                Tls::None => Protection::None,
            },
            login: smtp.username.clone().zip(password),
            trusted: smtp.ca_file.as_deref().map(Into::into),
        };
        Ok(Mailbox::Smtp(Arc::new(Smtp::new(&settings, sender.clone())?), sender.clone()))
    }

    fn twilio(&mut self, tenant: &TenantConfig, sms: &Sms) -> anyhow::Result<Arc<dyn Sender>> {
        let public_url = &self.config.server.public_url;
        // A provider elsewhere cannot report to this machine by a name that only this machine has.
        let reachable =
            sms.status_webhook_url.is_some() || !public_url.is_loopback() || sms.base_url.is_loopback();
        let settings = TwilioSendSettings {
            base_url: sms.base_url.as_str().trim_end_matches('/').to_owned(),
            account_sid: sms.account_sid.clone().context("channels.sms.account_sid is missing")?,
            auth_token: sms.auth_token.newest().context("channels.sms.auth_token is missing")?.to_owned(),
            from: sms.from.clone(),
            messaging_service_sid: sms.messaging_service_sid.clone(),
            status_url: reachable.then(|| tenant.channels.sms_status_url(public_url, &tenant.id)),
        };
        Ok(Arc::new(TwilioSend::new(settings, self.client()?)))
    }

    fn post(
        &mut self,
        tenant: &TenantConfig,
        name: &str,
        generic: &Generic,
    ) -> anyhow::Result<Arc<dyn Sender>> {
        let missing = |key: &str| format!("channels.generic.{name}.{key} is missing");
        let secret = generic.secret.newest().with_context(|| missing("secret"))?;
        let settings = PostSettings {
            name: name.to_owned(),
            url: generic.url.as_ref().with_context(|| missing("url"))?.as_str().to_owned(),
            secret: WebhookSecret::parse(secret)?,
            tenant_name: tenant.name.clone(),
        };
        Ok(Arc::new(Post::new(settings, self.client()?)))
    }
}
