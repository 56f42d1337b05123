//! Scenarios of a tenant's policy.

use serde_json::json;

use super::*;
use crate::{
    scenario::{Scenario, moment},
    time::Span,
};

fn file(settings: Value, owned: &[&str]) -> PolicyFile {
    let mut whole = shown(&Settings::default());
    merge::apply(&mut whole, &settings);
    PolicyFile { settings: whole.to_string(), owned: owned.iter().map(|key| (*key).to_owned()).collect() }
}

fn built_in() -> PolicyFile {
    PolicyFile::open(&Settings::default())
}

fn adopted(file: PolicyFile) -> Vec<Event> {
    Scenario::<PolicyBook>::given([]).when(Command::Adopt { file }).decision().events.clone()
}

fn edit(patch: Value, file: PolicyFile) -> Command {
    Command::Edit { patch: patch.to_string(), file }
}

/// The event that `command` makes after `history`, appended to it.
fn after(history: &[Event], command: Command) -> Vec<Event> {
    let made = Scenario::<PolicyBook>::given(history.to_vec()).when(command).decision().events.clone();
    history.iter().cloned().chain(made).collect()
}

fn last(history: &[Event]) -> (u64, Policy, Vec<String>) {
    let Some(Event::PolicyChanged { at, version, settings, changed, .. }) = history.last() else {
        panic!("nothing happened")
    };
    (*version, policy_of(settings, *version, *at).unwrap(), changed.clone())
}

