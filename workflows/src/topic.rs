//! Topics: the names under which the outside hears of events. The list is closed; what has no topic stays inside.
//!
//! A workflow names an event's topic by [`Workflow::topic`](crate::workflow::Workflow::topic). Not every topic has a
//! source in every version: whoever subscribes to one hears of it as soon as it has.

use crate::words::words;

words! {
    /// The name under which the outside hears of an event.
    Topic, "a topic" {
        /// A customer wrote.
        MessageReceived = "message.received",
        /// A channel accepted a message to a customer.
        MessageSent = "message.sent",
        /// A message's delivery stands otherwise.
        MessageDeliveryChanged = "message.delivery_changed",
        /// A message was judged.
        MessageClassified = "message.classified",
        /// A conversation began.
        ConversationCreated = "conversation.created",
        /// Something about a conversation changed.
        ConversationUpdated = "conversation.updated",
        /// A conversation's status moved.
        ConversationStateChanged = "conversation.state_changed",
        /// Somebody else is responsible for a conversation, or nobody.
        ConversationAssigned = "conversation.assigned",
        /// A conversation became a case.
        ConversationEscalated = "conversation.escalated",
        /// A conversation goes on in another, or no longer does.
        ConversationMerged = "conversation.merged",
        /// A case was opened.
        ResolutionCreated = "resolution.created",
        /// A case's status moved.
        ResolutionStatusChanged = "resolution.status_changed",
        /// A case was resolved.
        ResolutionCompleted = "resolution.completed",
        /// A promised time is near.
        SlaWarning = "sla.warning",
        /// A promised time has passed.
        SlaBreached = "sla.breached",
        /// A person was asked to write before a customer waits too long.
        SilenceNudged = "silence.nudged",
        /// A customer's record changed.
        CustomerUpdated = "customer.updated",
        /// No channel is left to reach a customer by.
        CustomerUnreachable = "customer.unreachable",
        /// A rule's conditions were met.
        AutomationTriggered = "automation.triggered",
        /// A rule or a schedule ran.
        AutomationExecuted = "automation.executed",
        /// A model called a function.
        FunctionCalled = "function_called",
        /// A model or a rule asked for an escalation.
        EscalationRequested = "escalation_requested",
        /// Something failed.
        Error = "error",
        /// An operator acted.
        OperatorActed = "operator.acted",
    }
}
