//! The providers, and what they know: the ledger by which the engine is judged from outside.
//!
//! A try waits until the simulation says what becomes of it. Mail and the web page recognise a repetition by the
//! activity's id, as mail servers' message ids and good interfaces do; text messages do not. The ledger outlives every
//! process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use throughline::performers::Outside;
use throughline_actors::performer::{Admission, Attempt, Outcome, Performer};
use throughline_workflows::{
    activity::{ConversationActivity, CustomerActivity, ResolutionActivity},
    conversation::{Command, Conversation, Delivery},
    customer::{self, Customer},
    endpoint::{self, Endpoint, EndpointActivity, Report},
    ids::{ConversationId, MessageId, TenantId},
    message::{Channel, Outbound},
    resolution::{self, Resolution},
    time::{Span, Timestamp},
    workflow::{ActivityError, Workflow as _},
};
use tokio::sync::oneshot;

use crate::{operators::Entity, script::Script};

/// The world outside, as the ports of one process see it.
#[derive(Clone)]
pub(crate) struct StandIn {
    /// What stays within the engine goes to the real code.
    pub(crate) outside: Outside,
    pub(crate) world: Arc<World>,
}

/// The providers.
pub(crate) struct World {
    pub(crate) script: Script,
    /// Whether text messages are said to be recognised, which they are not.
    pub(crate) sms_claims_to_be_keyed: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Entities for which nothing may be begun: their operators know that they are paused.
    held: BTreeSet<Entity>,
    /// What cannot be of what was asked.
    broken: Vec<String>,
    rng: StdRng,
    ledger: Ledger,
    tries: BTreeMap<u64, Try>,
    begun: u64,
}

/// What the providers know.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) accepted: Vec<Accepted>,
    by_activity: BTreeMap<String, usize>,
    /// The messages that the endpoint took, each with how often.
    pub(crate) told: BTreeMap<String, u32>,
    /// Of which tenant's conversations its endpoint was told.
    pub(crate) told_of: BTreeSet<(TenantId, String)>,
    /// Tries that were not taken, and such as had been taken before.
    pub(crate) turned_away: u64,
    pub(crate) repeated: u64,
}

/// What a provider took.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) at: Timestamp,
    pub(crate) activity: String,
    pub(crate) tenant: TenantId,
    pub(crate) conversation: ConversationId,
    pub(crate) message_id: MessageId,
    pub(crate) channel: Channel,
    pub(crate) to: String,
    pub(crate) provider_id: String,
    pub(crate) text: String,
    /// When the engine is told that it bounced, once it is.
    pub(crate) bounced_at: Option<Timestamp>,
}

/// A try that waits for its fate.
struct Try {
    what: Asked,
    since: Timestamp,
    answer: oneshot::Sender<Fate>,
}

/// What is asked of a provider.
#[derive(Clone, Debug)]
enum Asked {
    Send { activity: String, tenant: TenantId, message: Box<Outbound> },
    Tell { id: String, tenant: TenantId, of: Option<String> },
}

/// What becomes of a try, as the engine hears it.
#[derive(Clone, Debug)]
enum Fate {
    Taken {
        at: Timestamp,
        provider_id: String,
    },
    Later(Option<Span>),
    /// No answer came.
    Lost,
}

/// What the simulation says of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// Taken, and the answer is lost on its way back.
    TakeAndLose,
    Fail(Option<Span>),
    /// Not taken, and no answer: after half a minute the transport no longer waits.
    Hang,
}

/// A try that can be judged.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) channel: Option<Channel>,
    pub(crate) since: Timestamp,
}

impl World {
    pub(crate) fn new(seed: u64, script: Script) -> Self {
        let inner = Inner {
            held: BTreeSet::new(),
            broken: Vec::new(),
            rng: StdRng::seed_from_u64(seed ^ 0xADA),
            ledger: Ledger::default(),
            tries: BTreeMap::new(),
            begun: 0,
        };
        Self { script, sms_claims_to_be_keyed: false, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// What the providers know.
    pub(crate) fn with_ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.lock().ledger)
    }

