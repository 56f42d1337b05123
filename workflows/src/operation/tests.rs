//! Scenarios of the record of operations.

use super::*;
use crate::scenario::{Scenario, id, moment};

fn record(action: &str, reason: &str) -> Command {
    Command::Record {
        operation_id: OperationId(id(1)),
        action: action.to_owned(),
        target: "letter".to_owned(),
        reason: reason.to_owned(),
    }
}

#[test]
fn an_act_is_recorded_once_with_its_reason() {
    for (reason, kept) in [(" mended ", Some("mended".to_owned())), (" ", None)] {
        Scenario::<Operation>::given([]).when(record("dead_letter.retry", reason)).then([Event::Acted {
            at: moment("09:00"),
            operation_id: OperationId(id(1)),
            action: "dead_letter.retry".to_owned(),
            target: "letter".to_owned(),
            reason: kept,
        }]);
    }
}

#[test]
fn an_act_without_a_name_is_refused() {
    let outcome = Scenario::<Operation>::given([]).when(record(" ", ""));
    assert!(matches!(outcome.rejection(), Some(Rejection::Invalid { field: "action", .. })));
}
