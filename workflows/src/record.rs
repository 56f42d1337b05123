//! What the plain records (customer, agent, team, credential, operation) have in common: why they refuse.

/// Why a command to a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such record.
    #[error("there is no such {kind}")]
    Unknown {
        /// The kind of record, for example `agent`.
        kind: &'static str,
    },
    /// The id is in use already, with other contents.
    #[error("this {kind} exists already")]
    Exists {
        /// The kind of record.
        kind: &'static str,
    },
    /// A value that cannot be.
    #[error("{field} must be {allowed}")]
    Invalid {
        /// The path of the field as the outside names it.
        field: &'static str,
        /// What is allowed, to stand after "must be".
        allowed: String,
    },
}

impl Rejection {
    /// A value that cannot be.
    pub(crate) fn invalid(field: &'static str, allowed: impl Into<String>) -> Self {
        Self::Invalid { field, allowed: allowed.into() }
    }
}

/// A name as it is kept: trimmed, 1 to 200 characters, on one line.
pub(crate) fn checked_name(field: &'static str, name: &str) -> Result<String, Rejection> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Rejection::invalid(field, "1 to 200 characters on one line"));
    }
    Ok(name.to_owned())
}

/// The most tags one thing can have.
pub(crate) const TAGS_MAX: usize = 100;

/// A tag as it is kept: trimmed, 1 to 64 characters, on one line. None if it cannot be one.
pub(crate) fn checked_tag(tag: &str) -> Option<String> {
    let tag = tag.trim();
    let fits = (1..=64).contains(&tag.chars().count()) && !tag.chars().any(char::is_control);
    fits.then(|| tag.to_owned())
}
