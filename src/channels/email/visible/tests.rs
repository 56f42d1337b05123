//! Replies as mail programs write them.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn shows(mail: &str, visible: &str) {
    assert_eq!(reply(mail), visible);
}

#[test]
fn an_answer_above_the_quote_in_several_languages() {
    for attribution in [
        "On Mon, 2 Nov 2026 at 09:00, Care <support@care.example> wrote:",
        "On Mon, 2 Nov 2026 at 09:00, Care\n<support@care.example> wrote:",
        "On Mon, Nov 2, 2026 at 9:00 AM Care Team of the Very Long Name Company\n<a-rather-long-address@care.example>\nwrote:",
        "Am 2. November 2026 um 09:00 schrieb Care <support@care.example>:",
        "Am Mo., 2. Nov. 2026 um 09:00 Uhr schrieb Care:",
        "Le lun. 2 nov. 2026 à 09:00, Care <support@care.example> a écrit :",
        "El lun, 2 nov 2026 a las 9:00, Care (<support@care.example>) escribió:",
        "Il giorno lun 2 nov 2026 alle ore 09:00 Care ha scritto:",
        "Op ma 2 nov 2026 om 09:00 schreef Care <support@care.example>:",
        "W dniu 2.11.2026 o 09:00, Care pisze:",
    ] {
        shows(&format!("Yes please.\n\n{attribution}\n> Shall we?\n> \n>> Maybe\n"), "Yes please.");
        shows(&format!("Yes please.\n\n{attribution}\n\nShall we?\n"), "Yes please.");
        shows(&format!("{attribution}\n> Shall we?\n\nYes, below.\n"), "Yes, below.");
    }
}

#[test]
fn an_original_below_its_headers() {
    shows(
        "Thanks!\r\n\r\n-----Original Message-----\r\nFrom: Care\r\nSent: Monday\r\nSubject: x\r\n\r\nOld",
        "Thanks!",
    );
    shows("Danke!\n\n-----Ursprüngliche Nachricht-----\nVon: Care\n\nAlt", "Danke!");
    shows(
        "Thanks!\n________________________________\nFrom: Care <s@x>\nSent: Monday, 2 November\nTo: Ada\nSubject: Refund\n\nOld",
        "Thanks!",
    );
    shows("Danke!\n\n*Von:* Care\n*Gesendet:* Montag\n*An:* Ada\n*Betreff:* x\n\nAlt", "Danke!");
}

#[test]
fn answers_between_quoted_lines_are_kept_together() {
    shows("> Which size?\nThe large one.\n> And the colour?\nBlue.", "The large one.\nBlue.");
}

#[test]
fn what_only_looks_like_history_is_kept() {
    for text in [
        "On Monday you wrote:\nthat it would come. It did not.",
        "On 3 May I asked you this and you wrote: no",
        "From: the beginning I was unhappy.\nDate: none.",
        "Look:\n---------- Forwarded message ---------\nFrom: Shop\nDate: Monday\nSubject: Offer\n\nBuy!",
        "a\n--\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no",
    ] {
        shows(text, text);
    }
}

#[test]
fn a_signature_is_cut() {
    shows("Please call me.\n\n-- \nAda Whitfield\nHead of Shoes", "Please call me.");
    shows("Please call me.\n--\nAda", "Please call me.");
}

#[test]
fn nothing_new_shows_all_of_it() {
    shows("> Only\n> quoted", "> Only\n> quoted");
    shows("-- \nAda", "--\nAda");
    shows("On Mon, 2 Nov 2026, Care wrote:\n> x", "On Mon, 2 Nov 2026, Care wrote:\n> x");
    shows("", "");
}

#[test]
fn a_million_odd_lines_are_read_in_time() {
    for odd in ["\n", "On 1\n", "> \n", "From: x\n", "--\n"] {
        let _ = reply(&odd.repeat(300_000));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_no_text_vanishes(
        lines in prop::collection::vec(prop_oneof![
            "\\PC{0,40}", Just("> quoted".to_owned()), Just(String::new()), Just("On 1 May 2026, X wrote:".to_owned()),
            Just("-- ".to_owned()), Just("From: x".to_owned()), Just("Sent: x".to_owned()), Just("Subject: x".to_owned()),
        ], 0..12),
    ) {
        let text = lines.join("\n");
        prop_assert_eq!(reply(&text).is_empty(), text.trim().is_empty());
    }
}
