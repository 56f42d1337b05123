//! What conversations and their cases tell each other, and the words of a message that goes out again.

use throughline_actors::performer::{Attempt, HandOver, Outcome};
use throughline_workflows::{
    conversation::{
        self, Conversation, Event,
        case::{CaseOrder, CaseReport},
    },
    ids::{ConversationId, MessageId, ResolutionId},
    resolution::{self, Resolution},
    workflow::ActivityError,
};

/// Gives a case what its conversation has for it.
pub(super) fn tell_case(
    conversation_id: ConversationId,
    resolution_id: ResolutionId,
    order: CaseOrder,
) -> Outcome<conversation::Command> {
    let command = resolution::Command::Take { resolution_id, conversation_id, order };
    Outcome::HandOver(HandOver::to::<Resolution>(resolution_id.0, command))
}

/// Gives a conversation what its case has to say.
pub(super) fn tell_conversation(
    resolution_id: ResolutionId,
    conversation_id: ConversationId,
    report: Box<CaseReport>,
) -> Outcome<resolution::Command> {
    let command = conversation::Command::HearCase { resolution_id, report };
    Outcome::HandOver(HandOver::to::<Conversation>(conversation_id.0, command))
}

/// Looks up the words of a message in the journal, where they are and the state is not.
pub(super) async fn recall(message_id: MessageId, attempt: &Attempt) -> Outcome<conversation::Command> {
    let failure = |message: String| ActivityError { code: None, message };
    let events = match attempt.engine.events::<Conversation>(&attempt.tenant, attempt.entity).await {
        Ok(events) => events,
        Err(error) => return Outcome::Retry { after: None, error: failure(error) },
    };
    let written = events.into_iter().rev().find_map(|recorded| match recorded.event {
        Event::MessageQueued { message, by, .. } if message.message_id == message_id => Some((message, by)),
        _ => None,
    });
    match written {
        Some((original, by)) => Outcome::Done(Some(conversation::Command::Resend { original, by })),
        None => Outcome::Refused(failure(format!("there is no message {message_id} in the journal"))),
    }
}
