//! Addresses in their one canonical form, so that the same person is found again whatever channel wrote them.
//!
//! Knows what a mail address and a telephone number look like; not whether anybody lives there.

/// The longest mail address that SMTP can carry (RFC 5321, 4.5.3.1: 64 + 1 + 255).
const EMAIL_MAX: usize = 320;

/// The canonical mail address in `text`, lower-cased, or none if it is not one.
///
/// Deliberately narrower than RFC 5322: quoted local parts and address literals are not taken, since no customer
/// writes from one and each is a way to smuggle something into a header.
pub fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"@".contains(c);
    let legal = text.len() <= EMAIL_MAX
        && !local.is_empty()
        && !domain.is_empty()
        && local.chars().all(plain)
        && domain.chars().all(plain)
        && !domain.starts_with('.')
        && !domain.contains("..");
    legal.then(|| text.trim_end_matches('.').to_lowercase()).filter(|text| !text.ends_with('@'))
}

/// The canonical telephone number in `text`: E.164 with the plus sign, or none if it is not an international number.
///
/// A number that no country's plan holds today is taken all the same: plans grow faster than tables of them.
pub fn phone(text: &str) -> Option<String> {
    let text = text.trim();
    // The library reads letters as keypad digits and takes extensions; neither belongs into an address.
    let legal = |c: char| c.is_ascii_digit() || "+ -./()\u{a0}".contains(c);
    if text.len() > 40 || !text.starts_with('+') || !text.chars().all(legal) {
        return None;
    }
    // A zero that a country writes before its own numbers falls away at each reading; only what stays is canonical.
    let read = |text: &str| {
        let number = phonenumber::parse(None, text).ok()?;
        Some(number.format().mode(phonenumber::Mode::E164).to_string())
    };
    let mut before: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    let mut canonical = read(text)?;
    while canonical != before {
        before = canonical;
        canonical = read(&before).filter(|again| *again == before || again.len() < before.len())?;
    }
    let digits = canonical.strip_prefix('+')?;
    // ITU-T E.164: at most fifteen digits. The shortest international numbers in use have seven.
    let whole = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    whole.then_some(canonical)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mail_address_is_lower_cased_and_nothing_else() {
        assert_eq!(email(" Ada@Customer.Example "), Some("ada@customer.example".into()));
        assert_eq!(email("ada+shop@customer.example"), Some("ada+shop@customer.example".into()));
        assert_eq!(email("ädä@exämple.example"), Some("ädä@exämple.example".into()));
    }

    #[test]
    fn what_is_not_a_mail_address_is_none() {
        for text in ["", "ada", "@", "a@", "@b", "a b@c", "a@b\r\nBcc: x@y", "<a@b>", "a@.b", "a@b..c", "a@."]
        {
            assert_eq!(email(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_is_the_same_however_it_is_punctuated() {
        for text in ["+15550123456", "+1 (555) 012-3456", "+1.555.012.3456", " +1 555 0123456 "] {
            assert_eq!(phone(text), Some("+15550123456".into()), "{text:?}");
        }
        assert_eq!(phone("+44 20 7946 0123"), Some("+442079460123".into()));
        assert_eq!(phone("+39 06 1234 5678"), Some("+390612345678".into()));
    }

    #[test]
    fn zeros_that_fall_away_one_by_one_are_all_gone() {
        assert_eq!(phone("+59100) 00) 04  -.4 5339"), Some("+59144 5339".replace(' ', "")));
    }

    #[test]
    fn what_is_not_an_international_number_is_none() {
        for text in [
            "",
            "+",
            "12345",
            "5550123456",
            "+1",
            "+12",
            "ACME",
            "+1800FLOWERS",
            "+1555012345612345678",
            "whatsapp:+15550123456",
        ] {
            assert_eq!(phone(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_forms_are_their_own_canonical_form(text in "\\PC{0,30}", digits in "\\+[0-9 ()-]{0,20}") {
            for found in [email(&text), email(&format!("{text}@x.example"))].into_iter().flatten() {
                prop_assert_eq!(email(&found), Some(found));
            }
            if let Some(found) = phone(&digits) {
                prop_assert_eq!(phone(&found), Some(found));
            }
        }
    }
}
