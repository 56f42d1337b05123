//! The one table of a conversation's moves.
//!
//! Every change of status in the code goes through [`destination`], and a test compares [`TABLE`] with
//! `docs/conversation-moves.md` over all pairs of statuses. The moves that need a resolution stand here already,
//! because the table is whole or it is nothing.

use crate::words::words;

words! {
    /// Where a conversation stands: whose turn it is.
    Status, "a status" {
        /// Nobody has judged it yet.
        Open = "open",
        /// It is the customer's turn.
        AwaitingCustomer = "awaiting_customer",
        /// It is our turn: a person shall answer.
        AwaitingAgent = "awaiting_agent",
        /// A long-running resolution works on it.
        Escalated = "escalated",
        /// Done, until somebody writes again.
        Resolved = "resolved",
        /// It was resolved, and has come back.
        Reopened = "reopened",
    }
}

impl Status {
    /// Whether the customer waits for us.
    pub const fn waits_for_us(self) -> bool {
        match self {
            Self::Open | Self::AwaitingAgent | Self::Escalated | Self::Reopened => true,
            Self::AwaitingCustomer | Self::Resolved => false,
        }
    }
}

words! {
    /// What changes a status, or tries to.
    Move, "a move" {
        /// We wrote to the customer.
        Replied = "replied",
        /// It was put in line for a person.
        Queued = "queued",
        /// The customer wrote.
        CustomerWrote = "customer_wrote",
        /// A person is asked for, with a brief.
        HandOff = "hand_off",
        /// A resolution is opened.
        Escalate = "escalate",
        /// The resolution gives it back to the agents.
        HandBack = "hand_back",
        /// It is done.
        Resolve = "resolve",
        /// A person opens it again.
        Reopen = "reopen",
        /// What came back is judged anew.
        JudgedAnew = "judged_anew",
        /// It is out of sight until a given time.
        Snooze = "snooze",
    }
}

/// Every legal move: from, by, to. A row that ends where it begins is legal and keeps the status.
pub const TABLE: &[(Status, Move, Status)] = {
    use Move::{
        CustomerWrote, Escalate, HandBack, HandOff, JudgedAnew, Queued, Reopen, Replied, Resolve, Snooze,
    };
    use Status::{AwaitingAgent, AwaitingCustomer, Escalated, Open, Reopened, Resolved};
    &[
        (Open, Replied, AwaitingCustomer),
        (Open, Queued, AwaitingAgent),
        (Open, HandOff, AwaitingAgent),
        (Open, Escalate, Escalated),
        (Open, Resolve, Resolved),
        (Open, CustomerWrote, Open),
        (Open, Snooze, Open),
        (AwaitingCustomer, CustomerWrote, AwaitingAgent),
        (AwaitingCustomer, HandOff, AwaitingAgent),
        (AwaitingCustomer, Escalate, Escalated),
        (AwaitingCustomer, Resolve, Resolved),
        (AwaitingCustomer, Replied, AwaitingCustomer),
        (AwaitingCustomer, Snooze, AwaitingCustomer),
        (AwaitingAgent, Replied, AwaitingCustomer),
        (AwaitingAgent, Escalate, Escalated),
        (AwaitingAgent, Resolve, Resolved),
        (AwaitingAgent, CustomerWrote, AwaitingAgent),
        (AwaitingAgent, HandOff, AwaitingAgent),
        (AwaitingAgent, Snooze, AwaitingAgent),
        (Escalated, HandBack, AwaitingAgent),
        (Escalated, Resolve, Resolved),
        // A question to the customer, or an answer, does not end the case.
        (Escalated, Replied, Escalated),
        (Escalated, CustomerWrote, Escalated),
        (Escalated, HandOff, Escalated),
        (Escalated, Escalate, Escalated),
        (Escalated, Snooze, Escalated),
        // Reopens first: two events.
        (Resolved, Escalate, Escalated),
        (Resolved, CustomerWrote, Reopened),
        (Resolved, Reopen, Reopened),
        (Resolved, Resolve, Resolved),
        (Reopened, Replied, AwaitingCustomer),
        (Reopened, Queued, AwaitingAgent),
        (Reopened, HandOff, AwaitingAgent),
        (Reopened, Escalate, Escalated),
        (Reopened, Resolve, Resolved),
        (Reopened, JudgedAnew, Open),
        (Reopened, CustomerWrote, Reopened),
        (Reopened, Reopen, Reopened),
        (Reopened, Snooze, Reopened),
    ]
};

/// Where `wanted` leads from `from`; none if it is illegal there.
pub fn destination(from: Status, wanted: Move) -> Option<Status> {
    TABLE.iter().find(|(status, by, _)| *status == from && *by == wanted).map(|(_, _, to)| *to)
}

/// The moves that are legal in `status`, in the order of [`Move::ALL`].
pub fn legal_moves(status: Status) -> Vec<Move> {
    Move::ALL.iter().copied().filter(|wanted| destination(status, *wanted).is_some()).collect()
}
