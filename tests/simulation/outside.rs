//! What customers and providers do: messages that come late, again and out of order, and reports on what was sent.

use rand::Rng;
use throughline_actors::engine::Engine;
use throughline_workflows::{
    conversation::{DeliveryReport, DeliveryStatus},
    customer::{self, CustomerPatch},
    ids::{CustomerId, MessageId},
    message::{Channel, Details, Inbound},
    time::Span,
    workflow::ActivityError,
};
use uuid::Uuid;

use crate::{acts::Happens, run::Simulation};

impl Simulation {
    /// What was taken and will come back is reported later; of some other messages the provider says that they arrived.
    pub(crate) fn bounce(&mut self) {
        let taken = self.world.with_ledger(|ledger| ledger.accepted.len());
        while self.bounced < taken {
            let place = self.bounced;
            self.bounced += 1;
            let accepted = self.world.with_ledger(|ledger| ledger.accepted[place].clone());
            let customers = &self.world.script.customers;
            let every = customers
                .iter()
                .find(|customer| customer.channels.values().any(|address| address.to_string() == accepted.to))
                .map_or(0, |customer| customer.bounces_every);
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

    pub(crate) fn inbound(&self, engine: &Engine, index: usize, nth: usize) -> Inbound {
        let customer = &self.world.script.customers[index];
        Inbound {
            id: MessageId(engine.mint()),
            channel: customer.writes_by.clone(),
            provider_message_id: provider_message_id(index, nth),
            from: vec![customer.channels[&customer.writes_by].clone()],
            name: None,
            to: Some("support@example.com".to_owned()).filter(|_| customer.writes_by == Channel::Email),
            text: format!("Question {nth}"),
            subject: Some("A question".to_owned()),
            attachments: Vec::new(),
            thread: None,
            vouched: true,
            automatic: false,
            details: Details::None,
            metadata: String::new(),
            sent_at: None,
            received_at: engine.now(),
        }
    }

    pub(crate) fn report(&mut self, engine: &Engine, place: usize, status: DeliveryStatus) -> DeliveryReport {
        let now = engine.now();
        let failed = status == DeliveryStatus::Failed;
        let accepted = self.world.with_ledger(|ledger| ledger.accepted[place].clone());
        let error = failed.then(|| ActivityError { code: None, message: "bounced".to_owned() });
        DeliveryReport {
            channel: accepted.channel,
            provider_message_id: accepted.provider_id,
            conversation: None,
            message_id: None,
            status,
            error,
            at: now,
        }
    }

    pub(crate) fn registration(&self, index: usize) -> customer::Command {
        let customer = &self.world.script.customers[index];
        let mut addresses: Vec<_> = customer.channels.values().cloned().collect();
        addresses.dedup();
        let profile =
            CustomerPatch { quiet_hours: customer.quiet.map(str::to_owned), ..CustomerPatch::default() };
        customer::Command::Register {
            customer_id: CustomerId(Uuid::from_u128(0xC000 + index as u128)),
            addresses,
            name: Some(format!("Customer {index}")),
            via: "api".to_owned(),
            verified: true,
            profile: Box::new(profile),
        }
    }
}

/// A provider's id of a message: the customer's number, then the message's.
pub(crate) fn provider_message_id(customer: usize, nth: usize) -> String {
    format!("in{customer}-{nth}")
}
