//! Figures in columns.

use std::time::Duration;

/// A table that is printed line by line, as its figures come.
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        println!("\n{title}");
        let widths =
            columns.iter().enumerate().map(|(at, name)| name.len().max(if at == 0 { 44 } else { 12 }));
        let table = Self { widths: widths.collect() };
        table.row(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
        table
    }

    pub(crate) fn row(&self, cells: &[String]) {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            line += &if at == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        println!("{line}");
    }
}

/// So many things in so long, a second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

pub(crate) fn shown(rate: f64) -> String {
    format!("{rate:.0}/s")
}

pub(crate) fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", part / whole * 100.0)
}

/// The value below which `share` of the times lie.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A size in MiB.
pub(crate) fn mib(size: f64) -> String {
    format!("{size:.0} MiB")
}
