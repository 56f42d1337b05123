//! Small measures on text that comes from outside.

/// The first `chars_max` characters of `text`.
pub(crate) fn clip(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// The text as one line: runs of white space and control characters become one space.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A trimmed text, none if nothing is left.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}
