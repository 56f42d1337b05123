//! What a mail says and what comes with it: the text, the HTML, the files.
//!
//! Plain text is preferred; HTML is turned into text where there is no other. Nothing is sanitised here: the HTML is
//! kept as it came and whoever shows it must clean it.

use bytes::Bytes;
use mail_parser::{
    Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType, decoders::html::html_to_text,
};

use crate::channels::{
    draft::ATTACHMENTS_MAX,
    email::{clean_id, nested},
};

/// Where mail programs begin to quote in HTML; what follows is history. Compared in lower case.
const QUOTES: [&str; 8] = [
    "<div class=\"gmail_quote",
    "<blockquote type=\"cite\"",
    "<div id=\"divrplyfwdmsg\"",
    "<div id=\"appendonsend\"",
    "<div class=\"moz-cite-prefix\"",
    "<div class=\"yahoo_quoted\"",
    "<div id=\"mail-editor-reference-message-container\"",
    "<div class=\"protonmail_quote",
];

/// Elements after which a line ends, as a reader sees it.
const BLOCKS: [&str; 11] = [
    "</div>",
    "</li>",
    "</tr>",
    "</h1>",
    "</h2>",
    "</h3>",
    "</h4>",
    "</h5>",
    "</h6>",
    "</blockquote>",
    "</ul>",
];

/// How much of an enclosed mail is searched for its headers, in bytes.
const ENCLOSED_MAX: usize = 64 * 1024;

/// The content of a mail.
#[derive(Default)]
pub(super) struct Content {
    /// The whole text.
    pub(super) text: String,
    /// The text without the history that HTML marks as such; the same as `text` for plain mail.
    pub(super) newest: String,
    /// The HTML, as it came.
    pub(super) html: Option<String>,
    /// Files, inline images and enclosed mails.
    pub(super) files: Vec<File>,
    /// In a report: the `Message-ID` of the mail it is about.
    pub(super) enclosed_ids: Vec<String>,
}

/// A file of a mail.
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
}

/// Reads a mail that was parsed from a tamed copy of `original`.
pub(super) fn read(mail: &Message<'_>, original: &Bytes) -> Content {
    let part = |id: &u32| mail.part(*id);
    let plain: Vec<String> = mail
        .text_body
        .iter()
        .filter_map(part)
        .filter_map(|part| match &part.body {
            PartType::Text(text) => Some(unflow(part, text)),
            _ => None,
        })
        .collect();
    let html: Vec<&str> = mail
        .html_body
        .iter()
        .filter_map(part)
        .filter_map(|part| match &part.body {
            PartType::Html(html) => Some(html.as_ref()),
            _ => None,
        })
        .collect();

    let html = html.join("\n");
    let mut text = restore(plain.join("\n"));
    let mut newest = text.clone();
    if text.trim().is_empty() && !html.trim().is_empty() {
        text = restore(to_text(&html));
        newest = restore(to_text(&html[..history_at(&html)]));
        if newest.trim().is_empty() {
            newest.clone_from(&text);
        }
    }
    let mut content = Content {
        text,
        newest,
        html: Some(restore(html)).filter(|html| !html.is_empty()),
        ..Content::default()
    };

    let is_report = mail.content_type().is_some_and(|kind| is(kind, "multipart", "report"));
    // One more than are named, so that the draft notices and keeps the original.
    for part in mail.attachments.iter().filter_map(part).take(ATTACHMENTS_MAX + 1) {
        let file = file(part, original);
        let headers_inside =
            matches!(&*file.media_type, "message/rfc822" | "message/global" | "text/rfc822-headers");
        if is_report && headers_inside {
            let mut head = file.bytes[..file.bytes.len().min(ENCLOSED_MAX)].to_vec();
            head.extend(b"\r\n\r\n"); // Headers sent back alone need not end in an empty line.
            let enclosed = MessageParser::default().parse_headers(&head);
            content.enclosed_ids.extend(enclosed.and_then(|mail| clean_id(mail.message_id()?)));
        }
        content.files.push(file);
    }
    content
}

fn is(kind: &mail_parser::ContentType<'_>, main: &str, sub: &str) -> bool {
    kind.ctype().eq_ignore_ascii_case(main) && kind.subtype().is_some_and(|one| one.eq_ignore_ascii_case(sub))
}

fn file(part: &MessagePart<'_>, original: &Bytes) -> File {
    let kind =
        part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()));
    let media_type = nested::stated(&kind.unwrap_or_default().to_ascii_lowercase());
    let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let (from, to) = (at(part.offset_body), at(part.offset_end));
    let bytes = match &part.body {
        PartType::Text(text) | PartType::Html(text) => Bytes::from(restore(text.to_string())),
        // What was not encoded is taken from the original, where nothing was renamed.
        _ if part.encoding == Encoding::None && from <= to && to <= original.len() => {
            original.slice(from..to)
        }
        _ => Bytes::copy_from_slice(part.contents()),
    };
    let default = match &*media_type {
        "message/rfc822" | "message/global" => "message.eml",
        "message/delivery-status" => "delivery-status.txt",
        "text/rfc822-headers" => "headers.txt",
        _ => "",
    };
    File { name: part.attachment_name().unwrap_or(default).to_owned(), media_type, bytes }
}

/// Undoes the renaming in text that is shown, which matters only to a text about mail headers.
fn restore(text: String) -> String {
    if text.contains("x-r822") || text.contains("x-glob") || text.contains("x-dgst") {
        nested::stated(&text)
    } else {
        text
    }
}

/// Where the quoted history of an HTML mail begins; its length where there is none.
fn history_at(html: &str) -> usize {
    let lower = html.to_ascii_lowercase();
    QUOTES.iter().filter_map(|mark| lower.find(mark)).min().unwrap_or(html.len())
}

/// HTML as text, with the line breaks that a reader would see.
fn to_text(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let mut broken = String::with_capacity(html.len());
    let mut done = 0;
    for (at, _) in lower.match_indices("</") {
        if BLOCKS.iter().any(|block| lower[at..].starts_with(block)) {
            broken.push_str(&html[done..at]);
            broken.push_str("<br>");
            done = at;
        }
    }
    broken.push_str(&html[done..]);
    let mut text = html_to_text(&broken);
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text.trim().to_owned()
}

/// Joins the lines that `format=flowed` broke (RFC 3676, 4.2); other text stays as it is.
fn unflow(part: &MessagePart<'_>, text: &str) -> String {
    let attribute = |name: &str, value: &str| {
        part.content_type()
            .and_then(|kind| kind.attribute(name))
            .is_some_and(|one| one.eq_ignore_ascii_case(value))
    };
    if !attribute("format", "flowed") {
        return text.to_owned();
    }
    let join_tight = attribute("delsp", "yes");
    let mut joined = String::with_capacity(text.len());
    let mut open: Option<usize> = None; // The depth of quoting of a line that goes on.
    for line in text.lines() {
        let words = line.trim_start_matches('>');
        let depth = line.len() - words.len();
        let words = words.strip_prefix(' ').unwrap_or(words);
        if open != Some(depth) || words == "-- " {
            if !joined.is_empty() {
                joined.push('\n');
            }
            joined.extend(std::iter::repeat_n('>', depth));
            if depth > 0 {
                joined.push(' ');
            }
        }
        let goes_on = words.ends_with(' ') && words != "-- ";
        joined.push_str(if goes_on && join_tight { &words[..words.len() - 1] } else { words });
        open = goes_on.then_some(depth);
    }
    joined
}
