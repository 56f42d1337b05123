//! What happens outside and what the engine is asked for it: requests that are repeated until they are answered.

use rand::Rng;
use throughline_actors::{
    engine::{Engine, SendError},
    order::{CommandMeta, Idempotency},
};
use throughline_workflows::{
    conversation::{self, Conversation, DeliveryStatus},
    customer,
    endpoint::{self, Endpoint, SecretText, Settings, Target},
    ids::{EndpointId, TenantId},
    time::Span,
    workflow::Workflow,
};
use uuid::Uuid;

use crate::{
    operators::{Asked, Entity},
    outside::customer_id,
    persons::by_person,
    run::Simulation,
};

/// The endpoint of each tenant.
pub(crate) const ENDPOINT: Uuid = Uuid::from_u128(0xE0);

/// Something outside.
#[derive(Clone, Debug)]
pub(crate) enum Happens {
    /// A provider delivers a message, for the first time or again.
    Webhook { customer: usize, nth: usize },
    /// A person does something.
    Act,
    /// A provider reports on the message with this place in the ledger.
    Report { accepted: usize, status: DeliveryStatus },
    /// An operator does something.
    Operate,
    /// An operator lets a paused entity go on.
    Resume(Entity),
    /// A request that was not answered is made again.
    Again(Request),
}

/// What the engine is asked.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Webhook {
        customer: usize,
        nth: usize,
    },
    Report {
        accepted: usize,
        status: DeliveryStatus,
    },
    /// A person's answer, under a key by which a repetition is recognised.
    Words {
        tenant: TenantId,
        conversation: Uuid,
        text: String,
    },
    /// A known customer, or the endpoint: repeated under the same id.
    Register(usize),
    Endpoint(TenantId),
    /// What an operator wants.
    Operate(Box<Asked>),
    /// What may be lost, by its name in the trace.
    Other(#[expect(dead_code, reason = "it is told by its debug form")] &'static str),
}

/// How the engine answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    /// Not now, or nobody knows.
    Unknown,
    /// What cannot be.
    Wrong(String),
}

pub(crate) fn answer<T, R: std::error::Error>(answered: Result<T, SendError<R>>) -> Answer {
    match answered {
        Ok(_) => Answer::Done,
        Err(SendError::Rejected(_) | SendError::Claimed { .. }) => Answer::Refused,
        Err(_) => Answer::Unknown,
    }
}

impl Simulation {
    /// What is known from the beginning to happen.
    pub(crate) fn plan_all(&mut self) {
        let world = self.world.clone();
        let script = &world.script;
        if script.topics.is_some() {
            for tenant in &script.tenants {
                self.plan(script.start, Happens::Again(Request::Endpoint(tenant.clone())));
            }
        }
        for (index, customer) in script.customers.iter().enumerate() {
            self.plan(script.start, Happens::Again(Request::Register(index)));
            for (nth, at) in customer.writes_at.iter().enumerate() {
                let late = self.rng.random_range(0..=script.odds.late_secs);
                self.plan(*at + Span::from_secs(late), Happens::Webhook { customer: index, nth });
            }
        }
        let minutes = script.calm.since(script.start).as_millis() / 60_000;
        for _ in 0..script.acts {
            let at = script.start + Span::from_mins(self.rng.random_range(0..minutes));
            self.plan(at, Happens::Act);
        }
        for at in &script.operations {
            self.plan(*at, Happens::Operate);
        }
    }

    /// The first thing that is due outside happens.
    pub(crate) fn happen(&mut self) {
        let Some(engine) = self.life.engine() else { return };
        let Some((_, what)) = self.agenda.pop_first() else { return };
        self.note(&format!("outside: {what:?}"));
        match what {
            Happens::Webhook { customer, nth } => self.ask(&engine, Request::Webhook { customer, nth }),
            Happens::Report { accepted, status } => self.ask(&engine, Request::Report { accepted, status }),
            Happens::Again(request) => self.ask(&engine, request),
            Happens::Act => self.act(&engine),
            Happens::Operate => self.operate(&engine),
            Happens::Resume(entity) => self.resume(&engine, entity),
        }
    }

