//! Tells a customer's conversations how to treat them.
//!
//! The conversations are found in the list of conversations, which is first let catch up with all that is durable.
//! Resolved ones are told too, however old: whoever reopens one finds it knowing the present standing. A conversation
//! that already knows it records nothing, so a repeated try costs little.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use throughline_actors::{
    engine::SendError,
    order::CommandMeta,
    performer::{Attempt, Outcome},
};
use throughline_workflows::{
    conversation::{self, Conversation, standing::Standing},
    customer,
    ids::ConversationId,
    views::inbox::Inbox,
    workflow::{By, Cause, CauseKind},
};

use super::failure;

/// How long the list may take to catch up before the try is put off.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How many conversations are told at once.
const AT_ONCE: usize = 8;

/// Why a conversation has not been told.
enum NotTold {
    /// It may be told later.
    Yet(String),
    /// It never will be.
    Ever(String),
}

/// Tells every conversation of the customer who asks.
pub(crate) async fn tell_conversations(
    standing: Box<Standing>,
    attempt: &Attempt,
) -> Outcome<customer::Command> {
    let mut told = BTreeSet::new();
    let mut lost = Vec::new();
    // A conversation that begins or moves up the list while it is being read can be missed by one look: the last look
    // finds none that is new.
    loop {
        let found = match look(attempt).await {
            Ok(found) => found,
            Err(error) => return Outcome::Retry { after: None, error: failure("engine", error.to_string()) },
        };
        let new: Vec<_> = found.into_iter().filter(|id| told.insert(*id)).collect();
        if new.is_empty() {
            break;
        }
        let standing = &standing;
        let mut answers = stream::iter(new)
            .map(|id| async move { tell(id, standing.clone(), attempt).await })
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(()) => {}
                Err(NotTold::Yet(error)) => {
                    return Outcome::Retry { after: None, error: failure("engine", error.to_string()) };
                }
                Err(NotTold::Ever(error)) => lost.push(error),
            }
        }
    }
    if lost.is_empty() { Outcome::Done(None) } else { Outcome::Refused(failure("engine", lost.join("; "))) }
}

/// The customer's conversations, once the list shows all that is durable by now.
async fn look(attempt: &Attempt) -> Result<Vec<ConversationId>, String> {
    let views = attempt.engine.views();
    let durable = attempt.engine.status().seq;
    views.wait_for(durable, CATCH_UP).await.map_err(|error| error.to_string())?;
    let rows = views.owned::<Inbox>(&attempt.tenant, attempt.entity).await;
    rows.map(|rows| rows.iter().map(|row| row.id).collect()).map_err(|error| error.to_string())
}

async fn tell(id: ConversationId, standing: Box<Standing>, attempt: &Attempt) -> Result<(), NotTold> {
    let meta = CommandMeta {
        by: By::engine(),
        cause: Cause { kind: CauseKind::Activity, id: attempt.id.clone() },
        correlation: attempt.correlation,
        idempotency: None,
    };
    let command = conversation::Command::KnowStanding { standing };
    match attempt.engine.send::<Conversation>(&attempt.tenant, id.0, command, meta).await {
        // What a conversation refuses it has no use for; what crashes it is kept as a dead letter.
        Ok(_) | Err(SendError::Rejected(_) | SendError::Crashed(_)) => Ok(()),
        Err(
            error @ (SendError::Busy
            | SendError::NoSpace(_)
            | SendError::Failed(_)
            | SendError::Paused
            | SendError::Draining
            | SendError::Unknown),
        ) => Err(NotTold::Yet(format!("conversation {id}: {error}"))),
        Err(
            error @ (SendError::Damaged(_)
            | SendError::TooLarge(_)
            | SendError::Claimed { .. }
            | SendError::KeyReused),
        ) => Err(NotTold::Ever(format!("conversation {id}: {error}"))),
    }
}
