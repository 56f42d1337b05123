//! Any command of any workflow. Ids come from small sets, so that commands meet each other.

use std::collections::BTreeSet;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use throughline_workflows::{
    access::{self, Access, AccessOutcome},
    agent::{self, AgentPatch, AgentProfile, AgentStatus, Skill},
    calendar::{Calendar, CalendarSpec, Hours},
    conversation::{
        self, Conversation, CustomerCard, Delivery, DeliveryStatus, NewMessage, Opening,
        case::{CaseFacts, CaseOrder, CaseReport, EscalationRequest, Window},
        standing::Standing,
    },
    credential::{self, CredentialKind},
    customer::{self, ConsentChange, ConsentState, CustomerPatch},
    directory,
    endpoint::{self, EndpointPatch, Notice, Report, SecretText, Target},
    ids::{
        AgentId, CaseId, ConversationId, CustomerId, EndpointId, MessageId, NoteId, OperationId,
        ResolutionId, ScheduleId, TeamId, TokenId,
    },
    message::{Address, Attachment, AttachmentAt, Channel, Details, EmailDetails, Inbound, Outbound},
    operation,
    policy::{OnReopen, PauseIn, Policies, Policy, Targets, Tier, Updates, Warn, settings::Settings},
    policy_book::{self, PolicyFile},
    resolution,
    role::Role,
    scenario::{id, moment, person},
    schedule::{self, Plan, Work},
    team::{self, TeamPatch, TeamProfile},
    time::{Span, Timestamp},
    topic::Topic,
    words::{CaseStatus, IssueType, Outcome, Severity, SlaTier, WindowSource},
    workflow::{ActivityError, Workflow as _},
};
use uuid::Uuid;

/// When the histories of all laws begin.
pub(crate) fn start() -> Timestamp {
    moment("09:00")
}

fn ids(from: u64) -> impl Strategy<Value = Uuid> {
    (from..from + 4).prop_map(id)
}

/// A word, a text with something odd in it, or nothing.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["", " ", "lamp", "Re: lamp", "ü\u{7f}\n", "{\"a\":null}", "en", "Ada"])
            .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_u64..20_000).prop_map(|minutes| start() + Span::from_mins(minutes))
}

fn channel() -> impl Strategy<Value = Channel> {
    select(vec![Channel::Email, Channel::Sms, Channel::Chat, Channel::Generic("web".to_owned())])
}

fn address() -> impl Strategy<Value = Address> {
    select(vec![
        Address::email("ada@example.com"),
        Address::email("no-reply@example.com"),
        Address::phone("+15550123456"),
        Address::phone("72345"),
        Address::handle(&Channel::Chat, "v1"),
    ])
}

fn details() -> impl Strategy<Value = Details> {
    let mail = (option::of(text()), vec(text(), 0..30), option::of(text())).prop_map(
        |(message_id, references, in_reply_to)| {
            Details::Email(Box::new(EmailDetails {
                message_id,
                references,
                in_reply_to,
                ..EmailDetails::default()
            }))
        },
    );
    prop_oneof![Just(Details::None), Just(Details::Sms { segments: 1 }), mail]
}

fn inbound() -> impl Strategy<Value = Inbound> {
    let place = (ids(100), channel(), select(vec!["p1", "p2", "p3"]), vec(address(), 1..3));
    let words = (option::of(text()), text(), option::of(text()), details());
    let flags = (option::of(ids(1)), any::<bool>(), option::of(time()));
    (place, words, flags).prop_map(|(place, words, flags)| Inbound {
        id: MessageId(place.0),
        channel: place.1,
        provider_message_id: place.2.to_owned(),
        from: place.3,
        name: words.0,
        to: None,
        text: words.1,
        subject: words.2,
        attachments: Vec::new(),
        thread: flags.0.map(ConversationId),
        vouched: false,
        automatic: flags.1,
        details: words.3,
        metadata: String::new(),
        sent_at: flags.2,
        received_at: start(),
    })
}

fn card() -> impl Strategy<Value = CustomerCard> {
    (ids(10), option::of(text()), option::of(text())).prop_map(|(id, name, language)| CustomerCard {
        id: CustomerId(id),
        name,
        language,
    })
}

