//! Views keep one row an entity, in order, and old revisions go without a trace.

use throughline_storage::append::{Append, RowChange};
use throughline_storage::journal::Journal;
use throughline_storage::projections::{Row, View};
use throughline_storage::store::memory::MemoryStore;
use uuid::Uuid;

use crate::world::*;

async fn write(journal: &Journal, rows: Vec<RowChange>) {
    journal.commit(Append { rows, ..Append::default() }).await.unwrap();
}

fn row(entity: u128, order: u64, text: &str) -> Row {
    Row { entity: Uuid::from_u128(entity), order, bytes: text.into() }
}

async fn put(journal: &Journal, view: &View, tenant: &str, row: Row) {
    let former = view.order(journal, tenant, row.entity).unwrap();
    write(journal, view.put(tenant, row.entity, former, row.order, row.bytes)).await;
}

#[tokio::test]
async fn rows_stand_newest_first_and_move_with_their_entity() {
    let journal = open(&MemoryStore::new());
    let view = View::new("inbox", 1);
    for entity in 1..=5 {
        put(&journal, &view, "acme", row(entity, entity as u64 * 10, "first")).await;
    }
    put(&journal, &view, "acmes", row(9, 99, "another tenant's")).await;
    put(&journal, &View::new("inbox", 2), "acme", row(9, 99, "another revision's")).await;
    put(&journal, &view, "acme", row(2, 60, "moved")).await;
    put(&journal, &view, "acme", row(4, 40, "changed in place")).await;
    let gone = view.remove("acme", Uuid::from_u128(3), 30);
    write(&journal, gone).await;

    let all =
        vec![row(2, 60, "moved"), row(5, 50, "first"), row(4, 40, "changed in place"), row(1, 10, "first")];
    assert_eq!(view.page(&journal, "acme", None, 10).unwrap(), all);
    assert_eq!(view.page(&journal, "acme", None, 2).unwrap(), all[..2]);
    let after = Some((50, Uuid::from_u128(5)));
    assert_eq!(view.page(&journal, "acme", after, 10).unwrap(), all[2..]);
    assert_eq!(view.page(&journal, "nobody", None, 10).unwrap(), vec![]);
    assert_eq!(view.row(&journal, "acme", Uuid::from_u128(2)).unwrap(), Some(row(2, 60, "moved")));
    assert_eq!(view.row(&journal, "acme", Uuid::from_u128(3)).unwrap(), None);
    assert_eq!(view.order(&journal, "acme", Uuid::from_u128(4)).unwrap(), Some(40));
}

#[tokio::test]
async fn rows_are_found_by_whose_they_are() {
    let journal = open(&MemoryStore::new());
    let view = View::new("inbox", 1);
    let id = Uuid::from_u128;
    let (ada, bob) = (id(100), id(101));
    for (entity, owner) in [(3, ada), (1, ada), (2, bob), (u128::MAX, ada)] {
        write(&journal, vec![view.own("acme", owner, id(entity))]).await;
    }
    write(&journal, vec![view.own("acmes", ada, id(7)), View::new("inbox", 2).own("acme", ada, id(8))]).await;
    assert_eq!(view.owned(&journal, "acme", ada).unwrap(), vec![id(1), id(3), id(u128::MAX)]);
    write(&journal, vec![view.disown("acme", ada, id(3)), view.own("acme", bob, id(3))]).await;
    assert_eq!(view.owned(&journal, "acme", ada).unwrap(), vec![id(1), id(u128::MAX)]);
    assert_eq!(view.owned(&journal, "acme", bob).unwrap(), vec![id(2), id(3)]);
    assert!(view.owned(&journal, "acme", id(102)).unwrap().is_empty());
    assert_eq!(view.page(&journal, "acme", None, 10).unwrap(), vec![]);
}

#[tokio::test]
async fn a_page_goes_on_within_one_order() {
    let journal = open(&MemoryStore::new());
    let view = View::new("inbox", 1);
    for entity in [3, 1, 2] {
        put(&journal, &view, "acme", row(entity, 7, "same")).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    while let Some(row) = view.page(&journal, "acme", after, 1).unwrap().pop() {
        after = Some((row.order, row.entity));
        seen.push(row.entity.as_u128());
    }
    assert_eq!(seen, vec![1, 2, 3]);
}

#[tokio::test]
async fn a_change_in_place_costs_one_key_and_a_move_three() {
    let view = View::new("inbox", 1);
    let entity = Uuid::from_u128(1);
    assert_eq!(view.put("acme", entity, None, 5, vec![]).len(), 2);
    assert_eq!(view.put("acme", entity, Some(5), 5, vec![]).len(), 1);
    assert_eq!(view.put("acme", entity, Some(5), 6, vec![]).len(), 3);
}

#[tokio::test]
async fn a_view_knows_how_far_it_is_and_forgets_it_when_erased() {
    let store = MemoryStore::new();
    let journal = open(&store);
    let (old, new) = (View::new("inbox", 1), View::new("inbox", 2));
    assert_eq!(old.checkpoint(&journal).unwrap(), 0);
    for (tenant, rows) in [("acme", 400), ("b", 3), ("zeta", 300)] {
        let mut changes = Vec::new();
        for entity in 0..rows {
            changes.extend(old.put(tenant, Uuid::from_u128(entity), None, entity as u64, b"row".to_vec()));
            changes.extend(new.put(tenant, Uuid::from_u128(entity), None, entity as u64, b"row".to_vec()));
        }
        write(&journal, changes).await;
    }
    write(&journal, vec![old.reached(7), new.reached(9)]).await;
    assert_eq!(old.checkpoint(&journal).unwrap(), 7);

    assert_eq!(old.erase(&journal).await, Ok(2 * 703));
    assert_eq!(old.checkpoint(&journal).unwrap(), 0);
    assert_eq!(old.page(&journal, "acme", None, 10).unwrap(), vec![]);
    assert_eq!(new.checkpoint(&journal).unwrap(), 9);
    assert_eq!(new.page(&journal, "zeta", None, 1000).unwrap().len(), 300);
    assert_eq!(crate::damage::keys_of(&store, b'p').len(), 2 * 703);
    assert_eq!(old.erase(&journal).await, Ok(0));
}
