//! `transport = "file"`: what would be sent is written to a folder instead.
//!
//! For trying things out and for tests, but as careful as a provider: a message counts as accepted when its file is
//! synced and renamed into place, and writing it again changes nothing. For mail, `ACTIVITY_ID.eml` is the mail
//! itself and is there before `ACTIVITY_ID.json`. All of this blocks: call it where blocking is allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use serde_json::{Value, json};

use throughline_workflows::{
    message::{Attachment, AttachmentAt, Channel, Outbound},
    time::Timestamp,
};

use crate::channels::{
    email::compose::{ComposeError, Mail, MailSender, ReadBlob, compose, shown_sender},
    sending::{SendOutcome, Sender, Sending, failure, file_of, read_files},
};

/// Writes messages below one folder.
#[derive(Clone, Debug)]
pub struct FileTransport {
    root: PathBuf,
    /// Folders whose names are known to be durable.
    durable: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// What goes out, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The activity, `ENTITY.VERSION.INDEX`: the file's name.
    pub activity_id: &'a str,
    /// The message.
    pub message: &'a Outbound,
    /// Who writes the tenant's mail; its name is shown on every channel.
    pub sender: &'a MailSender,
    /// The address of ours for channels other than email, where the message names none.
    pub from: Option<&'a str>,
    /// The engine's time.
    pub at: Timestamp,
}

/// The message is where it should be, and will be after a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// For mail, its `Message-ID` without angle brackets.
    pub provider_message_id: Option<String>,
}

/// Why a message was not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The activity's id cannot be a file's name. Another try is no use.
    #[error("{0:?} is not an activity id: letters, digits, '.', '-' and '_' only, at most 200")]
    ActivityId(String),
    /// The mail cannot be composed.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The disk refused. Another try may work.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    /// Whether the same message may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Compose(ComposeError::Blob { .. }))
    }
}

impl FileTransport {
    /// A transport into `root`, usually `STORAGE_PATH/outbound`; it is made at the first message.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), durable: Arc::default() }
    }

    /// Writes one message, once: an activity whose file is there already is accepted as it is.
    ///
    /// # Errors
    /// [`FileError`]; nothing half-written is left under the message's name.
    pub fn deliver(&self, delivery: &Delivery<'_>, blobs: &ReadBlob<'_>) -> Result<Accepted, FileError> {
        let Delivery { activity_id, message, sender, at, .. } = *delivery;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if activity_id.is_empty()
            || activity_id.len() > 200
            || activity_id.starts_with('.')
            || !activity_id.bytes().all(legal)
        {
            return Err(FileError::ActivityId(activity_id.to_owned()));
        }
        let folder = self.root.join(message.channel.path_name());
        let json = folder.join(format!("{activity_id}.json"));
        self.make_folder(&folder)?;
        if json.exists() {
            // The name may be there without the folder being synced: the last attempt may have ended in between.
            sync_folder(&folder)?;
            return Ok(Accepted { provider_message_id: self.written_id(&json) });
        }
        let mail = match message.channel {
            Channel::Email => Some(compose(sender, activity_id, message, at, blobs)?),
            _ => None,
        };
        if let Some(mail) = &mail {
            write(&folder, &folder.join(format!("{activity_id}.eml")), &mail.bytes)?;
        }
        let mut bytes = serde_json::to_vec_pretty(&describe(delivery, mail.as_ref())).unwrap_or_default();
        bytes.push(b'\n');
        write(&folder, &json, &bytes)?;
        Ok(Accepted { provider_message_id: mail.map(|mail| mail.message_id) })
    }

    /// Writes one mail that belongs to no conversation, as `email/ID.eml`; one that is there is left as it is.
    ///
    /// # Errors
    /// [`FileError`]; nothing half-written is left under its name.
    pub fn write_notice(&self, id: &str, mail: &Mail) -> Result<(), FileError> {
        let folder = self.root.join(Channel::Email.path_name());
        self.make_folder(&folder)?;
        let path = folder.join(format!("{id}.eml"));
        if path.exists() { sync_folder(&folder) } else { write(&folder, &path, &mail.bytes) }
    }

    /// Makes the folder and its parents, durably. One that is there may have been made by a process that was killed
    /// before its name was, so this is done once for those too.
    fn make_folder(&self, folder: &Path) -> Result<(), FileError> {
        let durable = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() && durable().contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|source| FileError::Io { path: folder.to_owned(), source })?;
        // Each new name is an entry of the folder above it.
        for parent in folder.ancestors().skip(1).take(2) {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        durable().insert(folder.to_owned());
        Ok(())
    }

    /// The id in a file of ours; none where it holds none.
    fn written_id(&self, json: &Path) -> Option<String> {
        let written: Value = serde_json::from_slice(&fs::read(json).ok()?).ok()?;
        written.get("provider_message_id")?.as_str().map(str::to_owned)
    }
}

