//! By which channels a customer can be written to, and which comes next when one does not work.

use super::Facts;
use crate::{ids::ConversationId, message::Channel};

/// The channel by which what we write now goes: that of the case while one is open, else the one the customer last
/// used.
pub(super) fn home(facts: &Facts) -> &Channel {
    let continuation = facts.open_case().and_then(|case| case.continuation.as_ref());
    continuation.filter(|channel| can_write(facts, channel)).unwrap_or(&facts.channel)
}

/// Every channel by which the customer can be written to, the best first: where they are, the one they like best, the
/// one they last used, then the others. Channels that refused, or that they do not want, are left out.
pub(super) fn channels(facts: &Facts) -> Vec<Channel> {
    let liked = facts.standing.preferred.as_ref();
    let first = [Some(home(facts)), liked, Some(&facts.channel)].into_iter().flatten();
    let mut channels: Vec<Channel> = Vec::new();
    for channel in first.chain(facts.contacts.keys()) {
        if !channels.contains(channel) && can_write(facts, channel) {
            channels.push(channel.clone());
        }
    }
    channels
}

/// The best of the channels that have not been tried since the customer last heard from us; before nobody is left,
/// one that refused an earlier message, since it may work again.
pub(super) fn untried(facts: &Facts) -> Option<Channel> {
    let refused = facts.contacts.keys().filter(|channel| may_write(facts, channel)).cloned();
    channels(facts).into_iter().chain(refused).find(|channel| !facts.silence.tried.contains(channel))
}

/// The same, beside the one that did not take a message.
pub(super) fn untried_but(facts: &Facts, failing: &Channel) -> Option<Channel> {
    let refused = facts.contacts.keys().filter(|channel| may_write(facts, channel)).cloned();
    let left = |channel: &Channel| channel != failing && !facts.silence.tried.contains(channel);
    channels(facts).into_iter().chain(refused).find(left)
}

/// The channel by which a case goes on: mail, where an address is known, else where the customer is.
pub(super) fn continuation(facts: &Facts) -> Option<Channel> {
    let mail = Some(Channel::Email).filter(|mail| can_write(facts, mail));
    mail.or_else(|| channels(facts).into_iter().next())
}

fn can_write(facts: &Facts, channel: &Channel) -> bool {
    may_write(facts, channel) && !facts.silence.failed.contains(channel)
}

/// Whether somebody can be there who wants to be written to, whatever the channel did with the last message.
fn may_write(facts: &Facts, channel: &Channel) -> bool {
    facts.contacts.get(channel).is_some_and(|contact| contact.theirs.can_answer())
        && !facts.standing.denied.contains(channel)
}

/// The conversation's number of the engine's next message, as its id.
pub(super) fn next_id(facts: &Facts, at: crate::time::Timestamp) -> crate::ids::MessageId {
    let conversation: ConversationId = facts.id;
    crate::ids::MessageId::of_engine(conversation, facts.sends.count, at)
}