fn new_message() -> impl Strategy<Value = NewMessage> {
    let file = Attachment {
        name: "a.png".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: None,
        at: AttachmentAt::Blob("k".to_owned()),
    };
    let files = prop_oneof![Just(Vec::new()), Just(vec![file])];
    (ids(200), option::of(channel()), text(), files, option::of(Just("Grace".to_owned()))).prop_map(
        |(id, channel, text, attachments, agent_name)| NewMessage {
            id: MessageId(id),
            channel,
            text,
            attachments,
            agent_name,
        },
    )
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let error = ActivityError { code: None, message: "no".to_owned() };
    prop_oneof![
        time().prop_map(|at| Delivery::Accepted { at, provider_message_id: Some("x".to_owned()) }),
        Just(Delivery::Failed { error: error.clone() }),
        Just(Delivery::Uncertain { error }),
    ]
}

pub(crate) fn conversation() -> impl Strategy<Value = conversation::Command> {
    use conversation::Command;
    let opening =
        option::of((option::of(ids(5)), option::of(ids(5))).prop_map(|(follow_up_of, replaces)| Opening {
            follow_up_of: follow_up_of.map(ConversationId),
            replaces: replaces.map(ConversationId),
            standing: None,
        }));
    let this = ConversationId(id(1));
    let receive = (inbound(), card(), opening).prop_map(move |(inbound, customer, opening)| {
        Command::Receive { conversation_id: this, inbound: Box::new(inbound), customer, opening }
    });
    let begin = (card(), new_message(), address(), option::of(text()), option::of(select(Severity::ALL)))
        .prop_map(move |(customer, message, to, subject, priority)| Command::Begin {
            conversation_id: this,
            customer,
            message,
            to,
            subject,
            priority,
            replaces: None,
            standing: None,
        });
    let sent = prop_oneof![ids(200), ids(100).prop_map(|id| MessageId(id).of_answer().0)];
    let named = option::of(prop_oneof![ids(200), ids(100).prop_map(|id| MessageId(id).of_answer().0)]);
    let status = select(DeliveryStatus::ALL);
    let report = (named, channel(), select(vec!["x", "y"]), status, time()).prop_map(
        |(named, channel, provider, status, at)| Command::Report {
            channel,
            provider_message_id: provider.to_owned(),
            message_id: named.map(MessageId),
            status,
            error: None,
            at,
        },
    );
    prop_oneof![
        6 => receive,
        2 => begin,
        2 => report,
        4 => new_message().prop_map(|message| Command::Reply { message }),
        3 => (sent, delivery()).prop_map(|(id, delivery)| Command::RecordDelivery {
            message_id: MessageId(id),
            delivery,
        }),
        1 => (ids(300), text()).prop_map(|(id, text)| Command::AddNote { note_id: NoteId(id), text }),
        1 => (option::of(ids(20)), option::of(ids(30))).prop_map(|(agent, team)| Command::Assign {
            agent: agent.map(AgentId),
            team: team.map(TeamId),
        }),
        1 => Just(Command::Unassign),
        2 => option::of(text()).prop_map(|reason| Command::HandOff { reason }),
        2 => time().prop_map(|until| Command::Snooze { until }),
        1 => Just(Command::Wake),
        1 => (vec(text(), 0..3), vec(text(), 0..3)).prop_map(|(add, remove)| Command::Tag { add, remove }),
        2 => (option::of(select(Outcome::ALL)), option::of(text()))
            .prop_map(|(outcome, summary)| Command::Resolve { outcome, summary }),
        1 => Just(Command::Reopen),
        1 => select(Severity::ALL).prop_map(|severity| Command::SetPriority { severity }),
        1 => Just(Command::Look),
        1 => Just(Command::AdoptPolicy),
        1 => Just(Command::HandBack),
        2 => standing().prop_map(|standing| Command::KnowStanding { standing: Box::new(standing) }),
        2 => request().prop_map(|request| Command::Escalate { request: Box::new(request) }),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    let zone = option::of(select(vec!["Europe/Vienna", "America/New_York", "Nowhere/Land"]));
    let quiet = option::of(select(vec!["22:00-07:00", "06:00-05:00", "12:00-13:00"]));
    let channels = (option::of(channel()), vec(channel(), 0..3), vec(address(), 0..3));
    (select(SlaTier::ALL), zone, quiet, channels).prop_map(
        |(tier, timezone, quiet, (preferred, denied, addresses))| Standing {
            tier,
            timezone: timezone.map(str::to_owned),
            quiet_hours: quiet.map(|quiet| quiet.parse().unwrap()),
            preferred,
            denied: denied.into_iter().collect(),
            addresses,
        },
    )
}

fn request() -> impl Strategy<Value = EscalationRequest> {
    let team = select(vec!["infra", "", "finance"]);
    let which = (ids(60), select(IssueType::ALL), team, option::of(select(Severity::ALL)));
    (which, option::of(time()), option::of(text())).prop_map(
        |((id, issue_type, owning_team, severity), expected_by, summary)| EscalationRequest {
            resolution_id: ResolutionId(id),
            case_id: CaseId::of(ResolutionId(id)),
            issue_type,
            owning_team: owning_team.to_owned(),
            severity,
            expected_by,
            summary,
        },
    )
}

fn window() -> impl Strategy<Value = Window> {
    (option::of(time()), time(), select(WindowSource::ALL)).prop_map(|(from, by, source)| Window {
        from,
        by,
        source,
    })
}

fn case_facts() -> impl Strategy<Value = CaseFacts> {
    let times = (option::weighted(0.2, time()), option::of(time()), option::of(time()));
    (1_u64..9, select(CaseStatus::ALL), option::of(window()), times).prop_map(
        |(version, status, window, (missed, attended_at, person_at))| CaseFacts {
            version,
            status,
            window,
            missed,
            attended_at,
            person_at,
            joins: 0,
        },
    )
}

fn report() -> impl Strategy<Value = CaseReport> {
    prop_oneof![
        4 => case_facts().prop_map(CaseReport::Facts),
        2 => new_message().prop_map(CaseReport::Update),
        1 => (case_facts(), option::of(new_message())).prop_map(|(facts, message)| {
            let facts = CaseFacts { status: CaseStatus::Resolved, ..facts };
            // The resolution lets no empty words through.
            let message = message.map(|message| NewMessage { text: "It is solved.".to_owned(), ..message });
            CaseReport::Resolved { facts, message }
        }),
    ]
}

/// What may happen to a conversation. Most of it depends on how it stands by then.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Whatever anybody may ask at any time.
    Command(conversation::Command),
    /// The customer writes, and it is taken in some minutes later.
    Written(conversation::Command, u64),
    /// What became of one of the sends, counted from the newest.
    Settled(usize, Settled),
    /// The words of one of the sends come back, or somebody wants them to go out again.
    Words(usize, Words),
    /// The case of the conversation, or another, reports.
    Case(Option<Uuid>, CaseReport),
    /// The next timer falls due.
    Timer,
    /// The tenant changes its policy.
    Policy(usize),
}

