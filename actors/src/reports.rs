//! What providers report of messages that they took: durable at the door, then handed to the conversation.
//!
//! A report is a pending activity of nobody's: kept under an id of its own, worked on by the outbox, and put off in
//! engine time while its message is not known yet, for a provider may report before its own answer has reached us. It
//! keeps no lane, so nothing waits behind it. What finds no message within [`KEPT`] is dropped and counted.

use std::sync::{Arc, atomic::Ordering};

use throughline_storage::{
    append::{
        ActivityKey, Append, AppendClass, ClaimChange, ClaimKey, ClaimLifetime, ClaimRequest, CommitError,
        DeadLetter, PendingActivity, PendingKey, StreamId,
    },
    codec,
};
use throughline_workflows::{
    conversation::{Conversation, DeliveryReport, SENT, sent_key},
    ids::TenantId,
    time::{Span, Timestamp},
    workflow::{By, Cause, CauseKind, Workflow},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    backoff,
    engine::{Accepted, Engine, INBOUND_SPACE, SendError, short_key},
    order::{Along, CommandMeta, EntityRef, Order, Refusal, Rejected, refusal_of},
    shared::Shared,
};

/// What stands for the workflow in a report's key; no workflow has this name.
pub(crate) const KIND: &str = "report";

/// How long a report waits for its message to be known.
const KEPT: Span = Span::from_mins(10);

/// The form of a kept report: its first byte. A new one gets a new number, and this one is read for ever.
const FORMAT: u8 = 1;

impl Engine {
    /// Keeps a provider's report. When this answers, it is durable and will be handled.
    ///
    /// # Errors
    /// [`SendError`] if it could not be made durable; the provider must send it again.
    pub async fn report(
        &self,
        tenant: &TenantId,
        report: &DeliveryReport,
        correlation: Uuid,
    ) -> Result<Accepted, SendError<std::convert::Infallible>> {
        let host = &self.shared.host;
        if host.draining.is_cancelled() {
            return Err(SendError::Draining);
        }
        let now_ms = host.clock.now().as_millis();
        let DeliveryReport { channel, provider_message_id, status, .. } = report;
        let claim = ClaimRequest {
            key: ClaimKey {
                tenant: tenant.to_string(),
                space: INBOUND_SPACE.to_owned(),
                key: short_key(&format!("report:{channel}:{provider_message_id}:{status}")),
                lifetime: ClaimLifetime::Periodic { at_ms: now_ms },
            },
            change: ClaimChange::TakeOnce { owner: correlation.as_bytes().to_vec() },
        };
        // Its id is the trace of the request that brought it: what came of it is found by that.
        let stream = StreamId { tenant: tenant.to_string(), kind: KIND.to_owned(), entity: self.mint() };
        let pending = PendingActivity {
            key: ActivityKey { ready_at_ms: now_ms, stream, version: 0, index: 0 },
            lane: String::new(),
            attempts: 0,
            asked_at_ms: now_ms,
            last_error: None,
            edited: Some(encode(report, correlation)),
            begun_at_ms: None,
        };
        let append = Append {
            claims: vec![claim],
            activities: vec![pending],
            class: AppendClass::Inbound,
            ..Append::default()
        };
        match host.journal.commit(append).await {
            Ok(_) => Ok(Accepted::New),
            Err(CommitError::ClaimTaken { .. }) => Ok(Accepted::Duplicate),
            Err(error) => Err(SendError::from_refusal(refusal_of(error))),
        }
    }

    /// Reports that found no message of ours since the start.
    pub fn reports_dropped(&self) -> u64 {
        self.shared.reports_dropped.load(Ordering::Relaxed)
    }
}

pub(crate) fn encode(report: &DeliveryReport, correlation: Uuid) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(codec::encode(&(correlation, report)));
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<(Uuid, DeliveryReport), String> {
    match bytes {
        [FORMAT, report @ ..] => codec::decode(report).map_err(|error| error.to_string()),
        [format, ..] => Err(format!("a report of format {format}, which this version does not know")),
        [] => Err("an empty report".to_owned()),
    }
}

/// What is kept, as JSON for people.
pub(crate) fn show(pending: &PendingActivity) -> serde_json::Value {
    let kept = pending.edited.as_deref().and_then(|bytes| decode(bytes).ok());
    kept.and_then(|(_, report)| serde_json::to_value(report).ok()).unwrap_or_default()
}

