//! Tables that are printed line by line.

use throughline::bench;

/// A table on standard output.
pub(crate) struct Table(bench::Table);

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let table = bench::Table::new(title, 44, columns);
        println!("\n{}", table.head);
        Self(table)
    }

    pub(crate) fn row(&self, cells: &[String]) {
        println!("{}", self.0.row(cells));
    }
}