fn mistakes(outcome: Option<&Rejection>) -> Vec<String> {
    match outcome {
        Some(Rejection::Invalid(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
        other => panic!("not refused as invalid: {other:?}"),
    }
}

#[test]
fn the_first_start_makes_version_one_and_the_next_makes_none() {
    let history = adopted(built_in());
    let (version, policy, _) = last(&history);
    assert_eq!(version, 1);
    assert_eq!(policy, Policy { since: moment("09:00"), ..Policy::default() });
    Scenario::<PolicyBook>::given(history).when(Command::Adopt { file: built_in() }).then_nothing();
}

#[test]
fn a_changed_configuration_is_a_version_that_names_what_changed() {
    let stricter =
        file(json!({"updates": {"interval": "6h"}, "customers": {"language": "de"}}), &["updates.interval"]);
    let history = after(&adopted(built_in()), Command::Adopt { file: stricter });
    let (version, policy, changed) = last(&history);
    assert_eq!((version, policy.updates.interval), (2, Span::from_hours(6)));
    assert_eq!(changed, ["customers.language", "updates.interval"]);
}

#[test]
fn an_edit_is_laid_over_the_configuration_and_null_takes_it_away() {
    let first = adopted(built_in());
    let edited = after(&first, edit(json!({"updates": {"interval": "4h", "margin": "20m"}}), built_in()));
    let (version, policy, changed) = last(&edited);
    assert_eq!((version, policy.updates.interval), (2, Span::from_hours(4)));
    assert_eq!(changed, ["updates.interval", "updates.margin"]);

    let partly = after(&edited, edit(json!({"updates": {"interval": null}}), built_in()));
    let (version, policy, _) = last(&partly);
    assert_eq!((version, policy.updates.interval), (3, Span::from_hours(12)));
    assert_eq!(policy.updates.margin, Span::from_mins(20));
}

#[test]
fn an_edit_that_changes_nothing_is_nothing() {
    let history = adopted(built_in());
    for patch in [json!({}), json!({"updates": {}}), json!({"updates": {"interval": "12h"}})] {
        Scenario::<PolicyBook>::given(history.clone()).when(edit(patch, built_in())).then_nothing();
    }
}

#[test]
fn what_the_configuration_sets_is_refused_by_name() {
    let owned =
        file(json!({"updates": {"interval": "6h"}}), &["updates.interval", "templates.en.acknowledgement"]);
    let history = adopted(owned.clone());
    for value in [json!("4h"), Value::Null] {
        let patch = json!({"updates": {"interval": value, "margin": "20m"}});
        Scenario::<PolicyBook>::given(history.clone())
            .when(edit(patch, owned.clone()))
            .then_rejected(Rejection::Owned(vec!["updates.interval".to_owned()]));
    }
}

#[test]
fn an_edit_sleeps_while_the_configuration_sets_its_key() {
    let edited = after(&adopted(built_in()), edit(json!({"updates": {"interval": "4h"}}), built_in()));
    let taken = file(json!({"updates": {"interval": "6h"}}), &["updates.interval"]);
    let taken = after(&edited, Command::Adopt { file: taken });
    assert_eq!(last(&taken).1.updates.interval, Span::from_hours(6));
    let free = after(&taken, Command::Adopt { file: built_in() });
    assert_eq!(last(&free).1.updates.interval, Span::from_hours(4));
}

#[test]
fn keys_that_do_not_exist_and_values_that_cannot_be_are_told_together() {
    let patch = json!({
        "updates": {"intervall": "4h", "margin": 5, "interval": "13h"}, "sla": {"tiers": {"gold": {"calendar": "x"}}}, "colour": "red",
        "escalation": null, "shade": null,
    });
    let outcome = Scenario::<PolicyBook>::given(adopted(built_in())).when(edit(patch, built_in()));
    let told = mistakes(outcome.rejection());
    let begin = [
        "colour: is not",
        "shade: is not",
        "sla.tiers.gold.calendar: ",
        "updates.intervall: is not",
        "updates.margin: cannot be 5",
        "updates.interval: must be at most 12h",
    ];
    assert_eq!(told.len(), begin.len(), "{told:#?}");
    for begin in begin {
        assert!(told.iter().any(|told| told.starts_with(begin)), "{begin}: {told:#?}");
    }
}

#[test]
fn the_whole_is_checked_and_every_mistake_told() {
    let patch = json!({
        "updates": {"interval": "13h"},
        "calendars": {"office": {"timezone": "Moon"}},
        "sla": {"tiers": {"premium": {"calendar": "offce"}}},
        "templates": {"en": {"acknowledgement": "{money}"}},
    });
    let outcome = Scenario::<PolicyBook>::given(adopted(built_in())).when(edit(patch, built_in()));
    let told = mistakes(outcome.rejection()).join("\n");
    for part in [
        "updates.interval",
        "at most 12h",
        "calendars.office.timezone",
        "sla.tiers.premium.calendar",
        "{customer}",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_new_calendar_and_a_tier_that_uses_it_come_in_one_patch() {
    let hours = json!({"mon": ["09:00-17:00"]});
    let patch = json!({
        "calendars": {"office": {"timezone": "Europe/Vienna", "hours": hours}},
        "sla": {"tiers": {"premium": {"calendar": "office", "P0": {"first_response": "15m"}}}},
    });
    let history = after(&adopted(built_in()), edit(patch, built_in()));
    assert!(last(&history).1.calendars.contains_key("office"));

    let outcome =
        Scenario::<PolicyBook>::given(history).when(edit(json!({"calendars": {"office": null}}), built_in()));
    assert!(mistakes(outcome.rejection()).join("").contains("sla.tiers.premium.calendar"));
}

#[test]
fn a_configuration_that_contradicts_an_edit_is_refused_with_the_edit() {
    let office =
        file(json!({"calendars": {"office": {"timezone": "UTC", "hours": {"mon": ["09:00-17:00"]}}}}), &[]);
    let edited = after(
        &adopted(office.clone()),
        edit(json!({"sla": {"tiers": {"premium": {"calendar": "office"}}}}), office),
    );
    let outcome = Scenario::<PolicyBook>::given(edited).when(Command::Adopt { file: built_in() });
    let told = outcome.rejection().unwrap().to_string();
    assert!(told.contains("office") && told.contains("sla.tiers.premium.calendar"), "{told}");
}

#[test]
fn only_an_object_is_a_patch() {
    for patch in ["[1]", "{", "7"] {
        let command = Command::Edit { patch: patch.to_owned(), file: built_in() };
        let outcome = Scenario::<PolicyBook>::given(adopted(built_in())).when(command);
        assert!(matches!(outcome.rejection(), Some(Rejection::Malformed(_))), "{patch}");
    }
}