/// Hands one report to its conversation, or puts it off, or lets go of it.
pub(crate) async fn attempt(shared: &Shared, pending: &PendingActivity) {
    let consume = vec![PendingKey::Activity(pending.key.clone())];
    let (tenant, (correlation, report)) = match (
        pending.key.stream.tenant.parse::<TenantId>(),
        decode(pending.edited.as_deref().unwrap_or(&[])),
    ) {
        (Ok(tenant), Ok(kept)) => (tenant, kept),
        (Err(error), _) => return bury(shared, pending, error.to_string()).await,
        (_, Err(error)) => return bury(shared, pending, error).await,
    };
    // With our own id of the message in it the conversation knows what is meant, whatever else is not known yet.
    let conversation = match (report.conversation, report.message_id) {
        (Some(conversation), Some(_)) => Some(conversation.0),
        _ => match shared.claim_owner(&tenant, SENT, &sent_key(&report.channel, &report.provider_message_id))
        {
            Ok(owner) => owner,
            Err(refusal) => return put_off(shared, pending, &format!("{refusal:?}")).await,
        },
    };
    let Some(conversation) = conversation else {
        if shared.host.clock.now().since(report.at) < KEPT {
            return put_off(shared, pending, "no message of ours has this id yet").await;
        }
        shared.reports_dropped.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            "tenant.id" = %tenant, channel = %report.channel, status = %report.status,
            "a provider reported on a message that is not ours; the report is dropped"
        );
        return finish(shared, Append { consume, ..Append::default() }).await;
    };
    let entity = EntityRef::of::<Conversation>(&tenant, conversation);
    let channel = report.channel.clone();
    let order = Order {
        meta: CommandMeta {
            by: By::engine(),
            cause: Cause { kind: CauseKind::Webhook, id: report.provider_message_id.clone() },
            correlation,
            idempotency: None,
        },
        command: Arc::new(report.command()),
        consume,
        along: Along::default(),
        firing: None,
        rejected: Rejected::Settles,
        yields: true,
    };
    let span = tracing::debug_span!(
        "report", "tenant.id" = %tenant, channel = %channel, "trace.id" = %correlation
    );
    match shared.registry.deliver(&entity, &order).instrument(span).await {
        Ok(_) | Err(Refusal::AlreadyDone | Refusal::Draining | Refusal::Failed(_)) => {}
        Err(Refusal::Rejected(rejection)) => {
            let rejection = shared.rejection_text(Conversation::KIND, &rejection);
            tracing::warn!(%rejection, "a provider's report was of no use to its conversation");
        }
        Err(refusal) => match refusal.poison() {
            Some((reason, _)) if pending.attempts + 1 >= shared.host.options.crashes_max => {
                bury(shared, pending, reason).await;
            }
            _ => put_off(shared, pending, &format!("{refusal:?}")).await,
        },
    }
}

/// Moves a report to its next try, in engine time.
async fn put_off(shared: &Shared, pending: &PendingActivity, why: &str) {
    let attempts = pending.attempts + 1;
    let wait = backoff::activity(&pending.key.stream.entity.to_string(), attempts).min(Span::from_mins(1));
    let ready_at: Timestamp = shared.host.clock.now() + wait;
    let later = PendingActivity {
        key: ActivityKey { ready_at_ms: ready_at.as_millis(), ..pending.key.clone() },
        attempts,
        last_error: Some(crate::dead_letters::reason(why)),
        ..pending.clone()
    };
    let consume = vec![PendingKey::Activity(pending.key.clone())];
    finish(shared, Append { consume, activities: vec![later], ..Append::default() }).await;
}

/// Keeps for reading what can be handed to nobody.
pub(crate) async fn bury(shared: &Shared, pending: &PendingActivity, why: String) {
    tracing::error!(reason = %why, "a provider's report is given up and kept as a dead letter");
    let letter = DeadLetter {
        id: shared.host.minter.mint(),
        tenant: pending.key.stream.tenant.clone(),
        at_ms: shared.host.clock.now().as_millis(),
        kind: KIND.to_owned(),
        stream: None,
        reason: crate::dead_letters::reason(why),
        attempts: pending.attempts + 1,
        payload: show(pending).to_string().into_bytes(),
    };
    let consume = vec![PendingKey::Activity(pending.key.clone())];
    finish(shared, Append { consume, dead_letters: vec![letter], ..Append::default() }).await;
}

async fn finish(shared: &Shared, append: Append) {
    if let Err(error) = shared.commit_essential(append).await {
        tracing::warn!(%error, "what became of a provider's report could not be recorded; it is tried again");
        shared.host.runner.sleep(backoff::hand_over(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use throughline_workflows::{
        conversation::DeliveryStatus,
        ids::{ConversationId, MessageId},
        message::Channel,
        workflow::ActivityError,
    };

    use super::*;

    fn report() -> DeliveryReport {
        DeliveryReport {
            channel: Channel::Sms,
            provider_message_id: "SM9".to_owned(),
            conversation: Some(ConversationId(Uuid::from_u128(1))),
            message_id: Some(MessageId(Uuid::from_u128(2))),
            status: DeliveryStatus::Failed,
            error: Some(ActivityError { code: Some("30005".to_owned()), message: "gone".to_owned() }),
            at: Timestamp::from_millis(1_793_613_600_000),
        }
    }

    /// A kept report is a file format: these bytes must be read for ever.
    #[test]
    fn a_report_is_kept_as_on_its_first_day() {
        let first_day = "011000000000000000000000000000000000000000000000030300000000000000736d730300000000000000\
            534d390110000000000000000000000000000000000000000000000101100000000000000000000000000000\
            000000000000000002050000000101050000000000000033303030350400000000000000676f6e650095b39b\
            a1010000";
        assert_eq!(HEXLOWER.encode(&encode(&report(), Uuid::from_u128(3))), first_day);
        let bytes = HEXLOWER.decode(first_day.as_bytes()).unwrap();
        assert_eq!(decode(&bytes), Ok((Uuid::from_u128(3), report())));
        assert!(decode(&[9, 9]).unwrap_err().contains("format 9"));
        assert!(decode(&[]).is_err());
    }
}
