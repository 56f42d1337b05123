//! The table in the code is the table in the documentation.

use std::collections::BTreeMap;

use crate::conversation::{
    Move, Status,
    lifecycle::{TABLE, destination, legal_moves},
};

const DOCUMENT: &str = include_str!("../../../../docs/conversation-moves.md");

/// The documentation's moves from each status to each.
fn documented() -> BTreeMap<(Status, Status), Vec<Move>> {
    let rows: Vec<Vec<&str>> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let moves = |cell: &str| -> Vec<Move> {
        cell.split(", ").filter(|word| *word != "-").map(|word| word.parse().unwrap()).collect()
    };
    let head = &rows[0];
    let mut found = BTreeMap::new();
    for row in rows.iter().skip(1).take(Status::ALL.len()) {
        for (to, cell) in head.iter().zip(row).skip(1) {
            found.insert((row[0].parse().unwrap(), to.parse().unwrap()), moves(cell));
        }
    }
    for row in rows.iter().skip(Status::ALL.len() + 2) {
        let status: Status = row[0].parse().unwrap();
        assert_eq!(found.insert((status, status), moves(row[1])), Some(Vec::new()), "{status} to itself");
    }
    found
}

#[test]
fn the_table_of_the_documentation_is_the_table_of_the_code() {
    let documented = documented();
    for from in Status::ALL {
        for to in Status::ALL {
            let coded: Vec<Move> =
                TABLE.iter().filter(|row| (row.0, row.2) == (*from, *to)).map(|row| row.1).collect();
            let mut written = documented[&(*from, *to)].clone();
            let mut coded_sorted = coded.clone();
            written.sort();
            coded_sorted.sort();
            assert_eq!(coded_sorted, written, "{from} to {to}");
        }
    }
}

#[test]
fn a_move_leads_to_one_place_only() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(!TABLE[..index].iter().any(|other| (other.0, other.1) == (row.0, row.1)), "{row:?} twice");
        assert_eq!(destination(row.0, row.1), Some(row.2));
    }
}

#[test]
fn escalation_is_legal_in_every_status() {
    for status in Status::ALL {
        assert_eq!(destination(*status, Move::Escalate), Some(Status::Escalated));
    }
}

#[test]
fn nobody_but_a_customer_or_a_person_brings_back_what_is_resolved() {
    let legal = [Move::CustomerWrote, Move::Escalate, Move::Resolve, Move::Reopen];
    assert_eq!(legal_moves(Status::Resolved), legal);
}
