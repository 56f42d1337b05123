//! Figures in columns.

use std::time::Duration;

/// A table that is shown line by line, as its figures come.
#[derive(Clone, Debug)]
pub struct Table {
    widths: Vec<usize>,
    /// Its title and the names of its columns.
    pub head: String,
}

impl Table {
    /// A table of these columns, of which the first is `first` wide at least.
    pub fn new(title: &str, first: usize, columns: &[&str]) -> Self {
        let widths =
            columns.iter().enumerate().map(|(at, name)| name.len().max(if at == 0 { first } else { 12 }));
        let table = Self { widths: widths.collect(), head: String::new() };
        let names = table.row(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
        Self { head: format!("{title}\n{names}"), ..table }
    }

    /// One line of it.
    pub fn row(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            line += &if at == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        line
    }
}

/// So many things in so long, a second.
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A rate in words.
pub fn shown(rate: f64) -> String {
    format!("{rate:.0}/s")
}

/// A part of a whole in hundredths.
pub fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", part / whole * 100.0)
}

/// The value below which `share` of the times lie.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A size in MiB.
pub fn mib(size: f64) -> String {
    format!("{size:.0} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_names() {
        let table = Table::new("webhooks", 7, &["clients", "answered a second"]);
        assert_eq!(table.head, "webhooks\n  clients  answered a second");
        assert_eq!(table.row(&["64".to_owned(), "9/s".to_owned()]), "  64                     9/s");
    }

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut times, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&mut times, 0.99), Duration::from_millis(100));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