/// The transport of one channel into files.
pub struct FileSender {
    /// Where to.
    pub files: FileTransport,
    /// Who writes the tenant's mail.
    pub sender: MailSender,
    /// The address of ours for channels other than email, where the message names none.
    pub from: Option<String>,
}

impl FileSender {
    async fn write(&self, sending: Sending<'_>) -> SendOutcome {
        // Only mail carries its files; elsewhere they are named.
        let files = match sending.message.channel {
            Channel::Email => read_files(&sending).await,
            _ => Ok(BTreeMap::new()),
        };
        let read = match files {
            Ok(read) => read,
            Err(outcome) => return outcome,
        };
        let (files, sender, from) = (self.files.clone(), self.sender.clone(), self.from.clone());
        let (activity_id, message, at) =
            (sending.activity_id.to_owned(), sending.message.clone(), sending.asked_at);
        let written = tokio::task::spawn_blocking(move || {
            // The same time on every try, so that a mail written again is the same mail.
            let delivery = Delivery {
                activity_id: &activity_id,
                message: &message,
                sender: &sender,
                from: from.as_deref().filter(|_| matches!(message.channel, Channel::Sms)),
                at,
            };
            files.deliver(&delivery, &|key: &str| file_of(&read, key))
        });
        match written.await {
            Ok(Ok(Accepted { provider_message_id })) => SendOutcome::Accepted { provider_message_id },
            Ok(Err(error)) if error.is_temporary() => SendOutcome::down(failure("file", error.to_string())),
            Ok(Err(error)) => SendOutcome::Refused(failure("file", error.to_string())),
            Err(error) => SendOutcome::down(failure("file", error.to_string())),
        }
    }
}

impl Sender for FileSender {
    fn is_keyed(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> BoxFuture<'a, SendOutcome> {
        Box::pin(self.write(sending))
    }
}

/// What would be sent, for a person or a test to read.
fn describe(delivery: &Delivery<'_>, mail: Option<&Mail>) -> Value {
    let Delivery { activity_id, message, sender, at, .. } = *delivery;
    let from = match mail {
        Some(_) => Some(sender.from.as_str()),
        None => message.from.as_deref().or(delivery.from),
    };
    let attachment = |one: &Attachment| {
        let (place, value) = match &one.at {
            AttachmentAt::Blob(key) => ("blob", key),
            AttachmentAt::Url(url) => ("url", url),
        };
        json!({ "name": one.name, "media_type": one.media_type, "bytes": one.bytes, place: value })
    };
    json!({
        "activity_id": activity_id,
        "message_id": message.message_id,
        "conversation_id": message.conversation_id,
        "channel": message.channel,
        "to": message.to.value,
        "to_kind": message.to.kind,
        "to_name": message.to_name,
        "from": from,
        "from_name": shown_sender(sender, message),
        "subject": message.subject,
        "text": message.text,
        "attachments": message.attachments.iter().map(attachment).collect::<Vec<_>>(),
        "in_reply_to": message.in_reply_to,
        "references": message.references,
        "reply_to": mail.and_then(|mail| mail.reply_to.as_deref()),
        "automatic": message.automatic,
        "provider_message_id": mail.map(|mail| mail.message_id.as_str()),
        "sent_at": at,
    })
}

/// Puts `bytes` under `path` so that, whenever the power fails, there is all of it or nothing.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| FileError::Io { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests;
