//! What operators do: entities are paused and resumed, taken out of memory and compared, work is tried at once, given
//! up and put back, settings change; some ask for what is another tenant's.
//!
//! Every request has a key by which a repetition is recognised, and is repeated until it is answered.

use std::fmt;

use rand::Rng;
use serde_json::{Value, json};
use throughline_actors::{
    dead_letters::LetterError,
    engine::Engine,
    operate::OperateError,
    order::{CommandMeta, Idempotency},
};
use throughline_workflows::{
    conversation::Conversation, customer::Customer, endpoint::Endpoint, ids::TenantId, operation::Operation,
    policy_book::PolicyBook, resolution::Resolution, time::Span, workflow::Workflow,
};
use uuid::Uuid;

use crate::{
    acts::{Answer, ENDPOINT, Happens, Request, answer},
    outside::customer_id,
    persons::by_person,
    run::Simulation,
};

/// One entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entity {
    pub(crate) tenant: TenantId,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}

impl Entity {
    /// Whether it is the one of these names.
    pub(crate) fn is(&self, tenant: &str, kind: &str, id: Uuid) -> bool {
        (self.tenant.as_str(), self.kind, self.id) == (tenant, kind, id)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.id, self.tenant)
    }
}

/// A request of an operator.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// In whose name.
    pub(crate) tenant: TenantId,
    pub(crate) what: Act,
    /// Stands in the record as the reason, and is the key of the request.
    pub(crate) reason: String,
    /// Whether it was answered before.
    pub(crate) again: bool,
    /// Letters that had been put back when it was asked for the first time.
    pub(crate) put_back: usize,
}

/// What an operator does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Pause(Entity),
    Resume(Entity),
    Passivate(Entity),
    Replay(Entity),
    ReplayAll,
    RetryNow(String),
    Skip(String),
    /// Puts a dead letter's work back, as it was or edited.
    PutBack(Uuid, Option<Value>),
    Discard(Uuid),
    /// Settings change.
    Change(Value),
    /// What belongs to another tenant than the one in whose name it is asked for.
    Trespass(Box<Act>),
}

impl Simulation {
    /// An operator does something.
    pub(crate) fn operate(&mut self, engine: &Engine) {
        let tenants = self.world.script.tenants.clone();
        let tenant = tenants[self.rng.random_range(0..tenants.len())].clone();
        let Some(what) = self.choose(engine, &tenant) else { return };
        // One in ten asks in the name of somebody else.
        let elsewhere =
            tenants.iter().find(|other| **other != tenant).filter(|_| self.rng.random_ratio(1, 10));
        match elsewhere {
            Some(other) if belongs_to_one(&what) => {
                self.request(engine, other.clone(), Act::Trespass(Box::new(what)))
            }
            _ => self.request(engine, tenant, what),
        }
    }

    pub(crate) fn request(&mut self, engine: &Engine, tenant: TenantId, what: Act) {
        self.operations += 1;
        let reason = format!("operation {}", self.operations);
        let put_back = self.witness.operations.put_back;
        self.ask(engine, Request::Operate(Box::new(Asked { tenant, what, reason, again: false, put_back })));
    }

    fn choose(&mut self, engine: &Engine, tenant: &TenantId) -> Option<Act> {
        Some(match self.rng.random_range(0..100) {
            0..26 => Act::Pause(self.some_entity(tenant, false)?),
            26..34 => Act::Passivate(self.some_entity(tenant, true)?),
            34..44 => Act::Replay(self.some_entity(tenant, true)?),
            44..47 => Act::ReplayAll,
            47..59 => Act::RetryNow(self.some_activity(engine, tenant)?),
            59..67 => Act::Skip(self.some_activity(engine, tenant)?),
            67..83 => {
                let letters = engine.dead_letters(Some(tenant)).ok()?;
                let letter = letters.get(self.rng.random_range(0..letters.len().max(1)))?;
                match self.rng.random_range(0..4) {
                    0 => Act::Discard(letter.id),
                    1 if letter.kind == "activity" => {
                        Act::PutBack(letter.id, Some(edited(letter.payload.clone())))
                    }
                    _ => Act::PutBack(letter.id, None),
                }
            }
            _ => {
                let calendar = ["office", "late", "whole"][self.rng.random_range(0..3)];
                let resolution = format!("{}h", self.rng.random_range(4..60));
                let answer = format!("{}m", self.rng.random_range(10..900));
                let default = json!({ "resolution": resolution, "first_response": answer });
                // The name is the key by which a change is recognised.
                let name = format!("Care, operation {}", self.operations + 1);
                let tier = json!({ "calendar": calendar, "default": default });
                Act::Change(json!({ "name": name, "sla": { "tiers": { "standard": tier } } }))
            }
        })
    }

