//! One of everything, with every field filled: the states and events whose encoded bytes are kept.
//!
//! Changing a fixture changes the bytes. An event's fixture is never changed again once its bytes are kept; a new
//! shape gets a new one.

use throughline_workflows::{
    agent::{self, Agent, AgentProfile, AgentStatus, Skill},
    conversation::{self, Conversation, CustomerCard, DeliveryStatus, Event, Move, Status, WhyChannel},
    credential::{self, Credential, CredentialKind},
    customer::{self, Customer, CustomerPatch},
    endpoint::{self, Disabled, Endpoint, Noticed, SecretText, Settings, Target},
    ids::{
        AgentId, ConversationId, CustomerId, EndpointId, MessageId, NoteId, OperationId, ScheduleId, TeamId,
        TokenId,
    },
    message::{Address, Attachment, AttachmentAt, Channel, Details, EmailDetails, Inbound, Outbound},
    operation::{self, Operation},
    role::Role,
    scenario::{id, moment, person},
    schedule::{self, Plan, Schedule, Work},
    team::{self, Team, TeamProfile},
    topic::Topic,
    words::{Outcome, Severity, SlaTier},
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
            channel: Some(Channel::Email),
            language: some("en"),
            timezone: some("Europe/London"),
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