    /// The tries that wait.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let of = |(number, held): (&u64, &Try)| {
            let channel = match &held.what {
                Asked::Send { message, .. } => Some(message.channel.clone()),
                Asked::Tell { .. } => None,
            };
            Waiting { number: *number, channel, since: held.since }
        };
        self.lock().tries.iter().map(of).collect()
    }

    /// The process has ended: nobody waits for an answer any more.
    pub(crate) fn hang_up(&self) {
        self.lock().tries.clear();
    }

    /// Decides a try.
    pub(crate) fn judge(&self, number: u64, verdict: Verdict, now: Timestamp) {
        let mut inner = self.lock();
        let Some(Try { what, answer, .. }) = inner.tries.remove(&number) else { return };
        let fate = match verdict {
            Verdict::Take => inner.ledger.take(what, now),
            Verdict::TakeAndLose => {
                inner.ledger.take(what, now);
                Fate::Lost
            }
            Verdict::Fail(after) => {
                inner.ledger.turned_away += 1;
                Fate::Later(after)
            }
            Verdict::Hang => {
                inner.ledger.turned_away += 1;
                Fate::Lost
            }
        };
        drop(inner);
        drop(answer.send(fate)); // The process may have ended.
    }

    /// Nothing may be begun for these.
    pub(crate) fn hold(&self, held: BTreeSet<Entity>) {
        self.lock().held = held;
    }

    pub(crate) fn held(&self) -> BTreeSet<Entity> {
        self.lock().held.clone()
    }

    /// The first thing that cannot be.
    pub(crate) fn broken(&self) -> Option<String> {
        self.lock().broken.first().cloned()
    }

    /// An entity asks for something.
    fn begins(&self, kind: &str, attempt: &Attempt) {
        let mut inner = self.lock();
        let held = inner.held.iter().find(|held| held.is(attempt.tenant.as_str(), kind, attempt.entity));
        if let Some(held) = held {
            let broken = format!("{held} is paused, and activity {} was begun", attempt.id);
            inner.broken.push(broken);
        }
    }

    async fn ask(&self, what: Asked, since: Timestamp) -> Fate {
        let (answer, fate) = oneshot::channel();
        {
            let mut inner = self.lock();
            inner.begun += 1;
            let number = inner.begun;
            inner.tries.insert(number, Try { what, since, answer });
        }
        match fate.await {
            Ok(fate) => fate,
            Err(_) => std::future::pending().await,
        }
    }

    fn recognises(&self, channel: &Channel) -> bool {
        *channel != Channel::Sms
    }
}

impl Ledger {
    /// What was taken more than once, in words.
    pub(crate) fn twice(&mut self) -> Vec<String> {
        let mut seen: BTreeMap<MessageId, &str> = BTreeMap::new();
        // What a person edited and sent again is another message to whoever takes it.
        let accepted = self.accepted.iter().filter(|accepted| !accepted.activity.ends_with(".2"));
        let twice = accepted.filter_map(|accepted| {
            let before = seen.insert(accepted.message_id, &accepted.activity)?;
            Some(format!("{:?} as {before} and as {}", accepted.text, accepted.activity))
        });
        twice.collect()
    }

    fn take(&mut self, what: Asked, now: Timestamp) -> Fate {
        let (activity, tenant, message) = match what {
            Asked::Send { activity, tenant, message } => (activity, tenant, message),
            Asked::Tell { id, tenant, of } => {
                self.told_of.extend(of.map(|of| (tenant, of)));
                *self.told.entry(id.clone()).or_default() += 1;
                return Fate::Taken { at: now, provider_id: id };
            }
        };
        if message.channel != Channel::Sms
            && let Some(known) = self.by_activity.get(&activity)
        {
            self.repeated += 1;
            // An answer counts when it is heard: for the engine the customer heard this now.
            let known = &mut self.accepted[*known];
            known.at = now;
            return Fate::Taken { at: now, provider_id: known.provider_id.clone() };
        }
        let provider_id = format!("p-{}", self.accepted.len());
        self.by_activity.insert(activity.clone(), self.accepted.len());
        self.accepted.push(Accepted {
            at: now,
            activity,
            tenant,
            conversation: message.conversation_id,
            message_id: message.message_id,
            to: message.to.to_string(),
            provider_id: provider_id.clone(),
            text: message.text.clone(),
            channel: message.channel,
            bounced_at: None,
        });
        Fate::Taken { at: now, provider_id }
    }
}

