//! Keeps the mail parser from descending into mails inside mails.
//!
//! An attached mail is a file to us, but the parser builds a tree of it, as deep as the sender likes, and freeing a
//! tree of a million levels overflows the stack, which no supervisor survives. So the three media types that make it
//! descend are renamed before parsing, by names of the same length: every offset stays right, and the original bytes
//! are read from the original.

use std::borrow::Cow;

/// What makes the parser descend (`message/rfc822`, `message/global`, `multipart/digest`) and what stands in for it.
const RENAMED: [(&[u8], &[u8]); 3] = [(b"rfc822", b"x-r822"), (b"global", b"x-glob"), (b"digest", b"x-dgst")];

/// The mail to hand to the parser: borrowed unless something had to be renamed.
pub(super) fn tame(mail: &[u8]) -> Cow<'_, [u8]> {
    let mut tamed = Cow::Borrowed(mail);
    let mut in_type = false;
    let mut start = 0;
    for raw in mail.split_inclusive(|byte| *byte == b'\n') {
        let folded = raw.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        in_type = is_type_header(raw) || (in_type && folded);
        if in_type {
            for (from, to) in RENAMED {
                for at in positions(raw, from) {
                    tamed.to_mut()[start + at..start + at + to.len()].copy_from_slice(to);
                }
            }
        }
        start += raw.len();
    }
    tamed
}

/// The media type that the mail stated, of one that the parser saw.
pub(super) fn stated(media_type: &str) -> String {
    RENAMED.iter().fold(media_type.to_owned(), |text, (from, to)| {
        // Both are ASCII, written above.
        text.replace(&*String::from_utf8_lossy(to), &String::from_utf8_lossy(from))
    })
}

/// Whether a line is a `Content-Type` header as the parser sees it, which ignores white space in names. A line of
/// prose that looks like one is renamed too; `stated` undoes that for what is shown.
fn is_type_header(line: &[u8]) -> bool {
    const NAME: &[u8] = b"content-type";
    let Some(colon) =
        line.iter().skip_while(|b| **b == b':' || b.is_ascii_whitespace()).position(|b| *b == b':')
    else {
        return false;
    };
    let name = line.iter().skip_while(|b| **b == b':' || b.is_ascii_whitespace()).take(colon);
    let mut name = name.filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_lowercase);
    name.by_ref().take(NAME.len()).eq(NAME.iter().copied()) && name.next().is_none()
}

fn positions<'a>(line: &'a [u8], word: &'static [u8]) -> impl Iterator<Item = usize> + use<'a> {
    line.windows(word.len())
        .enumerate()
        .filter(move |(_, seen)| seen.eq_ignore_ascii_case(word))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_without_mails_inside_is_not_copied() {
        let mail = b"Subject: our digest of rfc822\nContent-Type: text/plain\n\nglobal digest\n";
        assert!(matches!(tame(mail), Cow::Borrowed(_)));
    }

    #[test]
    fn every_way_to_write_the_type_is_renamed() {
        for mail in [
            "Content-Type: message/rfc822\n\n",
            "CONTENT-TYPE : Message/RFC822; x=y\r\n\r\n",
            " Content - Type:message/\r\n\trfc822\n",
            ":content-type: message / rfc822\n",
            "Content-Type: message/global\n",
            "Content-type:\n multipart/digest; boundary=b\n",
        ] {
            let tamed = tame(mail.as_bytes()).to_ascii_lowercase();
            let tamed = String::from_utf8(tamed).unwrap();
            assert_eq!(tamed.len(), mail.len());
            for (word, _) in RENAMED {
                assert!(!tamed.contains(std::str::from_utf8(word).unwrap()), "{tamed:?}");
            }
        }
    }

    #[test]
    fn the_stated_type_is_told() {
        assert_eq!(stated("message/x-r822"), "message/rfc822");
        assert_eq!(stated("image/png"), "image/png");
    }
}
