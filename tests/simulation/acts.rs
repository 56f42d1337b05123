//! What customers, persons and providers do: webhooks that come late, again and out of order, requests that are
//! repeated until they are answered, words, cases, reports.

use rand::Rng;
use throughline_actors::{
    engine::{Engine, SendError},
    order::{CommandMeta, Idempotency},
};
use throughline_workflows::{
    conversation::{
        self, Conversation, DeliveryReport, DeliveryStatus, NewMessage, Status, case::EscalationRequest,
    },
    customer::{self, CustomerPatch},
    endpoint::{self, Endpoint, SecretText, Settings, Target},
    ids::{AgentId, CaseId, CustomerId, EndpointId, MessageId, NoteId, ResolutionId},
    message::{Channel, Details, Inbound},
    resolution::{self, Resolution},
    time::Span,
    words::{CaseStatus, IssueType, Severity},
    workflow::{ActivityError, By, ByKind, Cause, CauseKind, Workflow},
};
use uuid::Uuid;

use crate::{life::tenant, run::Simulation};

/// The one endpoint that is told of everything.
const ENDPOINT: Uuid = Uuid::from_u128(0xE0);

/// Something outside.
#[derive(Clone, Debug)]
pub(crate) enum Happens {
    /// A provider delivers a message, for the first time or again.
    Webhook { customer: usize, nth: usize },
    /// A person does something.
    Act,
    /// A provider reports on the message with this place in the ledger.
    Report { accepted: usize, status: DeliveryStatus },
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
        conversation: Uuid,
        text: String,
    },
    /// A known customer, or the endpoint: repeated under the same id.
    Register(usize),
    Endpoint,
    /// What may be lost, by its name in the trace.
    Other(#[expect(dead_code, reason = "it is told by its debug form")] &'static str),
}

/// How the engine answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    /// Not now, or nobody knows.
    Unknown,
}

