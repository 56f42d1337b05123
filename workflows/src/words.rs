//! Closed lists of words: each value has one text, the same in JSON, in paths and on the screen.
//!
//! In records a value is its place in the list, so values are only ever appended.

/// Makes an enum whose variants have fixed texts, with `Display`, `FromStr`, serde and `ALL`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value's text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    $crate::words::WordError {
                        what: $what,
                        found: text.to_owned(),
                        allowed: &[$($text),+],
                    }
                })
            }
        }
    };
}
pub(crate) use words;

/// Why a text is none of the words of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {what}: one of {}", allowed.join(", "))]
pub struct WordError {
    /// What was expected, with its article, for example `a status`.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// The whole list.
    pub allowed: &'static [&'static str],
}

words! {
    /// How urgent a conversation is; also called its priority.
    Severity, "a severity" {
        /// Critical: money, security, trust.
        P0 = "P0",
        /// High: somebody cannot work.
        P1 = "P1",
        /// Normal.
        P2 = "P2",
        /// Informational.
        P3 = "P3",
    }
}

words! {
    /// What became of a resolved conversation.
    Outcome, "an outcome" {
        /// The question was answered.
        Answered = "answered",
        /// The problem is gone.
        Resolved = "resolved",
        /// An appointment was made.
        AppointmentScheduled = "appointment_scheduled",
        /// It was a complaint, and is dealt with.
        Complaint = "complaint",
        /// Money went back.
        Refund = "refund",
        /// The customer or we called it off.
        Cancelled = "cancelled",
        /// The customer never answered.
        NoResponse = "no_response",
        /// Nobody wanted anything of us.
        Spam = "spam",
        /// It goes on in another conversation.
        Merged = "merged",
        /// None of these.
        Other = "other",
    }
}

words! {
    /// What a customer's contract promises.
    SlaTier, "a tier" {
        /// No contract.
        Free = "free",
        /// The ordinary one, and the one of customers about whom nothing was said.
        Standard = "standard",
        /// Better than ordinary.
        Premium = "premium",
        /// The best.
        Enterprise = "enterprise",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back_and_a_wrong_one_names_the_list() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.to_string().parse::<Outcome>().unwrap(), *outcome);
            assert_eq!(serde_json::to_string(outcome).unwrap(), format!("{:?}", outcome.as_str()));
        }
        let error = "P9".parse::<Severity>().unwrap_err().to_string();
        assert_eq!(error, "\"P9\" is not a severity: one of P0, P1, P2, P3");
    }
}

words! {
    /// What a case is about.
    IssueType, "a type of issue" {
        /// Something does not work.
        Technical = "technical",
        /// Money.
        Billing = "billing",
        /// Operations.
        Ops = "ops",
        /// Law, privacy, security rules.
        Compliance = "compliance",
    }
}

words! {
    /// Where a long-running case stands.
    CaseStatus, "a status of a case" {
        /// The cause is being looked for.
        Investigating = "investigating",
        /// The cause is known, the fix is not begun.
        AwaitingFix = "awaiting_fix",
        /// The fix is being made.
        FixInProgress = "fix_in_progress",
        /// The fix is made and has to reach the customer.
        AwaitingDeploy = "awaiting_deploy",
        /// The fix is out and being watched.
        Monitoring = "monitoring",
        /// It is solved.
        Resolved = "resolved",
    }
}

words! {
    /// Who said when a case will be solved.
    WindowSource, "the source of a window" {
        /// The tenant's policy, which a person wrote.
        Policy = "policy",
        /// A person, for this case.
        Person = "person",
    }
}
