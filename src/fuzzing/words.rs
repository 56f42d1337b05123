//! What people write in settings and requests, as text: calendars, cron expressions, templates, spans and names.

use std::{fmt, str::FromStr};

use throughline_workflows::{
    calendar::{Calendar, CalendarSpec},
    ids::{CaseId, ConversationId, TenantId},
    message::Channel,
    quiet_hours::QuietHours,
    schedule::cron,
    template::{self, Template},
    time::{Span, Timestamp},
};

use crate::{
    alarms::target::{self, Networks},
    config::{Rate, WebUrl},
};

/// The longest text that is tried: nobody writes more on one line of a setting.
const TEXT_MAX: usize = 2000;

/// A calendar, one thing a line: `zone NAME`, `mon RANGE` and so on, `holiday DATE`, `at MILLISECONDS`,
/// `spend SPAN`.
pub(super) fn calendar(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut spec = CalendarSpec::default();
    let (mut at, mut spend) = (Timestamp::from_millis(1_767_225_600_000), Span::from_hours(8));
    for (word, value) in text.lines().take(64).filter_map(|line| line.split_once(' ')) {
        let value = value.to_owned();
        match word {
            "zone" => spec.timezone = value,
            "mon" => spec.hours.mon.push(value),
            "tue" => spec.hours.tue.push(value),
            "wed" => spec.hours.wed.push(value),
            "thu" => spec.hours.thu.push(value),
            "fri" => spec.hours.fri.push(value),
            "sat" => spec.hours.sat.push(value),
            "sun" => spec.hours.sun.push(value),
            "holiday" => spec.holidays.push(value),
            "at" => at = value.parse().map_or(at, Timestamp::from_millis),
            "spend" => spend = value.parse().unwrap_or(spend),
            _ => {}
        }
    }
    match Calendar::new(&spec) {
        Ok(calendar) => count(&calendar, at, spend),
        Err(mistakes) => assert!(!mistakes.is_empty(), "a refusal says why"),
    }
}

/// What is spent is what was asked for, and not a moment of it outside the windows.
fn count(calendar: &Calendar, at: Timestamp, spend: Span) {
    let again: CalendarSpec = calendar.clone().into();
    assert_eq!(Calendar::new(&again).as_ref(), Ok(calendar), "a calendar is its own description");
    let _ = calendar.is_open(at);
    match calendar.due(at, spend) {
        Ok(due) => {
            assert!(due.at >= at, "nothing falls due before it begins");
            let counted: u64 = due.intervals.iter().map(|one| one.span().as_millis()).sum();
            assert_eq!(counted, spend.as_millis(), "what is counted is what was to be spent");
            assert!(due.intervals.windows(2).all(|pair| pair[0].to < pair[1].from));
            assert_eq!(calendar.business_time(at, due.at), spend, "two ways of counting agree");
        }
        Err(refused) => assert!(refused.counted < spend),
    }
}

/// A cron expression, its time zone and a moment, a line each.
pub(super) fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > TEXT_MAX {
        return;
    }
    let mut lines = text.lines();
    let expression = lines.next().unwrap_or_default();
    let zone = lines.next().unwrap_or("UTC");
    let after = lines.next().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::from_millis(0));
    let Ok(Some(next)) = cron::next(expression, zone, after) else { return };
    assert!(next > after, "the next moment is a later one");
    if let Ok(Some(second)) = cron::next(expression, zone, next) {
        assert!(second > next, "moments go on");
    }
    let before = next - Span::from_millis(1);
    if before > after {
        assert_eq!(cron::next(expression, zone, before), Ok(Some(next)), "nothing lies between");
    }
}

/// A template: its name on the first line, then its words.
pub(super) fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (name, words) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = Template::parse(name, words) else { return };
    assert!(template::variables(name).is_some(), "only a known template is read");
    // Nothing but its own variables is asked for.
    let allowed = template::variables(name).unwrap_or_default();
    let said = parsed.render(|variable| {
        assert!(allowed.contains(&variable), "{variable:?} is asked for and not allowed");
        Some("\u{1}".to_owned())
    });
    // The words without the values are the words as they were written.
    let written = allowed
        .iter()
        .fold(words.to_owned(), |words, variable| words.replace(&format!("{{{variable}}}"), "\u{1}"));
    if !words.contains("{{") && !words.contains("}}") {
        assert_eq!(said, written);
    }
    let _ = parsed.render(|_| None);
    if let Some(name) = template::presentable(words) {
        assert_eq!(template::presentable(&name), Some(name.clone()), "a presentable name stays so");
        assert!(!name.contains(['\n', '\r']));
    }
}

/// Anything that is written as one word: spans, moments, names, rates, web addresses.
pub(super) fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > TEXT_MAX {
        return;
    }
    prints::<Span>(text);
    prints::<Timestamp>(text);
    prints::<TenantId>(text);
    prints::<ConversationId>(text);
    prints::<CaseId>(text);
    prints::<Channel>(text);
    prints::<QuietHours>(text);
    prints::<Rate>(text);
    if let Ok(quiet) = text.parse::<QuietHours>() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        if let Some(stretch) = quiet.around(at, "Europe/Berlin") {
            assert!(stretch.from <= at && at < stretch.to);
        }
    }
    if let Ok(url) = text.parse::<WebUrl>() {
        assert_eq!(url.to_string(), text, "a web address is kept as it was written");
        let _ = url.is_loopback();
        assert!(url.with_path("/x").ends_with("/x"));
    }
    if let Ok(url) = target::read(text, Networks::default()) {
        assert_eq!(url.scheme(), "https", "what is posted to the internet is encrypted");
        assert!(target::read(url.as_str(), Networks::default()).is_ok(), "an address stays allowed");
    }
}

/// What is read prints as something that reads the same.
fn prints<T: FromStr + fmt::Display + PartialEq + fmt::Debug>(text: &str)
where
    T::Err: fmt::Display,
{
    match text.parse::<T>() {
        Ok(read) => {
            let printed = read.to_string();
            let again = printed.parse::<T>().unwrap_or_else(|error| panic!("{printed:?}: {error}"));
            assert_eq!(again, read, "{text:?} prints as {printed:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
    }
}