/// What becomes of a send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    /// Some minutes before it becomes known.
    Accepted(u64),
    Failed,
    Uncertain,
    Reported(DeliveryStatus),
}

/// What becomes of the words of a send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words {
    Found,
    Lost,
    Wanted,
}

/// Something that happens to a conversation, and whether a person does it.
pub(crate) fn step() -> impl Strategy<Value = (Step, bool)> {
    let settled = prop_oneof![
        5 => prop_oneof![Just(0), 0_u64..60].prop_map(Settled::Accepted),
        3 => Just(Settled::Failed),
        1 => Just(Settled::Uncertain),
        2 => select(DeliveryStatus::ALL).prop_map(Settled::Reported),
    ];
    let words = prop_oneof![4 => Just(Words::Found), 1 => Just(Words::Lost), 2 => Just(Words::Wanted)];
    let recent = || prop_oneof![3 => 0_usize..2, 1 => 0_usize..8];
    let step = prop_oneof![
        8 => conversation().prop_map(Step::Command),
        4 => (conversation(), 0_u64..30).prop_map(|(command, late)| Step::Written(command, late)),
        6 => (recent(), settled).prop_map(|(nth, settled)| Step::Settled(nth, settled)),
        3 => (recent(), words).prop_map(|(nth, words)| Step::Words(nth, words)),
        3 => (option::weighted(0.2, ids(60)), report()).prop_map(|(case, report)| Step::Case(case, report)),
        6 => Just(Step::Timer),
        1 => (0_usize..4).prop_map(Step::Policy),
    ];
    (step, any::<bool>())
}

