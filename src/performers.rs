//! Who does what the engine asks of the world: each activity to its channel's transport.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use throughline_actors::{
    engine::is_of,
    performer::{Attempt, Outcome, Performer},
};
use throughline_storage::blobs::Blobs;
use throughline_workflows::{
    activity::ConversationActivity,
    conversation::{Command, Conversation, Delivery},
    ids::TenantId,
    message::{Channel, Outbound},
    workflow::ActivityError,
};

use crate::{
    channels::{
        email::compose::MailSender,
        file::{self, FileError, FileTransport},
        reply_token::ReplyKeys,
    },
    config::Config,
};

/// The world outside, as one server reaches it.
#[derive(Clone)]
pub struct Outside {
    files: FileTransport,
    tenants: Arc<BTreeMap<TenantId, Sender>>,
    blobs: Arc<Blobs>,
}

/// As whom a tenant writes.
struct Sender {
    mail: MailSender,
    sms_from: String,
}

impl Outside {
    /// The world as `config` describes it.
    ///
    /// # Errors
    /// A tenant's reply-token key cannot be made or read.
    pub fn new(config: &Config, blobs: Arc<Blobs>) -> anyhow::Result<Self> {
        let mut tenants = BTreeMap::new();
        for id in config.tenant_ids() {
            let Some(tenant) = config.tenant(&id) else { continue };
            let sender = Sender {
                mail: MailSender {
                    from: tenant.channels.email.from.clone(),
                    tenant_name: tenant.name.clone(),
                    replies: reply_keys(config, &id)?,
                },
                sms_from: tenant.channels.sms.from.clone(),
            };
            tenants.insert(id, sender);
        }
        let files = FileTransport::new(config.storage.path.join("outbound"));
        Ok(Self { files, tenants: Arc::new(tenants), blobs })
    }

    /// Writes one message to the outbound folder.
    fn write(&self, message: &Outbound, attempt: &Attempt) -> Result<file::Accepted, FileError> {
        let sender = self.tenants.get(&attempt.tenant).ok_or_else(|| FileError::Io {
            path: attempt.tenant.as_str().into(),
            source: io::Error::new(io::ErrorKind::NotFound, "the tenant is no longer configured"),
        })?;
        let delivery = file::Delivery {
            activity_id: &attempt.id,
            message,
            sender: &sender.mail,
            from: matches!(message.channel, Channel::Sms).then_some(sender.sms_from.as_str()),
            // The same on every try, so that a mail written again is the same mail.
            at: attempt.asked_at,
        };
        let runtime = tokio::runtime::Handle::current();
        let read = |key: &str| {
            // An edited message may name any key.
            if !is_of(&attempt.tenant, key) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "not a file of this tenant"));
            }
            runtime.block_on(self.blobs.get(key)).map_err(io::Error::other)
        };
        self.files.deliver(&delivery, &read)
    }
}

impl Performer<Conversation> for Outside {
    async fn perform(&self, activity: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let ConversationActivity::Send(message) = activity;
        let message_id = message.message_id;
        let outside = self.clone();
        let asked = attempt.clone();
        let written = tokio::task::spawn_blocking(move || outside.write(&message, &asked)).await;
        match written {
            Ok(Ok(accepted)) => {
                tracing::info!("message.id" = %message_id, "a message was accepted by its channel");
                Outcome::Done(Some(Command::RecordDelivery {
                    message_id,
                    delivery: Delivery::Accepted {
                        at: attempt.now,
                        provider_message_id: accepted.provider_message_id,
                    },
                }))
            }
            Ok(Err(error)) if error.is_temporary() => {
                Outcome::Retry { after: None, error: failure(&error.to_string()) }
            }
            Ok(Err(error)) => Outcome::Refused(failure(&error.to_string())),
            Err(error) => Outcome::Retry { after: None, error: failure(&error.to_string()) },
        }
    }
}

fn failure(message: &str) -> ActivityError {
    ActivityError { code: None, message: message.to_owned() }
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

/// What channels were given to send since the start, by channel and outcome.
#[derive(Clone, Debug, Default)]
pub struct Sends(Arc<Mutex<BTreeMap<(String, &'static str), u64>>>);

impl Sends {
    /// How often each channel ended in each outcome: `accepted`, `retried` or `refused`.
    pub fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, channel: String, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((channel, outcome)).or_default() += 1;
    }
}

/// A performer whose sends are counted.
#[derive(Clone, Debug)]
pub struct Counted<P> {
    /// Who sends.
    pub performer: P,
    /// Where it is counted.
    pub sends: Sends,
}

impl<P: Performer<Conversation>> Performer<Conversation> for Counted<P> {
    async fn perform(&self, activity: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let channel = match &activity {
            ConversationActivity::Send(message) => Some(message.channel.to_string()),
        };
        let outcome = self.performer.perform(activity, attempt).await;
        let word = match &outcome {
            Outcome::Done(_) => Some("accepted"),
            Outcome::Retry { .. } => Some("retried"),
            Outcome::Refused(_) => Some("refused"),
            // It went to another entity, not to a channel.
            Outcome::HandOver(_) => None,
        };
        if let (Some(channel), Some(word)) = (channel, word) {
            self.sends.count(channel, word);
        }
        outcome
    }
}