    /// One of a tenant's entities; with `any` one that cannot be waited for as well.
    fn some_entity(&mut self, tenant: &TenantId, any: bool) -> Option<Entity> {
        let of = |kind, id| Entity { tenant: tenant.clone(), kind, id };
        let told = self.witness.conversations.iter().filter(|(_, told)| told.tenant == *tenant);
        let conversations: Vec<_> = told.map(|(id, _)| of(Conversation::KIND, *id)).collect();
        let mut others: Vec<_> = self
            .witness
            .cases
            .iter()
            .filter(|(_, of)| *of == tenant)
            .map(|(id, _)| of(Resolution::KIND, *id))
            .collect();
        let customers = self.world.script.customers.iter().filter(|customer| customer.tenant == *tenant);
        others.extend(customers.map(|customer| of(Customer::KIND, customer_id(customer.number))));
        if self.world.script.topics.is_some() {
            others.push(of(Endpoint::KIND, ENDPOINT));
        }
        if any {
            others.extend([of(PolicyBook::KIND, Uuid::nil()), of(Operation::KIND, Uuid::nil())]);
        }
        let from =
            if conversations.is_empty() || self.rng.random_ratio(1, 3) { others } else { conversations };
        from.get(self.rng.random_range(0..from.len().max(1))).cloned()
    }

    fn some_activity(&mut self, engine: &Engine, tenant: &TenantId) -> Option<String> {
        let pending = engine.activities(usize::MAX).ok()?;
        let pending: Vec<_> =
            pending.into_iter().filter(|activity| activity.tenant == tenant.as_str()).collect();
        Some(pending.get(self.rng.random_range(0..pending.len().max(1)))?.id.clone())
    }

    /// Gives the engine an operator's request.
    pub(crate) fn ask_operator(&mut self, engine: &Engine, asked: Asked) {
        if let Act::PutBack(id, _) = &asked.what
            && let Ok(Some(letter)) = engine.dead_letter(None, *id)
            && let Some(message) = letter.payload.get("provider_message_id").and_then(Value::as_str)
        {
            self.witness.put_back.insert(format!("{}/{message}", letter.tenant));
        }
        let meta = keyed(engine, &asked);
        let (running, Asked { tenant, what, reason, .. }) = (engine.clone(), asked.clone());
        self.begin(Request::Operate(Box::new(asked)), async move {
            let trespasses = matches!(what, Act::Trespass(_));
            match (carry_out(&running, &tenant, what, reason, meta).await, trespasses) {
                (Answer::Done, true) => Answer::Wrong("what is another tenant's was done".to_owned()),
                (answered, _) => answered,
            }
        });
    }

    /// An operator hears that it is done.
    pub(crate) fn operated(&mut self, asked: Asked) -> Result<(), String> {
        let Asked { tenant, what, reason, again, put_back } = &asked;
        self.witness.operations.done.insert(reason.clone());
        let Some(engine) = self.life.engine() else { return Ok(()) };
        if let Act::Skip(id) = what {
            // Where a crash cut it off, it is given up only now.
            self.witness.operations.skipped(id, self.life.now())?;
        }
        match what {
            Act::Pause(entity) if !again => {
                let at = self.life.now() + Span::from_mins(self.rng.random_range(1..400));
                let at = at.min(self.world.script.calm).max(self.life.now());
                self.plan(at, Happens::Resume(entity.clone()));
                self.known_paused.insert(entity.clone());
            }
            Act::Skip(id)
                if !again
                    && *put_back == self.witness.operations.put_back
                    && engine
                        .activities(usize::MAX)?
                        .iter()
                        .any(|activity| activity.tenant == tenant.as_str() && activity.id == *id) =>
            {
                return Err(format!("{reason}: activity {id} was skipped and is still pending"));
            }
            Act::PutBack(id, _) | Act::Discard(id) if engine.dead_letter(None, *id)?.is_some() => {
                return Err(format!("{reason}: dead letter {id} was settled and is still there"));
            }
            _ => {}
        }
        // A skip that is asked for again takes what was put back meanwhile with it.
        let repeats = !matches!(what, Act::Skip(_));
        if repeats
            && !again
            && !self.is_calm()
            && self.rng.random_range(0..100) < self.world.script.odds.again
        {
            let at = self.life.now() + Span::from_secs(self.rng.random_range(0..7_200));
            self.plan(at, Happens::Again(Request::Operate(Box::new(Asked { again: true, ..asked }))));
        }
        Ok(())
    }

    /// The time of a pause is over.
    pub(crate) fn resume(&mut self, engine: &Engine, entity: Entity) {
        self.known_paused.remove(&entity);
        self.request(engine, entity.tenant.clone(), Act::Resume(entity));
    }

    /// From when on nothing may be done for a paused entity: its operator has been told, or the process has begun on a
    /// store that says so.
    pub(crate) fn tell_of_pauses(&mut self) {
        let operations = &self.witness.operations;
        let held = operations.paused().filter(|entity| self.known_paused.contains(*entity));
        self.world.hold(held.cloned().collect());
    }