fn answer<T, R: std::error::Error>(answered: Result<T, SendError<R>>) -> Answer {
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
            self.plan(script.start, Happens::Again(Request::Endpoint));
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
        }
    }

    /// The engine's answers are heard.
    pub(crate) fn hear(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        for (number, answer) in answers {
            let Some(request) = self.asked.remove(&number) else { continue };
            self.note(&format!("answered {answer:?}: {request:?}"));
            if answer == Answer::Unknown {
                self.repeat(request);
                continue;
            }
            match request {
                Request::Webhook { customer, nth } => {
                    self.witness.acknowledged.insert(provider_message_id(customer, nth));
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
                _ => {}
            }
        }
        self.bounce();
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

    /// What was taken and will come back is reported later; of some other messages the provider says that they arrived.
    fn bounce(&mut self) {
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

    /// Asks the engine something; it answers when it does.
    fn ask(&mut self, engine: &Engine, request: Request) {
        match &request {
            Request::Webhook { customer, nth } => {
                let inbound = self.inbound(engine, *customer, *nth);
                let (engine, trace) = (engine.clone(), engine.mint());
                self.begin(request, async move {
                    answer(engine.receive(&tenant(), inbound, Vec::new(), trace).await)
                });
            }
            Request::Report { accepted, status } => {
                let report = self.report(engine, *accepted, *status);
                let (engine, trace) = (engine.clone(), engine.mint());
                self.begin(request, async move { answer(engine.report(&tenant(), &report, trace).await) });
            }
            Request::Words { conversation, text } => {
                let message = self.message(engine, text.clone());
                let mut meta = by_person(engine);
                meta.idempotency = Some(Idempotency {
                    tenant: tenant(),
                    key: text.clone(),
                    fingerprint: [7; 32],
                    answer: String::new(),
                });
                let command = conversation::Command::Reply { message };
                self.order::<Conversation>(engine, *conversation, command, meta, request);
            }
            Request::Register(index) => {
                let command = self.registration(*index);
                let id = Uuid::from_u128(0xC000 + *index as u128);
                self.order::<customer::Customer>(engine, id, command, by_person(engine), request);
            }
            Request::Endpoint => {
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
                self.order::<Endpoint>(engine, ENDPOINT, command, by_person(engine), request);
            }
            Request::Other(_) => {}
        }
    }

    fn begin(&mut self, request: Request, work: impl Future<Output = Answer> + Send + 'static) {
        self.requests += 1;
        let (number, answers) = (self.requests, self.answers.clone());
        self.asked.insert(number, request);
        self.life.stepper.spawn("a request", async move {
            let answer = work.await;
            answers.lock().unwrap().push((number, answer));
        });
    }

    fn order<W: Workflow>(
        &mut self,
        engine: &Engine,
        id: Uuid,
        command: W::Command,
        meta: CommandMeta,
        request: Request,
    ) {
        let engine = engine.clone();
        self.begin(request, async move { answer(engine.send::<W>(&tenant(), id, command, meta).await) });
    }

    /// A person does something, or the customer writes once more.
    fn act(&mut self, engine: &Engine) {
        use conversation::Command;
        let known: Vec<_> = self.witness.conversations.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.rng.random_range(0..known.len())];
        let Ok(state) = engine.read_state::<Conversation>(&tenant(), id) else { return };
        let Some(facts) = state.facts() else { return };
        let case = facts.open_case().map(|case| case.resolution_id.0);
        let dice = self.rng.random_range(0..100);
        let (name, command) = match (facts.status, dice) {
            (_, 0..10) => {
                let (note_id, text) = (NoteId(engine.mint()), "NOTE: the parcel is lost".to_owned());
                ("a note", Command::AddNote { note_id, text })
            }
            (_, 10..14) => {
                let agent = Some(AgentId(Uuid::from_u128(self.rng.random_range(1..4))));
                ("an assignment", Command::Assign { agent, team: None })
            }
            (Status::Escalated, 14..70) if let Some(case) = case => return self.act_on_case(engine, case),
            (Status::Resolved, 14..60) => ("reopened", Command::Reopen),
            (Status::Resolved, _) => return,
            (_, 70..74) => ("a hand-back", Command::HandBack),
            (_, 74..80) => {
                let summary = Some("NOTE: done".to_owned());
                ("resolved", Command::Resolve { outcome: None, summary })
            }
            (_, 80..86) => {
                let until = engine.now() + Span::from_mins(self.rng.random_range(5..600));
                ("a snooze", Command::Snooze { until })
            }
            (_, 86..90) => {
                let severity = if self.rng.random_bool(0.5) { Severity::P0 } else { Severity::P3 };
                ("a priority", Command::SetPriority { severity })
            }
            (_, 90..93) => ("a hand-off", Command::HandOff { reason: None }),
            (_, 14..40) => return self.escalate(engine, id),
            (_, _) => {
                self.words += 1;
                let text = format!("Words of a person, number {}", self.words);
                return self.ask(engine, Request::Words { conversation: id, text });
            }
        };
        self.order::<Conversation>(engine, id, command, by_person(engine), Request::Other(name));
    }

    fn escalate(&mut self, engine: &Engine, id: Uuid) {
        let resolution_id = ResolutionId(engine.mint());
        let window = self.rng.random_bool(0.4).then(|| self.rng.random_range(1..30));
        let request = EscalationRequest {
            resolution_id,
            case_id: CaseId::of(resolution_id),
            issue_type: if self.rng.random_bool(0.5) { IssueType::Technical } else { IssueType::Billing },
            owning_team: "engineering".to_owned(),
            severity: self.rng.random_bool(0.5).then_some(Severity::P1),
            expected_by: window.map(|hours| engine.now() + Span::from_hours(hours)),
            summary: Some("NOTE: it does not work".to_owned()),
        };
        let command = conversation::Command::Escalate { request: Box::new(request) };
        self.order::<Conversation>(engine, id, command, by_person(engine), Request::Other("an escalation"));
    }

    fn act_on_case(&mut self, engine: &Engine, case: Uuid) {
        use resolution::Command;
        let (name, command) = match self.rng.random_range(0..20) {
            0..3 => {
                let (note_id, text) = (NoteId(engine.mint()), "NOTE: the disk is full".to_owned());
                ("a note on a case", Command::AddNote { note_id, text })
            }
            3..8 => {
                let all: Vec<_> =
                    CaseStatus::ALL.iter().filter(|status| **status != CaseStatus::Resolved).collect();
                let status = *all[self.rng.random_range(0..all.len())];
                ("a case's status", Command::SetStatus { status, note: None })
            }
            8..12 => {
                let by = engine.now() + Span::from_mins(self.rng.random_range(30..1_200));
                ("a case's window", Command::SetWindow { from: None, by })
            }
            12..16 => {
                let message = self.numbered(engine);
                ("words on a case", Command::Write { message })
            }
            16 => ("a pause", Command::Pause),
            17 => ("a resumption", Command::Resume),
            _ => {
                let message = self.rng.random_bool(0.5).then(|| self.numbered(engine));
                let root_cause = "NOTE: a full disk".to_owned();
                let fix_description = "NOTE: a larger disk".to_owned();
                ("a solution", Command::Resolve { root_cause, fix_description, message })
            }
        };
        self.order::<Resolution>(engine, case, command, by_person(engine), Request::Other(name));
    }

    /// A person's words, different every time.
    fn numbered(&mut self, engine: &Engine) -> NewMessage {
        self.words += 1;
        let text = format!("Words of a person, number {}", self.words);
        self.message(engine, text)
    }

    fn message(&mut self, engine: &Engine, text: String) -> NewMessage {
        NewMessage {
            id: MessageId(engine.mint()),
            channel: None,
            text,
            attachments: Vec::new(),
            agent_name: None,
        }
    }

    fn inbound(&self, engine: &Engine, index: usize, nth: usize) -> Inbound {
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

    fn report(&mut self, engine: &Engine, place: usize, status: DeliveryStatus) -> DeliveryReport {
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

    fn registration(&self, index: usize) -> customer::Command {
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

fn by_person(engine: &Engine) -> CommandMeta {
    CommandMeta {
        by: By {
            kind: ByKind::Person,
            id: Some(Uuid::from_u128(7)),
            name: Some("Robin".to_owned()),
            via: Some("api".to_owned()),
        },
        cause: Cause { kind: CauseKind::Command, id: Uuid::nil().to_string() },
        correlation: engine.mint(),
        idempotency: None,
    }
}

/// A provider's id of a message: the customer's number, then the message's.
pub(crate) fn provider_message_id(customer: usize, nth: usize) -> String {
    format!("in{customer}-{nth}")
}