impl Step {
    /// The command that this comes to, for a conversation that stands like this; a timer moves the time on.
    pub(crate) fn command(
        self,
        state: &conversation::State,
        now: &mut Timestamp,
        policies: &mut Policies,
    ) -> conversation::Command {
        use conversation::Command;
        let nth = |nth: usize| {
            let sends: Vec<_> = state.facts()?.sends.iter().rev().collect();
            (!sends.is_empty()).then(|| sends[nth % sends.len()].clone())
        };
        let error = || ActivityError { code: None, message: "no".to_owned() };
        match self {
            Self::Command(command) => known_by(command, *now),
            Self::Written(command, late) => known_by(command, *now - Span::from_mins(late)),
            Self::Settled(n, settled) => {
                let Some(send) = nth(n) else { return Command::Look };
                let delivery = match settled {
                    Settled::Accepted(late) => Delivery::Accepted {
                        at: (*now - Span::from_mins(late)).max(send.queued_at),
                        provider_message_id: Some(format!("p-{}", send.id)),
                    },
                    Settled::Failed => Delivery::Failed { error: error() },
                    Settled::Uncertain => Delivery::Uncertain { error: error() },
                    Settled::Reported(status) => {
                        let (channel, at) = (send.channel.clone(), *now);
                        let provider_message_id = format!("p-{}", send.id);
                        let message_id = None;
                        return Command::Report {
                            channel,
                            provider_message_id,
                            message_id,
                            status,
                            error: None,
                            at,
                        };
                    }
                };
                Command::RecordDelivery { message_id: send.id, delivery }
            }
            Self::Words(n, words) => {
                let Some(send) = nth(n) else { return Command::Look };
                match words {
                    Words::Found => {
                        Command::Resend { original: Box::new(written(&send)), by: person("Grace") }
                    }
                    Words::Lost => Command::RecallFailed { message_id: send.id, error: error() },
                    Words::Wanted => Command::SendAgain { message_id: send.id },
                }
            }
            Self::Case(other, report) => {
                let ours = state.facts().and_then(|facts| facts.case.as_ref()).map(|case| case.resolution_id);
                let resolution_id = other.map(ResolutionId).or(ours).unwrap_or(ResolutionId(id(60)));
                known_by(Command::HearCase { resolution_id, report: Box::new(report) }, *now)
            }
            Self::Timer => {
                let next = Conversation::deadlines(state).iter().min_by_key(|(_, due)| *due);
                let Some((deadline, due)) = next else { return Command::Look };
                *now = due.max(*now);
                Conversation::deadline_passed(deadline)
            }
            Self::Policy(n) => {
                let (version, since) = (policies.in_force().version + 1, *now);
                *policies = policies.clone().changed(Policy { version, since, ..policy(n) });
                Command::AdoptPolicy
            }
        }
    }
}

/// A message as it was sent once; only its id matters to whoever sends it again.
fn written(send: &conversation::sends::SentMessage) -> Outbound {
    Outbound {
        message_id: send.id,
        conversation_id: ConversationId(id(1)),
        channel: send.channel.clone(),
        to: Address::email("ada@example.com"),
        to_name: None,
        from: None,
        from_name: Some("Grace".to_owned()),
        subject: None,
        text: "as it was".to_owned(),
        attachments: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: send.automatic,
    }
}

/// Policies that differ in everything that clocks and silence look at.
fn policy(n: usize) -> Policy {
    let day = || vec!["09:00-12:00".to_owned(), "13:00-17:30".to_owned()];
    let hours = Hours {
        mon: day(),
        tue: day(),
        wed: day(),
        thu: day(),
        sat: vec!["22:00-06:00".to_owned()],
        ..Hours::default()
    };
    let spec = CalendarSpec { timezone: "Europe/Berlin".to_owned(), hours, holidays: Vec::new() };
    let mut policy = Policy::default();
    policy.calendars.insert("office".to_owned(), Calendar::new(&spec).unwrap());
    let strict = Updates {
        interval: Span::from_mins(30),
        margin: Span::from_mins(10),
        nudge_before: Span::from_mins(20),
        alarm_after: 2,
    };
    let tier = Tier { calendar: Some("office".to_owned()), on_reopen: OnReopen::Restart, ..Tier::default() };
    match n {
        0 => {}
        1 => {
            policy.updates = strict;
            policy.tiers.insert(SlaTier::Standard, tier);
        }
        2 => {
            let pause_in = PauseIn::ALL.iter().copied().collect();
            let reminders = vec![Span::from_mins(1), Span::from_hours(50)];
            let tier = Tier { pause_in, reminders, warn: Warn::Before(Span::from_hours(1)), ..tier };
            policy.tiers = SlaTier::ALL.iter().map(|name| (*name, tier.clone())).collect();
            policy.windows =
                [(IssueType::Billing, [(Severity::P2, Span::from_hours(5))].into_iter().collect())]
                    .into_iter()
                    .collect();
        }
        _ => {
            let short = Targets {
                first_response: Some(Span::from_mins(5)),
                next_response: Some(Span::from_mins(6)),
                resolution: Some(Span::from_mins(7)),
                escalation_unattended: Some(Span::from_mins(8)),
            };
            let tier =
                Tier { default: short, pause_in: BTreeSet::new(), reminders: Vec::new(), ..Tier::default() };
            policy.tiers = SlaTier::ALL.iter().map(|name| (*name, tier.clone())).collect();
            policy.acknowledge = false;
            policy.updates.alarm_after = 1;
        }
    }
    assert_eq!(policy.check(), Ok(()));
    policy
}

