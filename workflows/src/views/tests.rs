//! What lists and pages show.

mod inbox;
mod records;
mod timeline;

use bincode::Options as _;
use uuid::Uuid;

use super::{EventMeta, View};
use crate::{
    scenario::id,
    workflow::{By, Cause, CauseKind, Workflow},
};

/// The row after `events`, each a turn of its own; it survives being stored.
fn folded<V: View>(events: &[<V::Source as Workflow>::Event]) -> V::Row {
    let mut row = None;
    for (event, version) in events.iter().zip(1..) {
        with_meta(version, |meta| row = V::fold(row.take(), event, meta));
    }
    let row = row.unwrap();
    let stored = bincode::DefaultOptions::new().serialize(&row).unwrap();
    assert_eq!(bincode::DefaultOptions::new().deserialize::<V::Row>(&stored).unwrap(), row);
    row
}

fn with_meta(version: u64, then: impl FnOnce(&EventMeta<'_>)) {
    let (by, cause) = (By::engine(), Cause { kind: CauseKind::Command, id: "c1".to_owned() });
    let entity: Uuid = id(1);
    let at = crate::scenario::moment("09:00");
    then(&EventMeta { entity, version, index: 0, seq: 40 + version, at, by: &by, cause: &cause });
}
