//! Mail that comes back, and what it says of the mail that went out.

use bytes::Bytes;
use proptest::prelude::*;

use throughline_workflows::{conversation::DeliveryStatus, ids::TenantId, message::Channel};

use super::*;
use crate::channels::{
    Receipt,
    email::{RawEmail, RawEmailSettings},
    testing::{Call, at, conversation, fixture},
};

fn replies() -> ReplyKeys {
    ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()])
}

fn our_id() -> String {
    replies().message_id(&format!("{}.3.0", conversation()), conversation(), "care.example")
}

/// The bounce among the fixtures, about our mail, with `changes` made to its text.
fn taken(changes: &[(&str, &str)]) -> Receipt {
    let bounce = String::from_utf8(fixture("mail_bounce.eml").to_vec()).unwrap();
    let bounce = bounce.replace("OUR_MESSAGE_ID", &our_id());
    let bounce = changes.iter().fold(bounce, |text, (from, to)| {
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to)
    });
    let own_addresses = vec!["support@care.example".to_owned()];
    let door = RawEmail::new(RawEmailSettings { own_addresses, replies: replies(), secrets: Vec::new() });
    Call::unsigned(Bytes::from(bounce)).receive(&door).unwrap()
}

#[test]
fn a_bounce_is_a_failed_delivery_of_our_mail_and_no_message() {
    let receipt = taken(&[]);
    assert!(receipt.messages.is_empty());
    assert_eq!(
        receipt.reports,
        [DeliveryReport {
            channel: Channel::Email,
            provider_message_id: our_id(),
            conversation: Some(conversation()),
            message_id: None,
            status: DeliveryStatus::Failed,
            error: Some(ActivityError {
                code: Some("5.1.1".to_owned()),
                message: "the mail came back".to_owned()
            }),
            at: at(crate::channels::testing::NOW),
        }]
    );
}

#[test]
fn the_servers_own_words_are_kept_on_one_line() {
    let words = "Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 user unknown;\n see postmaster";
    let receipt = taken(&[("Status: 5.1.1", words)]);
    let error = receipt.reports[0].error.clone().unwrap();
    assert_eq!(error.message, "550 5.1.1 user unknown; see postmaster");
}

#[test]
fn a_mail_sent_back_whole_and_lines_without_a_return_are_read_too() {
    let whole = taken(&[("text/rfc822-headers", "message/rfc822"), ("\r\n", "\n")]);
    assert_eq!(whole.reports[0].provider_message_id, our_id());
    let folded = our_id().to_uppercase();
    let receipt = taken(&[(&our_id(), &folded)]);
    assert_eq!(
        receipt.reports[0].provider_message_id,
        our_id(),
        "our ids are lower-case, whoever wrote them"
    );
}

#[test]
fn a_delay_says_nothing_yet_and_a_delivery_is_one() {
    for action in ["delayed", "relayed", "expanded", "unheard-of"] {
        let receipt = taken(&[("Action: failed", &format!("Action: {action}"))]);
        assert!(receipt.messages.is_empty() && receipt.reports.is_empty(), "{action}");
        assert_eq!(receipt.ignored, 1);
    }
    let receipt = taken(&[("Action: failed", "Action: delivered (to mailbox)")]);
    assert_eq!(receipt.reports[0].status, DeliveryStatus::Delivered);
    assert_eq!(receipt.reports[0].error, None);
}

#[test]
fn a_report_without_a_returned_mail_is_tied_by_what_it_answers() {
    let answer = format!("MIME-Version: 1.0\nIn-Reply-To: <{}>", our_id());
    let enclosed = format!("Message-ID: <{}>", our_id());
    let receipt = taken(&[(&enclosed, "X-Nothing: here"), ("MIME-Version: 1.0", &answer)]);
    assert_eq!(receipt.reports[0].provider_message_id, our_id());
}

#[test]
fn an_id_that_somebody_made_up_ties_nothing() {
    let receipt =
        taken(&[(&our_id(), "0199d2f0-5a11-7c3e-9b1d-2f6f0a1b2c3d.3.0.aaaaaaaaaaaaaaaa@care.example")]);
    assert!(receipt.reports.is_empty());
    assert!(receipt.messages[0].inbound.automatic);
}

proptest! {
    #[test]
    fn a_report_may_hold_anything(text in "[ -~\r\n:;é]{0,300}") {
        let receipt = taken(&[("Action: failed", &text)]);
        prop_assert_eq!(receipt.messages.len() + receipt.reports.len() + receipt.ignored, 1);
    }
}