    /// A process that begins knows of every pause that was durable.
    pub(crate) fn pauses_are_known(&mut self) {
        self.known_paused = self.witness.operations.paused().cloned().collect();
    }

    /// What is paused is what was recorded, no more and no less.
    pub(crate) fn look_at_pauses(&self, engine: &Engine) -> Result<(), String> {
        let under_way = self.asked.values().any(|request| matches!(request, Request::Operate(_)));
        if under_way {
            return Ok(());
        }
        let in_force = engine.paused(None);
        let is_in_force = |entity: &Entity| {
            in_force.iter().any(|paused| entity.is(&paused.tenant, &paused.kind, paused.id))
        };
        let recorded: Vec<_> = self.witness.operations.paused().collect();
        if let Some(forgotten) =
            recorded.iter().find(|entity| self.known_paused.contains(**entity) && !is_in_force(entity))
        {
            return Err(format!("{forgotten} is paused, and the engine does not know it"));
        }
        if in_force.len() > recorded.len() {
            return Err(format!("paused are {in_force:?}, and recorded is {recorded:?}"));
        }
        Ok(())
    }
}

async fn carry_out(
    engine: &Engine,
    tenant: &TenantId,
    what: Act,
    reason: String,
    meta: CommandMeta,
) -> Answer {
    let of = Some(tenant);
    match what {
        Act::Pause(Entity { kind, id, .. }) => told(engine.pause(tenant, kind, id, reason, meta).await),
        Act::Resume(Entity { kind, id, .. }) => told(engine.resume(tenant, kind, id, reason, meta).await),
        Act::Passivate(Entity { kind, id, .. }) => {
            told(engine.passivate(tenant, kind, id, reason, meta).await)
        }
        Act::Replay(Entity { kind, id, .. }) => match engine.replay(tenant, kind, id, reason, meta).await {
            Ok((_, replayed)) if !replayed.differences.is_empty() => {
                Answer::Wrong(format!("the {kind} {id} differs from its journal: {:?}", replayed.differences))
            }
            replayed => told(replayed),
        },
        Act::ReplayAll => told(engine.replay_all(None, None, reason, tenant, meta).await),
        Act::RetryNow(id) => told(engine.retry_now(of, &id, reason, meta).await),
        Act::Skip(id) => told(engine.skip(of, &id, reason, meta).await),
        Act::PutBack(id, edited) => letter(engine.retry_dead_letter(of, id, edited, reason, meta).await),
        Act::Discard(id) => letter(engine.discard_dead_letter(of, id, reason, meta).await),
        Act::Change(patch) => answer(engine.change_policy(tenant, patch.to_string(), meta).await),
        Act::Trespass(what) => Box::pin(carry_out(engine, tenant, *what, reason, meta)).await,
    }
}

fn told<T>(answered: Result<T, OperateError>) -> Answer {
    match answered {
        Ok(_) => Answer::Done,
        Err(OperateError::Unknown(_) | OperateError::NotNow(_)) => Answer::Refused,
        Err(OperateError::Unreadable(_)) => Answer::Unknown,
        Err(OperateError::Send(error)) => answer::<(), _>(Err(error)),
    }
}

fn letter<T>(answered: Result<T, LetterError>) -> Answer {
    match answered {
        Ok(_) => Answer::Done,
        Err(LetterError::Unknown | LetterError::ReadOnly(_)) => Answer::Refused,
        Err(LetterError::Payload(error)) => Answer::Wrong(format!("an edited letter is refused: {error}")),
        Err(LetterError::Send(error)) => answer::<(), _>(Err(error)),
    }
}

/// Whether two tenants cannot both have such a thing: customers and endpoints here bear the same ids in both.
fn belongs_to_one(what: &Act) -> bool {
    match what {
        Act::Pause(Entity { kind, .. })
        | Act::Resume(Entity { kind, .. })
        | Act::Passivate(Entity { kind, .. })
        | Act::Replay(Entity { kind, .. }) => [Conversation::KIND, Resolution::KIND].contains(kind),
        Act::RetryNow(_) | Act::Skip(_) | Act::PutBack(..) | Act::Discard(_) => true,
        Act::ReplayAll | Act::Change(_) | Act::Trespass(_) => false,
    }
}

/// The activity of a letter with other words, where it has words.
fn edited(mut payload: Value) -> Value {
    if let Some(text) = payload.pointer_mut("/send/text") {
        *text = json!(format!("Mended: {}", text.as_str().unwrap_or_default()));
    }
    payload
}

fn keyed(engine: &Engine, asked: &Asked) -> CommandMeta {
    CommandMeta {
        idempotency: Some(Idempotency {
            tenant: asked.tenant.clone(),
            key: asked.reason.clone(),
            fingerprint: [9; 32],
            answer: String::new(),
        }),
        ..by_person(engine)
    }
}
