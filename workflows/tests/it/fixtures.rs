//! One of everything, with every field filled: the states and events whose encoded bytes are kept.
//!
//! Changing a fixture changes the bytes. An event's fixture is never changed again once its bytes are kept; a new
//! shape gets a new one.

use std::collections::BTreeMap;

use throughline_workflows::{
    access::{self, Access, AccessOutcome, Reads},
    agent::{self, Agent, AgentProfile, AgentStatus, Skill},
    conversation::{
        self, Conversation, CustomerCard, DeliveryStatus, Event, Move, Purpose, Status, WhyChannel,
        case::{CaseFacts, EscalationRequest, Window},
        clocks::{Clocks, Reminder},
        standing::Standing,
    },
    credential::{self, Credential, CredentialKind},
    customer::{self, ConsentChange, ConsentState, Customer, CustomerPatch},
    directory::{self, Directory},
    endpoint::{self, Disabled, Endpoint, Noticed, SecretText, Settings, Target},
    ids::{
        AgentId, CaseId, ConversationId, CustomerId, EndpointId, MessageId, NoteId, OperationId,
        ResolutionId, ScheduleId, TeamId, TokenId,
    },
    message::{Address, Attachment, AttachmentAt, Channel, Details, EmailDetails, Inbound, Outbound},
    operation::{self, Operation},
    policy::Updates,
    policy_book::{self, PolicyBook, PolicySource},
    resolution::{self, Resolution},
    role::Role,
    scenario::{id, moment, person},
    schedule::{self, Plan, Schedule, Work},
    sla::{BreachReason, Clock, ClockKind},
    team::{self, Team, TeamProfile},
    time::Span,
    topic::Topic,
    words::{CaseStatus, IssueType, Outcome, Severity, SlaTier, WindowSource},
    workflow::{ActivityError, By, Workflow},
};

/// A workflow whose bytes are kept.
pub(crate) trait Fixture: Workflow {
    /// One of each event, in an order in which they can happen; together they fill the state.
    fn events() -> Vec<Self::Event>;
}

pub(crate) fn conversation() -> ConversationId {
    ConversationId(id(1))
}