fn failure(message: &str) -> ActivityError {
    ActivityError { code: None, message: message.to_owned() }
}

impl Performer<Conversation> for StandIn {
    async fn perform(&self, asked: ConversationActivity, attempt: Attempt) -> Outcome<Command> {
        self.world.begins(Conversation::KIND, &attempt);
        let ConversationActivity::Send(message) = asked else {
            return Performer::<Conversation>::perform(&self.outside, asked, attempt).await;
        };
        let message_id = message.message_id;
        let keyed = self.world.recognises(&message.channel);
        let asked = Asked::Send {
            activity: attempt.id.clone(),
            tenant: attempt.tenant.clone(),
            message: Box::new(*message),
        };
        match self.world.ask(asked, attempt.now).await {
            Fate::Taken { at, provider_id } => Outcome::Done(Some(Command::RecordDelivery {
                message_id,
                delivery: Delivery::Accepted { at, provider_message_id: Some(provider_id) },
            })),
            Fate::Later(after) => Outcome::Retry { after, error: failure("the provider is down") },
            Fate::Lost if keyed || self.world.sms_claims_to_be_keyed => {
                Outcome::Retry { after: None, error: failure("no answer") }
            }
            Fate::Lost => Outcome::Uncertain(failure("no answer")),
        }
    }

    fn admit(&self, asked: &ConversationActivity, attempt: &Attempt) -> Admission {
        let ConversationActivity::Send(message) = asked else { return Admission::Keyed };
        let not_now = self.world.script.odds.not_now;
        let mut inner = self.world.lock();
        if inner.rng.random_range(0..100) < not_now && attempt.now < self.world.script.calm {
            let after = Span::from_millis(inner.rng.random_range(1..9_000));
            return Admission::NotNow { after, why: "not too fast".to_owned() };
        }
        if self.world.recognises(&message.channel) || self.world.sms_claims_to_be_keyed {
            Admission::Keyed
        } else {
            Admission::Unkeyed
        }
    }
}

impl Performer<Resolution> for StandIn {
    async fn perform(&self, asked: ResolutionActivity, attempt: Attempt) -> Outcome<resolution::Command> {
        self.world.begins(Resolution::KIND, &attempt);
        Performer::<Resolution>::perform(&self.outside, asked, attempt).await
    }
}

impl Performer<Customer> for StandIn {
    async fn perform(&self, asked: CustomerActivity, attempt: Attempt) -> Outcome<customer::Command> {
        self.world.begins(Customer::KIND, &attempt);
        Performer::<Customer>::perform(&self.outside, asked, attempt).await
    }
}

impl Performer<Endpoint> for StandIn {
    async fn perform(&self, asked: EndpointActivity, attempt: Attempt) -> Outcome<endpoint::Command> {
        self.world.begins(Endpoint::KIND, &attempt);
        let id = asked.id().to_owned();
        let EndpointActivity::Post { body, .. } = &asked else {
            return Outcome::Refused(failure("no endpoint here is told by mail"));
        };
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let of = body.get("conversation_id").and_then(|id| id.as_str()).map(str::to_owned);
        let tell = Asked::Tell { id: id.clone(), tenant: attempt.tenant.clone(), of };
        match self.world.ask(tell, attempt.now).await {
            Fate::Taken { .. } => Outcome::Done(Some(endpoint::Command::RecordDelivery {
                id,
                report: Report::Accepted { attempts: attempt.number },
            })),
            Fate::Later(after) => Outcome::Retry { after, error: failure("the endpoint is down") },
            Fate::Lost => Outcome::Retry { after: None, error: failure("no answer") },
        }
    }
}
