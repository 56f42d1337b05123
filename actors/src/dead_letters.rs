//! What was given up: kept with everything needed to understand it and to try again.
//!
//! An inbound message whose turn crashes again and again, an activity out of tries, an outcome that crashes its
//! entity, an API command that crashed (for reading only), a signed webhook that could not be read. A retry puts the
//! work back where it was and removes the letter in one commit, which also records who did it and why.

use serde::{Deserialize, Serialize};
use throughline_storage::{
    append::{ActivityKey, DeadLetter, NewInboxEntry, PendingActivity, PendingKey, StreamId},
    codec,
};
use throughline_workflows::{ids::TenantId, operation, time::Timestamp};
use uuid::Uuid;

use crate::{
    engine::{Engine, SendError},
    intake::InboxItem,
    operate::{Act, OperateError},
    order::{Along, CommandMeta, Receipt},
};

/// An activity that was given up, with its place in its record.
#[derive(Serialize, Deserialize)]
pub(crate) struct ActivityLetter {
    pub(crate) index: u32,
    pub(crate) lane: String,
    pub(crate) asked_at_ms: u64,
    pub(crate) payload: Vec<u8>,
}

/// A signed webhook that its adapter could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookLetter {
    /// The path it came by, for example `twilio/sms`.
    pub path: String,
    /// The URL that the provider was given, with the query.
    pub url: String,
    /// The request's headers; values that are no text are lossy.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// A [`WebhookLetter`] as it is stored: a body that is large for a record stands in a blob.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredWebhook {
    letter: WebhookLetter,
    body_blob: Option<String>,
}

/// The largest body that stands in the letter itself, in bytes.
const BODY_INLINE_MAX: usize = 32 * 1024;

/// The longest reason that is kept, in bytes: a panic or a provider may say anything.
const REASON_MAX: usize = 4 * 1024;

