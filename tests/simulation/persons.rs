//! What persons do: words, notes, escalations, cases.

use rand::Rng;
use throughline_actors::{engine::Engine, order::CommandMeta};
use throughline_workflows::{
    conversation::{self, Conversation, NewMessage, Status, case::EscalationRequest},
    ids::{AgentId, CaseId, MessageId, NoteId, ResolutionId, TenantId},
    resolution::{self, Resolution},
    time::Span,
    words::{CaseStatus, IssueType, Severity},
    workflow::{By, ByKind, Cause, CauseKind},
};
use uuid::Uuid;

use crate::{acts::Request, run::Simulation};

impl Simulation {
    /// A person does something, or the customer writes once more.
    pub(crate) fn act(&mut self, engine: &Engine) {
        use conversation::Command;
        let known: Vec<_> = self.witness.conversations.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.rng.random_range(0..known.len())];
        let tenant = self.witness.conversations[&id].tenant.clone();
        let Ok(state) = engine.read_state::<Conversation>(&tenant, id) else { return };
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
            (Status::Escalated, 14..70) if let Some(case) = case => {
                return self.act_on_case(engine, (tenant, case));
            }
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
            (_, 14..40) => return self.escalate(engine, (tenant, id)),
            (_, _) => {
                let text = self.words_of_a_person(&tenant);
                return self.ask(engine, Request::Words { tenant, conversation: id, text });
            }
        };
        self.order::<Conversation>(engine, (tenant, id), command, by_person(engine), Request::Other(name));
    }

    fn escalate(&mut self, engine: &Engine, of: (TenantId, Uuid)) {
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
        self.order::<Conversation>(engine, of, command, by_person(engine), Request::Other("an escalation"));
    }

    fn act_on_case(&mut self, engine: &Engine, case: (TenantId, Uuid)) {
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
                let message = self.numbered(engine, &case.0);
                ("words on a case", Command::Write { message })
            }
            16 => ("a pause", Command::Pause),
            17 => ("a resumption", Command::Resume),
            _ => {
                let message = self.rng.random_bool(0.5).then(|| self.numbered(engine, &case.0));
                let root_cause = "NOTE: a full disk".to_owned();
                let fix_description = "NOTE: a larger disk".to_owned();
                ("a solution", Command::Resolve { root_cause, fix_description, message })
            }
        };
        self.order::<Resolution>(engine, case, command, by_person(engine), Request::Other(name));
    }

    /// A person's words, different every time.
    pub(crate) fn numbered(&mut self, engine: &Engine, tenant: &TenantId) -> NewMessage {
        let text = self.words_of_a_person(tenant);
        self.message(engine, text)
    }

    fn words_of_a_person(&mut self, tenant: &TenantId) -> String {
        self.words += 1;
        format!("Words of a person of {tenant}, number {}", self.words)
    }

    pub(crate) fn message(&mut self, engine: &Engine, text: String) -> NewMessage {
        NewMessage {
            id: MessageId(engine.mint()),
            channel: None,
            text,
            attachments: Vec::new(),
            agent_name: None,
        }
    }
}

pub(crate) fn by_person(engine: &Engine) -> CommandMeta {
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
