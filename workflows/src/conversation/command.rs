//! What a conversation can be told to do. Every command is safe to receive twice.

use serde::{Deserialize, Serialize};

use super::{
    case::{CaseReport, EscalationRequest},
    delivery::DeliveryStatus,
    standing::Standing,
};
use crate::{
    ids::{AgentId, ConversationId, CustomerId, MessageId, NoteId, ResolutionId, TeamId},
    message::{Address, Attachment, Channel, Inbound, Outbound},
    time::Timestamp,
    words::{Outcome, Severity},
    workflow::{ActivityError, By},
};

/// An order to one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A customer's message has come in: take it, opening the conversation if `opening` is given and it is new.
    Receive {
        /// The conversation that is told; a new one cannot know its own id.
        conversation_id: ConversationId,
        /// The message.
        inbound: Box<Inbound>,
        /// Who wrote it.
        customer: CustomerCard,
        /// How to open it where it does not exist yet; none where it must exist.
        opening: Option<Opening>,
    },
    /// A person begins a conversation with a customer.
    Begin {
        /// The new conversation.
        conversation_id: ConversationId,
        /// With whom.
        customer: CustomerCard,
        /// The first message. Without a channel it goes by the one that suits `to`.
        message: NewMessage,
        /// Where it goes.
        to: Address,
        /// What it is about; the subject of its mails.
        subject: Option<String>,
        /// How urgent it is, where that is known.
        priority: Option<Severity>,
        /// The customer's current conversation, if there is one: this one takes its place.
        replaces: Option<ConversationId>,
        /// What the customer's record says of how to treat them; none for what is usual.
        standing: Option<Box<Standing>>,
    },
    /// A person answers the customer.
    Reply {
        /// What to say.
        message: NewMessage,
    },
    /// The outcome of a send.
    RecordDelivery {
        /// The message that was sent.
        message_id: MessageId,
        /// What became of it.
        delivery: Delivery,
    },
    /// An internal note; the customer never sees it.
    AddNote {
        /// The note's id.
        note_id: NoteId,
        /// What it says.
        text: String,
    },
    /// Give it to an agent, a team, or an agent within a team. Does not move the status.
    Assign {
        /// The agent; none leaves it to the team.
        agent: Option<AgentId>,
        /// The team; none keeps the present one.
        team: Option<TeamId>,
    },
    /// Nobody is responsible any more.
    Unassign,
    /// A person is needed now.
    HandOff {
        /// Why, in a sentence or two.
        reason: Option<String>,
    },
    /// Out of sight until a given time, or until the customer writes.
    Snooze {
        /// When it comes back.
        until: Timestamp,
    },
    /// The snooze is over: the timer's command.
    Wake,
    /// Something may have fallen due: the command of every other timer. Whatever is due is done.
    Look,
    /// The words of a message that has to go out again, as they were recorded: the answer to `Recall`.
    Resend {
        /// The message as it was.
        original: Box<Outbound>,
        /// Who wrote it.
        by: By,
    },
    /// The words of a message that has to go out again cannot be found.
    RecallFailed {
        /// The message.
        message_id: MessageId,
        /// Why.
        error: ActivityError,
    },
    /// A person wants a message that is held, uncertain or failed to be sent again.
    SendAgain {
        /// The message.
        message_id: MessageId,
    },
    /// The customer's record says how to treat them.
    KnowStanding {
        /// What it says now.
        standing: Box<Standing>,
    },
    /// The tenant's policy has changed.
    AdoptPolicy,
    /// A long-running case is needed: opens a resolution, or joins the one that is open.
    Escalate {
        /// What is asked for.
        request: Box<EscalationRequest>,
    },
    /// The case gives the conversation back to the agents.
    HandBack,
    /// What a resolution has to say of its case.
    HearCase {
        /// The resolution that speaks.
        resolution_id: ResolutionId,
        /// What it says.
        report: Box<CaseReport>,
    },
    /// Changes the tags.
    Tag {
        /// Tags to add.
        add: Vec<String>,
        /// Tags to take away.
        remove: Vec<String>,
    },
    /// It is done.
    Resolve {
        /// What became of it.
        outcome: Option<Outcome>,
        /// What was done, for colleagues.
        summary: Option<String>,
    },
    /// A person opens a resolved conversation again.
    Reopen,
    /// A person says how urgent it is.
    SetPriority {
        /// How urgent.
        severity: Severity,
    },
    /// A provider says what became of a message that it took.
    Report {
        /// The channel it went by.
        channel: Channel,
        /// The provider's id of it.
        provider_message_id: String,
        /// Our own id of it, where the provider gave it back.
        message_id: Option<MessageId>,
        /// Where it stands.
        status: DeliveryStatus,
        /// Why, where it failed.
        error: Option<ActivityError>,
        /// When we heard.
        at: Timestamp,
    },
}

/// What a conversation knows of its customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerCard {
    /// The customer.
    pub id: CustomerId,
    /// The name to greet with, where known.
    pub name: Option<String>,
    /// The language of the machine's words, for example `de`, where the customer stated one.
    pub language: Option<String>,
}

/// How a conversation comes to be when a customer writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The resolved conversation it follows, where there is one.
    pub follow_up_of: Option<ConversationId>,
    /// The conversation that is the customer's current one until now; none if there is none.
    pub replaces: Option<ConversationId>,
    /// What the customer's record says of how to treat them; none for what is usual.
    pub standing: Option<Box<Standing>>,
}

/// A message that a person, or a program for them, wants sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMessage {
    /// The message's id.
    pub id: MessageId,
    /// The channel to send it by; none for the one the customer last used.
    pub channel: Option<Channel>,
    /// What to say.
    pub text: String,
    /// Files to send along.
    pub attachments: Vec<Attachment>,
    /// The agent's name, where these are an agent's words. Only an agent lends a name to a customer: without one the
    /// message goes out under the tenant's, whatever name the order's author has inside.
    pub agent_name: Option<String>,
}

/// What became of a send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The channel took it.
    Accepted {
        /// When.
        at: Timestamp,
        /// The provider's id of it, where it gave one.
        provider_message_id: Option<String>,
    },
    /// It was refused, or given up.
    Failed {
        /// Why.
        error: ActivityError,
    },
    /// Whether the channel took it is not known, and asking would send it twice.
    Uncertain {
        /// What happened.
        error: ActivityError,
    },
}
