//! Who does what the engine asks of the world: each message to its channel's transport.
//!
//! Which transport that is stands in the configuration and is settled once, in `routes`. Here a try is let through
//! or put off by its channel's gate, made, and its outcome told to the engine.

mod cases;
mod counted;
mod routes;
pub(crate) mod standing;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, PoisonError, RwLock},
};

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
    activity::{ConversationActivity, CustomerActivity, ResolutionActivity},
    conversation::{Command, Conversation, Delivery},
    customer::{self, Customer},
    ids::{ConversationId, ResolutionId, TenantId},
    message::{Channel, Outbound},
    resolution::{self, Resolution},
    time::Timestamp,
    workflow::ActivityError,
};
use tracing::Instrument as _;

use crate::{
    channels::{
        email::notice::{self, Notice},
        reply_token::ReplyKeys,
        sending::{SendOutcome, Sending, failure},
    },
    config::Config,
};

use routes::{Mailbox, Route};

pub use counted::{Counted, Sends};

/// The world outside, as one server reaches it.
#[derive(Clone)]
pub struct Outside {
    tenants: Arc<RwLock<BTreeMap<TenantId, Arc<Tenant>>>>,
    blobs: Arc<Blobs>,
    clock: Clock,
}

/// How a tenant's messages leave.
struct Tenant {
    routes: BTreeMap<Channel, Arc<Route>>,
    mailbox: Mailbox,
}

impl Outside {
    /// The world as `config` describes it, in the time of `clock`.
    ///
    /// # Errors
    /// A tenant's reply-token key cannot be made or read, or a transport cannot be made.
    pub fn new(config: &Config, blobs: Arc<Blobs>, clock: Clock) -> anyhow::Result<Self> {
        let tenants = routes::tenants(config, &clock)?;
        Ok(Self { tenants: Arc::new(RwLock::new(tenants)), blobs, clock })
    }

    /// Writes as one more tenant from now on.
    ///
    /// # Errors
    /// Its reply-token key cannot be made or read, or a transport cannot be made.
    pub fn take_in(&self, config: &Config, id: &TenantId) -> anyhow::Result<()> {
        if let Some(tenant) = routes::tenant(config, id, &self.clock)? {
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            tenants.insert(id.clone(), Arc::new(tenant));
        }
        Ok(())
    }

    fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, ActivityError> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(id).cloned().ok_or_else(|| unconfigured("the tenant is no longer configured"))
    }

    /// Sends a mail of the server's own, once: whoever calls tries again.
    ///
    /// `Accepted` means that the mail server took it, or that its file is written. Another try under the same
    /// [`Notice::id`] is the same mail.
    pub async fn notice(&self, tenant: &TenantId, notice: &Notice) -> SendOutcome {
        let mailbox = match self.tenant(tenant) {
            Ok(tenant) => tenant.mailbox.clone(),
            Err(error) => return SendOutcome::Refused(error),
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
    fn route(&self, tenant: &TenantId, message: &Outbound) -> Result<Arc<Route>, ActivityError> {
        let route = self.tenant(tenant)?.routes.get(&message.channel).cloned();
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
        let span = tracing::debug_span!(
            "channel.send", "tenant.id" = %attempt.tenant, channel = %message.channel,
            "message.id" = %message.message_id, outcome = tracing::field::Empty
        );
        let outcome = route.sender.send(sending).instrument(span.clone()).await;
        span.record("outcome", outcome.name());
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
        let message = match activity {
            ConversationActivity::Send(message) => message,
            ConversationActivity::Recall { message_id } => return cases::recall(message_id, &attempt).await,
            ConversationActivity::TellCase { resolution_id, order } => {
                return cases::tell_case(ConversationId(attempt.entity), resolution_id, order);
            }
        };
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
        let ConversationActivity::Send(message) = activity else { return Admission::Keyed };
        // What has no route is refused by the try itself.
        let Ok(route) = self.route(&attempt.tenant, message) else { return Admission::Keyed };
        match route.gate.admit() {
            Err(not_now) => Admission::NotNow { after: not_now.after, why: not_now.why },
            Ok(()) if route.sender.is_keyed() => Admission::Keyed,
            Ok(()) => Admission::Unkeyed,
        }
    }

    fn mended(&self, activity: &ConversationActivity, tenant: &TenantId) {
        if let ConversationActivity::Send(message) = activity
            && let Ok(route) = self.route(tenant, message)
        {
            route.gate.mended();
        }
    }
}

impl Performer<Resolution> for Outside {
    async fn perform(&self, activity: ResolutionActivity, attempt: Attempt) -> Outcome<resolution::Command> {
        let ResolutionActivity::TellConversation { conversation_id, report } = activity;
        cases::tell_conversation(ResolutionId(attempt.entity), conversation_id, report)
    }
}

impl Performer<Customer> for Outside {
    async fn perform(&self, activity: CustomerActivity, attempt: Attempt) -> Outcome<customer::Command> {
        let CustomerActivity::TellConversations { standing } = activity;
        standing::tell_conversations(standing, &attempt).await
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
