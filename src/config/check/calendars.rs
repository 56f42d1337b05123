//! The mistakes of calendars, each at its line.

use throughline_workflows::{
    calendar::{Calendar, CalendarError},
    message::is_generic_name,
};

use super::{Checks, Node, Problem, Value, keys};
use crate::config::Calendars;

impl Checks<'_> {
    /// Checks the calendars that stand below the prefix. A tenant inherits the common ones, and what is wrong with
    /// them is told where they stand.
    pub(super) fn calendars(&mut self, calendars: &Calendars, common: Option<&Calendars>) {
        for (name, spec) in calendars {
            if !is_generic_name(name) {
                let message = "cannot be a calendar's name: 1 to 63 of a-z, 0-9, '-' and '_'".to_owned();
                self.refuse(&["calendars", name], message);
            }
            let told = common.and_then(|common| Calendar::new(common.get(name)?).err()).unwrap_or_default();
            for error in Calendar::new(spec).err().unwrap_or_default() {
                self.calendar(name, &error, told.contains(&error));
            }
        }
    }

    fn calendar(&mut self, name: &str, error: &CalendarError, told_of_the_common_one: bool) {
        let (setting, entry) = entry_of(&error.path);
        let table = self.path(&["calendars", name]);
        let path: Vec<String> = table.iter().cloned().chain(setting.split('.').map(str::to_owned)).collect();
        let written = self.tree.get(&path).filter(|node| !matches!(node.value, Value::Table(_)));
        let inside = format!("{}.", table.join("."));
        // What is missing may have been taken out for a mistake that is already told.
        let told = || told_of_the_common_one || self.problems.iter().any(|it| it.key.starts_with(&inside));
        if written.is_none() && told() {
            return;
        }
        // What a tenant does not write itself is wrong only beside what it does: there it is told.
        let above = || (table.len()..=path.len()).rev().find_map(|depth| self.tree.get(path.get(..depth)?));
        let Some(node) = written.or_else(above) else {
            return;
        };
        let place =
            entry.and_then(|entry| node.entry(entry)).map_or(&node.place, |entry: &Node| &entry.place);
        let message = format!("is refused: {}", error.what);
        let problem = Problem { place: place.clone(), key: keys::written(&path, entry), message };
        self.problems.push(problem);
    }
}

/// `hours.mon[1]` as the setting and the entry of its list.
fn entry_of(path: &str) -> (&str, Option<usize>) {
    let entry = path.strip_suffix(']').and_then(|path| path.rsplit_once('['));
    match entry.and_then(|(setting, entry)| Some((setting, entry.parse().ok()?))) {
        Some((setting, entry)) => (setting, Some(entry)),
        None => (path, None),
    }
}