/// The command as it can come at `at`: what it tells of is not in the future.
fn known_by(mut command: conversation::Command, at: Timestamp) -> conversation::Command {
    use conversation::Command;
    match &mut command {
        Command::Receive { inbound, .. } => inbound.received_at = at,
        Command::RecordDelivery { delivery: Delivery::Accepted { at: accepted, .. }, .. } => *accepted = at,
        Command::Report { at: heard, .. } => *heard = at,
        Command::HearCase { report, .. } => {
            if let CaseReport::Facts(facts) | CaseReport::Resolved { facts, .. } = &mut **report {
                facts.attended_at = facts.attended_at.min(Some(at));
                facts.person_at = facts.person_at.min(Some(at));
                facts.missed = facts.missed.min(Some(at));
            }
        }
        _ => {}
    }
    command
}

pub(crate) fn resolution() -> impl Strategy<Value = resolution::Command> {
    use resolution::Command;
    let order = prop_oneof![
        3 => (request(), select(Severity::ALL), option::of(window())).prop_map(|(request, severity, window)| {
            let continuation = Some(Channel::Email);
            CaseOrder::Open { request: Box::new(request), severity, window, continuation }
        }),
        1 => request().prop_map(|request| CaseOrder::Join { request: Box::new(request) }),
        1 => Just(CaseOrder::Close),
        1 => Just(CaseOrder::Reopen),
        1 => Just(CaseOrder::HandBack),
    ];
    let note = || (ids(300), text()).prop_map(|(id, text)| (NoteId(id), text));
    prop_oneof![
        6 => order.prop_map(|order| Command::Take {
            resolution_id: ResolutionId(id(60)),
            conversation_id: ConversationId(id(1)),
            order,
        }),
        3 => (select(CaseStatus::ALL), option::of(note()))
            .prop_map(|(status, note)| Command::SetStatus { status, note }),
        1 => note().prop_map(|(note_id, text)| Command::AddNote { note_id, text }),
        1 => new_message().prop_map(|message| Command::Write { message }),
        3 => (option::of(time()), time()).prop_map(|(from, by)| Command::SetWindow { from, by }),
        1 => Just(Command::WindowPassed),
        1 => Just(Command::Pause),
        1 => Just(Command::Resume),
        1 => (text(), text(), option::of(new_message())).prop_map(|(root_cause, fix_description, message)| {
            Command::Resolve { root_cause, fix_description, message }
        }),
    ]
}

pub(crate) fn customer() -> impl Strategy<Value = customer::Command> {
    use customer::Command;
    let register = (vec(address(), 0..3), option::of(text()), any::<bool>(), patch()).prop_map(
        |(addresses, name, verified, profile)| Command::Register {
            customer_id: CustomerId(id(10)),
            addresses,
            name,
            via: "sms".to_owned(),
            verified,
            profile: Box::new(profile),
        },
    );
    prop_oneof![
        register,
        (address(), any::<bool>()).prop_map(|(address, verified)| Command::AddIdentity { address, verified }),
        vec(address(), 0..4).prop_map(|addresses| Command::SeenAddresses { addresses }),
        patch().prop_map(|patch| Command::Update(Box::new(patch))),
    ]
}

