//! What is known of an endpoint: where it is, what it wants, and how the newest deliveries went.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    Event,
    secret::{self, SigningSecret},
};
use crate::{ids::EndpointId, time::Timestamp, topic::Topic, words::words, workflow::ActivityError};

/// How many deliveries are remembered: those that are open, and the newest of the others.
pub const DELIVERIES_MAX: usize = 100;

/// How many deliveries may be open. What happens meanwhile waits in the feed, where it costs nothing.
pub const OPEN_MAX: usize = 80;

/// Where events are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Posted to an address, signed by the Standard Webhooks convention.
    Url(String),
    /// Told by mail.
    Mail(String),
}

/// What may be changed of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where events are sent to.
    pub target: Target,
    /// Which events; all of them where none is named.
    pub topics: Vec<Topic>,
    /// What it is for, in the words of whoever registered it.
    pub description: Option<String>,
}

impl Settings {
    /// Whether an event of this topic is wanted.
    pub fn wants(&self, topic: Topic) -> bool {
        self.topics.is_empty() || self.topics.contains(&topic)
    }
}

/// Everything known of a registered endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: EndpointId,
    /// What it is sent, and where.
    pub settings: Settings,
    /// The secrets that sign, newest first; none for mail.
    pub secrets: Vec<SigningSecret>,
    /// Whether the configuration made it, which alone changes it then.
    pub configured: bool,
    /// Why nothing is sent at present, where that is so.
    pub disabled: Option<Disabled>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The `seq` of the last event that it was told of.
    pub notified_seq: u64,
    /// Since when every delivery that came to an end was given up.
    pub failing_since: Option<Timestamp>,
    /// How many were.
    pub failures: u32,
    /// The newest deliveries, newest last.
    pub deliveries: VecDeque<Delivery>,
}

words! {
    /// Why an endpoint is sent nothing.
    Disabled, "a reason" {
        /// Somebody switched it off.
        Asked = "asked",
        /// It answered 410: it is gone for good.
        Gone = "gone",
    }
}

words! {
    /// How a delivery stands.
    DeliveryStatus, "a delivery's status" {
        /// It is tried until it is accepted or given up.
        Pending = "pending",
        /// It was accepted.
        Delivered = "delivered",
        /// It was given up, and is kept as a dead letter.
        Failed = "failed",
        /// It was not sent, because the endpoint was switched off meanwhile.
        Dropped = "dropped",
    }
}

/// One event on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The message's id, the same on every try.
    pub id: String,
    /// The event's topic; none for a test.
    pub topic: Option<Topic>,
    /// The event's `seq`; none for a test.
    pub seq: Option<u64>,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Tries that were made, once it is settled.
    pub attempts: Option<u32>,
    /// What went wrong, once it is given up.
    pub error: Option<ActivityError>,
    /// When it was asked for.
    pub at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
}

/// An endpoint's state; nothing before the first event, and nothing any more once it is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    made: Option<Box<Facts>>,
    removed: bool,
}

impl State {
    /// What is known; none before the first event and after the last.
    pub fn facts(&self) -> Option<&Facts> {
        self.made.as_deref()
    }

    /// Whether it was removed.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::Registered { at, id, settings, secret, configured } => {
                let mut secrets = Vec::new();
                if let Some(text) = secret {
                    secret::rotate(&mut secrets, text.clone(), *at);
                }
                self.made = Some(Box::new(Facts {
                    id: *id,
                    settings: (**settings).clone(),
                    secrets,
                    configured: *configured,
                    disabled: None,
                    created_at: *at,
                    updated_at: *at,
                    notified_seq: 0,
                    failing_since: None,
                    failures: 0,
                    deliveries: VecDeque::new(),
                }));
            }
            Event::Removed { .. } => {
                self.made = None;
                self.removed = true;
            }
            Event::Changed { .. }
            | Event::Rotated { .. }
            | Event::Disabled { .. }
            | Event::Enabled { .. }
            | Event::Notified { .. }
            | Event::Tested { .. }
            | Event::Delivered { .. }
            | Event::DeliveryFailed { .. }
            | Event::DeliveryDropped { .. } => {
                if let Some(facts) = self.made.as_deref_mut() {
                    facts.apply(event);
                }
            }
        }
    }
}

impl Facts {
    /// The secrets that sign at `now`, newest first.
    pub fn live_secrets(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| now < until))
    }

    /// Whether anything is sent.
    pub fn is_active(&self) -> bool {
        self.disabled.is_none()
    }

    /// How many more events it may be told of until some of its deliveries are settled.
    pub fn room(&self) -> usize {
        let open = self.deliveries.iter().filter(|one| one.status == DeliveryStatus::Pending).count();
        OPEN_MAX.saturating_sub(open)
    }

    /// The delivery of this message, while it is remembered.
    pub fn delivery(&self, id: &str) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| delivery.id == id)
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Changed { at, settings } => {
                self.settings = (**settings).clone();
                self.updated_at = *at;
            }
            Event::Rotated { at, secret } => {
                secret::rotate(&mut self.secrets, secret.clone(), *at);
                self.updated_at = *at;
            }
            Event::Disabled { at, why } => {
                self.disabled = Some(*why);
                self.updated_at = *at;
            }
            Event::Enabled { at } => {
                (self.disabled, self.failing_since, self.failures) = (None, None, 0);
                self.updated_at = *at;
            }
            Event::Notified { at, notices } => {
                for notice in notices {
                    self.notified_seq = self.notified_seq.max(notice.seq);
                    self.expect(notice.id.clone(), Some(notice.topic), Some(notice.seq), *at);
                }
            }
            Event::Tested { at, id } => self.expect(id.clone(), None, None, *at),
            Event::Delivered { at, id, attempts } => {
                (self.failing_since, self.failures) = (None, 0);
                self.settle(id, DeliveryStatus::Delivered, Some(*attempts), None, *at);
            }
            Event::DeliveryFailed { at, id, error } => {
                self.failing_since.get_or_insert(*at);
                self.failures = self.failures.saturating_add(1);
                self.settle(id, DeliveryStatus::Failed, None, Some(error.clone()), *at);
            }
            Event::DeliveryDropped { at, id } => self.settle(id, DeliveryStatus::Dropped, None, None, *at),
            Event::Registered { .. } | Event::Removed { .. } => {}
        }
    }

    fn expect(&mut self, id: String, topic: Option<Topic>, seq: Option<u64>, at: Timestamp) {
        let status = DeliveryStatus::Pending;
        let delivery = Delivery { id, topic, seq, status, attempts: None, error: None, at, settled_at: None };
        self.deliveries.push_back(delivery);
        while self.deliveries.len() > DELIVERIES_MAX {
            let settled = self.deliveries.iter().position(|one| one.status != DeliveryStatus::Pending);
            self.deliveries.remove(settled.unwrap_or(0));
        }
    }

    fn settle(
        &mut self,
        id: &str,
        status: DeliveryStatus,
        attempts: Option<u32>,
        error: Option<ActivityError>,
        at: Timestamp,
    ) {
        if let Some(delivery) = self.deliveries.iter_mut().find(|delivery| delivery.id == id) {
            (delivery.status, delivery.attempts, delivery.error) = (status, attempts, error);
            delivery.settled_at = Some(at);
        }
    }
}