    /// The engine's answers are heard.
    pub(crate) fn hear(&mut self) -> Result<(), String> {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        for (number, answer) in answers {
            let Some(request) = self.asked.remove(&number) else { continue };
            self.note(&format!("answered {answer:?}: {request:?}"));
            if answer == Answer::Unknown {
                self.repeat(request);
                continue;
            }
            if let Answer::Wrong(what) = answer {
                return Err(what);
            }
            match request {
                Request::Webhook { customer, nth } => {
                    self.witness.acknowledged.insert(self.world.script.customers[customer].message(nth));
                    let again = self.rng.random_range(0..100) < self.world.script.odds.again;
                    if again && !self.is_calm() {
                        let at = self.life.now() + Span::from_secs(self.rng.random_range(0..7_200));
                        self.plan(at, Happens::Webhook { customer, nth });
                    }
                }
                Request::Report { accepted, status: DeliveryStatus::Failed } => {
                    let now = self.life.now();
                    self.world.with_ledger(|ledger| *ledger.accepted[accepted].bounced_at.get_or_insert(now));
                }
                Request::Words { text, .. } if answer == Answer::Done => {
                    self.witness.said.insert(text);
                }
                Request::Operate(asked) if answer == Answer::Done => self.operated(*asked)?,
                Request::Operate(asked) => drop(self.witness.operations.refused.insert(asked.reason)),
                _ => {}
            }
        }
        self.tell_of_pauses();
        self.bounce();
        self.world.broken().map_or(Ok(()), Err)
    }

    /// The process has ended: whoever was not answered asks again, or thinks no more of it.
    pub(crate) fn forget_unanswered(&mut self) {
        self.answers.lock().unwrap().clear();
        for (_, request) in std::mem::take(&mut self.asked) {
            self.repeat(request);
        }
    }

    fn repeat(&mut self, request: Request) {
        if !matches!(request, Request::Other(_)) {
            let at = self.life.now() + Span::from_secs(self.rng.random_range(1..300));
            self.plan(at, Happens::Again(request));
        }
    }

    /// Asks the engine something; it answers when it does.
    pub(crate) fn ask(&mut self, engine: &Engine, request: Request) {
        match &request {
            Request::Webhook { customer, nth } => {
                let inbound = self.inbound(engine, *customer, *nth);
                let tenant = self.world.script.customers[*customer].tenant.clone();
                let files = self.file(&tenant, &inbound);
                let (engine, trace) = (engine.clone(), engine.mint());
                let work = async move { answer(engine.receive(&tenant, inbound, files, trace).await) };
                self.begin(request, work);
            }
            Request::Report { accepted, status } => {
                let (tenant, report) = self.report(engine, *accepted, *status);
                let (engine, trace) = (engine.clone(), engine.mint());
                self.begin(request, async move { answer(engine.report(&tenant, &report, trace).await) });
            }
            Request::Words { tenant, conversation, text } => {
                let message = self.message(engine, text.clone());
                let mut meta = by_person(engine);
                meta.idempotency = Some(Idempotency {
                    tenant: tenant.clone(),
                    key: text.clone(),
                    fingerprint: [7; 32],
                    answer: String::new(),
                });
                let command = conversation::Command::Reply { message };
                let of = (tenant.clone(), *conversation);
                self.order::<Conversation>(engine, of, command, meta, request);
            }
            Request::Register(index) => {
                let command = self.registration(*index);
                let customer = &self.world.script.customers[*index];
                let of = (customer.tenant.clone(), customer_id(customer.number));
                self.order::<customer::Customer>(engine, of, command, by_person(engine), request);
            }
            Request::Endpoint(tenant) => {
                let command = endpoint::Command::Register {
                    endpoint_id: EndpointId(ENDPOINT),
                    settings: Box::new(Settings {
                        target: Target::Url("https://example.com/hook".to_owned()),
                        topics: self.world.script.topics.clone().unwrap_or_default(),
                        description: None,
                    }),
                    secret: Some(SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
                    configured: false,
                };
                self.order::<Endpoint>(
                    engine,
                    (tenant.clone(), ENDPOINT),
                    command,
                    by_person(engine),
                    request,
                );
            }
            Request::Operate(asked) => self.ask_operator(engine, (**asked).clone()),
            Request::Other(_) => {}
        }
    }

    pub(crate) fn begin(&mut self, request: Request, work: impl Future<Output = Answer> + Send + 'static) {
        self.requests += 1;
        let (number, answers) = (self.requests, self.answers.clone());
        self.asked.insert(number, request);
        self.life.stepper.spawn("a request", async move {
            let answer = work.await;
            answers.lock().unwrap().push((number, answer));
        });
    }

    pub(crate) fn order<W: Workflow>(
        &mut self,
        engine: &Engine,
        (tenant, id): (TenantId, Uuid),
        command: W::Command,
        meta: CommandMeta,
        request: Request,
    ) {
        let engine = engine.clone();
        self.begin(request, async move { answer(engine.send::<W>(&tenant, id, command, meta).await) });
    }
}
