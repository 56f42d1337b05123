//! How mails hang together.

use super::fixtures::mail;
use crate::{
    conversation::threading::{MailThread, Subject},
    message::{Details, EmailDetails, Inbound},
};

fn with(details: EmailDetails) -> Inbound {
    Inbound { details: Details::Email(Box::new(details)), ..mail(1) }
}

#[test]
fn a_subject_loses_the_marks_of_earlier_answers() {
    for text in ["Broken lamp", "Re: Broken lamp", "RE:re: Broken\r\n lamp "] {
        let subject = Subject::new(text).unwrap();
        assert_eq!((subject.as_str(), subject.of_answer().as_str()), ("Broken lamp", "Re: Broken lamp"));
    }
    assert_eq!(Subject::new(" Re: "), None);
    assert_eq!(Subject::new(&"ä".repeat(2_000)).unwrap().as_str().chars().count(), 250);
    assert_eq!(Subject::new("Ré").unwrap().as_str(), "Ré");
}

#[test]
fn references_keep_the_first_and_the_newest() {
    let references = (0..50).map(|n| format!("r{n}@example.com")).collect();
    let message_id = Some("last@example.com".to_owned());
    let thread =
        MailThread::of(&with(EmailDetails { message_id, references, ..EmailDetails::default() })).unwrap();
    assert_eq!(thread.references.len(), 20);
    assert_eq!(thread.references[0], "r0@example.com");
    assert_eq!(thread.references[1], "r32@example.com");
    assert_eq!(thread.references[19], "last@example.com");
}

#[test]
fn a_mail_without_references_hangs_on_what_it_answers() {
    let details = EmailDetails {
        message_id: Some("b@example.com".to_owned()),
        in_reply_to: Some("a@example.com".to_owned()),
        ..EmailDetails::default()
    };
    assert_eq!(MailThread::of(&with(details)).unwrap().references, ["a@example.com", "b@example.com"]);
}

#[test]
fn a_mail_without_an_id_cannot_be_answered_in_its_thread() {
    assert_eq!(MailThread::of(&with(EmailDetails::default())), None);
    let endless = Some("x".repeat(1_000));
    assert_eq!(MailThread::of(&with(EmailDetails { message_id: endless, ..EmailDetails::default() })), None);
}
