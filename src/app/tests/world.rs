//! The stand-in for every provider, and the ledger of what the customers heard.
//!
//! It takes the activity's id as its idempotency key, as the providers that have one do: the same id again is answered
//! like the first time and nothing is sent. It lives longer than any engine, so that a process which dies between a
//! provider's answer and its own record of it meets the same world when it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use throughline_actors::performer::{Attempt, Outcome, Performer};
use throughline_workflows::{
    activity::{ConversationActivity, CustomerActivity, ResolutionActivity},
    conversation::{Command, Conversation, Delivery},
    customer::{self, Customer},
    ids::MessageId,
    message::{Address, Channel, Outbound},
    resolution::{self, Resolution},
    time::{Span, Timestamp},
    workflow::ActivityError,
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::script::Script;
use crate::performers::Outside;

/// The world outside, as the engine's ports see it.
#[derive(Clone)]
pub(super) struct StandIn {
    /// What stays within the engine goes to the real code.
    pub(super) outside: Outside,
    pub(super) world: Arc<World>,
    /// Which life of the process asks: a dead one has no effect any more.
    pub(super) life: usize,
}

/// The providers.
pub(super) struct World {
    pub(super) script: Script,
    ledger: Mutex<Ledger>,
    /// Told when the process is to die.
    pub(super) death: Notify,
}

/// What the providers know.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) accepted: Vec<Accepted>,
    by_attempt: HashMap<String, usize>,
    by_address: HashMap<(Channel, Address), usize>,
    /// Tries that a channel did not take.
    pub(super) turned_away: usize,
    /// Tries of what had been taken before.
    pub(super) repeated: usize,
    life: usize,
}

/// What a provider took.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// When it told the engine so; the last time, where the engine asked again.
    pub(super) at: Timestamp,
    pub(super) customer: usize,
    pub(super) conversation: Uuid,
    pub(super) message_id: MessageId,
    pub(super) channel: Channel,
    pub(super) text: String,
    pub(super) automatic: bool,
    pub(super) provider_id: String,
    /// The process died before it could record the answer, and has not asked again.
    pub(super) unheard: bool,
    /// When it is to bounce.
    pub(super) bounces_at: Option<Timestamp>,
    /// When the engine was told that it bounced.
    pub(super) bounced_at: Option<Timestamp>,
}

impl Accepted {
    /// Whether it still counts as heard at `at`.
    pub(super) fn holds_at(&self, at: Timestamp) -> bool {
        self.at <= at && self.bounced_at.is_none_or(|bounced_at| bounced_at > at)
    }
}

/// What a provider answers.
enum Answer {
    Accepted(String),
    Later(Option<Span>),
    Refused,
    /// The process dies before it hears the answer.
    Never,
}

impl World {
    pub(super) fn new(script: Script) -> Arc<Self> {
        let mut ledger = Ledger::default();
        for (index, customer) in script.customers.iter().enumerate() {
            for (channel, address) in &customer.channels {
                ledger.by_address.insert((channel.clone(), address.clone()), index);
            }
        }
        Arc::new(Self { script, ledger: Mutex::new(ledger), death: Notify::new() })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// The next life of the process begins; whatever is left of the last one has no effect any more.
    pub(super) fn next_life(&self) -> usize {
        let mut ledger = self.ledger();
        ledger.life += 1;
        ledger.life
    }

    fn send(&self, life: usize, message: &Outbound, attempt: &Attempt) -> Answer {
        let mut ledger = self.ledger();
        if ledger.life != life {
            return Answer::Never;
        }
        let now = attempt.now;
        if let Some(before) = ledger.by_attempt.get(&attempt.id).copied() {
            ledger.repeated += 1;
            let known = &mut ledger.accepted[before];
            known.at = now;
            return Answer::Accepted(known.provider_id.clone());
        }
        let whom = (message.channel.clone(), message.to.clone());
        let index = *ledger.by_address.get(&whom).unwrap_or_else(|| panic!("nobody is at {whom:?}"));
        let customer = &self.script.customers[index];
        if !self.script.is_up(&message.channel, now) {
            ledger.turned_away += 1;
            // Some providers say when to come back.
            return Answer::Later((!index.is_multiple_of(3)).then(|| Span::from_mins(15)));
        }
        if !self.script.takes(customer, &message.channel, now) {
            ledger.turned_away += 1;
            return Answer::Refused;
        }
        let number = ledger.accepted.len();
        let nth = ledger.accepted.iter().filter(|known| known.customer == index).count() as u64 + 1;
        let bounces = message.channel == Channel::Email
            && customer.bounces_every > 0
            && nth.is_multiple_of(customer.bounces_every);
        let provider_id = format!("p-{number}");
        let dies = self.script.deaths.contains(&number);
        ledger.by_attempt.insert(attempt.id.clone(), number);
        ledger.accepted.push(Accepted {
            at: now,
            customer: index,
            conversation: message.conversation_id.0,
            message_id: message.message_id,
            channel: message.channel.clone(),
            text: message.text.clone(),
            automatic: message.automatic,
            provider_id: provider_id.clone(),
            unheard: false,
            bounces_at: bounces
                .then(|| now + Span::from_mins(10 * (1 + (index as u64 * 7 + nth * 13) % 120))),
            bounced_at: None,
        });
        if dies {
            self.death.notify_one();
            return Answer::Never;
        }
        Answer::Accepted(provider_id)
    }
}

impl Performer<Conversation> for StandIn {
    async fn perform(&self, asked: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        let ConversationActivity::Send(message) = asked else {
            return Performer::<Conversation>::perform(&self.outside, asked, attempt).await;
        };
        let failure = |message: &str| ActivityError { code: None, message: message.to_owned() };
        match self.world.send(self.life, &message, &attempt) {
            Answer::Accepted(provider_id) => Outcome::Done(Some(Command::RecordDelivery {
                message_id: message.message_id,
                delivery: Delivery::Accepted { at: attempt.now, provider_message_id: Some(provider_id) },
            })),
            Answer::Later(after) => Outcome::Retry { after, error: failure("the provider is down") },
            Answer::Refused => Outcome::Refused(failure("there is no such mailbox")),
            Answer::Never => std::future::pending().await,
        }
    }
}

impl Performer<Resolution> for StandIn {
    async fn perform(&self, asked: ResolutionActivity, attempt: Attempt) -> Outcome<resolution::Command> {
        Performer::<Resolution>::perform(&self.outside, asked, attempt).await
    }
}

impl Performer<Customer> for StandIn {
    async fn perform(&self, asked: CustomerActivity, attempt: Attempt) -> Outcome<customer::Command> {
        Performer::<Customer>::perform(&self.outside, asked, attempt).await
    }
}
