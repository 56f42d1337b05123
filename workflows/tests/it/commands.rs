//! Any command of any workflow. Ids come from small sets, so that commands meet each other.

use proptest::{collection::vec, option, prelude::*, sample::select};
use throughline_workflows::{
    agent::{self, AgentPatch, AgentProfile, AgentStatus, Skill},
    conversation::{self, CustomerCard, Delivery, DeliveryStatus, NewMessage, Opening},
    credential::{self, CredentialKind},
    customer::{self, CustomerPatch},
    ids::{AgentId, ConversationId, CustomerId, MessageId, NoteId, OperationId, TeamId, TokenId},
    message::{Address, Attachment, AttachmentAt, Channel, Details, EmailDetails, Inbound},
    operation,
    role::Role,
    scenario::{id, moment},
    team::{self, TeamPatch, TeamProfile},
    time::{Span, Timestamp},
    words::{Outcome, Severity, SlaTier},
    workflow::ActivityError,
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
        2 => report,
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
    let words = vec(option::of(text()), 5);
    let tags = (vec(text(), 0..2), vec(text(), 0..2));
    (words, tags, option::of(select(SlaTier::ALL)), option::of(channel())).prop_map(
        |(words, (tags_add, tags_remove), sla_tier, channel)| CustomerPatch {
            name: words[0].clone(),
            company: words[1].clone(),
            metadata: words[2].clone(),
            sla_tier,
            tags_add,
            tags_remove,
            channel,
            language: words[3].clone(),
            timezone: words[4].clone(),
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
