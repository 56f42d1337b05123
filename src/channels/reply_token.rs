//! Signed marks in outgoing mail that bring an answer back to its conversation without any lookup.
//!
//! Two of them: a reply address `support+cCONVERSATION.MAC@domain`, and a `Message-ID` that is made of the activity
//! that sends the mail. Both hold the conversation's id under an HMAC that is keyed and bound to the tenant, so none
//! can be guessed, altered or carried to another tenant. Whether the conversation still exists is not known here.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use throughline_workflows::ids::{ConversationId, TenantId};

/// Base32 of RFC 4648 in lower case: mail systems fold case, and `1`, `l`, `0` and `o` are not told apart by people.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters of a conversation's id: 128 bits, five a character.
const ID_CHARS: usize = 26;
/// Characters of a MAC: 80 bits, five a character.
const MAC_CHARS: usize = 16;
/// The longest local part of an address (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// How many pieces of a header are tried as a token; a mail has a handful of recipients that look like one.
const CANDIDATES_MAX: usize = 64;

/// A tenant's keys for reply tokens: the first signs, all verify, so that a key can be replaced.
#[derive(Clone)]
pub struct ReplyKeys {
    tenant: TenantId,
    keys: Vec<Vec<u8>>,
}

impl std::fmt::Debug for ReplyKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplyKeys({}, …)", self.tenant)
    }
}

impl ReplyKeys {
    /// The keys of `reply_token_key`, newest first. Without any, nothing is signed and nothing verifies.
    pub fn new(tenant: TenantId, keys: Vec<Vec<u8>>) -> Self {
        Self { tenant, keys: keys.into_iter().filter(|key| !key.is_empty()).collect() }
    }

    /// `LOCAL+cCONVERSATION.MAC@DOMAIN` for our address `LOCAL@DOMAIN`, lower-cased.
    ///
    /// None without a key, or where the local part would exceed 64 octets (ours may have at most 19): answers then
    /// find their way by `In-Reply-To` and `References`.
    pub fn reply_address(&self, ours: &str, conversation: ConversationId) -> Option<String> {
        let (local, domain) = ours.rsplit_once('@')?;
        let local = format!("{local}+{}", self.token(conversation)?).to_ascii_lowercase();
        (local.len() <= LOCAL_MAX).then(|| format!("{local}@{}", domain.to_ascii_lowercase()))
    }

    /// The token alone: `cCONVERSATION.MAC`.
    pub fn token(&self, conversation: ConversationId) -> Option<String> {
        let id = base32(conversation.0.as_u128(), ID_CHARS);
        let mac = self.mac(self.keys.first()?, "reply", &id);
        Some(format!("c{id}.{mac}"))
    }

    /// The conversation that a token leads to, if it is one of ours and unaltered, in either case.
    pub fn verify_token(&self, token: &str) -> Option<ConversationId> {
        let token = token.to_ascii_lowercase();
        let (id, mac) = token.strip_prefix('c')?.split_once('.')?;
        let conversation = ConversationId(unbase32(id)?);
        self.is_mac("reply", id, mac).then_some(conversation)
    }

    /// The conversation of the first valid token among the addresses anywhere in a header's text.
    ///
    /// Works on the raw text, so that no oddity of an address list hides a token.
    pub fn find_in(&self, recipients: &str) -> Option<ConversationId> {
        let in_address = |c: char| c.is_ascii_alphanumeric() || ".+-_@".contains(c);
        let pieces = recipients.split(|c: char| !in_address(c));
        let locals = pieces.filter_map(|piece| piece.split_once('@').map(|(local, _)| local));
        let tokens = locals.filter_map(|local| local.rsplit_once('+').map(|(_, token)| token));
        let likely = tokens.filter(|token| token.len() == 1 + ID_CHARS + 1 + MAC_CHARS);
        likely.take(CANDIDATES_MAX).find_map(|token| self.verify_token(token))
    }

    /// The `Message-ID`, without angle brackets, of the mail that an activity sends: the same at every attempt.
    ///
    /// `ACTIVITY.MAC@DOMAIN`, and with the conversation's id before the MAC where the activity is another entity's.
    pub fn message_id(&self, activity: &str, conversation: ConversationId, domain: &str) -> String {
        let mut local = activity.to_ascii_lowercase();
        if entity(&local) != Some(conversation.0) {
            local = format!("{local}.c{}", base32(conversation.0.as_u128(), ID_CHARS));
        }
        if let Some(key) = self.keys.first() {
            local = format!("{local}.{}", self.mac(key, "message-id", &local));
        }
        format!("{local}@{}", domain.to_ascii_lowercase())
    }

    /// The conversation whose mail has this `Message-ID`, if it is one of ours.
    ///
    /// The domain is not looked at: some relays rewrite it, and the MAC says enough.
    pub fn verify_message_id(&self, id: &str) -> Option<ConversationId> {
        let id = id.trim().trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        let (local, _) = id.split_once('@')?;
        let (local, mac) = local.rsplit_once('.')?;
        let stated = local.rsplit_once(".c").and_then(|(_, id)| unbase32(id));
        let conversation = stated.or_else(|| entity(local))?;
        self.is_mac("message-id", local, mac).then_some(ConversationId(conversation))
    }

    fn is_mac(&self, purpose: &str, text: &str, mac: &str) -> bool {
        let same = |key: &Vec<u8>| self.mac(key, purpose, text).as_bytes().ct_eq(mac.as_bytes()).unwrap_u8();
        self.keys.iter().fold(0, |found, key| found | same(key)) == 1
    }

    /// 80 bits of HMAC-SHA256 over purpose, tenant and text; none of the first two can hold the separator.
    fn mac(&self, key: &[u8], purpose: &str, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            return String::new(); // HMAC takes a key of any length; an empty text equals no MAC.
        };
        mac.update(format!("throughline {purpose}\0{}\0{text}", self.tenant).as_bytes());
        let digest = mac.finalize().into_bytes();
        let bits = digest.iter().take(MAC_CHARS * 5 / 8).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        base32(bits, MAC_CHARS)
    }
}

/// The entity of an activity id `ENTITY.VERSION.INDEX`, where it is a UUID.
fn entity(activity: &str) -> Option<Uuid> {
    activity.split_once('.').and_then(|(entity, _)| Uuid::parse_str(entity).ok())
}

/// The lowest `chars` × 5 bits of `bits`, the highest first.
fn base32(bits: u128, chars: usize) -> String {
    let digit = |index: usize| ALPHABET[usize::try_from(bits >> (5 * index) & 31).unwrap_or(0)];
    (0..chars).rev().map(|index| char::from(digit(index))).collect()
}

/// Reads what [`base32`] wrote of an id, and nothing else: every id has exactly one spelling.
fn unbase32(text: &str) -> Option<Uuid> {
    if text.len() != ID_CHARS {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|one| *one == byte)?;
        bits = bits << 5 | u128::try_from(digit).ok()?;
    }
    // 26 characters hold two bits more than an id: they must have been zero.
    (base32(bits, ID_CHARS) == text).then(|| Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests;