fn patch() -> impl Strategy<Value = CustomerPatch> {
    let words = vec(option::of(text()), 4);
    let tags = (vec(text(), 0..2), vec(text(), 0..2));
    let zone = option::of(select(vec!["Europe/Vienna", "America/New_York", "Nowhere/Land", ""]));
    let quiet = option::of(select(vec!["22:00-07:00", "12:00-13:00", "night", ""]));
    let text_of = |text: Option<&str>| text.map(str::to_owned);
    let source = select(vec!["api", "stop keyword", " "]);
    let said = (select(ConsentState::ALL), source)
        .prop_map(|(state, source)| ConsentChange { state, source: source.to_owned() });
    let reached = (option::of(option::of(channel())), zone, quiet, btree_map(channel(), said, 0..3));
    (words, tags, option::of(select(SlaTier::ALL)), reached).prop_map(
        move |(words, (tags_add, tags_remove), sla_tier, (channel, zone, quiet, consent))| CustomerPatch {
            name: words[0].clone(),
            company: words[1].clone(),
            metadata: words[2].clone(),
            sla_tier,
            tags_add,
            tags_remove,
            channel,
            language: words[3].clone(),
            timezone: text_of(zone),
            quiet_hours: text_of(quiet),
            consent,
        },
    )
}

pub(crate) fn agent() -> impl Strategy<Value = agent::Command> {
    use agent::Command;
    let skill = (text(), 0_u8..7).prop_map(|(name, level)| Skill { name, level });
    let update = (
        option::of(text()),
        option::of(text()),
        option::of(select(Role::ALL)),
        option::of(vec(skill, 0..2)),
        option::of(select(AgentStatus::ALL)),
        option::of(0_u32..1_002),
        option::of(any::<bool>()),
    )
        .prop_map(|(name, email, role, skills, status, capacity, active)| {
            let team_ids = None;
            let patch = AgentPatch { name, email, role, skills, team_ids, status, capacity, active };
            Command::Update(Box::new(patch))
        });
    prop_oneof![
        text().prop_map(|name| Command::Create {
            agent_id: AgentId(id(20)),
            profile: Box::new(AgentProfile::new(name)),
        }),
        update,
    ]
}

pub(crate) fn team() -> impl Strategy<Value = team::Command> {
    use team::Command;
    let create = (text(), option::of(ids(30)), vec(text(), 0..2)).prop_map(|(name, parent, skills)| {
        let profile = TeamProfile { name, parent_id: parent.map(TeamId), members: Vec::new(), skills };
        Command::Create { team_id: TeamId(id(30)), profile }
    });
    let update =
        (option::of(text()), option::of(ids(30)), any::<bool>()).prop_map(|(name, parent, clear_parent)| {
            let parent_id = parent.map(TeamId);
            Command::Update(TeamPatch { name, parent_id, clear_parent, ..TeamPatch::default() })
        });
    prop_oneof![create, update]
}

pub(crate) fn credential() -> impl Strategy<Value = credential::Command> {
    use credential::Command;
    let create = (text(), select(Role::ALL), option::of(time()), select(vec!["h1", "h2"])).prop_map(
        |(name, role, expires_at, hash)| Command::Create {
            token_id: TokenId(id(40)),
            role,
            kind: CredentialKind::Token,
            name,
            agent_id: None,
            expires_at,
            secret_hash: hash.to_owned(),
        },
    );
    prop_oneof![2 => create, 1 => Just(Command::Revoke)]
}

pub(crate) fn operation() -> impl Strategy<Value = operation::Command> {
    (ids(50), text(), text(), text()).prop_map(|(id, action, target, reason)| operation::Command::Record {
        operation_id: OperationId(id),
        action,
        target,
        reason,
    })
}

pub(crate) fn directory() -> impl Strategy<Value = directory::Command> {
    (ids(60), select(vec!["acme", "globex", "default"]), option::of(text())).prop_map(
        |(id, tenant, title)| directory::Command::Add {
            operation_id: OperationId(id),
            tenant: tenant.parse().unwrap(),
            title,
        },
    )
}

pub(crate) fn reads() -> impl Strategy<Value = access::Command> {
    let access = (time(), option::of(ids(1)), text(), select(AccessOutcome::ALL)).prop_map(
        |(at, subject, path, outcome)| Access {
            at,
            by: person("Grace"),
            token_id: TokenId(id(40)),
            role: Role::Agent,
            noun: "conversation".to_owned(),
            subject,
            path,
            outcome,
        },
    );
    (ids(70), vec(access, 0..3))
        .prop_map(|(id, accesses)| access::Command::Record { batch_id: OperationId(id), accesses })
}

