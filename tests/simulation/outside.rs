//! What customers and providers do: messages that come late, again and out of order, and reports on what was sent.

use bytes::Bytes;
use rand::Rng;
use throughline_actors::engine::Engine;
use throughline_workflows::{
    conversation::{DeliveryReport, DeliveryStatus},
    customer::{self, CustomerPatch},
    ids::{CustomerId, MessageId, TenantId},
    message::{Attachment, AttachmentAt, Channel, Details, Inbound},
    time::Span,
    workflow::ActivityError,
};
use uuid::Uuid;

use crate::{acts::Happens, run::Simulation, script::Customer};

impl Simulation {
    /// What was taken and will come back is reported later; of some other messages the provider says that they arrived.
    pub(crate) fn bounce(&mut self) {
        let taken = self.world.with_ledger(|ledger| ledger.accepted.len());
        while self.bounced < taken {
            let place = self.bounced;
            self.bounced += 1;
            let accepted = self.world.with_ledger(|ledger| ledger.accepted[place].clone());
            let customer = self.world.script.customer(&accepted.tenant, &accepted.to);
            let every = customer.map_or(0, |customer| customer.bounces_every);
            let reports = matches!(accepted.channel, Channel::Email | Channel::Sms);
            let bounces = reports && every > 0 && (place as u64).is_multiple_of(every) && !self.is_calm();
            if bounces {
                let at = accepted.at + Span::from_secs(self.rng.random_range(1..40_000));
                if at < self.world.script.calm {
                    self.plan(at, Happens::Report { accepted: place, status: DeliveryStatus::Failed });
                }
            } else if accepted.channel == Channel::Sms && !self.is_calm() && self.rng.random_bool(0.5) {
                let at = accepted.at + Span::from_secs(self.rng.random_range(0..400));
                self.plan(at, Happens::Report { accepted: place, status: DeliveryStatus::Delivered });
            }
        }
    }

    /// A customer's message, as the door hands it on.
    pub(crate) fn inbound(&self, engine: &Engine, index: usize, nth: usize) -> Inbound {
        let customer = &self.world.script.customers[index];
        let id = MessageId(engine.mint());
        // Whether it brings a file does not change when it comes again.
        let dice =
            (self.seed ^ (customer.number * 31 + nth * 7) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let brings = dice % 100 < u64::from(self.world.script.odds.files);
        let file = brings.then(|| Attachment {
            name: "photo.png".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: None,
            at: AttachmentAt::Blob(format!("{}/{id}/0", customer.tenant)),
        });
        Inbound {
            id,
            channel: customer.writes_by.clone(),
            provider_message_id: provider_message_id(customer.number, nth),
            from: vec![customer.channels[&customer.writes_by].clone()],
            name: None,
            to: Some("support@example.com".to_owned()).filter(|_| customer.writes_by == Channel::Email),
            text: question(&customer.tenant, nth),
            subject: Some("A question".to_owned()),
            attachments: file.into_iter().collect(),
            thread: None,
            vouched: true,
            automatic: false,
            details: Details::None,
            metadata: String::new(),
            sent_at: None,
            received_at: engine.now(),
        }
    }

    /// The content of the files that a message names.
    pub(crate) fn file(&self, tenant: &TenantId, inbound: &Inbound) -> Vec<(String, Bytes)> {
        let content = |file: &Attachment| match &file.at {
            AttachmentAt::Blob(key) => Some((key.clone(), file_of(tenant, &inbound.provider_message_id))),
            AttachmentAt::Url(_) => None,
        };
        inbound.attachments.iter().filter_map(content).collect()
    }

    pub(crate) fn report(
        &mut self,
        engine: &Engine,
        place: usize,
        status: DeliveryStatus,
    ) -> (TenantId, DeliveryReport) {
        let now = engine.now();
        let failed = status == DeliveryStatus::Failed;
        let accepted = self.world.with_ledger(|ledger| ledger.accepted[place].clone());
        let error = failed.then(|| ActivityError { code: None, message: "bounced".to_owned() });
        let report = DeliveryReport {
            channel: accepted.channel,
            provider_message_id: accepted.provider_id,
            conversation: None,
            message_id: None,
            status,
            error,
            at: now,
        };
        (accepted.tenant, report)
    }

    pub(crate) fn registration(&self, index: usize) -> customer::Command {
        let customer = &self.world.script.customers[index];
        let mut addresses: Vec<_> = customer.channels.values().cloned().collect();
        addresses.dedup();
        let profile =
            CustomerPatch { quiet_hours: customer.quiet.map(str::to_owned), ..CustomerPatch::default() };
        customer::Command::Register {
            customer_id: CustomerId(customer_id(customer.number)),
            addresses,
            name: Some(format!("Customer {index}")),
            via: "api".to_owned(),
            verified: true,
            profile: Box::new(profile),
        }
    }
}

/// A known customer's id, by their number.
pub(crate) fn customer_id(number: usize) -> Uuid {
    Uuid::from_u128(0xC000 + number as u128)
}

/// What a customer writes.
pub(crate) fn question(tenant: &TenantId, nth: usize) -> String {
    format!("Question {nth} to {tenant}")
}

/// What the file of a message holds.
pub(crate) fn file_of(tenant: &TenantId, message: &str) -> Bytes {
    format!("the file of {message} to {tenant}").into()
}

impl Customer {
    /// What stands for one of their messages: a provider's id is its own within a tenant.
    pub(crate) fn message(&self, nth: usize) -> String {
        format!("{}/{}", self.tenant, provider_message_id(self.number, nth))
    }
}

/// A provider's id of a message: the customer's number, then the message's.
fn provider_message_id(customer: usize, nth: usize) -> String {
    format!("in{customer}-{nth}")
}