/// A reason, cut where it is longer than what is kept.
pub(crate) fn reason(text: impl Into<String>) -> String {
    let mut text = text.into();
    if text.len() > REASON_MAX {
        let end = (0..=REASON_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A dead letter as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// Its id.
    pub id: Uuid,
    /// The tenant.
    pub tenant: String,
    /// `inbound`, `activity`, `command`, `webhook` or `report`.
    pub kind: String,
    /// When it was given up.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Tries that were made.
    pub attempts: u32,
    /// The entity it concerns, as `KIND/ID`, where there is one.
    pub entity: Option<String>,
    /// The version that entity was at.
    pub version: Option<u64>,
    /// Whether a retry can do anything.
    pub retryable: bool,
    /// What was given up, as JSON.
    pub payload: serde_json::Value,
}

/// Why a dead letter was not retried or discarded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LetterError {
    /// There is no such letter of this tenant.
    #[error("there is no such dead letter")]
    Unknown,
    /// It is kept for reading only.
    #[error("a dead letter of kind {0:?} is kept for reading and cannot be retried")]
    ReadOnly(String),
    /// The edited payload is not one.
    #[error("payload: {0}")]
    Payload(String),
    /// The engine could not.
    #[error(transparent)]
    Send(#[from] SendError<operation::Rejection>),
}

impl From<OperateError> for LetterError {
    fn from(error: OperateError) -> Self {
        match error {
            // It was there a moment ago: somebody else has settled it.
            OperateError::Unknown(_) | OperateError::NotNow(_) => Self::Unknown,
            OperateError::Unreadable(detail) => Self::Send(SendError::Damaged(detail)),
            OperateError::Send(error) => Self::Send(error),
        }
    }
}

impl Engine {
    /// Dead letters of a tenant (or of all), newest first.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn dead_letters(&self, tenant: Option<&TenantId>) -> Result<Vec<Letter>, String> {
        let mut letters = Vec::new();
        let mut after = None;
        loop {
            let page =
                self.shared.host.journal.dead_letters(after, 256).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            letters.extend(
                page.iter()
                    .filter(|letter| tenant.is_none_or(|tenant| tenant.as_str() == letter.tenant))
                    .map(|letter| self.show(letter)),
            );
        }
        letters.reverse();
        Ok(letters)
    }

    /// One dead letter of a tenant (or of any).
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub fn dead_letter(&self, tenant: Option<&TenantId>, id: Uuid) -> Result<Option<Letter>, String> {
        let found = self.shared.host.journal.dead_letter(id).map_err(|error| error.to_string())?;
        Ok(found
            .filter(|letter| tenant.is_none_or(|tenant| tenant.as_str() == letter.tenant))
            .map(|letter| self.show(&letter)))
    }

    /// The webhook kept in a letter, for the edge to read again.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn webhook_letter(&self, id: Uuid) -> Result<Option<(TenantId, WebhookLetter)>, String> {
        let found = self.shared.host.journal.dead_letter(id).map_err(|error| error.to_string())?;
        let Some(letter) = found.filter(|letter| letter.kind == "webhook") else { return Ok(None) };
        let tenant = letter
            .tenant
            .parse()
            .map_err(|error: throughline_workflows::ids::TenantIdError| error.to_string())?;
        let stored: StoredWebhook = codec::decode(&letter.payload).map_err(|error| error.to_string())?;
        let mut webhook = stored.letter;
        if let Some(key) = stored.body_blob {
            let body = self
                .blob(&tenant, &key)
                .await?
                .ok_or_else(|| format!("the letter's body {key} is missing"))?;
            webhook.body = body.to_vec();
        }
        Ok(Some((tenant, webhook)))
    }

    /// Keeps a signed webhook that could not be read, as dead letter `id`: the same for each try.
    ///
    /// # Errors
    /// [`SendError`] if it cannot be made durable.
    pub async fn keep_webhook(
        &self,
        tenant: &TenantId,
        id: Uuid,
        mut webhook: WebhookLetter,
        why: String,
    ) -> Result<Uuid, SendError<std::convert::Infallible>> {
        let mut body_blob = None;
        if webhook.body.len() > BODY_INLINE_MAX {
            // What the commit would refuse must not fill the disk first.
            let admitted = self.shared.host.journal.admits_inbound();
            admitted.map_err(|error| SendError::from_refusal(crate::order::refusal_of(error)))?;
            let key = format!("{tenant}/{id}/0");
            let body = std::mem::take(&mut webhook.body).into();
            let put = self.shared.host.blobs.put(&key, body).await;
            put.map_err(|error| SendError::NoSpace(error.to_string()))?;
            body_blob = Some(key);
        }
        let blobs = body_blob.iter().cloned().collect();
        let letter = DeadLetter {
            id,
            tenant: tenant.to_string(),
            at_ms: self.now().as_millis(),
            kind: "webhook".to_owned(),
            stream: None,
            reason: reason(why),
            attempts: 1,
            payload: codec::encode(&StoredWebhook { letter: webhook, body_blob }),
        };
        let append = throughline_storage::append::Append {
            dead_letters: vec![letter],
            blobs,
            class: throughline_storage::append::AppendClass::Inbound,
            ..Default::default()
        };
        self.shared
            .host
            .journal
            .commit(append)
            .await
            .map(|_| id)
            .map_err(|error| SendError::from_refusal(crate::order::refusal_of(error)))
    }

    /// Puts a given-up piece of work back where it was; `payload` replaces an activity's, as JSON.
    ///
    /// # Errors
    /// [`LetterError`]; nothing has changed then.
    pub async fn retry_dead_letter(
        &self,
        tenant: Option<&TenantId>,
        id: Uuid,
        payload: Option<serde_json::Value>,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, LetterError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        let letter = self.letter(tenant, id)?;
        let along = self.work_of(&letter, payload)?;
        self.settle_letter(&letter, "dead_letter.retry", reason, meta, along).await
    }

    /// Removes the letter of a webhook whose messages have been read again and are durable, and keeps who had that done
    /// and why.
    ///
    /// # Errors
    /// [`LetterError`]; nothing has changed then.
    pub async fn retried_webhook(
        &self,
        tenant: Option<&TenantId>,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, LetterError> {
        self.let_go(tenant, id, "dead_letter.retry", reason, meta).await
    }

    /// Removes a dead letter. Who did it and why stays in the tenant's operations.
    ///
    /// # Errors
    /// [`LetterError`]; nothing has changed then.
    pub async fn discard_dead_letter(
        &self,
        tenant: Option<&TenantId>,
        id: Uuid,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, LetterError> {
        self.let_go(tenant, id, "dead_letter.discard", reason, meta).await
    }

    /// Removes a letter with nothing in its place.
    async fn let_go(
        &self,
        tenant: Option<&TenantId>,
        id: Uuid,
        action: &str,
        reason: String,
        meta: CommandMeta,
    ) -> Result<Receipt, LetterError> {
        if let Some(kept) = self.kept_operation(&meta).await? {
            return Ok(kept);
        }
        let letter = self.letter(tenant, id)?;
        self.settle_letter(&letter, action, reason, meta, Along::default()).await
    }

    fn letter(&self, tenant: Option<&TenantId>, id: Uuid) -> Result<DeadLetter, LetterError> {
        self.shared
            .host
            .journal
            .dead_letter(id)
            .map_err(|error| LetterError::Send(SendError::Damaged(error.to_string())))?
            .filter(|letter| tenant.is_none_or(|tenant| tenant.as_str() == letter.tenant))
            .ok_or(LetterError::Unknown)
    }

    /// The work that a retry makes pending again.
    fn work_of(&self, letter: &DeadLetter, edited: Option<serde_json::Value>) -> Result<Along, LetterError> {
        match (letter.kind.as_str(), &letter.stream) {
            ("inbound", _) => {
                let mut item: InboxItem = codec::decode(&letter.payload)
                    .map_err(|error| LetterError::Payload(error.to_string()))?;
                if let Some(edited) = edited {
                    item.inbound = serde_json::from_value(edited)
                        .map_err(|error| LetterError::Payload(error.to_string()))?;
                }
                item.retried = true;
                let entry = NewInboxEntry { tenant: letter.tenant.clone(), bytes: codec::encode(&item) };
                Ok(Along { inbox: vec![entry], ..Along::default() })
            }
            ("activity", Some((stream, version))) => {
                let kept: ActivityLetter = codec::decode(&letter.payload)
                    .map_err(|error| LetterError::Payload(error.to_string()))?;
                let edited = match edited {
                    // What people see in the letter is what is sent: an earlier edit stays in force.
                    None => self.earlier_edit(stream, *version, &kept),
                    Some(edited) => {
                        let (_, performer) = self.shared.performer(stream).ok_or(LetterError::Unknown)?;
                        Some(performer.edited(&edited).map_err(LetterError::Payload)?)
                    }
                };
                let pending = PendingActivity {
                    key: ActivityKey {
                        ready_at_ms: self.now().as_millis(),
                        stream: stream.clone(),
                        version: *version,
                        index: kept.index,
                    },
                    lane: kept.lane,
                    attempts: 0,
                    asked_at_ms: kept.asked_at_ms,
                    last_error: None,
                    edited,
                    begun_at_ms: None,
                };
                Ok(Along { activities: vec![pending], ..Along::default() })
            }
            (kind, _) => Err(LetterError::ReadOnly(kind.to_owned())),
        }
    }

    /// The letter's payload where it is not the one of its record any more.
    fn earlier_edit(&self, stream: &StreamId, version: u64, kept: &ActivityLetter) -> Option<Vec<u8>> {
        let record = self.shared.host.journal.record(stream, version).ok()??.decode().ok()?;
        let original = record.activities.get(kept.index as usize)?;
        (original.bytes != kept.payload).then(|| kept.payload.clone())
    }

    async fn settle_letter(
        &self,
        letter: &DeadLetter,
        action: &str,
        reason: String,
        meta: CommandMeta,
        along: Along,
    ) -> Result<Receipt, LetterError> {
        let tenant: TenantId = letter.tenant.parse().map_err(|_| LetterError::Unknown)?;
        let target = format!("dead_letter/{}", letter.id);
        let consume = vec![PendingKey::DeadLetter(letter.id)];
        Ok(self.operate(Act { tenant: &tenant, action, target, reason, meta }, along, consume).await?)
    }

    fn show(&self, letter: &DeadLetter) -> Letter {
        let (payload, retryable) = self.show_payload(letter);
        Letter {
            id: letter.id,
            tenant: letter.tenant.clone(),
            kind: letter.kind.clone(),
            at: Timestamp::from_millis(letter.at_ms),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            entity: letter.stream.as_ref().map(|(stream, _)| format!("{}/{}", stream.kind, stream.entity)),
            version: letter.stream.as_ref().map(|(_, version)| *version),
            retryable,
            payload,
        }
    }

    fn show_payload(&self, letter: &DeadLetter) -> (serde_json::Value, bool) {
        let shown = match (letter.kind.as_str(), &letter.stream) {
            ("inbound", _) => codec::decode::<InboxItem>(&letter.payload)
                .ok()
                .and_then(|item| serde_json::to_value(item.inbound).ok()),
            ("activity", Some((stream, _))) => codec::decode::<ActivityLetter>(&letter.payload)
                .ok()
                .and_then(|kept| Some(self.shared.performer(stream)?.1.show(&kept.payload))),
            ("webhook", _) => codec::decode::<StoredWebhook>(&letter.payload).ok().map(|stored| {
                serde_json::json!({
                    "path": stored.letter.path,
                    "url": stored.letter.url,
                    "body": String::from_utf8_lossy(&stored.letter.body),
                    "body_blob": stored.body_blob,
                })
            }),
            _ => serde_json::from_slice(&letter.payload).ok(),
        };
        let retryable = shown.is_some() && !matches!(letter.kind.as_str(), "command" | "report");
        (shown.unwrap_or(serde_json::Value::Null), retryable)
    }
}
