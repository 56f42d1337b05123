//! How far something is, on a terminal; silence where there is none.

use indicatif::{ProgressBar, ProgressStyle};

/// Bytes of a known number.
pub(crate) fn bytes(what: &'static str, length: u64) -> ProgressBar {
    styled(
        ProgressBar::new(length),
        what,
        "{msg:<12} {bar:30} {bytes:>11} of {total_bytes}, {bytes_per_sec}, {eta} left",
    )
}

/// Bytes whose number nobody knows.
pub(crate) fn stream(what: &'static str) -> ProgressBar {
    styled(ProgressBar::no_length(), what, "{msg:<12} {spinner} {bytes}, {bytes_per_sec}, {elapsed}")
}

/// Things whose number nobody knows.
pub(crate) fn counting(what: &'static str) -> ProgressBar {
    styled(ProgressBar::no_length(), what, "{msg:<12} {spinner} {human_pos}, {per_sec}, {elapsed}")
}

/// Things of a known number.
pub(crate) fn count(what: &'static str, length: u64) -> ProgressBar {
    styled(
        ProgressBar::new(length),
        what,
        "{msg:<12} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} left",
    )
}

fn styled(bar: ProgressBar, what: &'static str, template: &str) -> ProgressBar {
    // A template that cannot be read would only cost the bar.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(what)
}
