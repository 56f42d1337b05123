//! Round trips, and that nothing else than our own, unaltered and of this tenant, leads anywhere.

use proptest::prelude::*;

use super::*;
use crate::channels::testing::conversation;

fn keys() -> ReplyKeys {
    ReplyKeys::new(TenantId::default_tenant(), vec![b"a key".to_vec()])
}

fn any_conversation() -> impl Strategy<Value = ConversationId> {
    any::<u128>().prop_map(|bits| ConversationId(Uuid::from_u128(bits)))
}

/// `text` with one character changed to another that does not only differ in case.
fn altered(text: &str, place: prop::sample::Index, by: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = place.index(bytes.len());
    bytes[at] = 33 + (bytes[at] + by) % 94;
    let changed = String::from_utf8(bytes).ok()?;
    (!changed.eq_ignore_ascii_case(text)).then_some(changed)
}

#[test]
fn the_address_is_lower_case_and_fits() {
    let address = keys().reply_address("Support@Example.com", conversation()).unwrap();
    assert_eq!(address, address.to_lowercase());
    assert!(address.starts_with("support+c") && address.ends_with("@example.com"), "{address}");
    assert!(address.split('@').next().unwrap().len() <= 64);
    assert!(keys().reply_address("nineteen-characters@example.com", conversation()).is_some());
    assert_eq!(keys().reply_address("a-local-part-of-29-characters@example.com", conversation()), None);
}

#[test]
fn a_token_is_found_among_other_recipients() {
    let token = keys().reply_address("support@example.com", conversation()).unwrap();
    for header in [
        format!("Ada <ada@customer.example>,\r\n\t\"Care, Example\" <{}>", token.to_uppercase()),
        format!("<{token}>"),
        format!("support+c@example.com, support+other@example.com {token};"),
        format!("=?utf-8?q?rubbish?= \u{fffd}<{token}>"),
    ] {
        assert_eq!(keys().find_in(&header), Some(conversation()), "{header}");
    }
    assert_eq!(keys().find_in("support@example.com, t+77.5c9e1f@example.com"), None);
}

#[test]
fn a_key_can_be_replaced() {
    let old = keys();
    let both = ReplyKeys::new(TenantId::default_tenant(), vec![b"new".to_vec(), b"a key".to_vec()]);
    let token = old.token(conversation()).unwrap();
    assert_eq!(both.verify_token(&token), Some(conversation()));
    assert_eq!(old.verify_token(&both.token(conversation()).unwrap()), None);
}

#[test]
fn without_a_key_nothing_is_signed_and_nothing_verifies() {
    let none = ReplyKeys::new(TenantId::default_tenant(), vec![Vec::new()]);
    assert_eq!(none.token(conversation()), None);
    assert_eq!(none.verify_token(&keys().token(conversation()).unwrap()), None);
    let id = none.message_id(&format!("{}.3.0", conversation()), conversation(), "example.com");
    assert_eq!(none.verify_message_id(&id), None);
}

#[test]
fn the_activity_stands_in_the_message_id() {
    let activity = format!("{}.3.0", conversation());
    let id = keys().message_id(&activity, conversation(), "Example.com");
    assert!(id.starts_with(&activity) && id.ends_with("@example.com"), "{id}");
    assert_eq!(keys().verify_message_id(&format!("<{id}>")), Some(conversation()));
    assert_eq!(keys().verify_message_id(&id.replace("@example.com", "@relay.example")), Some(conversation()));
}

#[test]
fn an_activity_of_another_entity_leads_to_the_conversation_too() {
    let activity = "0199d2f0-0000-7000-8000-000000000000.12.1.2";
    let id = keys().message_id(activity, conversation(), "example.com");
    assert_eq!(keys().verify_message_id(&id), Some(conversation()));
}

proptest! {
    #[test]
    fn every_conversation_comes_back_in_either_case(conversation in any_conversation()) {
        let token = keys().token(conversation).unwrap();
        prop_assert_eq!(keys().verify_token(&token), Some(conversation));
        prop_assert_eq!(keys().verify_token(&token.to_uppercase()), Some(conversation));
        let id = keys().message_id(&format!("{conversation}.7.2"), conversation, "example.com");
        prop_assert_eq!(keys().verify_message_id(&id.to_uppercase()), Some(conversation));
    }

    #[test]
    fn nothing_altered_verifies(conversation in any_conversation(), place in any::<prop::sample::Index>(), by in 1..94u8) {
        let token = keys().token(conversation).unwrap();
        if let Some(changed) = altered(&token, place, by) {
            prop_assert_eq!(keys().verify_token(&changed), None, "{}", changed);
        }
        let id = keys().message_id(&format!("{conversation}.7.2"), conversation, "x");
        let local = id.split('@').next().unwrap();
        if let Some(changed) = altered(local, place, by) {
            prop_assert_eq!(keys().verify_message_id(&format!("{changed}@x")), None, "{}", changed);
        }
    }

    #[test]
    fn another_tenants_token_is_worth_nothing(conversation in any_conversation()) {
        let other = ReplyKeys::new("acme".parse().unwrap(), vec![b"a key".to_vec()]);
        prop_assert_eq!(other.verify_token(&keys().token(conversation).unwrap()), None);
        let id = keys().message_id(&format!("{conversation}.7.2"), conversation, "x");
        prop_assert_eq!(other.verify_message_id(&id), None);
    }

    #[test]
    fn a_message_id_is_no_token_and_the_other_way_round(conversation in any_conversation()) {
        let token = keys().token(conversation).unwrap();
        prop_assert_eq!(keys().verify_message_id(&format!("{token}@x")), None);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,120}") {
        prop_assert_eq!(keys().verify_token(&text), None);
        prop_assert_eq!(keys().find_in(&text), None);
        prop_assert_eq!(keys().verify_message_id(&text), None);
        let _ = keys().reply_address(&text, conversation());
        let _ = keys().message_id(&text, conversation(), &text);
    }
}
