//! Channels and addresses: which goes with which.

use super::*;

#[test]
fn a_channel_reads_back_and_a_wrong_one_is_named() {
    for text in ["email", "sms", "chat", "voice", "generic:web"] {
        assert_eq!(text.parse::<Channel>().unwrap().to_string(), text);
    }
    assert_eq!("generic.web".parse::<Channel>().unwrap().path_name(), "generic.web");
    for text in ["fax", "generic:", "generic:A B"] {
        assert!(text.parse::<Channel>().is_err(), "{text}");
    }
}

#[test]
fn an_address_is_reached_by_the_channels_of_its_kind() {
    let web = Channel::Generic("web".to_owned());
    let mail = Address::email(" Ada@Example.com ");
    let phone = Address::phone("+15550123456");
    let chat = Address::handle(&Channel::Chat, "a/b");
    assert_eq!(mail.value, "ada@example.com");
    assert_eq!(chat.as_handle(), Some((Channel::Chat, "a/b")));
    for (address, reached, not) in [
        (&mail, vec![Channel::Email, web.clone()], vec![Channel::Sms, Channel::Chat]),
        (&phone, vec![Channel::Sms, Channel::Voice, web.clone()], vec![Channel::Email, Channel::X]),
        (&chat, vec![Channel::Chat, web.clone()], vec![Channel::Telegram, Channel::Sms]),
    ] {
        assert!(reached.iter().all(|channel| address.is_reached_by(channel)), "{address}");
        assert!(!not.iter().any(|channel| address.is_reached_by(channel)), "{address}");
        assert_eq!(address.usual_channel().as_ref(), reached.first());
    }
}

#[test]
fn nobody_answers_from_a_no_reply_mailbox_or_a_short_code() {
    for silent in
        ["no-reply@example.com", "NoReply+7@example.com", "do_not_reply@x.org", "mailer-daemon@x.org"]
    {
        assert!(!Address::email(silent).can_answer(), "{silent}");
    }
    assert!(!Address::phone("72345").can_answer());
    assert!(Address::phone("+2904123").can_answer());
    assert!(Address::email("norbert@example.com").can_answer());
    assert!(Address::handle(&Channel::Chat, "v1").can_answer());
}
