//! What is new in a reply: the text without quoted history and signature.
//!
//! There is no standard for quoting, so this knows the habits of common mail programs in a few languages and errs
//! towards showing too much: the whole text is kept beside it, and nothing is ever shown as empty that was not.

/// How "On …, NAME wrote:" begins and ends, by language.
const ATTRIBUTIONS: [(&str, &[&str]); 13] = [
    ("on ", &["wrote:", "writes:"]),
    ("am ", &["schrieb:", "schrieb"]),
    ("le ", &["a écrit :", "a écrit:"]),
    ("el ", &["escribió:", "escribió"]),
    ("il ", &["ha scritto:"]),
    ("op ", &["schreef:", "schreef"]),
    ("den ", &["skrev:", "skrev"]),
    ("em ", &["escreveu:"]),
    ("w dniu ", &["napisał:", "napisał(a):", "pisze:"]),
    ("dnia ", &["napisał:", "napisał(a):"]),
    ("dne ", &["napsal:", "napsal(a):"]),
    ("på ", &["skrev:"]),
    ("ons ", &["skrev:"]),
];

/// What stands between two rows of dashes above a quoted original.
const ORIGINALS: [&str; 7] = [
    "original message",
    "ursprüngliche nachricht",
    "message d'origine",
    "mensaje original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "mensagem original",
];

/// What stands above a forwarded message, which is content, not history.
const FORWARDED: [&str; 7] = [
    "forwarded message",
    "begin forwarded message:",
    "weitergeleitete nachricht",
    "message transféré",
    "mensaje reenviado",
    "messaggio inoltrato",
    "doorgestuurd bericht",
];

/// The four lines that some programs put above the original, by what they may be called.
const BLOCK_FROM: [&str; 5] = ["from:", "von:", "de :", "de:", "da:"];
const BLOCK_WHEN: [&str; 8] =
    ["sent:", "date:", "gesendet:", "datum:", "envoyé :", "envoyé:", "enviado:", "inviato:"];
const BLOCK_SUBJECT: [&str; 7] =
    ["subject:", "betreff:", "objet :", "objet:", "asunto:", "oggetto:", "assunto:"];

/// An attribution that was wrapped fills at most this many lines.
const ATTRIBUTION_LINES: usize = 3;
/// A signature has at most this many lines; a longer rest after `--` is somebody's text.
const SIGNATURE_LINES: usize = 12;

/// The new part of a reply, trimmed; all of it where nothing new can be told from the old.
pub(super) fn reply(text: &str) -> String {
    let unix = text.replace("\r\n", "\n");
    let lines: Vec<&str> = unix.split('\n').map(str::trim_end).collect();
    let mut shown: Vec<&str> = Vec::new();
    let mut something_shown = false;
    let mut at = 0;
    while at < lines.len() {
        if is_quoted(lines[at]) {
            at += 1;
        } else if FORWARDED.contains(&heading(lines[at]).trim_matches(['-', ' '])) {
            shown.extend(&lines[at..]);
            break;
        } else if let Some(length) = attribution(&lines[at..]) {
            match lines[at + length..].iter().find(|line| !line.is_empty()) {
                // What follows the quoted lines may be the answer, written below.
                Some(next) if is_quoted(next) => at += length,
                // The history follows unmarked, to the end.
                _ if something_shown => break,
                _ => {
                    shown.push(lines[at]);
                    something_shown = true;
                    at += 1;
                }
            }
        } else if something_shown && (begins_original(&lines[at..]) || is_signature(&lines[at..])) {
            break;
        } else {
            shown.push(lines[at]);
            something_shown |= !lines[at].is_empty();
            at += 1;
        }
    }
    // A row of underscores above a header block is part of the frame, not of the answer.
    while shown.last().is_some_and(|line| line.chars().all(|c| c == '_')) {
        shown.pop();
    }
    let visible = shown.join("\n").trim().to_owned();
    if visible.is_empty() { unix.trim().to_owned() } else { visible }
}

fn is_quoted(line: &str) -> bool {
    line.strip_prefix(' ').unwrap_or(line).starts_with('>')
}

/// The number of lines of an attribution that begins here.
fn attribution(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?.trim_start().to_lowercase();
    if first.chars().count() > 400 {
        return None;
    }
    let endings: Vec<&str> = ATTRIBUTIONS
        .iter()
        .filter(|(beginning, _)| first.starts_with(beginning))
        .flat_map(|(_, endings)| endings.iter().copied())
        .collect();
    if endings.is_empty() {
        return None;
    }
    let mut joined = String::new();
    for (index, line) in lines.iter().take(ATTRIBUTION_LINES).enumerate() {
        if line.is_empty() || is_quoted(line) || line.len() > 1000 {
            return None;
        }
        joined.push_str(line.trim());
        joined.push(' ');
        let lower = joined.to_lowercase();
        let lower = lower.trim_end();
        // "Am 2. November schrieb Ada Whitfield:" has the name after the verb.
        let ends = endings.iter().any(|ending| {
            lower.ends_with(ending) && ending.ends_with(':')
                || lower.ends_with(':') && lower.contains(&format!(" {} ", ending.trim_end_matches(':')))
        });
        // A date has digits; "On Monday you wrote:" is somebody's sentence unless quoted lines follow.
        let quoted_next =
            lines[index + 1..].iter().find(|line| !line.is_empty()).is_some_and(|line| is_quoted(line));
        if ends && (quoted_next || lower.chars().any(|c| c.is_ascii_digit())) {
            return Some(index + 1);
        }
    }
    None
}

/// Whether a quoted original begins here: a row "-----Original Message-----" or a block of its headers.
fn begins_original(lines: &[&str]) -> bool {
    let Some(first) = lines.first().map(|line| heading(line)) else { return false };
    let bare = first.trim_matches(['-', ' ']);
    if first.starts_with("--") && first.ends_with("--") && ORIGINALS.contains(&bare) {
        return true;
    }
    let begins = |line: &str, names: &[&str]| names.iter().any(|name| line.starts_with(name));
    let block: Vec<String> = lines.iter().skip(1).take(6).map(|line| heading(line)).collect();
    begins(&first, &BLOCK_FROM)
        && block.iter().take(3).any(|line| begins(line, &BLOCK_WHEN))
        && block.iter().any(|line| begins(line, &BLOCK_SUBJECT))
}

/// A line in lower case without the asterisks that bold headings become in plain text.
fn heading(line: &str) -> String {
    let short: String = line.chars().take(120).collect();
    short.trim().replace('*', "").to_lowercase()
}

/// Whether a signature begins here (RFC 3676, 4.3; the space after the dashes is often lost).
fn is_signature(lines: &[&str]) -> bool {
    lines.first() == Some(&"--") && lines.len() <= SIGNATURE_LINES + 1
}

#[cfg(test)]
mod tests;
