//! A notice by mail to somebody of ours: no conversation, nothing to answer to.

use throughline_actors::performer::Outcome;
use throughline_workflows::{endpoint::Command, ids::TenantId};

use super::{Report, reported};
use crate::{
    channels::{email::notice::Notice, sending::SendOutcome},
    performers::Outside,
};

/// Sends one notice as the tenant, by the way its mail takes; the same notice again is the same mail. `id` names what is
/// told, `attempts` counts the tries.
pub(super) async fn send(
    outside: &Outside,
    tenant: &TenantId,
    notice: &Notice,
    id: &str,
    attempts: u32,
) -> Outcome<Command> {
    match outside.notice(tenant, notice).await {
        SendOutcome::Accepted { .. } => reported(id, Report::Accepted { attempts }),
        SendOutcome::Retry { after, error, .. } => Outcome::Retry { after, error },
        // A notice that comes twice does no harm; one that does not come may.
        SendOutcome::Uncertain(error) => Outcome::Retry { after: None, error },
        SendOutcome::Refused(error) => Outcome::Refused(error),
    }
}
