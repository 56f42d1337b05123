//! Who does what the engine asks of the world: each message to its channel's transport.
//!
//! Which transport that is stands in the configuration and is settled once, in `routes`. Here a try is let through
//! or put off by its channel's gate, made, and its outcome told to the engine.

mod routes;

use std::{collections::BTreeMap, io, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use throughline_actors::{
    clock::Clock,
    engine::is_of,
    performer::{Admission, Attempt, Outcome, Performer},
};
use throughline_storage::blobs::Blobs;
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{Command, Conversation, Delivery},
    ids::TenantId,
    message::{Channel, Outbound},
    time::Timestamp,
    workflow::ActivityError,
};

use crate::{
    channels::{
        email::notice::{self, Notice},
        reply_token::ReplyKeys,
        sending::{SendOutcome, Sending, failure},
    },
    config::Config,
};

use routes::{Mailbox, Route};

/// The world outside, as one server reaches it.
#[derive(Clone)]
pub struct Outside {
    tenants: Arc<BTreeMap<TenantId, Tenant>>,
    blobs: Arc<Blobs>,
}

/// How a tenant's messages leave.
struct Tenant {
    routes: BTreeMap<Channel, Route>,
    mailbox: Mailbox,
}

impl Outside {
    /// The world as `config` describes it, in the time of `clock`.
    ///
    /// # Errors
    /// A tenant's reply-token key cannot be made or read, or a transport cannot be made.
    pub fn new(config: &Config, blobs: Arc<Blobs>, clock: Clock) -> anyhow::Result<Self> {
        Ok(Self { tenants: Arc::new(routes::tenants(config, &clock)?), blobs })
    }

    /// Sends a mail of the server's own, once: whoever calls tries again.
    ///
    /// `Accepted` means that the mail server took it, or that its file is written. Another try under the same
    /// [`Notice::id`] is the same mail.
    pub async fn notice(&self, tenant: &TenantId, notice: &Notice) -> SendOutcome {
        let Some(Tenant { mailbox, .. }) = self.tenants.get(tenant) else {
            return SendOutcome::Refused(unconfigured("the tenant is no longer configured"));
        };
        if !notice.is_named() {
            let error =
                format!("{:?} cannot name a notice: 1 to 100 of a-z, 0-9, '.', '-' and '_'", notice.id);
            return SendOutcome::Refused(failure("notice", error));
        }
        match notice::compose(mailbox.sender(), notice) {
            Ok(mail) => mailbox.carry(notice, mail).await,
            Err(error) => SendOutcome::Refused(failure("compose", error.to_string())),
        }
    }

    /// How a message leaves.
    fn route(&self, tenant: &TenantId, message: &Outbound) -> Result<&Route, ActivityError> {
        let tenant =
            self.tenants.get(tenant).ok_or_else(|| unconfigured("the tenant is no longer configured"))?;
        let route = tenant.routes.get(&message.channel);
        route.ok_or_else(|| unconfigured(&format!("channel {} is not configured", message.channel)))
    }

    /// One try of one message.
    async fn send(&self, message: &Outbound, attempt: &Attempt) -> SendOutcome {
        let route = match self.route(&attempt.tenant, message) {
            Ok(route) => route,
            Err(error) => return SendOutcome::Refused(error),
        };
        let read = |key: String| self.read(attempt.tenant.clone(), key);
        let sending = Sending {
            activity_id: &attempt.id,
            message,
            asked_at: attempt.asked_at,
            now: attempt.now,
            read: &read,
        };
        let outcome = route.sender.send(sending).await;
        route.gate.learn(&outcome);
        outcome
    }

    /// A file of the tenant's.
    fn read(&self, tenant: TenantId, key: String) -> BoxFuture<'static, io::Result<Bytes>> {
        let blobs = self.blobs.clone();
        Box::pin(async move {
            // An edited message may name any key.
            if !is_of(&tenant, &key) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "not a file of this tenant"));
            }
            blobs.get(&key).await.map_err(io::Error::other)
        })
    }
}

impl Performer<Conversation> for Outside {
    async fn perform(&self, activity: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let ConversationActivity::Send(message) = activity;
        match self.send(&message, &attempt).await {
            SendOutcome::Accepted { provider_message_id } => {
                accepted(&message, attempt.now, provider_message_id)
            }
            SendOutcome::Retry { after, error, .. } => Outcome::Retry { after, error },
            SendOutcome::Refused(error) => Outcome::Refused(error),
            SendOutcome::Uncertain(error) => Outcome::Uncertain(error),
        }
    }

    fn admit(&self, activity: &ConversationActivity, attempt: &Attempt) -> Admission {
        let ConversationActivity::Send(message) = activity;
        // What has no route is refused by the try itself.
        let Ok(route) = self.route(&attempt.tenant, message) else { return Admission::Keyed };
        match route.gate.admit() {
            Err(not_now) => Admission::NotNow { after: not_now.after, why: not_now.why },
            Ok(()) if route.sender.is_keyed() => Admission::Keyed,
            Ok(()) => Admission::Unkeyed,
        }
    }
}

fn accepted(message: &Outbound, at: Timestamp, provider_message_id: Option<String>) -> Outcome<Command> {
    let message_id = message.message_id;
    tracing::info!("message.id" = %message_id, channel = %message.channel, "a message was accepted by its channel");
    let delivery = Delivery::Accepted { at, provider_message_id };
    Outcome::Done(Some(Command::RecordDelivery { message_id, delivery }))
}

fn unconfigured(message: &str) -> ActivityError {
    failure("not_configured", message)
}

/// The keys that sign a tenant's reply tokens, newest first.
///
/// # Errors
/// The key file cannot be made or read.
pub fn reply_keys(config: &Config, tenant: &TenantId) -> anyhow::Result<ReplyKeys> {
    let channels = config.tenant(tenant).map(|tenant| tenant.channels).unwrap_or_default();
    let secret = config
        .reply_token_key(&channels.email)
        .context("channels.email.reply_token_key: the key file cannot be made or read")?;
    Ok(ReplyKeys::new(tenant.clone(), secret.values().map(|key| key.as_bytes().to_vec()).collect()))
}