pub(crate) fn policy_book() -> impl Strategy<Value = policy_book::Command> {
    use policy_book::Command;
    let file = select(vec![Vec::new(), vec!["updates.interval"], vec!["name", "customers.language"]])
        .prop_map(|owned| PolicyFile {
            owned: owned.into_iter().map(str::to_owned).collect(),
            ..PolicyFile::open(&Settings::default())
        });
    let patch = select(vec![
        r#"{"updates": {"interval": "6h"}}"#,
        r#"{"updates": {"interval": "13h"}}"#,
        r#"{"updates": {"interval": null}}"#,
        r#"{"customers": {"language": "de"}, "name": "Acme"}"#,
        r#"{"name": null}"#,
        r#"{"colour": "red"}"#,
        r#"{"templates": {"de": {"acknowledgement": "Danke."}}}"#,
        r#"{"templates": {"de": null}}"#,
        "[]",
    ]);
    prop_oneof![
        1 => file.clone().prop_map(|file| Command::Adopt { file }),
        3 => (patch, file).prop_map(|(patch, file)| Command::Edit { patch: patch.to_owned(), file }),
    ]
}

fn topics() -> impl Strategy<Value = Vec<Topic>> {
    vec(select(vec![Topic::MessageReceived, Topic::SlaBreached]), 0..3)
}

fn target() -> impl Strategy<Value = Target> {
    let url = "https://example.com/hooks".to_owned();
    prop_oneof![
        3 => Just(Target::Url(url)),
        1 => Just(Target::Mail("supervisor@example.com".to_owned())),
        1 => text().prop_map(Target::Url),
    ]
}

pub(crate) fn endpoint() -> impl Strategy<Value = endpoint::Command> {
    use endpoint::Command;
    let secret = || select(vec!["s1", "s2"]).prop_map(SecretText::new);
    let message = || select(vec!["evt_1", "evt_2", "evt_3", "test_1"]).prop_map(str::to_owned);
    let register = (target(), topics(), option::of(text()), option::of(secret()), any::<bool>()).prop_map(
        |(target, topics, description, secret, configured)| Command::Register {
            endpoint_id: EndpointId(id(60)),
            settings: Box::new(endpoint::Settings { target, topics, description }),
            secret,
            configured,
        },
    );
    let patch = (option::of(text()), option::of(topics()), option::of(text())).prop_map(
        |(url, topics, description)| Command::Update(Box::new(EndpointPatch { url, topics, description })),
    );
    let notice = (1_u64..4, select(vec![Topic::MessageReceived, Topic::SlaWarning]), text())
        .prop_map(|(seq, topic, body)| Notice { id: format!("evt_{seq}"), seq, topic, body });
    let error = || ActivityError { code: None, message: "no".to_owned() };
    let report = prop_oneof![
        Just(Report::Accepted { attempts: 2 }),
        Just(Report::Failed { error: error() }),
        Just(Report::Gone { error: error() }),
        Just(Report::Dropped),
    ];
    prop_oneof![
        3 => register,
        1 => patch,
        1 => secret().prop_map(|secret| Command::Rotate { secret }),
        1 => Just(Command::Disable),
        1 => Just(Command::Enable),
        1 => Just(Command::Remove),
        3 => vec(notice, 0..4).prop_map(|notices| Command::Notify { notices }),
        1 => message().prop_map(|id| Command::Test { id }),
        4 => (message(), report).prop_map(|(id, report)| Command::RecordDelivery { id, report }),
    ]
}

pub(crate) fn schedule() -> impl Strategy<Value = schedule::Command> {
    use schedule::Command;
    let cron = select(vec!["*/30 * * * *", "0 9 * * Mon", "0 0 30 2 *", "soon"]);
    let plan = (text(), cron, select(vec!["UTC", "Europe/Berlin", "Nowhere"]), select(Work::ALL)).prop_map(
        |(name, cron, timezone, work)| Plan {
            name,
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            work,
        },
    );
    let error = ActivityError { code: None, message: "no".to_owned() };
    prop_oneof![
        3 => plan.prop_map(|plan| Command::Configure {
            schedule_id: ScheduleId(id(70)),
            plan: Box::new(plan),
        }),
        1 => Just(Command::Stop),
        4 => Just(Command::Run),
        2 => time().prop_map(|due| Command::Finish { due, figures: [("waiting".to_owned(), 1)].into() }),
        1 => time().prop_map(move |due| Command::Fail { due, error: error.clone() }),
    ]
}
