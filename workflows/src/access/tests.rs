//! Scenarios of the record of reads.

use super::*;
use crate::{
    scenario::{Scenario, id, moment, person},
    time::Span,
};

fn read(subject: u64) -> Access {
    Access {
        at: moment("09:00"),
        by: person("Grace"),
        token_id: TokenId(id(10)),
        role: Role::Agent,
        noun: "conversation".to_owned(),
        subject: Some(id(subject)),
        path: "/api/v1/conversations".to_owned(),
        outcome: AccessOutcome::Read,
    }
}

fn batch(batch: u64, accesses: Vec<Access>) -> Command {
    Command::Record { batch_id: OperationId(id(batch)), accesses }
}

fn recorded(batch: u64, accesses: Vec<Access>) -> Event {
    Event::Accessed { at: moment("09:00"), batch_id: OperationId(id(batch)), accesses }
}

#[test]
fn a_batch_is_recorded_once() {
    Scenario::<Reads>::given([])
        .when(batch(1, vec![read(2), read(3)]))
        .then([recorded(1, vec![read(2), read(3)])]);
    Scenario::<Reads>::given([recorded(1, vec![read(2)])]).when(batch(1, vec![read(2)])).then([]);
    Scenario::<Reads>::given([recorded(1, vec![read(2)])])
        .when(batch(2, vec![read(2)]))
        .then([recorded(2, vec![read(2)])]);
}

#[test]
fn a_batch_that_would_not_fit_into_a_record_is_refused() {
    let rejection = Rejection::invalid("accesses", format!("at most {BATCH_MAX} reads"));
    Scenario::<Reads>::given([]).when(batch(1, vec![read(2); BATCH_MAX + 1])).then_rejected(rejection);
}

#[test]
fn every_moment_of_a_day_has_the_days_stream_and_the_next_day_a_greater_one() {
    let midnight = beginning_of(day_of(moment("09:00")));
    assert_eq!(midnight, moment("00:00"));
    assert_eq!(day_of(midnight + Span::from_hours(23)), day_of(midnight));
    assert!(day_of(midnight + Span::from_hours(24)) > day_of(midnight));
}
