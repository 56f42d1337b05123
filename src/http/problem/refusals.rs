//! From a refusal of the engine or of a workflow to the problem that tells it.

use throughline_actors::{
    engine::SendError, introspect::InspectError, operate::OperateError, projector::ViewError,
};
use throughline_workflows::{
    conversation::{self, Move},
    policy_book, record, resolution,
};

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
                Self::with(
                    Kind::Overloaded,
                    "The server's disk is nearly full: nothing new is taken until there is room.",
                )
            }
            SendError::TooLarge(detail) => {
                Self::with(Kind::TooLarge, format!("It is too much to be kept: {detail}."))
            }
            SendError::Failed(detail) | SendError::Damaged(detail) => Self::unreadable(detail),
            SendError::Paused => Self::with(Kind::Conflict, "An operator has paused it."),
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
            Rejection::IllegalMove { from, wanted, legal } => {
                let wanted = path_of(wanted).unwrap_or(wanted.as_str());
                let legal: Vec<_> = legal.into_iter().filter_map(path_of).map(str::to_owned).collect();
                let possible = legal.join(", ");
                let detail = format!(
                    "`{wanted}` is not possible while the conversation is `{from}`; possible: {possible}."
                );
                Self::with(Kind::IllegalMove, detail).legal_moves(legal)
            }
            Rejection::Closed | Rejection::Exists | Rejection::Nameless => Self::with(Kind::Conflict, text),
            Rejection::Unknown => Self::unknown("conversation"),
            Rejection::Invalid { field, .. } => Self::invalid(field, text),
            Rejection::NoAddress { .. } => Self::invalid("channel", text),
        }
    }
}

/// The last part of the path by which a person orders a move. None for what nobody orders, because a customer or the
/// engine does it, and for what has no path in this version.
pub(in crate::http) const fn path_of(wanted: Move) -> Option<&'static str> {
    match wanted {
        Move::Replied => Some("messages"),
        Move::HandOff => Some("hand-off"),
        Move::Resolve => Some("resolve"),
        Move::Reopen => Some("reopen"),
        Move::Snooze => Some("snooze"),
        Move::Escalate => Some("escalate"),
        Move::HandBack => Some("hand-back"),
        Move::Queued | Move::CustomerWrote | Move::JudgedAnew => None,
    }
}

impl From<resolution::Rejection> for Problem {
    fn from(rejection: resolution::Rejection) -> Self {
        use resolution::Rejection;
        let text = rejection.to_string();
        match rejection {
            Rejection::Unknown => Self::unknown("resolution"),
            Rejection::Exists => Self::with(Kind::Conflict, text),
            Rejection::Illegal { legal, .. } => {
                let legal = legal.into_iter().map(str::to_owned).collect();
                Self::with(Kind::IllegalMove, text).legal_moves(legal)
            }
            Rejection::Invalid { field, .. } => Self::invalid(field, text),
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

impl From<policy_book::Rejection> for Problem {
    fn from(rejection: policy_book::Rejection) -> Self {
        use policy_book::Rejection;
        let text = format!("{rejection}.");
        match rejection {
            Rejection::Malformed(_) => Self::with(Kind::Invalid, text),
            Rejection::Owned(keys) => Self::with(Kind::Conflict, text).field(keys.join(", ")),
            Rejection::Invalid(mistakes) | Rejection::AtOdds { mistakes, .. } => {
                let first = mistakes.into_iter().next().map(|mistake| mistake.path);
                Self::invalid(first.unwrap_or_default(), text)
            }
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

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Unknown(what) => Self::unknown(&what),
            OperateError::NotNow(why) => {
                Self::with(Kind::Conflict, format!("It is not possible now: {why}."))
            }
            OperateError::Unreadable(detail) => Self::unreadable(detail),
            OperateError::Send(error) => error.into(),
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
            InspectError::NotBefore { .. } => Self::invalid("from", format!("{error}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn told(error: SendError<Infallible>) -> serde_json::Value {
        Problem::from(error).as_json()
    }

    #[test]
    fn what_the_store_cannot_take_in_one_piece_is_too_large_and_the_limit_is_named() {
        let told = told(SendError::TooLarge("a value of 70000 bytes is more than the 65536".to_owned()));
        assert_eq!(told["status"], 413);
        assert!(told["detail"].as_str().unwrap().contains("65536"), "{told}");
    }

    #[test]
    fn a_full_disk_is_named_and_what_lies_on_it_is_not() {
        let told = told(SendError::NoSpace("data/blobs: no space left on device".to_owned()));
        assert_eq!(told["status"], 503);
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("disk is nearly full") && !detail.contains("data/blobs"), "{told}");
    }
}