pub(crate) fn card() -> CustomerCard {
    CustomerCard { id: CustomerId(id(2)), name: Some("Ada".to_owned()), language: Some("en".to_owned()) }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn attachment() -> Attachment {
    Attachment {
        name: "lamp.jpg".to_owned(),
        media_type: "image/jpeg".to_owned(),
        bytes: Some(12),
        at: AttachmentAt::Url("https://example.com/lamp.jpg".to_owned()),
    }
}

pub(crate) fn mail() -> Inbound {
    Inbound {
        id: MessageId(id(3)),
        channel: Channel::Email,
        provider_message_id: "m1@example.com".to_owned(),
        from: vec![Address::email("ada@example.com"), Address::handle(&Channel::X, "ada")],
        name: some("Ada"),
        to: some("support@example.com"),
        text: "It is dark.".to_owned(),
        subject: some("Broken lamp"),
        attachments: vec![attachment()],
        thread: Some(conversation()),
        vouched: false,
        automatic: false,
        details: Details::Email(Box::new(EmailDetails {
            message_id: some("m1@example.com"),
            in_reply_to: some("m0@example.com"),
            references: vec!["m0@example.com".to_owned()],
            subject: some("Broken lamp"),
            to: vec!["support@example.com".to_owned()],
            cc: vec!["grace@example.com".to_owned()],
            body_text: some("It is dark.\n> quoted"),
            body_html: some("<p>It is dark.</p>"),
        })),
        metadata: "{\"order\":7}".to_owned(),
        sent_at: Some(moment("08:59")),
        received_at: moment("09:00"),
    }
}

fn answer() -> Outbound {
    Outbound {
        message_id: MessageId(id(4)),
        conversation_id: conversation(),
        channel: Channel::Sms,
        to: Address::phone("+15550123456"),
        to_name: some("Ada"),
        from: some("+15550100200"),
        from_name: some("Grace"),
        subject: some("Re: Broken lamp"),
        text: "Try the switch.".to_owned(),
        attachments: vec![attachment()],
        in_reply_to: some("m1@example.com"),
        references: vec!["m1@example.com".to_owned()],
        automatic: true,
    }
}

impl Fixture for Conversation {
    fn events() -> Vec<conversation::Event> {
        let at = moment("09:00");
        vec![
            Event::Opened {
                at,
                id: conversation(),
                customer: CustomerCard { name: None, ..card() },
                channel: Channel::Generic("web".to_owned()),
                subject: some("Broken lamp"),
                follow_up_of: Some(ConversationId(id(5))),
                priority: Some(Severity::P3),
            },
            Event::CustomerKnown { at, customer: card() },
            Event::MessageReceived {
                at,
                by: By::customer(Some(id(2)), some("Ada"), "email"),
                message: Box::new(mail()),
            },
            Event::MessageQueued {
                at,
                by: person("Grace"),
                message: Box::new(answer()),
                why: WhyChannel::Requested,
                purpose: Purpose::Update,
                replaces: Some(MessageId(id(12))),
                promises: Some(moment("21:00")),
                fallback_at: Some(moment("09:01")),
            },
            Event::StateChanged { at, from: Status::Open, to: Status::AwaitingAgent, by: Move::Queued },
            Event::DeliveryChanged {
                at,
                message_id: MessageId(id(4)),
                status: DeliveryStatus::Failed,
                provider_message_id: some("SM1"),
                error: Some(ActivityError { code: some("21610"), message: "opted out".to_owned() }),
            },
            Event::NoteAdded {
                at,
                by: person("Grace"),
                note_id: NoteId(id(6)),
                text: "Calls back.".to_owned(),
            },
            Event::Unassigned { at },
            Event::Assigned { at, agent: Some(AgentId(id(7))), team: Some(TeamId(id(8))) },
            Event::HandedOff { at, reason: some("Wants a person.") },
            Event::Woken { at },
            Event::Snoozed { at, until: moment("17:00") },
            Event::TagsChanged { at, added: vec!["lamp".to_owned()], removed: vec!["new".to_owned()] },
            Event::OutcomeRecorded { at, outcome: Some(Outcome::Answered), summary: some("New bulb.") },
            Event::PrioritySet { at, severity: Severity::P1 },
            Event::StandingKnown { at, standing: Box::new(standing()) },
            Event::Escalated {
                at,
                request: Box::new(request(13)),
                window: Some(window()),
                continuation: Some(Channel::Email),
            },
            Event::EscalationJoined { at, request: Box::new(request(14)) },
            Event::CaseKnown { at, facts: case_facts() },
            Event::Hurried { at, message_id: MessageId(id(4)), fallback_at: moment("09:02") },
            Event::Recalled { at, message_id: MessageId(id(4)), again: true },
            Event::CustomerUnreachable { at, retry_at: moment("10:00") },
            Event::ReachRetried { at, retry_at: moment("11:00") },
            Event::Nudged {
                at,
                since: moment("07:00"),
                due_at: moment("19:00"),
                agent: Some(AgentId(id(7))),
            },
            Event::SilenceBroken {
                at,
                since: moment("07:00"),
                due_at: moment("19:00"),
                detected_at: moment("19:01"),
                reason: BreachReason::NotAccepted,
            },
            Event::SupervisorAlarmed { at, updates: 6 },
            Event::PersonActed { at },
            Event::SlaWarned { at, clock: ClockKind::Resolution, due_at: moment("10:00") },
            Event::SlaBreached {
                at,
                clock: ClockKind::NextResponse,
                due_at: moment("08:00"),
                detected_at: moment("09:01"),
                reason: BreachReason::LateFailure,
            },
            Event::Reminded { at, waiting_since: moment("08:30"), number: 2, agent: Some(AgentId(id(7))) },
            Event::ClocksChanged { at, clocks: Box::new(clocks()) },
        ]
    }
}

fn standing() -> Standing {
    Standing {
        tier: SlaTier::Premium,
        timezone: some("Europe/Vienna"),
        quiet_hours: Some("22:00-07:00".parse().unwrap()),
        preferred: Some(Channel::Whatsapp),
        denied: [Channel::Voice].into_iter().collect(),
        addresses: vec![Address::email("ada@example.com"), Address::phone("+15550123456")],
    }
}

fn request(n: u64) -> EscalationRequest {
    EscalationRequest {
        resolution_id: ResolutionId(id(n)),
        case_id: CaseId::of(ResolutionId(id(n))),
        issue_type: IssueType::Billing,
        owning_team: "finance".to_owned(),
        severity: Some(Severity::P0),
        expected_by: Some(moment("17:00")),
        summary: some("Charged twice."),
    }
}

fn window() -> Window {
    Window { from: Some(moment("12:00")), by: moment("17:00"), source: WindowSource::Person }
}

fn case_facts() -> CaseFacts {
    CaseFacts {
        version: 3,
        status: CaseStatus::AwaitingFix,
        window: Some(window()),
        missed: Some(moment("08:00")),
        attended_at: Some(moment("08:10")),
        person_at: Some(moment("08:20")),
        joins: 1,
    }
}

/// A clock with every field filled, whether that can be or not.
fn clock(n: u64) -> Clock {
    Clock {
        started_at: moment("08:00"),
        target: Span::from_hours(n),
        calendar: some("office"),
        policy: n,
        spent: Span::from_mins(n),
        running_since: Some(moment("08:30")),
        paused_at: Some(moment("08:40")),
        due_at: Some(moment("11:00")),
        warn_at: Some(moment("10:00")),
        warned_at: Some(moment("10:01")),
        binding_since: moment("08:31"),
        met_at: Some(moment("10:30")),
        met_by: Some(MessageId(id(4))),
        met_failed: true,
        breached_at: Some(moment("11:01")),
        detected_at: Some(moment("11:02")),
    }
}

fn clocks() -> Clocks {
    Clocks {
        policy: 2,
        tier: SlaTier::Premium,
        severity: Severity::P1,
        updates: Updates::default(),
        updates_since: moment("07:00"),
        timezone: "Europe/Vienna".to_owned(),
        first_response: Some(clock(1)),
        next_response: Some(clock(2)),
        answered: Some(clock(3)),
        resolution: Some(clock(4)),
        escalation_unattended: Some(clock(5)),
        reminder: Some(Reminder { waiting_since: moment("08:30"), sent: 1, due_at: Some(moment("09:30")) }),
    }
}

impl Fixture for Resolution {
    fn events() -> Vec<resolution::Event> {
        let at = moment("09:00");
        vec![
            resolution::Event::Opened {
                at,
                id: ResolutionId(id(13)),
                case_id: CaseId::of(ResolutionId(id(13))),
                conversation_id: conversation(),
                issue_type: IssueType::Billing,
                owning_team: "finance".to_owned(),
                severity: Severity::P1,
                window: Some(window()),
                continuation: Some(Channel::Email),
                summary: some("Charged twice."),
            },
            resolution::Event::Joined { at, request: Box::new(request(14)) },
            resolution::Event::StatusChanged {
                at,
                from: CaseStatus::Investigating,
                to: CaseStatus::AwaitingFix,
            },
            resolution::Event::NoteAdded {
                at,
                by: person("Grace"),
                note_id: NoteId(id(6)),
                text: "Seen in the ledger.".to_owned(),
            },
            resolution::Event::UpdateWritten {
                at,
                by: person("Grace"),
                message_id: MessageId(id(4)),
                text: "We found it.".to_owned(),
            },
            resolution::Event::WindowPassed { at, expected_by: moment("08:00") },
            resolution::Event::Resolved {
                at,
                root_cause: some("A retry."),
                fix_description: some("Refunded."),
                with_conversation: true,
            },
            resolution::Event::Reopened { at: moment("10:00") },
            resolution::Event::WindowSet { at, window: window() },
            resolution::Event::HandedBack { at },
            resolution::Event::PersonActed { at },
            resolution::Event::Paused { at: moment("10:30") },
            resolution::Event::Resumed { at: moment("11:00") },
        ]
    }
}

impl Fixture for Customer {
    fn events() -> Vec<customer::Event> {
        let at = moment("09:00");
        let change = CustomerPatch {
            name: some("Ada L."),
            company: some("Engines"),
            metadata: some("{\"plan\":null}"),
            sla_tier: Some(SlaTier::Premium),
            tags_add: vec!["vip".to_owned()],
            tags_remove: vec!["new".to_owned()],
            channel: Some(Some(Channel::Email)),
            language: some("en"),
            timezone: some("Europe/London"),
            quiet_hours: some("22:00-07:00"),
            consent: BTreeMap::from([(
                Channel::Sms,
                ConsentChange { state: ConsentState::Denied, source: "stop keyword".to_owned() },
            )]),
        };
        vec![
            customer::Event::Registered {
                at,
                id: CustomerId(id(2)),
                addresses: vec![Address::email("ada@example.com")],
                name: some("Ada"),
                via: "email".to_owned(),
                verified: false,
            },
            customer::Event::IdentityAdded {
                at,
                address: Address::handle(&Channel::X, "ada"),
                via: "generic:web".to_owned(),
                verified: true,
            },
            customer::Event::IdentityVerified { at, address: Address::email("ada@example.com") },
            customer::Event::ProfileChanged { at, change: Box::new(change) },
        ]
    }
}

fn grace() -> AgentProfile {
    AgentProfile {
        email: some("grace@example.com"),
        role: Role::Supervisor,
        skills: vec![Skill { name: "billing".to_owned(), level: 3 }],
        team_ids: vec![TeamId(id(8))],
        status: AgentStatus::Away,
        ..AgentProfile::new("Grace")
    }
}

impl Fixture for Agent {
    fn events() -> Vec<agent::Event> {
        let at = moment("09:00");
        vec![
            agent::Event::Created { at, id: AgentId(id(7)), profile: Box::new(AgentProfile::new("Grace")) },
            agent::Event::Changed { at, profile: Box::new(grace()) },
        ]
    }
}

impl Fixture for Team {
    fn events() -> Vec<team::Event> {
        let at = moment("09:00");
        let profile = TeamProfile {
            name: "infra".to_owned(),
            parent_id: Some(TeamId(id(9))),
            members: vec![AgentId(id(7))],
            skills: vec!["networks".to_owned()],
        };
        let first = TeamProfile { name: "infra".to_owned(), ..TeamProfile::default() };
        vec![
            team::Event::Created { at, id: TeamId(id(8)), profile: first },
            team::Event::Changed { at, profile },
        ]
    }
}

impl Fixture for Credential {
    fn events() -> Vec<credential::Event> {
        let credential = credential::Facts {
            id: TokenId(id(10)),
            role: Role::Agent,
            kind: CredentialKind::Operator,
            name: "laptop".to_owned(),
            agent_id: Some(AgentId(id(7))),
            expires_at: Some(moment("17:00")),
            secret_hash: "c0ffee".to_owned(),
        };
        vec![
            credential::Event::Created { at: moment("09:00"), credential: Box::new(credential) },
            credential::Event::Revoked { at: moment("10:00") },
        ]
    }
}

impl Fixture for Operation {
    fn events() -> Vec<operation::Event> {
        vec![operation::Event::Acted {
            at: moment("09:00"),
            operation_id: OperationId(id(11)),
            action: "dead_letter.retry".to_owned(),
            target: "letter".to_owned(),
            reason: some("mended"),
        }]
    }
}

impl Fixture for Directory {
    fn events() -> Vec<directory::Event> {
        vec![directory::Event::TenantAdded {
            at: moment("09:00"),
            operation_id: OperationId(id(11)),
            tenant: "acme".parse().unwrap(),
            title: some("Acme Care"),
        }]
    }
}

impl Fixture for Reads {
    fn events() -> Vec<access::Event> {
        let read = Access {
            at: moment("09:00"),
            by: person("Grace"),
            token_id: TokenId(id(10)),
            role: Role::Agent,
            noun: "conversation".to_owned(),
            subject: Some(id(1)),
            path: "/api/v1/conversations".to_owned(),
            outcome: AccessOutcome::Refused,
        };
        vec![access::Event::Accessed {
            at: moment("09:00"),
            batch_id: OperationId(id(11)),
            accesses: vec![read],
        }]
    }
}

impl Fixture for PolicyBook {
    fn events() -> Vec<policy_book::Event> {
        vec![policy_book::Event::PolicyChanged {
            at: moment("09:00"),
            version: 1,
            settings: "{\"name\":\"Acme\"}".to_owned(),
            changed: vec!["name".to_owned()],
            edits: "{\"name\":\"Acme\"}".to_owned(),
            source: PolicySource::Api,
        }]
    }
}

impl Fixture for Endpoint {
    fn events() -> Vec<endpoint::Event> {
        let at = moment("09:00");
        let settings = |url: &str| {
            Box::new(Settings {
                target: Target::Url(url.to_owned()),
                topics: vec![Topic::MessageReceived, Topic::OperatorActed],
                description: some("the shop"),
            })
        };
        let error = ActivityError { code: some("500"), message: "no".to_owned() };
        let noticed = |seq: u64| Noticed { id: format!("evt_{seq}"), seq, topic: Topic::MessageReceived };
        vec![
            // Before what fills the state, which it would empty.
            endpoint::Event::Removed { at },
            endpoint::Event::Registered {
                at,
                id: EndpointId(id(60)),
                settings: settings("https://example.com/old"),
                secret: Some(SecretText::new("whsec_b2xk")),
                configured: true,
            },
            endpoint::Event::Changed { at, settings: settings("https://example.com/hooks") },
            endpoint::Event::Rotated { at, secret: SecretText::new("whsec_bmV3") },
            endpoint::Event::Enabled { at },
            endpoint::Event::Notified { at, notices: vec![noticed(1), noticed(2), noticed(3)] },
            endpoint::Event::Tested { at, id: "test_1".to_owned() },
            endpoint::Event::Delivered { at, id: "evt_1".to_owned(), attempts: 2 },
            endpoint::Event::DeliveryFailed { at, id: "evt_2".to_owned(), error },
            endpoint::Event::DeliveryDropped { at, id: "evt_3".to_owned() },
            endpoint::Event::Disabled { at, why: Disabled::Gone },
        ]
    }
}

impl Fixture for Schedule {
    fn events() -> Vec<schedule::Event> {
        let at = moment("09:00");
        let plan = Plan {
            name: "morning".to_owned(),
            cron: "0 9 * * Mon-Fri".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            work: Work::SweepClaims,
        };
        let error = ActivityError { code: some("500"), message: "no".to_owned() };
        let name = "morning".to_owned();
        vec![
            schedule::Event::Stopped { at },
            schedule::Event::Planned {
                at,
                id: ScheduleId(id(70)),
                plan: Box::new(plan),
                next_due: Some(moment("10:00")),
            },
            schedule::Event::Finished {
                at,
                due: moment("08:00"),
                name: name.clone(),
                work: Work::ReportSummary,
                figures: [("open".to_owned(), 3)].into(),
            },
            schedule::Event::Failed { at, due: moment("08:30"), name, error },
            schedule::Event::Ran { at, due: moment("09:00"), next_due: Some(moment("11:00")) },
        ]
    }
}
