//! Notices to our own people, written to the mail folder beside what customers are sent.

use serde_json::json;

use super::{FileError, FileTransport, is_activity_id, write};
use crate::channels::email::compose::{Notice, compose_notice};

impl FileTransport {
    /// Writes one notice, once.
    ///
    /// # Errors
    /// [`FileError`]; nothing half-written is left under its name.
    pub fn notice(&self, activity_id: &str, notice: &Notice) -> Result<(), FileError> {
        if !is_activity_id(activity_id) {
            return Err(FileError::ActivityId(activity_id.to_owned()));
        }
        let folder = self.root.join("email");
        let json = folder.join(format!("{activity_id}.json"));
        self.make_folder(&folder)?;
        if json.exists() {
            super::sync_folder(&folder)?;
            return Ok(());
        }
        let mail = compose_notice(activity_id, notice)?;
        write(&folder, &folder.join(format!("{activity_id}.eml")), &mail.bytes)?;
        let described = json!({
            "activity_id": activity_id,
            "channel": "email",
            "to": notice.to,
            "from": notice.from,
            "from_name": notice.tenant_name,
            "subject": notice.subject,
            "text": notice.text,
            "automatic": true,
            "provider_message_id": mail.message_id,
            "sent_at": notice.at,
        });
        let mut bytes = serde_json::to_vec_pretty(&described).unwrap_or_default();
        bytes.push(b'\n');
        write(&folder, &json, &bytes)
    }
}
