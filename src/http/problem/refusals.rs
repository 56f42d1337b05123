//! From a refusal of the engine or of a workflow to the problem that tells it.

use throughline_actors::{engine::SendError, introspect::InspectError, projector::ViewError};
use throughline_workflows::{conversation, record};

use super::{Kind, Problem};

impl<R> From<SendError<R>> for Problem
where
    R: std::error::Error,
    Problem: From<R>,
{
    fn from(error: SendError<R>) -> Self {
        let text = error.to_string();
        match error {
            SendError::Rejected(rejection) => rejection.into(),
            SendError::Claimed { space, owner } => {
                let what = if space.is_empty() { "value" } else { space.as_str() };
                Self::with(Kind::Conflict, format!("The {what} belongs to {owner} already."))
            }
            SendError::KeyReused => {
                Self::with(Kind::IdempotencyKeyReused, "This Idempotency-Key came before with another body.")
            }
            SendError::Crashed(letter) => Self::with(
                Kind::Internal,
                format!("The command could not be carried out and is kept as dead letter {letter}."),
            )
            .reference(letter),
            SendError::Busy => Self::with(Kind::Overloaded, "Too much is waiting to be written."),
            SendError::NoSpace(detail) => {
                tracing::warn!(%detail, "a request was refused for want of space");
                Self::with(Kind::Overloaded, "There is too little free space to take anything new.")
            }
            SendError::Failed(detail) | SendError::Damaged(detail) => Self::unreadable(detail),
            SendError::Draining | SendError::Unknown => Self::with(Kind::Unavailable, text),
        }
    }
}

impl From<std::convert::Infallible> for Problem {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<conversation::Rejection> for Problem {
    fn from(rejection: conversation::Rejection) -> Self {
        use conversation::Rejection;
        let text = rejection.to_string();
        match rejection {
            Rejection::IllegalMove { legal, .. } => {
                let legal = legal.iter().map(|legal| legal.as_str().to_owned()).collect();
                Self::with(Kind::IllegalMove, text).legal_moves(legal)
            }
            Rejection::Closed | Rejection::Exists => Self::with(Kind::Conflict, text),
            Rejection::Unknown => Self::unknown("conversation"),
            Rejection::Invalid { field, .. } => Self::invalid(field, text),
            Rejection::NoAddress { .. } => Self::invalid("channel", text),
        }
    }
}

impl From<record::Rejection> for Problem {
    fn from(rejection: record::Rejection) -> Self {
        let text = rejection.to_string();
        match rejection {
            record::Rejection::Unknown { kind } => Self::unknown(kind),
            record::Rejection::Exists { .. } => Self::with(Kind::Conflict, text),
            record::Rejection::Invalid { field, .. } => Self::invalid(field, text),
        }
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Behind { .. } => Self::with(Kind::NotCaughtUp, error.to_string()),
            ViewError::Unreadable(detail) => Self::unreadable(detail),
        }
    }
}

impl From<InspectError> for Problem {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Unreadable(detail) => Self::unreadable(detail),
            InspectError::UnknownKind(..) | InspectError::NoSuchVersion { .. } => {
                Self::with(Kind::NotFound, error.to_string())
            }
        }
    }
}
