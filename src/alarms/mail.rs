//! A notice by mail to somebody of ours: no conversation, nothing to answer to.
//!
//! The one place that knows how such a mail leaves; today it is written to the outbound folder.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use throughline_workflows::{ids::TenantId, time::Timestamp};

use crate::{
    channels::{
        email::compose::Notice,
        file::{FileError, FileTransport},
    },
    config::Config,
};

/// Sends notices.
#[derive(Clone, Debug)]
pub(super) struct NoticeMail {
    files: FileTransport,
    senders: Arc<BTreeMap<TenantId, Sender>>,
}

#[derive(Clone, Debug)]
struct Sender {
    from: String,
    tenant_name: String,
}

/// What is told, and to whom.
pub(super) struct Letter<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) to: &'a str,
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    /// The activity: the same on every try.
    pub(super) id: &'a str,
    pub(super) at: Timestamp,
}

impl NoticeMail {
    pub(super) fn new(config: &Config, outbound: &Path) -> Self {
        let sender = |id: &TenantId| {
            let tenant = config.tenant(id)?;
            Some(Sender { from: tenant.channels.email.from, tenant_name: tenant.name })
        };
        let senders = config.tenant_ids().into_iter().filter_map(|id| Some((id.clone(), sender(&id)?)));
        Self { files: FileTransport::new(outbound), senders: Arc::new(senders.collect()) }
    }

    /// Sends one notice; the same id again changes nothing.
    pub(super) async fn send(&self, letter: Letter<'_>) -> Result<(), FileError> {
        let sender = self.senders.get(letter.tenant).cloned().ok_or_else(|| FileError::Io {
            path: letter.tenant.as_str().into(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "the tenant is not configured"),
        })?;
        let (files, id) = (self.files.clone(), letter.id.to_owned());
        let notice = Notice {
            from: sender.from,
            tenant_name: sender.tenant_name,
            to: letter.to.to_owned(),
            subject: letter.subject.to_owned(),
            text: letter.text.to_owned(),
            at: letter.at,
        };
        let written = tokio::task::spawn_blocking(move || files.notice(&id, &notice)).await;
        written.map_err(|error| FileError::Io {
            path: "outbound".into(),
            source: std::io::Error::other(error),
        })?
    }
}
