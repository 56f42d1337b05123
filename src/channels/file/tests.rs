//! A folder that is as careful as a provider.

use std::collections::BTreeSet;

use bytes::Bytes;
use uuid::Uuid;

use throughline_workflows::{
    ids::{MessageId, TenantId},
    message::{Address, AddressKind},
};

use super::*;
use crate::channels::{
    reply_token::ReplyKeys,
    testing::{NOW, at, conversation},
};

fn sender() -> MailSender {
    MailSender {
        from: "support@care.example".into(),
        tenant_name: "Care".into(),
        replies: ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()]),
    }
}

fn outbound(channel: Channel, to: Address) -> Outbound {
    Outbound {
        message_id: MessageId(Uuid::from_u128(1)),
        conversation_id: conversation(),
        channel,
        to,
        to_name: Some("Ada".into()),
        from: None,
        from_name: None,
        subject: Some("Your order".into()),
        text: "We have your message.".into(),
        attachments: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: true,
    }
}

fn mail() -> Outbound {
    outbound(Channel::Email, Address::new(AddressKind::Email, "ada@customer.example"))
}

fn deliver(root: &Path, activity_id: &str, message: &Outbound, now: &str) -> Result<Accepted, FileError> {
    let sender = sender();
    let delivery =
        Delivery { activity_id, message, sender: &sender, from: Some("+15550100200"), at: at(now) };
    FileTransport::new(root.join("outbound"))
        .deliver(&delivery, &|_: &str| Ok(Bytes::from_static(b"content")))
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_text_is_one_readable_file() {
    let root = tempfile::tempdir().unwrap();
    let message = outbound(Channel::Sms, Address::new(AddressKind::Phone, "+15550123456"));
    let accepted = deliver(root.path(), "e.3.0", &message, NOW).unwrap();
    assert_eq!(accepted, Accepted { provider_message_id: None });
    let folder = root.path().join("outbound/sms");
    assert_eq!(names(&folder), BTreeSet::from(["e.3.0.json".into()]));
    let written: Value = serde_json::from_slice(&fs::read(folder.join("e.3.0.json")).unwrap()).unwrap();
    insta::assert_json_snapshot!(written);
}

#[test]
fn a_mail_is_two_files_and_its_id_is_told() {
    let root = tempfile::tempdir().unwrap();
    let activity = format!("{}.3.0", conversation());
    let accepted = deliver(root.path(), &activity, &mail(), NOW).unwrap();
    let id = accepted.provider_message_id.unwrap();
    assert_eq!(sender().replies.verify_message_id(&id), Some(conversation()));
    let folder = root.path().join("outbound/email");
    assert_eq!(names(&folder), BTreeSet::from([format!("{activity}.eml"), format!("{activity}.json")]));
    let eml = fs::read_to_string(folder.join(format!("{activity}.eml"))).unwrap();
    assert!(eml.contains(&format!("Message-ID: <{id}>\r\n")), "{eml}");
}

#[test]
fn the_same_activity_again_changes_nothing_and_is_accepted_the_same() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("outbound/email");
    let first = deliver(root.path(), "e.3.0", &mail(), NOW).unwrap();
    let before = fs::read(folder.join("e.3.0.json")).unwrap();
    let second = deliver(root.path(), "e.3.0", &mail(), "2026-11-22T09:30:00Z").unwrap();
    assert_eq!(second, first);
    assert_eq!(fs::read(folder.join("e.3.0.json")).unwrap(), before);
    assert_eq!(names(&folder).len(), 2);
}

#[test]
fn a_mail_that_was_cut_off_between_its_two_files_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("outbound/email");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("e.3.0.eml"), "half of it").unwrap();
    deliver(root.path(), "e.3.0", &mail(), NOW).unwrap();
    assert!(fs::read_to_string(folder.join("e.3.0.eml")).unwrap().starts_with("From: "));
}

#[test]
fn a_generic_channel_has_a_folder_of_its_name() {
    let root = tempfile::tempdir().unwrap();
    let channel = Channel::Generic("web".into());
    let message = outbound(channel.clone(), Address::handle(&channel, "ada"));
    deliver(root.path(), "e.3.0", &message, NOW).unwrap();
    assert!(root.path().join("outbound/generic.web/e.3.0.json").is_file());
}

#[test]
fn an_id_that_is_a_path_is_refused_for_good() {
    let root = tempfile::tempdir().unwrap();
    for id in ["", "../x", "a/b", ".hidden", "a\0b", &"x".repeat(201)] {
        let refused = deliver(root.path(), id, &mail(), NOW).unwrap_err();
        assert!(matches!(refused, FileError::ActivityId(_)) && !refused.is_temporary(), "{id:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_worth_another_try() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("outbound"), "a file").unwrap();
    let failed = deliver(root.path(), "e.3.0", &mail(), NOW).unwrap_err();
    assert!(matches!(failed, FileError::Io { .. }) && failed.is_temporary(), "{failed}");
    let nowhere = outbound(Channel::Email, Address::new(AddressKind::Phone, "+15550123456"));
    let root = tempfile::tempdir().unwrap();
    assert!(!deliver(root.path(), "e.3.0", &nowhere, NOW).unwrap_err().is_temporary());
}
