//! What colleagues write on a conversation and the customer never sees: notes and tags.

use std::collections::BTreeSet;

use super::{Conversation, Event, Facts, Rejection, replies};
use crate::{
    ids::NoteId,
    record::{TAGS_MAX, checked_tag},
    text::non_empty,
    workflow::{Context, Decision},
};

/// Adds a note.
pub(super) fn add(
    facts: &Facts,
    note_id: NoteId,
    text: &str,
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    if facts.recent_notes.contains(&note_id) {
        return Ok(Decision::nothing());
    }
    let text = non_empty(text).ok_or_else(|| Rejection::invalid("text", "a text that is not empty"))?;
    replies::check_length(&text)?;
    Ok(Decision::event(Event::NoteAdded { at: cx.now, by: cx.by.clone(), note_id, text }))
}

/// Changes the tags. A tag both added and removed is removed.
pub(super) fn tag(
    facts: &Facts,
    add: &[String],
    remove: &[String],
    cx: &Context<'_>,
) -> Result<Decision<Conversation>, Rejection> {
    let (add, remove) = (checked("add", add)?, checked("remove", remove)?);
    let added: Vec<_> =
        add.into_iter().filter(|tag| !facts.tags.contains(tag) && !remove.contains(tag)).collect();
    let removed: Vec<_> = remove.into_iter().filter(|tag| facts.tags.contains(tag)).collect();
    if added.is_empty() && removed.is_empty() {
        return Ok(Decision::nothing());
    }
    if facts.tags.len() + added.len() - removed.len() > TAGS_MAX {
        return Err(Rejection::invalid("add", format!("few enough that there are at most {TAGS_MAX} tags")));
    }
    Ok(Decision::event(Event::TagsChanged { at: cx.now, added, removed }))
}

fn checked(field: &'static str, tags: &[String]) -> Result<BTreeSet<String>, Rejection> {
    tags.iter()
        .map(|tag| {
            checked_tag(tag)
                .ok_or_else(|| Rejection::invalid(field, "tags of 1 to 64 characters, each on one line"))
        })
        .collect()
}
